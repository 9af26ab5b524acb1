"""The harness: it measures what it says, refuses rounds in which something was not recorded, and knows too high."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from opentelemetry import trace

from benchmarks.__main__ import confirmed
from benchmarks.budgets import BUDGETS, BY_KEY, Budget
from benchmarks.floor import Emitted, Kept
from benchmarks.parts import Part
from benchmarks.report import exceeded, proposals, read_reference
from benchmarks.results import Results, Row
from benchmarks.rounds import Effort, Estimate, Measured, measure
from benchmarks.shares import REST, Profiled, divided, group_of
from benchmarks.signals import Signals
from benchmarks.steps import Step, instruments, oauth, records
from benchmarks.variants import VARIANTS, Run
from benchmarks.workers import workers
from benchmarks.workloads import WORKLOADS, ClientCredentials, Login
from otel_oauth_authlib import AuthlibInstrumentor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.shares import Stats

ONCE = Effort(0, least=1)
SLOW = pytest.mark.slow


# What is measured -----------------------------------------------------------------------------------------------------


@SLOW
@pytest.mark.parametrize("name", WORKLOADS)
def test_each_workload_runs_under_each_variant_and_records_what_it_says(name: str) -> None:
    with workers(name, [*VARIANTS], warm=3) as started:
        measured = measure(started, ONCE, operations=3)
    assert set(measured.seconds) == {
        "bare", "again", "stock", "floor", "ours", "both", "unsampled floor", "unsampled",
    }  # fmt: skip
    assert all(seconds > 0 for (seconds,) in measured.seconds.values())


@pytest.fixture
def detached() -> Iterator[None]:
    """Take off in the end what a run attaches for good: here the process goes on."""
    yield
    AuthlibInstrumentor().uninstrument()


@pytest.mark.usefixtures("detached")
def test_a_round_that_records_too_little_is_refused() -> None:
    class Forgetful(ClientCredentials):
        def run(self, operations: int) -> None:
            super().run(operations - 1)

    run = Run(Forgetful, ours=Signals())
    with pytest.raises(AssertionError, match=r"spans: 4.0 were expected in a measured round, 3.0 were recorded"):
        run.seconds(4)


@pytest.mark.usefixtures("detached")
def test_the_floor_emits_what_ours_emits() -> None:
    ours, again = Kept(), Kept()
    emitted = ours.of_one_operation(Run(Login, ours=ours), warm=1)
    AuthlibInstrumentor().uninstrument()
    assert [len(emitted.spans), len(emitted.records)] == [4, 4]
    assert all(span.attributes for span in emitted.spans)
    assert {series.name for series in emitted.series} >= {"oauth_flow_duration_seconds"}
    floor = Run(Login, floor=again, emitted=emitted)
    assert again.of_one_operation(floor, warm=0) == emitted


def test_a_floor_that_records_too_little_is_refused() -> None:
    run = Run(ClientCredentials, floor=Signals(), emitted=Emitted())
    with pytest.raises(AssertionError, match=r"spans: 2.0 were expected in a measured round, 0.0 were recorded"):
        run.seconds(2)


@SLOW
def test_a_worker_says_what_was_not_recorded_or_that_it_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.workers.emitted", lambda _: Emitted())
    with workers("httpx_plain", ["floor"], warm=1) as started:
        assert started["floor"].seconds(2) > 0
    with pytest.raises(RuntimeError, match="a worker ended"), workers("httpx_plain", ["other"]):
        pass
    with (
        workers("server_client_credentials", ["floor"], warm=1) as started,
        pytest.raises(AssertionError, match=r"spans: 2.0 were expected"),
    ):
        started["floor"].seconds(2)


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


def test_what_was_measured_twice_counts_as_one() -> None:
    found = measured([1.0, 1.0], [3.0, 3.0], [2.0, 2.0]).joined(measured([2.0], [6.0], [3.0]))
    assert found.seconds == {"bare": [1.0, 1.0, 2.0], "stock": [3.0, 3.0, 6.0], "ours": [2.0, 2.0, 3.0]}
    assert found.ratio("ours", "stock").value == pytest.approx(0.5)


@pytest.mark.parametrize(("effort", "rounds"), [(Effort(0, least=3), 3), (Effort(600, least=1, most=5), 5)])
def test_there_are_rounds_until_time_is_up_but_so_many_at_least_and_at_most(effort: Effort, rounds: int) -> None:
    assert len(measure({"step": Step(lambda: None)}, effort, operations=1).seconds["step"]) == rounds


# The profile ----------------------------------------------------------------------------------------------------------


def profiled(**calls: tuple[str, int, float, dict[str, float]]) -> Stats:
    """Return a profile of functions by name: their file, calls, own seconds, and seconds by caller."""
    names = {name: (path, 1, name) for name, (path, _, _, _) in calls.items()}
    return {
        names[name]: Profiled(number, own, {names[each]: seconds for each, seconds in callers.items()})
        for name, (_, number, own, callers) in calls.items()
    }


def test_what_ours_adds_is_divided_by_who_takes_it() -> None:
    begin = ("/x/site-packages/flask/app.py", 10, 5.0, {})
    hook = ("/x/otel_oauth/hooks.py", 10, 1.0, {"begin": 1.0})
    bare = profiled(begin=begin, form=("/x/site-packages/werkzeug/form.py", 10, 2.0, {"begin": 2.0}))
    ours = profiled(
        begin=begin,
        form=("/x/site-packages/werkzeug/form.py", 20, 4.0, {"begin": 2.0, "hook": 2.0}),
        hook=hook,
        start_span=("/x/site-packages/opentelemetry/sdk/trace/__init__.py", 10, 2.0, {"hook": 2.0}),
        isinstance=("~", 30, 4.0, {"begin": 1.0, "attributes": 3.0}),
        attributes=("/x/site-packages/opentelemetry/attributes/__init__.py", 10, 1.0, {"start_span": 1.0}),
    )
    found = divided(bare, ours)
    assert found["SDK: span"] == pytest.approx(6 / 9)
    assert found["hooks, plugin"] == pytest.approx(1 / 9)
    assert found[REST] == pytest.approx(2 / 9)
    assert sum(found.values()) == pytest.approx(1)


def test_every_module_of_ours_and_of_the_sdk_is_in_a_group() -> None:
    from otel_oauth import emission, hooks, judge, ledger, operation, own_tokens, providers  # noqa: PLC0415 only here

    groups = [group_of(str(each.__file__)) for each in (hooks, ledger, own_tokens, judge, emission, operation)]
    assert groups == ["hooks, plugin", *["ledger, verdict"] * 3, "events", "operation"]
    assert group_of(str(providers.__file__)) == "operation"
    assert group_of(str(trace.__file__)) == "SDK: span"
    assert group_of(str(json.__file__)) is None
    assert group_of(str(pytest.__file__)) == "application"


# Budgets --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def a_half(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a budget that nothing is proposed for."""
    monkeypatch.setitem(BY_KEY, "server_code", replace(BY_KEY["server_code"], proposed=None, reason=""))


