"""A store that fails: the call counts as an error, the request as one that failed; the application's error is its own.

Stores of device codes, nonces, assertions and registrations are in the files of their grants and endpoints.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from authlib_rows import GRANTED, PKCE_OK, endpoint, exchanged, refresh, status, storage

if TYPE_CHECKING:
    from collections.abc import Callable

EXCEPTION = refresh("failure", "exception")


def _register(server: Any) -> Any:
    return server.http.post(
        "/register", json={"redirect_uris": ["https://a.example/cb"]}, headers={"Authorization": "x"}
    )


def _authorize(server: Any) -> Any:
    query = {"response_type": "code", "client_id": "web", "redirect_uri": "https://client.example/cb", "state": "s"}
    return server.http.post("/authorize", query_string=query, data={"allow": "yes"})


FAILURES: dict[str, tuple[Callable[[Any], Any], dict[str, float]]] = {
    "query_client": (
        lambda server: server.post("/token", grant_type="client_credentials"),
        {**status(500), **storage("query_client", error="query_client")},
    ),
    "save_client": (
        _register,
        {
            **endpoint("registration", 500),
            **storage("save_client", error="save_client"),
            "oauth_client_registrations_total{status=failure}": 1,
            "oauth_client_registration_duration_seconds{status=failure}": 1,
        },
    ),
    "save_code": (
        _authorize,
        {
            **endpoint("authorization", 500),
            **storage("query_client", "query_client", "save_code", error="save_code"),
            "oauth_authorization_started{client_id=web}": 1,
        },
    ),
    "query_code": (
        lambda server: server.exchange(server.code),
        {**status(500), **storage("query_client", "query_code", error="query_code")},
    ),
    "query_user": (
        lambda server: server.exchange(server.code),
        {**status(500), **PKCE_OK, **storage("query_client", "query_code", "query_user", error="query_user")},
    ),
    "delete_code": (
        lambda server: server.exchange(server.code),
        {
            **status(500),
            **PKCE_OK,
            **storage("query_client", "query_code", "query_user", "save_token", "delete_code", error="delete_code"),
        },
    ),
    "query_token": (
        lambda server: server.refresh(server.tokens["refresh_token"]),
        {**status(500), **EXCEPTION, **storage("query_client", "query_token", error="query_token")},
    ),
    "revoke_token": (
        lambda server: server.post("/revoke", token=server.tokens["access_token"]),
        {
            **endpoint("revocation", 500),
            **storage("query_client", "query_token", "revoke_token", error="revoke_token"),
        },
    ),
}


@pytest.mark.parametrize("operation", FAILURES)
def test_a_store_that_fails(server: Any, capture: Any, operation: str) -> None:
    ask, moved = FAILURES[operation]
    server.tokens, server.code = server.login(), server.authorize()
    server.store.failing = operation
    capture.mark()
    assert ask(server).status_code == 500
    assert capture.moved() == moved
    server.store.failing = ""
    if operation not in ("delete_code", "revoke_token"):
        assert server.exchange(server.code).status_code == 200, "nothing was taken for done"
        assert capture.moved() == {**status(200), **GRANTED, **PKCE_OK, **exchanged("web", "S256")}
