"""The harness: it measures what it says, refuses rounds in which something was not recorded, and knows too high."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks import report
from benchmarks.budgets import BUDGETS, BY_KEY
from benchmarks.growth import POINTS
from benchmarks.report import Row, exceeded
from benchmarks.rounds import Estimate, Measured, measure
from benchmarks.signals import Signals
from benchmarks.variants import Run, variants
from benchmarks.workloads import WORKLOADS, ClientCredentials

if TYPE_CHECKING:
    from pathlib import Path

FAST = ("httpx_refresh",)


@pytest.mark.parametrize(
    "name", [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in WORKLOADS]
)
def test_each_workload_runs_under_each_variant_and_records_what_it_says(name: str) -> None:
    measured = measure(variants(WORKLOADS[name], unsampled=True), rounds=1, operations=3)
    assert set(measured.seconds) == {"bare", "stock", "ours", "both", "unsampled"}
    assert all(seconds > 0 for (seconds,) in measured.seconds.values())


def test_a_round_that_records_too_little_is_refused() -> None:
    class Forgetful(ClientCredentials):
        def run(self, operations: int) -> None:
            super().run(operations - 1)

    run = Run(Forgetful, ours=Signals())
    run.prepare(4)
    run.run(4)
    with pytest.raises(AssertionError, match=r"spans: 4.0 were expected in a measured round, 3.0 were recorded"):
        run.check(4)


def measured(bare: list[float], stock: list[float], ours: list[float]) -> Measured:
    return Measured(1, {"bare": bare, "stock": stock, "ours": ours})


def test_a_ratio_is_of_what_is_added_and_noise_that_meets_all_cancels_out() -> None:
    noise = [1.0, 5.0, 2.0, 9.0, 3.0, 1.0, 7.0]
    found = measured(noise, [each + 2.0 for each in noise], [each + 1.0 for each in noise])
    assert found.ratio("ours", "stock").as_list() == pytest.approx([0.5, 0.5, 0.5])
    assert found.overhead("ours").as_list() == pytest.approx([1.0, 1.0, 1.0])
    assert found.share("ours").value == pytest.approx(1 / 3)
    assert found.median("bare").low < found.median("bare").value < found.median("bare").high


@pytest.mark.parametrize(
    ("estimate", "reference", "said"),
    [
        (Estimate(0.4, 0.3, 0.5), None, False),
        (Estimate(0.6, 0.45, 0.9), None, False),
        (Estimate(0.6, 0.55, 0.7), None, True),
        (Estimate(0.6, 0.55, 0.7), 0.45, True),
        (Estimate(0.9, 0.85, 1.0), 0.8, False),
        (Estimate(1.2, 1.1, 1.3), 0.8, True),
    ],
)
def test_too_high_is_what_leaves_budget_and_reference_by_more_than_the_noise(
    estimate: Estimate, reference: float | None, said: Any
) -> None:
    known = {} if reference is None else {"server_code": reference}
    lines = exceeded([Row("server_code", estimate)], known)
    assert bool(lines) is said
    assert all("server_code is" in line and "the budget is 0.5" in line for line in lines)


def test_every_budget_has_a_reference_and_every_workload_a_budget_or_none_on_purpose() -> None:
    assert set(report.read_reference()) == set(BY_KEY)
    assert set(WORKLOADS) - set(BY_KEY) == {"server_plain"}
    assert len(BUDGETS) == len(BY_KEY)


@pytest.mark.slow
def test_results_become_tables_plots_and_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = measured([1e-4] * 5, [5e-4] * 5, [2e-4] * 5)
    found.seconds["both"] = [4e-4] * 5
    rows = [Row("server_code", found.ratio("ours", "stock")), Row("counter", Estimate(0.2, 0.19, 0.21))]
    counts = {"server_code": {"bare": 1000.0, "stock": 3000.0, "ours": 1500.0}}
    described = report.machine()
    report.write(
        tmp_path,
        rows,
        described,
        measured={"server_code": found},
        steps={"counter ours": Estimate(5e-7, 4e-7, 6e-7)},
        attach=found,
        instructions=counts,
        growth={name: [(1, 1e-4), (10, 1e-4)] for name in POINTS},
        memory={"requests": 1000.0, "series": 0.0, "megabytes": 3.0},
    )
    text = (tmp_path / "results.md").read_text(encoding="utf-8")
    assert "| 0.5 | 0.25 (0.25 to 0.25) | held |" in text
    assert "| 0.15 | 0.2 (0.19 to 0.21) | missed |" in text
    assert "| server_code | 100 | +400 | +100 | +300 |  |" in text
    assert "| server_code | 1,000 | +2,000 | +500 | 0.25 |" in text
    assert json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))["machine"]["cores"]
    assert all((tmp_path / name).read_text(encoding="utf-8").startswith("<?xml") for name in report.PLOTS)
    page = tmp_path / "docs" / "benchmarks.md"
    (page.parent / "images").mkdir(parents=True)
    page.write_text(report.PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.setattr(report, "PAGE", page)
    monkeypatch.setattr(report, "REFERENCE", tmp_path / "reference.json")
    for _ in range(2):
        report.update_reference(rows, tmp_path, described)
    written = page.read_text(encoding="utf-8")
    assert written.count("### Budgets") == 1
    assert re.search(r"cores, load [\d.]+; Linux", written)
    assert json.loads(report.REFERENCE.read_text(encoding="utf-8")) == {"counter": 0.2, "server_code": 0.25}
