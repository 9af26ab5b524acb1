"""The harness: it measures what it says, refuses rounds in which something was not recorded, and knows too high."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from benchmarks.__main__ import confirmed
from benchmarks.budgets import BUDGETS, BY_KEY, Budget
from benchmarks.parts import Part
from benchmarks.report import exceeded, read_reference
from benchmarks.results import Results, Row
from benchmarks.rounds import Effort, Estimate, Measured, measure
from benchmarks.signals import Signals
from benchmarks.steps import Step, instruments, oauth, records
from benchmarks.variants import Run, variants
from benchmarks.workloads import WORKLOADS, ClientCredentials

if TYPE_CHECKING:
    from collections.abc import Callable

FAST = ("httpx_refresh",)
ONCE = Effort(0, least=1)
SLOW = pytest.mark.slow


# What is measured -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name if name in FAST else pytest.param(name, marks=SLOW) for name in WORKLOADS])
def test_each_workload_runs_under_each_variant_and_records_what_it_says(name: str) -> None:
    measured = measure(variants(WORKLOADS[name], unsampled=True), ONCE, operations=3)
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


def test_what_stays_attached_is_asserted_at_the_end() -> None:
    class Lasting(ClientCredentials):
        lasting = True
        moved = {"spans": 2.0}  # noqa: RUF012 as in the class above it

    run = Run(Lasting, ours=Signals())
    for _ in range(2):
        run.prepare(3)
        run.run(3)
        run.check(3)
    with pytest.raises(AssertionError, match=r"spans: 12.0 were expected in a measured round, 6.0 were recorded"):
        run.finish()


@pytest.mark.parametrize(
    "make",
    [records.event, pytest.param(instruments.counters, marks=SLOW), pytest.param(records.redacted_record, marks=SLOW)],
)
def test_the_steps_with_a_budget_run_turn_by_turn(make: Callable[[], dict[str, Step]]) -> None:
    measured = measure(make(), ONCE, operations=20)
    assert len(measured.seconds) == 4
    assert all(seconds > 0 for (seconds,) in measured.seconds.values())


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "make",
    [
        instruments.empty,
        instruments.gauges,
        instruments.histograms,
        instruments.spans,
        instruments.collections,
        records.redacted_span,
        records.redacted_line,
        oauth.classifier,
        oauth.ledgers,
        oauth.redis_ledger,
    ],
)
def test_the_other_steps_run(make: Callable[[], dict[str, Step]]) -> None:
    steps = make()
    if not steps:
        pytest.skip("there is no redis-server here")
    assert all(seconds > 0 for (seconds,) in measure(steps, ONCE, operations=1).seconds.values())


def test_a_step_that_is_not_recorded_is_refused() -> None:
    step = Step(lambda: None, recorded=lambda: 5.0)
    step.prepare(2)
    step.run(2)
    with pytest.raises(AssertionError, match="2 steps were to be recorded, 0 were"):
        step.check(2)


# Rounds and ratios ----------------------------------------------------------------------------------------------------


def measured(bare: list[float], stock: list[float], ours: list[float]) -> Measured:
    return Measured(1, {"bare": bare, "stock": stock, "ours": ours})


def test_a_ratio_is_of_what_is_added_and_noise_that_meets_all_cancels_out() -> None:
    noise = [1.0, 5.0, 2.0, 9.0, 3.0, 1.0, 7.0]
    found = measured(noise, [each + 2.0 for each in noise], [each + 1.0 for each in noise])
    assert found.ratio("ours", "stock").as_list() == pytest.approx([0.5, 0.5, 0.5])
    assert found.overhead("ours").as_list() == pytest.approx([1.0, 1.0, 1.0])
    assert found.share("ours").value == pytest.approx(1 / 3)
    assert found.times("ours", "bare").value == pytest.approx(4 / 3)
    assert found.median("bare").low < found.median("bare").value < found.median("bare").high


@pytest.mark.parametrize(("effort", "rounds"), [(Effort(0, least=3), 3), (Effort(600, least=1, most=5), 5)])
def test_there_are_rounds_until_time_is_up_but_so_many_at_least_and_at_most(effort: Effort, rounds: int) -> None:
    assert len(measure({"step": Step(lambda: None)}, effort, operations=1).seconds["step"]) == rounds


# Budgets --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("estimate", "reference", "said"),
    [
        (Estimate(0.4, 0.3, 0.5), None, False),
        (Estimate(0.6, 0.45, 0.9), None, False),
        (Estimate(0.6, 0.55, 0.7), None, True),
        (Estimate(0.6, 0.55, 0.7), [0.35, 0.3, 0.39, 0], True),
        (Estimate(0.6, 0.55, 0.7), [0.45, 0.4, 0.48, 0], False),
        (Estimate(0.9, 0.85, 1.0), [0.8, 0.7, 0.9, 0], False),
        (Estimate(1.2, 1.1, 1.3), [0.8, 0.7, 0.9, 0], False),
        (Estimate(1.2, 1.13, 1.3), [0.8, 0.7, 0.9, 0], True),
    ],
)
def test_too_high_is_what_certainly_left_budget_and_reference(
    estimate: Estimate, reference: list[float] | None, said: object
) -> None:
    known = {} if reference is None else {"server_code": reference}
    lines = exceeded([Row("server_code", estimate)], known)
    assert bool(lines) is said
    assert all("server_code is" in line and "the budget is 0.5" in line for line in lines.values())


@pytest.mark.parametrize(("pace", "said"), [(0.5, True), (1.0, True), (2.0, False)])
def test_a_slower_machine_is_no_regression(pace: float, said: object) -> None:
    row = Row("attach", Estimate(0.1, 0.09, 0.11), pace=pace)
    assert bool(exceeded([row], {"attach": [0.05, 0.05, 0.05, 1.0]})) is said


def test_what_noise_hides_does_not_fail() -> None:
    slack = BY_KEY["httpx_plain"].slack
    assert not exceeded([Row("httpx_plain", Estimate(0.05, 0.014 + slack, 0.08))], {})
    assert exceeded([Row("httpx_plain", Estimate(0.09, 0.016 + slack, 0.12))], {})


def test_what_is_proposed_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    proposed = replace(BY_KEY["server_code"], proposed=0.8, reason="the SDK's span takes it")
    monkeypatch.setitem(BY_KEY, "server_code", proposed)
    assert not exceeded([Row("server_code", Estimate(0.75, 0.7, 0.8))], {})
    assert exceeded([Row("server_code", Estimate(0.95, 0.9, 1.0))], {})


@pytest.mark.parametrize("incomplete", [{"proposed": 0.8}, {"reason": "the SDK's span takes it"}])
def test_a_proposal_has_a_reason(incomplete: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="a proposed budget has a reason"):
        Budget("counter", "a counter", 0.15, **incomplete)  # type: ignore[arg-type]  # as it is meant


def part(times: list[int], *values: float, again: bool = True) -> Part:
    found = iter(values)

    def run(results: Results) -> None:
        times.append(1)
        value = next(found)
        results.add(Row("server_code", Estimate(value, value, value)))

    return Part("a part", ("server_code",), run, again)


@pytest.mark.parametrize(
    ("values", "again", "times", "failed"),
    [((0.4,), True, 1, False), ((0.9, 0.4), True, 2, False), ((0.9, 0.8), True, 2, True), ((0.9,), False, 1, True)],
)
def test_what_is_too_high_is_measured_again(
    values: tuple[float, ...], again: object, times: int, failed: object
) -> None:
    ran: list[int] = []
    tried, results = part(ran, *values, again=bool(again)), Results()
    tried.run(results)
    assert bool(confirmed([tried], results, {})) is failed
    assert len(ran) == times
    assert results.rows["server_code"].estimate.value == min(values)


def test_every_reference_has_a_budget_and_every_workload_a_budget_or_none_on_purpose() -> None:
    assert set(read_reference()) <= set(BY_KEY)
    assert all(low <= value <= high for value, low, high, _ in read_reference().values())
    assert set(WORKLOADS) - set(BY_KEY) == {"server_plain"}
    assert len(BUDGETS) == len(BY_KEY)
