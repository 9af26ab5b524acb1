"""httpx-oauth: its clients, providers that override methods, the dependency of FastAPI; all that moves."""

from __future__ import annotations

import asyncio
from collections import Counter
from importlib.metadata import version
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from client_rows import callback_endpoint, callback_moved, flow, provider_call, refreshed, security, validated
from fastapi import Depends, FastAPI
from httpx_oauth.clients.github import GitHubOAuth2
from httpx_oauth.clients.reddit import RedditOAuth2
from httpx_oauth.integrations.fastapi import OAuth2AuthorizeCallback
from httpx_oauth.oauth2 import OAuth2
from wire_clients import VERIFIER

from otel_oauth.flows import challenge_of

if TYPE_CHECKING:
    from collections.abc import Callable

HTTPX_OAUTH = tuple(int(number) for number in version("httpx-oauth").split(".")[:2])
BACK = "http://shop.example/callback"
CREATED = {"oauth_pkce_states_created_total": 1}
PKCE_OK = validated("success", "valid")


def initiated(provider: str = "idp") -> dict[str, float]:
    return {f"oauth_flows_total{{provider={provider},status=initiated}}": 1}


def endpoints(url: str) -> list[str]:
    return [f"{url}/authorize", f"{url}/token", f"{url}/token", f"{url}/revoke"]


class BasicOAuth2(OAuth2):
    """A client of the application's own, which authenticates itself as the test's provider asks for."""

    def get_httpx_client(self) -> Any:
        return httpx.AsyncClient(trust_env=False, auth=(self.client_id, self.client_secret))


def client_of(provider: Any, name: str = "idp") -> BasicOAuth2:
    methods = ("token_endpoint_auth_method", "revocation_endpoint_auth_method") if HTTPX_OAUTH >= (0, 15) else ()
    more = dict.fromkeys(methods, "client_secret_basic")
    return BasicOAuth2("web", "web-secret", *endpoints(provider.url), name=name, **more)


async def url_with_challenge(client: Any, state: str = "s1") -> str:
    challenge = {"code_challenge": challenge_of(VERIFIER), "code_challenge_method": "S256"}
    if HTTPX_OAUTH >= (0, 14):
        return str(await client.get_authorization_url(BACK, state=state, **challenge))
    return str(await client.get_authorization_url(BACK, state=state, extras_params=challenge))


def test_a_login_with_pkce_is_found_again_by_its_verifier(provider: Any, capture: Any) -> None:
    client = client_of(provider)
    url = asyncio.run(url_with_challenge(client))
    assert capture.moved() == {**initiated(), **CREATED}
    code = provider.authorize(url)["code"]
    token = asyncio.run(client.get_access_token(code, BACK, VERIFIER))
    assert capture.moved() == {**provider_call("token", "200"), **flow("success"), **PKCE_OK}
    authorize, exchange = capture.spans()
    assert [link["span_id"] for link in exchange["links"]] == [authorize["span_id"]]
    assert exchange["attributes"]["oauth.grant_type"] == "authorization_code"
    asyncio.run(client.refresh_token(token["refresh_token"]))
    assert capture.moved() == {**provider_call("refresh", "200"), **refreshed("success", "normal")}


def test_revocation_and_refusals(provider: Any, capture: Any) -> None:
    client = client_of(provider)
    asyncio.run(client.revoke_token("never-issued"))
    assert capture.moved() == {**provider_call("revoke", "200"), "oauth_token_revocations_total{reason=manual}": 1}
    with pytest.raises(Exception, match=r"400|invalid_grant"):
        asyncio.run(client.refresh_token("never-issued"))
    assert capture.moved() == {**provider_call("refresh", "400", "client_error"), **refreshed("failure", "no_record")}
    with pytest.raises(Exception, match=r"400|invalid_grant"):
        asyncio.run(client.get_access_token("forged", BACK))
    ended = {"oauth_flows_total{provider=idp,status=failure}": 1}
    assert capture.moved() == {**provider_call("token", "400", "client_error"), **ended}


def test_a_client_without_a_name_is_called_by_its_host(provider: Any, capture: Any) -> None:
    asyncio.run(client_of(provider, "oauth2").get_authorization_url(BACK, state="s"))
    assert capture.moved() == initiated("127.0.0.1")


def test_an_unreachable_provider(capture: Any) -> None:
    client = OAuth2("web", "web-secret", *endpoints("http://127.0.0.1:1")[:3], name="idp")
    with pytest.raises(Exception, match=r"^"):
        asyncio.run(client.refresh_token("r"))
    assert capture.moved() == {**provider_call("refresh", "0", "network"), **refreshed("failure", "exception")}


