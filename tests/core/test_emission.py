"""Which events leave and how: through any version of the Logs API, chosen, held back, counted; never in the way."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import textwrap
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk import _logs as sdk_logs
from opentelemetry.sdk._logs import export as sdk_export
from opentelemetry.trace import SpanContext, TraceFlags

import otel_oauth
from otel_oauth import cases, emission, kinds, recorder
from otel_oauth.events import EVENTS
from otel_oauth.settings import Settings
from otel_oauth.telemetry import Telemetry, get_telemetry
from otel_oauth.testing import Capture

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SECRET = "a-very-secret-refresh-token"
DROPPED = "otel_oauth_events_dropped_total"


def limited(telemetry: Telemetry, times: int = 1) -> None:
    for _ in range(times):
        otel_oauth.rate_limit_exceeded("ip", telemetry=telemetry)


def attack(telemetry: Telemetry, times: int = 1) -> None:
    for _ in range(times):
        otel_oauth.verdict("code_replayed", telemetry=telemetry)


def dropped(capture: Capture) -> dict[str, float]:
    return {name: value for name, value in capture.moved(own=True).items() if name.startswith(DROPPED)}


# Through the SDK ------------------------------------------------------------------------------------------------------


@pytest.fixture
def exported() -> Any:
    """A logger provider of the SDK, and what it exports."""
    in_memory = getattr(sdk_export, "InMemoryLogRecordExporter", None) or sdk_export.InMemoryLogExporter
    exporter, provider = in_memory(), sdk_logs.LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(sdk_export.SimpleLogRecordProcessor(exporter))
    yield provider, exporter
    provider.shutdown()


def test_an_event_is_a_record_of_the_sdk_with_the_span_and_time_of_its_moment(record: Any, exported: Any) -> None:
    provider, exporter = exported
    tracers = record().tracer_provider
    telemetry = Telemetry(None, tracers, Settings(ledger="memory"), provider)
    before = time.time_ns()
    with telemetry.operation(
        kinds.ENDPOINT, {"endpoint": "token", "method": "POST", "http_status": "400"}
    ) as operation:
        operation.judge(cases.CODE_REPLAYED)
    after = time.time_ns()
    telemetry.emission.flush()
    (found,) = exporter.get_finished_logs()
    told, span = found.log_record, operation.span.get_span_context()
    assert (told.trace_id, told.span_id, told.trace_flags) == (span.trace_id, span.span_id, span.trace_flags)
    assert before <= told.timestamp <= after
    assert (told.severity_text, told.severity_number.value) == ("WARN", 13)
    assert told.body == EVENTS["oauth_code_reuse_detected"].when
    assert getattr(told, "event_name", "oauth_code_reuse_detected") == "oauth_code_reuse_detected"
    assert told.attributes["event.name"] == "oauth_code_reuse_detected"
    assert told.attributes["oauth.security.severity"] == "high"
    scope = found.instrumentation_scope
    assert (scope.name, scope.version) == ("otel_oauth", otel_oauth.__version__)
    telemetry.close()


def test_a_provider_is_a_part_of_what_makes_a_telemetry(exported: Any) -> None:
    provider, _ = exported
    found = get_telemetry(logger_provider=provider, ledger="memory")
    assert found is get_telemetry(logger_provider=provider)
    assert found is not get_telemetry()
    assert found.providers[2] is provider


def test_a_logger_that_is_not_enabled_gets_nothing() -> None:
    with Capture() as capture:
        asked = []
        log = capture.telemetry.emission._pipeline
        assert log.available()
        log._enabled = lambda **arguments: asked.append(arguments) is not None  # type: ignore[method-assign]
        limited(capture.telemetry)
        assert capture.events() == []
    (arguments,) = asked
    assert (arguments["event_name"], arguments["severity_number"].value) == ("oauth_rate_limit_exceeded", 9)


def test_a_logger_that_wants_an_event_is_not_asked_for_each_and_one_that_does_not_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [10**18]
    monkeypatch.setattr(emission.time, "time_ns", lambda: now[0])
    with Capture() as capture:
        asked: list[Any] = []
        log, answers = capture.telemetry.emission._pipeline, [True, False, False, True, True]
        assert log.available()
        log._enabled = lambda **arguments: (asked.append(arguments), answers[len(asked) - 1])[1]  # type: ignore[method-assign]
        for after in (0, 1, 999_999_999, 1, 0, 0, -1):
            now[0] += after
            limited(capture.telemetry)
        assert len(capture.events()) == 5  # all but the two that it did not want
        assert len(asked) == 5


def test_without_a_pipeline_nothing_is_queued() -> None:
    telemetry = Telemetry(settings=Settings(ledger="memory"))
    limited(telemetry)
    attack(telemetry)
    assert not telemetry.emission.queue._pending
    assert telemetry.emission.queue._thread is None
    telemetry.close()


PROGRAM = textwrap.dedent("""
    import os, sys
    from opentelemetry._logs import set_logger_provider
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs import export
    import otel_oauth

    class Printed:
        def export(self, batch):
            for found in batch:
                print(os.getpid() == parent, found.log_record.attributes["oauth.limiter_type"], flush=True)
        def shutdown(self): pass
        def force_flush(self, timeout_millis=0): return True

    parent = os.getpid()
    otel_oauth.rate_limit_exceeded("user")  # nobody listens yet
    provider = LoggerProvider()
    provider.add_log_record_processor(export.BatchLogRecordProcessor(Printed()))
    set_logger_provider(provider)
