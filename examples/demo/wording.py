"""How the demonstration puts things, in the terminal and in the report alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator

    from demo.evidence import Summary
    from demo.performance import Outcome, Performance

PROGRAMS = ("server", "client")
MATTER_OF_COURSE = ("oauth_http_requests_total", "storage_operation_total", "provider_api_calls_total")
"""Counters that every request moves: left out where it is told what a scenario moved."""


@dataclass(frozen=True)
class Movement:
    """A series that a scenario moved, in short words; ``new`` if the benign twin does not move it."""

    text: str
    new: bool


@dataclass(frozen=True)
class Family:
    """A benign scenario and the attacks that differ from it in one thing."""

    benign: Outcome
    attacks: tuple[Outcome, ...]


def families(performance: Performance) -> Iterator[Family]:
    """Yield the benign scenarios, each with its attacks."""
    for outcome in performance.outcomes:
        if outcome.scenario.kind == "benign":
            name = outcome.scenario.name
            yield Family(outcome, tuple(other for other in performance.outcomes if other.scenario.twin == name))


def movements(moved: Counter[str], twin: Counter[str] | None = None) -> list[Movement]:
    """Return what was moved, what distinguishes it from ``twin`` first; ``oauth_`` and ``_total`` are left out."""
    found = [
        Movement(_short(series) + (f" x{times}" if times > 1 else ""), twin is not None and series not in twin)
        for series, times in moved.items()
        if not any(word in series for word in MATTER_OF_COURSE)
    ]
    return sorted(found, key=lambda movement: (not movement.new, movement.text))


def _short(series: str) -> str:
    program, _, text = series.partition(" ")
    short = text.removeprefix("oauth_").replace("_total", "", 1)
    return short if program == "server" else f"client:{short}"


def total(summary: Summary, program: str, *, mean: bool = True) -> str:
    """Return a summary's total for one program; of a histogram with its ``mean``."""
    number, duration = f"{summary.totals[program]:,.0f}", summary.mean(program)
    return f"{number} of {milliseconds(duration)}" if mean and duration is not None else number


def milliseconds(value: float) -> str:
    """Return a duration with about three digits."""
    if value >= 1000:  # noqa: PLR2004 a second
        return f"{value / 1000:.1f} s"
    return f"{value:.1f} ms" if value < 100 else f"{value:.0f} ms"  # noqa: PLR2004 three digits


def sentence(performance: Performance, metrics: int, wrong: int) -> str:
    """Return the result in one sentence."""
    attacks = [outcome for outcome in performance.outcomes if outcome.scenario.kind == "attack"]
    result = "everything as expected" if not wrong else f"{wrong} wrong"
    return (
        f"{metrics} of 39 documented metrics exported; {len(performance.outcomes)} scenarios, {len(attacks)} of them "
        f"attacks beside their benign twins: {result}"
    )
