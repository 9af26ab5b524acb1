"""1,000 OAuth operations a second through one Collector for a minute: what it takes, and that nothing is lost.

A Python process cannot do that many with everything on, so what one really exported for some hundred refreshes, in
process over WSGI, is sent again and again with new times and trace ids, at the rate that is asked for.
"""

from __future__ import annotations

import gzip
import json
import os
import secrets
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import astuple, dataclass, replace
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from pipeline_run import wait_until

from stack.pipeline import HOST, CollectorProcess, Stack
from stack.queries import Loki, Prometheus

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.stack, pytest.mark.timeout(500)]

RATE = 1000
FILES = ("receive", "redaction", "own", "scopes", "prometheus", "loki", "traces-otlp")
SECONDS = int(os.environ.get("OTEL_OAUTH_LOAD_SECONDS", "60"))
PROGRAM = Path(__file__).resolve().parents[1] / "support" / "pipeline_load.py"
INSTRUMENT = Path(sys.executable).with_name("opentelemetry-instrument")
CHUNK = 100
"""Operations in one request: what a batch of an SDK holds."""
SENDERS = 4
"""Processes that export side by side: one alone, which waits for each answer, is bound by the time of one request."""


class Recorded:
    """What one process exported: the requests by their path."""

    def __init__(self, *, kept: bool = True) -> None:
        self.bodies: list[tuple[str, bytes]] = []
        self._kept = kept

    @contextmanager
    def receiving(self) -> Iterator[str]:
        recorded = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                plain = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
                if recorded._kept:
                    recorded.bodies.append((self.path, plain))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        with ThreadingHTTPServer((HOST, 0), Handler) as server:
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            yield f"http://{HOST}:{server.server_port}"
            server.shutdown()
            thread.join()

    def spans(self) -> ExportTraceServiceRequest:
        merged = ExportTraceServiceRequest()
        for path, body in self.bodies:
            if path == "/v1/traces":
                merged.MergeFromString(body)
        return merged

    def logs(self) -> ExportLogsServiceRequest:
        merged = ExportLogsServiceRequest()
        for path, body in self.bodies:
            if path == "/v1/logs":
                merged.MergeFromString(body)
        return merged


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    recorded = Recorded()
    with recorded.receiving() as endpoint:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("OTEL_")},
            "PYTHONPATH": str(PROGRAM.parents[2] / "examples"),
            "OTEL_SERVICE_NAME": "load",
            "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_LOGS_EXPORTER": "otlp",
            "OTEL_OAUTH_LEDGER": f"host:{tmp_path_factory.mktemp('load') / 'ledger'}",
        }
        command = [str(INSTRUMENT), sys.executable, str(PROGRAM), "--seconds", "3", "--rate", "100"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
        assert json.loads(done.stdout)["operations"] >= CHUNK
    return recorded


@dataclass
class Sent:
    """What was sent."""

    operations: int = 0
    spans: int = 0
    events: int = 0
    refused: int = 0
    seconds: float = 0.0
    cpu: float = 0.0
    """Seconds that sending took of a core itself: what the sender is from being the bound."""


class Replay:
    """Sends what was recorded for :data:`CHUNK` operations, as if it happened now."""

    def __init__(self, recorded: Recorded, address: tuple[str, int]) -> None:
        self._spans, self._logs = recorded.spans(), recorded.logs()
        refreshes = [span for span in _spans(self._spans) if span.name == "oauth.endpoint token"][1 : CHUNK + 1]
        assert len(refreshes) == CHUNK
        traces = {bytes(span.trace_id) for span in refreshes}
        _keep(self._spans, traces)
        _keep(self._logs, traces)
        self._connection = HTTPConnection(*address, timeout=30)
        self._address = address
        self.sent = Sent()

    def chunk(self) -> None:
        """Send one chunk; an answer of 503 is counted and the chunk sent again."""
        now = time.time_ns()
        prefix = secrets.token_bytes(8)
        for number, span in enumerate(_spans(self._spans)):
            length = span.end_time_unix_nano - span.start_time_unix_nano
            span.start_time_unix_nano, span.end_time_unix_nano = now + number - length, now + number
            span.trace_id = prefix + bytes(span.trace_id)[8:]
        for number, record in enumerate(_records(self._logs)):
            record.time_unix_nano = now + number
            record.trace_id = prefix + bytes(record.trace_id)[8:]
        self._post("/v1/traces", self._spans.SerializeToString())
        self._post("/v1/logs", self._logs.SerializeToString())
        self.sent.operations += CHUNK
        self.sent.spans += len(_spans(self._spans))
        self.sent.events += len(_records(self._logs))

    def _post(self, path: str, body: bytes) -> None:
        while True:
            self._connection.request("POST", path, body, {"Content-Type": "application/x-protobuf"})
            answer = self._connection.getresponse()
            answer.read()
            if answer.status == 200:
                return
            assert answer.status in (429, 503), answer.status
            self.sent.refused += 1
            time.sleep(0.2)

    def run(self, seconds: float, pause: float) -> None:
        """Send a chunk every ``pause`` seconds; one that is late is followed by the next at once."""
        began, cpu = time.monotonic(), time.thread_time()
        due = began
        while due - began < seconds:
            time.sleep(max(0.0, due - time.monotonic()))
            self.chunk()
            due += pause
        self.sent.seconds, self.sent.cpu = time.monotonic() - began, time.thread_time() - cpu
        self._connection.close()


def send(recorded: Recorded, address: tuple[str, int]) -> Sent:
    """Let all send at once, and return what they sent together."""
    replays = [Replay(recorded, address) for _ in range(SENDERS)]
    with ThreadPoolExecutor(SENDERS) as pool:
        for done in [pool.submit(replay.run, SECONDS, SENDERS * CHUNK / RATE) for replay in replays]:
            done.result()
    sent = [replay.sent for replay in replays]
    total = Sent(*(sum(values) for values in zip(*(astuple(each) for each in sent), strict=True)))
    return replace(total, seconds=max(each.seconds for each in sent))


def _spans(request: Any) -> list[Any]:
    return [span for resource in request.resource_spans for scope in resource.scope_spans for span in scope.spans]


def _records(request: Any) -> list[Any]:
    return [log for resource in request.resource_logs for scope in resource.scope_logs for log in scope.log_records]


def _keep(request: Any, traces: set[bytes]) -> None:
    for resource in getattr(request, "resource_spans", None) or request.resource_logs:
        for scope in getattr(resource, "scope_spans", None) or resource.scope_logs:
            items = scope.spans if hasattr(scope, "spans") else scope.log_records
            kept = [item for item in items if bytes(item.trace_id) in traces]
            del items[:]
            items.extend(kept)


def test_a_minute_of_a_thousand_operations_a_second(recorded: Recorded, binaries: Path, tmp_path: Path) -> None:
    assert binaries.is_dir()
    stack = Stack(tmp_path, scrape_seconds=5, usual=False)
    with Recorded(kept=False).receiving() as backend:
        settings = {"OTELCOL_LOKI": stack.loki_url, "OTELCOL_TRACES": backend}
        stack.collector = CollectorProcess("collector", FILES, stack.place, settings, stack.collector.ports)
        stack.children = [stack.loki, stack.prometheus, stack.collector]
        figures = measure(stack, recorded)
    (tmp_path / "figures.json").write_text(json.dumps(figures))
    assert figures["lost events"] == 0


def measure(stack: Stack, recorded: Recorded) -> dict[str, float]:
    """Send, and return what it took; every span and event has arrived then."""
    with stack:
        process = psutil.Process(stack.collector.pid)
        before = process.cpu_times()
        peak = [0]
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(0.5):
                peak[0] = max(peak[0], process.memory_info().rss)

        watcher = threading.Thread(target=watch)
        watcher.start()
        sent = send(recorded, (HOST, stack.collector.ports["otlp-http"]))
        ended.set()
        watcher.join()
        after = process.cpu_times()
        loki, prometheus = Loki(stack.loki_url), Prometheus(stack.prometheus_url)
        total = 'sum(count_over_time({service_name="load"}[15m]))'

        def stored() -> int:
            found = loki.query(total)
            return int(found[0]["value"][1]) if found else 0

        wait_until(lambda: stored() >= sent.events, 180, "every event is in Loki")
        taken = 'sum({__name__=~"otelcol_exporter_sent_spans(_total)?",exporter="otlp_http/traces"})'
        wait_until(lambda: (prometheus.value(taken) or 0) >= sent.spans, 180, f"{taken} is {sent.spans}")
        return {
            "operations": sent.operations,
            "per second": round(sent.operations / sent.seconds),
            "spans": sent.spans,
            "events": sent.events,
            "refused": sent.refused,
            "sender's cores": round(sent.cpu / sent.seconds, 2),
            "cores": round((after.user + after.system - before.user - before.system) / sent.seconds, 2),
            "MiB": round(peak[0] / 2**20),
            "lost events": sent.events - stored(),
        }
