"""Whole runs of the harness, short ones: every budget is measured, and becomes tables, plots and the page."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks import instructions, load, parts, report
from benchmarks.budgets import BY_KEY
from benchmarks.growth import POINTS
from benchmarks.load import RATES, Load, Paced, measure_load, measure_paced
from benchmarks.memory import measure_memory
from benchmarks.results import Results, Row
from benchmarks.rounds import Estimate, Measured
from benchmarks.shares import SDK
from benchmarks.tables import tables
from benchmarks.workers import shares
from otel_oauth.testing import OtlpReceiver

PACED_TIMES = {"bare": 1e-3, "stock": 2e-3, "floor": 1.2e-3, "ours": 1.5e-3}
ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def measured() -> Measured:
    times = {"bare": 1e-4, "stock": 5e-4, "floor": 1.5e-4, "ours": 2e-4, "both": 4e-4}
    found = Measured(1, {name: [seconds] * 5 for name, seconds in times.items()})
    assert found.ratio("ours", "stock").value == pytest.approx(0.25)
    return found


@pytest.fixture(autouse=True)
def nothing_proposed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have budgets that nothing is proposed for."""
    for key, budget in BY_KEY.items():
        monkeypatch.setitem(BY_KEY, key, replace(budget, proposed=None, reason=""))


def everything() -> Results:
    results = Results(
        measured={"server_code": measured()},
        steps={"collection": measured()},
        alone={"empty call": [5e-8, 4e-8, 6e-8], "counter ours": [5e-7, 4e-7, 6e-7]},
        attach=measured(),
        load=Load({name: {"answers a second": [100.0, 120.0], "p50 ms": [5.0, 7.0]} for name in ("ours", "bare")}),
        paced=Paced(
            {
                rate: {"bare": [1e-3] * 3, "stock": [2e-3] * 3, "floor": [1.2e-3] * 3, "ours": [1.5e-3] * 3}
                for rate in RATES
            }
        ),
        memory={"host": {"megabytes": 3.0}, "memory": {"megabytes": 7.0}},
        growth={f"{name}, spans sampled": [(1, 1e-4), (10, 1e-4)] for name in POINTS},
        instructions={
            "server_code": {
                "bare": instructions.Counted(1e6, 9e3, 8e3, 1e3, 7e3),
                "stock": instructions.Counted(3e6, 19e3, 18e3, 4e3, 17e3),
                "floor": instructions.Counted(1.25e6, 11e3, 9e3, 1500, 8e3),
                "ours": instructions.Counted(1.5e6, 14e3, 12e3, 3e3, 9e3),
            }
        },
        shares={"server_code": {**dict.fromkeys(SDK, 0.0), "SDK: span": 0.25, "operation": 0.75}},
        left_out=["the ledger in Redis: redis-server is not installed"],
    )
    floor = measured().ratio("floor", "stock")
    results.add(
        Row("server_code", measured().ratio("ours", "stock"), "bare 100 us", floor=floor, workload="server_code")
    )
    results.add(Row("counter", Estimate(0.2, 0.19, 0.21)))
    results.add(Row("series", Estimate(0, 0, 0)))
    results.add(Row("attach", Estimate(0.05, 0.04, 0.06), pace=1.2))
    return results


