"""The demonstration as its user starts it, and the checks by which it fails."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
import requests

from demo.demonstration import main as demonstrate
from demo.evidence import Export, problems
from demo.expectations import EXPECTED, complaints, expected
from demo.performance import Performance
from demo.programs import DemoError, InstrumentedProgram, free_ports
from demo.readings import Meters, Reading, Series
from demo.seeds import CLIENTS, REGISTRATION_TOKEN
from demo.traffic import SCENARIOS
from otel_oauth.catalogue import DOCUMENTED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_oauth.catalogue import Metric

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(EXAMPLES)}


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "demo", *map(str, arguments)]


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), env=ENVIRONMENT, capture_output=True, text=True, timeout=55, check=False)


@contextmanager
def running(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        command(*arguments), env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for(process: subprocess.Popen[str], word: str) -> list[str]:
    lines = []
    for line in process.stdout:
        lines.append(line)
        if word in line:
            return lines
    raise AssertionError("".join(lines) + process.stderr.read())


def wait_until_gone(children: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(children, timeout=20)
    assert not alive


# The whole of it ------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_demo_shows_everything_and_ends(tmp_path: Path) -> None:
    began = time.monotonic()
    done = run("--output", tmp_path, "--picture", tmp_path / "terminal.svg")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert "39 of 39 documented metrics exported" in done.stdout
    assert all(scenario.name in done.stdout for scenario in SCENARIOS)
    assert all(metric.name in done.stdout for metric in DOCUMENTED)
    assert "oauth.code_exchange demo" in done.stdout
    assert time.monotonic() - began < 50
    for name in ("server.log", "client.log"):
        assert re.fullmatch(r"ready \S+\s*", (tmp_path / name).read_text(encoding="utf-8"))
    check_report((tmp_path / "report.html").read_text(encoding="utf-8"))
    picture = (tmp_path / "terminal.svg").read_text(encoding="utf-8")
    assert "oauth_flows_total" in picture
    assert "url(http" not in picture


def check_report(page: str) -> None:
    assert not re.search(r"\b(src|href)=|@import|url\(|https?:|<script", page)
    assert all(f"<code>{metric.name}</code>" in page for metric in DOCUMENTED)
    assert page.count("<figure>") == 9
    assert page.count('<td class="time">') >= 10
    for secret in (REGISTRATION_TOKEN, *(client.secret for client in CLIENTS if client.secret), "code=", "state="):
        assert secret not in page
    Balanced().feed(page)


class Balanced(HTMLParser):
    """Fails where an element is closed that was not open."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002 the base's
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.slow
def test_a_wrong_movement_fails_the_demo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(EXPECTED, "documents", ("server oauth_code_reuse_detected",))
    handler = signal.getsignal(signal.SIGTERM)
    try:
        assert demonstrate(["--output", str(tmp_path)]) == 1
    finally:
        signal.signal(signal.SIGTERM, handler)
    problem = "documents: server oauth_code_reuse_detected moved by 0 instead of 1"
    assert f"wrong: {problem}" in capsys.readouterr().out
    assert problem in (tmp_path / "report.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_keep_serves_the_metrics_until_it_is_interrupted(tmp_path: Path) -> None:
    with running("--keep", "--output", tmp_path) as demo:
        lines = wait_for(demo, "Ctrl-C")
        urls = re.findall(r"metrics at (\S+)", "".join(lines))
        assert len(urls) == 2
        for url in urls:
            assert "oauth_security_events_total" in requests.get(url, timeout=10, proxies={"http": ""}).text
        children = psutil.Process(demo.pid).children(recursive=True)
        demo.send_signal(signal.SIGINT)
        assert demo.wait(20) == 0
        assert demo.stderr.read() == ""
    wait_until_gone(children)


# Ways in which it does not get to its end -----------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_nothing_is_left_running_when_it_is_stopped(tmp_path: Path, number: int, status: int) -> None:
    with running("--output", tmp_path) as demo:
        wait_for(demo, "authorization server")
        children = psutil.Process(demo.pid).children(recursive=True)
        assert len(children) == 2
        demo.send_signal(number)
        assert demo.wait(20) == status
        said = demo.stderr.read()
    assert "Traceback" not in said
    if number != signal.SIGKILL:
        assert said == "interrupted: nothing is left running\n"
    wait_until_gone(children)


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("--client-metrics-port", port, "--output", tmp_path)
        with pytest.raises(DemoError, match=f"port {port} .* --server-port"):
            free_ports({"--client-port": 0, "--server-port": port})
    assert done.returncode == 1
    assert done.stderr.startswith(f"the demonstration stops: port {port} of 127.0.0.1 cannot be had")
    assert "--client-metrics-port" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_program_without_the_instrumentation_is_named(tmp_path: Path) -> None:
    ports = free_ports({"port": 0, "metrics": 0})
    settings = {"OTEL_EXPORTER_PROMETHEUS_PORT": str(ports[1]), "OTEL_OAUTH_DISABLED": "true"}
    settings |= {"OTEL_METRICS_EXPORTER": "oauth_prometheus", "OTEL_TRACES_EXPORTER": "none"}
    with InstrumentedProgram("server", ports[0], [], settings, tmp_path / "server.log") as program:
        program.wait_until_ready()
        with pytest.raises(DemoError, match=r"^otel-oauth is not attached to demo\.server"):
            Meters([program]).read()


@pytest.mark.slow
def test_a_program_that_does_not_start_is_named_with_its_words(tmp_path: Path) -> None:
    settings = {"OTEL_EXPORTER_PROMETHEUS_PORT": "1"}
    program = InstrumentedProgram("server", 0, ["--no-such-option"], settings, tmp_path / "server.log")
    with program, pytest.raises(DemoError, match=r"(?s)^demo\.server ended with status 2.*--no-such-option"):
        program.wait_until_ready()


def test_a_port_that_is_none_is_refused() -> None:
    done = run("--server-port", "99999")
    assert done.returncode == 2
    assert "not a port between 0 and 65535" in done.stderr


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    done = run("--output", file / "demo")
    assert done.returncode == 1
    assert str(file) in done.stderr
    assert "Traceback" not in done.stderr


# The checks by which it fails -----------------------------------------------------------------------------


def test_every_scenario_has_an_expectation() -> None:
    assert set(EXPECTED) == {scenario.name for scenario in SCENARIOS}


def test_every_attack_moves_what_its_benign_twin_does_not() -> None:
    for attack in (scenario for scenario in SCENARIOS if scenario.kind == "attack"):
        assert expected(attack.name) - expected(attack.twin), attack.name
        verdicts = [s for s in expected(attack.name) if "security_events" in s and ",low" not in s]
        assert len(verdicts) == 1, attack.name


@pytest.mark.parametrize("scenario", [scenario.name for scenario in SCENARIOS])
def test_what_is_expected_is_no_complaint(scenario: str) -> None:
    assert not list(complaints(scenario, expected(scenario)))


def test_a_movement_that_does_not_come_is_a_complaint() -> None:
    moved = expected("code_replayed_later")
    del moved["server oauth_code_reuse_detected"]
    assert list(complaints("code_replayed_later", moved)) == [
        "server oauth_code_reuse_detected moved by 0 instead of 1"
    ]


def test_a_movement_too_many_is_a_complaint() -> None:
    moved = expected("callback_reloaded") + Counter(["client oauth_flows_total{demo,failure}"])
    assert list(complaints("callback_reloaded", moved)) == [
        "client oauth_flows_total{demo,failure} moved by 1 instead of 0"
    ]


def everything() -> dict[Series, float]:
    return {Series("server", metric.name, ("other",) * len(metric.labels)): 1.0 for metric in DOCUMENTED}


def told(readings: dict[Series, float], sent: dict[Series, float]) -> list[str]:
    points = {series: {"value": value} for series, value in sent.items()}
    span = {
        "end": 1,
        "program": "server",
        "name": "oauth.endpoint token",
        "trace_id": "00",
        "attributes": {"oauth.security.event_type": "other", "oauth.security.severity": "other"},
    }
    log = {"program": "server", "attributes": {**span["attributes"], "event.name": "other"}}
    return list(problems(Performance([Reading(0.0, readings)]), Export([span], points, [], [log])))


def test_all_metrics_are_no_problem() -> None:
    assert told(everything(), everything()) == []


@pytest.mark.parametrize("metric", DOCUMENTED, ids=lambda metric: metric.name)
def test_a_metric_that_is_missing_or_still_is_a_problem(metric: Metric) -> None:
    some = {series: value for series, value in everything().items() if series.metric != metric.name}
    still = {series: 0.0 if series.metric == metric.name else value for series, value in everything().items()}
    assert f"{metric.name} is missing from what was exported over OTLP" in told(everything(), some)
    assert f"{metric.name} is missing from /metrics" in told(some, everything())
    assert f"{metric.name} never moved" in told(still, still)


def test_two_ways_out_that_disagree_are_a_problem() -> None:
    sent = everything()
    sent[Series("server", "oauth_code_reuse_detected", ())] = 2
    sent[Series("server", "oauth_security_events_total", ("other", "other"))] = 3
    assert told(everything(), sent) == [
        "server oauth_security_events_total{other,other} is 1 at /metrics and 3 over OTLP",
        "server oauth_code_reuse_detected is 1 at /metrics and 2 over OTLP",
        "other other server: 3 security events counted, 1 spans tell of one",
        "other other server: 3 security events counted, 1 in the log",
    ]


def test_an_error_of_the_instrumentation_is_a_problem() -> None:
    sent = everything() | {Series("client", "otel_oauth_errors_total", ("ledger",)): 2}
    assert told(everything(), sent) == [
        "the instrumentation of demo.client had 2 errors of its own (otel_oauth_errors_total)"
    ]
