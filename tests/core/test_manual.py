"""The manual API: each call moves exactly the rows of the decision table, and together they record all 39."""

from __future__ import annotations

import asyncio
import inspect
import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from manual_rows import EVENTS, INVALID_HASH, start_flow

import otel_oauth
from otel_oauth import manual
from otel_oauth.catalogue import DOCUMENTED
from otel_oauth.testing import Capture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parents[2]
PUBLIC = [
    "__version__",
    "callback",
    "count_with",
    "discovery",
    "endpoint",
    "flow_started",
    "forbidden_practice",
    "pkce_state_cleaned",
    "provider_call",
    "rate_limit_exceeded",
    "refresh",
    "registration",
    "storage",
    "token_revoked",
    "verdict",
]


@pytest.fixture
def capture() -> Iterator[Capture]:
    with Capture() as found:
        yield found


# All 39 ---------------------------------------------------------------------------------------------------------------


def test_the_example_records_every_documented_metric() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "manual_api"],
        env={**os.environ, "PYTHONPATH": str(ROOT / "examples"), "OTEL_OAUTH_LEDGER": "memory"},
        capture_output=True,
        text=True,
        check=False,
        timeout=40,
    )
    assert (done.returncode, done.stderr) == (0, "")
    values = {line.partition("{")[0]: float(line.rpartition(" ")[2]) for line in done.stdout.splitlines()}
    assert {metric.name for metric in DOCUMENTED} <= {name for name, value in values.items() if value > 0}


def test_the_example_uses_nothing_but_the_manual_api() -> None:
    pattern = re.compile(r"^\s*(?:from|import) (otel_oauth[\w.]*|authlib|opentelemetry[\w.]*)", re.MULTILINE)
    for file in (ROOT / "examples" / "manual_api").glob("*.py"):
        imported = set(pattern.findall(file.read_text(encoding="utf-8")))
        allowed = {"otel_oauth", "otel_oauth.manual"}
        if file.name == "__main__.py":
            allowed |= {name for name in imported if name.startswith("opentelemetry")}  # sets the SDK up
        assert imported <= allowed, file.name


def test_storage(capture: Capture) -> None:
    with otel_oauth.storage("save_token", telemetry=capture.telemetry):
        pass
    error = KeyError("no such row")
    with pytest.raises(KeyError) as raised, otel_oauth.storage("query_code", telemetry=capture.telemetry):
        raise error
    assert raised.value is error
    assert capture.moved() == {
        "storage_operation_total{operation=save_token,result=success}": 1,
        "storage_operation_duration_milliseconds{operation=save_token}": 1,
        "storage_operation_total{operation=query_code,result=error}": 1,
        "storage_operation_duration_milliseconds{operation=query_code}": 1,
    }


# Outside of an operation ----------------------------------------------------------------------------------------------


def test_single_facts(capture: Capture) -> None:
    telemetry = capture.telemetry
    otel_oauth.rate_limit_exceeded("ip", telemetry=telemetry)
    otel_oauth.rate_limit_exceeded("user", telemetry=telemetry)
    otel_oauth.token_revoked("reuse_detected", telemetry=telemetry)
    otel_oauth.pkce_state_cleaned("server_deleted", telemetry=telemetry)
    otel_oauth.verdict("c_hash_mismatch", telemetry=telemetry)
    otel_oauth.verdict("pkce_mismatch", challenge_method="S256", telemetry=telemetry)
    assert capture.moved() == {
        "oauth_rate_limit_exceeded{limiter_type=ip}": 1,
        "oauth_rate_limit_exceeded{limiter_type=user}": 1,
        "oauth_token_revocations_total{reason=reuse_detected}": 1,
        "oauth_pkce_states_cleaned_total{reason=server_deleted}": 1,
        "oauth_integrity_violations_total{violation_type=hash_mismatch}": 2,
        f"{EVENTS}{{event_type=integrity_violation,severity=high}}": 2,
        INVALID_HASH: 1,
        "oauth_pkce_validation_failed{method=S256}": 1,
    }


def test_c_hash_mismatch(capture: Capture) -> None:
    start_flow(capture)
    capture.mark()
    with otel_oauth.callback("example", client_id="shop", telemetry=capture.telemetry) as callback:
        callback.state_accepted("s1")
        otel_oauth.verdict("c_hash_mismatch")
    assert capture.moved() == {
        "oauth_callback_processed{client_id=shop,success=true}": 1,
        "oauth_flows_total{provider=example,status=success}": 1,
        "oauth_flow_duration_seconds{provider=example,status=success}": 1,
        "oauth_pkce_validations_total{status=success,reason=valid}": 1,
        "oauth_integrity_violations_total{violation_type=hash_mismatch}": 1,
        f"{EVENTS}{{event_type=integrity_violation,severity=high}}": 1,
    }


def test_a_state_is_cleaned_once(capture: Capture) -> None:
    start_flow(capture)
    capture.mark()
    for _ in range(2):
        otel_oauth.pkce_state_cleaned("manual", state="s1", telemetry=capture.telemetry)
    assert capture.moved() == {"oauth_pkce_states_cleaned_total{reason=manual}": 1}
    assert capture.gauges()["oauth_active_pkce_states"] == 0


