"""Plots of the readings as SVG that needs nothing else; the colours are those of ``report.css``."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from html import escape
from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from demo.evidence import Export
    from demo.performance import Performance
    from demo.readings import Reading, Series

WIDTH, HEIGHT = 360, 150
LEFT, RIGHT, TOP, BOTTOM = 34, 6, 8, 20
SPARK_WIDTH, SPARK_HEIGHT = 120, 20
TICKS = 4
COLOURS = 9
"""How many classes ``c0``, ``c1``, … the style sheet has."""

Points = list[tuple[float, float]]
PHASES = {"everyday": "everyday", "failure": "failures", "benign": "attacks", "attack": "attacks"}


@dataclass(frozen=True)
class Panel:
    """A plot of one metric or several: a line for each combination of the labels ``by``, summed over all others."""

    title: str
    programs: tuple[str, ...]
    metrics: tuple[str, ...]
    by: tuple[int, ...] = ()
    where: Mapping[int, str] = field(default_factory=dict)

    def lines(self, readings: Sequence[Reading]) -> dict[str, Points]:
        """Return the lines by their label, those that stay at zero left out; times in seconds since the first."""
        begin = readings[0].at
        found: dict[str, Points] = {}
        for reading in readings:
            now: dict[str, float] = {}
            for series, value in reading.values.items():
                if self._has(series):
                    name = self._name(series)
                    now[name] = now.get(name, 0) + value
            for name, value in now.items():
                found.setdefault(name, []).append((reading.at - begin, value))
        moved = {name: points for name, points in found.items() if any(value for _, value in points)}
        return dict(sorted(moved.items(), key=lambda line: -line[1][-1][1]))

    def _has(self, series: Series) -> bool:
        return (
            series.metric in self.metrics
            and series.program in self.programs
            and all(series.values[index] == value for index, value in self.where.items())
        )

    def _name(self, series: Series) -> str:
        if not self.by:
            return series.metric.removeprefix("oauth_").removeprefix("storage_").replace("_", " ")
        return " ".join(dict.fromkeys(series.values[index] for index in self.by))


BOTH = ("server", "client")
ALIVE = ("oauth_active_tokens", "storage_families_count", "storage_clients_count")
PANELS = (
    Panel("Flows of the web application", ("client",), ("oauth_flows_total",), (1,)),
    Panel("Token endpoint by status", ("server",), ("oauth_http_requests_total",), (2,), {1: "token"}),
    Panel("Token refreshes at the server", ("server",), ("oauth_token_refresh_total",), (0, 1)),
    Panel("Security events, both programs", BOTH, ("oauth_security_events_total",), (0, 1)),
    Panel("PKCE validations, both programs", BOTH, ("oauth_pkce_validations_total",), (1,)),
    Panel("Calls to the provider", ("client",), ("provider_api_calls_total",), (1,)),
    Panel("Failed calls to the provider", ("client",), ("provider_api_errors_total",), (2,)),
    Panel(
        "Alive at the server", ("server",), ("oauth_active_tokens", "storage_families_count", "storage_clients_count")
    ),
)


def figure(panel: Panel, performance: Performance) -> str:
    """Return a panel as a ``figure`` with its legend."""
    lines = panel.lines(performance.readings)
    entries = "".join(
        f'<li><i class="c{number % COLOURS}"></i>{escape(name)} <b>{points[-1][1]:g}</b></li>'
        for number, (name, points) in enumerate(lines.items())
    )
    names = ", ".join(panel.metrics)
    return (
        f"<figure><figcaption>{escape(panel.title)}<small>{escape(names)}</small></figcaption>"
        f'{_svg(panel.title, lines, performance)}<ul class="legend">{entries}</ul></figure>'
    )


def _svg(title: str, lines: Mapping[str, Points], performance: Performance) -> str:
    seconds = performance.seconds
    top = nice_ceiling(max((value for points in lines.values() for _, value in points), default=1))

    def x(at: float) -> float:
        return LEFT + at / seconds * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - value / top * (HEIGHT - TOP - BOTTOM)

    parts = [*_phases(performance, x)]
    for tick in range(TICKS + 1):
        value = top * tick / TICKS
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>')
        if value == int(value):
            parts.append(f'<text class="tick" x="{LEFT - 5}" y="{y(value) + 3:.1f}" text-anchor="end">{value:g}</text>')
    step = max(1, round(seconds / TICKS))
    parts += [
        f'<text class="tick" x="{x(at):.1f}" y="{HEIGHT - 6}" text-anchor="middle">{at} s</text>'
        for at in range(0, int(seconds) + 1, step)
    ]
    for number, (name, points) in enumerate(lines.items()):
        path = _steps([(x(at), y(value)) for at, value in points])
        parts.append(f'<path class="line c{number % COLOURS}" d="{path}"><title>{escape(name)}</title></path>')
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">{"".join(parts)}</svg>'


def _phases(performance: Performance, place: Callable[[float], float]) -> list[str]:
    begin, parts = performance.readings[0].at, []
    for number, (name, group) in enumerate(groupby(performance.outcomes, lambda each: PHASES[each.scenario.kind])):
        outcomes = list(group)
        left, right = place(outcomes[0].began - begin), place(outcomes[-1].ended - begin)
        parts.append(
            f'<rect class="phase p{number % 2}" x="{left:.1f}" y="{TOP}" width="{right - left:.1f}" '
            f'height="{HEIGHT - TOP - BOTTOM}"><title>{name}</title></rect>'
            f'<text class="phase" x="{left + 4:.1f}" y="{TOP + 9}">{name}</text>'
        )
    return parts


def _steps(points: Points) -> str:
    path, last = "", 0.0
    for number, (x, y) in enumerate(points):
        path += f"M{x:.1f} {y:.1f}" if not number else f"H{x:.1f}" + (f"V{y:.1f}" if y != last else "")
        last = y
    return path


def durations(title: str, series: Series, export: Export) -> str:
    """Return a histogram as a ``figure``, a bar for each bucket up to the last that has something in it."""
    point = export.points.get(series)
    if point is None or not point["count"]:
        return ""
    bounds = [f"≤ {bound:g}" for bound in point["bounds"]] + ["more"]
    used = [number for number, count in enumerate(point["buckets"]) if count]
    buckets = list(zip(bounds, point["buckets"], strict=True))[: used[-1] + 1]
    width = (WIDTH - LEFT - RIGHT) / len(buckets)
    scale = (HEIGHT - TOP - BOTTOM - 12) / max(point["buckets"])
    bars = "".join(
        _bar(LEFT + number * width, width, count * scale, bound, count) for number, (bound, count) in enumerate(buckets)
    )
    told = f"{point['count']} requests, milliseconds, mean {point['sum'] / point['count']:.1f}"
    return (
        f"<figure><figcaption>{escape(title)}<small>{escape(str(series))}</small></figcaption>"
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">{bars}</svg>'
        f'<ul class="legend"><li>{told}</li></ul></figure>'
    )


def _bar(left: float, width: float, height: float, bound: str, count: int) -> str:
    middle, base = left + width / 2, HEIGHT - BOTTOM
    return (
        f'<rect class="bar" x="{left + 2:.1f}" y="{base - height:.1f}" width="{width - 4:.1f}" height="{height:.1f}"/>'
        f'<text class="tick" x="{middle:.1f}" y="{HEIGHT - 6}" text-anchor="middle">{bound}</text>'
        f'<text class="tick" x="{middle:.1f}" y="{base - height - 4:.1f}" text-anchor="middle">{count or ""}</text>'
    )


def spark(values: Sequence[float]) -> str:
    """Return a small plot without axes."""
    high = max(values) or 1
    width = SPARK_WIDTH / max(1, len(values) - 1)
    points = [
        (number * width, SPARK_HEIGHT - 2 - value / high * (SPARK_HEIGHT - 4)) for number, value in enumerate(values)
    ]
    return (
        f'<svg class="spark" viewBox="0 0 {SPARK_WIDTH} {SPARK_HEIGHT}" aria-hidden="true">'
        f'<path class="line" d="{_steps(points)}"/></svg>'
    )


def nice_ceiling(value: float) -> float:
    """Return the least of 4, 8, 20, 40, 60, 80, 100, 200, … that is not below ``value``: it has four whole parts."""
    size = 10.0 ** max(0, math.floor(math.log10(max(value, 1))))
    candidates = (4, 8, 20, 40, 60, 80) if size <= 1 else tuple(size * part for part in (1, 2, 4, 6, 8, 10))
    return next(candidate for candidate in candidates if candidate >= value)
