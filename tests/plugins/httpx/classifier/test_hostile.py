"""Hostile requests and responses: no exception, and a time that is linear in their size."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oauth_corpus import classifier

from otel_oauth import vocabulary
from otel_oauth.catalogue import PROVIDER_ERRORS
from otel_oauth.providers import WELL_KNOWN_PROVIDERS
from otel_oauth_httpx.challenges import oauth_challenge
from otel_oauth_httpx.classify import refused
from otel_oauth_httpx.endpoints import Endpoints
from otel_oauth_httpx.parameters import MOST_BYTES
from otel_oauth_httpx.responses import outcome

if TYPE_CHECKING:
    from collections.abc import Callable

NAMES = st.sampled_from(
    [
        "grant_type",
        "token",
        "token_type_hint",
        "client_id",
        "client_secret",
        "code",
        "code_verifier",
        "response_type",
        "refresh_token",
        "redirect_uris",
        "request",
        "access_token",
        "scope",
        "error",
        "errcode",
        "active",
        "expires_in",
        "issuer",
        "resource",
        "authorization_servers",
        "jwks_uri",
        "userinfo_endpoint",
        "registration_client_uri",
        "data",
        "authed_user",
        "keys",
        "device_code",
        "request_uri",
        "mtls_endpoint_aliases",
        "message",
        "registration_endpoint",
    ],
)
VALUES = st.one_of(
    st.sampled_from(
        ["authorization_code", "refresh_token", "https://as.example.org/x", "code", "invalid_grant", "S256"]
    ),
    st.text(max_size=20),
)
URLS = st.builds(
    "https://{}{}{}{}".format,
    st.sampled_from(["as.example.org", "slack.com", "www.googleapis.com", "api.hubapi.com", "[::1]:1"]),
    st.sampled_from(["", "", "/register", "/oauth", "/.well-known", "/applications/x"]),
    st.sampled_from(
        ["", "/token", "/revoke", "/introspect", "/openid-configuration", "/jwks.json", "/par", "/device/code/"]
    ),
    st.sampled_from(["", "?grant_type=password", "?client_id=%ff&response_type=code", "?token=%00", "?" + "&" * 300]),
)
TREE = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), VALUES),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.one_of(NAMES, st.text(max_size=5)), inner, max_size=8)
    ),
    max_leaves=12,
)
FORMS = st.lists(st.tuples(NAMES, VALUES)).map(lambda pairs: str(httpx.QueryParams(pairs)).encode())
OBJECTS = st.dictionaries(NAMES, TREE, max_size=10)
BODIES = st.one_of(
    st.binary(max_size=200), FORMS, OBJECTS.map(json.dumps).map(str.encode), TREE.map(json.dumps).map(str.encode)
)
TYPES = st.sampled_from(
    ["application/json", "application/x-www-form-urlencoded", "text/plain", "application/jwt", "", "\x80"]
)
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "content-type": TYPES.map(lambda text: text.encode("latin-1")),
        "authorization": st.one_of(
            st.binary(max_size=60), st.sampled_from([b"Basic YTpi", b"Basic gA==", b"Bearer x"])
        ),
        "www-authenticate": st.one_of(
            st.binary(max_size=60),
            st.text('"\\=, abBearerDPoP', max_size=60).map(str.encode),
            st.sampled_from([b"Bearer", b'DPoP error="x"', b'Bearer resource_metadata="https://as.example.org/m"']),
        ),
    },
)


EXCHANGES = st.fixed_dictionaries(
    {
        "method": st.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD", "BREW"]),
        "url": URLS,
        "body": BODIES,
        "sent": HEADERS,
        "status": st.sampled_from([200, 201, 204, 302, 304, 400, 401, 403, 404, 428, 500, 999]),
        "got": HEADERS,
        "answer": st.one_of(st.none(), BODIES),
    }
)
FACTS = {"http_status", "error", "provider_error", "status", "outcome", "active", "revoked"}


def exchanged(exchange: dict[str, Any]) -> None:
    """Let a request and its response pass by, and look whether only what is allowed comes of them."""
    endpoints = Endpoints(WELL_KNOWN_PROVIDERS)
    classify = classifier(endpoints)
    request = httpx.Request(exchange["method"], exchange["url"], content=exchange["body"], headers=exchange["sent"])
    status, headers = exchange["status"], httpx.Headers(exchange["got"])
    found = classify(request) or refused(endpoints, request, status, headers)
    if found is None:
        return
    assert found.origin == exchange["url"][: len(found.origin)]
    assert not {"client_secret", "password", "assertion"} & set(found.parameters)
    assert found.grant_type in {"", "other", *vocabulary.GRANT_TYPES.values()}
    assert found.discovery_method in {"", "manual", "rfc9728", "www-authenticate"}
    result = outcome(endpoints, found, status, headers, exchange["answer"])
    assert set(result.facts) <= FACTS
    assert result.facts.get("error") in {None, "other", *vocabulary.RFC_ERRORS}
    assert result.facts.get("provider_error") in {None, *PROVIDER_ERRORS}
    assert isinstance(result.facts.get("active", True), bool)
    assert all(isinstance(value, str) == (name != "expires_in") for name, value in result.token.items())
    classify(request)


@settings(max_examples=60, database=None)
@given(EXCHANGES)
def test_anything_goes(exchange: dict[str, Any]) -> None:
    exchanged(exchange)


@pytest.mark.slow
@settings(max_examples=1000, database=None)
@given(EXCHANGES)
def test_anything_goes_many_times(exchange: dict[str, Any]) -> None:
    exchanged(exchange)


def seconds(work: Callable[[], Any]) -> float:
    """Return the least processor time of some runs."""
    return min(timed(work) for _ in range(3))


def timed(work: Callable[[], Any]) -> float:
    before = time.process_time()
    work()
    return time.process_time() - before


def requested(body: bytes) -> Any:
    request = httpx.Request("POST", "https://as.example.org/token", content=body)
    return lambda: classifier(Endpoints())(request)


def responded(body: bytes) -> Any:
    endpoints = Endpoints()
    url = "https://as.example.org/.well-known/openid-configuration"
    found = classifier(endpoints)(httpx.Request("GET", url))
    assert found is not None
    return lambda: outcome(endpoints, found, 200, httpx.Headers({"content-type": "application/json"}), body)


HOSTILE = {
    "empty fields": b"grant_type=x" + b"&" * MOST_BYTES,
    "fields": b"grant_type=x&a=b" * MOST_BYTES,
    "percent": b"grant_type=" + b"%" * MOST_BYTES,
    "escapes": b"grant_type=" + b"%f0" * MOST_BYTES,
    "braces": b"{" * MOST_BYTES,
    "lists": b'{"grant_type":' + b"[" * MOST_BYTES,
    "digits": b'{"grant_type":' + b"9" * MOST_BYTES,
    "exponents": b'{"grant_type":1e' + b"9" * MOST_BYTES,
    "backslashes": b'{"grant_type":"' + b"\\\\" * MOST_BYTES,
    "surrogates": b'{"grant_type":"' + b"\\ud800" * MOST_BYTES,
    "members": b"{" + b'"a":1,' * MOST_BYTES,
    "blanks": b"{" + b" " * MOST_BYTES,
}


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=list(HOSTILE))
def test_the_time_is_linear_in_a_body(hostile: bytes) -> None:
    for read in (requested, responded):
        small, large = hostile[: MOST_BYTES // 8], hostile[:MOST_BYTES]
        assert seconds(read(large)) < 8 * 4 * seconds(read(small)) + 0.002


@pytest.mark.parametrize("part", ['"', '\\"', '"\\', "a=", "a ", ", ", "Basic x=,", '="', '" "'])
def test_the_time_is_linear_in_a_challenge(part: str) -> None:
    small, large = (part * 8192)[:1024], (part * 8192)[:8192]
    assert seconds(lambda: oauth_challenge(large)) < 8 * 4 * seconds(lambda: oauth_challenge(small)) + 0.002
