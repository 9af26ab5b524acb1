"""Plans: what an operation moves is worked out once, and is right all the same when labels, caps or facts change."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

from opentelemetry.context import Context, set_value
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, get_current_span, set_span_in_context
from threads import in_each_others_way

from otel_oauth import cases, kinds, plans
from otel_oauth import catalogue as c
from otel_oauth import events as e
from otel_oauth._guard import Guard
from otel_oauth.cells import Table
from otel_oauth.client_label import ClientLabel
from otel_oauth.plans import Plan, Plans
from otel_oauth.recorder import Recorder
from otel_oauth.testing import Capture

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    import pytest

    from conftest import Recording

DIGESTS = frozenset(("code", "state", "family", "user"))
STARTED = {"method": "GET", "endpoint": "authorization", "http_status": "302", "started": True}
OVERFLOW = "client_id"


def make_table(**caps: int) -> Table:
    return Table((*c.DOCUMENTED, *c.OWN), {"provider": 2, "client_id": 2, **caps})


def make_plans(table: Table, leaving: Collection[e.Event] = e.EVENTS.values()) -> Plans:
    """Return plans whose events tell nothing but themselves, and whose recorder comes by only if it is asked."""
    recorder = Recorder(Guard(lambda _: None, reraise=True))
    recorder.stop()

    def telling(event: e.Event, _facts: object) -> Any:
        return event if event in leaving else None

    return Plans(table, recorder, telling)


def moved(made: Plans, facts: Mapping[str, object]) -> Plan:
    plan = made.of(facts, kinds.ENDPOINT)
    plan.take(0.1, None, facts)
    plan.record()
    return plan


def test_equal_facts_have_one_plan_and_others_another() -> None:
    made = make_plans(make_table())
    one = made.of({**STARTED, "family": b"x"}, kinds.ENDPOINT)
    assert made.of({**STARTED, "family": b"y"}, kinds.ENDPOINT) is one
    assert made.of({**STARTED, "family": b"y"}, kinds.ENDPOINT, None, went="failed") is not one
    assert made.of(STARTED, kinds.ENDPOINT).cells == one.cells
    assert len(made.of({**STARTED, "started": False}, kinds.ENDPOINT).cells) == len(one.cells) - 1
    assert made.of(STARTED, kinds.ENDPOINT, cases.CODE_REPLAYED).events == (
        e.HTTP_REQUEST,
        e.AUTHORIZATION_STARTED,
        e.CODE_REUSE,
    )


def test_events_that_never_leave_are_not_asked_again() -> None:
    made = make_plans(make_table(), {e.AUTHORIZATION_STARTED})
    assert made.of(STARTED, kinds.ENDPOINT).events == (e.AUTHORIZATION_STARTED,)


def test_a_fact_that_is_missing_is_not_one_that_is_none_or_false() -> None:
    made = make_plans(make_table())
    plain, missing = dict(STARTED), {**STARTED, "pkce": None}
    without = {**STARTED, "pkce": False}
    events = [made.of(facts, kinds.ENDPOINT).events for facts in (plain, missing, without, plain)]
    assert [e.PKCE_NOT_USED in each for each in events] == [False, False, True, False]


def test_a_client_that_is_admitted_later_is_no_longer_other() -> None:
    table = make_table()
    made, facts = make_plans(table), {**STARTED, "client_id": "shop"}
    for _ in range(3):
        moved(made, facts)
    assert table.value(c.AUTHORIZATION_STARTED, ("other",)) == 3
    assert table.value(c.LABEL_OVERFLOW, (OVERFLOW,)) == 3
    assert table.admit(c.CLIENT_ID, "shop") == "shop"
    for _ in range(2):
        moved(made, facts)
    assert table.value(c.AUTHORIZATION_STARTED, ("shop",)) == 2
    assert table.value(c.AUTHORIZATION_STARTED, ("other",)) == table.value(c.LABEL_OVERFLOW, (OVERFLOW,)) == 3


def test_a_forked_child_goes_on_with_the_plans_and_without_the_values() -> None:
    table = make_table()
    made = make_plans(table)
    plan = moved(made, STARTED)
    plan.take(0.1, None, STARTED)  # the parent's to record
    table.after_fork()
    made.after_fork()
    plan.record()
    assert table.value(c.HTTP_REQUESTS, ("GET", "authorization", "302")) == 0
    assert moved(made, STARTED) is plan
    assert table.value(c.HTTP_REQUESTS, ("GET", "authorization", "302")) == 1


def test_what_many_operations_measured_moves_together_and_the_last_sampled_one_is_the_exemplar() -> None:
    table = make_table()
    first, context = in_span(1), in_span(2)
    plan = make_plans(table).of(STARTED, kinds.ENDPOINT)
    for exemplar in (None, first, context, None):
        plan.take(0.1, exemplar, STARTED)
    assert table.value(c.HTTP_REQUESTS, ("GET", "authorization", "302")) == 0
    plan.record()
    plan.record()
    assert table.value(c.HTTP_REQUESTS, ("GET", "authorization", "302")) == 4
    kept = [get_current_span(cell.context).get_span_context() for cell in plan.cells]
    assert kept == [get_current_span(context).get_span_context()] * len(kept)
    assert all(cell.context != context for cell in plan.cells), "what the application put into it is not kept"


def in_span(number: int) -> Context:
    span = NonRecordingSpan(SpanContext(1, number, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED)))
    return set_value("application", object(), set_span_in_context(span))


def test_operations_of_a_plan_that_nobody_comes_by_for_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "BOUND", 32)
    monkeypatch.setattr(plans, "MANY", 16)
    table = make_table()
    plan = make_plans(table).of(STARTED, kinds.ENDPOINT)
    for _ in range(100):
        plan.take(0.1, None, STARTED)
    assert 100 > table.value(c.HTTP_REQUESTS, ("GET", "authorization", "302")) >= 52


def test_operations_of_many_threads_all_arrive(recording: Recording) -> None:
    def work(_number: int) -> None:
        for _ in range(500):
            recording.telemetry.plans.of(STARTED, kinds.ENDPOINT).take(0.1, None, STARTED)
            recording.telemetry.recorder.flush(1)

    in_each_others_way(work)
    assert recording.moved()["oauth_http_requests_total", "GET", "authorization", "302"] == 2000
    assert recording.series("oauth_http_request_duration_milliseconds")["authorization",].count == 2000


def test_plans_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "_MOST", 8)
    table = make_table(client_id=1000)
    made = make_plans(table)
    for number in range(100):
        facts = {**STARTED, "client_id": table.admit(c.CLIENT_ID, f"client-{number}")}
        moved(made, facts)
        assert sum(len(shape.known) for shape in made._shapes.values()) <= 8
    assert {table.value(c.AUTHORIZATION_STARTED, (f"client-{number}",)) for number in range(100)} == {1}


def test_no_digest_decides_what_moves_and_what_is_told() -> None:
    read = [kind.reads for kind in kinds.KINDS.values()] + [case.reads for case in cases.CASES.values()]
    assert not DIGESTS & plans._TOLD.union(*read)


def test_what_is_kept_of_spans_and_events_is_text_and_no_digest() -> None:
    """Whatever a fact holds: a digest or a client that knows its whole id is told anew for each operation."""
    values = (b"secret-1", b"secret-2", ClientLabel.of("other", "whole-1"), ClientLabel.of("other", "whole-2"))
    with Capture(events=",".join(f"{name}=on" for name in e.EVENTS), event_rate=0) as capture:
        out, made = capture.telemetry.emission, capture.telemetry.plans
        out.queue.stop()
        for event, fact, value in product(e.EVENTS.values(), e.ATTRIBUTES, values):
            facts: dict[str, object] = {fact: value}
            told: Any = out.told(event, facts)
            out.happened(told, facts, Context())
            out.queue.flush()
            found = capture.logger_provider.kept.pop()
            shown = value.full if isinstance(value, ClientLabel) else value[:6].hex()
            assert found["attributes"].get(e.ATTRIBUTES[fact]) == (shown if fact in dict(event.named) else None)
            made.of(facts, kinds.ENDPOINT)
    kept = [held for shape in made._shapes.values() for held in shape.known.items()]
    text = repr([(values, plan.events, plan.description._attributes) for values, plan in kept])
    assert kept
    assert "secret" not in text
    assert "whole" not in text
