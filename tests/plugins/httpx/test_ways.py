"""The ways that a request takes: transports, HTTP/2, retries, authentication flows. The plugin sees all of them."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import closing
from typing import TYPE_CHECKING, Any

import anyio
import h2.config
import h2.connection
import h2.events
import httpx
import pytest
from client_rows import provider_call, refreshed
from wire_clients import KINDS, TLS, Sender

from otel_oauth.testing import Capture
from otel_oauth_httpx import HttpxOAuthInstrumentor

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKEN = b'{"access_token": "a", "refresh_token": "r2", "expires_in": 60}'
FORM = {"grant_type": "refresh_token", "refresh_token": "r", "client_id": "web"}
CREDENTIALS = {"grant_type": "client_credentials", "client_id": "web", "client_secret": "s"}
AS = "https://as.example"
BEYOND = "otel_oauth_label_overflow_total{label=provider}"


def refreshed_at(host: str) -> dict[str, float]:
    return {**provider_call("refresh", "200", provider=host), **refreshed("success", "normal")}


@pytest.fixture(params=KINDS)
def send(request: pytest.FixtureRequest) -> Sender:
    return Sender(*request.param)


# Transports -----------------------------------------------------------------------------------------------------------


def test_wsgi(capture: Any) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        assert environ["PATH_INFO"] == "/token"
        start_response("200 OK", [("Content-Type", "application/json")])
        return [TOKEN[:10], TOKEN[10:]]

    with httpx.Client(transport=httpx.WSGITransport(app=app)) as client:
        assert client.post(f"{AS}/token", data=FORM).json()["access_token"] == "a"
    assert capture.moved() == refreshed_at("as.example")


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_asgi(capture: Any, backend: str) -> None:
    async def app(scope: Any, _receive: Any, send: Any) -> None:
        assert scope["path"] == "/token"
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": TOKEN})

    async def main() -> None:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app)) as client:
            await client.post(f"{AS}/token", data=FORM)

    anyio.run(main, backend=backend)
    assert capture.moved() == refreshed_at("as.example")


def test_a_transport_for_some_hosts_only(send: Sender, capture: Any) -> None:
    send.options["mounts"] = {"all://as.example": send.answering(200, content=TOKEN)}
    send("POST", f"{AS}/token", data=FORM)
    assert capture.moved() == refreshed_at("as.example")


# HTTP/2 ---------------------------------------------------------------------------------------------------------------


def _answer_http2(listener: socket.socket) -> None:
    """Answer one connection with the token, in two frames."""
    peer, _ = listener.accept()
    with closing(peer):
        connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        connection.initiate_connection()
        peer.sendall(connection.data_to_send())
        while data := peer.recv(65536):
            for event in connection.receive_data(data):
                if isinstance(event, h2.events.StreamEnded):
                    headers = [(":status", "200"), ("content-type", "application/json")]
                    connection.send_headers(event.stream_id, headers)
                    connection.send_data(event.stream_id, TOKEN[:10])
                    connection.send_data(event.stream_id, TOKEN[10:], end_stream=True)
            peer.sendall(connection.data_to_send())


@pytest.fixture
def http2_server() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_answer_http2, args=(listener,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join(5)


def test_http2(send: Sender, capture: Any, http2_server: str) -> None:
    send.options |= {"http1": False, "http2": True}
    answer = send("POST", f"{http2_server}/token", data=FORM)
    assert (answer.http_version, answer.content) == ("HTTP/2", TOKEN)
    assert capture.moved() == refreshed_at("127.0.0.1")


def test_a_connection_that_is_tried_again_is_one_call(capture: Any) -> None:
    transport = httpx.HTTPTransport(verify=TLS, retries=1)
    with httpx.Client(transport=transport) as client, pytest.raises(httpx.ConnectError):
        client.post("http://127.0.0.1:1/token", data=FORM)
    failed = provider_call("refresh", "0", "network", "127.0.0.1")
    assert capture.moved() == {**failed, **refreshed("failure", "exception")}


def test_the_application_tries_again_by_itself(send: Sender, capture: Any) -> None:
    answers = iter([503, 503, 200])
    send.options["transport"] = send.transport(lambda _: send.library.Response(next(answers), content=TOKEN))
    for _ in range(3):
        send("POST", f"{AS}/token", data=FORM)
    moved = capture.moved()
    assert moved["oauth_token_refresh_total{status=failure,reason=exception}"] == 2
    assert moved["oauth_token_refresh_total{status=success,reason=normal}"] == 1


# Authentication flows -------------------------------------------------------------------------------------------------


def token_auth(library: Any) -> Any:
    """Return an authentication that gets a token by itself when it is refused: each of its requests is seen."""

    class TokenAuth(library.Auth):
        requires_response_body = True

        def auth_flow(self, request: Any) -> Any:
            response = yield request
            if response.status_code == 401:
                token = yield library.Request("POST", f"{AS}/token", data=CREDENTIALS)
                request.headers["authorization"] = f"Bearer {token.json()['access_token']}"
                yield request

    return TokenAuth()


def test_each_request_of_an_authentication_flow_is_its_own(send: Sender, capture: Any) -> None:
    library = send.library

    def handler(request: Any) -> Any:
        if request.url.path == "/token":
            return library.Response(200, content=TOKEN)
        if "authorization" in request.headers:
            return library.Response(200, json={"ok": True})
        return library.Response(401, headers={"www-authenticate": "Bearer"})

    send.options["transport"] = send.transport(handler)
    assert send("GET", "https://api.example/things", auth=token_auth(library)).json() == {"ok": True}
    refused = provider_call("api", "401", "client_error", "api.example")
    assert capture.moved() == {**refused, **provider_call("token", "200", provider="as.example")}


def test_discovery_teaches_the_endpoints_that_follow(send: Sender, capture: Any) -> None:
    metadata = {
        "issuer": AS,
        "token_endpoint": f"{AS}/t",
        "userinfo_endpoint": f"{AS}/me",
        "jwks_uri": f"{AS}/k",
    }
    bodies = {"/.well-known/openid-configuration": metadata, "/me": {"sub": "u"}, "/k": {"keys": []}}
    send.options["transport"] = send.transport(
        lambda request: send.library.Response(200, json=bodies[request.url.path])
    )
    send("GET", f"{AS}/.well-known/openid-configuration")
    attempt = {
        "oauth_discovery_attempts_total{method=manual,status=success}": 1,
        "oauth_discovery_duration_seconds{method=manual,status=success}": 1,
    }
    assert capture.moved() == {**provider_call("discovery", "200", provider="as.example"), **attempt}
    send("GET", f"{AS}/me", headers={"authorization": "Bearer x"})
    assert capture.moved() == provider_call("userinfo", "200", provider="as.example")
    send("GET", f"{AS}/k")
    assert capture.moved() == provider_call("jwks", "200", provider="as.example")


def test_discovery_that_fails_everywhere_is_one_failed_attempt(send: Sender, capture: Any) -> None:
    send.options["transport"] = send.answering(404, json={})
    for path in ("oauth-authorization-server/tenant", "openid-configuration/tenant"):
        send("GET", f"{AS}/.well-known/{path}")
    calls = {name: value * 2 for name, value in provider_call("discovery", "404", "client_error", "as.example").items()}
    attempt = {
        "oauth_discovery_attempts_total{method=manual,status=failure}": 1,
        "oauth_discovery_duration_seconds{method=manual,status=failure}": 1,
    }
    assert capture.moved() == {**calls, **attempt}


def attempts(capture: Any) -> dict[str, float]:
    return {name: count for name, count in capture.moved().items() if "discovery_attempts" in name}


def test_what_asks_for_the_same_document_again_is_another_attempt(send: Sender, capture: Any) -> None:
    answers = [500, 500, 200]
    send.options["transport"] = send.transport(
        lambda _request: send.library.Response(answers.pop(0), json={"issuer": AS, "token_endpoint": f"{AS}/t"})
    )
    for _ in range(3):
        send("GET", f"{AS}/.well-known/openid-configuration")
    assert attempts(capture) == {
        "oauth_discovery_attempts_total{method=manual,status=failure}": 2,
        "oauth_discovery_attempts_total{method=manual,status=success}": 1,
    }


def test_discoveries_at_the_same_time_are_one_attempt_each(capture: Any) -> None:
    async def answer(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0.01)
        if "protected-resource" in request.url.path:
            found = {"resource": f"https://{request.url.host}/mcp", "authorization_servers": [AS]}
        else:
            found = {"issuer": AS, "token_endpoint": f"{AS}/t"}
        return httpx.Response(200, json=found)

    async def discover(client: httpx.AsyncClient, number: int) -> None:
        await client.get(f"https://api{number}.example/.well-known/oauth-protected-resource/mcp")
        await client.get(f"{AS}/.well-known/oauth-authorization-server")

    async def main() -> None:
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
            await asyncio.gather(*(discover(client, number) for number in range(5)))

    asyncio.run(main())
    assert attempts(capture) == {"oauth_discovery_attempts_total{method=rfc9728,status=success}": 5}


def test_each_request_to_a_provider_beyond_the_cap_counts_as_one() -> None:
    transport = httpx.MockTransport(lambda _request: httpx.Response(200, content=TOKEN))
    with Capture(provider_cap=1) as found, httpx.Client(transport=transport) as client:
        HttpxOAuthInstrumentor.instrument_client(client, telemetry=found.telemetry)
        moves = []
        for host in ("first", "second", "second"):
            found.mark()
            client.post(f"https://{host}.example/token", data=CREDENTIALS)
            moves.append(found.moved(own=True))
    first, second, again = moves
    assert first.items() >= provider_call("token", "200", provider="first.example").items()
    assert BEYOND not in first
    assert second.items() >= provider_call("token", "200", provider="other").items()
    assert second[BEYOND] == again[BEYOND]