def test_a_code_that_was_deleted_unused_is_cleaned_once(capture: Capture) -> None:
    with otel_oauth.endpoint("authorization", telemetry=capture.telemetry) as request:
        request.code_issued("c1", challenge_method="S256")
    capture.mark()
    for _ in range(2):
        otel_oauth.pkce_state_cleaned("manual", code="c1", telemetry=capture.telemetry)
    assert capture.moved() == {"oauth_pkce_states_cleaned_total{reason=manual}": 1}
    assert capture.gauges()["oauth_active_pkce_states"] == capture.gauges()["storage_flows_count"] == 0


def test_gauges_from_the_applications_own_count(capture: Capture) -> None:
    for metric in ("storage_clients_count", "oauth_active_tokens"):
        otel_oauth.count_with(metric, lambda: 42, telemetry=capture.telemetry)
        assert capture.gauges()[metric] == 42
        otel_oauth.count_with(metric, None, telemetry=capture.telemetry)
        assert capture.gauges()[metric] == 0


# Names, values, failures ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: otel_oauth.endpoint("tokens"), ("'tokens'", "an endpoint", "token", "revocation", "metadata")),
        (lambda: otel_oauth.provider_call("x", "exchange"), ("'exchange'", "operation of a provider", "introspect")),
        (lambda: otel_oauth.verdict("stolen"), ("'stolen'", "a case", "code_replayed", "nonce_mismatch")),
        (lambda: otel_oauth.count_with("oauth_flows_total", None), ("a gauge", "oauth_active_tokens")),
        (lambda: otel_oauth.endpoint("token").code_presented("c", found=True, pkce="ok"), ("'ok'", "matched")),
    ],
)
def test_a_wrong_name_raises_with_the_choices(call: Callable[[], object], words: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="there are") as raised:
        call()
    assert all(word in str(raised.value) for word in words)


def test_a_wrong_value_is_other(capture: Capture) -> None:
    telemetry = capture.telemetry
    otel_oauth.rate_limit_exceeded("phase of the moon", telemetry=telemetry)
    otel_oauth.token_revoked("why not", telemetry=telemetry)
    otel_oauth.pkce_state_cleaned("spring", telemetry=telemetry)
    with otel_oauth.storage("drop_table", telemetry=telemetry):
        pass
    with otel_oauth.discovery("guess", telemetry=telemetry):
        pass
    with otel_oauth.endpoint("token", method="BREW", telemetry=telemetry) as request:
        request.answered(418)
    assert set(capture.moved()) == {
        "oauth_rate_limit_exceeded{limiter_type=other}",
        "oauth_token_revocations_total{reason=other}",
        "oauth_pkce_states_cleaned_total{reason=other}",
        "storage_operation_total{operation=other,result=success}",
        "storage_operation_duration_milliseconds{operation=other}",
        "oauth_discovery_attempts_total{method=other,status=success}",
        "oauth_discovery_duration_seconds{method=other,status=success}",
        "oauth_http_requests_total{method=other,endpoint=token,status=other}",
        "oauth_http_request_duration_milliseconds{endpoint=token}",
    }


