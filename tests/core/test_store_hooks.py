"""Callbacks into the application's store: a storage operation each, whatever the callback is and whatever it does."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from otel_oauth import kinds
from otel_oauth.hooks import HookSet, StoreHook
from otel_oauth.operation import current_operation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RESULT, ERROR = object(), ValueError("secret-4711")


class Arguments:
    """Something that a callback is called with."""


class Store:
    """A store; its methods are hooked by the tests, and given back."""

    def plain(self, _given: object = None) -> Any:
        return RESULT

    async def awaited(self, _given: object = None) -> Any:
        await asyncio.sleep(0)
        return RESULT

    def returned(self, _given: object = None) -> Any:
        return self._coroutine()

    async def _coroutine(self) -> Any:
        return RESULT

    @contextlib.contextmanager
    def managed(self, _given: object = None) -> Iterator[Any]:
        yield RESULT

    async def spawning(self, _given: object = None) -> Any:
        return asyncio.create_task(asyncio.sleep(3600))

    @staticmethod
    def static(_given: object = None) -> Any:
        return RESULT

    def failing(self, _given: object = None) -> Any:
        raise ERROR

    async def afailing(self, _given: object = None) -> Any:
        raise ERROR

    def around(self, _given: object = None) -> Any:
        return self.plain()


CALLS: dict[str, Callable[[Any], Any]] = {
    "plain": lambda store: store.plain(Arguments()),
    "awaited": lambda store: asyncio.run(store.awaited(Arguments())),
    "returned": lambda store: asyncio.run(store.returned(Arguments())),
    "managed": lambda store: store.managed(Arguments()).__enter__(),
    "static": lambda store: store.static(Arguments()),
}
FAILING: dict[str, Callable[[Any], Any]] = {
    "failing": lambda store: store.failing(),
    "afailing": lambda store: asyncio.run(store.afailing()),
}


@pytest.fixture
def hooked(record: Callable[..., Any]) -> Iterator[Callable[..., Any]]:
    """Return a store whose named methods are hooked, and what records them."""
    made = []

    def hooked(*names: str, spans: bool = False, **noted: Any) -> tuple[Any, Any]:
        recording = record(storage_spans=spans)
        hooks = HookSet(recording.telemetry, "authlib")
        made.append(hooks)
        hooks.adopt(Store, {name: StoreHook("query_code", **noted) for name in names})
        return Store(), recording

    yield hooked
    for hooks in made:
        hooks.detach()


def counts(recording: Any) -> Any:
    """Return how many storage operations were counted, by result, and how many durations recorded."""
    values = recording.values("storage_operation_total")
    found = {result: values["query_code", result] for result in ("success", "error")}
    return found, recording.values("storage_operation_duration_milliseconds").get(("query_code",), 0)


@pytest.mark.parametrize("spans", [False, True], ids=["", "spans"])
@pytest.mark.parametrize("name", CALLS)
def test_each_call_counts_once_and_gives_the_identical_result(
    hooked: Callable[..., Any], name: str, *, spans: bool
) -> None:
    seen: list[tuple[str, Any]] = []
    store, recording = hooked(
        name,
        spans=spans,
        before=lambda call: seen.append(("before", type(call.given[1]))),
        stored=lambda call, result: seen.append((call.operation.ended, result)),
    )
    assert CALLS[name](store) is RESULT
    assert counts(recording) == ({"success": 1, "error": 0}, 1)
    assert seen == [("before", Arguments), (True, RESULT)]
    assert [span.name for span in recording.spans()] == ["oauth.storage query_code"] * spans
    assert current_operation() is None


@pytest.mark.parametrize("spans", [False, True], ids=["", "spans"])
@pytest.mark.parametrize("name", FAILING)
def test_the_exception_is_the_identical_object_and_nothing_was_stored(
    hooked: Callable[..., Any], name: str, *, spans: bool
) -> None:
    stored: list[Any] = []
    store, recording = hooked(name, spans=spans, stored=lambda *told: stored.append(told))
    with pytest.raises(ValueError, match="4711") as raised:
        FAILING[name](store)
    assert raised.value is ERROR
    assert counts(recording) == ({"success": 0, "error": 1}, 1)
    assert not stored
    assert current_operation() is None


def test_a_callback_within_a_callback_counts_once(hooked: Callable[..., Any]) -> None:
    store, recording = hooked("around", "plain")
    assert store.around() is RESULT
    assert counts(recording) == ({"success": 1, "error": 0}, 1)


def test_callbacks_side_by_side_count_each(hooked: Callable[..., Any]) -> None:
    store, recording = hooked("awaited")

    async def both() -> list[Any]:
        return await asyncio.gather(store.awaited(), store.awaited())

    with recording.telemetry.operation(kinds.ENDPOINT, {"endpoint": "token", "method": "POST"}) as endpoint:
        assert asyncio.run(both()) == [RESULT, RESULT]
        assert current_operation() is endpoint
    assert counts(recording) == ({"success": 2, "error": 0}, 2)


def broken(*_told: Any) -> None:
    msg = "secret-0815"
    raise LookupError(msg)


@pytest.mark.parametrize("noted", ["before", "stored"])
@pytest.mark.parametrize("name", ["plain", "awaited"])
def test_notes_that_fail_are_counted_and_the_application_does_not_see_it(
    hooked: Callable[..., Any], caplog: pytest.LogCaptureFixture, name: str, noted: str
) -> None:
    store, recording = hooked(name, **{noted: broken})
    recording.telemetry.guard.reraise = False
    assert CALLS[name](store) is RESULT
    assert recording.values("otel_oauth_errors_total")["hook",] == 1
    assert counts(recording)[0]["success"] == (noted == "stored")
    assert current_operation() is None
    assert "secret" not in caplog.text


def test_a_task_that_outlives_the_call_does_not_keep_its_arguments(hooked: Callable[..., Any]) -> None:
    store, _ = hooked("spawning")

    async def run() -> None:
        given = Arguments()
        seen = weakref.ref(given)
        task = await store.spawning(given)
        del given
        gc.collect()
        assert not task.done()
        assert seen() is None
        task.cancel()

    asyncio.run(run())
