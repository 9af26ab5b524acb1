"""The in-process /metrics: exactly the documented names, and never one worker's figures as if they were all."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import threading
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_classic

from otel_oauth import catalogue as c
from otel_oauth.prometheus import OAuthPrometheusReader, metrics_asgi_app, metrics_wsgi_app
from otel_oauth.settings import Settings
from otel_oauth.telemetry import Telemetry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WITHOUT_TOTAL = {
    "oauth_authorization_started",
    "oauth_callback_processed",
    "oauth_code_exchanged",
    "oauth_token_refreshed",
    "oauth_token_revoked",
    "oauth_client_registered",
    "oauth_rate_limit_exceeded",
    "oauth_pkce_validation_failed",
    "oauth_code_reuse_detected",
    "oauth_token_reuse_detected",
}
INSTRUMENT = str(Path(sys.executable).with_name("opentelemetry-instrument"))


def _sample_names(metric: c.Metric) -> set[str]:
    suffixes = ("_bucket", "_count", "_sum") if metric.kind == "histogram" else ("",)
    return {metric.name + suffix for suffix in suffixes}


DOCUMENTED_SAMPLES = {name for metric in c.DOCUMENTED for name in _sample_names(metric)}


def _move_everything(telemetry: Telemetry) -> None:
    telemetry.provider(name="example")
    telemetry.client("shop")
    for metric in c.DOCUMENTED:
        values = {"provider": "example", "client_id": "shop"}
        key = tuple(values.get(label.name) or label.values[0] for label in metric.labels)
        if metric.kind == "counter":
            telemetry.table.add(metric, key)
        elif metric.kind == "histogram":
            telemetry.table.durations(metric, key).take([0.003], [None])


class Exposed:
    """A reader on a registry of its own, and a telemetry that records into it."""

    def __init__(self, *, serve: bool = False) -> None:
        self.registry = CollectorRegistry()
        self.reader = OAuthPrometheusReader(serve=serve, registry=self.registry)
        self.provider = MeterProvider([self.reader], shutdown_on_exit=False)
        self.telemetry = Telemetry(self.provider, settings=Settings(ledger="memory"))


@pytest.fixture(autouse=True, scope="module")
def _apart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep pytest's own worker processes from looking like the sibling workers of an application."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("runtime")))
        yield


@pytest.fixture
def exposed() -> Iterator[Exposed]:
    found = Exposed()
    yield found
    found.provider.shutdown()


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Exposed]]:
    made: list[Exposed] = []

    def start(port: str = "0") -> Exposed:
        monkeypatch.setenv("OTEL_EXPORTER_PROMETHEUS_HOST", "127.0.0.1")
        monkeypatch.setenv("OTEL_EXPORTER_PROMETHEUS_PORT", port)
        made.append(Exposed(serve=True))
        return made[-1]

    yield start
    for each in made:
        each.provider.shutdown()


# Names ----------------------------------------------------------------------------------------------------------------


def _families(exposed: Exposed, form: str) -> list[Any]:
    if form == "classic":
        return list(parse_classic(generate_latest(exposed.registry).decode()))
    return list(parse_openmetrics(openmetrics.generate_latest(exposed.registry).decode()))


@pytest.mark.parametrize("form", ["classic", "openmetrics"])
def test_a_scrape_has_exactly_the_documented_names(exposed: Exposed, form: str) -> None:
    _move_everything(exposed.telemetry)
    samples = [sample for family in _families(exposed, form) for sample in family.samples]
    names = {sample.name for sample in samples if not sample.name.startswith(("otel_oauth_", "target_info"))}
    assert {name for name in names if not name.endswith("_created")} == DOCUMENTED_SAMPLES
    labels = {metric.name: set(metric.label_names) for metric in c.DOCUMENTED}
    for sample in samples:
        if sample.name in labels:
            assert set(sample.labels) == labels[sample.name], sample


@pytest.mark.parametrize("form", ["classic", "openmetrics"])
def test_the_ten_have_type_unknown_and_all_else_is_typed(exposed: Exposed, form: str) -> None:
    _move_everything(exposed.telemetry)
    types = {sample.name: family.type for family in _families(exposed, form) for sample in family.samples}
    assert {metric.name for metric in c.DOCUMENTED if types.get(metric.name) == "unknown"} == WITHOUT_TOTAL
    for metric in c.DOCUMENTED:
        if metric.name not in WITHOUT_TOTAL:
            assert {types[name] for name in _sample_names(metric)} == {metric.kind}, metric.name


def test_values_and_help_pass_unchanged(exposed: Exposed) -> None:
    exposed.telemetry.table.add(c.CODE_REUSE, amount=7)
    (family,) = [found for found in _families(exposed, "classic") if found.name == "oauth_code_reuse_detected"]
    assert family.documentation == c.CODE_REUSE.description
    assert [sample.value for sample in family.samples] == [7.0]


def test_zero_series_are_there_before_the_first_operation(exposed: Exposed) -> None:
    samples = {(s.name, *s.labels.values()): s.value for f in _families(exposed, "classic") for s in f.samples}
    assert samples["oauth_code_reuse_detected",] == 0
    assert samples["oauth_security_events_total", "token_reuse", "critical"] == 0


def test_metrics_of_the_application_are_what_the_stock_exporter_gives(exposed: Exposed) -> None:
    stock = CollectorRegistry()
    provider = MeterProvider([PrometheusMetricReader(registry=stock)], shutdown_on_exit=False)
    for meter in (exposed.provider.get_meter("app", "1"), provider.get_meter("app", "1")):
        meter.create_counter("orders", unit="{order}", description="Orders.").add(2, {"kind": "gift"})
        meter.create_histogram("wait", unit="s", explicit_bucket_boundaries_advisory=[1.0]).record(0.5)
        meter.create_observable_gauge("oauth_app_level", [lambda _: []])
        meter.create_counter("oauth_code_exchanged").add(1)  # a name of ours in a scope that is not ours
    theirs = [line for line in generate_latest(stock).decode().splitlines() if "target_info" not in line]
    ours = generate_latest(exposed.registry).decode().splitlines()
    assert "orders_total" in "".join(theirs)
    assert [line for line in theirs if line not in ours] == []
    provider.shutdown()


def test_parallel_scrapes_each_see_every_series_once(exposed: Exposed, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[str] = []
    both_collected = threading.Barrier(2)
    receive = exposed.reader._receive_metrics

    def receive_and_wait(*args: Any, **kwargs: Any) -> None:
        receive(*args, **kwargs)
        with suppress(threading.BrokenBarrierError):  # the second scrape waits for the first: what this test wants
            both_collected.wait(0.2)

    monkeypatch.setattr(exposed.reader, "_receive_metrics", receive_and_wait)
    threads = [
        threading.Thread(target=lambda: found.append(generate_latest(exposed.registry).decode())) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 2
    for text in found:
        counted = Counter(line.split(" ")[0] for line in text.splitlines() if not line.startswith("#"))
        assert counted["oauth_code_reuse_detected"] == 1
        assert counted.most_common(1)[0][1] == 1


# Serving --------------------------------------------------------------------------------------------------------------


def test_the_port_is_served_and_given_back(serve: Callable[..., Exposed]) -> None:
    exposed = serve()
    _move_everything(exposed.telemetry)
    port = exposed.reader.port
    answer = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=5)
    names = {sample.name for family in parse_classic(answer.text) for sample in family.samples}
    assert (answer.status_code, names >= DOCUMENTED_SAMPLES) == (200, True)
    exposed.reader.shutdown()
    assert serve(str(port)).reader.port == port


def test_a_taken_port_is_said_and_nothing_breaks(
    serve: Callable[..., Exposed], caplog: pytest.LogCaptureFixture
) -> None:
    port = serve().reader.port
    second = serve(str(port))
    assert second.reader.port is None
    (said,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert f"no /metrics at 127.0.0.1:{port}" in said
    assert "the application is not affected" in said
    assert "oauth_code_reuse_detected 0.0" in generate_latest(second.registry).decode()


def test_a_bad_port_is_said_and_the_default_used(
    serve: Callable[..., Exposed], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("otel_oauth.prometheus._DEFAULT_PORT", 0)
    for text in ("http", "-1", "70000", "9.5"):
        assert serve(text).reader.port is not None
        assert "OTEL_EXPORTER_PROMETHEUS_PORT must be a whole number from 0 to 65535; 0 is used" in caplog.text
        caplog.clear()


# On the application's own address -------------------------------------------------------------------------------------


def _wsgi(app: Any, **environ: object) -> tuple[str, str]:
    status: list[str] = []
    request = {"REQUEST_METHOD": "GET", "PATH_INFO": "/metrics", "QUERY_STRING": "", **environ}
    body = b"".join(app(request, lambda code, _headers: status.append(code)))
    return status[0], body.decode()


def _asgi(app: Any) -> tuple[int, str]:
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b""}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/metrics", "query_string": b"", "headers": []}
    asyncio.run(app(scope, receive, send))
    return sent[0]["status"], sent[1]["body"].decode()


def test_wsgi_and_asgi_applications_answer_a_scrape(exposed: Exposed) -> None:
    _move_everything(exposed.telemetry)
    status, body = _wsgi(metrics_wsgi_app(exposed.registry))
    assert status == "200 OK"
    assert {sample.name for family in parse_classic(body) for sample in family.samples} >= DOCUMENTED_SAMPLES
    code, text = _asgi(metrics_asgi_app(exposed.registry))
    assert code == 200
    assert {sample.name for family in parse_classic(text) for sample in family.samples} >= DOCUMENTED_SAMPLES


def test_without_a_reader_the_answer_says_what_to_do() -> None:
    registry = CollectorRegistry()
    status, body = _wsgi(metrics_wsgi_app(registry))
    assert status.startswith("503 ")
    assert "OTEL_METRICS_EXPORTER=oauth_prometheus" in body
    assert _asgi(metrics_asgi_app(registry)) == (503, body)


def test_several_processes_behind_one_address_are_refused(exposed: Exposed, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        status, body = _wsgi(metrics_wsgi_app(exposed.registry), **{"wsgi.multiprocess": True})
        assert status.startswith("503 ")
        assert "Several worker processes" in body
    assert caplog.text.count("/metrics answers 503") == 1
    own = metrics_wsgi_app(exposed.registry, per_process=True)
    assert _wsgi(own, **{"wsgi.multiprocess": True})[0] == "200 OK"


FORKING = """
import os, sys, urllib.request, urllib.error
from opentelemetry.sdk.metrics import MeterProvider
from otel_oauth.prometheus import OAuthPrometheusReader, metrics_wsgi_app
from otel_oauth.settings import Settings
from otel_oauth.telemetry import Telemetry
from otel_oauth import catalogue, kinds

