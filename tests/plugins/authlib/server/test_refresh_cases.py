"""The rows «server, refresh token» of the decision table: each test compares all increments of its case."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from authlib_rows import OWNERSHIP, refresh, status, storage

if TYPE_CHECKING:
    import pytest

ROTATED = storage("query_client", "query_token", "query_user", "save_token", "revoke_token")
REFUSED = storage("query_client", "query_token")
LOW = {"oauth_security_events_total{event_type=token_reuse,severity=low}": 1}
CRITICAL = {
    "oauth_token_reuse_detected": 1,
    "oauth_security_events_total{event_type=token_reuse,severity=critical}": 1,
}
OK = refresh("success", "normal")


def refreshed(client: str, rotated: str) -> dict[str, float]:
    """The M row of a successful refresh."""
    return {f"oauth_token_refreshed{{client_id={client},rotated={rotated}}}": 1}


def after(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the clock stand ``seconds`` later."""
    later = time.time() + seconds
    monkeypatch.setattr(time, "time", lambda: later)


def test_refresh_ok__with_rotation(server: Any, capture: Any) -> None:
    token = server.login()["refresh_token"]
    capture.mark()
    response = server.refresh(token)
    assert response.status_code == 200
    assert response.json["refresh_token"] != token
    assert capture.moved() == {**status(200), **ROTATED, **OK, **refreshed("web", "true")}


def test_refresh_ok__without_rotation_has_no_reuse(make_server: Any, capture: Any) -> None:
    server = make_server(rotate=False)
    token = server.login()["refresh_token"]
    for _ in range(3):
        capture.mark()
        assert server.refresh(token).status_code == 200
        assert capture.moved() == {**status(200), **ROTATED, **OK, **refreshed("web", "false")}


def test_refresh_race(server: Any, capture: Any) -> None:
    token = server.login()["refresh_token"]
    server.refresh(token)
    capture.mark()
    assert server.refresh(token).status_code == 400
    assert capture.moved() == {**status(400), **REFUSED, **refresh("failure", "reuse_detected"), **LOW}


def test_refresh_race_accepted(server: Any, capture: Any) -> None:
    token = server.login()["refresh_token"]
    server.refresh(token)
    server.store.accept_rotated = True
    capture.mark()
    assert server.refresh(token).status_code == 200
    assert capture.moved() == {**status(200), **ROTATED, **OK, **refreshed("web", "true"), **LOW}


