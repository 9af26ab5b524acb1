"""JSON lines: the fields of OTLP, one object a line, in a file that is rotated and its owner's; never in the way."""

from __future__ import annotations

import json
import logging
import os
import re
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import otel_oauth
from otel_oauth import emission, json_lines
from otel_oauth.testing import Capture

if TYPE_CHECKING:
    from collections.abc import Callable

DROPPED = "otel_oauth_events_dropped_total{reason=unwritten}"


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_line_has_the_fields_of_the_same_event_over_otlp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "auth")
    path = tmp_path / "events.jsonl"
    with Capture(log_json=str(path), ocsf=True) as capture:
        with otel_oauth.endpoint("token", telemetry=capture.telemetry) as request:
            request.came_from("203.0.113.7")
            otel_oauth.verdict("refresh_reused")
        with pytest.raises(KeyError), otel_oauth.storage("query_code", telemetry=capture.telemetry):
            raise KeyError
        told = capture.events()
    written = lines(path)
    assert [line["event.name"] for line in written] == [event["event_name"] for event in told]
    for line, event in zip(written, told, strict=True):
        own = {"timestamp", "severity_text", "severity_number", "body", "service.name"}
        ids = {"trace_id", "span_id"} if event["trace_id"] else set()
        assert line.keys() == own | ids | event["attributes"].keys()
        assert {name: line[name] for name in event["attributes"]} == event["attributes"]
        assert (line["body"], line["severity_text"]) == (event["body"], event["severity"])
        assert line["severity_number"] == event["severity_number"]
        assert (line.get("trace_id", ""), line.get("span_id", "")) == (event["trace_id"], event["span_id"])
        assert line["service.name"] == "auth"
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00", line["timestamp"])
    # What Loki makes of dots must not make two fields one.
    assert all(len({name.replace(".", "_") for name in line}) == len(line) for line in written)


def test_the_file_is_its_owners_and_is_rotated(tmp_path: Path) -> None:
    path = tmp_path / "events-{pid}.jsonl"
    with Capture(log_json=str(path), log_json_size=10_000, event_rate=0) as capture:
        for _ in range(200):
            otel_oauth.rate_limit_exceeded("ip", telemetry=capture.telemetry)
        capture.telemetry.emission.flush(5)
    files = sorted(tmp_path.iterdir())
    assert len(files) == 6  # the present one and five old ones
    assert files[0].name == f"events-{os.getpid()}.jsonl"
    for file in files:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert file.stat().st_size <= 10_000
        assert {line["event.name"] for line in lines(file)} == {"oauth_rate_limit_exceeded"}


def test_a_file_that_cannot_be_written_is_said_once_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.WARNING, "otel_oauth"), Capture(log_json=str(tmp_path)) as capture:
        for _ in range(3):
            otel_oauth.rate_limit_exceeded("ip", telemetry=capture.telemetry)
        capture.telemetry.emission.flush()
        assert capture.moved(own=True)[DROPPED] == 3
        assert len(capture.events()) == 3  # the pipeline goes on
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.startswith(f"otel-oauth: events cannot be written to {tmp_path} (IsADirectoryError)")
    assert capsys.readouterr().err == ""


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there is no named pipe here")
def test_a_pipe_that_nobody_reads_holds_up_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emission, "_EXIT_SECONDS", 0.2)
    path = tmp_path / "pipe"
    os.mkfifo(path)
    began = time.perf_counter()
    with Capture(log_json=str(path)) as capture:
        for _ in range(100):
            otel_oauth.rate_limit_exceeded("ip", telemetry=capture.telemetry)
        assert time.perf_counter() - began < 5
        # Let the thread go: somebody reads now.
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        capture.telemetry.emission.flush(5)
    os.close(reader)


def test_without_the_formatter_it_is_said_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "pythonjsonlogger", None)
    monkeypatch.delitem(sys.modules, "pythonjsonlogger.json", raising=False)
    path = tmp_path / "events.jsonl"
    with caplog.at_level(logging.WARNING, "otel_oauth"), Capture(log_json=str(path)) as capture:
        otel_oauth.rate_limit_exceeded("ip", telemetry=capture.telemetry)
        assert len(capture.events()) == 1
    assert [record.getMessage() for record in caplog.records] == [
        "otel-oauth: JSON lines need python-json-logger: install otel-oauth[json]"
    ]
    assert not path.exists()
    assert not json_lines.installed()


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a program without any pipeline."""

    def start(program: str, *, instrument: bool = False, **variables: str) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
        off = {f"OTEL_{signal}_EXPORTER": "none" for signal in ("TRACES", "METRICS", "LOGS")}
        environment = {**kept, **off, "OTEL_OAUTH_LEDGER": "memory", "TMPDIR": str(tmp_path), **variables}
        command = [sys.executable, "-W", "ignore", "-c", program]
        if instrument:
            command.insert(0, str(Path(sys.executable).with_name("opentelemetry-instrument")))
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=40)

    return start


@pytest.mark.parametrize(
    ("place", "instrument"), [("stderr", False), pytest.param("stdout", True, marks=pytest.mark.slow)]
)
def test_a_program_without_a_pipeline_tells_its_events_on_the_console(
    run: Any, place: str, *, instrument: bool
) -> None:
    program = "import otel_oauth\nprint('ready')\notel_oauth.rate_limit_exceeded('user')"
    done = run(program, instrument=instrument, OTEL_OAUTH_LOG_JSON=place, OTEL_SERVICE_NAME="shop")
    told = [json.loads(line) for line in getattr(done, place).splitlines() if line.startswith("{")]
    assert [(line["event.name"], line["oauth.limiter_type"], line["service.name"]) for line in told] == [
        ("oauth_rate_limit_exceeded", "user", "shop")
    ]
    assert done.stdout.splitlines()[0] == "ready"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_each_worker_has_a_file_of_its_own(run: Any, tmp_path: Path) -> None:
    program = (
        "import os, sys, otel_oauth\notel_oauth.rate_limit_exceeded('ip')\n"
        "if os.fork() == 0:\n    otel_oauth.rate_limit_exceeded('user')\n    sys.exit()\nos.wait()"
    )
    run(program, OTEL_OAUTH_LOG_JSON=str(tmp_path / "{pid}.jsonl"))
    told = sorted([line["oauth.limiter_type"] for line in lines(path)] for path in tmp_path.glob("*.jsonl"))
    assert told == [["ip"], ["user"]]
