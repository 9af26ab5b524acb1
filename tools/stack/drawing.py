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

SIZE = (5.2, 2.6)
DOTS_PER_INCH = 100
MOST_SERIES = 12
MOST_LINES = 9
LINE_WIDTH = 92
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
    if math.isnan(value):
        return "no value"
    if unit == "percentunit":
        return f"{value * 100:.4g} %"
    suffix = {"percent": " %", "s": " s", "ms": " ms", "reqps": "/s", "ops": "/s", "cps": "/s"}.get(unit, "")
    return f"{value:.4g}{suffix}"


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
    text = amount(value, panel.unit)
    axes.text(0.5, 0.5, text, ha="center", va="center", fontsize=28, color=_colour(panel, value))


def _bars(axes: Axes, panel: Panel, data: Data) -> None:
    newest = sorted(((legend, points[-1][1]) for legend, points in data.series), key=lambda item: -item[1])
    shown = newest[:MOST_SERIES][::-1]
    bars = axes.barh([legend[:48] or panel.title for legend, _ in shown], [value for _, value in shown])
    axes.bar_label(bars, [amount(value, panel.unit) for _, value in shown], fontsize=6, padding=2)
    axes.tick_params(labelsize=6)
    axes.margins(x=0.15)
    axes.spines[["top", "right"]].set_visible(False)


def _over_time(axes: Axes, panel: Panel, data: Data) -> None:
    largest = sorted(data.series, key=lambda item: -max((v for _, v in item[1] if not math.isnan(v)), default=0))
    if panel.bars:
        _stacked(axes, panel, largest[:MOST_SERIES])
    else:
        _curves(axes, panel, largest[:MOST_SERIES])
    axes.xaxis.set_major_formatter(DateFormatter("%H:%M", tz=timezone.utc))  # type: ignore[no-untyped-call]  # matplotlib says no types here
    axes.yaxis.set_major_formatter(lambda value, _position: amount(value, panel.unit))
    axes.tick_params(labelsize=6)
    axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    axes.grid(visible=True, alpha=0.25, lw=0.5)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=5, loc="upper left", frameon=False, ncols=2 if len(largest) > 4 else 1)  # noqa: PLR2004 as many fit in one column


def _curves(axes: Axes, panel: Panel, series: Sequence[Series]) -> None:
    for legend, points in series:
        times = [datetime.fromtimestamp(at, timezone.utc) for at, _ in points]
        axes.plot(
            times,  # type: ignore[arg-type]  # matplotlib takes datetimes
            [value for _, value in points],
            label=legend[:40] or panel.title,
            lw=1.2,
            marker="." if len(points) == 1 else "",
            color=COLOURS.get(panel.colour(legend) or ""),
        )


def _stacked(axes: Axes, panel: Panel, series: Sequence[Series]) -> None:
    moments = sorted({at for _, points in series for at, _ in points})
    times = [datetime.fromtimestamp(at, timezone.utc) for at in moments]
    width = timedelta(seconds=0.8 * min((b - a for a, b in pairwise(moments)), default=10))
    below = [0.0] * len(moments)
    for legend, points in series:
        known = dict(points)
        heights = [0.0 if math.isnan(value) else value for value in (known.get(at, 0.0) for at in moments)]
        colour = COLOURS.get(panel.colour(legend) or "")
        axes.bar(times, heights, width=width, bottom=below, label=legend[:40] or panel.title, color=colour)  # type: ignore[arg-type]  # matplotlib takes datetimes and times
        below = [low + height for low, height in zip(below, heights, strict=True)]
