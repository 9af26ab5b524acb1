"""The gauges of the ledger are right after whatever happened: derived from what is alive, they cannot drift."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

import otel_oauth

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from otel_oauth.telemetry import Telemetry

GAUGES = {
    "access": ("oauth_active_tokens", "storage_tokens_count"),
    "refresh": ("storage_refresh_tokens_count",),
    "families": ("storage_families_count",),
    "flows": ("storage_flows_count",),
    "pkce": ("oauth_active_pkce_states",),
    "clients": ("storage_clients_count",),
}


class Server:
    """A service on one of the stores, told by hand; it can be started again."""

    def __init__(self, record: Callable[..., Any], ledger: str) -> None:
        self._record = record
        self._place = ledger
        self.restart()

    def restart(self) -> None:
        """Like a new process of the same service."""
        if hasattr(self, "recording"):
            self.recording.telemetry.close()
        self.recording = self._record(ledger=self._place)

    @property
    def telemetry(self) -> Telemetry:
        return self.recording.telemetry

    def alive(self) -> dict[str, int]:
        """Return what is alive by kind, zeros left out; gauges that tell the same must agree."""
        metrics = self.recording.metrics()
        found = {}
        for kind, names in GAUGES.items():
            values = {metrics[name].data.data_points[0].value for name in names}
            assert len(values) == 1
            found[kind] = values.pop()
        return {kind: value for kind, value in found.items() if value}

    def authorize(self, code: str) -> None:
        with otel_oauth.endpoint("authorization", method="GET", telemetry=self.telemetry) as request:
            request.client("web")
            request.code_issued(code, challenge_method="S256")
            request.answered(302)

    def exchange(self, code: str, number: int, *, status: int = 200, expires_in: int = 3600) -> None:
        with otel_oauth.endpoint("token", grant_type="authorization_code", telemetry=self.telemetry) as request:
            request.client("web", authenticated=True)
            request.code_presented(code, found=True, verifier=True, pkce="matched")
            if status == 200:
                request.tokens_issued(f"access-{number}", expires_in=expires_in, refresh_token=f"refresh-{number}")
            request.answered(status)

    def refresh(self, number: int, *, status: int = 200, rotated: bool = True) -> None:
        with otel_oauth.endpoint("token", grant_type="refresh_token", telemetry=self.telemetry) as request:
            request.client("web", authenticated=True)
            request.refresh_presented(f"refresh-{number}", found=True)
            if status == 200:
                again = f"refresh-{number + 1}" if rotated else None
                request.tokens_issued(f"access-{number + 1}", expires_in=3600, refresh_token=again)
            request.answered(status)

    def revoke(self, token: str) -> None:
        with otel_oauth.endpoint("revocation", telemetry=self.telemetry) as request:
            request.client("web", authenticated=True)
            request.token_revoked(token)
            request.answered(200)


@pytest.fixture(params=["memory", "host"])
def server(request: pytest.FixtureRequest, record: Callable[..., Any], tmp_path: Path) -> Server:
    return Server(record, "memory" if request.param == "memory" else f"host:{tmp_path / 'ledger'}")


LOGGED_IN = {"access": 1, "refresh": 1, "families": 1, "clients": 1}


def login(server: Server) -> None:
    server.authorize("code")
    assert server.alive() == {"flows": 1, "pkce": 1, "clients": 1}
    server.exchange("code", 1)
    assert server.alive() == LOGGED_IN


def test_right_after_a_restart_the_host_ledger_knows_all_and_memory_nothing(server: Server) -> None:
    login(server)
    shared = server.telemetry.ledger.shared
    server.restart()
    assert server.alive() == (LOGGED_IN if shared else {})
    server.refresh(1)
    assert server.alive()["families"] == 1


def test_expiry_needs_no_request(server: Server, clock: Any) -> None:
    login(server)
    server.authorize("never redeemed")
    clock.pass_(601)
    assert server.alive() == LOGGED_IN
    clock.pass_(3600)
    assert server.alive() == {"refresh": 1, "families": 1, "clients": 1}
    clock.pass_(31 * 86400)
    assert server.alive() == {}


def test_what_expired_while_the_service_was_down_is_not_counted(server: Server, clock: Any) -> None:
    login(server)
    clock.pass_(3601)
    server.restart()
    assert "access" not in server.alive()


def test_a_rotation_replaces_and_a_refresh_without_one_adds_an_access_token(server: Server) -> None:
    login(server)
    for number in range(1, 6):
        server.refresh(number)
    assert server.alive() == {**LOGGED_IN, "access": 6}, "the old access tokens live until they expire"
    server.refresh(6, rotated=False)
    assert server.alive() == {**LOGGED_IN, "access": 7}


@pytest.mark.parametrize(
    ("token", "left"),
    [
        ("access-1", {"refresh": 1, "families": 1, "clients": 1}),
        ("refresh-1", {"clients": 1}),
        ("unknown", LOGGED_IN),
    ],
)
def test_a_revocation_takes_away_what_it_ends(server: Server, token: str, left: dict[str, int]) -> None:
    login(server)
    for _ in range(2):
        server.revoke(token)
        assert server.alive() == left


@pytest.mark.parametrize("status", [400, 401, 500])
def test_a_failure_changes_nothing(server: Server, status: int) -> None:
    login(server)
    server.refresh(1, status=status)
    assert server.alive() == LOGGED_IN
    server.authorize("second")
    pending = server.alive()
    server.exchange("second", 2, status=status)
    assert server.alive() == pending == {**LOGGED_IN, "flows": 1, "pkce": 1}


def test_the_same_token_told_twice_is_one(server: Server) -> None:
    login(server)
    with otel_oauth.endpoint("token", grant_type="client_credentials", telemetry=server.telemetry) as request:
        request.client("web", authenticated=True)
        request.tokens_issued("access-1", expires_in=3600)
        request.answered(200)
    assert server.alive() == LOGGED_IN


@pytest.mark.parametrize("step", [-86400, -1, 1, 86400 // 2])
def test_a_step_of_the_clock_makes_nothing_negative_and_brings_nothing_back(
    server: Server, clock: Any, step: int
) -> None:
    login(server)
    clock.pass_(step)
    stepped = server.alive()
    expired = {"access"} if step > 3600 else set()
    assert stepped == {kind: value for kind, value in LOGGED_IN.items() if kind not in expired}
    clock.pass_(-step)
    assert server.alive() == stepped, "what a step let expire does not come back"
    server.refresh(1)
    assert server.alive()["refresh"] == server.alive()["families"] == 1
    clock.pass_(40 * 86400)
    assert server.alive() == {}


@pytest.mark.parametrize("place", ["memory", "host"])
@pytest.mark.parametrize("number", [2_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_many_tokens_are_counted_exactly_and_a_collection_stays_short(
    record: Callable[..., Any], tmp_path: Path, clock: Any, place: str, number: int
) -> None:
    recording = record(ledger=place if place == "memory" else f"host:{tmp_path / 'ledger'}")
    ledger = recording.telemetry.ledger
    for each in range(number):
        ledger.granted("web", f"access-{each}", expires_in=60 + each % 2)
    assert recording.values("oauth_active_tokens") == {(): number}
    began = time.process_time()
    recording.metrics()
    assert time.process_time() - began < 0.1
    clock.pass_(60.5)
    assert recording.values("oauth_active_tokens") == {(): number // 2}
    clock.pass_(1)
    assert recording.values("oauth_active_tokens") == {(): 0}


@pytest.mark.parametrize("place", ["memory", "host"])
def test_beyond_the_bound_the_gauge_is_the_bound_and_evictions_are_counted(
    record: Callable[..., Any], tmp_path: Path, place: str
) -> None:
    recording = record(ledger=place if place == "memory" else f"host:{tmp_path / 'ledger'}", ledger_size=500)
    for each in range(550):
        recording.telemetry.ledger.granted("web", f"access-{each}")
    assert recording.values("oauth_active_tokens") == {(): 500}
    assert recording.values("otel_oauth_ledger_evictions_total")["access",] == 50
