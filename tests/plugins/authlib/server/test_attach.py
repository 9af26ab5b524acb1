"""The application cannot tell: early, late, twice, taken back; same objects, same exceptions, same store calls."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref
from typing import Any
from unittest import mock

import pytest
from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2 import rfc6749
from authlib.oauth2.rfc6749 import grants
from authlib.oauth2.rfc7636 import CodeChallenge
from opentelemetry.instrumentation.utils import suppress_instrumentation

from otel_oauth.testing import Capture
from otel_oauth_authlib import AuthlibInstrumentor


def _drive(server: Any) -> dict[str, int]:
    """A login, a refresh, a replay and a revocation; returns how often the store was called."""
    code = server.authorize()
    tokens = server.exchange(code).json
    server.exchange(code)
    server.refresh(tokens["refresh_token"])
    server.post("/revoke", token=tokens["access_token"])
    return dict(server.store.calls)


def _definitions() -> dict[str, Any]:
    """Every attribute of Authlib's classes that could be hooked."""
    classes = (
        rfc6749.AuthorizationServer,
        AuthorizationServer,
        grants.RefreshTokenGrant,
        CodeChallenge,
        rfc6749.ResourceProtector,
    )
    return {f"{cls.__module__}.{cls.__name__}.{name}": value for cls in classes for name, value in vars(cls).items()}


def test_uninstrument_restores_every_attribute(make_server: Any) -> None:
    before = _definitions()
    server = make_server()
    own = {cls: dict(vars(cls)) for cls, _ in server.server._token_grants}
    with Capture() as capture:
        AuthlibInstrumentor().instrument(telemetry=capture.telemetry)
        _drive(server)
        hooked = _definitions()
        AuthlibInstrumentor().uninstrument()
    assert any(hooked[name] is not before[name] for name in before)
    assert all(value is before[name] for name, value in _definitions().items())
    for cls, attributes in own.items():
        assert all(vars(cls)[name] is value for name, value in attributes.items())


@pytest.mark.parametrize("when", ["early", "late", "after the first request"])
def test_every_storage_call_is_seen_whenever_it_is_attached(make_server: Any, when: str) -> None:
    bare = _drive(make_server())
    with Capture() as capture:
        instrumentor = AuthlibInstrumentor()
        if when == "early":
            instrumentor.instrument(telemetry=capture.telemetry)
        server = make_server()
        if when == "after the first request":
            server.login()
            server.store.calls.clear()
        if when != "early":
            instrumentor.instrument(telemetry=capture.telemetry)
        assert _drive(server) == bare, "the store is called as often as without instrumentation"
        assert sum(v for (name, _), v in capture.counters().items() if name == "oauth_http_requests_total") == 5
        seen = {
            dict(labels)["operation"]: value
            for (name, labels), value in capture.counters().items()
            if name == "storage_operation_total"
        }
        instrumentor.uninstrument()
    assert seen == bare


def test_after_uninstrument_nothing_is_recorded(make_server: Any) -> None:
    with Capture() as capture:
        AuthlibInstrumentor().instrument(telemetry=capture.telemetry)
        server = make_server()
        kept = server.server.query_client
        _drive(server)
        AuthlibInstrumentor().uninstrument()
        capture.clear()
        _drive(server)
        kept("web")
        assert capture.moved() == {}
        assert capture.spans() == []


def test_a_route_may_hold_a_method_of_the_server(make_server: Any, capture: Any) -> None:
    server = make_server()
    server.app.add_url_rule("/held", methods=["POST"], endpoint="held", view_func=server.server.create_token_response)
    assert server.post("/held", grant_type="client_credentials").status_code == 200
    assert capture.moved()["oauth_http_requests_total{method=POST,endpoint=token,status=200}"] == 1
    AuthlibInstrumentor().uninstrument()
    assert server.post("/held", grant_type="client_credentials").status_code == 200
    assert capture.moved() == {}


def test_what_authlib_defines_itself_is_hooked_only_where_it_tells_something(server: Any) -> None:
    server.login()
    plain = {
        AuthorizationServer: ("create_oauth2_request", "create_json_request", "handle_response"),
        rfc6749.AuthorizationServer: ("authenticate_client",),
        rfc6749.grants.BaseGrant: ("save_token",),
    }
    hooked = [name for cls, names in plain.items() for name in names if hasattr(vars(cls)[name], "__wrapped__")]
    assert hooked == [], "the framework's request and response, and the server's save_token, tell as much"
    assert hasattr(vars(AuthorizationServer)["save_token"], "__wrapped__")


def test_authentication_that_is_registered_after_the_first_request(server: Any, capture: Any) -> None:
    """Authlib's own ways ask the store for the client; one of the application's may not, whenever it comes."""
    server.login()
    client = server.store.clients["web"]
    server.server.register_client_auth_method("client_secret_basic", lambda _query_client, _request: client)
    capture.mark()
    assert server.post("/token", client="other", grant_type="client_credentials").status_code == 200
    span = capture.spans("oauth.endpoint token")[-1]
    assert span["attributes"]["oauth.client_id"] == "web"
    assert capture.moved()["storage_operation_total{operation=save_token,result=success}"] == 1


def test_a_failure_after_the_look_up_of_the_client_names_the_grant(server: Any, capture: Any) -> None:
    server.server._token_generators.clear()
    server.app.config["PROPAGATE_EXCEPTIONS"] = False
    assert server.post("/token", grant_type="client_credentials").status_code == 500
    (span,) = capture.spans("oauth.endpoint token")
    assert span["attributes"]["oauth.grant_type"] == "client_credentials"
    assert span["attributes"]["oauth.client_id"] == "web"


