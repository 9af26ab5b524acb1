"""What is learned, of whom it is believed, how much of it and for how long."""

from __future__ import annotations

import threading
from typing import Any

import httpx
import pytest
from oauth_corpus import classifier

from otel_oauth import kinds
from otel_oauth_httpx.classify import refused
from otel_oauth_httpx.endpoints import (
    ATTEMPT,
    LIFETIME,
    MOST_ENDPOINTS,
    MOST_ISSUERS,
    MOST_OF_HOST,
    Endpoints,
    Place,
    place_of,
)

NAMED = {"login.example.com": "company", "api.example.com": "company", "accounts.google.com": "google"}


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def endpoints(clock: Clock) -> Endpoints:
    return Endpoints(NAMED, clock)


def place(url: str) -> Place:
    found = place_of(url)
    assert found is not None
    return found


def kind(endpoints: Endpoints, method: str, url: str) -> Any:
    found = classifier(endpoints)(httpx.Request(method, url))
    return None if found is None else found.kind


def learn(endpoints: Endpoints, issuer: str, **document: Any) -> None:
    endpoints.learn_metadata(place(f"{issuer}/.well-known/openid-configuration"), document)


def test_endpoints_at_the_origin_of_the_document(endpoints: Endpoints) -> None:
    learn(endpoints, "https://as.example.org:8443", userinfo_endpoint="https://as.example.org:8443/me")
    assert kind(endpoints, "GET", "https://as.example.org:8443/me?schema=openid") is kinds.USERINFO
    assert kind(endpoints, "POST", "https://as.example.org:8443/me") is kinds.USERINFO
    assert kind(endpoints, "PUT", "https://as.example.org:8443/me") is None
    assert kind(endpoints, "GET", "https://as.example.org/me") is None
    assert kind(endpoints, "GET", "http://as.example.org:8443/me") is None
    assert kind(endpoints, "GET", "https://as.example.org:8443/me/more") is None


def test_the_default_port_is_the_same_origin(endpoints: Endpoints) -> None:
    learn(endpoints, "https://as.example.org", userinfo_endpoint="https://AS.example.org:443/me")
    assert kind(endpoints, "GET", "https://as.example.org/me") is kinds.USERINFO


@pytest.mark.parametrize("victim", ["https://api.victim.org/v1/payments", "http://evil.org/x", "https://evil.org:1/x"])
def test_nobody_names_what_belongs_to_another_origin(endpoints: Endpoints, victim: str) -> None:
    learn(endpoints, "https://evil.org", userinfo_endpoint=victim, jwks_uri=victim)
    endpoints.learn_challenge(place("https://evil.org/mcp"), victim)
    endpoints.learn_registration(place("https://evil.org/register"), victim)
    assert kind(endpoints, "GET", victim) is None
    assert kind(endpoints, "DELETE", victim) is None


def test_hosts_with_one_name_belong_together(endpoints: Endpoints) -> None:
    learn(endpoints, "https://login.example.com", userinfo_endpoint="https://api.example.com/me")
    learn(endpoints, "https://login.example.com", jwks_uri="http://api.example.com/keys")
    learn(endpoints, "https://accounts.google.com", jwks_uri="https://api.example.com/keys")
    assert kind(endpoints, "GET", "https://api.example.com/me") is kinds.USERINFO
    assert kind(endpoints, "GET", "http://api.example.com/keys") is None
    assert kind(endpoints, "GET", "https://api.example.com/keys") is None


def test_a_documented_endpoint_is_what_its_provider_documents(endpoints: Endpoints) -> None:
    named = Endpoints({"evil.googleapis.com": "google", "www.googleapis.com": "google"})
    learn(named, "https://evil.googleapis.com", userinfo_endpoint="https://www.googleapis.com/oauth2/v3/certs")
    assert kind(named, "GET", "https://www.googleapis.com/oauth2/v3/certs") is kinds.JWKS
    learn(endpoints, "https://slack.com", token_endpoint="https://slack.com/api/oauth.v2.access")
    endpoints.learn_challenge(place("https://slack.com/x"), "https://slack.com/api/auth.revoke")
    assert kind(endpoints, "GET", "https://slack.com/api/auth.revoke") is kinds.REVOKE


@pytest.mark.parametrize(
    "url",
    [
        None,
        7,
        ["https://as.example.org/me"],
        "",
        "/me",
        "ftp://as.example.org/me",
        "https://",
        "https://[::1/me",
        "https://as.example.org:99999/me",
        "https://bücher.example/me",
        "https://as.example.org/" + "x" * 3000,
    ],
)
def test_what_is_no_url_is_not_learned(endpoints: Endpoints, url: Any) -> None:
    assert place_of(url) is None
    before = set(endpoints.hosts)
    learn(endpoints, "https://as.example.org", userinfo_endpoint=url, mtls_endpoint_aliases=url)
    endpoints.learn_resource({"authorization_servers": url}, "rfc9728")
    endpoints.learn_resource({"authorization_servers": [url]}, "rfc9728")
    assert set(endpoints.hosts) == before


def test_an_endpoint_is_forgotten_a_day_after_its_last_use(endpoints: Endpoints, clock: Clock) -> None:
    learn(endpoints, "https://as.example.org", jwks_uri="https://as.example.org/k")
    for _ in range(3):
        clock.now += LIFETIME - 1
        assert kind(endpoints, "GET", "https://as.example.org/k") is kinds.JWKS
    clock.now += LIFETIME + 1
    assert kind(endpoints, "GET", "https://as.example.org/k") is None
    assert "as.example.org" not in endpoints.hosts