reader = OAuthPrometheusReader()
provider = MeterProvider([reader])
telemetry = Telemetry(provider, settings=Settings(ledger="memory"))
url = f"http://127.0.0.1:{reader.port}/metrics"
telemetry.table.add(catalogue.CODE_REUSE)

def served():
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, "oauth_code_reuse_detected 1.0" in answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode()

def child(work):
    pid = os.fork()
    if pid == 0:
        work()
        sys.stdout.flush()
        sys.exit(0)
    assert os.waitpid(pid, 0)[1] == 0

def asked_in_the_child():
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "QUERY_STRING": ""}
    print("child", metrics_wsgi_app()(environ, lambda status, headers: print("child", status))[0].decode().strip())

def recording():
    with telemetry.operation(kinds.STORAGE, {"operation": "save_token", "result": "success"}):
        pass
    with telemetry.operation(kinds.STORAGE, {"operation": "save_token", "result": "success"}):
        pass
    telemetry.recorder.flush()
    print("recorded", telemetry.table.value(catalogue.STORAGE_OPS, ("save_token", "success")))

print("before", *served())
child(asked_in_the_child)
print("other child", *served())
child(recording)
print("recording child", *served())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a system without fork")
def test_a_fork_makes_figures_partial() -> None:
    environment = {**os.environ, "OTEL_EXPORTER_PROMETHEUS_PORT": "0", "OTEL_OAUTH_RAISE_INTERNAL_ERRORS": "1"}
    done = subprocess.run(
        [sys.executable, "-u", "-c", FORKING], env=environment, capture_output=True, text=True, check=False, timeout=40
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "before 200 True"
    assert lines[1] == "child 503 Service Unavailable"
    assert lines[2].startswith("child This process was forked after its metrics reader was made")
    # A child that records nothing takes nothing away from the parent's figures ...
    assert lines[3:5] == ["other child 200 True", "recorded 2"]
    # ... but one that does makes them partial.
    assert lines[5].startswith("recording child 503 A forked child of this process has recorded OAuth operations")
    assert done.stderr.count("/metrics answers 503") == 2


WORKER = """
import sys
from opentelemetry.sdk.metrics import MeterProvider
from otel_oauth.prometheus import OAuthPrometheusReader, metrics_wsgi_app

MeterProvider([OAuthPrometheusReader(serve=False)])
app = metrics_wsgi_app()
environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "QUERY_STRING": ""}
print("ready", flush=True)
for line in sys.stdin:
    app(environ, lambda status, headers: print(status, flush=True))
"""


def test_siblings_that_serve_the_same_address_know_each_other(tmp_path: Path) -> None:
    def worker(service: str) -> subprocess.Popen[str]:
        environment = {**os.environ, "OTEL_SERVICE_NAME": service, "XDG_RUNTIME_DIR": str(tmp_path)}
        command = [sys.executable, "-c", WORKER]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, stderr=pipe, text=True)

    def ask(process: subprocess.Popen[str]) -> str:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("\n")
        process.stdin.flush()
        return process.stdout.readline().strip()

    first, second, stranger = workers = [worker("shop"), worker("shop"), worker("bakery")]
    try:
        for process in workers:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        assert [ask(process) for process in workers] == [
            "503 Service Unavailable",
            "503 Service Unavailable",
            "200 OK",
        ]
        second.communicate()
        assert ask(first) == "200 OK"
    finally:
        for process in (first, second, stranger):
            if process.poll() is None:
                process.communicate()


