"""The registries of Flask, Django and Starlette, with and without a cache: the same rows under each."""

from __future__ import annotations

import time
from typing import Any

import pytest
from authlib_versions import AUTHLIB
from client_rows import (
    INJECTION,
    STATE,
    callback_endpoint,
    callback_moved,
    flow,
    provider_call,
    security,
    validated,
)
from registries import PARTIES

LOOKED_UP = {**STATE["get_state"], **STATE["clear_state"]}
TOKEN = provider_call("token", "200")
PKCE_OK = validated("success", "valid")
NOT_FOUND = validated("failure", "not_found")
DROPPED = {"oauth_pkce_states_cleaned_total{reason=server_deleted}": 1}
INITIATED = {
    "oauth_flows_total{provider=idp,status=initiated}": 1,
    "oauth_pkce_states_created_total": 1,
    **STATE["set_state"],
}


UNCACHED = pytest.mark.parametrize("registry", [(name, False) for name in PARTIES], ids=str, indirect=True)
CACHED = pytest.mark.parametrize("registry", [(name, True) for name in PARTIES], ids=str, indirect=True)


def accepted(method: str = "GET") -> dict[str, float]:
    return {**callback_moved("true"), **callback_endpoint("200", method)}


def refused(registry: Any, method: str = "GET") -> dict[str, float]:
    """CB(false); only Flask tells the status of the response, 500 for an exception that nobody catches."""
    status = "500" if type(registry).__name__ == "FlaskParty" else "400"
    return {**callback_moved("false"), **callback_endpoint(status, method)}


def bound(registry: Any) -> bool:
    """Whether the session holds the state: with a cache older versions of Authlib let any session in."""
    return registry.cache is None or AUTHLIB >= (1, 6, 11)


def keeps_one(registry: Any) -> bool:
    """Starlette's integration keeps one pending state in a session (Authlib 1.3.2)."""
    return type(registry).__name__ == "StarletteParty" and bound(registry) and AUTHLIB >= (1, 3, 2)


def destroyed(registry: Any) -> dict[str, float]:
    """With a cache the owner's entry is destroyed by whoever presents the state."""
    return DROPPED if registry.cache is not None else {}


