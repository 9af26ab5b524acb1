"""Logins whose user never came back: told once, by whichever process finds that their states ran out."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

import otel_oauth
from otel_oauth.ledger import Ledger, MemoryStore
from otel_oauth.ledger._host import HostStore
from otel_oauth.testing import Capture

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(params=["memory", "host"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    found = Ledger(MemoryStore(1000) if request.param == "memory" else HostStore.at(tmp_path / "ledger", 1000))
    yield found
    found.close()


def later(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + seconds)


def test_only_what_never_came_back_is_abandoned(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    for state in ("consumed", "dropped", "refused", "abandoned", "without verifier", "longer"):
        lifetime = 9000.0 if state == "longer" else 600.0
        ledger.issue_state(state, verifier=state != "without verifier", lifetime=lifetime)
    ledger.issue_code("a code of the server", "client", lifetime=600.0)
    ledger.consume_state("consumed", "code")
    ledger.drop_state("dropped")
    ledger.came_back("refused")
    ledger.came_back("never issued")
    assert ledger.abandoned() == []
    later(700, monkeypatch)
    ledger.purge()
    assert len(ledger.abandoned()) == 2
    assert ledger.abandoned() == [], "told once"
    ledger.purge()
    assert ledger.abandoned() == []


def test_a_state_that_came_back_is_still_good(ledger: Ledger) -> None:
    ledger.issue_state("s", verifier=True)
    ledger.came_back("s")
    assert ledger.consume_state("s", "code")


def test_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    with Capture() as capture:
        for state in ("cancelled", "abandoned"):
            with otel_oauth.flow_started("idp", telemetry=capture.telemetry) as flow:
                flow.state_stored(state, verifier=True)
        with otel_oauth.callback("idp", client_id="web", telemetry=capture.telemetry) as callback:
            callback.provider_refused("access_denied", state="cancelled")
        capture.clear()
        later(3700, monkeypatch)
        assert capture.moved() == {"oauth_pkce_states_cleaned_total{reason=expired}": 2}
        (span,) = capture.spans("oauth.login")
        assert span["attributes"] == {"oauth.flow.abandoned": 1, "oauth.outcome": "abandoned"}


def test_a_flood_of_them_is_one_span(monkeypatch: pytest.MonkeyPatch) -> None:
    with Capture() as capture:
        for number in range(1000):
            capture.telemetry.ledger.issue_state(f"state {number}", verifier=False)
        later(3700, monkeypatch)
        capture.moved()
        (span,) = capture.spans("oauth.login")
        assert span["attributes"]["oauth.flow.abandoned"] == 1000
        assert len(span["links"]) <= 100
