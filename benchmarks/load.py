"""A real server under load: throughput and latency, and which share of a core it takes at a steady pace.

gunicorn with one worker process of eight threads serves Authlib over HTTP, once for each variant; they export to a
receiver in this process, and clients ask from processes of their own. Which variant has its turn changes all the time.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import random
import re
import subprocess
import sys
import tempfile
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.rounds import Estimate
from benchmarks.service import EMITTED
from benchmarks.workers import emitted
from otel_oauth.testing import OtlpReceiver

if TYPE_CHECKING:
    from collections.abc import Iterator

VARIANTS = ("bare", "stock", "ours", "both")
THREADS = 8
RATES = (100, 50)
PACED = ("bare", "stock", "floor", "ours")
_GRANTS = {"refresh_token": "server_refresh", "client_credentials": "server_client_credentials"}
_EXPORT_SECONDS = 10
_TIMEOUT_SECONDS = 120
_LISTENING = re.compile(r"Listening at: http://(127\.0\.0\.1:\d+)")
_TOKENS = "oauth_http_requests_total"


class Service:
    """One variant of the server, in a process of its own.

    :ivar asked: how many tokens it was asked for; ``logins``: how many of them for a code.
    """

    def __init__(self, variant: str, environment: dict[str, str]) -> None:
        self.variant = variant
        self.asked = self.logins = 0
        options = ["--workers", "1", "--worker-class", "gthread", "--threads", str(THREADS), "--keep-alive", "60"]
        command = [*options, "--bind", "127.0.0.1:0", f"benchmarks.service:application('{variant}')"]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", *command],
            env={**environment, "OTEL_SERVICE_NAME": variant},
            stderr=subprocess.PIPE,
            text=True,
        )
        self.address = self._listens()

    def _listens(self) -> str:
        said = []
        for line in self._process.stderr or ():
            said.append(line)
            found = _LISTENING.search(line)
            if found is not None:
                return found[1]
        msg = f"gunicorn did not start: {''.join(said)}"
        raise RuntimeError(msg)

    def get(self, page: str) -> object:
        """Return what a page for whoever measures says."""
        with urllib.request.urlopen(f"http://{self.address}/{page}", timeout=_TIMEOUT_SECONDS) as response:
            return json.load(response)

    def cpu(self) -> float:
        """Return the CPU seconds of the process so far."""
        return float(str(self.get("clock")))

    def begin(self, **job: float) -> subprocess.Popen[str]:
        """Begin to ask; see :mod:`benchmarks.generator` for the job."""
        described = json.dumps({"address": self.address, **job})
        command = [sys.executable, "-m", "benchmarks.generator", described]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def end(self, asking: subprocess.Popen[str], threads: int) -> list[float]:
        """Return how long each answer took, once the asking is over.

        :raises RuntimeError: if an answer was not what it should be.
        """
        output, errors = asking.communicate(timeout=_TIMEOUT_SECONDS)
        if asking.returncode:
            msg = f"asking {self.variant} failed: {errors}"
            raise RuntimeError(msg)
        took: list[float] = json.loads(output)
        self.asked += len(took) + threads  # each thread logs in first
        self.logins += threads
        return took

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        try:
            self._process.communicate(timeout=_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()


@contextlib.contextmanager
def services(*variants: str) -> Iterator[tuple[list[Service], OtlpReceiver]]:
    """Serve the variants while the block lasts."""
    with contextlib.ExitStack() as stack:
        receiver = stack.enter_context(OtlpReceiver())
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
        environment |= {
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint,
            "OTEL_METRIC_EXPORT_INTERVAL": str(_EXPORT_SECONDS * 1000),
            "OTEL_OAUTH_LEDGER": f"host:{directory}/ledger",
        }
        if "floor" in variants:
            emits = Path(directory, "emitted")
            emits.write_bytes(pickle.dumps({grant: emitted(workload) for grant, workload in _GRANTS.items()}))
            environment[EMITTED] = str(emits)
        started = []
        for variant in variants:
            started.append(Service(variant, environment))
            stack.callback(started[-1].stop)
        yield started, receiver


def check(service: Service, receiver: OtlpReceiver) -> None:
    """Assert that the service exported each token request that it was asked for, and spans.

    :raises AssertionError: if it did not.
    """
    service.get("flush")
    points = receiver.latest(service_name=service.variant).values()
    spans = sum(span["resource"].get("service.name") == service.variant for span in receiver.spans())
    if service.variant == "floor":  # a login is not replayed
        counted = service.asked if spans == service.asked - service.logins else 0
    elif service.variant in ("ours", "both"):
        told = [p for p in points if p["name"] == _TOKENS and p["attributes"].get("endpoint") == "token"]
        counted = sum(point["value"] for point in told)
    else:
        told = [p for p in points if p["name"] == "http.server.duration"]
        counted = sum(p["count"] for p in told if p["attributes"].get("http.target", "/token") == "/token")
    wrong = counted != service.asked if service.variant != "stock" else counted < service.asked
    if service.variant != "bare" and (wrong or not spans):
        msg = f"{service.variant} was asked {service.asked} times, exported {counted} requests and {spans} spans"
        raise AssertionError(msg)


# Under load -----------------------------------------------------------------------------------------------------------


@dataclass
class Load:
    """What clients saw of each variant, by round: answers a second, and milliseconds until half, 95 and 99 % came."""

    found: dict[str, dict[str, list[float]]] = field(default_factory=dict)

    def add(self, variant: str, took: list[float], seconds: float) -> None:
        """Add one round."""
        half, most, nearly_all = 1000 * np.percentile(took, [50, 95, 99])
        told = {"answers a second": len(took) / seconds, "p50 ms": half, "p95 ms": most, "p99 ms": nearly_all}
        for name, value in told.items():
            self.found.setdefault(variant, {}).setdefault(name, []).append(float(value))


def measure_load(*, rounds: int, seconds: float) -> Load:
    """Let ``THREADS`` clients at once ask each variant for ``seconds``, in so many rounds."""
    load, shuffled = Load(), random.Random(1)  # noqa: S311 an order, not a secret
    with services(*VARIANTS) as (started, receiver):
        order = list(started)
        for number in range(rounds + 1):
            shuffled.shuffle(order)
            for service in order:
                took = service.end(service.begin(threads=THREADS, seconds=seconds), THREADS)
                if number:  # the first round warms up
                    load.add(service.variant, took, seconds)
        for service in started:
            check(service, receiver)
    return load


# At a steady pace -----------------------------------------------------------------------------------------------------


@dataclass
class Paced:
    """CPU seconds of one token request at a pace, by rate, variant and window."""

    found: dict[int, dict[str, list[float]]] = field(default_factory=dict)

    def share(self, rate: int, variant: str) -> Estimate:
        """Return how many per cent of a core a variant takes at ``rate`` requests a second, beyond the bare server."""
        windows = self.found[rate]
        added = sorted(
            100 * rate * (with_it - bare) for with_it, bare in zip(windows[variant], windows["bare"], strict=True)
        )
        return Estimate(float(np.median(added)), added[0], added[-1])


def measure_paced(*, windows: int, seconds: float = _EXPORT_SECONDS) -> Paced:
    """Ask bare, stock, the floor and ours at the same time and pace; each window has one export of the metrics."""
    paced = Paced()
    with services(*PACED) as (started, receiver):
        for number in range(windows + 1):
            for rate in RATES:
                _window(paced, started, rate, seconds if number else 1.0, counted=bool(number))
        for service in started:
            check(service, receiver)
    return paced


def _window(paced: Paced, started: list[Service], rate: int, seconds: float, *, counted: bool) -> None:
    threads = 2
    before = [service.cpu() for service in started]
    asking = [service.begin(threads=threads, seconds=seconds, rate=rate) for service in started]
    took = [service.end(each, threads) for service, each in zip(started, asking, strict=True)]
    after = [service.cpu() for service in started]
    if counted:
        for service, answers, began, ended in zip(started, took, before, after, strict=True):
            each = (ended - began) / len(answers)
            paced.found.setdefault(rate, {}).setdefault(service.variant, []).append(each)