def test_nothing_else_raises(capture: Capture) -> None:
    capture.telemetry.guard.reraise = False
    telemetry = capture.telemetry
    for wrong in (None, 7, b"\xff", object(), "\ud800", "\0" * 10_000):
        bad: Any = wrong
        with otel_oauth.flow_started(bad, telemetry=telemetry) as flow:
            flow.state_stored(bad, verifier=bad, lifetime=bad)
        with otel_oauth.callback(bad, client_id=bad, telemetry=telemetry) as callback:
            callback.state_accepted(bad, code=bad)
            callback.state_refused(bad, code=bad, session_empty=bad)
            callback.provider_refused(bad, state=bad)
        with otel_oauth.refresh(bad, telemetry=telemetry) as call:
            call.token_presented(bad)
            call.answered(bad, bad)
            call.tokens_received(bad, expires_in=bad, refresh_token=bad)
            call.token_replaced(bad, refresh_token=bad)
        with otel_oauth.endpoint("token", method=bad, grant_type=bad, telemetry=telemetry) as request:
            request.client(bad)
            request.authorization_started(state=bad)
            request.code_issued(bad, challenge_method=bad, redirect_uri=bad, lifetime=bad)
            request.code_presented(bad, found=bad, redirect_refused=bad)
            request.refresh_presented(bad, found=bad)
            request.tokens_issued(bad, expires_in=bad, refresh_token=bad)
            request.token_revoked(bad, reason=bad)
            request.client_registered(bad)
            request.rate_limited(bad)
            request.answered(bad, bad)
        with otel_oauth.storage(bad, telemetry=telemetry):
            pass
        otel_oauth.rate_limit_exceeded(bad, telemetry=telemetry)
        otel_oauth.token_revoked(bad, token=bad, telemetry=telemetry)
        otel_oauth.pkce_state_cleaned(bad, state=bad, telemetry=telemetry)
    assert capture.moved(own=True)["otel_oauth_errors_total{component=manual}"] > 0
    otel_oauth.count_with("oauth_active_tokens", lambda: 1 // 0, telemetry=telemetry)
    assert "oauth_active_tokens" not in capture.gauges()


def test_switched_off_nothing_is_recorded() -> None:
    with Capture(disabled="true") as capture:
        start_flow(capture)
        otel_oauth.rate_limit_exceeded("ip", telemetry=capture.telemetry)
        with otel_oauth.endpoint("token", telemetry=capture.telemetry) as request:
            request.client("shop")
        assert (capture.moved(), capture.spans()) == ({}, [])


# Sync, async, threads -------------------------------------------------------------------------------------------------


def test_async_operations_do_not_mix(capture: Capture) -> None:
    async def login(number: int) -> None:
        with otel_oauth.callback("example", client_id="shop", telemetry=capture.telemetry) as callback:
            await asyncio.sleep(0.001 * (number % 3))
            callback.state_accepted(f"s{number}")
            with otel_oauth.provider_call("example", "token", telemetry=capture.telemetry) as call:
                await asyncio.sleep(0.001)
                call.answered(200)
            if number % 2:
                otel_oauth.verdict("nonce_mismatch")

    async def logins() -> None:
        await asyncio.gather(*(login(number) for number in range(20)))

    asyncio.run(logins())
    moved = capture.moved()
    assert moved["oauth_flows_total{provider=example,status=success}"] == 10
    assert moved["oauth_flows_total{provider=example,status=failure}"] == 10
    assert moved["oauth_code_injection_attempts_total"] == 10
    parents = {span["span_id"] for span in capture.spans("oauth.callback")}
    assert {span["parent_id"] for span in capture.spans("oauth.token")} == parents


def test_a_cancelled_callback_is_no_failure(capture: Capture) -> None:
    async def login() -> None:
        with otel_oauth.callback("example", client_id="shop", telemetry=capture.telemetry):
            await asyncio.sleep(60)

    async def cancelled() -> None:
        task = asyncio.create_task(login())
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    assert capture.moved() == {}
    assert capture.spans()[0]["attributes"]["oauth.outcome"] == "cancelled"


def test_threads_lose_nothing(capture: Capture) -> None:
    def work() -> None:
        for _ in range(50):
            with otel_oauth.endpoint("token", telemetry=capture.telemetry) as request:
                request.client("shop")
                with otel_oauth.storage("save_token", telemetry=capture.telemetry):
                    pass

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    moved = capture.moved()
    assert moved["oauth_http_requests_total{method=POST,endpoint=token,status=200}"] == 200
    assert moved["storage_operation_duration_milliseconds{operation=save_token}"] == 200


# The names ------------------------------------------------------------------------------------------------------------


def test_exact_names() -> None:
    assert otel_oauth.__all__ == PUBLIC
    assert set(PUBLIC) - {"__version__"} <= set(manual.__all__)
    assert set(PUBLIC) <= set(dir(otel_oauth))
    with pytest.raises(AttributeError, match="'nothing'"):
        _ = otel_oauth.nothing


def test_every_public_name_is_described() -> None:
    for name in manual.__all__:
        found = getattr(manual, name)
        assert found.__doc__, name
        if inspect.isclass(found):
            methods = [
                value for key, value in vars(found).items() if inspect.isfunction(value) and not key.startswith("_")
            ]
            assert all(method.__doc__ for method in methods), name


TOKEN = "eyJhbGciOiJIUzI1NiJ9.c2VjcmV0LXRva2Vu.sig0123456789"


def test_text_where_a_closed_list_is_expected_is_told_nowhere() -> None:
    """Redaction is not installed here: what looks like a token would pass through."""
    with Capture() as capture:
        telemetry = capture.telemetry
        with otel_oauth.endpoint("token", method=TOKEN, telemetry=telemetry) as request:
            request.rate_limited(TOKEN)
            request.answered(400)
        with otel_oauth.endpoint("token", telemetry=telemetry):
            otel_oauth.verdict("pkce_mismatch", challenge_method=TOKEN, telemetry=telemetry)
        otel_oauth.rate_limit_exceeded(TOKEN, telemetry=telemetry)
        otel_oauth.token_revoked(TOKEN, telemetry=telemetry)
        otel_oauth.pkce_state_cleaned(TOKEN, telemetry=telemetry)
        with otel_oauth.discovery(TOKEN, "github", telemetry=telemetry) as call:
            call.answered(200)
        otel_oauth.verdict("pkce_mismatch", challenge_method=TOKEN, telemetry=telemetry)
        with otel_oauth.storage(TOKEN, telemetry=telemetry):
            pass
        told = [*capture.spans(), *capture.events(), capture.points()]
        assert TOKEN[:20] not in repr(told)
        assert capture.spans("oauth.endpoint")[0]["attributes"]["http.request.method"] == "_OTHER"
        assert capture.events("oauth_rate_limit_exceeded")[0]["attributes"]["oauth.limiter_type"] == "other"
