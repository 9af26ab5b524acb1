"""Operations: every way out records once, the context goes back, spans say what happened and nothing secret."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode

from otel_oauth import cases, kinds
from otel_oauth import catalogue as c
from otel_oauth.ledger import Entry
from otel_oauth.operation import current_operation

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from otel_oauth.operation import Operation

SECRET = "authorization-code-4711"
REFRESH = {"provider": "other", "called": True, "http_status": "200", "refresh": "success", "reason": "normal"}
REFRESHED = {
    ("provider_api_calls_total", "other", "refresh", "200"): 1,
    ("provider_api_duration_milliseconds", "other", "refresh"): 1,
    ("oauth_token_refresh_total", "success", "normal"): 1,
    ("oauth_token_refresh_duration_seconds", "success"): 1,
}


class Cancelled(BaseException):
    """What an event loop other than asyncio's cancels with."""


def clean() -> None:
    """Nothing of ours is left in the context."""
    assert current_operation() is None
    assert trace.get_current_span() is trace.INVALID_SPAN


@pytest.fixture(autouse=True)
def _the_context_is_given_back(caplog: pytest.LogCaptureFixture) -> Iterator[Any]:
    clean()
    yield
    clean()
    assert "Failed to detach context" not in caplog.text


@pytest.fixture
def refresh(recording: Any) -> Any:
    """Make a refresh that went well."""
    return lambda: recording.telemetry.operation(kinds.REFRESH, {**REFRESH})


# Each way out ---------------------------------------------------------------------------------------------------------


def test_success_records_once(recording: Any, refresh: Callable[[], Operation]) -> None:
    with refresh() as operation:
        assert current_operation() is operation
        assert trace.get_current_span() is operation.span
    assert recording.moved() == REFRESHED
    [span] = recording.spans()
    assert (span.name, span.kind, span.status.status_code) == ("oauth.refresh other", SpanKind.CLIENT, StatusCode.UNSET)


@pytest.mark.parametrize(
    "error", [ValueError, asyncio.CancelledError, GeneratorExit, KeyboardInterrupt, SystemExit, Cancelled]
)
def test_an_exception_records_once_and_is_the_identical_one(
    recording: Any, refresh: Callable[[], Operation], error: Any
) -> None:
    raised = error(SECRET)
    operation = refresh()
    operation.facts["http_status"] = "0"
    with pytest.raises(error) as caught, operation:
        raise raised
    assert caught.value is raised
    assert {key: value for key, value in recording.moved().items() if "calls" in key[0]} == {
        ("provider_api_calls_total", "other", "refresh", "0"): 1
    }
    [span] = recording.spans()
    cancelled = not issubclass(error, Exception)
    assert span.attributes["oauth.outcome"] == ("cancelled" if cancelled else "failure")
    assert span.status.status_code is (StatusCode.UNSET if cancelled else StatusCode.ERROR)
    assert span.attributes["error.type"].endswith(error.__name__)
    assert SECRET not in span.to_json()
    assert span.status.description is None


def test_it_is_recorded_once_however_often_it_is_ended(recording: Any, refresh: Callable[[], Operation]) -> None:
    operation = refresh().start()
    operation.end()
    operation.end(ValueError())
    operation.complete()
    assert recording.moved() == REFRESHED
    assert len(recording.spans()) == 1


def test_a_cancelled_flow_is_no_failure_and_no_handled_callback(recording: Any) -> None:
    facts = {"provider": "other", "client_id": "unknown", "flow": True, "handled": "false", "pkce_ok": True}
    with pytest.raises(asyncio.CancelledError), recording.telemetry.operation(kinds.CALLBACK, {**facts}):
        raise asyncio.CancelledError
    assert recording.moved() == {("oauth_pkce_validations_total", "success", "valid"): 1}


def test_a_deferred_operation_goes_on_until_it_is_completed(recording: Any, refresh: Callable[[], Operation]) -> None:
    operation = refresh()
    with operation:
        operation.deferred = True
    clean()
    assert (recording.moved(), recording.spans()) == ({}, [])
    operation.complete()
    operation.complete()
    assert recording.moved() == REFRESHED
    assert len(recording.spans()) == 1


def test_a_deferred_operation_can_be_entered_again(recording: Any, refresh: Callable[[], Operation]) -> None:
    operation = refresh()
    for _ in range(2):
        with operation:
            operation.deferred = True
            assert current_operation() is operation
        clean()
    operation.deferred = False
    with operation:
        pass
    assert recording.moved() == REFRESHED


