"""Read the metrics of both programs at their ``/metrics``, and tell what moved between two readings."""

from __future__ import annotations

import re
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from prometheus_client.parser import text_string_to_metric_families
from requests import RequestException

from demo.programs import DemoError
from demo.visitors import OK, contacted, http
from otel_oauth.catalogue import BY_NAME, DOCUMENTED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from demo.programs import InstrumentedProgram

TIMEOUT = 10.0
ERRORS = "otel_oauth_errors_total"
COUNTERS = frozenset(metric.name for metric in DOCUMENTED if metric.kind == "counter")
REGISTERED = re.compile(r"^dyn-[0-9a-f]+$")


class Series(NamedTuple):
    """One series of one program; ``values`` are those of its labels in the documented order."""

    program: str
    metric: str
    values: tuple[str, ...]

    def __str__(self) -> str:
        """Spell the series without the names of its labels, and ids made at registration as ``dyn-*``."""
        inner = ",".join(REGISTERED.sub("dyn-*", value) for value in self.values)
        return f"{self.program} {self.metric}" + (f"{{{inner}}}" if inner else "")


class Reading(NamedTuple):
    """The catalogued metrics of both programs at one time (seconds of the monotonic clock).

    Of a histogram, ``values`` has the count.
    """

    at: float
    values: Mapping[Series, float]

    def total(self, metric: str, program: str) -> float:
        """Return the sum of the series of one metric of one program."""
        return sum(
            value for series, value in self.values.items() if series.metric == metric and series.program == program
        )


class Meters:
    """The ``/metrics`` of the programs."""

    def __init__(self, programs: Sequence[InstrumentedProgram]) -> None:
        self._programs = programs
        self._http = {program.name: http() for program in programs}
        self._pool = ThreadPoolExecutor(len(programs))
        self._last: dict[str, dict[Series, float]] = {}

    def read(self) -> Reading:
        """Read the programs at the same time: those that can have moved.

        The server's meters always can, because the client calls it; the client's only if somebody visited it.

        :raises DemoError: if a program does not answer.
        """
        at = time.monotonic()
        due = [each for each in self._programs if each.name not in self._last or self._visited(each)]
        for program, found in zip(due, self._pool.map(self._read, due), strict=True):
            self._last[program.name] = found
        contacted.clear()
        return Reading(at, {series: value for values in self._last.values() for series, value in values.items()})

    @staticmethod
    def _visited(program: InstrumentedProgram) -> bool:
        return program.name == "server" or urlsplit(program.url).netloc in contacted

    def _read(self, program: InstrumentedProgram) -> dict[Series, float]:
        try:
            answer = self._http[program.name].get(program.metrics_url, timeout=TIMEOUT)
        except RequestException as error:
            program.check()
            message = f"{program.metrics_url} does not answer ({type(error).__name__})"
            raise DemoError(message) from None
        if answer.status_code != OK:
            message = f"{program.metrics_url} answers {answer.status_code}: {answer.text.strip()}"
            raise DemoError(message)
        values = {}
        for line in answer.text.splitlines():
            text, _, value = line.rpartition(" ")
            series = None if line.startswith("#") else _series(program.name, text)
            if series is not None:
                values[series] = float(value)
        if not values:
            program.give_up(f"otel-oauth is not attached to demo.{program.name}: {program.metrics_url} has none of it")
        return values


@cache
def _series(program: str, text: str) -> Series | None:
    """Parse the name and labels of one line; None if the catalogue does not have it."""
    name = text.partition("{")[0]
    metric = BY_NAME.get(name) or BY_NAME.get(name.removesuffix("_count"))
    if metric is None or (metric.kind == "histogram") != (name != metric.name):
        return None
    (family,) = text_string_to_metric_families(f"{text} 0\n")
    labels = family.samples[0].labels
    return Series(program, metric.name, tuple(labels[label] for label in metric.label_names))


def moved(before: Reading, after: Reading) -> Counter[str]:
    """Return by how much each documented counter went up in between, by the text of its series."""
    changes: Counter[str] = Counter()
    for series, value in after.values.items():
        if series.metric in COUNTERS and value != before.values.get(series, 0):
            changes[str(series)] += int(value - before.values.get(series, 0))
    return changes
