"""How long attaching takes at the start of a process: in fresh processes, turn by turn with others without it."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING

from benchmarks.rounds import Measured

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.rounds import Effort

_BEFORE = """
import sys, time
import authlib.integrations.flask_oauth2, authlib.integrations.httpx_client, authlib.integrations.requests_client
import flask, httpx2, requests
import opentelemetry.sdk._configuration, opentelemetry.instrumentation.auto_instrumentation._load
from opentelemetry import metrics, trace
from opentelemetry.instrumentation.instrumentor import BaseInstrumentor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
metrics.set_meter_provider(MeterProvider([InMemoryMetricReader()], shutdown_on_exit=False))
trace.set_tracer_provider(TracerProvider(shutdown_on_exit=False))
sys.pycache_prefix, sys.dont_write_bytecode = sys.argv[1], False
began = time.process_time()
"""
_PROGRAMS: Mapping[str, str] = {
    "bare": "",
    "ours": """
from otel_oauth_authlib import AuthlibInstrumentor
AuthlibInstrumentor().instrument(ledger="memory")
from authlib.oauth2.client import OAuth2Client
assert hasattr(OAuth2Client.refresh_token, "__wrapped__")
""",
    "stock": """
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.instrumentation.httpx import HTTPX2ClientInstrumentor
from opentelemetry.instrumentation.requests import RequestsInstrumentor
FlaskInstrumentor().instrument(); HTTPX2ClientInstrumentor().instrument(); RequestsInstrumentor().instrument()
""",
}


def measure_attach(effort: Effort, *, stock: bool) -> tuple[Measured, float]:
    """Return the CPU seconds of attaching, each time in a process of its own, and those of importing the libraries.

    What is attached is compiled beforehand, as it is wherever it starts a second time.

    :param stock: attach the stock instrumentations as well.
    """
    programs = {name: program for name, program in _PROGRAMS.items() if stock or name != "stock"}
    measured, imports = Measured(1, {name: [] for name in programs}), []
    with tempfile.TemporaryDirectory() as compiled:
        for program in programs.values():
            _attached(program, compiled)
        for _ in effort.rounds():
            for name, program in programs.items():
                imported, seconds = _attached(program, compiled)
                measured.seconds[name].append(seconds)
                imports.append(imported)
    return measured, statistics.median(imports)


def _attached(program: str, compiled: str) -> tuple[float, float]:
    code = f"{_BEFORE}{program}print(began, time.process_time() - began)"
    ended = subprocess.run([sys.executable, "-c", code, compiled], capture_output=True, text=True, check=True)
    imported, seconds = map(float, ended.stdout.split())
    return imported, seconds
