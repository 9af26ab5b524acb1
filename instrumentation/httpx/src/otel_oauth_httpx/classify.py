"""Which requests are OAuth operations: on the way of every request, so it first asks what costs least.

The URL of httpx answers through properties that decode and quote anew each time; the tuple behind them is private, has
been the same since 0.24, and where it is missing the properties are used.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from otel_oauth import kinds
from otel_oauth_httpx.bodies import buffered
from otel_oauth_httpx.challenges import oauth_challenge
from otel_oauth_httpx.endpoints import TAIL, Place
from otel_oauth_httpx.parameters import MOST_BYTES, Wire
from otel_oauth_httpx.paths import FORM_TAILS, JSON_TAILS
from otel_oauth_httpx.recognised import Recognised
from otel_oauth_httpx.rules import TELLING, WELL_KNOWN, examine

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from otel_oauth_httpx.endpoints import Endpoints

_BRACE = ord("{")
_END = slice(-TAIL, None)


def classifier(
    endpoints: Endpoints, run: Callable[..., Recognised | None] | None = None
) -> Callable[[Any], Recognised | None]:
    """Return the function that recognises a request of httpx or httpx2: ``classify(request) -> Recognised | None``.

    It never raises and reads no stream. A request that is not OAuth takes no more than some look-ups.

    :param run: calls what looks closer at a request that may be OAuth, within the guard: ``run(look, request)``.
    """
    hosts, near = endpoints.hosts, endpoints.near

    def look(request: Any) -> Recognised | None:  # noqa: ANN401 a request of httpx or httpx2
        return examine(endpoints, _wire(request))

    closer = look if run is None else partial(run, look)

    def classify(request: Any) -> Recognised | None:  # noqa: ANN401 a request of httpx or httpx2
        try:
            uri = request.url._uri_reference  # noqa: SLF001 see above
            path, query = uri.path, uri.query
            if not (
                (uri.host in hosts and near(request.method, uri.host, path))
                or ("." in path and WELL_KNOWN in path)
                or (query is not None and ("client_id=" in query or "grant_type=" in query))
            ):
                content = request._content  # noqa: SLF001 the body, if it is buffered
                if not content or (
                    (path[_END] not in JSON_TAILS and not (request.method == "PUT" and _below(path) in JSON_TAILS))
                    if content[0] == _BRACE
                    else (
                        len(content) > MOST_BYTES
                        or (path[_END] not in FORM_TAILS and not (b"_type" in content and TELLING.search(content)))
                    )
                ):
                    return None
        except (AttributeError, TypeError):  # a body that is streamed, a URL of another make
            pass
        return closer(request)

    return classify


def _below(path: str) -> str:
    """Return how the path ends that a path is below of."""
    return path[: path.rfind("/")][-TAIL:]


def _wire(request: Any) -> Wire:  # noqa: ANN401 a request of httpx or httpx2
    url = request.url
    uri = getattr(url, "_uri_reference", None)
    if uri is not None:
        place, query = Place(uri.scheme, uri.host, uri.port, uri.path or "/"), uri.query or ""
    else:
        path, _, query = url.raw_path.decode("ascii", "replace").partition("?")
        place = Place(url.scheme, url.raw_host.decode("ascii", "replace"), url.port, path)
    return Wire(request.method, place, query, buffered(request) or b"", request.headers)


def refused(endpoints: Endpoints, request: Any, status: int, headers: Mapping[str, str]) -> Recognised | None:  # noqa: ANN401 a request of httpx or httpx2
    """Recognise a request that :func:`classifier` did not by its refusal: 401 or 403 with an OAuth challenge.

    To be called for ``status`` 401 and 403, after the response's head arrived, with the (case-insensitive)
    ``headers`` of httpx. Learns where the metadata of the protected resource is (RFC 9728 section 5.1). The kind is
    API.
    """
    challenge = oauth_challenge(headers.get("www-authenticate")) if status in (401, 403) else None
    if challenge is None:
        return None
    wire = _wire(request)
    endpoints.learn_challenge(wire.place, challenge.metadata)
    return Recognised(kinds.API, wire.method, wire.place.origin, url=wire.place.origin + wire.place.path)