@pytest.mark.usefixtures("a_half")
@pytest.mark.parametrize(("low", "said"), [(0.3, False), (0.45, False), (0.55, True)])
def test_too_high_is_what_certainly_left_its_budget(low: float, said: object) -> None:
    lines = exceeded([Row("server_code", Estimate(0.6, low, 0.7))], {})
    assert bool(lines) is said
    assert all("server_code is" in line and "at most 0.5 is allowed" in line for line in lines.values())


@pytest.mark.parametrize(("pace", "said"), [(0.5, True), (1.0, True), (2.0, False)])
def test_a_slower_machine_is_no_regression(pace: float, said: object) -> None:
    row = Row("attach", Estimate(0.1, 0.09, 0.11), pace=pace)
    assert bool(exceeded([row], {"attach": [0.05, 0.05, 0.05, 1.0]})) is said


def test_a_share_is_compared_beyond_the_noise() -> None:
    noise = [0.9, 1.0, 1.1] * 20
    found = Measured(
        1, {"bare": [1.0] * 60, "again": [each + 0.01 for each in noise], "ours": [each + 0.2 for each in noise]}
    )
    share, again = found.share("ours"), found.share("again")
    assert again.high > 0
    assert found.beyond("ours", "again").low == pytest.approx(share.low - again.high)
    assert found.beyond("again", "ours").as_list() == [0, 0, 0]


def test_what_is_proposed_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    proposed = replace(BY_KEY["server_code"], proposed=0.8, reason="the SDK's span takes it")
    monkeypatch.setitem(BY_KEY, "server_code", proposed)
    assert not exceeded([Row("server_code", Estimate(0.75, 0.7, 0.8))], {})
    assert exceeded([Row("server_code", Estimate(0.95, 0.9, 1.0))], {})


@pytest.mark.parametrize("incomplete", [{"proposed": 0.8}, {"reason": "the SDK's span takes it"}])
def test_a_proposal_has_a_reason(incomplete: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="a proposed budget has a reason"):
        Budget("counter", "a counter", 0.15, **incomplete)  # type: ignore[arg-type]  # as it is meant


@pytest.mark.parametrize(
    ("estimate", "proposed", "said"),
    [
        (Estimate(0.8, 0.7, 0.9), None, ["server_code: 0.99 is to be proposed instead of 0.5"]),
        (Estimate(0.8, 0.7, 0.9), 0.99, []),
        (Estimate(0.8, 0.7, 0.9), 1.2, ["server_code: 0.99 is to be proposed instead of 1.2"]),
        (Estimate(0.4, 0.3, 0.49), None, []),
        (Estimate(0.4, 0.3, 0.49), 0.99, ["server_code is held: no 0.99 is to be proposed"]),
    ],
)
def test_a_proposal_is_no_looser_than_what_was_measured(
    monkeypatch: pytest.MonkeyPatch, estimate: Estimate, proposed: float | None, said: list[str]
) -> None:
    reason = "" if proposed is None else "the SDK's span takes it"
    monkeypatch.setitem(BY_KEY, "server_code", replace(BY_KEY["server_code"], proposed=proposed, reason=reason))
    assert proposals([Row("server_code", estimate)]) == said


def part(times: list[int], *values: float, again: bool = True) -> Part:
    found = iter(values)

    def run(results: Results) -> None:
        times.append(1)
        value = next(found)
        results.add(Row("server_code", Estimate(value, value, value)))

    return Part("a part", ("server_code",), run, again)


@pytest.mark.usefixtures("a_half")
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


def test_what_is_proposed_fits_the_reference() -> None:
    assert proposals([Row(key, Estimate(*found[:3])) for key, found in read_reference().items()]) == []


def test_every_reference_has_a_budget_and_every_workload_a_budget_or_none_on_purpose() -> None:
    assert set(read_reference()) <= set(BY_KEY)
    assert all(low <= value <= high for value, low, high, _ in read_reference().values())
    assert set(WORKLOADS) - set(BY_KEY) == {"server_plain"}
    assert len(BUDGETS) == len(BY_KEY)
