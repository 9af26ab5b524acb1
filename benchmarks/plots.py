"""The results as SVG."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib import pyplot as plt

from benchmarks.budgets import BY_KEY
from benchmarks.tables import NAMES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from benchmarks.results import Row
    from benchmarks.rounds import Measured

mpl.use("svg")
mpl.rcParams["svg.hashsalt"] = "benchmarks"

_LEAST = 0.03
"""The left end of the scale of ratios."""
_COLOURS = {"stock": "#9aa0a6", "floor": "#34a853", "ours": "#1a73e8", "both": "#5f6368", "unsampled": "#8ab4f8"}


def ratios(target: Path, rows: list[Row]) -> None:
    """Draw each value as a share of its budget, on a scale of powers: some are a hundredth of others."""
    shown = sorted((row for row in rows if BY_KEY[row.key].highest), key=lambda row: list(BY_KEY).index(row.key))
    figure, axes = plt.subplots(figsize=(9, 0.36 * len(shown) + 1.3))
    for place, row in enumerate(reversed(shown)):
        budget, found = BY_KEY[row.key], row.estimate
        value, low, high = (max(each / budget.highest, _LEAST) for each in (found.value, found.low, found.high))
        axes.barh(place, value - _LEAST, left=_LEAST, color=_verdict_colour(row), height=0.62)
        axes.plot([low, high], [place, place], color="#202124", linewidth=1.5)
        if budget.proposed is not None:
            axes.plot([budget.proposed / budget.highest], [place], marker="|", markersize=14, color="#202124")
        beside = max(value, high, (budget.proposed or 0.0) / budget.highest) * 1.1
        told = f"{found.value:.2g} of {budget.highest:g}"
        axes.text(
            beside, place, told, va="center", fontsize=8, bbox={"facecolor": "white", "edgecolor": "none", "pad": 1}
        )
    axes.axvline(1, color="#202124", linewidth=1, linestyle="--", zorder=0)
    axes.set_xscale("log")
    axes.set_xlim(_LEAST, max(8.0, 3 * max(row.estimate.high / BY_KEY[row.key].highest for row in shown)))
    axes.set_yticks(range(len(shown)), [BY_KEY[row.key].title.replace("`", "") for row in reversed(shown)], fontsize=8)
    ticks = [0.05, 0.1, 0.2, 0.5, 1, 2, 5]
    axes.set_xticks(ticks, [f"{each:g}" for each in ticks])
    axes.minorticks_off()
    explained = "blue: held, grey: within the noise, red: missed\nline: 95 % interval; |: the budget that is proposed"
    axes.set_xlabel(f"share of the budget\n{explained}", fontsize=8)
    _save(figure, target)


def _verdict_colour(row: Row) -> str:
    highest = BY_KEY[row.key].highest
    if row.estimate.high <= highest:
        return "#1a73e8"
    return "#d93025" if row.estimate.low > highest else "#9aa0a6"


def overheads(target: Path, measured: Mapping[str, Measured]) -> None:
    """Draw what each variant adds to an operation."""
    figure, axes = plt.subplots(figsize=(8, 0.7 * len(measured) + 1.2))
    names = [*measured][::-1]
    shown = [each for each in ("both", "ours", "floor", "stock") if each in next(iter(measured.values())).seconds]
    for offset, variant in enumerate(shown):
        values = [1e6 * measured[name].overhead(variant).value for name in names]
        places = [place + 0.2 * (offset - (len(shown) - 1) / 2) for place in range(len(names))]
        axes.barh(places, values, height=0.19, label=NAMES[variant], color=_COLOURS[variant])
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("CPU microseconds added to one operation")
    axes.legend(loc="lower right")
    _save(figure, target)


def growth(target: Path, curves: Mapping[str, list[tuple[int, float]]]) -> None:
    """Draw the cost of an operation against what grows; a broken line is of spans that are not sampled."""
    figure, axes = plt.subplots(figsize=(8, 3.5))
    colours = {
        name: f"C{number}" for number, name in enumerate(dict.fromkeys(each.partition(",")[0] for each in curves))
    }
    for name, curve in curves.items():
        points, micros = [point for point, _ in curve], [1e6 * seconds for _, seconds in curve]
        style = "--" if name.endswith("not sampled") else "-"
        axes.plot(points, micros, marker="o", label=name, color=colours[name.partition(",")[0]], linestyle=style)
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.set_ylabel("CPU microseconds of one operation")
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    _save(figure, target)


def _save(figure: Any, target: Path) -> None:  # noqa: ANN401 matplotlib's
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(target, metadata={"Date": None})
    plt.close(figure)
