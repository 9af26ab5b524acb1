"""Random requests to two equal authorization servers, one of them instrumented: nobody can tell which."""

from __future__ import annotations

import sys
from types import MethodType
from typing import TYPE_CHECKING, Any

import pytest
from authlib.oauth2.rfc7523 import JWTBearerGrant
from authlib.oauth2.rfc8628 import DeviceCodeGrant
from compared import Transcript, determined, difference, fingerprint, unlike
from compared_server import Application, Step, Visitor, objects
from compared_store import CHALLENGE, REDIRECT, VERIFIER
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from otel_oauth.testing import Capture
from otel_oauth_authlib import AuthlibInstrumentor

if TYPE_CHECKING:
    from collections.abc import Iterator

BACK = st.integers(0, 3)
WHO = st.sampled_from(
    [
        "basic web",
        "basic web",
        "basic other",
        "post web",
        "public app",
        "public web",
        "assertion jwt",
        "basic narrow",
        "basic stranger",
        "none",
        "bearer 0",
    ]
)
ANY_TEXT = st.text(max_size=20)
STATES = st.sampled_from(["s1", "s2", ""])


def given_value(name: str) -> st.SearchStrategy[Any]:
    """Something that was issued, mostly; or what was not."""
    issued = st.tuples(st.just(name), BACK)
    return st.one_of(issued, issued, issued, st.sampled_from(["", "forged", "ü\x00"]), ANY_TEXT)


