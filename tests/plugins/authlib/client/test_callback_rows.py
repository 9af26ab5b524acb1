"""The rows «client, callback» of the decision table: each test compares all increments of its case."""

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

LOOKED_UP = {**STATE["get_state"], **STATE["clear_state"]}
TOKEN = provider_call("token", "200")
PKCE_OK = validated("success", "valid")
FAILED = {**callback_moved("false"), **callback_endpoint("500")}
ACCEPTED = {**callback_moved("true"), **callback_endpoint("200")}


@pytest.fixture
def cached(make_party: Any, capture: Any) -> Any:
    found = make_party(cache=True)
    found.client.load_server_metadata()
    found.client.fetch_jwk_set()
    capture.clear()
    return found


def later(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every clock stand ``seconds`` later."""
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + seconds)


def test_login_is_one_flow_whatever_is_nested(party: Any, capture: Any) -> None:
    parameters = party.consent()
    capture.mark()
    assert party.callback(**parameters) == 200
    assert capture.moved() == {**TOKEN, **PKCE_OK, **flow("success"), **LOOKED_UP, **ACCEPTED}


def test_state_reloaded(party: Any, capture: Any) -> None:
    parameters = party.consent()
    party.callback(**parameters)
    capture.mark()
    assert party.callback(**parameters) == 500
    assert capture.moved() == {
        **validated("failure", "not_found"),
        **security("integrity_violation", "low"),
        **LOOKED_UP,
        **FAILED,
    }


def test_state_replayed(party: Any, capture: Any) -> None:
    parameters = party.consent()
    party.callback(**parameters)
    capture.mark()
    party.callback(**{**parameters, "code": "stolen-one"})
    assert capture.moved() == {
        **validated("failure", "not_found"),
        "oauth_integrity_violations_total{violation_type=state_reuse}": 1,
        **security("integrity_violation", "high"),
        **LOOKED_UP,
        **FAILED,
    }


def test_state_expired(cached: Any, capture: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    parameters = cached.consent()
    capture.mark()
    later(3700, monkeypatch)
    cached.oauth.cache.values.clear()
    cached.callback(**parameters)
    expected = {
        **validated("failure", "expired"),
        "oauth_pkce_states_cleaned_total{reason=expired}": 1,
        **flow("failure"),
        **LOOKED_UP,
        **FAILED,
    }
    assert capture.moved() == expected
    capture.moved()
    assert capture.moved() == {}, "it is cleaned once, also at the next collections"


def test_state_expired__found_by_a_collection_first(cached: Any, capture: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    parameters = cached.consent()
    later(3700, monkeypatch)
    cached.oauth.cache.values.clear()
    capture.gauges()
    capture.mark()
    cached.callback(**parameters)
    assert capture.moved() == {**validated("failure", "expired"), **flow("failure"), **LOOKED_UP, **FAILED}


def test_state_unknown(party: Any, capture: Any) -> None:
    party.callback(state="forged", code="whatever")
    assert capture.moved() == {**validated("failure", "not_found"), **LOOKED_UP, **FAILED}


def test_state_unknown__no_state_at_all(party: Any, capture: Any) -> None:
    party.callback(code="whatever")
    assert capture.moved() == {**validated("failure", "not_found"), **LOOKED_UP, **FAILED}


def test_state_of_other_session(party: Any, capture: Any) -> None:
    parameters = party.consent()
    victim = party.app.test_client()
    victim.get("/visit")
    capture.mark()
    party.callback(victim, **parameters)
    assert capture.moved() == {**validated("failure", "not_found"), **INJECTION, **LOOKED_UP, **FAILED}
    assert party.callback(**parameters) == 200, "the owner's own login goes on"
    assert capture.moved()["oauth_flows_total{provider=idp,status=success}"] == 1


def test_state_session_lost(party: Any, capture: Any) -> None:
    parameters = party.consent()
    capture.mark()
    party.callback(party.app.test_client(), **parameters)
    assert capture.moved() == {
        **validated("failure", "not_found"),
        **flow("failure"),
        **security("integrity_violation", "low"),
        **LOOKED_UP,
        **FAILED,
    }


def test_state_session_lost__a_permanent_session_is_still_empty(party: Any, capture: Any) -> None:
    parameters = party.consent()
    browser = party.app.test_client()
    with browser.session_transaction() as session:
        session.permanent = True
    capture.mark()
    party.callback(browser, **parameters)
    lost = {**validated("failure", "not_found"), **flow("failure"), **security("integrity_violation", "low")}
    assert capture.moved() == {**lost, **LOOKED_UP, **FAILED}


@pytest.mark.skipif(AUTHLIB < (1, 6, 6), reason="Authlib accepts it: see test_registries.py")
def test_state_of_other_session__destroys_the_owners_cache_entry(cached: Any, capture: Any) -> None:
    parameters = cached.consent()
    stranger = cached.app.test_client()
    stranger.get("/visit")
    capture.mark()
    cached.callback(stranger, **parameters)
    assert capture.moved() == {
        **validated("failure", "not_found"),
        **INJECTION,
        "oauth_pkce_states_cleaned_total{reason=server_deleted}": 1,
        **LOOKED_UP,
        **FAILED,
    }
    cached.callback(**parameters)
    assert capture.moved() == {**validated("failure", "not_found"), **LOOKED_UP, **FAILED}


def test_state_dropped__by_the_cache_and_the_session(cached: Any, capture: Any) -> None:
    parameters = cached.consent()
    cached.oauth.cache.values.clear()
    browser = cached.app.test_client()
    browser.get("/visit")
    capture.mark()
    cached.callback(browser, **parameters)
    assert capture.moved() == {
        **validated("failure", "not_found"),
        "oauth_pkce_states_cleaned_total{reason=server_deleted}": 1,
        **LOOKED_UP,
        **FAILED,
    }


def test_state_dropped__by_the_cache(cached: Any, capture: Any) -> None:
    parameters = cached.consent()
    capture.mark()
    cached.oauth.cache.values.clear()
    cached.callback(**parameters)
    assert capture.moved() == {
        **validated("failure", "not_found"),
        "oauth_pkce_states_cleaned_total{reason=server_deleted}": 1,
        **LOOKED_UP,
        **FAILED,
    }


@pytest.mark.parametrize("error", ["access_denied", "login_required", "consent_required", "interaction_required"])
def test_callback_cancelled(party: Any, capture: Any, error: str) -> None:
    parameters = party.consent()
    capture.mark()
    party.callback(error=error, state=parameters["state"])
    assert capture.moved() == FAILED


def test_callback_error(party: Any, capture: Any) -> None:
    parameters = party.consent()
    capture.mark()
    party.callback(error="server_error", state=parameters["state"])
    assert capture.moved() == {**flow("failure"), **FAILED}
    party.callback(error="server_error", state=parameters["state"])
    assert capture.moved() == FAILED, "a reload is no second flow"


def test_other_error_of_a_stranger(party: Any, capture: Any) -> None:
    party.callback(error="server_error", state="forged")
    assert capture.moved() == FAILED


def test_a_state_without_verifier_is_not_counted_as_pkce(make_party: Any, capture: Any) -> None:
    party = make_party(client_kwargs={"scope": "profile"})
    party.client.load_server_metadata()
    capture.mark()
    parameters = party.consent()
    assert capture.moved() == {"oauth_flows_total{provider=idp,status=initiated}": 1, **STATE["set_state"]}
    party.callback(**parameters)
    assert capture.moved() == {**TOKEN, **flow("success"), **LOOKED_UP, **ACCEPTED}
    party.callback(state="forged", code="x")
    assert capture.moved()["oauth_pkce_validations_total{status=failure,reason=not_found}"] == 1
    party.callback(**parameters)
    assert capture.moved() == {**security("integrity_violation", "low"), **LOOKED_UP, **FAILED}


def test_states_cleaned_manual(party: Any, capture: Any) -> None:
    state = party.consent()["state"]
    capture.mark()
    party.browser.get(f"/forget/{state}")
    assert capture.moved() == {"oauth_pkce_states_cleaned_total{reason=manual}": 1, **STATE["clear_state"]}
    party.browser.get(f"/forget/{state}")
    assert capture.moved() == STATE["clear_state"]
    party.browser.get("/forget/never-issued")
    assert capture.moved() == {}


def test_states_cleaned_expired_by_a_later_callback(party: Any, capture: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    party.consent()
    later(3700, monkeypatch)
    parameters = party.consent()
    capture.telemetry.ledger.purge = lambda: 0  # no collection before the callback
    capture.mark()
    assert party.callback(**parameters) == 200
    expired = {"oauth_pkce_states_cleaned_total{reason=expired}": 1}
    assert capture.moved() == {**TOKEN, **PKCE_OK, **flow("success"), **LOOKED_UP, **ACCEPTED, **expired}


def test_form_post(party: Any, capture: Any) -> None:
    parameters = party.consent()
    capture.mark()
    assert party.browser.post("/callback", data=parameters).status_code == 200
    posted = {**callback_moved("true"), **callback_endpoint("200", "POST")}
    assert capture.moved() == {**TOKEN, **PKCE_OK, **flow("success"), **LOOKED_UP, **posted}


def test_a_hostile_callback_adds_no_series(party: Any, capture: Any) -> None:
    before = len(capture.points())
    for number in range(30):
        party.browser.get(f"/callback?state=%FF%00{number}{'x' * 5000}&code=%ED%A0%80&state=twice&iss={'x' * 2000}")
        party.browser.get(f"/callback?error=error-{number}&state=%C3%BF%FF")
    assert len(capture.points()) - before <= 4, "the callback's own histogram, nothing by state or error"