def later(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every clock stand ``seconds`` later."""
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + seconds)


def test_login(registry: Any, capture: Any) -> None:
    parameters = registry.consent()
    assert capture.moved() == INITIATED
    assert capture.gauges()["oauth_active_pkce_states"] == 1
    assert registry.callback(**parameters) == 200
    assert capture.moved() == {**TOKEN, **PKCE_OK, **flow("success"), **LOOKED_UP, **accepted()}
    assert capture.gauges()["oauth_active_pkce_states"] == 0
    (begun,), (callback,) = capture.spans("oauth.authorize idp"), capture.spans("oauth.callback idp")
    assert [link["span_id"] for link in callback["links"]] == [begun["span_id"]]


@UNCACHED
def test_a_logins_time_is_split(registry: Any, provider: Any, capture: Any) -> None:
    parameters = registry.consent()
    time.sleep(0.15)
    provider.answer("/token", 503, "{}", 0.05)
    registry.callback(**parameters)
    (callback,) = capture.spans("oauth.callback idp")
    attributes = callback["attributes"]
    user, machine = attributes["oauth.flow.user_time"], attributes["oauth.flow.machine_time"]
    assert user >= 0.15
    assert 0.05 <= machine <= (callback["end"] - callback["start"]) / 1e9 + 0.02
    assert attributes["oauth.flow.duration"] == pytest.approx(user + machine)


def test_state_replayed__beside_its_reload(registry: Any, capture: Any) -> None:
    parameters = registry.consent()
    registry.callback(**parameters)
    capture.mark()
    registry.callback(**parameters)
    benign = security("integrity_violation", "low")
    assert capture.moved() == {**NOT_FOUND, **benign, **LOOKED_UP, **refused(registry)}
    registry.callback(**{**parameters, "code": "stolen-one"})
    violation = {
        "oauth_integrity_violations_total{violation_type=state_reuse}": 1,
        **security("integrity_violation", "high"),
    }
    assert capture.moved() == {**NOT_FOUND, **violation, **LOOKED_UP, **refused(registry)}


def test_state_unknown__under_each_framework(registry: Any, capture: Any) -> None:
    registry.callback(state="forged", code="whatever")
    assert capture.moved() == {**NOT_FOUND, **LOOKED_UP, **refused(registry)}


def test_state_pending_in_another_session(registry: Any, capture: Any) -> None:
    parameters = registry.consent()
    victim = registry.visited()
    capture.mark()
    registry.callback(victim, **parameters)
    success = {**TOKEN, **PKCE_OK, **flow("success"), **LOOKED_UP, **accepted()}
    if not bound(registry):
        assert capture.moved() == success, "this version of Authlib accepts it"
        return
    assert capture.moved() == {**NOT_FOUND, **INJECTION, **destroyed(registry), **LOOKED_UP, **refused(registry)}
    registry.callback(**parameters)
    owner = {**NOT_FOUND, **LOOKED_UP, **refused(registry)}
    assert capture.moved() == (owner if registry.cache is not None else success)


def test_state_pending_and_the_session_is_empty(registry: Any, capture: Any) -> None:
    parameters = registry.consent()
    capture.mark()
    registry.callback(registry.new_browser(), **parameters)
    if not bound(registry):
        assert capture.moved() == {**TOKEN, **PKCE_OK, **flow("success"), **LOOKED_UP, **accepted()}
        return
    benign = security("integrity_violation", "low")
    lost = {**NOT_FOUND, **flow("failure"), **benign, **destroyed(registry)}
    assert capture.moved() == {**lost, **LOOKED_UP, **refused(registry)}


def test_state_dropped_by_a_later_login_of_the_session(registry: Any, capture: Any) -> None:
    first = registry.consent()
    capture.mark()
    second = registry.consent()
    dropped = keeps_one(registry)
    assert capture.moved() == {**INITIATED, **(DROPPED if dropped else {})}
    registry.callback(**first)
    success = {**TOKEN, **PKCE_OK, **flow("success"), **LOOKED_UP, **accepted()}
    assert capture.moved() == ({**NOT_FOUND, **LOOKED_UP, **refused(registry)} if dropped else success)
    assert registry.callback(**second) == 200
    assert capture.moved() == success


@pytest.mark.skipif(AUTHLIB < (1, 6, 11), reason="this version of Authlib keeps the states of earlier logins")
@pytest.mark.parametrize("registry", [("starlette", False), ("starlette", True)], ids=str, indirect=True)
def test_state_dropped__by_a_later_login(registry: Any, capture: Any) -> None:
    first = registry.consent()
    capture.mark()
    registry.consent()
    assert capture.moved() == {**INITIATED, **DROPPED}
    registry.callback(**first)
    assert capture.moved() == {**NOT_FOUND, **LOOKED_UP, **refused(registry)}


def test_state_expired_that_is_dropped_by_a_later_login(
    registry: Any, capture: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.consent()
    later(3700, monkeypatch)
    capture.telemetry.ledger.purge = lambda: 0  # no collection before the login
    capture.mark()
    registry.consent()
    expired = {"oauth_pkce_states_cleaned_total{reason=expired}": 1} if keeps_one(registry) else {}
    assert capture.moved() == {**INITIATED, **expired}


@CACHED
def test_state_expired__under_each_framework(registry: Any, capture: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # Without a cache Authlib accepts a state however late it comes.
    parameters = registry.consent()
    capture.mark()
    later(3700, monkeypatch)
    registry.cache.values.clear()
    registry.callback(**parameters)
    cleaned = {"oauth_pkce_states_cleaned_total{reason=expired}": 1}
    moved = {**validated("failure", "expired"), **cleaned, **flow("failure"), **LOOKED_UP, **refused(registry)}
    assert capture.moved() == moved


@CACHED
def test_state_dropped__by_the_cache_under_each_framework(registry: Any, capture: Any) -> None:
    parameters = registry.consent()
    capture.mark()
    registry.cache.values.clear()
    registry.callback(**parameters)
    assert capture.moved() == {**NOT_FOUND, **DROPPED, **LOOKED_UP, **refused(registry)}


@UNCACHED
def test_callback_cancelled__under_each_framework(registry: Any, capture: Any) -> None:
    parameters = registry.consent()
    registry.catches = True
    capture.mark()
    assert registry.callback(error="access_denied", state=parameters["state"]) == 403
    flask = type(registry).__name__ == "FlaskParty"
    assert capture.moved() == {**callback_moved("false"), **callback_endpoint("403" if flask else "400")}
    assert capture.spans("oauth.callback idp")[0]["attributes"]["oauth.outcome"] == "cancelled"


@UNCACHED
def test_callback_error__under_each_framework(registry: Any, capture: Any) -> None:
    parameters = registry.consent()
    capture.mark()
    registry.callback(error="server_error", state=parameters["state"])
    assert capture.moved() == {**flow("failure"), **refused(registry)}
    registry.callback(error="server_error", state=parameters["state"])
    assert capture.moved() == refused(registry), "a reload is no second flow"


def test_form_post(registry: Any, capture: Any) -> None:
    if type(registry).__name__ == "StarletteParty":
        pytest.importorskip("python_multipart", reason="Starlette reads forms with it")
        if AUTHLIB < (1, 6):
            pytest.skip("this version of Authlib reads no form under Starlette")
    parameters = registry.consent()
    capture.mark()
    assert registry.post(**parameters) == 200
    assert capture.moved() == {**TOKEN, **PKCE_OK, **flow("success"), **LOOKED_UP, **accepted("POST")}
    registry.post(**parameters)
    again = {**NOT_FOUND, **LOOKED_UP, **refused(registry, "POST")}
    assert capture.moved() == {**again, **security("integrity_violation", "low")}
    registry.post(**{**parameters, "code": "another"})
    violation = {"oauth_integrity_violations_total{violation_type=state_reuse}": 1}
    assert capture.moved() == {**again, **violation, **security("integrity_violation", "high")}


@UNCACHED
def test_nonce_mismatch__under_each_framework(registry: Any, provider: Any, capture: Any) -> None:
    parameters = registry.consent()
    provider.claims["nonce"] = "of-another-login"
    capture.mark()
    registry.callback(**parameters)
    assert capture.moved() == {**TOKEN, **PKCE_OK, **flow("failure"), **INJECTION, **LOOKED_UP, **refused(registry)}


@UNCACHED
def test_at_hash_mismatch__under_each_framework(registry: Any, provider: Any, capture: Any) -> None:
    parameters = registry.consent()
    provider.claims["at_hash"] = "of-another-token"
    capture.mark()
    registry.callback(**parameters)
    mismatch = {
        "oauth_integrity_violations_total{violation_type=hash_mismatch}": 1,
        **security("integrity_violation", "high"),
    }
    assert capture.moved() == {**TOKEN, **PKCE_OK, **flow("failure"), **mismatch, **LOOKED_UP, **refused(registry)}


@UNCACHED
def test_issuer_mismatch__under_each_framework(registry: Any, capture: Any) -> None:
    parameters = registry.consent()
    capture.mark()
    assert registry.callback(**parameters, iss="https://evil.example") == 200
    mix_up = {
        "oauth_integrity_violations_total{violation_type=user_mismatch}": 1,
        **security("integrity_violation", "high"),
    }
    assert capture.moved() == {**TOKEN, **PKCE_OK, **flow("success"), **mix_up, **LOOKED_UP, **accepted()}


@UNCACHED
def test_keys_are_fetched_again_when_the_provider_rotated_them(registry: Any, provider: Any, capture: Any) -> None:
    parameters = registry.consent()
    provider.rotate_key()
    capture.mark()
    assert registry.callback(**parameters) == 200
    keys = provider_call("jwks", "200")
    assert capture.moved() == {**TOKEN, **keys, **PKCE_OK, **flow("success"), **LOOKED_UP, **accepted()}


@UNCACHED
def test_keys_cannot_be_reached(registry: Any, provider: Any, capture: Any) -> None:
    parameters = registry.consent()
    provider.rotate_key()
    provider.answer("/jwks", 503)
    registry.catches = True
    capture.mark()
    registry.callback(**parameters)
    status = "403" if type(registry).__name__ == "FlaskParty" else "500"
    keys, handled = provider_call("jwks", "503", "server_error"), callback_moved("false")
    failed = {**PKCE_OK, **flow("failure"), **LOOKED_UP, **handled, **callback_endpoint(status)}
    assert capture.moved() == {**TOKEN, **keys, **failed}


@UNCACHED
def test_token_endpoint_refuses_the_code(registry: Any, capture: Any) -> None:
    parameters = registry.consent()
    capture.mark()
    registry.callback(**{**parameters, "code": "forged"})
    call = provider_call("token", "400", "client_error")
    assert capture.moved() == {**call, **PKCE_OK, **flow("failure"), **LOOKED_UP, **refused(registry)}


@UNCACHED
def test_one_request_that_handles_its_callback_twice_is_one_request(registry: Any, capture: Any) -> None:
    parameters = registry.consent()
    registry.twice = True
    capture.mark()
    assert registry.callback(**parameters) == 200
    moved = capture.moved()
    assert {name: value for name, value in moved.items() if "http_request" in name} == callback_endpoint("200")
    assert moved["oauth_callback_processed{client_id=web,success=true}"] == 1
    assert moved["oauth_callback_processed{client_id=web,success=false}"] == 1


@pytest.mark.skipif(AUTHLIB < (1, 7), reason="Authlib logs out from 1.7 on")
@UNCACHED
def test_logout_is_no_login(registry: Any, capture: Any) -> None:
    parameters = registry.consent()
    registry.client.server_metadata["end_session_endpoint"] = "https://provider.example/logout"
    capture.mark()
    assert registry.get("/logout").status_code == 302
    assert capture.moved() == (DROPPED if keeps_one(registry) else {})
    registry.callback(state="of-the-logout", code="")
    capture.mark()
    registry.callback(**parameters)
    success = {**TOKEN, **PKCE_OK, **flow("success"), **LOOKED_UP, **accepted()}
    dropped = {**NOT_FOUND, **LOOKED_UP, **refused(registry)}
    assert capture.moved() == (dropped if keeps_one(registry) else success)


def test_no_secret_in_any_span(registry: Any, capture: Any) -> None:
    parameters = registry.consent()
    registry.callback(**parameters)
    registry.callback(**parameters)
    exported = repr(capture.spans()) + repr(capture.points())
    assert not [value for value in parameters.values() if value in exported]
