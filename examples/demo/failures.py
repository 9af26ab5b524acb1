"""Scenarios in which something fails without anybody's ill will."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

from demo.scenario import AT_ONCE, MARGIN, STRANGER, World, scenario
from demo.seeds import BATCH, GUESSES, KIOSK, KIOSK_LOGIN_LIFETIME, PARTNER, WEB, Client
from demo.visitors import OK, Code, expect, new_verifier, refused, says

if TYPE_CHECKING:
    from collections.abc import Iterator

UNAUTHORIZED, FORBIDDEN, TOO_MANY_REQUESTS, BAD_GATEWAY = 401, 403, 429, 502


@scenario("failure", early=True)
def consent_denied(world: World) -> Iterator[float]:
    """Somebody denies consent."""
    browser = world.browser()
    yield AT_ONCE
    refused(browser.open(browser.decide(browser.start(), allow=False)), "access_denied")


@scenario("failure", early=True)
def unsupported_scope(world: World) -> Iterator[float]:
    """An authorization request asks for a scope that the server does not have."""
    browser = world.browser()
    yield AT_ONCE
    request = browser.start().replace("scope=openid", "scope=admin", 1)
    refused(browser.open(browser.decide(request)), "invalid_scope")


@scenario("failure", early=True)
def insufficient_scope(world: World) -> Iterator[float]:
    """Somebody's token is not allowed to open the reports."""
    browser = world.visitor()
    yield AT_ONCE
    refused(browser.get("/api/reports"), "insufficient_scope", FORBIDDEN)


@scenario("failure", early=True)
def revoked_access_token(world: World) -> Iterator[float]:
    """A program calls the API with a token that it revoked."""
    partner = world.program(PARTNER)
    token = partner.tokens()["access_token"]
    expect(partner.post("/revoke", token=token), OK)
    yield AT_ONCE
    refused(partner.call("/api", token), "invalid_token", UNAUTHORIZED)


@scenario("failure")
def provider_error_at_login(world: World) -> Iterator[float]:
    """The server's database is down when the code is exchanged."""
    browser = world.browser()
    callback = browser.decide(browser.start())
    world.order_fault("500")
    yield AT_ONCE
    refused(browser.open(callback), "provider", BAD_GATEWAY)


@scenario("failure")
def provider_error_at_refresh(world: World) -> Iterator[float]:
    """The server's database is down when a token is refreshed."""
    browser = world.visitor()
    world.order_fault("500")
    yield AT_ONCE
    refused(browser.post("/refresh"), "provider", BAD_GATEWAY)


@scenario("failure")
def gateway_page(world: World) -> Iterator[float]:
    """A gateway answers the token request with an HTML page."""
    browser = world.browser()
    callback = browser.decide(browser.start())
    world.order_fault("html")
    yield AT_ONCE
    refused(browser.open(callback), "provider", BAD_GATEWAY)


@scenario("failure", early=True)
def unknown_state(world: World) -> Iterator[float]:
    """A callback arrives with a state that was never issued."""
    browser = world.browser()
    yield AT_ONCE
    refused(
        browser.get("/callback/demo?" + urlencode({"code": new_verifier(), "state": new_verifier()})),
        "mismatching_state",
    )


@scenario("failure", early=True)
def expired_state(world: World) -> Iterator[float]:
    """Somebody finishes a login at the kiosk after its time is over."""
    browser = world.browser()
    callback = browser.decide(browser.start("kiosk"))
    yield KIOSK_LOGIN_LIFETIME + MARGIN
    refused(browser.open(callback), "mismatching_state")


@scenario("failure", early=True)
def registrations_rejected(world: World) -> Iterator[float]:
    """Two registrations are rejected: one for its response type, one for its access token."""
    browser = world.browser()
    yield AT_ONCE
    refused(browser.post("/connect/rejected-1", response_type="token"), "invalid_client_metadata")
    refused(browser.post("/connect/rejected-2", token=STRANGER.secret), "access_denied")


@scenario("failure", early=True)
def discovery_fails(world: World) -> Iterator[float]:
    """The web application is to connect a tenant whose server has no metadata."""
    browser = world.browser()
    yield AT_ONCE
    refused(browser.post("/connect/nowhere", issuer=f"{world.server}/nowhere"), "provider", BAD_GATEWAY)


@scenario("failure", early=True)
def wrong_client_secret(world: World) -> Iterator[float]:
    """A client authenticates with a wrong secret."""
    mistaken = world.program(Client(BATCH.client_id, STRANGER.secret, (), ""))
    yield AT_ONCE
    refused(mistaken.post("/token", grant_type="client_credentials"), "invalid_client", UNAUTHORIZED)


@scenario("failure", early=True)
def secret_guessing(world: World) -> Iterator[float]:
    """A stranger guesses client secrets until the server's limit stops it."""
    stranger = world.program(STRANGER)
    yield AT_ONCE
    for _guess in range(GUESSES):
        refused(stranger.post("/token", grant_type="client_credentials"), "invalid_client", UNAUTHORIZED)
    refused(stranger.post("/token", grant_type="client_credentials"), "temporarily_unavailable", TOO_MANY_REQUESTS)


@scenario("failure", early=True)
def refresh_refused(world: World) -> Iterator[float]:
    """A program refreshes without a token, with an unknown one, with a revoked one, with too wide a scope."""
    partner = world.program(PARTNER)
    live, revoked = partner.tokens()["refresh_token"], partner.tokens()["refresh_token"]
    expect(partner.post("/revoke", token=revoked), OK)
    yield AT_ONCE
    refused(partner.post("/token", grant_type="refresh_token"), "invalid_request")
    refused(partner.refresh(new_verifier()), "invalid_grant")
    refused(partner.refresh(revoked), "invalid_grant")
    wide = {"refresh_token": live, "scope": "orders reports"}
    refused(partner.post("/token", grant_type="refresh_token", **wide), "invalid_scope")


@scenario("failure", early=True)
def forged_code(world: World) -> Iterator[float]:
    """A program presents a code that the server never issued."""
    program = world.program(WEB)
    yield AT_ONCE
    refused(program.redeem(Code(new_verifier(), WEB.redirect_uri, new_verifier())), "invalid_grant")


@scenario("failure", early=True)
def verifier_missing_public(world: World) -> Iterator[float]:
    """A public client without PKCE is refused."""
    program = world.program(KIOSK)
    yield AT_ONCE
    refused(program.redeem(program.authorize(None)), "invalid_request")


@scenario("failure", early=True)
def unknown_token_introspected(world: World) -> Iterator[float]:
    """A client asks about a token that does not exist; the answer is "inactive", not an error."""
    batch = world.program(BATCH)
    yield AT_ONCE
    says(expect(batch.post("/introspect", token=new_verifier()), OK), active=False)


@scenario("failure", early=True)
def unknown_token_revoked(world: World) -> Iterator[float]:
    """A client revokes a token that does not exist; RFC 7009 answers 200."""
    partner = world.program(PARTNER)
    yield AT_ONCE
    expect(partner.post("/revoke", token=new_verifier()), OK)
