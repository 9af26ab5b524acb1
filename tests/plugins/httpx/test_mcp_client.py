"""The client of the MCP SDK against its own authorization server, in process: each login and all that it moves."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from client_rows import flow, provider_call, refreshed, validated
from mcp.client.auth import OAuthClientProvider
from mcp.shared.auth import OAuthClientMetadata
from mcp_server import CALLBACK, MCP, Resource, Tokens, returned

from otel_oauth.operation import current_operation

httpx = pytest.importorskip("httpx2" if MCP >= (2, 0) else "httpx")

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

AWAY = httpx.ConnectError("secret-4711")
HOST = "127.0.0.1"
URL = "http://127.0.0.1:8000"
INITIATED = {f"oauth_flows_total{{provider={HOST},status=initiated}}": 1}
PKCE = {"oauth_pkce_states_created_total": 1}
DROPPED = {"oauth_pkce_states_cleaned_total{reason=manual}": 1}
FAILED = {f"oauth_flows_total{{provider={HOST},status=failure}}": 1}
REGISTERED = {
    "oauth_client_registrations_total{status=success}": 1,
    "oauth_client_registration_duration_seconds{status=success}": 1,
}
HANDLED = {"oauth_callback_processed{client_id=unknown,success=true}": 1}
NOT_HANDLED = {"oauth_callback_processed{client_id=unknown,success=false}": 1}
METADATA = "/named/metadata/.well-known/oauth-protected-resource"
WELL_KNOWN = "/.well-known/oauth-protected-resource"
SERVER = "/.well-known/oauth-authorization-server"


def call(operation: str, status: str, error: str = "", times: int = 1) -> dict[str, float]:
    return {name: value * times for name, value in provider_call(operation, status, error, HOST).items()}


def discovered(method: str, status: str = "success") -> dict[str, float]:
    labels = f"{{method={method},status={status}}}"
    return {f"oauth_discovery_attempts_total{labels}": 1, f"oauth_discovery_duration_seconds{labels}": 1}


REFUSED = call("api", "401", "client_error")
LOGGED_IN = {
    **INITIATED,
    **PKCE,
    **REGISTERED,
    **HANDLED,
    **flow("success", HOST),
    **validated("success", "valid"),
    **call("registration", "201"),
    **call("token", "200"),
}


class Party:
    """An MCP client and the resource that it asks."""

    def __init__(self) -> None:
        self.resource, self.tokens = Resource(URL), Tokens()
        self.transport = httpx.ASGITransport(app=self.resource)
        self.browser: Callable[[str], Awaitable[Any]] = self.consent
        self.auth = OAuthClientProvider(
            f"{URL}/mcp",
            OAuthClientMetadata(
                client_name="agent",
                redirect_uris=[CALLBACK],
                grant_types=["authorization_code", "refresh_token"],
                response_types=["code"],
                scope="read",
            ),
            self.tokens,
            self.sent_off,
            self.came_back,
        )

    async def consent(self, url: str) -> Any:
        async with httpx.AsyncClient(transport=self.transport) as browser:
            return returned((await browser.get(url)).headers["location"])

    async def sent_off(self, url: str) -> None:
        self.url = url

    async def came_back(self) -> Any:
        return await self.browser(self.url)

    async def post(self) -> int:
        async with httpx.AsyncClient(transport=self.transport, auth=self.auth) as client:
            return int((await client.post(f"{URL}/mcp", json={"jsonrpc": "2.0"})).status_code)

    def ask(self, backend: str = "asyncio") -> int:
        """Send a request to the resource, and log in if it wants that."""
        status = anyio.run(self.post, backend=backend)
        assert current_operation() is None
        return status


@pytest.fixture
def party() -> Party:
    return Party()


# Logins ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_login_from_the_refusal_to_the_token(party: Party, capture: Any, backend: str) -> None:
    assert party.ask(backend) == 200
    method = "www-authenticate" if (("GET", METADATA)) in party.resource.asked else "rfc9728"
    assert capture.moved() == {**REFUSED, **LOGGED_IN, **discovered(method), **call("discovery", "200", times=2)}
    assert party.ask(backend) == 200
    assert capture.moved() == {}


def test_the_spans_of_a_login(party: Party, capture: Any) -> None:
    party.ask()
    spans = {span["name"].split(" ")[0].removeprefix("oauth."): span for span in capture.spans()}
    assert set(spans) == {"api", "discovery", "registration", "authorize", "code_exchange", "callback"}
    inside = {name: span["parent_id"] for name, span in spans.items()}
    authorize, callback = spans["authorize"]["span_id"], spans["callback"]["span_id"]
    assert inside["discovery"] == inside["registration"] == authorize
    assert inside["code_exchange"] == callback
    assert inside["authorize"] == inside["callback"] == ""
    assert [link["span_id"] for link in spans["callback"]["links"]] == [authorize]
    assert spans["callback"]["attributes"]["oauth.flow.duration"] > 0


def test_without_an_announcement_the_well_known_place_is_asked(party: Party, capture: Any) -> None:
    party.resource.announced = False
    assert party.ask() == 200
    moved = capture.moved()
    assert {**discovered("rfc9728")}.items() <= moved.items()
    assert sum(value for name, value in moved.items() if "discovery_attempts" in name) == 1


def test_a_resource_without_metadata_is_the_old_way(party: Party, capture: Any) -> None:
    party.resource.announced = False
    party.resource.missing = {WELL_KNOWN, f"{WELL_KNOWN}/mcp"}
    assert party.ask() == 200
    moved = capture.moved()
    assert {**discovered("rfc9728", "failure"), **discovered("manual")}.items() <= moved.items()
    assert {**LOGGED_IN}.items() <= moved.items()


def test_several_candidates_are_one_attempt(party: Party, capture: Any) -> None:
    party.resource.announced = False
    party.resource.missing = {f"{WELL_KNOWN}/mcp"}
    assert party.ask() == 200
    moved = capture.moved()
    attempts = {name: value for name, value in moved.items() if "discovery_attempts" in name}
    assert attempts == {"oauth_discovery_attempts_total{method=rfc9728,status=success}": 1}
    if ("GET", f"{WELL_KNOWN}/mcp") in party.resource.asked:
        assert moved[f"provider_api_calls_total{{provider={HOST},operation=discovery,status=404}}"] == 1


def test_a_refresh(party: Party, capture: Any) -> None:
    party.resource.store.lifetime = 3600
    party.ask()
    party.auth.context.token_expiry_time = 1.0
    capture.mark()
    assert party.ask() == 200
    assert capture.moved() == {**call("refresh", "200"), **refreshed("success", "normal")}


@pytest.mark.skipif(MCP < (1, 20), reason="this version does not step up")
def test_another_scope_is_another_login(party: Party, capture: Any) -> None:
    party.resource.store.granted = ["read"]
    party.ask()
    party.resource.scopes, party.resource.store.granted = ["write"], None
    capture.mark()
    party.ask()
    moved = capture.moved()
    # Older versions ask for another scope than the one that is missing, and are refused once more.
    assert moved[f"provider_api_calls_total{{provider={HOST},operation=api,status=403}}"] in (1, 2)
    assert {**INITIATED, **PKCE}.items() <= moved.items()


def test_a_client_id_that_was_registered_is_no_label_value(party: Party, capture: Any) -> None:
    party.ask()
    ids = {point["attributes"].get("client_id") for point in capture.points()}
    assert ids <= {None, "unknown", "other"}
    assert {span["attributes"].get("oauth.client_id") for span in capture.spans()} <= {None, "unknown"}


# Failures -------------------------------------------------------------------------------------------------------------


def test_a_wrong_state_fails_the_flow(party: Party, capture: Any) -> None:
    async def wrong(url: str) -> Any:
        await party.consent(url)
        return returned(f"{CALLBACK}?code=code-4711&state=state-4711")

    party.browser = wrong
    with pytest.raises(Exception, match="State parameter mismatch"):
        party.ask()
    moved = capture.moved()
    ended = {**INITIATED, **PKCE, **NOT_HANDLED, **flow("failure", HOST), **validated("failure", "not_found")}
    assert {**ended, **DROPPED}.items() <= moved.items()
    assert not any("operation=token" in name or "status=success,reason=valid" in name for name in moved)
    assert not any(secret in str(capture.spans()) for secret in ("code-4711", "state-4711"))


def test_a_browser_that_fails_is_no_state_that_came_back(party: Party, capture: Any) -> None:
    async def denied(_url: str) -> Any:
        msg = "the user closed the window"
        raise RuntimeError(msg)

    party.browser = denied
    with pytest.raises(RuntimeError, match="closed"):
        party.ask()
    moved = capture.moved()
    assert {**INITIATED, **PKCE, **NOT_HANDLED, **flow("failure", HOST), **DROPPED}.items() <= moved.items()
    assert not any("pkce_validations" in name for name in moved)


def test_a_refused_code_fails_the_flow(party: Party, capture: Any) -> None:
    async def other_code(url: str) -> Any:
        found = await party.consent(url)
        party.resource.store.codes.clear()
        return found

    party.browser = other_code
    with pytest.raises(Exception, match="Token exchange failed"):
        party.ask()
    ended = {**INITIATED, **NOT_HANDLED, **flow("failure", HOST), **call("token", "400", "client_error")}
    assert ended.items() <= capture.moved().items()


def test_a_registration_that_fails_is_a_flow_that_fails_before_the_user_is_asked(party: Party, capture: Any) -> None:
    party.resource.broken = {"/register"}
    with pytest.raises(Exception, match=r"[Rr]egistration"):
        party.ask()
    moved = capture.moved()
    assert {**INITIATED, **FAILED, **call("registration", "500", "server_error")}.items() <= moved.items()
    assert not any("callback" in name or "duration_seconds{provider" in name for name in moved)
    assert capture.gauges()["oauth_active_pkce_states"] == 0


def test_an_authorization_server_that_is_away_fails_the_flow(party: Party, capture: Any) -> None:
    async def down(request: Any) -> Any:
        if request.url.path == "/token":
            raise AWAY
        return await served(request)

    served = party.transport.handle_async_request
    party.transport.handle_async_request = down
    with pytest.raises(httpx.ConnectError):
        party.ask()
    ended = {**INITIATED, **NOT_HANDLED, **flow("failure", HOST), **call("token", "0", "network")}
    assert ended.items() <= capture.moved().items()


def test_a_user_who_does_not_come_back_is_no_failure(party: Party, capture: Any) -> None:
    async def never(_url: str) -> Any:
        await anyio.sleep(60)

    async def main() -> None:
        with anyio.move_on_after(0.2):
            await party.post()

    party.browser = never
    asyncio.run(main())
    moved = capture.moved()
    assert {**INITIATED, **PKCE}.items() <= moved.items()
    assert moved["oauth_pkce_states_cleaned_total{reason=manual}"] == 1
    assert not any("failure" in name or "callback" in name for name in moved)
    assert capture.gauges()["oauth_active_pkce_states"] == 0
    assert capture.spans("oauth.callback")[0]["attributes"]["oauth.outcome"] == "cancelled"


def test_a_request_that_fails_without_a_login_is_nothing_of_ours(party: Party, capture: Any) -> None:
    async def down(_request: Any) -> Any:
        raise AWAY

    party.transport.handle_async_request = down
    with pytest.raises(httpx.ConnectError):
        party.ask()
    assert capture.moved() == {}


def test_a_machine_client_asks_no_user_and_is_no_flow(party: Party, capture: Any) -> None:
    party.auth.context.redirect_handler = None
    with pytest.raises(Exception, match=r"."):
        party.ask()
    assert not any("oauth_flows" in name for name in capture.moved())


@pytest.mark.skipif(MCP < (2, 0), reason="this version does not compare issuers")
def test_another_issuer_in_the_authorization_response(party: Party, capture: Any) -> None:
    async def mixed_up(url: str) -> Any:
        location = (await party.consent(url)).model_dump()
        return type(await party.consent(url))(**{**location, "iss": "https://evil.example"})

    party.browser = mixed_up
    with pytest.raises(Exception, match=r"."):
        party.ask()
    moved = capture.moved()
    assert moved["oauth_integrity_violations_total{violation_type=user_mismatch}"] == 1
    assert moved["oauth_security_events_total{event_type=integrity_violation,severity=high}"] == 1


def test_the_flow_sends_the_same_requests_with_and_without(party: Party, capture: Any) -> None:
    party.ask()
    assert capture.moved()
    plain = Party()
    from otel_oauth_httpx import HttpxOAuthInstrumentor  # noqa: PLC0415 detached for this half only

    HttpxOAuthInstrumentor().uninstrument()
    plain.ask()
    assert plain.resource.asked == party.resource.asked
    assert capture.moved() == {}
