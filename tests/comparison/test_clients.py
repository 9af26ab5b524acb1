"""Random use of two equal clients, one of them instrumented: neither the application nor the provider can tell."""

from __future__ import annotations

import gc
import logging
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import pytest
from authlib_provider import Provider
from compared import Transcript, determined, difference, fingerprint, unlike
from compared_client import REFUSALS, Sessions, Step, Visits, party, renew, without_signatures
from compared_store import VERIFIER
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from otel_oauth.testing import Capture
from otel_oauth_authlib import AuthlibInstrumentor

if TYPE_CHECKING:
    from collections.abc import Iterator

ALL_CHECKS = list(HealthCheck)
REFUSAL = st.sampled_from(sorted(REFUSALS))


def step(name: str, *arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[Step]:
    return st.tuples(st.just(name), *arguments)


TOKENS = st.sampled_from([None, None, "stale", ""])
SESSION_STEPS = st.one_of(
    step("begin", st.sampled_from(["", VERIFIER, VERIFIER])),
    step("exchange", st.sampled_from([None, None, "another"]), st.sampled_from([VERIFIER, VERIFIER, "w" * 50])),
    step("exchange", st.none(), st.just(VERIFIER)),
    step("fetch"),
    step("password"),
    step("password"),
    step("fragment"),
    step("refresh", TOKENS),
    step("revoke", TOKENS),
    step("introspect", TOKENS),
    step("get", st.sampled_from(["/api", "/userinfo", "/nowhere"])),
    step("get", st.just("/api")),
    step("post", st.sampled_from(["/api", "/token", "/register"]), st.booleans()),
    step("wait", st.sampled_from([1.0, 60.0, 864_001.0])),
    step("refuse", st.sampled_from(["/token", "/api", "/revoke", "/introspect"]), REFUSAL),
    step("forget"),
)
BROWSER, WHICH = st.integers(0, 2), st.integers(0, 3)
CHANGED = st.sampled_from(
    [{}, {}, {}, {"state": "forged"}, {"code": "forged"}, {"error": "access_denied"}, {"iss": "x"}]
)
VISIT_STEPS = st.one_of(
    step("login", BROWSER),
    step("login", BROWSER),
    step("callback", st.just("GET"), BROWSER, WHICH, CHANGED),
    step("callback", st.just("GET"), BROWSER, WHICH, CHANGED),
    step("callback", st.just("POST"), BROWSER, WHICH, CHANGED),
    step("visit", BROWSER),
    step("another"),
    step("wait", st.sampled_from([1.0, 3601.0])),
    step("refuse", st.sampled_from(["/token", "/jwks"]), REFUSAL),
)
SESSION = st.lists(SESSION_STEPS, min_size=3, max_size=10)
VISIT = st.lists(VISIT_STEPS, min_size=3, max_size=8).map(lambda steps: [("login", 0), *steps])


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    found = Provider()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")
        yield found
    found.close()


@pytest.fixture(scope="module")
def capture() -> Iterator[Capture]:
    with Capture() as found:
        assert found.telemetry.guard.reraise, "an error of ours shows as a difference"
        yield found


class Attached:
    """The instrumentation, attached for a block."""

    def __init__(self, capture: Capture) -> None:
        self.telemetry = capture.telemetry

    def __enter__(self) -> None:
        AuthlibInstrumentor().instrument(telemetry=self.telemetry)

    def __exit__(self, *_error: object) -> None:
        AuthlibInstrumentor().uninstrument()


def use(kind: str, provider: Provider, steps: list[Step], attached: Any, late: Any) -> list[Any]:
    """Drive a session; ``attached`` from before it is made on, or ``late`` once it is there."""
    renew(provider)
    transcript = Transcript()
    with determined() as clock, transcript.listening(), attached:
        sessions = Sessions(kind, provider, transcript, clock)
        with late:
            sessions.take(steps)
        sessions.close()
    return [without_signatures(line) for line in transcript.lines]


def visit(name: str, provider: Provider, steps: list[Step], *, cached: bool, attached: Any) -> list[Any]:
    """Drive the browsers of a relying party."""
    renew(provider)
    transcript = Transcript()
    with determined() as clock, transcript.listening(), attached, party(name, provider, cached=cached) as found:
        found.catches = True
        Visits(found, transcript, clock).take(steps)
    return [without_signatures(line) for line in transcript.lines]


KINDS = st.sampled_from(["requests", "httpx", "async"])
FRAMEWORKS = st.sampled_from(["flask", "django", "starlette"])


def compare_sessions(capture: Capture, provider: Provider, kind: str, steps: list[Step], *, late: bool) -> None:
    plain = use(kind, provider, steps, nullcontext(), nullcontext())
    whole, part = (nullcontext(), Attached(capture)) if late else (Attached(capture), nullcontext())
    assert not difference(plain, use(kind, provider, steps, whole, part))


def compare_registries(capture: Capture, provider: Provider, name: str, steps: list[Step], *, cached: bool) -> None:
    plain = visit(name, provider, steps, cached=cached, attached=nullcontext())
    assert not difference(plain, visit(name, provider, steps, cached=cached, attached=Attached(capture)))


@given(kind=KINDS, steps=SESSION, late=st.booleans())
@settings(max_examples=9, deadline=None, derandomize=True, phases=[Phase.generate], suppress_health_check=ALL_CHECKS)
def test_sessions(capture: Capture, provider: Provider, kind: str, steps: list[Step], late: bool) -> None:  # noqa: FBT001 drawn
    compare_sessions(capture, provider, kind, steps, late=late)


@given(name=FRAMEWORKS, steps=VISIT, cached=st.booleans())
@settings(max_examples=5, deadline=None, derandomize=True, phases=[Phase.generate], suppress_health_check=ALL_CHECKS)
def test_registries(capture: Capture, provider: Provider, name: str, steps: list[Step], cached: bool) -> None:  # noqa: FBT001 drawn
    compare_registries(capture, provider, name, steps, cached=cached)


@pytest.mark.slow
@pytest.mark.timeout(900)
@given(kind=KINDS, steps=SESSION, late=st.booleans())
@settings(max_examples=300, deadline=None, suppress_health_check=ALL_CHECKS)
def test_sessions_in_the_long_run(
    capture: Capture,
    provider: Provider,
    kind: str,
    steps: list[Step],
    late: bool,  # noqa: FBT001 drawn
) -> None:
    compare_sessions(capture, provider, kind, steps, late=late)


@pytest.mark.slow
@pytest.mark.timeout(900)
@given(name=FRAMEWORKS, steps=VISIT, cached=st.booleans())
@settings(max_examples=200, deadline=None, suppress_health_check=ALL_CHECKS)
def test_registries_in_the_long_run(
    capture: Capture,
    provider: Provider,
    name: str,
    steps: list[Step],
    cached: bool,  # noqa: FBT001 drawn
) -> None:
    compare_registries(capture, provider, name, steps, cached=cached)


def test_the_comparison_compares(capture: Capture, provider: Provider) -> None:
    steps: list[Step] = [("password",), ("get", "/api"), ("refresh", "stale")]
    capture.mark()
    plain = use("requests", provider, steps, nullcontext(), nullcontext())
    assert capture.moved() == {}
    assert not difference(plain, use("requests", provider, steps, Attached(capture), nullcontext()))
    assert "provider_api_calls_total{provider=127.0.0.1,operation=refresh,status=400}" in capture.moved()
    words = " ".join(map(str, plain))
    assert all(word in words for word in ("'returned'", "'raised'", "'log'", "invalid_grant", "OAuth2Token"))
    assert difference(plain, use("requests", provider, steps[:2], nullcontext(), nullcontext()))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # half a copy of a session cannot go
@pytest.mark.parametrize("kind", ["requests", "httpx", "async"])
def test_sessions_look_copy_and_pickle_as_before(capture: Capture, provider: Provider, kind: str) -> None:
    looks = []
    for attached in (nullcontext(), Attached(capture), nullcontext()):
        with determined() as clock, attached:
            sessions = Sessions(kind, provider, Transcript(), clock)
            sessions.take([("password",), ("get", "/api"), ("refresh", None)])
            looks.append(fingerprint(sessions.session))
            sessions.close()
    gc.collect()
    assert unlike(looks[0], looks[1]) == unlike(looks[0], looks[2]) == []


@pytest.mark.parametrize("name", ["flask", "django", "starlette"])
def test_registries_look_copy_and_pickle_as_before(capture: Capture, provider: Provider, name: str) -> None:
    looks = []
    for attached in (nullcontext(), Attached(capture), nullcontext()):
        with determined() as clock, attached, party(name, provider, cached=True) as found:
            Visits(found, Transcript(), clock).take([("login", 0), ("callback", "GET", 0, 0, {})])
            kinds = {"registry": found.oauth, "client": found.client, "framework": found.client.framework}
            looks.append({name: fingerprint(each) for name, each in kinds.items()})
    assert unlike(looks[0], looks[1]) == unlike(looks[0], looks[2]) == []