# Under opentelemetry-instrument ---------------------------------------------------------------------------------------

APPLICATION = """
import logging, os, urllib.request
from opentelemetry import metrics
from otel_oauth import storage

metrics.get_meter("app").create_counter("orders").add(3)
with storage("save_token"):
    pass
port = os.environ["OTEL_EXPORTER_PROMETHEUS_PORT"]
print(urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5).read().decode())
"""


def _instrumented(program: str, port: int, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [INSTRUMENT, sys.executable, "-c", program],
        env={
            **os.environ,
            "OTEL_METRICS_EXPORTER": "oauth_prometheus",
            "OTEL_TRACES_EXPORTER": "none",
            "OTEL_LOGS_EXPORTER": "none",
            "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "*",
            "OTEL_EXPORTER_PROMETHEUS_PORT": str(port),
            "OTEL_OAUTH_LEDGER": "memory",
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=40,
    )


def test_a_process_under_opentelemetry_instrument(serve: Callable[..., Exposed]) -> None:
    holder = serve()
    port = holder.reader.port
    assert port is not None
    holder.reader.shutdown()
    done = _instrumented(APPLICATION, port)
    assert done.returncode == 0, done.stderr
    samples = {
        (sample.name, *sample.labels.values()): sample.value for f in parse_classic(done.stdout) for sample in f.samples
    }
    assert samples["storage_operation_total", "save_token", "success"] == 1
    assert samples["oauth_code_reuse_detected",] == 0
    assert samples["orders_total", "app", "", ""] == 3
    assert samples["otel_oauth_ledger_shared",] == 0
    assert "oauth_code_reuse_detected_total" not in done.stdout


def test_a_second_worker_goes_on_without_an_endpoint(serve: Callable[..., Exposed]) -> None:
    port = serve().reader.port
    assert port is not None
    done = _instrumented("from opentelemetry import metrics; print(metrics.get_meter_provider())", port)
    assert done.returncode == 0, done.stderr
    assert "opentelemetry.sdk.metrics" in done.stdout
    assert "the address cannot be had" in done.stderr
    assert "Failed" not in done.stderr


SAY_AGAIN = """
import logging
logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
from otel_oauth._attach import post_instrument
post_instrument()
"""


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, "ledger: memory of this process; settings: ledger='memory'"),
        ({"OTEL_OAUTH_RACE_WINDOW": "2"}, "settings: ledger='memory', race_window=2.0"),
        ({"OTEL_OAUTH_DISABLED": "true"}, "is switched off (OTEL_OAUTH_DISABLED)"),
        (
            {"OTEL_OAUTH_RACE_WINDOW": "never"},
            "OTEL_OAUTH_RACE_WINDOW must be a number from 0 to 60; the default is used",
        ),
    ],
)
def test_what_is_in_force_is_said_in_one_line(environment: dict[str, str], expected: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SAY_AGAIN],
        env={**os.environ, "OTEL_OAUTH_LEDGER": "memory", **environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    said = done.stderr.splitlines()
    assert any(expected in line for line in said), said
    assert sum(line.startswith("INFO otel-oauth") for line in said) == 1
