"""Each attack once, after its benign twin: the same request but for one thing."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

from demo.scenario import AT_ONCE, MARGIN, World, scenario
from demo.seeds import PARTNER, WEB
from demo.visitors import OK, expect, new_verifier, query_of, refused

if TYPE_CHECKING:
    from collections.abc import Iterator


@scenario("benign")
def code_repeated_at_once(world: World) -> Iterator[float]:
    """A client that authenticated itself repeats a token request at once, as after a lost answer."""
    web = world.program(WEB)
    code = web.authorize()
    expect(web.redeem(code), OK)
    yield AT_ONCE
    refused(web.redeem(code), "invalid_grant")


@scenario("attack", early=True, twin="code_repeated_at_once")
def code_replayed_later(world: World) -> Iterator[float]:
    """A client repeats a token request long after the code was redeemed."""
    web = world.program(WEB)
    code = web.authorize()
    expect(web.redeem(code), OK)
    yield world.race_window + MARGIN
    refused(web.redeem(code), "invalid_grant")


@scenario("attack", twin="code_repeated_at_once")
def redeemed_code_of_another_client(world: World) -> Iterator[float]:
    """Another client presents a code that was redeemed already."""
    web = world.program(WEB)
    code = web.authorize()
    expect(web.redeem(code), OK)
    yield AT_ONCE
    refused(world.program(PARTNER).redeem(code), "invalid_grant")


@scenario("benign", early=True)
def code_with_another_path(world: World) -> Iterator[float]:
    """A client misspells the path of its redirect URI in the token request."""
    web = world.program(WEB)
    code = web.authorize()
    yield AT_ONCE
    refused(web.redeem(code.redirected_to(WEB.redirect_uri + "/")), "invalid_grant")


@scenario("attack", early=True, twin="code_with_another_path")
def code_with_another_host(world: World) -> Iterator[float]:
    """A code is presented with the redirect URI of another host."""
    web = world.program(WEB)
    code = web.authorize()
    yield AT_ONCE
    refused(web.redeem(code.redirected_to("https://attacker.example/callback")), "invalid_grant")


@scenario("attack", early=True, twin="code_with_another_path")
def code_of_another_client(world: World) -> Iterator[float]:
    """A thief presents a fresh code of the web application with a partner's credentials."""
    code = world.program(WEB).authorize()
    yield AT_ONCE
    refused(world.program(PARTNER).redeem(code), "invalid_grant")


@scenario("benign", early=True)
def verifier_malformed(world: World) -> Iterator[float]:
    """A client truncates its PKCE verifier."""
    web = world.program(WEB)
    code = web.authorize()
    yield AT_ONCE
    refused(web.redeem(code.verified_by("too-short")), "invalid_request")


@scenario("attack", early=True, twin="verifier_malformed")
def verifier_wrong(world: World) -> Iterator[float]:
    """A thief of a code guesses the PKCE verifier."""
    web = world.program(WEB)
    code = web.authorize()
    yield AT_ONCE
    refused(web.redeem(code.verified_by(new_verifier())), "invalid_grant")


@scenario("attack", early=True, twin="verifier_malformed")
def verifier_missing(world: World) -> Iterator[float]:
    """A thief of a code leaves the PKCE verifier out."""
    web = world.program(WEB)
    code = web.authorize()
    yield AT_ONCE
    refused(web.redeem(code.verified_by(None)), "invalid_request")


@scenario("attack", early=True, twin="verifier_malformed")
def pkce_downgrade(world: World) -> Iterator[float]:
    """Somebody took the challenge out of the authorization request; the client still sends its verifier."""
    web = world.program(WEB)
    code = web.authorize(method=None)
    yield AT_ONCE
    refused(web.redeem(code.verified_by(new_verifier())), "invalid_request")


