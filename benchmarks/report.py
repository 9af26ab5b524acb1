"""Results as files and as the page; and the comparison with budgets and reference."""

from __future__ import annotations

import json
import os
import platform
import shutil
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.budgets import BY_KEY
from benchmarks.tables import interval, tables

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from benchmarks.results import Results, Row

REFERENCE = Path(__file__).with_name("reference.json")
PAGE = REFERENCE.parents[1] / "docs" / "benchmarks.md"
PLOTS = ("ratios.svg", "overheads.svg", "growth.svg")
_SLACK, _LOOSE = 1.1, 1.1
"""How far a proposal is above the measured interval; and how far above that it is too loose."""
_DISTRIBUTIONS = ("authlib", "flask", "httpx2", "opentelemetry-sdk", "opentelemetry-instrumentation-flask", "requests")


def machine() -> dict[str, Any]:
    """Describe the machine and what runs on it."""
    model = next((line.partition(":")[2].strip() for line in _cpu_lines() if line.startswith("model name")), "")
    return {
        "processor": model or platform.processor(),
        "cores": os.cpu_count(),
        "date": datetime.now(tz=timezone.utc).date().isoformat(),
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


def read_reference() -> dict[str, list[float]]:
    """Return value, lower and upper end of the interval, and pace of the reference by key."""
    return dict(json.loads(REFERENCE.read_text(encoding="utf-8"))) if REFERENCE.exists() else {}


def exceeded(rows: Iterable[Row], reference: Mapping[str, list[float]]) -> dict[str, str]:
    """Return a line for each value that is certainly too high: the lower end of its interval is above what is allowed.

    What is no ratio is allowed as much more as this machine is slower than that of the reference.
    """
    lines = {}
    for row in rows:
        budget = BY_KEY[row.key]
        value, _, _, pace = reference.get(row.key, (0.0, 0.0, 0.0, 0.0))
        slower = max(1.0, row.pace / pace) if pace else 1.0
        if row.estimate.low > slower * budget.allowed:
            why = f"at most {budget.allowed:g} is allowed, the reference is {value:.3g}"
            lines[row.key] = f"{row.key} is {interval(row.estimate)}: {why}"
    return lines


def proposals(rows: Iterable[Row]) -> list[str]:
    """Return a line for each budget whose proposal does not fit what was measured: it is missing, or too loose.

    What is proposed is the upper end of the interval and a tenth, in two digits: what two runs differ by.
    """
    lines = []
    for row in rows:
        budget = BY_KEY[row.key]
        if budget.highest <= 0:
            continue
        fitting = float(f"{_SLACK * row.estimate.high:.2g}")
        if row.estimate.high <= budget.highest and budget.proposed is not None:
            lines.append(f"{row.key} is held: no {budget.proposed:g} is to be proposed")
        elif row.estimate.low > budget.highest and (budget.proposed is None or budget.proposed > _LOOSE * fitting):
            lines.append(f"{row.key}: {fitting:g} is to be proposed instead of {budget.allowed:g}")
    return lines


# Files ----------------------------------------------------------------------------------------------------------------


def write(out: Path, results: Results, described: dict[str, Any]) -> None:
    """Write ``results.json``, ``results.md`` and the plots into ``out``."""
    whole = {"machine": described, **results.as_json()}
    (out / "results.json").write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
    (out / "results.md").write_text(tables(results), encoding="utf-8")
    from benchmarks import plots  # noqa: PLC0415 matplotlib is slow to import, and most of this module needs none

    if results.rows:
        plots.ratios(out / "ratios.svg", list(results.rows.values()))
    if results.measured:
        plots.overheads(out / "overheads.svg", results.measured)
    if results.growth:
        plots.growth(out / "growth.svg", results.growth)


def update_reference(results: Results) -> None:
    """Write these values as the reference."""
    found = {key: [round(each, 4) for each in row.as_list()] for key, row in results.rows.items()}
    kept = {key: value for key, value in {**read_reference(), **found}.items() if key in BY_KEY}
    lines = ",\n".join(f"  {json.dumps(key)}: {json.dumps(kept[key])}" for key in sorted(kept))
    REFERENCE.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")


def update_page(run: str, results: Results, out: Path, described: dict[str, Any]) -> None:
    """Write the results into the documentation, in the place of this ``run``; those of other runs stay as they are."""
    packages = ", ".join(f"{name} {number}" for name, number in described["packages"].items())
    told = (
        f"{described['date']}: {described['processor']}, {described['cores']} cores, load {described['load']}; "
        f"{described['system']}; {described['python']}; {packages}.\n\n{tables(results, level=3)}"
    )
    page = PAGE.read_text(encoding="utf-8")
    begin, end = f"<!-- {run} run -->", f"<!-- end of the {run} run -->"
    before, _, rest = page.partition(begin)
    _, _, after = rest.partition(end)
    PAGE.write_text(f"{before}{begin}\n\n{told}\n{end}{after}", encoding="utf-8")
    for name in filter(lambda each: (out / each).exists() and results.measured, PLOTS):
        shutil.copyfile(out / name, PAGE.parent / "images" / f"bench-{name}")
