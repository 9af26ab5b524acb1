"""Draw a panel with its data as a picture."""

from __future__ import annotations

import math
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from typing import TYPE_CHECKING

from matplotlib.dates import DateFormatter
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from stack.panels import Data, Panel, Series

SIZE = (5.2, 3.0)
DOTS_PER_INCH = 100
MOST_SERIES = 8
MOST_LINES = 12
LINE_WIDTH = 92
MOST_TICKS = 5
TICK_SECONDS = (10, 20, 30, 60, 120, 300, 600, 900, 1800, 3600)
LEGEND_WIDTH = 100
"""Characters of all legends beside each other that fit under a panel."""
COLOURS = {
    "green": "#2e7d32",
    "yellow": "#b58900",
    "orange": "#d9730d",
    "red": "#c62828",
    "dark-red": "#8e0000",
    "blue": "#1565c0",
    "purple": "#6a1b9a",
    "text": "#333333",
    "transparent": "#333333",
}
NUMBERS = frozenset({"stat", "gauge"})
BARS = frozenset({"bargauge", "piechart", "table"})
SUFFIXES = {"percent": " %", "s": " s", "ms": " ms", "reqps": "/s", "ops": "/s", "cps": "/s", "opm": "/min"}


def draw(panel: Panel, data: Data, path: Path) -> None:
    """Write the picture of a panel; the format is that of the file's suffix."""
    figure = Figure(figsize=SIZE, dpi=DOTS_PER_INCH, layout="constrained")
    axes = figure.subplots()
    axes.set_title(panel.title, fontsize=9, loc="left")
    if not data:
        _words(axes, "no data" if not data.errors else data.errors[0])
    elif data.lines:
        _lines(axes, data)
    elif panel.kind in NUMBERS and len(data.series) == 1:
        _number(axes, panel, data)
    elif panel.kind in NUMBERS | BARS:
        _bars(axes, panel, data)
    else:
        _over_time(axes, panel, data)
    figure.savefig(path)


def amount(value: float, unit: str) -> str:
    """Return a value in its unit, in few characters."""
    if not math.isfinite(value):
        return "no value"
    if unit == "percentunit":
        return f"{value * 100:.4g} %"
    if unit == "bytes":
        return f"{value / 2**20:.4g} MiB"
    return (f"{value:.4g}" if abs(value) < 10_000 else f"{value:,.0f}") + SUFFIXES.get(unit, "")  # noqa: PLR2004 as many digits are read at once


def _words(axes: Axes, text: str) -> None:
    axes.set_axis_off()
    axes.text(0.5, 0.5, text[:120], ha="center", va="center", wrap=True, color="#777777", fontsize=8)


def _lines(axes: Axes, data: Data) -> None:
    axes.set_axis_off()
    text = "\n".join(line.replace("\n", " ")[:LINE_WIDTH] for line in data.lines[:MOST_LINES])
    axes.text(0, 1, text.replace("$", r"\$"), va="top", family="monospace", fontsize=6)


def _colour(panel: Panel, value: float) -> str:
    chosen = "text"
    for limit, colour in panel.thresholds:
        if limit is None or value >= limit:
            chosen = colour
    return COLOURS.get(chosen, chosen if chosen.startswith("#") else COLOURS["text"])


def _number(axes: Axes, panel: Panel, data: Data) -> None:
    value = data.series[0][1][-1][1]
    axes.set_axis_off()
    text = amount(value if panel.decimals is None else round(value, panel.decimals), panel.unit)
    axes.text(0.5, 0.5, text, ha="center", va="center", fontsize=28, color=_colour(panel, value))


def _bars(axes: Axes, panel: Panel, data: Data) -> None:
    newest = sorted(((legend, points[-1][1]) for legend, points in data.series), key=lambda item: -item[1])
    shown = newest[: MOST_SERIES + 4][::-1]
    colours = [_colour(panel, value) if panel.thresholds else None for _, value in shown]
    bars = axes.barh([legend[:48] or panel.title for legend, _ in shown], [value for _, value in shown], height=0.6)
    for bar, colour in zip(bars, colours, strict=True):
        if colour is not None:
            bar.set_color(colour)
    axes.bar_label(bars, [amount(value, panel.unit) for _, value in shown], fontsize=6, padding=2)
    axes.xaxis.set_major_formatter(lambda value, _position: amount(value, panel.unit))
    axes.tick_params(labelsize=6)
    axes.margins(x=0.15, y=0.3 / max(1, len(shown)))
    axes.spines[["top", "right"]].set_visible(False)


