"""Clients read, change and delete their registration (RFC 7592)."""

from __future__ import annotations

from typing import Any

import authlib
import pytest
from authlib.oauth2.rfc7592 import ClientConfigurationEndpoint
from authlib_rows import OWNERSHIP, storage

CHECKS_THE_OWNER = tuple(int(part) for part in authlib.__version__.split(".")[:2]) >= (1, 9)


class Configuration(ClientConfigurationEndpoint):
    """The application's callbacks; a registration token is the id of the client that it was issued to."""

    store: Any = None
    revoked: list[str]

    def authenticate_token(self, request: Any) -> Any:
        return self.store.token(request.headers.get("Authorization", "").removeprefix("Bearer "))

    def authenticate_client(self, request: Any) -> Any:
        return self.store.clients.get(request.uri.rsplit("/", 1)[-1])

    def check_permission(self, client: Any, _request: Any) -> bool:
        return client.client_id != "narrow"

    def revoke_access_token(self, *arguments: Any) -> None:
        self.revoked.append(type(arguments[0]).__name__)

    def introspect_client(self, client: Any) -> dict[str, Any]:
        return {"client_id": client.client_id}

    def generate_client_registration_info(self, _client: Any, _request: Any) -> dict[str, Any]:
        return {}

    def get_server_metadata(self) -> dict[str, Any]:
        return {}

    def update_client(self, client: Any, _metadata: dict[str, Any], _request: Any) -> Any:
        self.store.called("update_client")
        return client

    def delete_client(self, client: Any, _request: Any) -> None:
        self.store.called("delete_client")
        del self.store.clients[client.client_id]


class Managed:
    """A server whose clients manage their registration."""

    def __init__(self, server: Any) -> None:
        self.server = server
        self.revoked: list[str] = []
        server.server.register_endpoint(
            type("Configuration", (Configuration,), {"store": server.store, "revoked": self.revoked})
        )
        server.app.add_url_rule(
            "/register/<client_id>",
            methods=["GET", "PUT", "DELETE"],
            endpoint="manage",
            view_func=lambda client_id: server.server.create_endpoint_response("client_configuration"),  # noqa: ARG005 the route's
        )
        self.tokens = {}
        for client in ("web", "other", "narrow"):
            answer = server.post("/token", client, grant_type="client_credentials")
            self.tokens[client] = answer.json["access_token"]

    def request(self, method: str, client: str, token: str, **body: Any) -> Any:
        """Manage the registration of ``client`` with the token of another or the same one."""
        headers = {"Authorization": f"Bearer {self.tokens.get(token, token)}"}
        return self.server.http.open(f"/register/{client}", method=method, headers=headers, json=body or None)


@pytest.fixture
def managed(make_server: Any, capture: Any) -> Managed:
    found = Managed(make_server())
    capture.mark()
    return found


def _managed(method: str, code: int) -> dict[str, float]:
    return {
        f"oauth_http_requests_total{{method={method},endpoint=registration,status={code}}}": 1,
        "oauth_http_request_duration_milliseconds{endpoint=registration}": 1,
    }


LOOKED_UP = storage("query_token", "query_client")


def test_read(managed: Managed, capture: Any) -> None:
    assert managed.request("GET", "web", "web").json == {"client_id": "web"}
    assert capture.moved() == {**_managed("GET", 200), **LOOKED_UP}
    assert capture.spans("oauth.endpoint registration")[-1]["attributes"]["oauth.client_id"] == "web"


def test_update(managed: Managed, capture: Any) -> None:
    assert managed.request("PUT", "web", "web", client_id="web", client_name="shop").status_code == 200
    assert capture.moved() == {**_managed("PUT", 200), **LOOKED_UP, **storage("update_client")}
    assert managed.request("PUT", "web", "web", client_id="other").status_code == 400
    assert capture.moved() == {**_managed("PUT", 400), **LOOKED_UP}


def test_delete(managed: Managed, capture: Any) -> None:
    clients = capture.gauges()["storage_clients_count"]
    assert managed.request("DELETE", "web", "web").status_code == 204
    assert capture.moved() == {**_managed("DELETE", 204), **LOOKED_UP, **storage("delete_client")}
    assert capture.gauges()["storage_clients_count"] == clients - 1


@pytest.mark.parametrize(("method", "operation"), [("PUT", "update_client"), ("DELETE", "delete_client")])
def test_a_store_that_fails(managed: Managed, capture: Any, method: str, operation: str) -> None:
    managed.server.store.failing = operation
    assert managed.request(method, "web", "web", client_id="web").status_code == 500
    called = storage("query_token", "query_client", operation, error=operation)
    assert capture.moved() == {**_managed(method, 500), **called}


def test_token_of_a_client_that_is_gone_is_revoked(managed: Managed, capture: Any) -> None:
    assert managed.request("GET", "nobody", "web").status_code == 401
    security = {"oauth_token_revocations_total{reason=security}": 1}
    assert capture.moved() == {**_managed("GET", 401), **LOOKED_UP, **storage("revoke_token"), **security}
    assert managed.revoked == ["FlaskJsonRequest"], "Authlib gives the request first, unlike its documentation"


@pytest.mark.skipif(CHECKS_THE_OWNER, reason="Authlib checks the owner from 1.9 on")
def test_the_owner_of_a_registration_is_left_to_check_permission(managed: Managed) -> None:
    assert managed.request("GET", "web", "other").status_code == 200


@pytest.mark.skipif(not CHECKS_THE_OWNER, reason="before 1.9 Authlib leaves it to check_permission")
def test_token_of_other_client__of_a_registration(managed: Managed, capture: Any) -> None:
    assert managed.request("GET", "web", "other").status_code == 400
    assert capture.moved() == {**_managed("GET", 400), **LOOKED_UP, **OWNERSHIP}
    assert managed.request("GET", "web", "forged").status_code == 400
    assert capture.moved() == {**_managed("GET", 400), **storage("query_token")}


def test_permission_refused_is_no_attack(managed: Managed, capture: Any) -> None:
    assert managed.request("GET", "narrow", "narrow").status_code == 403
    assert capture.moved() == {**_managed("GET", 403), **LOOKED_UP}
