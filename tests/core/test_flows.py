"""What the plugins of clients share: how a login is known, an operation told by its answer, a driven generator."""

from __future__ import annotations

import asyncio
import inspect
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from otel_oauth import flows, kinds
from otel_oauth.hooks import Call, Hook, HookSet
from otel_oauth.testing import Capture

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator


@pytest.fixture
def capture() -> Iterator[Capture]:
    with Capture() as found:
        found.mark()
        yield found


def test_the_challenge_is_that_of_rfc_7636() -> None:
    """The example of appendix B."""
    challenge = flows.challenge_of("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
    assert challenge == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


def test_an_operation_that_its_answer_tells_began_before(capture: Capture) -> None:
    operation = capture.telemetry.operation(kinds.API, {"provider": "idp", "called": True, "http_status": "401"})
    operation.ago = 2.0
    operation.start()
    operation.end()
    (span,) = capture.spans()
    assert 2.0 <= (span["end"] - span["start"]) / 1e9 < 3.0
    (point,) = [point for point in capture.points() if point["name"] == "provider_api_duration_milliseconds"]
    assert 2000 <= point["sum"] < 3000


def test_an_operation_becomes_another_kind(capture: Capture) -> None:
    facts = {"provider": capture.telemetry.provider("idp"), "called": True, "http_status": "200"}
    with capture.telemetry.operation(kinds.REVOKE, {**facts}) as operation:
        operation.become(kinds.INTROSPECT)
    assert "provider_api_calls_total{provider=idp,operation=introspect,status=200}" in capture.moved()
    (span,) = capture.spans()
    assert (span["name"], span["attributes"]["oauth.operation"]) == ("oauth.introspect idp", "introspect")


def test_a_discovery_of_several_requests_lasts_from_the_first(capture: Capture) -> None:
    facts = {"provider": "idp", "called": True, "http_status": "200", "discovery_method": "rfc9728"}
    with capture.telemetry.operation(kinds.DISCOVER, {**facts, "discovery_seconds": 7.0}):
        pass
    with capture.telemetry.operation(kinds.DISCOVER, {**facts, "discovery_method": None}):
        pass
    (point,) = [point for point in capture.points() if point["name"] == "oauth_discovery_duration_seconds"]
    assert (point["count"], point["sum"]) == (1, 7.0)
    assert capture.moved()["oauth_discovery_attempts_total{method=rfc9728,status=success}"] == 1


# A hooked function that returns an asynchronous generator -------------------------------------------------------------


@pytest.fixture
def library() -> Iterator[Any]:
    module = ModuleType("made_up_library")

    class Auth:
        async def flow(self, first: str) -> AsyncGenerator[str, str]:
            """Yield what to send."""
            second = yield first
            yield f"{first} {second}"

    Auth.flow.__qualname__ = "Auth.flow"
    module.Auth = Auth
    sys.modules[module.__name__] = module
    yield module
    del sys.modules[module.__name__]


def test_a_generator_is_driven_and_given_back(capture: Capture, library: Any) -> None:
    seen = []

    async def drive(call: Call, inner: AsyncGenerator[Any, Any]) -> AsyncGenerator[Any, Any]:
        seen.append((type(call.instance).__name__, call.argument(0, "first")))
        sent = yield await inner.__anext__()
        yield await inner.asend(sent)

    async def main() -> list[str]:
        flow = library.Auth().flow("a")
        return [await flow.__anext__(), await flow.asend("b")]

    original = vars(library.Auth)["flow"]
    hooks = HookSet(capture.telemetry, "httpx")
    hooks.attach({"made_up_library:Auth.flow": Hook(drive=drive)})
    assert inspect.isasyncgenfunction(library.Auth.flow)
    assert asyncio.run(main()) == ["a", "a b"]
    assert seen == [("Auth", "a")]
    hooks.detach()
    assert vars(library.Auth)["flow"] is original
    assert asyncio.run(main()) == ["a", "a b"]
    assert len(seen) == 1


def test_hooks_that_a_plugin_places_itself_are_counted_and_taken_back(capture: Capture) -> None:
    hooks, undone = HookSet(capture.telemetry, "httpx"), []
    hooks.count(attached=2, missing=1)
    hooks.on_detach(lambda: undone.append(True))

    def counted() -> dict[str, float]:
        points = [point for point in capture.points() if point["name"] == "otel_oauth_hooks"]
        return {point["attributes"]["state"]: point["value"] for point in points}

    assert counted() == {"attached": 2, "missing": 1}
    hooks.detach()
    assert (undone, counted()) == ([True], {"attached": 0, "missing": 0})
