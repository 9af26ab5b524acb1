"""The panels of the dashboards, and the data that their queries return now."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from stack import COLLECTOR, StackError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from stack.queries import Loki, Prometheus

DASHBOARDS = COLLECTOR / "dashboards"
POINTS = 120
INSTANT = frozenset({"stat", "gauge", "bargauge", "piechart", "table"})
"""The types of panels that show what is now, unless their query asks for a range."""

Series = tuple[str, list[tuple[float, float]]]
"""A legend and its points: seconds since the epoch, and the value."""


@dataclass(frozen=True)
class Query:
    """One query of a panel: ``source`` is the type of the data source, ``prometheus`` or ``loki``."""

    source: str
    expression: str
    legend: str = ""
    instant: bool = False


@dataclass(frozen=True)
class Panel:
    """One panel of a dashboard, with its queries as they are written there."""

    dashboard: str
    title: str
    kind: str
    unit: str
    thresholds: tuple[tuple[float | None, str], ...]
    queries: tuple[Query, ...]
    description: str = ""
    bars: bool = False
    decimals: int | None = None
    colours: tuple[tuple[str, str], ...] = ()

    def colour(self, legend: str) -> str | None:
        """Return the colour that a series with this legend has of its own."""
        return next((colour for pattern, colour in self.colours if re.search(pattern, legend)), None)


@dataclass
class Data:
    """What the queries of a panel returned: series, or lines of a log, and the errors."""

    series: list[Series] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        """Tell whether there is something to show: a line, or a number that is one."""
        return bool(self.lines) or any(math.isfinite(value) for _, points in self.series for _, value in points)


@dataclass(frozen=True)
class Sources:
    """Where panels get their data, and the stretch of time that they show."""

    prometheus: Prometheus
    loki: Loki
    seconds: float = 900
    rate_interval: str = "1m"

    @property
    def step(self) -> float:
        """Seconds between two points."""
        return max(1.0, self.seconds / POINTS)


def dashboards(place: Path = DASHBOARDS) -> list[dict[str, Any]]:
    """Return the dashboards, in the order of their files' names."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(place.glob("*.json"))]
    return [dashboard for dashboard in found if "panels" in dashboard]


def panels(dashboard: Mapping[str, Any]) -> Iterator[Panel]:
    """Yield the panels that query something, those of collapsed rows too."""
    for panel in dashboard.get("panels", ()):
        yield from panels({**panel, "title": dashboard["title"], "panels": panel.get("panels", ())})
        if panel.get("targets"):
            yield _panel(dashboard["title"], panel)


def _panel(dashboard: str, panel: Mapping[str, Any]) -> Panel:
    defaults = panel.get("fieldConfig", {}).get("defaults", {})
    steps = defaults.get("thresholds", {}).get("steps", ())
    return Panel(
        dashboard,
        panel.get("title", ""),
        panel["type"],
        defaults.get("unit", "short"),
        tuple((step.get("value"), step["color"]) for step in steps),
        tuple(_query(panel, target) for target in panel["targets"]),
        panel.get("description", ""),
        defaults.get("custom", {}).get("drawStyle") == "bars",
        defaults.get("decimals"),
        tuple(
            (override["matcher"]["options"].strip("/"), each["value"]["fixedColor"])
            for override in panel.get("fieldConfig", {}).get("overrides", ())
            if override["matcher"]["id"] == "byRegexp"
            for each in override["properties"]
            if each["id"] == "color"
        ),
    )


def _query(panel: Mapping[str, Any], target: Mapping[str, Any]) -> Query:
    source = (target.get("datasource") or panel.get("datasource") or {}).get("type", "prometheus")
    asked = target.get("instant") or target.get("queryType") == "instant"
    instant = bool(asked) or (panel["type"] in INSTANT and not target.get("range"))
    return Query(source, target["expr"], target.get("legendFormat") or "", instant)


def variables(dashboard: Mapping[str, Any]) -> dict[str, str]:
    """Return the variables of a dashboard with the value that stands for all."""
    found = {}
    for variable in dashboard.get("templating", {}).get("list", ()):
        current = (variable.get("current") or {}).get("value")
        value = variable.get("allValue") or (current if isinstance(current, str) else "")
        found[variable["name"]] = ".+" if value in ("", "$__all") else value
    return found


def filled_in(expression: str, values: Mapping[str, str], sources: Sources) -> str:
    """Return the expression with the values of its variables."""
    known = {
        **values,
        "__rate_interval": sources.rate_interval,
        "__interval": f"{sources.step:.0f}s",
        "__auto": f"{sources.step:.0f}s",
        "__range": f"{sources.seconds:.0f}s",
        "__range_s": f"{sources.seconds:.0f}",
    }

    def value(match: re.Match[str]) -> str:
        return known.get(match[1] or match[2], match[0])

    return re.sub(r"\$(?:\{(\w+)(?::\w+)?\}|(\w+))", value, expression)


def read(panel: Panel, values: Mapping[str, str], sources: Sources) -> Data:
    """Ask all queries of a panel."""
    data = Data()
    for query in panel.queries:
        expression = filled_in(query.expression, values, sources)
        try:
            if panel.kind == "logs":
                data.lines += [_line(found) for found in sources.loki.lines(expression, sources.seconds, 20)]
            else:
                data.series += _series(query, expression, sources)
        except (StackError, OSError) as error:
            data.errors.append(str(error))
    return data


def _line(found: Mapping[str, Any]) -> str:
    """Return a line of the log with its time, and with whom it is about."""
    at = datetime.fromtimestamp(found["time"] / 1e9, timezone.utc)
    labels = found["labels"]
    who = " ".join(labels[name] for name in ("service_name", "oauth_client_id") if name in labels)
    return f"{at:%H:%M:%S} {who}: {found['line']}"


def _series(query: Query, expression: str, sources: Sources) -> list[Series]:
    source: Prometheus | Loki = sources.loki if query.source == "loki" else sources.prometheus
    if query.instant:
        found = [{**each, "values": [each["value"]]} for each in source.query(expression)]
    else:
        found = source.range(expression, sources.seconds, sources.step)
    return [
        (_legend(query.legend, each["metric"]), [(float(at), float(value)) for at, value in each["values"]])
        for each in found
    ]


def _legend(pattern: str, labels: Mapping[str, str]) -> str:
    if pattern and pattern != "__auto":
        return re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda match: labels.get(match[1], ""), pattern)
    return ", ".join(f"{name}={value}" for name, value in sorted(labels.items()) if name != "__name__")
