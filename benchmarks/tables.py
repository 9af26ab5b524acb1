"""The results as Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from benchmarks.budgets import BY_KEY
from benchmarks.load import RATES, THREADS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from benchmarks.results import Results, Row
    from benchmarks.rounds import Estimate

NAMES = {"stock": "stock instrumentation", "ours": "ours", "both": "both", "unsampled": "ours, not sampled"}
"""The variants beside the bare one, as they are called in tables and plots."""


def interval(estimate: Estimate) -> str:
    """Return a value with its interval."""
    return f"{estimate.value:.3g} ({estimate.low:.3g} to {estimate.high:.3g})"


def verdict(row: Row) -> str:
    """Tell whether the budget is held: for certain, for certain not, or nobody knows."""
    budget = BY_KEY[row.key]
    if row.estimate.high <= budget.highest:
        return "held"
    found = "missed" if row.estimate.low > budget.highest else "within the noise"
    if budget.proposed is None:
        return found
    return f"{found}; {budget.proposed:g} is proposed"


def _table(header: list[str], lines: Iterable[list[str]]) -> str:
    rows = [header, ["---"] * len(header), *lines]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows) + "\n"


def tables(results: Results) -> str:
    """Return the results as Markdown."""
    parts: list[str] = []
    for title, text in _sections(results):
        parts += [f"## {title}\n", text]
    return "\n".join(parts)


def _sections(results: Results) -> Iterator[tuple[str, str]]:
    yield "Budgets", _budgets(results)
    if results.measured:
        yield "CPU microseconds of one operation", _operations(results)
    if results.instructions:
        yield "Instructions of one operation", _instructions(results)
    if results.alone:
        yield "Microseconds of single steps", _steps(results)
    if "collection" in results.steps:
        found = results.steps["collection"]
        lines = [[name, f"{1e3 * found.median(name).value:.1f}"] for name in found.seconds]
        yield "Milliseconds of a collection", _table(["", "median"], lines)
    if results.load:
        yield f"Under load: {THREADS} clients at once", _load(results)
    if results.paced:
        yield "Per cent of a core at a steady pace, beyond the bare server", _paced(results)
    if results.growth:
        lines = [
            [name, ", ".join(f"{point:,}: {1e6 * seconds:.0f}" for point, seconds in curve)]
            for name, curve in results.growth.items()
        ]
        yield "CPU microseconds of one operation, with ever more", _table(["of what", "number: time"], lines)
    if results.memory:
        yield "What flows with random ids leave", _memory(results)
    if results.left_out:
        yield "Left out", "".join(f"- {each}\n" for each in results.left_out)


def _budgets(results: Results) -> str:
    rows = sorted(results.rows.values(), key=lambda row: list(BY_KEY).index(row.key))
    lines = [
        [BY_KEY[row.key].title, f"{BY_KEY[row.key].highest:g}", interval(row.estimate), verdict(row), row.beside]
        for row in rows
    ]
    reasons = [f"- {BY_KEY[row.key].title}: {BY_KEY[row.key].reason}\n" for row in rows if BY_KEY[row.key].reason]
    table = _table(["what", "budget", "measured (95 %)", "", "beside"], lines)
    return table + ("\nWhat is proposed, and why:\n\n" + "".join(reasons) if reasons else "")


def _operations(results: Results) -> str:
    lines = [
        [name, f"{1e6 * found.median('bare').value:.0f}"]
        + [f"{1e6 * found.overhead(each).value:+.0f}" if each in found.seconds else "" for each in NAMES]
        for name, found in results.measured.items()
    ]
    return _table(["", "bare", *NAMES.values()], lines)


def _instructions(results: Results) -> str:
    lines = [
        [name, f"{found['bare']:,.0f}"]
        + [f"{found[each] - found['bare']:+,.0f}" for each in ("stock", "ours")]
        + [f"{(found['ours'] - found['bare']) / (found['stock'] - found['bare']):.2f}"]
        for name, found in results.instructions.items()
    ]
    return _table(["", "bare", "stock", "ours", "ratio"], lines)


def _steps(results: Results) -> str:
    empty = results.alone["empty call"][0]
    lines = [[name, f"{1e6 * found[0]:.2f}", f"{found[0] / empty:,.0f}"] for name, found in results.alone.items()]
    return _table(["step", "median", "empty calls"], lines)


def _load(results: Results) -> str:
    found = results.load.found if results.load else {}
    names = list(next(iter(found.values()), {}))
    lines = [
        [variant, *[f"{np.median(rounds[name]):.0f}" for name in names]]
        for variant, rounds in sorted(found.items(), key=lambda each: ["bare", *NAMES].index(each[0]))
    ]
    return _table(["", *names], lines)


def _paced(results: Results) -> str:
    if results.paced is None:
        return ""
    shares = {variant: [results.paced.share(rate, variant) for rate in RATES] for variant in ("stock", "ours")}
    lines = [[NAMES[variant], *map(interval, found)] for variant, found in shares.items()]
    return _table(["", *[f"{rate} a second" for rate in RATES]], lines)


def _memory(results: Results) -> str:
    names = list(next(iter(results.memory.values())))
    lines = [[name, *[f"{found[name]:,.1f}" for found in results.memory.values()]] for name in names]
    return _table(["", *[f"ledger: {place}" for place in results.memory]], lines)
