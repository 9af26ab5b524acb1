"""The manual API at an authorization server: each call moves exactly the rows of the decision table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from manual_rows import EVENTS, HASH_MISMATCH, INJECTION, INVALID_HASH, NOT_FOUND, Server, refresh_rows, token_rows

import otel_oauth
from otel_oauth.testing import Capture

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Clock
    from otel_oauth.manual import Endpoint


@pytest.fixture
def capture() -> Iterator[Capture]:
    with Capture() as found:
        yield found


@pytest.fixture
def server(capture: Capture) -> Server:
    return Server(capture)


def test_an_authorization_counts_once(capture: Capture, server: Server) -> None:
    for _ in range(2):
        with server.request("authorization", method="GET") as request:
            request.authorization_started(state="s", code_challenge="x")
    moved = capture.moved()
    assert moved["oauth_authorization_started{client_id=shop}"] == 1
    assert moved["oauth_http_requests_total{method=GET,endpoint=authorization,status=200}"] == 2


def test_a_code_is_issued_and_redeemed(capture: Capture, server: Server) -> None:
    server.authorize("c1")
    assert capture.moved()["oauth_pkce_states_created_total"] == 1
    assert capture.gauges()["storage_flows_count"] == 1
    assert server.redeem("c1", pkce="matched", tokens="r1") == {
        "oauth_code_exchanged{client_id=shop,pkce_method=S256}",
        "oauth_pkce_validations_total{status=success,reason=valid}",
    }
    gauges = capture.gauges()
    names = ("storage_tokens_count", "storage_refresh_tokens_count", "storage_families_count", "storage_clients_count")
    assert [gauges[name] for name in (*names, "storage_flows_count", "oauth_active_pkce_states")] == [1, 1, 1, 1, 0, 0]
    authorization, token = capture.spans()
    assert [link["span_id"] for link in token["links"]] == [authorization["span_id"]]
    assert token["attributes"]["oauth.grant_type"] == "authorization_code"


def test_bad_codes(server: Server, clock: Clock) -> None:
    reuse = "oauth_code_reuse_detected"
    server.authorize("c1")
    assert server.redeem("c1", client="thief", status=400) == INJECTION
    assert server.redeem("c1", status=400, found=True, redirect_refused="https://evil.example/") == INJECTION
    assert server.redeem("c1", status=400, found=True, redirect_refused="http://shop.example/callback") == set()
    for pkce, severity in (("mismatch", "high"), ("missing", "medium")):
        assert server.redeem("c1", status=400, found=True, pkce=pkce) == {
            INVALID_HASH,
            HASH_MISMATCH,
            "oauth_pkce_validation_failed{method=S256}",
            f"{EVENTS}{{event_type=integrity_violation,severity={severity}}}",
        }
    malformed = server.redeem("c1", status=400, found=True, pkce="malformed")
    assert malformed == {INVALID_HASH, "oauth_pkce_validation_failed{method=S256}"}
    assert server.redeem("c1", pkce="matched")
    assert server.redeem("c1", status=400) == {reuse, f"{EVENTS}{{event_type=token_reuse,severity=low}}"}
    clock.pass_(31)
    assert server.redeem("c1", status=400) == {reuse, f"{EVENTS}{{event_type=token_reuse,severity=high}}"}
    assert server.redeem("c1", client="thief", status=400) == INJECTION | {reuse}
    assert server.redeem("forged", status=400) == {NOT_FOUND}
    server.authorize("c2")
    clock.pass_(601)
    assert server.redeem("c2", status=400) == {"oauth_pkce_validations_total{status=failure,reason=expired}"}
    server.authorize("c3", "none")
    assert server.redeem("c3", status=400, found=True, pkce="required") == {
        INVALID_HASH,
        "oauth_pkce_validation_failed{method=none}",
    }
    assert "oauth_integrity_violations_total{violation_type=hash_mismatch}" in server.redeem("c3", pkce="downgrade")


def test_a_servers_refreshes(server: Server, clock: Clock) -> None:
    server.authorize("c1")
    server.redeem("c1", pkce="matched", tokens="r1")
    ok = refresh_rows("success", "normal")
    assert server.refresh("r1", new="r2") == ok | {"oauth_token_refreshed{client_id=shop,rotated=true}"}
    assert server.refresh("r2") == ok | {"oauth_token_refreshed{client_id=shop,rotated=false}"}
    server.refresh("r2", new="r3")
    low = f"{EVENTS}{{event_type=token_reuse,severity=low}}"
    critical = f"{EVENTS}{{event_type=token_reuse,severity=critical}}"
    assert server.refresh("r2", status=400, found=False) == refresh_rows("failure", "reuse_detected") | {low}
    stolen = refresh_rows("reuse_detected", "reuse_detected") | {critical, "oauth_token_reuse_detected"}
    assert server.refresh("r1", client="thief", status=400, found=False) == stolen
    clock.pass_(60)
    assert server.refresh("r1", status=400, found=False) == refresh_rows("failure", "reuse_detected")
    assert server.refresh("r3", client="thief", status=400, found=False) == refresh_rows(
        "failure", "ownership_failed"
    ) | {
        "oauth_integrity_violations_total{violation_type=user_mismatch}",
        f"{EVENTS}{{event_type=integrity_violation,severity=high}}",
    }
    assert server.refresh("unknown", status=400, found=False) == refresh_rows("failure", "no_record")
    assert server.refresh("r3", status=500) == refresh_rows("failure", "exception")
    assert server.refresh("r3", new="r4") == ok | {"oauth_token_refreshed{client_id=shop,rotated=true}"}


def test_a_refresh_without_a_token(capture: Capture, server: Server) -> None:
    with server.request(grant_type="refresh_token") as request:
        request.answered(400, "invalid_request")
    rows = token_rows(*refresh_rows("failure", "no_refresh_token"), status=400)
    assert capture.moved() == rows


def test_revocation(capture: Capture, server: Server) -> None:
    server.authorize("c1")
    server.redeem("c1", pkce="matched", tokens="r1")
    with server.request("revocation") as request:
        request.token_revoked("r1")
    moved = capture.moved()
    assert (moved["oauth_token_revoked{client_id=shop}"], moved["oauth_token_revocations_total{reason=manual}"]) == (
        1,
        1,
    )
    assert capture.gauges()["storage_refresh_tokens_count"] == capture.gauges()["storage_tokens_count"] == 0
    with server.request("revocation") as request:
        request.answered(200)
    assert not [row for row in capture.moved() if "revo" in row and "endpoint" not in row]


def test_registration_and_its_limits(capture: Capture, server: Server) -> None:
    with otel_oauth.endpoint("registration", telemetry=capture.telemetry) as request:
        request.client_registered("new", public=True)
        request.answered(201)
    moved = capture.moved()
    assert moved["oauth_client_registered{client_type=public}"] == 1
    assert moved["oauth_client_registrations_total{status=success}"] == 1
    with otel_oauth.endpoint("registration", telemetry=capture.telemetry) as request:
        request.rate_limited("client_registration")
        request.answered(429)
    moved = capture.moved()
    assert moved["oauth_rate_limit_exceeded{limiter_type=client_registration}"] == 1
    assert moved["oauth_client_registrations_total{status=failure}"] == 1
    with otel_oauth.endpoint("registration", method="PUT", telemetry=capture.telemetry):
        pass
    assert not [row for row in capture.moved() if "client_registration" in row]
    limits = ((429, "", "endpoint"), (400, "slow_down", "device"), (429, "slow_down", "device"))
    for status, error, limiter in limits:
        with server.request() as request:
            request.answered(status, error)
        assert capture.moved()[f"oauth_rate_limit_exceeded{{limiter_type={limiter}}}"] == 1


def test_an_unknown_client_makes_no_series(capture: Capture) -> None:
    for attempt in range(200):
        with otel_oauth.endpoint("token", telemetry=capture.telemetry) as request:
            request.client(f"guess {attempt}", known=False)
            request.code_presented(f"guess {attempt}", found=False)
            request.answered(401, "invalid_client")
    assert capture.moved() == dict.fromkeys(token_rows(status=401), 200)
    assert capture.gauges()["storage_clients_count"] == 0
    assert {span["attributes"]["oauth.client_id"] for span in capture.spans()} == {"unknown"}


def test_what_an_unknown_client_is_granted_all_the_same(capture: Capture) -> None:
    def request(name: str = "token", grant_type: str = "") -> Endpoint:
        return otel_oauth.endpoint(name, grant_type=grant_type, telemetry=capture.telemetry)

    with request(grant_type="authorization_code") as code:
        code.client("nobody", known=False)
        code.code_presented("c1", found=True)
    with request("authorization") as authorization:
        authorization.authorization_started(state="s")
    with request(grant_type="refresh_token") as refresh:
        refresh.refresh_presented("r1", found=True)
    with request("revocation") as revocation:
        revocation.token_revoked("r1")
    assert {series for series in capture.moved() if "client_id=" in series} == {
        "oauth_authorization_started{client_id=unknown}",
        "oauth_code_exchanged{client_id=unknown,pkce_method=none}",
        "oauth_token_refreshed{client_id=unknown,rotated=false}",
        "oauth_token_revoked{client_id=unknown}",
    }


def test_no_secret_is_exported_logged_or_kept(
    capture: Capture, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    secret = "canary-{}-5f1d"
    with otel_oauth.flow_started("example", telemetry=capture.telemetry) as flow:
        flow.state_stored(secret.format("state"), verifier=True)
    with otel_oauth.callback("example", client_id="shop", telemetry=capture.telemetry) as callback:
        callback.state_accepted(secret.format("state"), code=secret.format("code"))
        with otel_oauth.refresh("example", telemetry=capture.telemetry) as call:
            call.token_presented(secret.format("old"))
            call.tokens_received(secret.format("access"), refresh_token=secret.format("new"))
            call.answered(400, secret.format("error"))
    server.authorize(secret.format("code"))
    server.redeem(secret.format("code"), pkce="matched", tokens=secret.format("refresh"))
    server.refresh(secret.format("refresh"), new=secret.format("next"))
    with server.request("revocation", client="shop") as request:
        request.token_revoked(secret.format("next"))
    everything = repr((capture.spans(), capture.points(), caplog.text, vars(request), vars(call), vars(callback)))
    assert "canary-" not in everything
    assert len(capture.spans()) >= 7