def _over_time(axes: Axes, panel: Panel, data: Data) -> None:
    finite = [(legend, _finite(points)) for legend, points in data.series]
    largest = sorted((item for item in finite if item[1]), key=lambda item: -max(value for _, value in item[1]))
    moved = [item for item in largest if any(value for _, value in item[1])] or largest
    shown = moved[:MOST_SERIES]
    if panel.bars:
        _stacked(axes, panel, shown)
    else:
        _curves(axes, panel, shown)
    axes.set_xticks(_moments([at for _, points in shown for at, _ in points]))  # type: ignore[arg-type]  # matplotlib takes datetimes
    axes.xaxis.set_major_formatter(DateFormatter("%H:%M:%S", tz=timezone.utc))  # type: ignore[no-untyped-call]  # matplotlib says no types here
    axes.yaxis.set_major_formatter(lambda value, _position: amount(value, panel.unit))
    axes.tick_params(labelsize=6)
    values = [value for _, points in shown for _, value in points]
    axes.use_sticky_edges = False  # an empty piece on top of a bar would end the axis there
    axes.set_ylim(bottom=min(0.0, *values), top=None if any(values) else 1.0)
    axes.grid(visible=True, alpha=0.25, lw=0.5)
    axes.spines[["top", "right"]].set_visible(False)
    _legend(axes, len(moved) - len(shown))


def _moments(times: Sequence[float]) -> list[datetime]:
    """Return some round times between the first and the last."""
    first, last = min(times), max(times)
    step = next((step for step in TICK_SECONDS if last - first <= MOST_TICKS * step), TICK_SECONDS[-1])
    round_times = range(math.ceil(first / step) * step, int(last) + 1, step)
    return [datetime.fromtimestamp(at, timezone.utc) for at in round_times or [int(first)]]


def _finite(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    return [(at, value) for at, value in points if math.isfinite(value)]


def _legend(axes: Axes, hidden: int) -> None:
    """Name the series below the axes, where they hide nothing."""
    handles, labels = axes.get_legend_handles_labels()
    longest = max((len(label) for label in labels), default=1)
    columns = max(1, min(len(labels), 4, LEGEND_WIDTH // (longest + 6)))
    title = f"and {hidden} more" if hidden else None
    axes.get_figure(root=True).legend(  # type: ignore[union-attr]  # these axes are in a figure
        handles,
        labels,
        fontsize=5.5,
        title=title,
        title_fontsize=5.5,
        loc="outside lower left",
        frameon=False,
        ncols=columns,
    )


def _curves(axes: Axes, panel: Panel, series: Sequence[Series]) -> None:
    step = min((after - before for _, points in series for (before, _), (after, _) in pairwise(points)), default=0.0)
    for legend, points in series:
        broken = _broken(points, 2.5 * step)
        axes.plot(
            [datetime.fromtimestamp(at, timezone.utc) for at, _ in broken],  # type: ignore[arg-type]  # matplotlib takes datetimes
            [value for _, value in broken],
            label=legend[:40] or panel.title,
            lw=1.2,
            marker="." if len(points) == 1 else "",
            color=COLOURS.get(panel.colour(legend) or ""),
        )


def _broken(points: Sequence[tuple[float, float]], gap: float) -> list[tuple[float, float]]:
    """Return the points, with a hole where the next is more than ``gap`` away: nobody measured what is between."""
    found: list[tuple[float, float]] = []
    for at, value in points:
        if found and at - found[-1][0] > gap:
            found.append((found[-1][0], math.nan))
        found.append((at, value))
    return found


def _stacked(axes: Axes, panel: Panel, series: Sequence[Series]) -> None:
    moments = sorted({at for _, points in series for at, _ in points})
    times = [datetime.fromtimestamp(at, timezone.utc) for at in moments]
    width = timedelta(seconds=0.8 * min((b - a for a, b in pairwise(moments)), default=10))
    below = [0.0] * len(moments)
    for legend, points in series:
        known = dict(points)
        heights = [known.get(at, 0.0) for at in moments]
        colour = COLOURS.get(panel.colour(legend) or "")
        axes.bar(times, heights, width=width, bottom=below, label=legend[:40] or panel.title, color=colour)  # type: ignore[arg-type]  # matplotlib takes datetimes and times
        below = [low + height for low, height in zip(below, heights, strict=True)]