""")


def run(program: str, tmp_path: Path, **variables: str) -> list[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    environment = {**kept, "OTEL_OAUTH_LEDGER": "memory", "TMPDIR": str(tmp_path), **variables}
    command = [sys.executable, "-W", "ignore", "-c", program]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=40)
    return done.stdout.splitlines()


def test_a_provider_that_is_set_later_gets_what_happens_last_in_the_program(tmp_path: Path) -> None:
    assert run(f"{PROGRAM}\notel_oauth.rate_limit_exceeded('ip')", tmp_path) == ["True ip"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_tells_its_own_events_and_the_parent_the_others_once(tmp_path: Path) -> None:
    forked = textwrap.dedent("""
        otel_oauth.rate_limit_exceeded("ip")
        if os.fork() == 0:
            otel_oauth.rate_limit_exceeded("device")
            sys.exit()
        os.wait()
    """)
    assert sorted(run(PROGRAM + forked, tmp_path)) == ["False device", "True ip"]


LAST_WORDS = """
import atexit

@atexit.register
def revoke_all():
    for limiter in ("ip", "device", "endpoint"):
        otel_oauth.rate_limit_exceeded(limiter)
"""


def test_what_the_application_does_when_the_program_ends_is_told(tmp_path: Path) -> None:
    """Its handler was registered before ours, which the first event registers: so it runs after ours."""
    program = f"{PROGRAM}{LAST_WORDS}\notel_oauth.rate_limit_exceeded('user')"
    assert run(program, tmp_path) == ["True user", "True ip", "True device", "True endpoint"]


def test_of_the_first_events_of_many_threads_none_is_lost(exported: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    provider, exporter = exported
    get_logger = provider.get_logger

    def slowly(*scope: Any) -> Any:
        time.sleep(0.02)
        return get_logger(*scope)

    monkeypatch.setattr(provider, "get_logger", slowly)
    telemetry = Telemetry(None, None, Settings(ledger="memory"), provider)
    threads = [threading.Thread(target=attack, args=(telemetry,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    telemetry.emission.flush()
    assert len(exporter.get_finished_logs()) == 8
    telemetry.close()


def test_a_sample_draws_nothing_from_the_numbers_of_the_application() -> None:
    with Capture(event_sampling=0.5) as capture:
        random.seed(7)
        expected = random.random()  # noqa: S311 no secret
        random.seed(7)
        limited(capture.telemetry, 20)
        assert random.random() == expected  # noqa: S311 as above


# Which ones -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, {"oauth_rate_limit_exceeded": "INFO", "oauth_code_reuse_detected": "WARN"}),
        ({"log_level": "warn"}, {"oauth_code_reuse_detected": "WARN"}),
        ({"log_level": "error"}, {}),
        ({"log_level": "off"}, {}),
        ({"log_level": "off", "events": "oauth_rate_limit_exceeded=on"}, {"oauth_rate_limit_exceeded": "INFO"}),
        ({"events": "oauth_code_reuse_detected=off"}, {"oauth_rate_limit_exceeded": "INFO"}),
        ({"log_level": "warn", "events": "oauth_rate_limit_exceeded=error"}, {"oauth_rate_limit_exceeded": "ERROR"}),
        ({"log_level": "debug", "events": "oauth_rate_limit_exceeded=debug"}, {"oauth_rate_limit_exceeded": "DEBUG"}),
    ],
)
def test_levels_and_events_one_by_one(settings: dict[str, str], expected: dict[str, str]) -> None:
    with Capture(**settings) as capture:
        limited(capture.telemetry)
        attack(capture.telemetry)
        found = {event["event_name"]: event["severity"] for event in capture.events()}
        assert expected.items() <= found.items()
        assert found.keys() - {"oauth_code_reuse_detected"} == expected.keys() - {"oauth_code_reuse_detected"}
        assert dropped(capture) == {}


def test_operations_are_sampled_and_security_events_never() -> None:
    with Capture(event_sampling=0) as capture:
        limited(capture.telemetry, 5)
        attack(capture.telemetry, 5)
        otel_oauth.verdict("refresh_race", telemetry=capture.telemetry)
        named = [event["event_name"] for event in capture.events()]
        assert named == ["oauth_code_reuse_detected"] * 5 + ["oauth_refresh_race"]
        assert dropped(capture) == {f"{DROPPED}{{reason=sampled}}": 5}


def test_a_share_is_about_that_share() -> None:
    with Capture(event_sampling=0.5, event_rate=0) as capture:
        limited(capture.telemetry, 400)
        assert 120 < len(capture.events()) < 280


def test_a_flood_is_held_back_counted_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(emission.time, "monotonic", lambda: now[0])
    with Capture(event_rate=60) as capture:
        attack(capture.telemetry, 1000)
        limited(capture.telemetry)  # another name has a rate of its own
        assert len(capture.events("oauth_code_reuse_detected")) == 60
        assert len(capture.events("oauth_rate_limit_exceeded")) == 1
        assert dropped(capture) == {f"{DROPPED}{{reason=rate_limited}}": 940}
        now[0] += 1.5
        attack(capture.telemetry, 2)
        told = capture.events("oauth_code_reuse_detected")
        assert len(told) == 61
        assert told[-1]["attributes"]["oauth.event.suppressed"] == 940
        assert "oauth.event.suppressed" not in told[0]["attributes"]
        now[0] += 3600
        attack(capture.telemetry, 100)
        assert len(capture.events("oauth_code_reuse_detected")) == 121


def test_a_way_out_that_is_blocked_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "_BOUND", 8)
    blocked = threading.Event()
    with Capture() as capture:
        assert capture.telemetry.emission._pipeline.available()
        capture.telemetry.emission._pipeline._emit = lambda *_record: blocked.wait(20)
        began = time.perf_counter()
        limited(capture.telemetry, 50)
        assert (
            dropped(capture)[f"{DROPPED}{{reason=queue_full}}"] >= 40
        )  # a collection, which waits a second for events
        assert time.perf_counter() - began < 5
        blocked.set()


# What they tell -------------------------------------------------------------------------------------------------------


def failing(token: str) -> None:
    local = token
    raise LookupError(local)


def test_an_error_is_told_by_type_and_frames_and_never_by_what_it_says_or_holds() -> None:
    with Capture() as capture:
        with pytest.raises(LookupError), otel_oauth.storage("query_token", telemetry=capture.telemetry):
            failing(SECRET)
        (found,) = capture.events("oauth_storage_error")
    attributes = found["attributes"]
    assert attributes["exception.type"] == "builtins.LookupError"
    first, last = attributes["exception.stacktrace"].splitlines()
    assert first.startswith(f'File "{__file__}", line ')
    assert first.endswith(", in test_an_error_is_told_by_type_and_frames_and_never_by_what_it_says_or_holds")
    assert last.endswith(", in failing")
    assert SECRET not in json.dumps(found)
    assert "failing(" not in json.dumps(found)


def test_a_deep_stack_is_cut() -> None:
    def deep(level: int) -> None:
        if level:
            deep(level - 1)
        raise RecursionError

    with Capture() as capture:
        with pytest.raises(RecursionError), otel_oauth.storage("query_token", telemetry=capture.telemetry):
            deep(100)
        (found,) = capture.events("oauth_storage_error")
    assert len(found["attributes"]["exception.stacktrace"].splitlines()) == 20


def request_from(telemetry: Telemetry, address: str, agent: str = "") -> None:
    with otel_oauth.endpoint("token", telemetry=telemetry) as request:
        request.came_from(address, user_agent=agent)
        request.answered(400)
        otel_oauth.verdict("code_replayed")


@pytest.mark.parametrize(
    ("manner", "address", "expected"),
    [
        ("truncated", "203.0.113.77", "203.0.113.0/24"),
        ("truncated", "2001:db8:1:2:3::4", "2001:db8:1::/48"),
        ("truncated", "::ffff:203.0.113.77", "203.0.113.0/24"),
        ("truncated", "fe80::1%eth0", "fe80::/48"),
        ("whole", "203.0.113.77", "203.0.113.77"),
        ("none", "203.0.113.77", None),
        ("whole", SECRET, None),
        ("truncated", "", None),
    ],
)
def test_the_source_address_of_a_security_event(manner: str, address: str, expected: str | None) -> None:
    with Capture(source_address=manner, log_level="debug") as capture:
        request_from(capture.telemetry, address, "curl/8")
        by_name = {event["event_name"]: event["attributes"] for event in capture.events()}
    assert by_name["oauth_code_reuse_detected"].get("client.address") == expected
    assert "client.address" not in by_name["oauth_http_request"]
    assert SECRET not in json.dumps(by_name)
    assert "user_agent.original" not in by_name["oauth_code_reuse_detected"]


def test_the_user_agent_is_told_if_that_is_switched_on() -> None:
    with Capture(user_agent=True) as capture:
        request_from(capture.telemetry, "203.0.113.77", "curl/8\n\x1b[31m" + "x" * 1000)
        (found,) = capture.events("oauth_code")
    assert found["attributes"]["user_agent.original"].startswith("curl/8[31mxxx")
    assert len(found["attributes"]["user_agent.original"]) < 257


def clients(capture: Capture) -> list[str]:
    for client in ("first", "second"):
        with otel_oauth.endpoint("token", telemetry=capture.telemetry) as request:
            request.client(client)
            otel_oauth.verdict("code_replayed")
    return [event["attributes"]["oauth.client_id"] for event in capture.events("oauth_code")]


def test_the_client_id_is_bounded_like_the_label_or_whole() -> None:
    with Capture(client_id_cap=1) as capture:
        assert clients(capture) == ["first", "other"]
    with Capture(client_id_cap=1, full_client_id=True) as capture:
        assert clients(capture) == ["first", "second"]
        assert {span["attributes"]["oauth.client_id"] for span in capture.spans()} == {"first", "other"}
        labels = {point["attributes"].get("client_id") for point in capture.points()}
        assert "second" not in labels


def test_the_runbook_is_where_the_user_says() -> None:
    with Capture(runbook="https://wiki.example/oauth") as capture:
        attack(capture.telemetry)
        (found,) = capture.events("oauth_code")
    assert found["attributes"]["oauth.event.runbook"] == "https://wiki.example/oauth#oauth_code_reuse_detected"


def test_a_verdict_is_on_its_span_too(record: Callable[..., Any]) -> None:
    recording = record()
    with recording.telemetry.operation(kinds.ENDPOINT, {"endpoint": "token", "method": "POST"}) as operation:
        operation.judge(cases.REFRESH_RACE)
    assert [event.name for event in recording.spans()[0].events] == ["oauth_refresh_race"]


def test_an_event_within_an_unsampled_span_still_has_its_ids() -> None:
    with Capture() as capture:
        from opentelemetry import trace  # noqa: PLC0415 the names of this test only

        context = SpanContext(0xABC, 0xDEF, is_remote=False, trace_flags=TraceFlags(0))
        with trace.use_span(trace.NonRecordingSpan(context)):
            limited(capture.telemetry)
        (found,) = capture.events()
    assert (found["trace_id"], found["span_id"]) == (f"{0xABC:032x}", f"{0xDEF:016x}")
