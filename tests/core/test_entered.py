"""A hooked callable that returns a context manager behaves as before, and its operation lasts until that is entered."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys
from types import ModuleType
from typing import Any

import pytest

from otel_oauth import kinds
from otel_oauth.hooks import Call, Hook, HookSet
from otel_oauth.operation import current_operation
from otel_oauth.testing import Capture


class Streams:
    """A library whose methods give context managers; ``told`` is what they saw of the block."""

    def __init__(self, how: str) -> None:
        self.how = how
        self.told: list[str] = []

    def _before(self) -> None:
        if self.how == "fails to enter":
            msg = "no connection"
            raise ConnectionError(msg)

    @contextlib.contextmanager
    def stream(self) -> Any:
        self._before()
        if self.how == "yields nothing":
            return
        try:
            yield self
        except ZeroDivisionError:
            self.told.append("error")
            if self.how != "suppresses":
                raise
        finally:
            self.told.append("closed")
        if self.how == "yields again":
            yield self

    @contextlib.asynccontextmanager
    async def stream_async(self) -> Any:
        await asyncio.sleep(0)
        self._before()
        if self.how == "yields nothing":
            return
        try:
            yield self
        except ZeroDivisionError:
            self.told.append("error")
            if self.how != "suppresses":
                raise
        finally:
            self.told.append("closed")
        if self.how == "yields again":
            yield self


BODIES: dict[str, BaseException | None] = {
    "nothing": None,
    "error": ZeroDivisionError("of the block"),
    "stop": StopIteration("of the block"),
    "stop async": StopAsyncIteration("of the block"),
    "exit": GeneratorExit("of the block"),
    "interrupt": KeyboardInterrupt("of the block"),
}
WAYS = ["usual", "suppresses", "fails to enter", "yields nothing", "yields again"]


def leave_by(error: BaseException | None) -> None:
    if error is not None:
        raise error


def used(how: str, body: BaseException | None) -> tuple[Any, ...]:
    """Use the sync context manager; tell what happened."""
    streams = Streams(how)
    try:
        with streams.stream() as value:
            assert value is streams
            leave_by(body)
    except BaseException as error:  # noqa: BLE001 compared
        return (type(error), str(error), error is body, streams.told)
    return ("left", streams.told)


async def used_async(how: str, body: BaseException | None) -> tuple[Any, ...]:
    """Use the async context manager; tell what happened."""
    streams = Streams(how)
    try:
        async with streams.stream_async() as value:
            assert value is streams
            leave_by(body)
    except BaseException as error:  # noqa: BLE001 compared
        return (type(error), str(error), error is body, streams.told)
    return ("left", streams.told)


@pytest.fixture
def hooked(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Give a function that attaches, and yields the capture and what ``after`` got."""
    module = ModuleType("streaming_library")
    module.Streams = Streams  # type: ignore[attr-defined]  # a module made here
    monkeypatch.setitem(sys.modules, "streaming_library", module)

    @contextlib.contextmanager
    def attached() -> Any:
        seen: list[tuple[Any, Any]] = []

        def begin(call: Call) -> Any:
            provider = call.telemetry.provider(name="idp")
            return call.telemetry.operation(kinds.API, {"provider": provider, "called": True, "http_status": "200"})

        def after(call: Call, result: Any, error: BaseException | None) -> None:
            assert current_operation() is call.operation
            seen.append((result, error))

        with Capture() as capture:
            hooks = HookSet(capture.telemetry, "streaming")
            hook = Hook(begin, after)
            hooks.attach({f"streaming_library:Streams.{name}": hook for name in ("stream", "stream_async")})
            yield capture, seen
            hooks.detach()

    return attached


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("how", WAYS)
def test_the_application_sees_what_it_saw_before(hooked: Any, how: str, body: BaseException | None) -> None:
    expected = used(how, body), asyncio.run(used_async(how, body))
    with hooked() as (_, seen):
        assert (used(how, body), asyncio.run(used_async(how, body))) == expected
        assert len(seen) == 2
        assert current_operation() is None


def test_the_operation_lasts_until_the_entry(hooked: Any) -> None:
    with hooked() as (capture, seen):
        manager = Streams("usual").stream()
        assert current_operation() is None
        assert capture.moved() == {}
        with manager as streams:
            assert current_operation() is None, "what the block does is no part of it"
            assert seen == [(streams, None)]
            assert capture.moved()["provider_api_calls_total{provider=idp,operation=api,status=200}"] == 1
        assert capture.moved() == {}


def test_a_failed_entry_is_seen(hooked: Any) -> None:
    with hooked() as (_, seen):
        with pytest.raises(ConnectionError) as caught, Streams("fails to enter").stream():
            pass
        assert [error for _, error in seen] == [caught.value]


def test_a_context_manager_that_nobody_enters_records_nothing(hooked: Any) -> None:
    with hooked() as (capture, seen):
        Streams("usual").stream()
        gc.collect()
        assert seen == []
        assert capture.moved() == {}
        assert capture.spans() == []
