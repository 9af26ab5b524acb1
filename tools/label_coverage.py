"""Which test makes each label value of each metric move: reads tests/coverage.toml, says what must be in it.

A row of the file names series as the tests do, `oauth_flows_total{provider=known,status=success}`. In place of a
value `*` stands for each value of the closed set and `a|b` for either; the label's name in braces in the id of the test
is replaced by it. `known` is any value of a capped label beside `unknown` and `other`. A row with `never` instead of
a test says why nothing can reach the values that it names; it may name some of the labels only.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING

from otel_oauth.catalogue import BY_NAME, OTHER, UNKNOWN, Metric
from otel_oauth.testing import series
from workspace import ROOT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE = ROOT / "tests" / "coverage.toml"
KNOWN = "known"
_SERIES = re.compile(r"(?P<name>\w+)(?:\{(?P<labels>.*)\})?")


@dataclass(frozen=True)
class Reached:
    """One series and the test that makes it move.

    :ivar labels: the values of the labels that are named; all of them unless nothing can reach it.
    :ivar how: how it arises.
    :ivar test: the id of a test for pytest; empty if ``how`` says why there is none.
    """

    metric: Metric
    labels: tuple[tuple[str, str], ...]
    how: str
    test: str = ""

    @cached_property
    def series(self) -> str:
        """The series as text."""
        return series(self.metric.name, self.labels)

    @property
    def by(self) -> str:
        """Who records it: a plugin, the manual API, or the product about itself."""
        if self.test.startswith("tests/plugins/"):
            return self.test.split("/")[2]
        return "manual API" if self.test.startswith("tests/core/test_manual") else "the product itself"


def load() -> list[Reached]:
    """Return what the file says, one entry for each series.

    :raises ValueError: if it names a metric or a label that the catalogue does not have.
    """
    return [reached for row in rows() for reached in expanded(row)]


def rows() -> list[dict[str, str]]:
    """Return the rows of the file as they are written."""
    found: list[dict[str, str]] = tomllib.loads(SOURCE.read_text(encoding="utf-8"))["row"]
    return found


def expanded(row: dict[str, str]) -> Iterator[Reached]:
    """Yield the series that a row stands for."""
    found = _SERIES.fullmatch(row["series"])
    metric = BY_NAME.get(found["name"]) if found else None
    if found is None or metric is None:
        msg = f"no metric of the catalogue: {row['series']}"
        raise ValueError(msg)
    given = dict(part.split("=", 1) for part in (found["labels"] or "").split(",") if part)
    never = row.get("never")
    if not given.keys() <= set(metric.label_names) or (never is None and given.keys() != set(metric.label_names)):
        msg = f"{metric.name} has the labels {', '.join(metric.label_names)}: {row['series']}"
        raise ValueError(msg)
    labels = [label for label in metric.labels if label.name in given]
    choices = [label.values if given[label.name] == "*" else given[label.name].split("|") for label in labels]
    for values in product(*choices):
        named = dict(zip((label.name for label in labels), values, strict=True))
        test = row.get("test", "")
        for name, value in named.items():
            test = test.replace(f"{{{name}}}", value)
        yield Reached(metric, tuple(named.items()), never or row["how"], test)


# What must be there ---------------------------------------------------------------------------------------------------


def combinations(metric: Metric) -> list[str]:
    """Return the series that the metric can have under ordinary use.

    Those that a counter is born with, or gets for each provider and client; every combination of a histogram or gauge.
    """
    if metric.kind == "counter":
        keys = [tuple(KNOWN if value is None else value for value in values) for values in metric.zero_series()]
    else:
        keys = list(product(*(label.values or (KNOWN,) for label in metric.labels)))
    return [series(metric.name, zip(metric.label_names, key, strict=True)) for key in keys]


def values(metric: Metric) -> set[tuple[str, str]]:
    """Return every value that each label of the metric can have, those beyond its set or cap included."""
    found = set()
    for label in metric.labels:
        inside = label.values or (KNOWN, *((UNKNOWN,) if label.cap else ()))
        found |= {(label.name, value) for value in (*inside, OTHER)}
    return found
