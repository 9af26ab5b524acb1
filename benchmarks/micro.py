"""Single steps, each beside its peers, measured by pyperf: ``python -m benchmarks.micro -o micro.json``."""

from __future__ import annotations

import atexit
import itertools
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import prometheus_client
import pyperf
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider

from benchmarks.signals import Signals
from otel_oauth import catalogue as c
from otel_oauth import kinds
from otel_oauth.ledger import HostStore, Kind, Ledger, MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable

LABELS = {"status": "success", "reason": "normal"}
KEY = ("success", "normal")
ATTRIBUTES = {"oauth.grant_type": "refresh_token", "oauth.client_id": "web", "oauth.case": "token_live"}
ESSENTIAL = ("counter ours", "counter sdk", "counter prometheus_client", "counter no-op")
"""What `make bench-quick` measures of these."""


def counters() -> dict[str, Callable[[], object]]:
    """Return one increment of a counter with two labels."""
    telemetry = Signals().telemetry()
    add = telemetry.table.add
    described = {"unit": "{refresh}"}
    sdk = (
        MeterProvider([InMemoryMetricReader()], shutdown_on_exit=False).get_meter("m").create_counter("n", **described)
    )
    idle = NoOpMeterProvider().get_meter("m").create_counter("n", **described)
    prometheus = prometheus_client.Counter("n", "d", list(LABELS), registry=prometheus_client.CollectorRegistry())
    return {
        "counter ours": lambda: add(c.TOKEN_REFRESH, KEY),
        "counter sdk": lambda: sdk.add(1, LABELS),
        "counter prometheus_client": lambda: prometheus.labels(**LABELS).inc(),
        "counter no-op": lambda: idle.add(1, LABELS),
    }


def histograms() -> dict[str, Callable[[], object]]:
    """Return one recording of a duration; ours is what the request pays, its thread pays the SDK's beside it."""
    telemetry = Signals().telemetry()
    sdk = MeterProvider([InMemoryMetricReader()], shutdown_on_exit=False).get_meter("m").create_histogram("n")
    prometheus = prometheus_client.Histogram("n", "d", ["status"], registry=prometheus_client.CollectorRegistry())

    def ours() -> None:
        telemetry.record(c.TOKEN_REFRESH_DURATION, ("success",), 0.05, None)

    return {
        "histogram ours (with its thread)": ours,
        "histogram sdk": lambda: sdk.record(0.05, LABELS),
        "histogram prometheus_client": lambda: prometheus.labels("success").observe(0.05),
    }


def spans() -> dict[str, Callable[[], object]]:
    """Return one operation with its span and all that it records, and one span of the SDK with as many attributes."""
    telemetry = Signals().telemetry()
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("t")

    def ours() -> None:
        with telemetry.operation(kinds.REFRESH, provider="example", status="success", reason="normal"):
            pass

    def sdk() -> None:
        with tracer.start_as_current_span("refresh") as span:
            span.set_attributes(ATTRIBUTES)

    return {"operation ours": ours, "span sdk": sdk}


def ledgers() -> dict[str, Callable[[], object]]:
    """Return a code's life, issued and redeemed, in each of the stores."""
    found: dict[str, Callable[[], object]] = {}
    directory = tempfile.TemporaryDirectory()
    atexit.register(directory.cleanup)
    host = HostStore.at(Path(directory.name) / "ledger", 100_000)
    for name, ledger in (("memory", Ledger(MemoryStore())), ("host", Ledger(host))):
        numbers = itertools.count()

        def issue_and_redeem(ledger: Ledger = ledger, numbers: Any = numbers) -> None:  # noqa: ANN401 a count
            code = f"code-{next(numbers)}"
            ledger.issue_code(code, "web", method="S256")
            sighting = ledger.sight_code(code)
            ledger.redeeming(Kind.CODE, sighting)
            ledger.granted("web", f"a-{code}", refresh_token=f"r-{code}", code=sighting)

        found[f"ledger {name}"] = issue_and_redeem
    return found


def collection() -> dict[str, Callable[[], object]]:
    """Return one collection with the tables full: every counter at its highest number of series."""
    signals = Signals()
    telemetry = signals.telemetry()
    for number in range(100):
        telemetry.client(f"client-{number}")
        telemetry.provider(f"provider-{number}")
    return {"collection, tables full": signals.reader.get_metrics_data}


def _loop(loops: int, step: Callable[[], object]) -> float:
    steps = range(loops)
    began = time.perf_counter()
    for _ in steps:
        step()
    return time.perf_counter() - began


def main() -> None:
    """Measure all, or with ``BENCH_QUICK=1`` the counters."""
    runner = pyperf.Runner(program_args=("-m", "benchmarks.micro"))
    runner.parse_args()
    quick = os.environ.get("BENCH_QUICK") == "1"
    # In the pool of processes that pyperf makes, BENCH_QUICK must arrive.
    runner.args.inherit_environ = ["BENCH_QUICK", "PYTHONPATH"]
    groups = (counters,) if quick else (counters, histograms, spans, ledgers, collection)
    for group in groups:
        for name, step in group().items():
            runner.bench_time_func(name, _loop, step)


if __name__ == "__main__":
    main()
