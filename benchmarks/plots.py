"""The results as SVG."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib import pyplot as plt

from benchmarks.budgets import BY_KEY
from benchmarks.report import NAMES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from benchmarks.report import Row
    from benchmarks.rounds import Measured

mpl.use("svg")
mpl.rcParams["svg.hashsalt"] = "benchmarks"

_COLOURS = {"stock": "#9aa0a6", "ours": "#1a73e8", "both": "#5f6368", "unsampled": "#8ab4f8"}


def ratios(target: Path, rows: list[Row]) -> None:
    """Draw each ratio as a share of its budget."""
    figure, axes = plt.subplots(figsize=(8, 0.5 * len(rows) + 1.2))
    for place, row in enumerate(reversed(rows)):
        highest, found = BY_KEY[row.key].highest, row.estimate
        colour = "#1a73e8" if found.low <= highest else "#d93025"
        axes.barh(place, found.value / highest, color=colour, height=0.6)
        axes.plot([found.low / highest, found.high / highest], [place, place], color="#202124", linewidth=1.5)
    axes.axvline(1, color="#202124", linewidth=1, linestyle="--")
    axes.set_yticks(range(len(rows)), [row.key for row in reversed(rows)])
    axes.set_xlabel("share of the budget (line: 95 % interval)")
    _save(figure, target)


def overheads(target: Path, measured: Mapping[str, Measured]) -> None:
    """Draw what each variant adds to an operation."""
    figure, axes = plt.subplots(figsize=(8, 0.7 * len(measured) + 1.2))
    names = [*measured][::-1]
    for offset, variant in enumerate(("both", "ours", "stock")):
        values = [1e6 * measured[name].overhead(variant).value for name in names]
        places = [place + 0.25 * (offset - 1) for place in range(len(names))]
        axes.barh(places, values, height=0.24, label=NAMES[variant], color=_COLOURS[variant])
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("CPU microseconds added to one operation")
    axes.legend(loc="lower right")
    _save(figure, target)


def growth(target: Path, curves: Mapping[str, list[tuple[int, float]]]) -> None:
    """Draw the cost of an operation against what grows."""
    figure, axes = plt.subplots(figsize=(8, 3.5))
    for name, curve in curves.items():
        axes.plot([point for point, _ in curve], [1e6 * seconds for _, seconds in curve], marker="o", label=name)
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.set_ylabel("CPU microseconds of one operation")
    axes.legend()
    _save(figure, target)


def _save(figure: Any, target: Path) -> None:  # noqa: ANN401 matplotlib's
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(target, metadata={"Date": None})
    plt.close(figure)
