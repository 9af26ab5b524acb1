"""Scenarios in which all goes well."""

from __future__ import annotations

from typing import TYPE_CHECKING

from demo.scenario import AT_ONCE, World, scenario
from demo.seeds import BATCH, PARTNER, PEOPLE, REGISTRATION_TOKEN, Client
from demo.visitors import OK, TIMEOUT, Browser, expect, says

if TYPE_CHECKING:
    from collections.abc import Iterator

CREATED = 201
DOCUMENTS = ("/.well-known/oauth-authorization-server", "/.well-known/openid-configuration", "/jwks")


@scenario("everyday")
def logins(world: World) -> Iterator[float]:
    """Two dozen people log in to the web application, with PKCE and OpenID Connect."""
    yield AT_ONCE
    world.people.extend(world.visitor(person) for person in PEOPLE)


@scenario("everyday")
def kiosk_logins(world: World) -> Iterator[float]:
    """Four people log in at the kiosk, a public client."""
    yield AT_ONCE
    for person in PEOPLE[:4]:
        world.visitor(person, "kiosk")


@scenario("everyday")
def partner_logins(world: World) -> Iterator[float]:
    """A partner's program logs people in with PKCE S256, PKCE plain and without PKCE."""
    partner = world.program(PARTNER)
    yield AT_ONCE
    for method in ("S256", "plain", None):
        expect(partner.redeem(partner.authorize(method)), OK)


@scenario("everyday")
def newsletter_logins(world: World) -> Iterator[float]:
    """Three people log in at the newsletter, which uses httpx-oauth instead of Authlib."""
    yield AT_ONCE
    for person in PEOPLE[:3]:
        world.visitor(person, "newsletter")


@scenario("everyday")
def api_calls(world: World) -> Iterator[float]:
    """Everyone who is logged in looks at the orders."""
    yield AT_ONCE
    for browser in world.take(len(PEOPLE)):
        expect(browser.get("/api"), OK)


@scenario("everyday")
def profiles(world: World) -> Iterator[float]:
    """Six people look at their profile, which the application gets from userinfo."""
    yield AT_ONCE
    for browser in world.take(6):
        expect(browser.get("/profile"), OK)


@scenario("everyday")
def refreshes(world: World) -> Iterator[float]:
    """The web application refreshes the tokens of eight people; each gets a new refresh token."""
    yield AT_ONCE
    for browser in world.take(8):
        expect(browser.post("/refresh"), OK)


@scenario("everyday")
def automatic_refreshes(world: World) -> Iterator[float]:
    """At the kiosk tokens live for 30 seconds, so that each of four API calls refreshes first."""
    browser = world.visitor("grace", "kiosk")
    yield AT_ONCE
    for _call in range(4):
        expect(browser.get("/api"), OK)


@scenario("everyday")
def introspections(world: World) -> Iterator[float]:
    """The web application and the batch service ask whether a token is active."""
    token = world.program(PARTNER).tokens()["access_token"]
    yield AT_ONCE
    for browser in world.take(4):
        says(expect(browser.post("/introspect"), OK), active=True)
    says(expect(world.program(BATCH).post("/introspect", token=token), OK), active=True)


@scenario("everyday")
def nightly_reports(world: World) -> Iterator[float]:
    """The web application gets a token with client credentials, three times, and fetches a report with it."""
    browser = world.browser()
    yield AT_ONCE
    for _night in range(3):
        expect(browser.post("/report"), OK)


@scenario("everyday")
def tenants(world: World) -> Iterator[float]:
    """The web application connects two tenants: discovery, registration as a client, a login at each."""
    yield AT_ONCE
    for name in ("tenant-1", "tenant-2"):
        browser = world.browser()
        expect(browser.post(f"/connect/{name}"), CREATED)
        browser.log_in(name)


@scenario("everyday")
def registrations(world: World) -> Iterator[float]:
    """A public and a confidential client register themselves, and somebody logs in with each."""
    browser = world.browser()
    yield AT_ONCE
    for method in ("none", "client_secret_basic"):
        program = world.program(_register(world, browser, method))
        expect(program.redeem(program.authorize()), OK)


@scenario("everyday")
def documents(world: World) -> Iterator[float]:
    """A newcomer reads the server's metadata and keys."""
    browser = world.browser()
    yield AT_ONCE
    for path in DOCUMENTS:
        expect(browser.open(world.server + path), OK)


@scenario("everyday")
def logouts(world: World) -> Iterator[float]:
    """Six people log out; the application revokes their tokens."""
    yield AT_ONCE
    for browser in world.take(6):
        world.people.remove(browser)
        says(expect(browser.post("/logout"), OK), revoked=True)


@scenario("everyday")
def second_thoughts(world: World) -> Iterator[float]:
    """Somebody starts to log in, opens the consent page, goes away, and does it again later."""
    browser = world.browser()
    yield AT_ONCE
    expect(browser.open(browser.start()), OK)
    browser.log_in()


def _register(world: World, browser: Browser, method: str) -> Client:
    metadata = {
        "client_name": "a newcomer",
        "redirect_uris": ["http://127.0.0.1:9/newcomer"],
        "token_endpoint_auth_method": method,
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "scope": "profile orders",
    }
    headers = {"Authorization": f"Bearer {REGISTRATION_TOKEN}"}
    answer = expect(
        browser.http.post(f"{world.server}/register", json=metadata, headers=headers, timeout=TIMEOUT),
        CREATED,
    )
    client = answer.json()
    return Client(
        client["client_id"],
        client["client_secret"],
        ("authorization_code",),
        "orders",
        metadata["redirect_uris"][0],
    )
