"""The thread that records beside the request: it takes turns, hurries when there is much, and rests when idle."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from otel_oauth import recorder
from otel_oauth._guard import Guard
from otel_oauth.recorder import Recorder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE_SECONDS = 20
NEVER_SECONDS = 600


@pytest.fixture
def recording() -> Iterator[Recorder]:
    made = Recorder(Guard(lambda _: None, reraise=True))
    yield made
    made.stop()


def test_what_comes_in_during_a_turn_waits_for_the_next(recording: Recorder) -> None:
    recording.stop()  # no thread: the turn is ours
    made = []

    def call() -> None:
        made.append(1)
        recording.add(call)

    recording.add(call)
    recording._drain()
    assert made == [1]
    recording._drain()
    assert made == [1, 1]


def test_many_pending_calls_do_not_wait_for_the_next_turn(recording: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "_DELAY_SECONDS", NEVER_SECONDS)
    monkeypatch.setattr(recorder, "_MANY", 8)
    made = threading.Event()
    recording.add(made.set)
    for _ in range(8):
        recording.add(int)
    assert made.wait(PATIENCE_SECONDS)


def test_it_rests_when_nothing_came_in_and_the_next_call_wakes_it(
    recording: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "_DELAY_SECONDS", 0)
    rests = threading.Event()
    monkeypatch.setattr(recording, "_look", lambda: recording._pending or rests.set())
    for _ in range(3):
        made = threading.Event()
        rests.clear()
        recording.add(made.set)
        assert made.wait(PATIENCE_SECONDS)
        assert rests.wait(PATIENCE_SECONDS)


def test_a_thread_that_cannot_start_is_tried_again(recording: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "_DELAY_SECONDS", 0)
    made = threading.Event()

    def start(_thread: threading.Thread) -> None:
        msg = "can't start new thread"
        raise RuntimeError(msg)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        recording.add(int)
    recording.add(made.set)
    assert made.wait(PATIENCE_SECONDS)


def test_after_a_call_that_ended_its_thread_the_next_one_starts_another(
    recording: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "_DELAY_SECONDS", 0)
    ended, made = threading.Event(), threading.Event()
    monkeypatch.setattr(threading, "excepthook", lambda _: ended.set())

    def end() -> None:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "run", run_and_tell(ended))
        recording.add(end)
        assert ended.wait(PATIENCE_SECONDS)
    recording.add(made.set)
    assert made.wait(PATIENCE_SECONDS)


def run_and_tell(ended: threading.Event) -> Callable[[threading.Thread], None]:
    run = threading.Thread.run

    def running(thread: threading.Thread) -> None:
        try:
            run(thread)
        finally:
            ended.set()

    return running


def test_what_comes_in_while_the_queue_is_full_and_recorded_waits(
    recording: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The garbage collector may end an operation in the very thread that records: it must not wait for itself."""
    recording.stop()
    monkeypatch.setattr(recorder, "_BOUND", 4)
    monkeypatch.setattr(recorder, "_MANY", 2)
    made = []

    def end_many() -> None:
        for number in range(8):
            recording.add(made.append, number)

    recording.add(end_many)
    recording._drain()
    recording._drain()
    assert made == list(range(8))


def test_an_idle_turn_leaves_the_thread_to_be_woken(recording: Recorder) -> None:
    recording.stop()
    recording.add(int)
    assert recording._awake
    recording._drain()
    assert recording._awake, "calls came in: it comes by again without being woken"
    recording._drain()
    assert not recording._awake


def test_the_thread_ends_with_its_recorder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "_DELAY_SECONDS", NEVER_SECONDS)
    stopped = Recorder(Guard(lambda _: None, reraise=True), name="ends")
    stopped.add(int)
    thread = stopped._thread
    stopped.stop()
    thread.join(PATIENCE_SECONDS)
    assert not thread.is_alive()
