"""How long attaching takes at the start of a process: in fresh processes, turn by turn with others without it."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from benchmarks.rounds import Measured

if TYPE_CHECKING:
    from collections.abc import Mapping

_BEFORE = """
import time
import authlib.integrations.flask_oauth2, authlib.integrations.httpx_client, authlib.integrations.requests_client
import flask, httpx2, requests
from opentelemetry import metrics, trace
from opentelemetry.instrumentation.instrumentor import BaseInstrumentor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
metrics.set_meter_provider(MeterProvider([InMemoryMetricReader()], shutdown_on_exit=False))
trace.set_tracer_provider(TracerProvider(shutdown_on_exit=False))
began = time.process_time()
"""
_PROGRAMS: Mapping[str, str] = {
    "bare": "",
    "ours": """
from otel_oauth_authlib import AuthlibInstrumentor
AuthlibInstrumentor().instrument(ledger="memory")
from otel_oauth.hooks import _ours
from authlib.oauth2.client import OAuth2Client
assert isinstance(OAuth2Client.__dict__["refresh_token"], _ours)
""",
    "stock": """
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.instrumentation.httpx import HTTPX2ClientInstrumentor
from opentelemetry.instrumentation.requests import RequestsInstrumentor
FlaskInstrumentor().instrument(); HTTPX2ClientInstrumentor().instrument(); RequestsInstrumentor().instrument()
""",
}


def measure_attach(rounds: int) -> Measured:
    """Return the CPU seconds of attaching, in ``rounds`` processes of each kind."""
    measured = Measured(1, {name: [] for name in _PROGRAMS})
    for _ in range(rounds):
        for name, program in _PROGRAMS.items():
            code = f"{_BEFORE}{program}print(time.process_time() - began)"
            ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
            measured.seconds[name].append(float(ended.stdout))
    return measured