def test_results_become_tables_plots_and_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    described = report.machine()
    report.write(tmp_path, everything(), described)
    text = (tmp_path / "results.md").read_text(encoding="utf-8")
    for line in (
        "| 0.5 | 0.25 (0.25 to 0.25) | 0.125 | 2.00 | held | bare 100 us |",
        "| 0.15 | 0.2 (0.19 to 0.21) |  |  | missed |  |",
        "| 0 | 0 (0 to 0) |  |  | held |  |",
        "| server_code | 100 | +400 | +50 | +100 | +300 |",
        "| server_code | 1,000 | +2,000.0 | +250.0 | +500.0 |  |  | 50 % | 0.25 | 2.00 |",
        "| server_code | 10,000 / 2,000 / 5,000 | 10,000 / 1,000 / 4,000 | 3,000 / 500 / 2,000 | 10,000 /",
        "| server_code | 25 | 0 | 0 | 0 | 75 |",
        "| counter ours | 0.50 | 10 |",
        "| ours | 110 | 6 |",
        "| ours | 5 (5 to 5) | 2.5 (2.5 to 2.5) |",
        "| megabytes | 3.0 | 7.0 |",
        "- the ledger in Redis: redis-server is not installed",
    ):
        assert line in text
    assert json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))["machine"]["cores"]
    assert all((tmp_path / name).read_text(encoding="utf-8").startswith("<?xml") for name in report.PLOTS)
    page = tmp_path / "docs" / "benchmarks.md"
    (page.parent / "images").mkdir(parents=True)
    page.write_text(report.PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.setattr(report, "PAGE", page)
    monkeypatch.setattr(report, "REFERENCE", tmp_path / "reference.json")
    for run in ("whole", "full", "whole"):
        report.update_page(run, everything(), tmp_path, described)
    report.update_reference(everything())
    written = page.read_text(encoding="utf-8")
    whole, full = (
        written.partition(f"<!-- {run} run -->")[2].partition(f"<!-- end of the {run} run -->")[0]
        for run in ("whole", "full")
    )
    assert whole.count("### Budgets") == full.count("### Budgets") == written.count("### Budgets") / 2 == 1
    assert re.search(r"\d{4}-\d\d-\d\d: .*cores, load [\d.]+; Linux", whole)
    assert report.read_reference() == {
        "counter": [0.2, 0.19, 0.21, 0],
        "server_code": [0.25, 0.25, 0.25, 0],
        "series": [0, 0, 0, 0],
        "attach": [0.05, 0.04, 0.06, 1.2],
    }


def test_a_proposal_is_told_with_its_floor_and_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    proposed = replace(BY_KEY["server_code"], proposed=0.8, reason="Span and record are needed.")
    monkeypatch.setitem(BY_KEY, "server_code", proposed)
    assert (
        "- Span and record are needed.\n"
        f"  - {proposed.title}: the floor is 0.12, 25 % of what ours adds are calls of the SDK\n"
    ) in tables(everything())


def keys_of(run: list[parts.Part]) -> list[str]:
    return sorted(key for part in run for key in part.keys)


def test_the_whole_run_measures_every_budget_and_the_short_one_those_that_take_no_long_time(tmp_path: Path) -> None:
    assert keys_of(parts.whole(tmp_path)) == sorted(BY_KEY.keys() - {"memory_full"})
    left = {"async_refresh", "cpu_100", "cpu_50", "memory", "memory_process", "memory_full", "series"}
    assert keys_of(parts.quick()) == sorted(BY_KEY.keys() - left)


def test_the_full_run_measures_the_memory_of_a_full_ledger() -> None:
    assert keys_of(parts.full()) == ["memory", "memory_full", "series"]


def test_a_server_under_load_is_measured_and_exports_every_request() -> None:
    found = measure_load(rounds=1, seconds=0.5).found
    assert set(found) == {"bare", "stock", "ours", "both"}
    for told in found.values():
        assert told["answers a second"][0] > 0
        assert 0 < told["p50 ms"][0] <= told["p95 ms"][0] <= told["p99 ms"][0]


def test_a_server_at_a_steady_pace_is_measured() -> None:
    found = measure_paced(windows=1, seconds=1.0)
    assert set(found.found) == set(RATES)
    for windows in found.found.values():
        assert all(seconds > 0 for (seconds,) in windows.values())


def test_a_server_that_exports_too_little_is_refused() -> None:
    with load.services("ours") as ((service,), receiver):
        service.end(service.begin(threads=2, seconds=0.2), 2)
        service.asked += 1
        with pytest.raises(
            AssertionError, match=rf"asked {service.asked} times, exported {service.asked - 1} requests"
        ):
            load.check(service, receiver)


def test_asking_a_server_that_is_gone_is_refused() -> None:
    with load.services("bare") as ((service,), receiver):
        assert isinstance(receiver, OtlpReceiver)
        service.stop()
        with pytest.raises(RuntimeError, match="asking bare failed"):
            service.end(service.begin(threads=1, seconds=0.1), 1)


@pytest.mark.parametrize("ledger", ["memory", "host"])
def test_flows_with_random_ids_leave_no_series(ledger: str) -> None:
    found = measure_memory(400, ledger, records=2000)
    assert found["series"] == 0
    assert found["flows"] == 400
    assert found["bytes of a pending code"] > 50 if ledger == "memory" else found["bytes of a pending code"] < 500


def test_pyperf_measures_the_steps_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "benchmarks.micro._EFFORT", ("--processes", "1", "--values", "1", "--warmups", "1", "--loops", "2")
    )
    monkeypatch.setenv("BENCH_STEPS", json.dumps([["instruments.empty", "empty call"], ["records.event", "event sdk"]]))
    from benchmarks.micro import measure_steps  # noqa: PLC0415 it takes its effort when it is called

    found: dict[str, Any] = measure_steps(tmp_path)
    assert list(found) == ["empty call", "event sdk"]
    assert all(median > 0 for median, _, _ in found.values())


@pytest.mark.parametrize("arguments", [["--quick", "--update-reference"], ["--quick", "--full"]])
def test_runs_that_are_no_reference_or_do_not_go_together_are_refused(arguments: list[str]) -> None:
    ended = subprocess.run([sys.executable, "-m", "benchmarks", *arguments], cwd=ROOT, capture_output=True, check=False)
    assert ended.returncode == 2


def test_the_profile_divides_what_ours_adds() -> None:
    found = shares("httpx_refresh")
    assert sum(found.values()) == pytest.approx(1)
    assert all(found[group] > 0 for group in ("SDK: span", "SDK: log record", "hooks, plugin", "operation", "events"))


@pytest.mark.skipif(not instructions.available(), reason="valgrind is not installed")
def test_instructions_are_counted() -> None:
    found = instructions.count("httpx_plain", "floor")
    assert found.instructions > 1e5
    assert found.instructions > found.l1_instruction > found.l2 > 0
    assert found.l1_data > 0
    assert found.branches > 0


def test_the_second_level_cache_is_that_of_the_machine(tmp_path: Path) -> None:
    assert instructions.second_level(tmp_path) == []
    for number, (level, size) in enumerate((("1", "32K"), ("2", "512K"), ("3", "32768K"))):
        cache = tmp_path / f"index{number}"
        cache.mkdir()
        said = {"level": level, "size": size, "ways_of_associativity": "8", "coherency_line_size": "64"}
        for name, value in said.items():
            (cache / name).write_text(f"{value}\n")
    (tmp_path / "index1" / "size").rename(tmp_path / "not told")
    assert instructions.second_level(tmp_path) == []
    (tmp_path / "not told").rename(tmp_path / "index1" / "size")
    assert instructions.second_level(tmp_path) == ["--LL=524288,8,64"]


def test_the_command_explains_itself() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "--full" in ended.stdout
