"""Cells: the sum of what was added, under the caps, in every thread, at every reader."""

from __future__ import annotations

import gc
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.metrics import CallbackOptions
from threads import in_each_others_way

from otel_oauth import catalogue as c
from otel_oauth.cells import Table

if TYPE_CHECKING:
    from otel_oauth.catalogue import Metric

CAPS = {"provider": 2, "client_id": 3}
OPTIONS = CallbackOptions()
METRICS = (c.FLOWS, c.CODE_EXCHANGED, c.TOKEN_REFRESH, c.CODE_REUSE, c.LABEL_OVERFLOW)
NAMES = st.sampled_from(
    ["google", "github", "success", "failure", "initiated", "S256", "none", "normal", "other", "unknown", "x", ""]
)


def make_table(**caps: Any) -> Any:
    return Table((*c.DOCUMENTED, *c.OWN), {**CAPS, **caps})


def observed(table: Any, metric: Metric) -> Any:
    return {tuple(o.attributes.values()): o.value for o in table.observe(metric, OPTIONS)}


def additions() -> Any:
    metric = st.sampled_from(METRICS[:-1])
    return metric.flatmap(
        lambda m: st.tuples(st.just(m), st.tuples(*(NAMES for _ in m.labels)), st.integers(min_value=1, max_value=5))
    )


@given(
    st.lists(st.tuples(st.sampled_from([c.PROVIDER, c.CLIENT_ID]), NAMES), max_size=8),
    st.lists(additions(), max_size=40),
)
def test_cells_are_the_sums_of_what_was_added_under_the_caps(admissions: Any, added: Any) -> None:
    table = make_table()
    admitted = {"provider": [], "client_id": []}
    for label, value in admissions:
        kept = table.admit(label, value)
        known = admitted[label.cap]
        if value not in known and len(known) < CAPS[label.cap]:
            known.append(value)
        assert kept == (value if value in known else "other")
    expected: dict[object, Counter] = {metric: Counter() for metric in METRICS}
    for metric, key, amount in added:
        table.add(metric, key, amount=amount)
        bounded = []
        for label, value in zip(metric.labels, key, strict=True):
            allowed = {"other", "unknown", *admitted[label.cap]} if label.cap else {"other", *label.values}
            bounded.append(value if value in allowed else "other")
        expected[metric][tuple(bounded)] += amount
    for metric in METRICS[:-1]:
        values = observed(table, metric)
        assert {key: value for key, value in values.items() if value} == expected[metric]
        assert len(values) <= metric.max_series(CAPS)
        for key, amount in expected[metric].items():
            assert table.value(metric, key) == amount


def test_observing_does_not_reset() -> None:
    table = make_table()
    table.add(c.CODE_REUSE)
    assert observed(table, c.CODE_REUSE) == {(): 1}
    table.add(c.CODE_REUSE)
    assert observed(table, c.CODE_REUSE) == observed(table, c.CODE_REUSE) == {(): 2}


def test_additions_of_many_threads_all_arrive() -> None:
    table = make_table()

    def work(number: int) -> None:
        table.admit(c.PROVIDER, f"p{number}")
        for index in range(2000):
            table.add(c.FLOWS, (f"p{number}", "success" if index % 2 else "failure"))

    in_each_others_way(work)
    values = observed(table, c.FLOWS)
    assert sum(values.values()) == 8000
    assert values["other", "success"] == values["other", "failure"] == 2000


def test_a_value_outside_a_closed_set_is_other_and_counted_each_time() -> None:
    table = make_table()
    for _ in range(3):
        table.add(c.TOKEN_REVOCATIONS, ("<script>",))
    assert table.value(c.TOKEN_REVOCATIONS, ("other",)) == 3
    assert table.value(c.LABEL_OVERFLOW, ("closed",)) == 3
    assert observed(table, c.LABEL_OVERFLOW) == {("provider",): 0, ("client_id",): 0, ("closed",): 3}


def test_a_value_beyond_the_cap_is_other_and_born_at_zero() -> None:
    table = make_table(client_id=1)
    assert table.admit(c.CLIENT_ID, "first") == "first"
    assert observed(table, c.TOKEN_REVOKED) == {("first",): 0}
    assert table.admit(c.CLIENT_ID, "second") == "other"
    assert observed(table, c.TOKEN_REVOKED) == {("first",): 0, ("other",): 0}
    assert table.value(c.LABEL_OVERFLOW, ("client_id",)) == 1
    assert table.admit(c.CLIENT_ID, "first") == "first"


def test_a_client_that_nobody_vouched_for_makes_no_series() -> None:
    table = make_table()
    table.add(c.TOKEN_REVOKED, ("attacker",))
    table.add(c.TOKEN_REVOKED, ("unknown",))
    assert observed(table, c.TOKEN_REVOKED) == {("other",): 1, ("unknown",): 1}


def test_a_cap_of_zero_switches_the_label_off() -> None:
    table = make_table(client_id=0)
    assert {table.admit(c.CLIENT_ID, f"client{number}") for number in range(10)} == {"other"}
    table.add(c.AUTHORIZATION_STARTED, (table.admit(c.CLIENT_ID, "me"),))
    assert observed(table, c.AUTHORIZATION_STARTED) == {("other",): 1}


def test_the_series_of_a_histogram_are_bounded_and_the_same_object_each_time() -> None:
    table = make_table()
    table.admit(c.PROVIDER, "google")
    first = table.durations(c.FLOW_DURATION, ("google", "success"))
    assert first.attributes == {"provider": "google", "status": "success"}
    assert table.durations(c.FLOW_DURATION, ("google", "success")) is first
    assert table.durations(c.FLOW_DURATION, ("evil", "'; --")).attributes == {"provider": "other", "status": "other"}


def test_a_forked_child_starts_from_zero_but_keeps_the_series() -> None:
    table = make_table()
    table.admit(c.PROVIDER, "google")
    table.add(c.FLOWS, ("google", "success"), context=None)
    table.after_fork()
    assert observed(table, c.FLOWS) == {("google", status): 0 for status in ("initiated", "success", "failure")}


@pytest.mark.parametrize("held", ["add", "observe"])
def test_what_the_garbage_collector_ends_while_a_thread_adds_does_not_block_it(held: str) -> None:
    """A coroutine in a cycle ends its operation inside a collection, which may start under the table's lock."""
    table = make_table()

    class Ending:
        def __del__(self) -> None:
            table.add(c.CODE_REUSE)

    def work() -> None:
        with table._lock:
            ending = Ending()
            ending.self = ending
            del ending
            gc.collect()
            if held == "observe":
                table.observe(c.CODE_REUSE, OPTIONS)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(5)
    assert not thread.is_alive()
    assert table.value(c.CODE_REUSE) == 1
