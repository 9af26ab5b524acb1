"""Devices without a browser (RFC 8628): the endpoint, the polling, and a code that another client presents."""

from __future__ import annotations

import time
from typing import Any

import pytest
from authlib.oauth2.rfc8628 import DeviceAuthorizationEndpoint, DeviceCodeGrant, DeviceCredentialDict
from authlib_rows import OWNERSHIP, endpoint, status, storage

from otel_oauth.testing import Capture
from otel_oauth_authlib import AuthlibInstrumentor

LIMITED = {"oauth_rate_limit_exceeded{limiter_type=device}": 1}


class Devices:
    """A server with devices, and what the user and the clock do to them."""

    def __init__(self, server: Any) -> None:
        self.server = server
        self.credentials: dict[str, dict[str, Any]] = {}
        self.answers: dict[str, bool] = {}
        self.too_fast = False
        self._register()
        for client in server.store.clients.values():
            client.grant_types = (DeviceCodeGrant.GRANT_TYPE, "refresh_token")
        server.app.add_url_rule(
            "/device",
            methods=["POST"],
            endpoint="device",
            view_func=lambda: server.server.create_endpoint_response("device_authorization"),
        )

    def _register(self) -> None:
        devices = self

        class Endpoint(DeviceAuthorizationEndpoint):
            def get_verification_uri(self) -> str:
                return "https://server.example/activate"

            def save_device_credential(self, client_id: str, scope: str, data: dict[str, Any]) -> None:
                devices.server.store.called("save_device_code")
                expires_at = int(time.time()) + data["expires_in"]
                found = {**data, "client_id": client_id, "scope": scope or "", "expires_at": expires_at}
                devices.credentials[data["device_code"]] = found

        class Grant(DeviceCodeGrant):
            def query_device_credential(self, device_code: str) -> Any:
                devices.server.store.called("query_device_code")
                found = devices.credentials.get(device_code)
                return None if found is None else DeviceCredentialDict(found)

            def query_user_grant(self, user_code: str) -> tuple[str, bool] | None:
                return ("user", devices.answers[user_code]) if user_code in devices.answers else None

            def should_slow_down(self, _credential: Any) -> bool:
                return devices.too_fast

        self.server.server.register_endpoint(Endpoint)
        self.server.server.register_grant(Grant)

    def begin(self, client: str = "web") -> dict[str, Any]:
        """Ask for a device code."""
        answer = self.server.post("/device", client, client_id=client)  # Authlib before 1.7 stores this one
        assert answer.status_code == 200
        return dict(answer.json)

    def poll(self, code: str, client: str = "web") -> Any:
        """Ask whether the user has answered."""
        return self.server.post("/token", client, grant_type=DeviceCodeGrant.GRANT_TYPE, device_code=code)


@pytest.fixture
def devices(make_server: Any, capture: Any) -> Devices:  # noqa: ARG001 attached before the server is made
    return Devices(make_server())


POLLED = storage("query_client", "query_device_code", "query_user")


def test_device_authorization(devices: Devices, capture: Any) -> None:
    capture.mark()
    started = devices.begin()
    called = storage("query_client", "save_device_code")
    assert capture.moved() == {**endpoint("device_authorization", 200), **called}
    assert devices.server.post("/device", "stranger").status_code == 401
    assert capture.moved() == {**endpoint("device_authorization", 401), **storage("query_client")}
    said = repr(capture.spans()) + repr(capture.points())
    assert started["device_code"] not in said
    assert started["user_code"] not in said


def _said(capture: Any) -> tuple[str, str]:
    attributes = capture.spans("oauth.endpoint token")[-1]["attributes"]
    return attributes["oauth.error"], attributes["oauth.grant_type"]


def test_device_polling_too_fast(devices: Devices, capture: Any) -> None:
    started = devices.begin()
    devices.too_fast = True
    capture.mark()
    assert devices.poll(started["device_code"]).json["error"] == "slow_down"
    assert capture.moved() == {**status(400), **POLLED, **LIMITED}
    assert _said(capture) == ("slow_down", "device_code")


def test_device_polling(devices: Devices, capture: Any) -> None:
    started = devices.begin()
    capture.mark()
    assert devices.poll(started["device_code"]).json["error"] == "authorization_pending"
    assert capture.moved() == {**status(400), **POLLED}
    assert _said(capture) == ("authorization_pending", "device_code")
    devices.answers[started["user_code"]] = True
    answer = devices.poll(started["device_code"])
    assert answer.status_code == 200
    assert capture.moved() == {**status(200), **POLLED, **storage("save_token")}
    assert capture.gauges()["storage_families_count"] == 1


def test_the_user_refuses(devices: Devices, capture: Any) -> None:
    started = devices.begin()
    devices.answers[started["user_code"]] = False
    capture.mark()
    assert devices.poll(started["device_code"]).json["error"] == "access_denied"
    assert capture.moved() == {**status(400), **POLLED}


def test_device_polling__of_expired_and_unknown_codes(devices: Devices, capture: Any) -> None:
    code = devices.begin()["device_code"]
    devices.credentials[code]["expires_at"] = 1
    capture.mark()
    assert devices.poll(code).json["error"] == "expired_token"
    assert devices.poll("never-issued").json["error"] == "invalid_request"
    once = {**status(400), **storage("query_client", "query_device_code")}
    assert capture.moved() == {name: 2 * count for name, count in once.items()}


def test_token_of_other_client__a_device_code(devices: Devices, capture: Any) -> None:
    code = devices.begin()["device_code"]
    capture.mark()
    assert devices.poll(code, "other").json["error"] == "unauthorized_client"
    assert capture.moved() == {**status(400), **storage("query_client", "query_device_code"), **OWNERSHIP}


def test_a_client_that_may_not_use_devices_is_no_attack(devices: Devices, capture: Any) -> None:
    code = devices.begin()["device_code"]
    devices.server.store.clients["web"].grant_types = ("client_credentials",)
    capture.mark()
    assert devices.poll(code).json["error"] == "unauthorized_client"
    assert capture.moved() == {**status(400), **storage("query_client")}


@pytest.mark.parametrize("operation", ["save_device_code", "query_device_code"])
def test_a_store_that_fails(devices: Devices, capture: Any, operation: str) -> None:
    code = devices.begin()["device_code"]
    devices.server.store.failing = operation
    capture.mark()
    called = storage("query_client", operation, error=operation)
    if operation == "save_device_code":
        assert devices.server.post("/device").status_code == 500
        assert capture.moved() == {**endpoint("device_authorization", 500), **called}
    else:
        assert devices.poll(code).status_code == 500
        assert capture.moved() == {**status(500), **called}


def test_attached_to_a_server_that_runs(make_server: Any) -> None:
    devices = Devices(make_server())
    code = devices.begin()["device_code"]
    bare = devices.poll(code)
    with Capture() as late:
        AuthlibInstrumentor().instrument(telemetry=late.telemetry)
        answer = devices.poll(code)
        assert late.moved() == {**status(400), **POLLED}
        devices.begin()
        assert late.moved() == {
            **endpoint("device_authorization", 200),
            **storage("query_client", "save_device_code"),
        }
        AuthlibInstrumentor().uninstrument()
    assert (answer.status_code, answer.data, sorted(answer.headers)) == (
        bare.status_code,
        bare.data,
        sorted(bare.headers),
    )
