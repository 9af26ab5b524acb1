"""The application's own counts: one that hangs costs a collection its timeout and never more."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

import otel_oauth
from otel_oauth import catalogue as c
from otel_oauth.counts import BackgroundCounts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otel_oauth.telemetry import Telemetry


class Database:
    """A count that can be made to hang, to fail, and to change."""

    def __init__(self) -> None:
        self.rows = 7
        self.error: Exception | None = None
        self.answers = threading.Event()
        self.answers.set()
        self.asked = 0
        self.at_once = 0
        self.most_at_once = 0

    def __call__(self) -> int:
        self.asked += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        rows, error = self.rows, self.error
        self.answers.wait(10)
        self.at_once -= 1
        if error is not None:
            raise error
        return rows


@pytest.fixture
def telemetry(recording: Any) -> Telemetry:
    recording.telemetry.guard.reraise = False
    return recording.telemetry


@pytest.fixture
def database(telemetry: Telemetry) -> Iterator[Database]:
    found = Database()
    telemetry.count_with(c.STORAGE_TOKENS, found, timeout=0.2)
    yield found
    found.answers.set()


def errors(recording: Any) -> int:
    return int(recording.values("otel_oauth_errors_total").get(("gauge",), 0))


def test_a_count_in_the_background_is_of_the_collection_that_asked(recording: Any, database: Database) -> None:
    assert recording.values("storage_tokens_count") == {(): 7}
    database.rows = 9
    assert recording.values("storage_tokens_count") == {(): 9}
    database.rows = -3
    assert recording.values("storage_tokens_count") == {(): 0}
    assert database.asked == 3
    assert errors(recording) == 0


def test_a_hanging_count_gives_the_last_value_within_the_timeout_and_is_counted(
    recording: Any, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    assert recording.values("storage_tokens_count") == {(): 7}
    database.answers.clear()
    database.rows = 8
    began = time.monotonic()
    assert recording.values("storage_tokens_count") == {(): 7}
    assert 0.2 <= time.monotonic() - began < 5
    began = time.monotonic()
    assert recording.values("storage_tokens_count") == {(): 7}
    assert time.monotonic() - began < 0.2, "a collection does not wait again for what hangs"
    assert database.asked == 2, "and does not ask a second time beside it"
    said = [record.getMessage() for record in caplog.records if "gauge" in record.getMessage()]
    assert len(said) == 1
    assert "TimeoutError" in said[0]
    database.answers.set()
    deadline = time.monotonic() + 5
    while database.at_once and time.monotonic() < deadline:
        time.sleep(0.01)
    database.rows = 10
    before = errors(recording)
    assert recording.values("storage_tokens_count") == {(): 10}
    assert before >= 2
    assert errors(recording) == before, "nothing more is counted once it answers"


def test_a_count_that_hangs_from_the_start_leaves_its_gauge_out_and_all_others_in(
    recording: Any, telemetry: Telemetry, database: Database
) -> None:
    database.answers.clear()
    telemetry.ledger.granted("web", "a", refresh_token="r")
    exported = recording.metrics()
    assert "storage_tokens_count" not in exported
    assert exported["storage_refresh_tokens_count"].data.data_points[0].value == 1


def test_several_gauges_of_one_source_wait_once_together(recording: Any, telemetry: Telemetry) -> None:
    answers = threading.Event()

    def take() -> Iterator[tuple[Any, int]]:
        yield c.ACTIVE_TOKENS, 1
        answers.wait(10)
        yield c.STORAGE_TOKENS, 2
        yield c.STORAGE_CLIENTS, 3

    telemetry.count_together([c.ACTIVE_TOKENS, c.STORAGE_TOKENS, c.STORAGE_CLIENTS], take, timeout=0.3)
    began = time.monotonic()
    recording.metrics()
    assert time.monotonic() - began < 0.9
    assert errors(recording) == 2, "one for each collection, not one for each gauge"
    answers.set()
    deadline = time.monotonic() + 5
    while "storage_clients_count" not in recording.metrics() and time.monotonic() < deadline:
        time.sleep(0.01)
    exported = recording.metrics()
    names = ("oauth_active_tokens", "storage_tokens_count", "storage_clients_count")
    assert [exported[name].data.data_points[0].value for name in names] == [1, 2, 3]


def test_what_was_yielded_before_an_error_stands(recording: Any, telemetry: Telemetry) -> None:
    def take() -> Iterator[tuple[Any, int]]:
        yield c.ACTIVE_TOKENS, 1
        raise OSError

    telemetry.count_together([c.ACTIVE_TOKENS, c.STORAGE_TOKENS], take, timeout=1)
    exported = recording.metrics()
    assert exported["oauth_active_tokens"].data.data_points[0].value == 1
    assert "storage_tokens_count" not in exported


def test_a_failing_count_leaves_its_gauge_out_and_is_said_once_without_its_text(
    recording: Any, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    assert recording.values("storage_tokens_count") == {(): 7}
    database.error = ConnectionError("postgres://user:secret@db")
    for _ in range(3):
        assert recording.values("storage_tokens_count") == {}
    assert errors(recording) >= 3
    assert caplog.text.count("ConnectionError") == 1
    assert "secret" not in caplog.text


def test_the_last_value_of_a_hanging_count_stands_for_five_minutes(
    recording: Any, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert recording.values("storage_tokens_count") == {(): 7}
    database.answers.clear()
    assert recording.values("storage_tokens_count") == {(): 7}
    now = time.monotonic()
    monkeypatch.setattr("otel_oauth.counts.monotonic", lambda: now + 299)
    assert recording.values("storage_tokens_count") == {(): 7}
    monkeypatch.setattr("otel_oauth.counts.monotonic", lambda: now + 301)
    assert recording.values("storage_tokens_count") == {}


def test_collections_of_several_readers_at_the_same_time_ask_once(record: Callable[..., Any]) -> None:
    second = InMemoryMetricReader()
    recording = record(readers=(second,))
    database = Database()
    recording.telemetry.count_with(c.STORAGE_TOKENS, database, timeout=5)
    database.answers.clear()
    threads = [threading.Thread(target=reader.collect) for reader in (recording.reader, second)]
    for thread in threads:
        thread.start()
    time.sleep(0.1)
    database.answers.set()
    for thread in threads:
        thread.join(5)
    assert database.most_at_once == 1


@pytest.mark.parametrize("timeout", [0, -1, 61, float("nan")])
def test_a_timeout_that_is_no_time_to_wait_is_refused(telemetry: Telemetry, timeout: float) -> None:
    with pytest.raises(ValueError, match="timeout must be above 0 and at most 60 seconds"):
        otel_oauth.count_with("storage_tokens_count", lambda: 1, timeout=timeout, telemetry=telemetry)


def test_taken_back_it_is_asked_no_more(recording: Any, telemetry: Telemetry, database: Database) -> None:
    otel_oauth.count_with("storage_tokens_count", None, telemetry=telemetry)
    telemetry.ledger.granted("web", "a")
    assert recording.values("storage_tokens_count") == {(): 1}
    assert database.asked == 0


def test_a_child_that_was_forked_while_a_count_hung_counts_for_itself(telemetry: Telemetry, database: Database) -> None:
    database.answers.clear()
    background = telemetry._counts._background[c.STORAGE_TOKENS]
    background.begin(10.0)
    child = os.fork()
    if child == 0:
        known = None
        try:
            database.answers = threading.Event()
            database.answers.set()
            background.begin(10.0)
            known = background.value(c.STORAGE_TOKENS)
        finally:  # a child that went on would run the other tests again
            os._exit(0 if known == 7 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert isinstance(background, BackgroundCounts)


def test_a_thread_that_cannot_start_is_an_error_unless_the_interpreter_ends(
    recording: Any, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert recording.values("storage_tokens_count") == {(): 7}
    said = ["can't start new thread at interpreter shutdown"]

    def start(_thread: threading.Thread) -> None:
        raise RuntimeError(said[-1])

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        assert recording.values("storage_tokens_count") == {(): 7}
        assert errors(recording) == 0
        said.append("can't start new thread")
        assert recording.values("storage_tokens_count") == {(): 7}
    assert errors(recording) >= 1
    assert database.asked >= 1


PROGRAM = """
from opentelemetry.metrics import set_meter_provider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import ConsoleMetricExporter, PeriodicExportingMetricReader
import otel_oauth

set_meter_provider(MeterProvider([PeriodicExportingMetricReader(ConsoleMetricExporter(), 3600_000)]))
otel_oauth.count_with("storage_tokens_count", lambda: 7, timeout=1)
"""


def test_the_last_collection_of_a_process_says_nothing_on_stderr() -> None:
    # Python 3.12 and newer start no thread any more then.
    ended = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=30)
    assert "storage_clients_count" in ended.stdout
    assert ended.stderr == ""
