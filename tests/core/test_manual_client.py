"""The manual API at a client: each call moves exactly the rows of the decision table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from manual_rows import CB_FALSE, EVENTS, FLOW_FAILED, FLOW_TIMED, NOT_FOUND, called_rows, refresh_rows, start_flow

import otel_oauth
from otel_oauth.testing import Capture

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Clock


@pytest.fixture
def capture() -> Iterator[Capture]:
    with Capture() as found:
        yield found


def test_a_login_from_start_to_end(capture: Capture, clock: Clock) -> None:
    telemetry = capture.telemetry
    start_flow(capture)
    assert capture.moved() == {
        "oauth_flows_total{provider=example,status=initiated}": 1,
        "oauth_pkce_states_created_total": 1,
    }
    assert capture.gauges()["oauth_active_pkce_states"] == 1
    clock.pass_(3)
    with otel_oauth.callback("example", client_id="shop", telemetry=telemetry) as callback:
        callback.state_accepted("s1", code="c1")
        with otel_oauth.provider_call("example", "token", telemetry=telemetry) as call:
            call.answered(200)
            call.tokens_received("a1", expires_in=60, refresh_token="r1")
    rows = called_rows("token", 200) | {
        "oauth_callback_processed{client_id=shop,success=true}",
        "oauth_flows_total{provider=example,status=success}",
        "oauth_flow_duration_seconds{provider=example,status=success}",
        "oauth_pkce_validations_total{status=success,reason=valid}",
    }
    assert capture.moved() == dict.fromkeys(rows, 1)
    (duration,) = [p for p in capture.points() if p["name"] == "oauth_flow_duration_seconds"]
    assert 3.0 <= duration["sum"] < 4.0
    gauges = capture.gauges()
    assert (gauges["oauth_active_pkce_states"], gauges["oauth_active_tokens"]) == (0, 1)
    assert gauges["storage_refresh_tokens_count"] == 1
    clock.pass_(61)
    assert capture.gauges()["oauth_active_tokens"] == 0
    start, exchange, callback_span = capture.spans()
    assert [link["span_id"] for link in callback_span["links"]] == [start["span_id"]]
    assert exchange["parent_id"] == callback_span["span_id"]


def test_an_exception_in_the_callback_is_a_failed_flow_and_passes_unchanged(capture: Capture) -> None:
    start_flow(capture, verifier=False)
    capture.mark()
    error = RuntimeError("the user's row could not be written")

    def fail() -> None:
        with otel_oauth.callback("example", client_id="shop", telemetry=capture.telemetry) as callback:
            callback.state_accepted("s1")
            raise error

    with pytest.raises(RuntimeError) as raised:
        fail()
    assert raised.value is error
    rows = (
        "oauth_callback_processed{client_id=shop,success=false}",
        "oauth_flows_total{provider=example,status=failure}",
        "oauth_flow_duration_seconds{provider=example,status=failure}",
    )
    assert capture.moved() == dict.fromkeys(rows, 1)


def _refuse(capture: Capture, state: str, code: str = "c1", **arguments: Any) -> dict[str, float]:
    capture.mark()
    with otel_oauth.callback("example", client_id="shop", telemetry=capture.telemetry) as callback:
        callback.state_refused(state, code=code, **arguments)
    return capture.moved()


def test_refused_states(capture: Capture, clock: Clock) -> None:
    low = f"{EVENTS}{{event_type=integrity_violation,severity=low}}"
    high = f"{EVENTS}{{event_type=integrity_violation,severity=high}}"
    assert set(_refuse(capture, "never issued")) == {CB_FALSE, NOT_FOUND}
    start_flow(capture)
    expected = {CB_FALSE, NOT_FOUND, f"{EVENTS}{{event_type=code_injection,severity=critical}}"}
    assert set(_refuse(capture, "s1")) == expected | {"oauth_code_injection_attempts_total"}
    assert set(_refuse(capture, "s1", session_empty=True)) == {CB_FALSE, NOT_FOUND, low, FLOW_FAILED, FLOW_TIMED}
    with otel_oauth.callback("example", client_id="shop", telemetry=capture.telemetry) as callback:
        callback.state_accepted("s1", code="c1")
    assert set(_refuse(capture, "s1")) == {CB_FALSE, NOT_FOUND, low}
    reuse = "oauth_integrity_violations_total{violation_type=state_reuse}"
    assert set(_refuse(capture, "s1", code="c2")) == {CB_FALSE, NOT_FOUND, high, reuse}
    start_flow(capture, "s2")
    clock.pass_(601)
    expired = "oauth_pkce_validations_total{status=failure,reason=expired}"
    cleaned = "oauth_pkce_states_cleaned_total{reason=expired}"
    # The collection that marks has cleaned it already, so that the callback does not count it again.
    assert set(_refuse(capture, "s2")) == {CB_FALSE, expired, FLOW_FAILED, FLOW_TIMED}
    start_flow(capture, "s3")
    capture.mark()
    clock.pass_(601)
    for _ in range(2):
        with otel_oauth.callback("example", client_id="shop", telemetry=capture.telemetry) as callback:
            callback.state_refused("s3")
    assert capture.moved()[cleaned] == 1


@pytest.mark.parametrize(
    ("error", "rows"),
    [
        ("access_denied", {CB_FALSE}),
        ("login_required", {CB_FALSE}),
        ("server_error", {CB_FALSE, FLOW_FAILED, FLOW_TIMED}),
        ("<script>", {CB_FALSE, FLOW_FAILED, FLOW_TIMED}),
    ],
)
def test_the_provider_answers_with_an_error(capture: Capture, error: str, rows: set[str]) -> None:
    start_flow(capture)
    capture.mark()
    with otel_oauth.callback("example", client_id="shop", telemetry=capture.telemetry) as callback:
        callback.provider_refused(error, state="s1")
    assert set(capture.moved()) == rows
    assert "<script>" not in str(capture.spans())


def test_a_verdict_of_the_application_fails_the_callback_around_it(capture: Capture) -> None:
    start_flow(capture)
    capture.mark()
    with otel_oauth.callback("example", client_id="shop", telemetry=capture.telemetry) as callback:
        callback.state_accepted("s1")
        otel_oauth.verdict("nonce_mismatch")
    rows = {
        CB_FALSE,
        FLOW_FAILED,
        FLOW_TIMED,
        "oauth_pkce_validations_total{status=success,reason=valid}",
        "oauth_code_injection_attempts_total",
        f"{EVENTS}{{event_type=code_injection,severity=critical}}",
    }
    assert capture.moved() == dict.fromkeys(rows, 1)


class ReadTimeout(Exception):  # noqa: N818 as an HTTP library names it
    """What an HTTP library raises."""


@pytest.mark.parametrize(
    ("operation", "answer", "raised", "expected"),
    [
        ("token", (200, ""), None, (200, "")),
        ("token", None, None, (200, "")),
        ("token", (400, "invalid_grant"), None, (400, "client_error")),
        ("token", (400, "authorization_pending"), None, (400, "")),
        ("token", (200, "bad_verification_code"), None, (200, "client_error")),
        ("token", (503, ""), None, (503, "server_error")),
        ("introspect", None, TimeoutError(), (0, "timeout")),
        ("introspect", None, ReadTimeout(), (0, "timeout")),
        ("jwks", None, ConnectionResetError(), (0, "network")),
        ("userinfo", (200, ""), ValueError("the application's"), (200, "")),
        ("api", (404, ""), None, (404, "")),
        ("api", (403, ""), None, (403, "client_error")),
        ("api", (500, ""), None, (500, "server_error")),
    ],
)
def test_calls_to_the_provider(
    capture: Capture,
    operation: str,
    answer: tuple[int, str] | None,
    raised: Exception | None,
    expected: tuple[int, str],
) -> None:
    def call() -> None:
        with otel_oauth.provider_call("example", operation, telemetry=capture.telemetry) as call:
            if answer is not None:
                call.answered(*answer)
            if raised is not None:
                raise raised

    if raised is None:
        call()
    else:
        with pytest.raises(type(raised)) as found:
            call()
        assert found.value is raised
    assert capture.moved() == dict.fromkeys(called_rows(operation, *expected), 1)


def test_a_response_that_cannot_be_understood(capture: Capture) -> None:
    with otel_oauth.provider_call("example", "jwks", telemetry=capture.telemetry) as call:
        call.answered(200)
        call.invalid_response()
    assert set(capture.moved()) == called_rows("jwks", 200, "invalid_response")
    assert capture.spans()[0]["status"]["code"] == "error"


def test_a_clients_refreshes(capture: Capture) -> None:
    def refresh(token: str, status: int, error: str = "", new: str = "") -> set[str]:
        with otel_oauth.refresh("example", telemetry=capture.telemetry) as call:
            call.token_presented(token)
            call.answered(status, error)
            if new:
                call.tokens_received(f"access {new}", expires_in=60, refresh_token=new)
        return set(capture.moved())

    with otel_oauth.provider_call("example", "token", telemetry=capture.telemetry) as call:
        call.tokens_received("a0", refresh_token="r0")
    capture.mark()
    failed = called_rows("refresh", 400, "client_error")
    assert refresh("r0", 200, new="r1") == called_rows("refresh", 200) | refresh_rows("success", "normal")
    assert refresh("r0", 400, "invalid_grant") == failed | refresh_rows("failure", "reuse_detected")
    assert refresh("r1", 400, "invalid_grant") == failed | refresh_rows("failure", "no_record")
    assert refresh("r1", 400, "invalid_scope") == failed | refresh_rows("failure", "normal")
    expected = called_rows("refresh", 502, "server_error") | refresh_rows("failure", "exception")
    assert refresh("r1", 502) == expected
    with otel_oauth.refresh("example", telemetry=capture.telemetry) as call:
        call.no_refresh_token()
    assert set(capture.moved()) == refresh_rows("failure", "no_refresh_token")
    with pytest.raises(TimeoutError), otel_oauth.refresh("example", telemetry=capture.telemetry):
        raise TimeoutError
    assert set(capture.moved()) == called_rows("refresh", 0, "timeout") | refresh_rows("failure", "exception")
    assert [span["attributes"].get("oauth.reauthorization_required") for span in capture.spans("oauth.refresh")] == [
        False,
        True,
        True,
        False,
        False,
        True,
        False,
    ]


def test_a_clients_revocation(capture: Capture) -> None:
    with otel_oauth.provider_call("example", "token", telemetry=capture.telemetry) as call:
        call.tokens_received("a0", refresh_token="r0")
    assert capture.gauges()["oauth_active_tokens"] == capture.gauges()["storage_families_count"] == 1
    capture.mark()
    with otel_oauth.provider_call("example", "revoke", telemetry=capture.telemetry) as call:
        call.answered(200)
        call.token_replaced("a0", refresh_token="r0")
    assert set(capture.moved()) == called_rows("revoke", 200) | {"oauth_token_revocations_total{reason=manual}"}
    assert capture.gauges()["oauth_active_tokens"] == capture.gauges()["storage_families_count"] == 0
    with otel_oauth.provider_call("example", "revoke", telemetry=capture.telemetry) as call:
        call.answered(503)
    assert set(capture.moved()) == called_rows("revoke", 503, "server_error")


@pytest.mark.parametrize("method", ["rfc9728", "www-authenticate", "manual"])
@pytest.mark.parametrize(("answer", "status"), [(200, "success"), (500, "failure")])
def test_discovery(capture: Capture, method: str, answer: int, status: str) -> None:
    rows = {
        f"oauth_discovery_attempts_total{{method={method},status={status}}}",
        f"oauth_discovery_duration_seconds{{method={method},status={status}}}",
    }
    with otel_oauth.discovery(method, telemetry=capture.telemetry) as call:
        call.answered(answer)
    assert set(capture.moved()) == rows
    with otel_oauth.discovery(method, "example", telemetry=capture.telemetry) as call:
        call.answered(answer)
    assert set(capture.moved()) == rows | called_rows("discovery", answer, "server_error" if answer == 500 else "")


@pytest.mark.parametrize(("answer", "status"), [(201, "success"), (400, "failure")])
def test_a_client_registers_itself(capture: Capture, answer: int, status: str) -> None:
    with otel_oauth.registration("example", telemetry=capture.telemetry) as call:
        call.answered(answer)
    assert set(capture.moved()) == called_rows("registration", answer, "client_error" if answer == 400 else "") | {
        f"oauth_client_registrations_total{{status={status}}}",
        f"oauth_client_registration_duration_seconds{{status={status}}}",
    }


def test_a_provider_may_be_given_by_a_url(capture: Capture) -> None:
    with otel_oauth.flow_started("https://accounts.google.com/o/oauth2/v2/auth", telemetry=capture.telemetry):
        pass
    assert capture.moved() == {"oauth_flows_total{provider=google,status=initiated}": 1}


def test_a_provider_whose_url_has_no_host_is_unknown(capture: Capture) -> None:
    with otel_oauth.provider_call("https://", "token", telemetry=capture.telemetry) as call:
        call.answered(500)
    moved = capture.moved()
    assert moved == {series.replace("=example", "=unknown"): 1 for series in called_rows("token", 500, "server_error")}


def test_a_callback_of_a_client_without_an_id(capture: Capture) -> None:
    with otel_oauth.callback("example", client_id="", telemetry=capture.telemetry):
        pass
    assert capture.moved() == {
        "oauth_callback_processed{client_id=unknown,success=true}": 1,
        "oauth_flows_total{provider=example,status=success}": 1,
    }
