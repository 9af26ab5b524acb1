"""The server under load: a real process with real exporters, for gunicorn: ``benchmarks.service:application('ours')``.

What an application's owner would do: global providers that export over OTLP/HTTP to ``OTEL_EXPORTER_OTLP_ENDPOINT``,
and the instrumentations attached with one call each; ours with all that it switches on by itself, redaction too.
"""

from __future__ import annotations

import itertools
import json
import os
import pickle
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask import request
from opentelemetry import metrics, trace
from opentelemetry._logs import get_logger_provider, set_logger_provider  # noqa: PLC2701 the Logs API has no other name
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter  # noqa: PLC2701 as above
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.sdk._logs import LoggerProvider  # noqa: PLC2701 as above
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor  # noqa: PLC2701 as above
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from benchmarks.floor import Replay
from benchmarks.server import make_app
from otel_oauth_authlib import AuthlibInstrumentor

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask import Flask, Response


BATCH = 100
"""So many requests of the floor make a batch of its histograms: a second at a hundred a second."""
EMITTED = "BENCH_EMITTED"
"""The variable that names the file with what ours emits, by grant."""


def _providers() -> list[Callable[[], Any]]:
    """Set the global providers; return what makes them export at once."""
    tracers = TracerProvider()
    tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(tracers)
    meters = MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter())])
    metrics.set_meter_provider(meters)
    loggers = LoggerProvider()
    loggers.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
    set_logger_provider(loggers)
    return [meters.force_flush, tracers.force_flush, loggers.force_flush]


def _floor(app: Flask) -> None:
    """Have what ours emits for a token request emitted by hand after each."""
    told = pickle.loads(Path(os.environ[EMITTED]).read_bytes())  # noqa: S301 the parent's own file
    providers = trace.get_tracer_provider(), get_logger_provider(), metrics.get_meter_provider()
    replays = {grant: Replay(emitted, *providers) for grant, emitted in told.items()}
    asked = itertools.count(1)

    @app.after_request
    def after(response: Response) -> Response:
        replay = replays.get(request.form.get("grant_type", ""))
        if replay is not None:
            replay.operation()
            if next(asked) % BATCH == 0:
                for each in replays.values():
                    each.batch()
        return response


def application(variant: str) -> Flask:
    """Return the authorization server, instrumented as ``variant`` says, with two pages for whoever measures it.

    ``GET /clock`` tells the CPU seconds of the process, ``GET /flush`` exports everything.
    """
    flush = [] if variant == "bare" else _providers()
    if variant in ("ours", "both"):
        AuthlibInstrumentor().instrument()
    app = make_app()
    if variant in ("stock", "both"):
        FlaskInstrumentor().instrument_app(  # type: ignore[no-untyped-call]  # has no types
            app, excluded_urls="clock,flush"
        )
    if variant == "floor":
        _floor(app)

    @app.get("/clock")
    def clock() -> str:
        return json.dumps(time.process_time())

    @app.get("/flush")
    def flushed() -> str:
        return json.dumps([bool(each()) for each in flush])

    return app