@scenario("attack", early=True, twin="verifier_malformed")
def code_injected(world: World) -> Iterator[float]:
    """An attacker puts a code of his own into a victim's callback; PKCE stops it at the server."""
    victim, attacker = world.browser("grace"), world.browser("tim")
    state = query_of(victim.start())["state"]
    query = query_of(attacker.decide(attacker.start())) | {"state": state}
    yield AT_ONCE
    refused(victim.get("/callback/demo?" + urlencode(query)), "invalid_grant")


@scenario("benign", early=True)
def refresh_race(world: World) -> Iterator[float]:
    """Two workers of one client use the same refresh token at the same time."""
    web = world.program(WEB)
    token = web.tokens()["refresh_token"]
    yield AT_ONCE
    expect(web.refresh(token), OK)
    refused(web.refresh(token), "invalid_grant")


@scenario("attack", early=True, twin="refresh_race")
def refresh_token_reused(world: World) -> Iterator[float]:
    """A refresh token is used again long after it was rotated."""
    web = world.program(WEB)
    token = web.tokens()["refresh_token"]
    expect(web.refresh(token), OK)
    yield world.race_window + MARGIN
    refused(web.refresh(token), "invalid_grant")


@scenario("attack", twin="refresh_race")
def refresh_token_rotated_away(world: World) -> Iterator[float]:
    """A refresh token is used again at once, but its successor was used already."""
    web = world.program(WEB)
    token = web.tokens()["refresh_token"]
    successor = expect(web.refresh(token), OK).json()["refresh_token"]
    expect(web.refresh(successor), OK)
    yield AT_ONCE
    refused(web.refresh(token), "invalid_grant")


@scenario("attack", early=True, twin="refresh_race")
def refresh_token_of_another_client(world: World) -> Iterator[float]:
    """A thief presents a live refresh token of the web application with a partner's credentials."""
    token = world.program(WEB).tokens()["refresh_token"]
    yield AT_ONCE
    refused(world.program(PARTNER).refresh(token), "invalid_grant")


@scenario("benign", early=True)
def callback_reloaded(world: World) -> Iterator[float]:
    """Somebody reloads the page of the callback after the login."""
    browser = world.browser()
    callback = browser.log_in()
    yield AT_ONCE
    refused(browser.open(callback), "mismatching_state")


@scenario("attack", early=True, twin="callback_reloaded")
def state_replayed(world: World) -> Iterator[float]:
    """A state that was used comes back with another code."""
    browser, attacker = world.browser(), world.browser("tim")
    callback = browser.log_in()
    code = query_of(attacker.decide(attacker.start()))["code"]
    query = query_of(callback) | {"code": code}
    yield AT_ONCE
    refused(browser.open(urlsplit(callback)._replace(query=urlencode(query)).geturl()), "mismatching_state")


@scenario("benign", early=True)
def cookie_lost(world: World) -> Iterator[float]:
    """Somebody's callback arrives without the cookie of the session in which the login began."""
    browser = world.browser()
    callback = browser.decide(browser.start())
    yield AT_ONCE
    refused(world.browser().open(callback), "mismatching_state")


@scenario("attack", early=True, twin="cookie_lost")
def state_of_another_session(world: World) -> Iterator[float]:
    """An attacker has a victim, who is logged in, open the callback of the attacker's own login."""
    attacker, victim = world.browser("tim"), world.visitor("grace")
    callback = attacker.decide(attacker.start())
    yield AT_ONCE
    refused(victim.open(callback), "mismatching_state")


@scenario("benign", early=True)
def revocation_repeated(world: World) -> Iterator[float]:
    """A client revokes its token twice; RFC 7009 answers 200 both times."""
    web = world.program(WEB)
    token = web.tokens()["refresh_token"]
    expect(web.post("/revoke", token=token), OK)
    yield AT_ONCE
    expect(web.post("/revoke", token=token), OK)


@scenario("attack", early=True, twin="revocation_repeated")
def revocation_by_another_client(world: World) -> Iterator[float]:
    """Somebody with a partner's credentials revokes a token of the web application."""
    token = world.program(WEB).tokens()["refresh_token"]
    yield AT_ONCE
    refused(world.program(PARTNER).post("/revoke", token=token), "invalid_grant")
