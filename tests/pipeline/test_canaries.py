"""The gate's programs export into the real pipeline, and no secret of theirs is in any part of it.

What a login can be, good and bad, with the stock instrumentations at their most talkative. Loki and Zipkin are not
there at first, so that everything lies in the Collector's queue on disk when that is searched. Values that are planted
show that each search can find something: no word around them tells the Collector that they are secret.
"""

from __future__ import annotations

import json
import secrets
import time
from typing import TYPE_CHECKING, Any

import pytest
import requests
from canaries import Canaries
from canary_programs import Program, environment
from canary_visits import Visits
from opentelemetry._logs import LogRecord, SeverityNumber
from pipeline_collector import Application
from pipeline_run import SCRAPE_SECONDS, wait_until

from stack.pipeline import HOST, Stack
from stack.queries import Loki, Prometheus, Zipkin, get

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]

SHOPS = {"shop": "program.py", "async-shop": "async_shop.py"}
SERVICES = ("server", *SHOPS)
MOST_OF_A_KIND = 300
SECONDS = 120
LINE = '{service_name=~".+"}'


class Run:
    """The pipeline, the programs, and what they left behind."""

    def __init__(self, place: Path) -> None:
        self.stack = Stack(place, scrape_seconds=SCRAPE_SECONDS, usual=False)
        self.later = (self.stack.loki, self.stack.zipkin)
        self.stack.children = [self.stack.prometheus, self.stack.collector]
        self.programs = place / "programs"
        self.prometheus = Prometheus(self.stack.prometheus_url)
        self.loki = Loki(self.stack.loki_url)
        self.zipkin = Zipkin(self.stack.zipkin_url)
        self.seed = secrets.token_hex(16)
        self.canaries = Canaries(self.seed)
        self.left: dict[str, bytes] = {}

    def perform(self) -> None:
        """Let everybody log in, and gather what each part of the pipeline has of it."""
        self.programs.mkdir()
        self._visit()
        self._plant()
        collector = self.stack.collector
        self.left["queue"] = b"\n".join(path.read_bytes() for path in collector.queue.rglob("*") if path.is_file())
        self.left["prometheus"] = self._metrics()
        collector.stop()
        for child in (*self.later, collector):  # a Collector that starts does not wait for its next attempt
            child.start()
        for child in (*self.later, collector):
            child.wait_until_ready(SECONDS)
        self._wait_for_the_queues()
        self.left["loki"] = b"\n".join(json.dumps(page).encode() for page in self.loki.pages(LINE))
        self.left["zipkin"] = json.dumps(self.zipkin.traces(50_000)).encode()
        self.left["log"] = collector.log.read_bytes()

    def _program(self, service: str, names: tuple[str, ...], program: str, **more: str) -> Program:
        settings = dict.fromkeys(("OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER", "OTEL_LOGS_EXPORTER"), "otlp")
        settings |= {"OTEL_EXPORTER_OTLP_ENDPOINT": self.stack.collector.otlp, "OTEL_OAUTH_REDACTION": "on", **more}
        return Program(
            names, environment(self.seed, service, self.programs, **settings), self.programs, program=program
        )

    def _visit(self) -> None:
        with self._program("server", ("server",), "program.py") as server:
            address = server.url
            for service, program in SHOPS.items():
                names = ("shop",) if program == "program.py" else ()
                with self._program(service, names, program, CANARY_ISSUER=address) as shop:
                    Visits(self.canaries, address, shop.url).everything()
                    shop.stop()
            server.stop()
        for kind in ("code", "access_token", "refresh_token", "device_code", "new_client_secret"):
            self.canaries.expect(kind, MOST_OF_A_KIND)

    def _plant(self) -> None:
        """Send values that no part of the pipeline can know to be secret, one for each kind of store."""
        application = Application(self.stack.collector.otlp, service_name="planted")
        label, body, tag = (self.canaries.of(kind) for kind in ("planted_label", "planted_body", "planted_tag"))
        application.meters.get_meter("otel_oauth").create_counter("oauth_code_exchanged").add(1, {"client_id": label})
        with application.tracers.get_tracer("otel_oauth").start_as_current_span("a span", attributes={"note": tag}):
            severity = {"severity_text": "INFO", "severity_number": SeverityNumber.INFO}
            application.loggers.get_logger("planted").emit(
                LogRecord(timestamp=time.time_ns(), body=f"see {body}", **severity)
            )
        application.flush()
        wait_until(lambda: self.prometheus.query('{job="planted",client_id!=""}'), 60, "the label is in Prometheus")
        application.shutdown()

    def _wait_for_the_queues(self) -> None:
        sizes = 'sum({__name__=~"otelcol_exporter_queue_size"})'
        wait_until(lambda: self.prometheus.value(sizes) == 0, SECONDS, "the queues are empty")
        for service in (*SERVICES, "planted"):
            lines = f'{{service_name="{service}"}}'
            wait_until(lambda lines=lines: self.loki.lines(lines, limit=1), SECONDS, f"the log of {service}")
            spans = lambda service=service: self.zipkin.traces(1, service)  # noqa: E731 asked again and again
            wait_until(spans, SECONDS, f"the spans of {service}")

    def _metrics(self) -> bytes:
        """Return series, labels, exemplars and metadata, and the pages that were scraped."""
        everything = '{__name__=~".+"}'
        asked: list[Any] = [self.prometheus.query(everything), self.prometheus.exemplars(everything)]
        asked += [self.prometheus.metadata(), get(f"{self.prometheus.url}/api/v1/labels")]
        names = get(f"{self.prometheus.url}/api/v1/labels")["data"]
        asked += [get(f"{self.prometheus.url}/api/v1/label/{name}/values") for name in names]
        ports = (self.stack.collector.ports[name] for name in ("oauth", "others", "own"))
        pages = [requests.get(f"http://{HOST}:{port}/metrics", timeout=20).content for port in ports]
        return b"\n".join([json.dumps(asked).encode(), *pages])


@pytest.fixture(scope="module")
def run(binaries: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    assert binaries.is_dir()
    run = Run(tmp_path_factory.mktemp("canaries"))
    with run.stack:
        try:
            run.perform()
            yield run
        finally:
            for child in run.later:
                child.stop()


PLANTED = {
    "prometheus": {"planted_label"},
    "loki": {"planted_body"},
    "zipkin": {"planted_tag"},
    "queue": {"planted_body", "planted_tag"},
    "log": set(),
}


@pytest.mark.parametrize("place", PLANTED)
def test_no_secret_is_there_but_the_planted_one_is_found(run: Run, place: str) -> None:
    found = {leak.partition(" ")[0] for leak in run.canaries.found_in(run.left[place])}
    assert found == PLANTED[place]


def test_the_search_was_looking_at_everything(run: Run) -> None:
    assert {"code", "state", "nonce", "verifier", "password", "cookie"} <= set(run.canaries.known.values())
    for service in SERVICES:
        for place in ("prometheus", "loki", "zipkin", "queue"):
            assert service.encode() in run.left[place], (service, place)
    for readable in (b"[redacted:access_token:", b"[redacted:code:", b"[redacted:state:"):
        assert readable in run.left["loki"]
        assert readable in run.left["zipkin"]
        assert readable in run.left["queue"]
    for event in (b"oauth_code_injection_attempt", b"oauth_integrity_violation", b"oauth_ownership_violation"):
        assert event in run.left["loki"]
    assert b'"trace_id"' in run.left["prometheus"]
    assert b"otlp_http/loki" in run.left["log"]
