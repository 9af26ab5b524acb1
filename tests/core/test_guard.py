"""The guard: an error of ours is counted, said once without its message, and never reaches the application."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.trace.sampling import Sampler

from otel_oauth import kinds
from otel_oauth._guard import Guard

if TYPE_CHECKING:
    from collections.abc import Callable

SECRET = "refresh-token-4711"


def failing() -> None:
    msg = f"cannot parse {SECRET}"
    raise LookupError(msg)


def test_an_error_is_stopped_counted_and_said_once_for_each_component_without_its_message(
    caplog: pytest.LogCaptureFixture,
) -> None:
    counted = []
    guard = Guard(counted.append, reraise=False)
    for _ in range(3):
        assert guard.run("hook", failing) is None
    guard.run("ledger", failing)
    assert counted == ["hook", "hook", "hook", "ledger"]
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2
    first, second = (record.getMessage() for record in caplog.records)
    assert first.startswith("otel-oauth: LookupError at test_guard.py:")
    assert " in hook; the application is not affected" in first
    assert " in ledger; " in second
    assert SECRET not in caplog.text
    assert all(record.exc_info is None for record in caplog.records)


def test_the_result_and_the_arguments_pass(caplog: pytest.LogCaptureFixture) -> None:
    guard = Guard(failing, reraise=False)
    value = object()
    assert guard.run("hook", lambda first, *, second: (first, second), 1, second=value) == (1, value)
    assert caplog.records == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_ends_the_program_is_not_stopped(error: Any) -> None:
    counted = []

    def end() -> None:
        raise error

    with pytest.raises(error):
        Guard(counted.append, reraise=False).run("hook", end)
    assert counted == []


@pytest.mark.parametrize(("variable", "raises"), [("1", True), ("0", False), (None, False)])
def test_our_own_tests_see_the_error(monkeypatch: pytest.MonkeyPatch, variable: Any, raises: Any) -> None:
    if variable is None:
        monkeypatch.delenv("OTEL_OAUTH_RAISE_INTERNAL_ERRORS")
    else:
        monkeypatch.setenv("OTEL_OAUTH_RAISE_INTERNAL_ERRORS", variable)
    counted = []
    guard = Guard(counted.append)
    if raises:
        with pytest.raises(LookupError):
            guard.run("hook", failing)
    else:
        guard.run("hook", failing)
    assert counted == ["hook"]


def test_an_error_is_counted_in_the_metric_of_its_component(recording: Any) -> None:
    telemetry = recording.telemetry
    telemetry.guard.reraise = False
    telemetry.guard.run("ledger", failing)
    telemetry.guard.run("no such component", failing)
    errors = {key: value for key, value in recording.values("otel_oauth_errors_total").items() if value}
    assert errors == {("ledger",): 1, ("other",): 1}


class Unusable:
    """A value that cannot become a label."""

    def __hash__(self) -> int:
        return hash(failing())

    def __str__(self) -> str:
        return str(failing())


def test_a_fact_that_breaks_the_recording_does_not_break_the_application(
    recording: Any, caplog: pytest.LogCaptureFixture
) -> None:
    telemetry = recording.telemetry
    telemetry.guard.reraise = False
    with telemetry.operation(kinds.RATE_LIMITED, {"limiter": Unusable()}):
        pass
    assert recording.values("otel_oauth_errors_total")["operation",] == 1
    assert SECRET not in caplog.text


class FailingSampler(Sampler):
    def should_sample(self, *_args: Any, **_kwargs: Any) -> None:
        failing()

    def get_description(self) -> Any:
        return "failing"


def test_a_sampler_that_fails_costs_the_span_but_neither_the_figures_nor_the_application(
    record: Callable[..., Any],
) -> None:
    recording = record(sampler=FailingSampler())
    recording.telemetry.guard.reraise = False
    with recording.telemetry.operation(kinds.ENDPOINT, {"method": "POST", "endpoint": "token", "http_status": "200"}):
        pass
    assert recording.values("oauth_http_requests_total")["POST", "token", "200"] == 1
    assert recording.values("otel_oauth_errors_total")["operation",] == 1
    assert recording.spans() == []


class FailingProcessor(SpanProcessor):
    def on_end(self, span: Any) -> None:  # noqa: ARG002 the SDK's signature
        failing()


def test_a_span_processor_that_fails_does_not_break_the_application(recording: Any) -> None:
    recording.telemetry.guard.reraise = False
    recording.tracer_provider.add_span_processor(FailingProcessor())
    with recording.telemetry.operation(kinds.ENDPOINT, {"method": "POST", "endpoint": "token", "http_status": "200"}):
        pass
    assert recording.values("oauth_http_requests_total")["POST", "token", "200"] == 1
    assert recording.values("otel_oauth_errors_total")["operation",] == 1


def test_the_guard_works_in_a_child_that_was_forked_while_another_thread_held_its_lock(
    caplog: pytest.LogCaptureFixture,
) -> None:
    counted = []
    guard = Guard(counted.append, reraise=False)
    guard._lock.acquire()
    guard.after_fork()
    guard.run("hook", failing)
    assert counted == ["hook"]
    assert len(caplog.records) == 1


class _Strict(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return bool(record.request_id)  # type: ignore[attr-defined]  # which the application's own records have


def test_what_a_filter_of_the_application_raises_at_our_line_does_not_reach_it() -> None:
    counted, strict = [], _Strict()
    logger = logging.getLogger("otel_oauth")
    logger.addFilter(strict)
    try:
        assert Guard(counted.append, reraise=False).run("hook", failing) is None
    finally:
        logger.removeFilter(strict)
    assert counted == ["hook"]