# Providers that override methods --------------------------------------------------------------------------------------


def answering(client: Any, handler: Callable[[Any], httpx.Response], monkeypatch: pytest.MonkeyPatch) -> Any:
    transport = httpx.MockTransport(handler)
    plain = httpx.AsyncClient.__init__
    monkeypatch.setattr(
        httpx.AsyncClient, "__init__", lambda self, **options: plain(self, **{**options, "transport": transport})
    )
    return client


@pytest.mark.skipif(HTTPX_OAUTH < (0, 15), reason="this version does not refresh tokens of GitHub")
def test_github_whose_errors_come_with_200(capture: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    refusal = {"error": "bad_refresh_token", "error_description": "secret-4711"}
    client = answering(GitHubOAuth2("web", "s"), lambda _: httpx.Response(200, json=refusal), monkeypatch)
    with pytest.raises(Exception, match=r"^"):
        asyncio.run(client.refresh_token("r"))
    failed = provider_call("refresh", "200", "client_error", "github")
    assert capture.moved() == {**failed, **refreshed("failure", "no_record")}
    assert "secret-4711" not in str(capture.spans())


def test_an_override_that_calls_what_it_overrides_counts_once(capture: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    granted = {"access_token": "a", "expires_in": 60}
    client = answering(RedditOAuth2("web", "s"), lambda _: httpx.Response(200, json=granted), monkeypatch)
    asyncio.run(client.get_access_token("c", BACK))
    ended = {"oauth_flows_total{provider=reddit,status=success}": 1}
    assert capture.moved() == {**provider_call("token", "200", provider="reddit"), **ended}


class Again(BasicOAuth2):
    """A client that asks once more where the provider was not available."""

    async def get_access_token(self, *arguments: Any) -> Any:
        try:
            return await super().get_access_token(*arguments)
        except Exception:  # noqa: BLE001 of httpx-oauth, another one in each version
            return await super().get_access_token(*arguments)

    async def refresh_token(self, *arguments: Any) -> Any:
        try:
            return await super().refresh_token(*arguments)
        except Exception:  # noqa: BLE001 as above
            return await super().refresh_token(*arguments)


def test_an_override_that_asks_once_more_ends_as_its_last_request_did(
    provider: Any, capture: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [httpx.Response(503), httpx.Response(200, json={"access_token": "a", "expires_in": 60})] * 2
    client = Again("web", "s", *endpoints(provider.url)[:3], name="idp")
    answering(client, lambda _: answers.pop(0), monkeypatch)
    asyncio.run(client.get_access_token("c", BACK))
    calls = summed(provider_call("token", "503", "server_error"), provider_call("token", "200"))
    assert capture.moved() == {**calls, "oauth_flows_total{provider=idp,status=success}": 1}
    assert capture.gauges()["oauth_active_tokens"] == 1
    asyncio.run(client.refresh_token("r"))
    calls = summed(provider_call("refresh", "503", "server_error"), provider_call("refresh", "200"))
    assert capture.moved() == {**calls, **refreshed("failure", "exception"), **refreshed("success", "normal")}


def summed(*calls: dict[str, float]) -> dict[str, float]:
    return dict(sum(map(Counter, calls), Counter()))


def test_another_request_of_an_override_is_not_taken_for_the_exchange(
    provider: Any, capture: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Prepared(BasicOAuth2):
        async def get_access_token(self, *arguments: Any) -> Any:
            async with self.get_httpx_client() as http:
                await http.post("https://as.example/prepare", json={"app": "web"})
            return await super().get_access_token(*arguments)

    def handler(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"ok": True} if "prepare" in request.url.path else {"access_token": "a"})

    client = answering(Prepared("web", "s", *endpoints(provider.url)[:3], name="idp"), handler, monkeypatch)
    asyncio.run(client.get_access_token("c", BACK))
    ended = {"oauth_flows_total{provider=idp,status=success}": 1}
    assert capture.moved() == {**provider_call("token", "200"), **ended}


def test_a_method_that_others_inherit_is_seen_of_clients_only(capture: Any) -> None:
    class Profiles:
        async def get_profile(self, _token: str) -> Any:
            return {"id": 1}

    class Client(Profiles, BasicOAuth2):
        pass

    class User(Profiles):
        name = "alice@example.com"

    asyncio.run(Client("web", "s", *endpoints("https://as.example")[:3], name="idp").get_profile("t"))
    asyncio.run(User().get_profile("t"))
    assert "alice" not in repr([capture.spans(), capture.points()])


def test_the_profile_is_one_call_of_userinfo(capture: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        emails = request.url.path.endswith("emails")
        return httpx.Response(200, json=[{"email": "e", "primary": True}] if emails else {"id": 1, "email": None})

    client = answering(GitHubOAuth2("web", "s"), handler, monkeypatch)
    assert asyncio.run(client.get_id_email("token")) == ("1", "e")
    assert capture.moved() == provider_call("userinfo", "200", provider="github")


def test_an_override_without_an_http_request_of_ours(capture: Any) -> None:
    class Elsewhere(OAuth2):
        async def get_access_token(self, code: str, redirect_uri: str, code_verifier: str | None = None) -> Any:
            return {"access_token": f"{code}{redirect_uri}{code_verifier}", "expires_in": 60}

    client = Elsewhere("web", "s", "https://as.example/authorize", "https://as.example/token", name="idp")
    asyncio.run(client.get_access_token("c", BACK))
    assert capture.moved() == {"oauth_flows_total{provider=idp,status=success}": 1}
    assert capture.gauges()["oauth_active_tokens"] == 1


# FastAPI --------------------------------------------------------------------------------------------------------------


def shop(client: Any) -> FastAPI:
    app, dependency = FastAPI(), OAuth2AuthorizeCallback(client, redirect_url=BACK)

    @app.get("/callback")
    async def callback(found: Any = Depends(dependency)) -> Any:  # noqa: B008, FAST002 a local name is no annotation
        return {"state": found[1]}

    return app


def visit(app: Any, path: str, **parameters: str) -> httpx.Response:
    async def main() -> httpx.Response:
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://shop.example") as browser:
            return await browser.get(path, params=parameters)

    return asyncio.run(main())


def test_a_login_through_fastapi(provider: Any, capture: Any) -> None:
    client = client_of(provider)
    app = shop(client)
    url = asyncio.run(client.get_authorization_url(BACK, state="s-1"))
    back = provider.authorize(url)
    capture.mark()
    assert visit(app, "/callback", **back).json() == {"state": "s-1"}
    call = provider_call("token", "200")
    assert capture.moved() == {**call, **flow("success"), **callback_moved("true"), **callback_endpoint("200")}
    authorize, exchange, callback = capture.spans()
    assert exchange["parent_id"] == callback["span_id"]
    assert [link["span_id"] for link in callback["links"]] == [authorize["span_id"]]
    assert capture.gauges()["storage_flows_count"] == 0


def test_a_reload_of_the_callback_is_the_benign_twin_of_a_replay(provider: Any, capture: Any) -> None:
    client = client_of(provider)
    app = shop(client)
    back = provider.authorize(asyncio.run(client.get_authorization_url(BACK, state="s-1")))
    visit(app, "/callback", **back)
    capture.mark()
    failed = {**provider_call("token", "400", "client_error"), **callback_moved("false"), **callback_endpoint("500")}
    assert visit(app, "/callback", **back).status_code == 500
    assert capture.moved() == {**failed, **security("integrity_violation", "low")}
    replayed = {"oauth_integrity_violations_total{violation_type=state_reuse}": 1}
    for more in ({}, {"code_verifier": "of-no-login"}):
        assert visit(app, "/callback", code="another", state="s-1", **more).status_code == 500
        assert capture.moved() == {**failed, **replayed, **security("integrity_violation", "high")}


@pytest.mark.parametrize(("error", "failed"), [("access_denied", {}), ("server_error", flow("failure"))])
def test_an_error_instead_of_a_code(provider: Any, capture: Any, error: str, failed: dict[str, float]) -> None:
    client = client_of(provider)
    app = shop(client)
    asyncio.run(client.get_authorization_url(BACK, state="s-2"))
    capture.mark()
    assert visit(app, "/callback", error=error, state="s-2").status_code == 400
    assert capture.moved() == {**failed, **callback_moved("false"), **callback_endpoint("400")}


def test_pkce_through_fastapi(provider: Any, capture: Any) -> None:
    client = client_of(provider)
    back = provider.authorize(asyncio.run(url_with_challenge(client)))
    capture.mark()
    assert visit(shop(client), "/callback", **back, code_verifier=VERIFIER).status_code == 200
    call = provider_call("token", "200")
    ended = {**flow("success"), **PKCE_OK}
    assert capture.moved() == {**call, **ended, **callback_moved("true"), **callback_endpoint("200")}


def test_the_url_is_what_it_was(provider: Any, capture: Any) -> None:
    sent = dict(parse_qsl(urlsplit(asyncio.run(url_with_challenge(client_of(provider)))).query))
    assert (sent["state"], sent["client_id"], sent["code_challenge_method"]) == ("s1", "web", "S256")
    assert len(capture.spans()) == 1