def mostly(usual: Any, *others: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from([usual] * 3 + list(others))


def form(optional: dict[str, Any] | None = None, **always: Any) -> st.SearchStrategy[dict[str, Any]]:
    fixed = {name: value if isinstance(value, st.SearchStrategy) else st.just(value) for name, value in always.items()}
    return st.fixed_dictionaries(fixed, optional=optional or {})


AUTHORIZATION = form(
    {"nonce": st.sampled_from(["n1", "n2", "n3"]), "response_mode": st.sampled_from(["query", "form_post", "x"])}
    | {"prompt": st.sampled_from(["none", "login", "bad"]), "code_challenge": mostly(CHALLENGE, "short", "")}
    | {"code_challenge_method": mostly("S256", "plain", "S512"), "scope": st.sampled_from(["openid profile", "admin"])},
    response_type=mostly("code", "token", "code id_token", "id_token token", "none"),
    client_id=mostly("web", "app", "narrow", "stranger"),
    redirect_uri=mostly(REDIRECT, "https://evil.example/cb", "http://plain", ""),
    state=STATES,
)
PKCE = form(
    {
        "nonce": st.sampled_from(["n4", "n5"]),
        "scope": st.just("openid profile"),
    },
    response_type="code",
    client_id=mostly("web", "app"),
    redirect_uri=REDIRECT,
    state=STATES,
    code_challenge=CHALLENGE,
    code_challenge_method="S256",
)
TOKEN = st.one_of(
    form(
        {"code_verifier": mostly(VERIFIER, "w" * 50, "short", "")},
        grant_type="authorization_code",
        code=given_value("code"),
        redirect_uri=mostly(REDIRECT, "https://evil.example/cb", ""),
    ),
    form(grant_type="authorization_code", code=("code", 0), redirect_uri=REDIRECT, code_verifier=VERIFIER),
    form({"scope": STATES}, grant_type="refresh_token", refresh_token=given_value("refresh_token")),
    form(grant_type="refresh_token"),
    form({"scope": st.sampled_from(["profile", "admin"])}, grant_type="client_credentials"),
    form(grant_type="password", username="user", password=mostly("right", "wrong")),
    form(grant_type=DeviceCodeGrant.GRANT_TYPE, device_code=given_value("device_code")),
    form(grant_type=JWTBearerGrant.GRANT_TYPE, assertion=st.sampled_from([("jwt", "web"), ("jwt", "other"), "a.b.c"])),
    form(grant_type=ANY_TEXT),
    st.dictionaries(ANY_TEXT, ANY_TEXT, max_size=3),
)
ANY_TOKEN = st.one_of(given_value("access_token"), given_value("refresh_token"))
HINTED = form({"token_type_hint": st.sampled_from(["access_token", "refresh_token", "x"])}, token=ANY_TOKEN)
REGISTRATION = form(
    {"client_name": ANY_TEXT, "token_endpoint_auth_method": st.sampled_from(["none", "client_secret_basic"])},
    redirect_uris=mostly([REDIRECT], [], ["not a uri"], 7),
)
PATHS = st.sampled_from(
    [
        "/token",
        "/authorize",
        "/revocation",
        "/introspection",
        "/client_registration",
        "/manage/web",
        "/userinfo",
        "/device_authorization",
        "/logout",
        "/api",
        "/plain",
        "/nowhere",
    ]
)
METHODS = st.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS"])
HEADERS = st.dictionaries(
    st.sampled_from(["Authorization", "Cookie", "Content-Encoding", "Transfer-Encoding", "X-Any"]),
    st.sampled_from(["Basic", "Basic !!", "Basic d2ViOg==", "Bearer", "Bearer  a b", "gzip", "chunked", "a=b; c"]),
    max_size=2,
)
BODIES = st.one_of(
    st.binary(max_size=60), st.sampled_from([b"grant_type=%FF&code=%", b"{", b"[]", b'{"a": 1', b"&&=&"])
)
TYPES = st.sampled_from(
    ["", "application/x-www-form-urlencoded", "application/json", "multipart/form-data", "text/plain; charset=x"]
)


def send(method: str, path: str, who: Any, body: Any) -> st.SearchStrategy[Step]:
    return st.tuples(st.just("send"), st.just(method), st.just(path), who, body)


STEPS: st.SearchStrategy[Step] = st.one_of(
    st.tuples(st.just("authorize"), st.sampled_from(["GET", "POST"]), AUTHORIZATION),
    st.tuples(st.just("authorize"), st.just("POST"), PKCE),
    st.tuples(st.just("authorize"), st.just("POST"), PKCE),
    send("POST", "/token", WHO, TOKEN),
    send("POST", "/token", WHO, TOKEN),
    send("POST", "/token", WHO, TOKEN),
    send("POST", "/revocation", WHO, HINTED),
    send("POST", "/introspection", WHO, HINTED),
    send("POST", "/device_authorization", WHO, st.sampled_from([{"client_id": "web"}, {}])),
    st.tuples(st.just("register"), st.just("/client_registration"), REGISTRATION),
    st.tuples(st.just("manage"), st.sampled_from(["GET", "PUT", "DELETE"]), st.sampled_from(["web", "narrow", "x"])),
    send("GET", "/userinfo", st.sampled_from(["bearer 0", "bearer 1", "none"]), st.just({})),
    send("GET", "/api", st.sampled_from(["bearer 0", "bearer 1", "none"]), st.just({})),
    send("GET", "/logout", st.just("none"), st.sampled_from([{}, {"id_token_hint": ("jwt", "web")}])),
    send("GET", "/plain", st.just("none"), st.just({})),
    st.tuples(st.just("raw"), METHODS, PATHS, TYPES, BODIES, HEADERS),
    st.tuples(st.just("wait"), st.sampled_from([1.0, 31.0, 400.0, 4000.0])),
    st.tuples(
        st.just("fail"),
        st.sampled_from(["", "", "query_client", "save_token", "query_code", "save_code", "revoke_token"]),
    ),
    st.tuples(st.just("neglect"), st.booleans()),
)
PROGRAMS = st.lists(STEPS, min_size=3, max_size=14)


def plain(steps: list[Step]) -> tuple[Transcript, Application]:
    transcript = Transcript()
    with determined() as clock, transcript.listening():
        application = Application(transcript)
        Visitor(application, clock).take(steps)
    return transcript, application


def instrumented(
    capture: Capture, steps: list[Step], attach: int, detach: int
) -> tuple[Transcript, Application, dict[str, Any]]:
    """Run the program with the instrumentation attached from step ``attach`` (before the application at 0) on."""
    transcript, instrumentor = Transcript(), AuthlibInstrumentor()
    with determined() as clock, transcript.listening():
        if attach == 0:
            instrumentor.instrument(telemetry=capture.telemetry)
        try:
            application = Application(transcript)
            visitor = Visitor(application, clock)
            visitor.take(steps[:attach])
            if attach:
                instrumentor.instrument(telemetry=capture.telemetry)
            visitor.take(steps[attach:detach])
            seen = {name: fingerprint(found) for name, found in objects(application).items()}
        finally:
            instrumentor.uninstrument()
        visitor.take(steps[detach:])
    return transcript, application, seen


@pytest.fixture(scope="module")
def capture() -> Iterator[Capture]:
    with Capture(race_window=30) as found:
        assert found.telemetry.guard.reraise, "an error of ours shows as a difference"
        yield found
        requests = [dict(labels) for (name, labels) in found.counters() if name == "oauth_http_requests_total"]
        assert len({each["endpoint"] for each in requests}) >= 5, "it was observed all the while"


def compare(capture: Capture, steps: list[Step], where: tuple[int, int]) -> None:
    attach = 0 if where[0] > len(steps) else where[0]
    expected, _ = plain(steps)
    transcript, _, _ = instrumented(capture, steps, attach, max(attach, where[1]))
    assert not difference(expected.lines, transcript.lines)


WHERE = st.tuples(st.integers(0, 14), st.integers(0, 14))
ALL_CHECKS = list(HealthCheck)


@given(steps=PROGRAMS, where=WHERE)
@settings(max_examples=15, deadline=None, derandomize=True, phases=[Phase.generate], suppress_health_check=ALL_CHECKS)
def test_nobody_can_tell(capture: Capture, steps: list[Step], where: tuple[int, int]) -> None:
    compare(capture, steps, where)


@pytest.mark.slow
@pytest.mark.timeout(900)
@given(steps=PROGRAMS, where=WHERE)
@settings(max_examples=1000, deadline=None, suppress_health_check=ALL_CHECKS)
def test_nobody_can_tell_in_the_long_run(capture: Capture, steps: list[Step], where: tuple[int, int]) -> None:
    compare(capture, steps, where)


USUAL: list[Step] = [
    ("authorize", "POST", {"response_type": "code", "client_id": "web", "redirect_uri": REDIRECT, "state": "s"}),
    ("send", "POST", "/token", "basic web", {"grant_type": "authorization_code", "code": ("code", 0)}),
    ("send", "POST", "/token", "basic web", {"grant_type": "client_credentials"}),
    ("send", "POST", "/token", "basic web", {"grant_type": "password", "username": "u", "password": "right"}),
    ("send", "POST", "/token", "basic web", {"grant_type": "refresh_token", "refresh_token": ("refresh_token", 0)}),
    ("send", "POST", "/token", "assertion jwt", {"grant_type": "client_credentials"}),
    ("send", "POST", "/revocation", "basic web", {"token": ("refresh_token", 0)}),
    ("send", "POST", "/introspection", "basic web", {"token": ("refresh_token", 0)}),
    ("register", "/client_registration", {"redirect_uris": [REDIRECT]}),
    ("manage", "GET", "web"),
    ("send", "POST", "/device_authorization", "basic web", {"client_id": "web"}),
    ("send", "GET", "/userinfo", "bearer 0", {}),
    ("send", "GET", "/api", "bearer 0", {}),
    ("send", "GET", "/logout", "none", {}),
]


@pytest.mark.parametrize("attach", [0, 7])
def test_objects_look_copy_and_pickle_as_before(capture: Capture, attach: int) -> None:
    _, application = plain(USUAL)
    expected = {name: fingerprint(found) for name, found in objects(application).items()}
    assert len(expected) > 15
    _, observed, seen = instrumented(capture, USUAL, attach, len(USUAL))
    assert unlike(expected, seen) == []
    assert unlike(expected, {name: fingerprint(found) for name, found in objects(observed).items()}) == []


def test_the_comparison_compares(capture: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[Step] = [("send", "POST", "/token", "basic web", {"grant_type": "client_credentials"})]
    expected, application = plain(steps)
    before = capture.counters()
    transcript, _, _ = instrumented(capture, steps, 0, 1)
    assert not difference(expected.lines, transcript.lines)
    assert capture.counters() != before, "and something was recorded meanwhile"
    kinds = {line[0] for line in expected.lines}
    assert kinds == {"step", "log", "store", "answered"}
    asked = Application.query_client
    monkeypatch.setattr(
        Application, "query_client", lambda self, client_id: (asked(self, client_id), asked(self, client_id))[0]
    )
    again, _ = plain(steps)
    assert "query_client" in difference(expected.lines, again.lines)
    monkeypatch.setattr(Application, "query_client", lambda _self, client_id: {}[client_id])
    failed, _ = plain(steps)
    assert "KeyError" in difference(expected.lines, failed.lines)
    assert unlike(fingerprint(application.server), fingerprint(application.app))


def _attributes(application: Application) -> dict[tuple[Any, str], Any]:
    """Return every attribute of Authlib's classes, of the application's and of its long-lived objects."""
    modules = [module for name, module in sys.modules.items() if name.startswith(("authlib.", "compared"))]
    # `isinstance` would wake Django's lazy settings.
    owners: set[Any] = {cls for module in modules for cls in vars(module).values() if issubclass(type(cls), type)}
    for found in objects(application).values():
        owners.update(found.__mro__ if isinstance(found, type) else type(found).__mro__)
    attributes = {(owner, name): value for owner in owners for name, value in vars(owner).items()}
    kept = {name: found for name, found in objects(application).items() if not isinstance(found, type)}
    return attributes | {(name, key): value for name, found in kept.items() for key, value in vars(found).items()}


@pytest.mark.parametrize("attach", [0, 7])
def test_after_uninstrument_every_attribute_is_the_original(capture: Capture, attach: int) -> None:
    instrumentor = AuthlibInstrumentor()
    with determined() as clock:
        application = Application(Transcript())
        visitor = Visitor(application, clock)
        visitor.take(USUAL[:attach])
        before = _attributes(application)
        instrumentor.instrument(telemetry=capture.telemetry)
        visitor.take(USUAL[attach:])
        during = _attributes(application)
        instrumentor.uninstrument()
        after = _attributes(application)
    hooked = {key for key, value in before.items() if during[key] is not value}
    assert len(hooked) > 40
    changed = [key for key, value in before.items() if after[key] is not value and key[1] != "_client_auth"]
    # A bound method is made anew: to keep the old one would keep the server alive.
    assert [key for key in changed if type(before[key]) is not MethodType or before[key] != after[key]] == []
    assert {key for key in after if key not in before} <= {(cls, "__slotnames__") for cls, _ in after}
