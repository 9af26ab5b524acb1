"""Plans: what an operation moves is worked out once, and is right all the same when labels, caps or facts change."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

from otel_oauth import _remembered, cases, emission, kinds
from otel_oauth import catalogue as c
from otel_oauth import events as e
from otel_oauth.cells import Table
from otel_oauth.client_label import ClientLabel
from otel_oauth.plans import Plans

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pytest

    from conftest import Recording

DIGESTS = frozenset(("code", "state", "family", "user"))
STARTED = {"method": "GET", "endpoint": "authorization", "http_status": "302", "started": True}
OVERFLOW = "client_id"


def make_table(**caps: int) -> Table:
    return Table((*c.DOCUMENTED, *c.OWN), {"provider": 2, "client_id": 2, **caps})


def moved(plans: Plans, facts: Mapping[str, object]) -> None:
    plans.apply(plans.of(facts, kinds.ENDPOINT, None), facts, 0.1, None)


def test_equal_facts_have_one_plan_and_others_another() -> None:
    plans = Plans(make_table(), e.EVENTS.values())
    one = plans.of(STARTED, kinds.ENDPOINT, None)
    assert plans.of({**STARTED, "family": b"x", "outcome": "success"}, kinds.ENDPOINT, None) == one
    assert plans.of(dict(STARTED), kinds.ENDPOINT, None) is one
    assert len(plans.of({**STARTED, "started": False}, kinds.ENDPOINT, None).cells) == len(one.cells) - 1
    assert plans.of(STARTED, kinds.ENDPOINT, cases.CODE_REPLAYED).events == (
        e.HTTP_REQUEST,
        e.AUTHORIZATION_STARTED,
        e.CODE_REUSE,
    )


def test_events_that_never_leave_are_not_asked_again() -> None:
    plans = Plans(make_table(), {e.AUTHORIZATION_STARTED})
    assert plans.of(STARTED, kinds.ENDPOINT, None).events == (e.AUTHORIZATION_STARTED,)


def test_a_fact_that_is_missing_is_not_one_that_is_none_or_false() -> None:
    plans = Plans(make_table(), e.EVENTS.values())
    plain, missing = dict(STARTED), {**STARTED, "pkce": None}
    without = {**STARTED, "pkce": False}
    events = [plans.of(facts, kinds.ENDPOINT, None).events for facts in (plain, missing, without, plain)]
    assert [e.PKCE_NOT_USED in each for each in events] == [False, False, True, False]


def test_a_client_that_is_admitted_later_is_no_longer_other() -> None:
    table = make_table()
    plans, facts = Plans(table, e.EVENTS.values()), {**STARTED, "client_id": "shop"}
    for _ in range(3):
        moved(plans, facts)
    assert table.value(c.AUTHORIZATION_STARTED, ("other",)) == 3
    assert table.value(c.LABEL_OVERFLOW, (OVERFLOW,)) == 3
    assert table.admit(c.CLIENT_ID, "shop") == "shop"
    for _ in range(2):
        moved(plans, facts)
    assert table.value(c.AUTHORIZATION_STARTED, ("shop",)) == 2
    assert table.value(c.AUTHORIZATION_STARTED, ("other",)) == table.value(c.LABEL_OVERFLOW, (OVERFLOW,)) == 3


def test_a_forked_child_goes_on_with_the_plans_and_without_the_values() -> None:
    table = make_table()
    plans = Plans(table, e.EVENTS.values())
    moved(plans, STARTED)
    table.after_fork()
    assert table.value(c.HTTP_REQUESTS, ("GET", "authorization", "302")) == 0
    moved(plans, STARTED)
    assert table.value(c.HTTP_REQUESTS, ("GET", "authorization", "302")) == 1


def test_plans_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_remembered, "_MOST", 8)
    table = make_table(client_id=1000)
    plans = Plans(table, e.EVENTS.values())
    for number in range(100):
        facts = {**STARTED, "client_id": table.admit(c.CLIENT_ID, f"client-{number}")}
        moved(plans, facts)
        assert sum(len(shape.known) for shape in plans._shapes.values()) <= 8
    assert {table.value(c.AUTHORIZATION_STARTED, (f"client-{number}",)) for number in range(100)} == {1}


def test_no_digest_decides_what_moves() -> None:
    read = [kind.reads for kind in kinds.KINDS.values()] + [case.reads for case in cases.CASES.values()]
    assert not DIGESTS & frozenset().union(*read)
    assert not DIGESTS & frozenset().union(*(emission._deciding(event) for event in e.EVENTS.values()))


def test_what_is_kept_of_events_is_text_and_no_digest(recording: Recording) -> None:
    """Whatever a fact holds: a digest or a client that knows its whole id is told anew for each event."""
    out = recording.telemetry.emission
    for event, fact in product(out._gates, e.ATTRIBUTES):
        for value in (b"secret-1", b"secret-2", ClientLabel.of("other", "whole-1"), ClientLabel.of("other", "whole-2")):
            told = out._attributes(event, _seen({fact: value})).get(e.ATTRIBUTES[fact])
            shown = value.full if isinstance(value, ClientLabel) else value[:6].hex()
            assert told == (shown if fact in dict(event.named) else None)
    kept = [held for shape in out._templates._shapes.values() for held in shape.known.items()]
    assert "secret" not in repr(kept)
    assert "whole" not in repr(kept)


def _seen(facts: dict[str, object]) -> Any:
    return e.Seen(facts, context=None)  # type: ignore[arg-type]  # it is not emitted