def test_a_context_can_be_given_back_and_taken_again(refresh: Callable[[], Operation]) -> None:
    with refresh() as operation:
        operation.suspend()
        clean()
        operation.resume()
        assert current_operation() is operation


# Nesting --------------------------------------------------------------------------------------------------------------


def test_nested_operations_know_each_other_and_each_records_its_own(recording: Any) -> None:
    telemetry = recording.telemetry
    endpoint = {"method": "POST", "endpoint": "token", "http_status": "200"}
    with telemetry.operation(kinds.ENDPOINT, {**endpoint}) as outer:
        with telemetry.operation(kinds.STORAGE, {"operation": "query_code", "result": "success"}) as inner:
            assert (inner.parent, current_operation()) == (outer, inner)
            assert (inner.within(kinds.ENDPOINT), inner.within(kinds.STORAGE)) == (outer, inner)
            assert inner.within(kinds.CALLBACK) is None
            assert trace.get_current_span() is outer.span
        assert current_operation() is outer
    assert set(recording.moved()) == {
        ("oauth_http_requests_total", "POST", "token", "200"),
        ("oauth_http_request_duration_milliseconds", "token"),
        ("storage_operation_total", "query_code", "success"),
        ("storage_operation_duration_milliseconds", "query_code"),
    }
    assert [span.name for span in recording.spans()] == ["oauth.endpoint token"]


def test_the_span_of_a_nested_operation_is_a_child(recording: Any, refresh: Callable[[], Operation]) -> None:
    with recording.telemetry.operation(kinds.API, {"provider": "other"}), refresh():
        pass
    inner, outer = recording.spans()
    assert inner.parent.span_id == outer.context.span_id
    assert inner.context.trace_id == outer.context.trace_id


