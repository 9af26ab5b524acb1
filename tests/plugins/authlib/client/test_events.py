"""Events of a real relying party: the source under each framework, one digest for one login, tokens in URLs."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest


def test_a_reload_tells_where_it_came_from_and_belongs_to_its_login(registry: Any, capture: Any) -> None:
    if type(registry).__name__ == "DjangoParty":  # the test clients of the others have an address
        registry.browser.open = partial(registry.browser.open, environ_base={"REMOTE_ADDR": "127.0.0.1"})
    parameters = registry.consent()
    registry.callback(**parameters)
    registry.callback(**parameters)
    (initiated,), (completed,) = capture.events("oauth_flow_initiated"), capture.events("oauth_flow_completed")
    (reload,) = capture.events("oauth_state_reloaded")
    states = {event["attributes"]["oauth.state.digest"] for event in (initiated, completed, reload)}
    codes = {event["attributes"]["oauth.code.digest"] for event in (completed, reload)}
    assert (len(states), len(codes)) == (1, 1)
    assert reload["attributes"]["client.address"] == "127.0.0.0/24"
    assert completed["attributes"]["oauth.flow.duration"] >= 0
    assert completed["attributes"]["user.hash"] == capture.telemetry.ledger.digest(b"user", "user").hex()[:12]
    text = json.dumps(capture.events())
    assert [value for value in parameters.values() if len(value) > 8 and value in text] == []


@pytest.mark.parametrize("placement", ["header", "uri"])
def test_a_client_that_sends_its_token_in_the_url(driver: Any, capture: Any, placement: str) -> None:
    token = {"access_token": "a-secret-access-token", "token_type": "Bearer", "expires_in": 3600}
    session = driver.session(token=token, token_placement=placement)
    driver.run(session.get(f"{driver.provider.url}/api"))
    assert len(capture.events("oauth_bearer_token_in_query")) == (placement == "uri")
    assert "a-secret-access-token" not in json.dumps(capture.events())


def test_a_login_without_pkce(party: Any, capture: Any) -> None:
    party.consent()
    assert capture.events("oauth_pkce_not_used") == []
    party.client.client_kwargs.pop("code_challenge_method")
    party.consent()
    (found,) = capture.events("oauth_pkce_not_used")
    assert found["attributes"]["oauth.provider"] == "idp"
