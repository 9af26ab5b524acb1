"""Results as JSON, tables and plots; and the comparison with budgets and reference."""

from __future__ import annotations

import json
import os
import platform
import shutil
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.budgets import BY_KEY

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from benchmarks.rounds import Estimate, Measured

REFERENCE = Path(__file__).with_name("reference.json")
PAGE = REFERENCE.parents[1] / "docs" / "benchmarks.md"
PLOTS = ("ratios.svg", "overheads.svg", "growth.svg")
_BEGIN, _END = "<!-- results -->", "<!-- end of the results -->"
_GROWTH = 1.25
"""How much above its reference a ratio may be; the noise of its measurement comes on top."""
_DISTRIBUTIONS = ("authlib", "flask", "httpx2", "opentelemetry-sdk", "opentelemetry-instrumentation-flask", "requests")
NAMES = {"stock": "stock instrumentation", "ours": "ours", "both": "both", "unsampled": "ours, not sampled"}
"""The variants beside the bare one, as they are called in tables and plots."""


@dataclass(frozen=True)
class Row:
    """One ratio that has a budget."""

    key: str
    estimate: Estimate


def machine() -> dict[str, Any]:
    """Describe the machine and what runs on it."""
    model = next((line.partition(":")[2].strip() for line in _cpu_lines() if line.startswith("model name")), "")
    return {
        "processor": model or platform.processor(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "packages": {name: version(name) for name in _DISTRIBUTIONS},
        "garbage collector": "runs before each measurement, not in it",
    }


def _cpu_lines() -> list[str]:
    found = Path("/proc/cpuinfo")
    return found.read_text(encoding="utf-8").splitlines() if found.exists() else []


# The comparison -------------------------------------------------------------------------------------------------------


def read_reference() -> dict[str, float]:
    """Return the ratios of the reference by key."""
    return dict(json.loads(REFERENCE.read_text(encoding="utf-8"))) if REFERENCE.exists() else {}


def update_reference(rows: Iterable[Row], out: Path, described: dict[str, Any]) -> None:
    """Write these ratios as the reference, and the results in ``out`` into the documentation."""
    kept = {**read_reference(), **{row.key: round(row.estimate.value, 4) for row in rows}}
    REFERENCE.write_text(json.dumps(kept, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    packages = ", ".join(f"{name} {number}" for name, number in described["packages"].items())
    machine_line = (
        f"{described['processor']}, {described['cores']} cores, load {described['load']}; {described['system']}; "
        f"{described['python']}; {packages}.\n\n"
    )
    results = (out / "results.md").read_text(encoding="utf-8").replace("\n## ", "\n### ").replace("## ", "### ", 1)
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    PAGE.write_text(f"{before}{_BEGIN}\n\n{machine_line}{results}\n{_END}{after}", encoding="utf-8")
    for name in filter(lambda each: (out / each).exists(), PLOTS):
        shutil.copyfile(out / name, PAGE.parent / "images" / f"bench-{name}")


def exceeded(rows: Iterable[Row], reference: Mapping[str, float]) -> list[str]:
    """Return a line for each ratio that is certainly too high: the lower end of its interval is.

    What is too high is a value above the budget; where the reference itself is above it, one above the reference by
    more than a quarter.
    """
    lines = []
    for row in rows:
        budget = BY_KEY[row.key].highest
        before = reference.get(row.key, 0.0)
        allowed = budget if before <= budget else before * _GROWTH
        if row.estimate.low > allowed:
            why = f"the budget is {budget:g}, the reference {before:.3g}"
            lines.append(f"{row.key} is {_interval(row.estimate)}: {why}")
    return lines


# Tables ---------------------------------------------------------------------------------------------------------------


def _interval(estimate: Estimate) -> str:
    return f"{estimate.value:.3g} ({estimate.low:.3g} to {estimate.high:.3g})"


def _verdict(row: Row) -> str:
    highest = BY_KEY[row.key].highest
    if row.estimate.high <= highest:
        return "held"
    return "missed" if row.estimate.low > highest else "within the noise"


def _table(header: list[str], lines: Iterable[list[str]]) -> str:
    rows = [header, ["---"] * len(header), *lines]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows) + "\n"


def tables(
    rows: Iterable[Row],
    measured: Mapping[str, Measured],
    steps: Mapping[str, Estimate],
    instructions: Mapping[str, Mapping[str, float]],
) -> str:
    """Return the results as Markdown."""
    ratios = [
        [BY_KEY[row.key].title, f"{BY_KEY[row.key].highest:g}", _interval(row.estimate), _verdict(row)] for row in rows
    ]
    parts = ["## Budgets\n", _table(["what", "budget", "measured (95 %)", ""], ratios)]
    micros = [
        [name, f"{1e6 * found.median('bare').value:.0f}"]
        + [f"{1e6 * found.overhead(each).value:+.0f}" if each in found.seconds else "" for each in NAMES]
        for name, found in measured.items()
    ]
    parts += ["\n## CPU microseconds of one operation\n", _table(["", "bare", *NAMES.values()], micros)]
    if instructions:
        counts = [
            [name, f"{found['bare']:,.0f}"]
            + [f"{found[each] - found['bare']:+,.0f}" for each in ("stock", "ours")]
            + [f"{(found['ours'] - found['bare']) / (found['stock'] - found['bare']):.2f}"]
            for name, found in instructions.items()
        ]
        parts += ["\n## Instructions of one operation\n", _table(["", "bare", "stock", "ours", "ratio"], counts)]
    each = [[name, f"{1e6 * found.value:.2f}"] for name, found in steps.items()]
    parts += ["\n## Microseconds of single steps\n", _table(["step", "median"], each)]
    return "\n".join(parts)


def _grown(growth: Mapping[str, list[tuple[int, float]]], memory: Mapping[str, float]) -> str:
    if not growth:
        return ""
    curves = [
        [name, ", ".join(f"{point:,}: {1e6 * seconds:.0f}" for point, seconds in curve)]
        for name, curve in growth.items()
    ]
    parts = ["\n## CPU microseconds of one operation, with ever more\n", _table(["of what", "number: time"], curves)]
    left = [[name, f"{value:,.1f}"] for name, value in memory.items()]
    return "\n".join([*parts, "\n## What strangers leave in memory\n", _table(["", ""], left)])


# Files ----------------------------------------------------------------------------------------------------------------


def write(  # noqa: PLR0913 all that was measured
    out: Path,
    rows: list[Row],
    described: dict[str, Any],
    *,
    measured: Mapping[str, Measured],
    steps: Mapping[str, Estimate],
    attach: Measured,
    instructions: Mapping[str, Mapping[str, float]],
    growth: Mapping[str, list[tuple[int, float]]],
    memory: Mapping[str, float],
) -> None:
    """Write ``results.json``, ``results.md`` and the plots into ``out``."""
    whole = {
        "machine": described,
        "ratios": {row.key: row.estimate.as_list() for row in rows},
        "seconds": {name: found.seconds for name, found in measured.items()},
        "attach": attach.seconds,
        "steps": {name: found.as_list() for name, found in steps.items()},
        "instructions": instructions,
        "growth": growth,
        "memory": memory,
    }
    (out / "results.json").write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
    (out / "results.md").write_text(
        tables(rows, measured, steps, instructions) + _grown(growth, memory), encoding="utf-8"
    )
    from benchmarks import plots  # noqa: PLC0415 matplotlib is slow to import, and most of this module needs none

    plots.ratios(out / "ratios.svg", rows)
    plots.overheads(out / "overheads.svg", measured)
    if growth:
        plots.growth(out / "growth.svg", growth)