def test_instrumented_twice_counts_once(server: Any, capture: Any, caplog: pytest.LogCaptureFixture) -> None:
    AuthlibInstrumentor().instrument(telemetry=capture.telemetry)
    assert "already instrumented" in caplog.text
    server.post("/token", grant_type="client_credentials")
    assert capture.moved()["oauth_http_requests_total{method=POST,endpoint=token,status=200}"] == 1


def test_instances_stay_as_they_are(make_server: Any, capture: Any) -> None:
    server = make_server()
    seen: list[Any] = []

    class Grant(grants.ClientCredentialsGrant):
        def save_token(self, token: Any) -> Any:
            seen.append((dict(vars(self)), sorted(dir(self)), type(self)))
            return super().save_token(token)

    server.server._token_grants.insert(0, (Grant, None))
    server.post("/token", grant_type="client_credentials")
    AuthlibInstrumentor().uninstrument()
    server.post("/token", grant_type="client_credentials")
    AuthlibInstrumentor().instrument(telemetry=capture.telemetry)
    (instrumented, names, cls), (bare, bare_names, bare_cls) = seen
    assert instrumented.keys() == bare.keys()
    assert names == bare_names
    assert cls is bare_cls is Grant


def test_copies_and_pickles_of_validators_work(server: Any, capture: Any) -> None:
    token = server.login()["access_token"]
    server.http.get("/open", headers={"Authorization": f"Bearer {token}"}, base_url="https://server.example")
    client = server.store.clients["web"]
    assert copy.copy(client).client_id == "web"
    challenge = server.server._token_grants[0][1][0]
    assert type(copy.deepcopy(challenge)) is CodeChallenge
    assert type(pickle.loads(pickle.dumps(challenge))) is CodeChallenge  # noqa: S301 our own bytes
    assert capture.moved()


def test_the_same_exception_object_reaches_the_application(make_server: Any, capture: Any) -> None:
    server = make_server()
    server.app.config["PROPAGATE_EXCEPTIONS"] = True
    server.store.fail_saving = error = RuntimeError("secret-in-a-message")
    with pytest.raises(RuntimeError) as caught:
        server.post("/token", grant_type="client_credentials")
    assert caught.value is error
    span = capture.spans("oauth.endpoint token")[-1]
    assert span["attributes"]["error.type"] == "builtins.RuntimeError"
    assert "secret-in-a-message" not in repr(capture.spans())


def test_a_subclass_that_calls_super_counts_once(make_server: Any, capture: Any) -> None:
    server = make_server()

    class Server(AuthorizationServer):
        def create_token_response(self, request: Any = None) -> Any:
            return super().create_token_response(request)

        def query_client(self, client_id: str) -> Any:
            return super().query_client(client_id)

        def save_token(self, token: Any, request: Any) -> Any:
            return super().save_token(token, request)

    server.server.__class__ = Server
    capture.mark()
    server.post("/token", grant_type="client_credentials")
    moved = capture.moved()
    assert moved["oauth_http_requests_total{method=POST,endpoint=token,status=200}"] == 1
    assert moved["storage_operation_total{operation=query_client,result=success}"] == 1
    assert moved["storage_operation_total{operation=save_token,result=success}"] == 1


def test_the_token_span_links_to_the_authorization(server: Any, capture: Any) -> None:
    server.login()
    authorization = capture.spans("oauth.endpoint authorization")[-1]
    token = capture.spans("oauth.endpoint token")[-1]
    assert [(link["trace_id"], link["span_id"]) for link in token["links"]] == [
        (authorization["trace_id"], authorization["span_id"])
    ]
    assert token["kind"] == "server"
    assert token["attributes"]["oauth.grant_type"] == "authorization_code"
    assert token["attributes"]["http.response.status_code"] == 200


def test_a_suppressed_request_is_not_recorded(server: Any, capture: Any) -> None:
    with suppress_instrumentation():
        server.post("/token", grant_type="client_credentials")
    assert capture.moved() == {}


def test_what_the_application_puts_on_a_server_for_a_while_is_used_as_long_as_without(make_server: Any) -> None:
    def statuses() -> list[int]:
        served = make_server()
        found = [served.post("/token", grant_type="client_credentials").status_code]
        with mock.patch.object(served.server, "query_client", return_value=None):
            found.append(served.post("/token", grant_type="client_credentials").status_code)
        return [*found, served.post("/token", grant_type="client_credentials").status_code]

    bare = statuses()
    with Capture() as capture:
        AuthlibInstrumentor().instrument(telemetry=capture.telemetry)
        assert statuses() == bare
        AuthlibInstrumentor().uninstrument()


def test_servers_that_nobody_uses_any_more_are_not_kept(make_server: Any) -> None:
    before = make_server()
    before.post("/token", grant_type="client_credentials")
    with Capture() as capture:
        AuthlibInstrumentor().instrument(telemetry=capture.telemetry)
        servers = [before, *(make_server() for _ in range(3))]
        for server in servers:
            for _ in range(3):
                server.post("/token", grant_type="client_credentials")
        left = [weakref.ref(server.server) for server in servers]
        del before, server, servers
        gc.collect()
        assert [each() for each in left] == [None] * 4
        AuthlibInstrumentor().uninstrument()
