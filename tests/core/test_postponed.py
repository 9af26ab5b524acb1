"""Operations that wait for the next call of their HTTP request: joined, or completed as of when they were left."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from time import perf_counter, time_ns
from typing import Any

import pytest

from otel_oauth import kinds, operation, postponed
from otel_oauth.testing import Capture

ONCE = {
    "oauth_http_requests_total{method=GET,endpoint=authorization,status=200}": 1,
    "oauth_http_request_duration_milliseconds{endpoint=authorization}": 1,
}


class Mark:
    """A request of some framework."""


def _left(capture: Capture, *marks: object) -> Any:
    facts = {"endpoint": "authorization", "method": "GET", "http_status": "200"}
    found = capture.telemetry.operation(kinds.ENDPOINT, {**facts}).start()
    found.deferred = capture.telemetry.postponed.wait(found, *marks)
    found.end()
    return found


@pytest.fixture
def capture() -> Any:
    with Capture() as found:
        yield found


def test_whoever_brings_a_mark_goes_on(capture: Capture) -> None:
    request, grant = Mark(), Mark()
    waiting = _left(capture, request, grant)
    assert capture.telemetry.postponed.back(Mark()) is None
    assert capture.telemetry.postponed.back(Mark(), grant) is waiting
    assert capture.telemetry.postponed.back(request) is None, "it is taken once"
    assert capture.moved() == {}
    waiting.complete()
    assert capture.moved() == ONCE


def test_a_mark_that_is_gone_is_not_taken_for_another(capture: Capture) -> None:
    store = capture.telemetry.postponed
    _left(capture, Mark())
    (gone,) = store._waiting
    other = Mark()
    store._waiting[id(other)] = store._waiting.pop(gone)
    assert store.back(other) is None
    assert capture.moved() == ONCE


def test_nothing_to_remember(capture: Capture) -> None:
    _left(capture, 5)
    assert len(capture.spans()) == 1
    assert capture.moved() == ONCE


def test_a_collection_completes_what_was_left_a_second_ago(capture: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    request = Mark()
    waiting = _left(capture, request)
    left = time_ns()
    collect(capture)
    assert capture.telemetry.postponed.back(request) is waiting, "its HTTP request may still go on"
    capture.telemetry.postponed.wait(waiting, request)
    now = perf_counter()
    monkeypatch.setattr(postponed, "perf_counter", lambda: now + 1.1)
    collect(capture)
    assert capture.telemetry.postponed.back(request) is None
    assert len(capture.spans()) == 1
    assert capture.moved() == ONCE
    assert capture.spans()[0]["end"] <= left


def collect(capture: Capture) -> None:
    capture._reader.get_metrics_data()


def test_what_waits_is_completed_where_what_moved_is_asked_for(capture: Capture) -> None:
    request = Mark()
    _left(capture, request)
    left = time_ns()
    assert capture.spans() == []
    assert capture.moved() == ONCE
    assert capture.moved() == {}
    assert capture.spans()[0]["end"] <= left


def test_calls_of_finalizers_beyond_what_can_wait_are_counted(
    capture: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postponed, "_MOST_CALLS", 3)
    made: list[int] = []
    for number in range(5):
        capture.telemetry.postponed.make_later(partial(made.append, number))
    assert capture.moved(own=True) == {"otel_oauth_errors_total{component=operation}": 2}
    assert made == [0, 1, 2]


LAST = """
import otel_oauth
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import ConsoleMetricExporter, PeriodicExportingMetricReader
from otel_oauth import kinds
from otel_oauth.telemetry import get_telemetry

telemetry = get_telemetry(ledger="memory")
metrics.set_meter_provider(MeterProvider([PeriodicExportingMetricReader(ConsoleMetricExporter())]))
facts = {"endpoint": "authorization", "method": "GET", "http_status": "302"}
left = telemetry.operation(kinds.ENDPOINT, facts).start()
left.deferred = telemetry.postponed.wait(left, telemetry)
left.end()
"""


def test_what_was_left_when_the_program_ends_is_in_its_last_export() -> None:
    done = subprocess.run([sys.executable, "-c", LAST], capture_output=True, text=True, timeout=40, check=True)
    assert '"oauth_http_request_duration_milliseconds"' in done.stdout  # which has no zero series


def test_the_thread_completes_what_waits_long(capture: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    request, other = Mark(), Mark()
    _left(capture, request)
    capture.telemetry.postponed.sweep()
    assert capture.spans() == [], "its HTTP request may still go on"
    now = perf_counter()
    monkeypatch.setattr(postponed, "perf_counter", lambda: now + 60)
    facts = {"endpoint": "authorization", "method": "GET", "http_status": "200"}
    under_way = capture.telemetry.operation(kinds.ENDPOINT, {**facts}).start()
    capture.telemetry.postponed.wait(under_way, other)
    assert capture.telemetry.recorder._drain()
    assert len(capture.spans()) == 1, "the one that was left, and not the one under way"
    under_way.end()


def test_a_forked_child_forgets_what_the_parent_waits_for(capture: Capture) -> None:
    request = Mark()
    waiting = _left(capture, request)
    capture.telemetry.after_fork()
    assert capture.telemetry.postponed.back(request) is None
    assert capture.moved() == {}
    assert isinstance(waiting, operation.Operation)