def test_what_a_refusal_points_to_is_soon_forgotten(endpoints: Endpoints, clock: Clock) -> None:
    challenge = httpx.Headers({"www-authenticate": 'Bearer resource_metadata="https://rs.example.org/meta"'})
    request = httpx.Request("GET", "https://rs.example.org/x")
    assert refused(endpoints, request, 401, challenge).kind is kinds.API
    assert kind(endpoints, "GET", "https://rs.example.org/meta") is kinds.DISCOVER
    clock.now += ATTEMPT + 1
    assert kind(endpoints, "GET", "https://rs.example.org/meta") is None


def test_an_issuer_is_that_of_a_resource_for_a_while(endpoints: Endpoints, clock: Clock) -> None:
    named = endpoints.learn_resource({"authorization_servers": ["https://as.example.org/t"] * 20}, "www-authenticate")
    assert named == ("https://as.example.org",) * 8
    assert endpoints.issuer_method("as.example.org") == "www-authenticate"
    clock.now += ATTEMPT + 1
    assert endpoints.issuer_method("as.example.org") == "manual"
    for number in range(3 * MOST_ISSUERS):
        endpoints.learn_resource({"authorization_servers": [f"https://as{number}.example.org"]}, "rfc9728")
    kept = [
        number for number in range(3 * MOST_ISSUERS) if endpoints.issuer_method(f"as{number}.example.org") != "manual"
    ]
    assert kept == list(range(2 * MOST_ISSUERS, 3 * MOST_ISSUERS))


def learned(endpoints: Endpoints) -> list[tuple[str, str]]:
    return [
        (name, key[3])
        for name, host in endpoints.hosts.items()
        for key, endpoint in host.endpoints.items()
        if endpoint.seen is not None
    ]


def test_a_host_that_floods_drives_out_none_but_its_own(endpoints: Endpoints) -> None:
    learn(endpoints, "https://as.example.org", revocation_endpoint="https://as.example.org/r")
    for number in range(2 * MOST_OF_HOST):
        learn(endpoints, "https://evil.org", jwks_uri=f"https://evil.org/{number}")
        endpoints.learn_challenge(place("https://evil.org/x"), f"https://evil.org/meta{number}")
    assert len(learned(endpoints)) == MOST_OF_HOST + 1
    assert ("as.example.org", "/r") in learned(endpoints)
    assert len(endpoints.hosts["evil.org"].tails["GET"]) <= MOST_OF_HOST


def test_many_hosts_that_flood_drive_out_what_was_used_last_of_all(endpoints: Endpoints) -> None:
    learn(endpoints, "https://as.example.org", jwks_uri="https://as.example.org/k")
    assert kind(endpoints, "GET", "https://as.example.org/k") is kinds.JWKS
    for number in range(MOST_ENDPOINTS + 50):
        learn(endpoints, f"https://e{number}.org", jwks_uri=f"https://e{number}.org/k")
    assert len(learned(endpoints)) == MOST_ENDPOINTS
    assert kind(endpoints, "GET", "https://as.example.org/k") is kinds.JWKS


def test_what_is_learned_anew_is_still_used(endpoints: Endpoints) -> None:
    for number in range(MOST_OF_HOST):
        learn(endpoints, "https://as.example.org", jwks_uri=f"https://as.example.org/{number}")
    assert kind(endpoints, "GET", "https://as.example.org/0") is kinds.JWKS
    learn(endpoints, "https://as.example.org", jwks_uri="https://as.example.org/0")
    learn(endpoints, "https://as.example.org", jwks_uri="https://as.example.org/new")
    assert kind(endpoints, "GET", "https://as.example.org/0") is kinds.JWKS
    assert kind(endpoints, "GET", "https://as.example.org/1") is None


def test_when_all_were_used_the_one_used_longest_ago_goes(endpoints: Endpoints) -> None:
    for number in range(MOST_ENDPOINTS):
        learn(endpoints, f"https://e{number}.org", jwks_uri=f"https://e{number}.org/k")
        assert kind(endpoints, "GET", f"https://e{number}.org/k") is kinds.JWKS
    assert kind(endpoints, "GET", "https://e0.org/k") is kinds.JWKS
    learn(endpoints, "https://new.org", jwks_uri="https://new.org/k")
    assert kind(endpoints, "GET", "https://e1.org/k") is None
    assert kind(endpoints, "GET", "https://e0.org/k") is kinds.JWKS
    assert kind(endpoints, "GET", "https://new.org/k") is kinds.JWKS


def test_below_a_registration_endpoint_only_its_registrations_are_managed(endpoints: Endpoints) -> None:
    learn(endpoints, "https://as.example.org", registration_endpoint="https://as.example.org/register")
    classify = classifier(endpoints)
    found = classify(httpx.Request("GET", "https://as.example.org/register/abc"))
    assert found is not None
    assert (found.kind, found.manages) == (kinds.REGISTER, True)
    assert classify(httpx.Request("POST", "https://as.example.org/register/abc")) is None
    assert classify(httpx.Request("GET", "https://as.example.org/register")) is None
    assert classify(httpx.Request("GET", "https://as.example.org/register/abc/keys")) is None


def test_many_threads_learn_use_and_forget_at_once() -> None:
    endpoints, failures = Endpoints(), []

    def work(number: int) -> None:
        try:
            for turn in range(80):
                host = f"h{(number * 80 + turn) % 200}.org"
                learn(endpoints, f"https://{host}", jwks_uri=f"https://{host}/k", userinfo_endpoint=f"https://{host}/u")
                kind(endpoints, "GET", f"https://h{turn}.org/k")
        except Exception as error:  # noqa: BLE001 whatever it is, it must be none
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(learned(endpoints)) <= MOST_ENDPOINTS
