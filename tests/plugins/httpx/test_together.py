"""With the Authlib plugin and with the stock instrumentation of httpx: counted once, and the right span above each."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from attached import attached
from authlib.integrations.httpx_client import AsyncOAuth2Client, OAuth2Client
from authlib_provider import CLIENT_ID, CLIENT_SECRET
from client_rows import flow, provider_call, refreshed, validated
from opentelemetry.instrumentation import httpx as stock
from wire_clients import VERIFIER, Sender, authorization, code_in, exchange

import otel_oauth
from otel_oauth import kinds
from otel_oauth.hooks import HookSet
from otel_oauth.testing import Capture
from otel_oauth_authlib.client import CLIENT_HOOKS
from otel_oauth_httpx import HttpxOAuthInstrumentor
from otel_oauth_httpx.bodies import Called
from otel_oauth_httpx.endpoints import Place
from otel_oauth_httpx.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Iterator

HOST = "127.0.0.1"
LOGGED_IN = {
    **provider_call("token", "200", provider=HOST),
    **flow("success", HOST),
    **validated("success", "valid"),
}
REFRESHED = {**provider_call("refresh", "200", provider=HOST), **refreshed("success", "normal")}
CALLBACK = "https://client.example/callback"


class AuthlibClients:
    """The client side of the Authlib plugin: the provider of these tests runs in the same process."""

    def instrument(self, telemetry: Any) -> None:
        self._hooks = attached(telemetry, CLIENT_HOOKS)

    def uninstrument(self) -> None:
        self._hooks.detach()


STOCK = tuple(
    getattr(stock, name) for name in ("HTTPXClientInstrumentor", "HTTPX2ClientInstrumentor") if hasattr(stock, name)
)


@pytest.fixture
def together() -> Iterator[Any]:
    """Return what attaches the named plugins to one capture."""
    on: list[Any] = []
    with Capture() as found:

        def attach(*kinds: Any) -> Capture:
            for kind in kinds:
                one = kind()
                if kind in STOCK:
                    one.instrument(tracer_provider=found.tracer_provider)
                else:
                    one.instrument(telemetry=found.telemetry)
                on.append(one)
            found.mark()
            return found

        yield attach
        for one in on:
            one.uninstrument()


COMBINATIONS = {
    "httpx": (HttpxOAuthInstrumentor,),
    "httpx+authlib": (HttpxOAuthInstrumentor, AuthlibClients),
    "httpx+stock": (HttpxOAuthInstrumentor, *STOCK),
    "httpx+authlib+stock": (AuthlibClients, *STOCK, HttpxOAuthInstrumentor),
}


def by_authlib(provider: Any) -> dict[str, Any]:
    """Log in with Authlib's session of httpx."""
    with OAuth2Client(
        CLIENT_ID, CLIENT_SECRET, redirect_uri=CALLBACK, code_challenge_method="S256", trust_env=False
    ) as session:
        url, state = session.create_authorization_url(f"{provider.url}/authorize", code_verifier=VERIFIER)
        code = provider.authorize(url)["code"]
        token = session.fetch_token(f"{provider.url}/token", code=code, state=state, code_verifier=VERIFIER)
        return dict(token)


def by_hand(provider: Any) -> dict[str, Any]:
    """Log in with httpx alone."""
    send = Sender("httpx", asynchronous=False)
    back = send("GET", f"{provider.url}/authorize", params=authorization())
    answer = send("POST", f"{provider.url}/token", data=exchange(code_in(back)), auth=(CLIENT_ID, CLIENT_SECRET))
    return dict(answer.json())


@pytest.mark.parametrize("combination", COMBINATIONS)
def test_a_login_by_authlib_counts_once(combination: str, together: Any, provider: Any) -> None:
    capture = together(*COMBINATIONS[combination])
    by_authlib(provider)
    started = {
        f"oauth_flows_total{{provider={HOST},status=initiated}}": 1,
        "oauth_pkce_states_created_total": 1,
    }
    if "authlib" not in combination:
        # Its initiation is no request: the exchange is all that is on the wire.
        ended = {f"oauth_flows_total{{provider={HOST},status=success}}": 1}
        assert capture.moved() == {**provider_call("token", "200", provider=HOST), **ended}
    else:
        assert capture.moved() == {**started, **LOGGED_IN}


@pytest.mark.parametrize("combination", COMBINATIONS)
def test_a_login_by_hand_counts_once(combination: str, together: Any, provider: Any) -> None:
    capture = together(*COMBINATIONS[combination])
    by_hand(provider)
    started = {
        f"oauth_flows_total{{provider={HOST},status=initiated}}": 1,
        "oauth_pkce_states_created_total": 1,
    }
    assert capture.moved() == {**started, **LOGGED_IN}