def test_the_time_of_a_refresh_is_not_the_time_of_the_call_that_needed_it(
    recording: Any, refresh: Callable[[], Operation], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr("otel_oauth.operation.perf_counter", lambda: now[0])
    with recording.telemetry.operation(kinds.API, {"provider": "other", "called": True, "http_status": "200"}):
        now[0] += 1
        with refresh():
            now[0] += 5
        now[0] += 1
    durations = recording.series("provider_api_duration_milliseconds")
    assert (durations["other", "api"].sum, durations["other", "refresh"].sum) == (2000, 5000)
    assert recording.series("oauth_token_refresh_duration_seconds")["success",].sum == 5


def test_storage_has_spans_only_if_they_are_asked_for(record: Callable[..., Any]) -> None:
    for asked in (False, True):
        recording = record(storage_spans=asked)
        with recording.telemetry.operation(kinds.STORAGE, {"operation": "save_token", "result": "success"}):
            pass
        assert [span.name for span in recording.spans()] == ["oauth.storage save_token"] * asked


def test_operations_that_end_in_the_wrong_order_leave_nothing_behind(
    recording: Any, refresh: Callable[[], Operation]
) -> None:
    def overlap() -> None:
        first, second = refresh().start(), refresh().start()
        first.end()
        assert current_operation() is second or current_operation() is None
        second.end()
        assert current_operation() is None

    contextvars.copy_context().run(overlap)
    assert recording.values("oauth_token_refresh_total")["success", "normal"] == 2


# Tasks, threads, generators -------------------------------------------------------------------------------------------


def test_concurrent_tasks_do_not_see_each_other(recording: Any) -> None:
    telemetry = recording.telemetry

    async def work(number: int) -> None:
        with telemetry.operation(
            kinds.REFRESH, {**REFRESH, "http_status": "200" if number % 2 else "400"}
        ) as operation:
            for _ in range(3):
                await asyncio.sleep(0)
                assert current_operation() is operation
                assert operation.parent is None
                assert trace.get_current_span() is operation.span
        assert current_operation() is None

    async def main() -> None:
        await asyncio.gather(*(work(number) for number in range(50)))
        assert current_operation() is None

    asyncio.run(main())
    calls = {key: value for key, value in recording.values("provider_api_calls_total").items() if value}
    assert calls == {("other", "refresh", "200"): 25, ("other", "refresh", "400"): 25}
    assert {span.parent for span in recording.spans()} == {None}


def test_concurrent_threads_do_not_see_each_other(recording: Any, refresh: Callable[[], Operation]) -> None:
    barrier = threading.Barrier(8)
    wrong = []

    def work() -> None:
        for _ in range(50):
            barrier.wait(5)
            with refresh() as operation:
                if operation.parent is not None or current_operation() is not operation:
                    wrong.append(operation)

    threads = [threading.Thread(target=work) for _ in range(8)]
    with refresh():
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []
    assert recording.values("oauth_token_refresh_total")["success", "normal"] == 401


def test_a_cancelled_task_records_once(recording: Any, refresh: Callable[[], Operation]) -> None:
    async def work() -> None:
        with refresh():
            await asyncio.sleep(60)

    async def main() -> None:
        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert {key for key in recording.moved() if "refresh_" in key[0] and "api" not in key[0]} == set()
    assert [key for key in recording.moved() if key[0] == "provider_api_calls_total"]
    assert len(recording.spans()) == 1


def test_a_task_that_outlives_the_operation_it_was_made_in_is_not_within_it(
    recording: Any, refresh: Callable[[], Operation]
) -> None:
    telemetry = recording.telemetry
    seen = []

    async def later(ended: Any) -> None:
        await ended.wait()
        seen.append(current_operation())
        with refresh() as operation:
            seen.append(operation.parent)

    async def main() -> None:
        ended = asyncio.Event()
        with telemetry.operation(kinds.ENDPOINT, {"method": "POST", "endpoint": "token", "http_status": "200"}):
            task = asyncio.create_task(later(ended))
            await asyncio.sleep(0)
        ended.set()
        await task

    asyncio.run(main())
    assert seen == [None, None]


def test_a_generator_that_is_closed_in_another_context_records_once_and_breaks_nothing(
    recording: Any, refresh: Callable[[], Operation]
) -> None:
    def stream() -> Iterator[Any]:
        with refresh():
            yield 1
            yield 2

    generator = stream()
    contextvars.copy_context().run(next, generator)
    clean()
    contextvars.copy_context().run(generator.close)
    assert recording.values("provider_api_calls_total")["other", "refresh", "200"] == 1
    [span] = recording.spans()
    assert span.attributes["oauth.outcome"] == "cancelled"


def test_an_abandoned_async_generator_records_once(recording: Any, refresh: Callable[[], Operation]) -> None:
    async def stream() -> AsyncIterator[Any]:
        with refresh():
            yield 1
            yield 2

    async def main() -> None:
        async for _ in stream():
            break
        gc.collect()

    asyncio.run(main())
    assert recording.values("provider_api_calls_total")["other", "refresh", "200"] == 1


def test_an_operation_that_is_started_in_one_thread_can_be_ended_in_another(
    recording: Any, refresh: Callable[[], Operation]
) -> None:
    operation = contextvars.copy_context().run(refresh().start)
    thread = threading.Thread(target=operation.end)
    thread.start()
    thread.join()
    assert recording.moved() == REFRESHED


# Spans ----------------------------------------------------------------------------------------------------------------


def test_a_server_span_is_internal_below_another_span(recording: Any) -> None:
    facts = {"method": "POST", "endpoint": "token", "http_status": "200"}
    with recording.telemetry.operation(kinds.ENDPOINT, {**facts}):
        pass
    request = recording.tracer_provider.get_tracer("app").start_as_current_span("POST /token")
    with request, recording.telemetry.operation(kinds.ENDPOINT, {**facts}):
        pass
    assert [span.kind for span in recording.spans()][:2] == [SpanKind.SERVER, SpanKind.INTERNAL]


@pytest.mark.parametrize("kind", kinds.KINDS.values(), ids=lambda kind: kind.name)
def test_a_span_is_named_after_its_kind_and_target_alone(recording: Any, kind: Any) -> None:
    facts = {kind.target: "target"} if kind.target != "operation" else {}
    with recording.telemetry.operation(kind, {**facts}):
        pass
    expected = {"client": SpanKind.CLIENT, "server": SpanKind.SERVER, "local": SpanKind.INTERNAL}[kind.side]
    assert [(span.name, span.kind) for span in recording.spans()] == [
        (f"oauth.{kind.name} target", expected)
    ] * kind.span


def test_the_attributes_are_those_of_the_vocabulary_and_no_other_fact(recording: Any) -> None:
    facts = {**REFRESH, "provider": "other", "grant_type": "refresh_token", "scope_changed": True, "note": SECRET}
    with recording.telemetry.operation(kinds.REFRESH, {**facts}) as operation:
        operation.local = SECRET
    [span] = recording.spans()
    assert dict(span.attributes) == {
        "oauth.provider": "other",
        "oauth.grant_type": "refresh_token",
        "oauth.operation": "refresh",
        "oauth.outcome": "success",
        "oauth.refresh.reason": "normal",
        "oauth.scope.changed": True,
        "http.response.status_code": 200,
    }


def test_a_verdict_is_an_event_and_attributes_of_the_span(recording: Any) -> None:
    with recording.telemetry.operation(
        kinds.ENDPOINT, {"method": "POST", "endpoint": "token", "http_status": "400", "status": "failure"}
    ) as operation:
        operation.judge(cases.CODE_REPLAYED)
    [span] = recording.spans()
    security = {"oauth.security.event_type": "token_reuse", "oauth.security.severity": "high"}
    assert security.items() <= span.attributes.items()
    assert span.attributes["oauth.case"] == "code_replayed"
    [event] = span.events
    assert (event.name, dict(event.attributes)) == ("oauth_code_reuse_detected", security)


@pytest.mark.parametrize(
    ("kind", "status", "expected"),
    [
        (kinds.ENDPOINT, "400", StatusCode.UNSET),
        (kinds.ENDPOINT, "500", StatusCode.ERROR),
        (kinds.REFRESH, "400", StatusCode.ERROR),
        (kinds.REFRESH, "0", StatusCode.ERROR),
    ],
)
def test_a_refusal_is_an_error_for_the_client_but_not_for_the_server(
    recording: Any, kind: Any, status: str, expected: Any
) -> None:
    facts = {"method": "POST", "endpoint": "token", "provider": "other", "http_status": status, "status": "failure"}
    with recording.telemetry.operation(kind, {**facts, "error": "invalid_grant"}):
        pass
    [span] = recording.spans()
    assert span.status.status_code is expected
    assert span.attributes["error.type"] == "invalid_grant"
    assert ("http.response.status_code" in span.attributes) is (status != "0")


def test_an_error_without_a_known_code_is_named_by_its_class(recording: Any) -> None:
    class OddError(Exception):
        pass

    with pytest.raises(OddError), recording.telemetry.operation(kinds.REFRESH, {**REFRESH, "error": "other"}):
        raise OddError(SECRET)
    [span] = recording.spans()
    assert span.attributes["error.type"].endswith("OddError")
    assert span.events == ()


def test_a_failure_without_error_or_exception_still_has_a_type(recording: Any) -> None:
    with recording.telemetry.operation(kinds.REFRESH, {**REFRESH, "status": "failure"}):
        pass
    assert recording.spans()[0].attributes["error.type"] == "_OTHER"


def test_a_span_is_linked_to_the_one_that_issued_what_was_presented(recording: Any) -> None:
    telemetry = recording.telemetry
    with telemetry.operation(kinds.AUTHORIZE, {"provider": "other"}) as first:
        telemetry.ledger.issue_state("state", verifier=True, span=first.span.get_span_context())
    with telemetry.operation(kinds.CALLBACK, {"provider": "other"}) as second:
        second.link(telemetry.ledger.sight_state("state").entry)
        second.link(None)
        second.link(Entry())
    [link] = recording.spans()[1].links
    origin = recording.spans()[0].context
    assert (link.context.trace_id, link.context.span_id) == (origin.trace_id, origin.span_id)
    assert link.context.is_remote


# Recording ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("seconds", "total"), [(2.5, 2.5), (3, 3.0), (-4.0, 0.0)])
def test_the_seconds_of_a_flow_are_recorded_and_never_negative(
    recording: Any, caplog: pytest.LogCaptureFixture, seconds: Any, total: Any
) -> None:
    facts = {"provider": "other", "flow": True, "flow_timed": True, "flow_seconds": seconds}
    with recording.telemetry.operation(kinds.CALLBACK, {**facts}):
        pass
    point = recording.series("oauth_flow_duration_seconds")["other", "success"]
    assert (point.count, point.sum) == (1, total)
    assert caplog.text == ""


def test_a_flow_whose_start_is_not_known_has_no_duration(recording: Any) -> None:
    with recording.telemetry.operation(kinds.CALLBACK, {"provider": "other", "flow": True, "flow_timed": True}):
        pass
    assert recording.moved() == {("oauth_flows_total", "other", "success"): 1}


def test_milliseconds_and_seconds_are_the_same_time(recording: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.5]
    monkeypatch.setattr("otel_oauth.operation.perf_counter", lambda: now[0])
    with recording.telemetry.operation(kinds.REFRESH, {**REFRESH}):
        now[0] += 0.25
    assert recording.series("provider_api_duration_milliseconds")["other", "refresh"].sum == 250
    assert recording.series("oauth_token_refresh_duration_seconds")["success",].sum == 0.25


def test_the_kind_settles_the_operation_label(recording: Any) -> None:
    for kind in kinds.KINDS.values():
        if kind.operation:
            assert recording.telemetry.operation(kind, {}).facts["operation"] == kind.operation
            assert kind.operation in c.PROVIDER_OPERATIONS
