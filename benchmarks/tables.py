"""The results as Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from benchmarks.budgets import BY_KEY
from benchmarks.load import RATES, THREADS
from benchmarks.shares import SDK

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from benchmarks.results import Results, Row
    from benchmarks.rounds import Estimate

NAMES = {
    "stock": "stock instrumentation",
    "floor": "the floor",
    "ours": "ours",
    "both": "both",
    "unsampled floor": "the floor, not sampled",
    "unsampled": "ours, not sampled",
    "again": "bare again",
}
"""The variants beside the bare one, as they are called in tables and plots."""

_COUNTED = tuple(name for name in NAMES if name not in ("both", "again"))
_WITHOUT_SIGNALS = "httpx_plain"
_MANY = 10


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


def tables(results: Results, level: int = 2) -> str:
    """Return the results as Markdown, with headings of a level."""
    parts: list[str] = []
    for title, text in _sections(results):
        parts += [f"{'#' * level} {title}\n", text]
    return "\n".join(parts)


def _sections(results: Results) -> Iterator[tuple[str, str]]:
    for title, found, text in (
        ("Budgets", results.rows, _budgets),
        ("CPU microseconds of one operation", results.measured, _operations),
        ("What ours adds, divided by a profile, in per cent", results.shares, _shares),
        ("Instructions of one operation, in thousands", results.instructions, _instructions),
        ("Misses of one operation, added by stock / floor / ours", results.instructions, _misses),
        ("Microseconds of single steps", results.alone, _steps),
        ("Milliseconds of a collection", "collection" in results.steps, _collection),
        (f"Under load: {THREADS} clients at once", results.load, _load),
        ("Per cent of a core at a steady pace, beyond the bare server", results.paced, _paced),
        ("CPU microseconds of one operation, with ever more", results.growth, _growth),
        ("What flows with random ids leave", results.memory, _memory),
        ("Left out", results.left_out, _left_out),
    ):
        if found:
            yield title, text(results)


def _budgets(results: Results) -> str:
    rows = sorted(results.rows.values(), key=lambda row: list(BY_KEY).index(row.key))
    lines = [
        [
            BY_KEY[row.key].title,
            f"{BY_KEY[row.key].highest:g}",
            interval(row.estimate),
            *(("", "") if row.floor is None else (f"{row.floor.value:.3g}", _times(row.estimate, row.floor))),
            verdict(row),
            row.beside,
        ]
        for row in rows
    ]
    table = _table(["what", "budget", "measured (95 %)", "floor", "of the floor", "", "beside"], lines)
    return table + _reasons(rows, results)


def _times(value: Estimate, floor: Estimate) -> str:
    return f"{value.value / floor.value:.2f}"


def _reasons(rows: Iterable[Row], results: Results) -> str:
    """Tell why budgets are proposed, with what this run says about it: the floor, and the SDK's part in the profile."""
    reasons: dict[str, list[str]] = {}
    for row in rows:
        budget, told = BY_KEY[row.key], []
        if row.floor is not None:
            told.append(f"the floor is {row.floor.value:.2g}")
        shares = results.shares.get(row.workload)
        if shares and row.floor is not None:
            told.append(f"{100 * sum(shares[group] for group in SDK):.0f} % of what ours adds are calls of the SDK")
        if budget.reason:
            reasons.setdefault(budget.reason, []).append(f"{budget.title}{': ' if told else ''}{', '.join(told)}")
    lines = [f"- {reason}\n" + "".join(f"  - {each}\n" for each in told) for reason, told in reasons.items()]
    return "\nWhy another budget is proposed:\n\n" + "".join(lines) if lines else ""


def _operations(results: Results) -> str:
    lines = []
    for name, found in results.measured.items():
        added = {each: found.overhead(each).value for each in found.seconds if each != "bare"}
        lines.append(
            [name, f"{1e6 * found.median('bare').value:.0f}"]
            + [_added(1e6 * added[each]) if each in added else "" for each in NAMES]
        )
    return _table(["", "bare", *NAMES.values()], lines)


def _added(micro: float) -> str:
    return f"{micro:+,.0f}" if abs(micro) >= _MANY else f"{micro:+.2g}"


def _shares(results: Results) -> str:
    groups = list(next(iter(results.shares.values())))
    lines = [[name, *[f"{100 * found[group]:.0f}" for group in groups]] for name, found in results.shares.items()]
    return _table(["", *groups], lines)


def _instructions(results: Results) -> str:
    lines = []
    for name, counted in results.instructions.items():
        found = {variant: each.instructions for variant, each in counted.items()}
        added = {each: found[each] - found["bare"] for each in found if each != "bare"}
        of_floor = f"{added['ours'] / added['floor']:.2f}" if name != _WITHOUT_SIGNALS else ""
        lines.append(
            [name, f"{found['bare'] / 1e3:,.0f}"]
            + [f"{added[each] / 1e3:+,.1f}" if each in added else "" for each in _COUNTED]
            + [f"{100 * added['ours'] / found['bare']:.2g} %", f"{added['ours'] / added['stock']:.3g}", of_floor]
        )
    header = ["", "bare", *[NAMES[each] for each in _COUNTED], "ours of bare", "ours of stock", "ours of the floor"]
    return _table(header, lines)


def _misses(results: Results) -> str:
    lines = []
    for name, found in results.instructions.items():
        bare, added = found["bare"], [found[variant] for variant in ("stock", "floor", "ours")]
        lines.append(
            [name] + [" / ".join(f"{each[kind] - bare[kind]:,.0f}" for each in added) for kind in range(1, len(bare))]
        )
    return _table(["", "L1, instructions", "L1, data", "L2", "branches mispredicted"], lines)


def _steps(results: Results) -> str:
    empty = results.alone["empty call"][0]
    lines = [[name, f"{1e6 * found[0]:.2f}", f"{found[0] / empty:,.0f}"] for name, found in results.alone.items()]
    return _table(["step", "median", "empty calls"], lines)


def _collection(results: Results) -> str:
    found = results.steps["collection"]
    return _table(["", "median"], [[name, f"{1e3 * found.median(name).value:.1f}"] for name in found.seconds])


def _growth(results: Results) -> str:
    lines = [
        [name, ", ".join(f"{point:,}: {1e6 * seconds:.0f}" for point, seconds in curve)]
        for name, curve in results.growth.items()
    ]
    return _table(["of what", "number: time"], lines)


def _left_out(results: Results) -> str:
    return "".join(f"- {each}\n" for each in results.left_out)


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
    shares = {variant: [results.paced.share(rate, variant) for rate in RATES] for variant in ("stock", "floor", "ours")}
    lines = [[NAMES[variant], *map(interval, found)] for variant, found in shares.items()]
    return _table(["", *[f"{rate} a second" for rate in RATES]], lines)


def _memory(results: Results) -> str:
    names = list(next(iter(results.memory.values())))
    lines = [[name, *[f"{found[name]:,.1f}" for found in results.memory.values()]] for name in names]
    return _table(["", *[f"ledger: {place}" for place in results.memory]], lines)