@pytest.mark.parametrize("combination", COMBINATIONS)
@pytest.mark.parametrize("login", [by_authlib, by_hand])
def test_the_span_of_the_request_is_below_ours(combination: str, login: Any, together: Any, provider: Any) -> None:
    capture = together(*COMBINATIONS[combination])
    login(provider)
    spans = {span["span_id"]: span for span in capture.spans()}
    (ours,) = [span for span in spans.values() if span["name"].startswith("oauth.code_exchange")]
    below = [span for span in spans.values() if span["scope"]["name"] != "otel_oauth" and span["name"] == "POST"]
    assert len(below) == int("stock" in combination)
    assert all(span["parent_id"] == ours["span_id"] for span in below)
    assert ours["parent_id"] == ""


def test_an_unrelated_token_request_beside_authlibs_counts(together: Any, provider: Any) -> None:
    capture = together(HttpxOAuthInstrumentor, AuthlibClients)
    send = Sender("httpx2", asynchronous=True)
    token = by_authlib(provider)
    capture.mark()

    async def both() -> None:
        form = {"grant_type": "client_credentials"}
        async with (
            AsyncOAuth2Client(CLIENT_ID, CLIENT_SECRET, token=token, trust_env=False) as session,
            send.library.AsyncClient(trust_env=False) as plain,
        ):
            await asyncio.gather(
                session.refresh_token(f"{provider.url}/token"),
                plain.post(f"{provider.url}/token", data=form, auth=(CLIENT_ID, CLIENT_SECRET)),
            )

    asyncio.run(both())
    assert capture.moved() == {**REFRESHED, **provider_call("token", "200", provider=HOST)}


def test_what_the_application_tells_by_hand_is_not_told_again(
    together: Any, provider: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    capture = together(HttpxOAuthInstrumentor)
    monkeypatch.setattr("otel_oauth.manual._recorded.get_telemetry", lambda: capture.telemetry)
    send = Sender("httpx", asynchronous=False)
    with otel_oauth.refresh("idp") as call:
        form = {"grant_type": "refresh_token", "refresh_token": "forged"}
        answer = send("POST", f"{provider.url}/token", data=form, auth=(CLIENT_ID, CLIENT_SECRET))
        call.answered(answer.status_code, "invalid_grant")
    failed = provider_call("refresh", "400", "client_error")
    assert capture.moved() == {**failed, **refreshed("failure", "no_record")}


@pytest.mark.parametrize(("host", "used"), [("as.example", [True]), ("other.example", [False])])
def test_what_a_library_sends_keeps_a_learned_endpoint_known(host: str, used: list[bool], together: Any) -> None:
    """A place of more than a day's age would be forgotten, although the library's requests go there each hour."""
    import httpx  # noqa: PLC0415 needed here only

    wire = Wire(HookSet(together().telemetry, "httpx"))
    wire.endpoints.learn_metadata(
        Place("https", "as.example", None, "/"), {"token_endpoint": "https://as.example/as/token"}
    )
    request = httpx.Request("POST", f"https://{host}/as/token", data={"grant_type": "refresh_token"})
    with wire.telemetry.operation(kinds.REFRESH, {"provider": "idp"}):
        assert wire.begin(request, Called, closely=True) is None
    assert [endpoint.used for endpoint in wire.endpoints.hosts["as.example"].endpoints.values()] == used


def test_a_request_within_the_server_of_a_request_counts_too(together: Any) -> None:
    """An in-process server that asks an API of its own while it answers is another request, not the same one."""
    import httpx  # noqa: PLC0415 needed here only

    capture = together(HttpxOAuthInstrumentor)
    form = {"grant_type": "client_credentials", "client_id": "a", "client_secret": "s"}

    def inner(_request: Any) -> httpx.Response:
        return httpx.Response(200, json={"access_token": "i"})

    def outer(_request: Any) -> httpx.Response:
        with httpx.Client(transport=httpx.MockTransport(inner)) as client:
            client.post("https://inner.example/token", data=form)
        return httpx.Response(200, json={"access_token": "o"})

    with httpx.Client(transport=httpx.MockTransport(outer)) as client:
        client.post("https://outer.example/token", data=form)
    calls = [provider_call("token", "200", provider=f"{name}.example") for name in ("inner", "outer")]
    assert capture.moved() == {**calls[0], **calls[1]}
