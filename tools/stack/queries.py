"""Ask Prometheus, Loki and Zipkin over their HTTP interfaces."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import ProxyHandler, Request, build_opener

from stack import StackError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TIMEOUT = 30
_direct = build_opener(ProxyHandler({}))  # loopback is never behind a proxy


def get(url: str, **parameters: object) -> Any:  # noqa: ANN401 JSON is anything
    """Return the JSON that ``url`` answers.

    :raises StackError: if it refuses; it says what it answered.
    """
    query = f"?{urlencode(parameters, doseq=True)}" if parameters else ""
    try:
        with _direct.open(Request(url + query), timeout=TIMEOUT) as answer:  # noqa: S310 the URL is made here
            return json.load(answer)
    except HTTPError as error:
        text = error.read().decode(errors="replace")[:500]
        message = f"{url} answers {error.code} to {dict(parameters)}: {text}"
        raise StackError(message) from None


def post(url: str) -> None:
    """Send an empty POST."""
    with _direct.open(Request(url, data=b"", method="POST"), timeout=TIMEOUT):  # noqa: S310 the URL is made here
        pass


class Prometheus:
    """Prometheus's queries.

    :param url: where it is.
    """

    def __init__(self, url: str) -> None:
        self.url = url

    def query(self, expression: str, at: float | None = None) -> list[dict[str, Any]]:
        """Return the result of an instant query: objects with ``metric`` and ``value`` (a scalar without labels)."""
        data = get(f"{self.url}/api/v1/query", query=expression, **({} if at is None else {"time": at}))["data"]
        return [{"metric": {}, "value": data["result"]}] if data["resultType"] == "scalar" else list(data["result"])

    def value(self, expression: str) -> float | None:
        """Return the only value of an instant query; ``None`` if there is none."""
        found = self.query(expression)
        return float(found[0]["value"][1]) if found else None

    def range(self, expression: str, seconds: float, step: float) -> list[dict[str, Any]]:
        """Return the series of the last ``seconds``: objects with ``metric`` and ``values``.

        The points are at multiples of ``step``, so that those of two queries are at the same times.
        """
        end = time.time() // step * step
        parameters = {"query": expression, "start": end - seconds, "end": end, "step": step}
        return list(get(f"{self.url}/api/v1/query_range", **parameters)["data"]["result"])

    def metadata(self) -> Mapping[str, list[dict[str, str]]]:
        """Return type, unit and help of every metric."""
        found: Mapping[str, list[dict[str, str]]] = get(f"{self.url}/api/v1/metadata")["data"]
        return found

    def exemplars(self, expression: str, seconds: float = 3600) -> list[dict[str, Any]]:
        """Return the exemplars of the series in ``expression``: objects with ``labels``, ``value`` and ``metric``."""
        now = time.time()
        data = get(f"{self.url}/api/v1/query_exemplars", query=expression, start=now - seconds, end=now + 60)["data"]
        return [
            {**exemplar, "metric": series["seriesLabels"]} for series in data or [] for exemplar in series["exemplars"]
        ]

    def alerts(self) -> list[dict[str, Any]]:
        """Return the alerts that are pending or firing."""
        return list(get(f"{self.url}/api/v1/alerts")["data"]["alerts"])


class Loki:
    """Loki's queries.

    :param url: where it is.
    """

    def __init__(self, url: str) -> None:
        self.url = url

    def lines(
        self, expression: str, seconds: float = 3600, limit: int = 5000, before: int | None = None
    ) -> list[dict[str, Any]]:
        """Return the lines that match, the newest first: objects with ``line``, ``time`` (ns) and ``labels``.

        The labels hold structured metadata too.

        :param before: the end of the time that is looked at, in ns; now if it is left out.
        """
        end = time.time_ns() + 10**9 if before is None else before
        parameters = {"query": expression, "start": end - int(seconds * 1e9), "end": end, "limit": limit}
        result = get(f"{self.url}/loki/api/v1/query_range", **parameters)["data"]["result"]
        found = [
            {"line": entry[1], "time": int(entry[0]), "labels": stream["stream"]}
            for stream in result
            for entry in stream["values"]
        ]
        return sorted(found, key=lambda item: -item["time"])

    def pages(self, expression: str, limit: int = 5000) -> Iterator[list[dict[str, Any]]]:
        """Yield all lines that match, in pages of as many as Loki gives at once; pages overlap by a moment."""
        before = None
        while found := self.lines(expression, limit=limit, before=before):
            yield found
            oldest = found[-1]["time"]
            if len(found) < limit or before == oldest + 1:
                break
            before = oldest + 1

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the result of a metric query: objects with ``metric`` and ``value``."""
        return list(get(f"{self.url}/loki/api/v1/query", query=expression)["data"]["result"])

    def range(self, expression: str, seconds: float, step: float) -> list[dict[str, Any]]:
        """Return the series of a metric query over the last ``seconds``: objects with ``metric`` and ``values``."""
        end = int(time.time() // step * step)
        parameters = {"query": expression, "start": int(end - seconds), "end": end, "step": step}
        return list(get(f"{self.url}/loki/api/v1/query_range", **parameters)["data"]["result"])

    def alerts(self) -> list[dict[str, Any]]:
        """Return the alerts of the ruler that are pending or firing."""
        return list(get(f"{self.url}/prometheus/api/v1/alerts")["data"]["alerts"])


class Zipkin:
    """Zipkin's queries.

    :param url: where it is.
    """

    def __init__(self, url: str) -> None:
        self.url = url

    def trace(self, trace_id: str) -> list[dict[str, Any]]:
        """Return the spans of a trace; none if it is not known."""
        try:
            return list(get(f"{self.url}/api/v2/trace/{trace_id}"))
        except StackError:
            return []

    def traces(self, limit: int = 1000, service: str = "") -> list[list[dict[str, Any]]]:
        """Return the newest traces, of one service or of all, each a list of spans."""
        only = {"serviceName": service} if service else {}
        return list(get(f"{self.url}/api/v2/traces", limit=limit, lookback=3_600_000, **only))
