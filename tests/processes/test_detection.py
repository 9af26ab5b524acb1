"""An attack is found whichever worker or host it reaches: workers of one host by LMDB, hosts by Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from redis_server import BINARY, MISSING, RedisServer
from services import total

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from services import Service

    from otel_oauth.testing import OtlpReceiver

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

TRIES = 200
VERIFIER = "v" * 43
PREFORK = ("gunicorn", "--bind", "{address}", "--workers", "3", "--log-level", "warning", "issuer:app")


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    if BINARY is None:
        pytest.skip(MISSING)
    server = RedisServer(tmp_path)
    yield server
    server.stop()


class Issuer:
    """The authorization server as its client sees it; each request is a connection of its own."""

    def __init__(self, *services: Service) -> None:
        self.services = services

    def code(self, index: int = 0) -> str:
        query = {
            "response_type": "code",
            "client_id": "web",
            "code_challenge": VERIFIER,
            "code_challenge_method": "plain",
        }
        answer = self._ask("GET", index, "/authorize", params=query)
        return parse_qs(urlsplit(answer.headers["Location"]).query)["code"][0]

    def token(self, index: int = 0, **asked: str) -> requests.Response:
        return self._ask("POST", index, "/token", data=asked, auth=("web", "web-secret"))

    def redeem(self, code: str, index: int = 0) -> requests.Response:
        return self.token(index, grant_type="authorization_code", code=code, code_verifier=VERIFIER)

    def refresh(self, token: str, index: int = 0) -> requests.Response:
        return self.token(index, grant_type="refresh_token", refresh_token=token)

    def _ask(self, method: str, index: int, path: str, **options: Any) -> requests.Response:
        with requests.Session() as session:
            session.trust_env = False
            url = self.services[index % len(self.services)].url + path
            return session.request(method, url, timeout=20, allow_redirects=False, **options)


def attack(issuer: Issuer, index: int) -> int:
    """Redeem a code and refresh; then replay the code and the refresh token, as a thief would.

    Returns how many of the two replays reached another worker than the one that had redeemed or rotated.
    """
    code = issuer.code(index)
    first = issuer.redeem(code, index)
    rotated = issuer.refresh(first.json()["refresh_token"], index)
    replays = issuer.redeem(code, index + 1), issuer.refresh(first.json()["refresh_token"], index + 1)
    assert [replay.json()["error"] for replay in replays] == ["invalid_grant", "invalid_grant"]
    workers = [answer.headers["X-Worker"] for answer in (first, rotated, *replays)]
    return (workers[0] != workers[2]) + (workers[1] != workers[3])


def found(receiver: OtlpReceiver) -> dict[str, float]:
    counted = total(receiver)
    return {
        name: counted.get(series, 0)
        for name, series in {
            "codes": "oauth_code_reuse_detected",
            "tokens": "oauth_token_reuse_detected",
            "high": "oauth_security_events_total{event_type=token_reuse,severity=high}",
            "critical": "oauth_security_events_total{event_type=token_reuse,severity=critical}",
        }.items()
    }


def test_a_replay_that_reaches_another_worker_is_found_each_time(
    receiver: OtlpReceiver, serve: Callable[..., Service], tmp_path: Path
) -> None:
    service = serve(*PREFORK, STORE=str(tmp_path / "store"), OTEL_OAUTH_RACE_WINDOW="0", OTEL_TRACES_EXPORTER="none")
    issuer, attacks, elsewhere = Issuer(service), 0, 0
    while elsewhere < TRIES:
        elsewhere += attack(issuer, 0)
        attacks += 1
        assert attacks < 5 * TRIES, "the server gives all requests to one worker"
    service.stop()
    assert "Traceback" not in service.stderr, service.stderr
    assert found(receiver) == {"codes": attacks, "tokens": attacks, "high": attacks, "critical": attacks}
    assert total(receiver)["oauth_token_refreshed{client_id=web,rotated=true}"] == attacks


def test_a_replay_that_reaches_another_host_is_found_each_time(
    receiver: OtlpReceiver, serve: Callable[..., Service], tmp_path: Path, redis_server: RedisServer
) -> None:
    variables = {
        "STORE": str(tmp_path / "store"),
        "OTEL_OAUTH_RACE_WINDOW": "0",
        "OTEL_OAUTH_LEDGER": redis_server.address,
        "OTEL_OAUTH_LEDGER_TIMEOUT": "5",
        "OTEL_TRACES_EXPORTER": "none",
    }
    hosts = [serve(*PREFORK[:4], "1", *PREFORK[5:], **variables) for _ in range(2)]
    issuer = Issuer(*hosts)
    attacks = TRIES // 2
    assert sum(attack(issuer, index) for index in range(attacks)) == TRIES
    for host in hosts:
        host.stop()
        assert "Traceback" not in host.stderr, host.stderr
    assert found(receiver) == {"codes": attacks, "tokens": attacks, "high": attacks, "critical": attacks}
    shared = [point["value"] for point in receiver.metrics() if point["name"] == "otel_oauth_ledger_shared"]
    assert set(shared) == {2}