def test_refresh_reused__after_the_window(server: Any, capture: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    token = server.login()["refresh_token"]
    server.refresh(token)
    capture.mark()
    after(31, monkeypatch)
    assert server.refresh(token).status_code == 400
    assert capture.moved() == {**status(400), **REFUSED, **refresh("reuse_detected", "reuse_detected"), **CRITICAL}


def test_refresh_reused__after_its_successor_was_presented(server: Any, capture: Any) -> None:
    token = server.login()["refresh_token"]
    successor = server.refresh(token).json["refresh_token"]
    server.refresh(successor)
    capture.mark()
    assert server.refresh(token).status_code == 400
    assert capture.moved() == {**status(400), **REFUSED, **refresh("reuse_detected", "reuse_detected"), **CRITICAL}


def test_refresh_reused__by_another_client_at_any_age(server: Any, capture: Any) -> None:
    token = server.login()["refresh_token"]
    server.refresh(token)
    capture.mark()
    assert server.refresh(token, "other").status_code == 400
    assert capture.moved() == {**status(400), **REFUSED, **refresh("reuse_detected", "reuse_detected"), **CRITICAL}


def test_refresh_reused__answered_with_tokens(server: Any, capture: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    token = server.login()["refresh_token"]
    server.refresh(token)
    server.store.accept_rotated = True
    capture.mark()
    after(31, monkeypatch)
    assert server.refresh(token).status_code == 200
    reuse = refresh("reuse_detected", "reuse_detected")
    assert capture.moved() == {**status(200), **ROTATED, **reuse, **refreshed("web", "true"), **CRITICAL}


def test_refresh_reused_again__a_family_that_replays_for_ever_does_not_flap(
    server: Any, capture: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = server.login()["refresh_token"]
    server.refresh(token)
    after(31, monkeypatch)
    server.refresh(token)
    capture.mark()
    for _ in range(3):
        assert server.refresh(token).status_code == 400
        assert capture.moved() == {**status(400), **REFUSED, **refresh("failure", "reuse_detected")}
    after(3601, monkeypatch)
    server.refresh(token)
    assert capture.moved()["oauth_token_reuse_detected"] == 1


def test_refresh_of_other_client(server: Any, capture: Any) -> None:
    token = server.login()["refresh_token"]
    capture.mark()
    assert server.refresh(token, "other").status_code == 400
    moved = capture.moved()
    assert moved == {**status(400), **REFUSED, **refresh("failure", "ownership_failed"), **OWNERSHIP}
    assert server.refresh(token).status_code == 200, "the owner's token is as good as before"


def test_refresh_unknown__never_issued(server: Any, capture: Any) -> None:
    capture.mark()
    assert server.refresh("never-issued").status_code == 400
    assert capture.moved() == {**status(400), **REFUSED, **refresh("failure", "no_record")}


def test_refresh_unknown__revoked(server: Any, capture: Any) -> None:
    token = server.login()["refresh_token"]
    server.post("/revoke", token=token)
    capture.mark()
    assert server.refresh(token).status_code == 400
    assert capture.moved() == {**status(400), **REFUSED, **refresh("failure", "no_record")}


def test_refresh_unknown__expired(server: Any, capture: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    token = server.login()["refresh_token"]
    server.store.tokens.clear()  # the application takes it for expired
    after(31 * 24 * 3600, monkeypatch)
    capture.mark()
    assert server.refresh(token).status_code == 400
    assert capture.moved() == {**status(400), **REFUSED, **refresh("failure", "no_record")}


def test_refresh_missing(server: Any, capture: Any) -> None:
    capture.mark()
    assert server.post("/token", grant_type="refresh_token").status_code == 400
    assert capture.moved() == {**status(400), **storage("query_client"), **refresh("failure", "no_refresh_token")}


def test_refresh_refused__invalid_client(server: Any, capture: Any) -> None:
    capture.mark()
    assert server.refresh("token", "stranger").status_code == 401
    assert capture.moved() == {**status(401), **storage("query_client"), **refresh("failure", "normal")}


def test_refresh_refused__unauthorized_client(server: Any, capture: Any) -> None:
    capture.mark()
    assert server.refresh("token", "narrow").status_code == 400
    assert capture.moved() == {**status(400), **storage("query_client"), **refresh("failure", "normal")}


def test_refresh_refused__invalid_scope(server: Any, capture: Any) -> None:
    token = server.login()["refresh_token"]
    capture.mark()
    assert server.refresh(token, scope="more than before").status_code == 400
    assert capture.moved() == {**status(400), **REFUSED, **refresh("failure", "normal")}
    assert server.refresh(token).status_code == 200


def test_refresh_error__the_token_could_not_be_stored(server: Any, capture: Any) -> None:
    token = server.login()["refresh_token"]
    server.store.fail_saving = RuntimeError("the database is away")
    capture.mark()
    assert server.refresh(token).status_code == 500
    called = storage("query_client", "query_token", "query_user", "save_token", error="save_token")
    assert capture.moved() == {**status(500), **called, **refresh("failure", "exception")}
    server.store.fail_saving = None
    assert server.refresh(token).status_code == 200
    assert capture.moved() == {**status(200), **ROTATED, **OK, **refreshed("web", "true")}


def test_a_server_that_revokes_nothing_keeps_its_refresh_token_alive(make_server: Any, capture: Any) -> None:
    server = make_server(rotate=False)
    token = server.login()["refresh_token"]
    alive = []
    for _ in range(4):
        assert server.refresh(token).status_code == 200
        alive.append(capture.gauges()["storage_refresh_tokens_count"])
    assert alive == [0, 1, 1, 1], "revoke_old_credential says revoked, until the token is accepted again"
    capture.mark()
    assert server.refresh(token, "other").status_code == 400
    assert capture.moved()["oauth_token_refresh_total{status=failure,reason=ownership_failed}"] == 1
