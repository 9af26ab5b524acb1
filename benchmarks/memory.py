"""What a million requests with random ids leave behind, in a process of its own: ``python -m benchmarks.memory N``."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys

import psutil

import otel_oauth
from benchmarks.signals import Signals

_WARM = 20_000
_RECORDS = 100_000


def measure_memory(requests: int) -> dict[str, float]:
    """Return the megabytes and series that requests by strangers leave, and the bytes of a record of the ledger."""
    ended = subprocess.run(
        [sys.executable, "-m", "benchmarks.memory", str(requests)], capture_output=True, text=True, check=True
    )
    return dict(json.loads(ended.stdout))


def _megabytes() -> float:
    gc.collect()
    return float(psutil.Process().memory_info().rss) / 1e6


def _main(requests: int) -> None:
    signals = Signals()
    telemetry = signals.telemetry()

    def attack(number: int) -> None:
        for _ in range(number):
            secret = os.urandom(16).hex()
            with otel_oauth.endpoint("token", grant_type=secret, telemetry=telemetry) as request:
                request.client(secret, known=False)
                request.code_presented(secret, found=False, verifier=True)
                request.answered(400, secret)

    attack(_WARM)
    before, series = _megabytes(), signals.series()
    attack(requests)
    left = _megabytes() - before
    grown = signals.series() - series
    before = _megabytes()
    for number in range(_RECORDS):
        telemetry.ledger.issue_code(f"code-{number}", "web")
    per_record = 1e6 * (_megabytes() - before) / _RECORDS
    print(json.dumps({"requests": requests, "megabytes": left, "series": grown, "bytes of a pending code": per_record}))


if __name__ == "__main__":
    _main(int(sys.argv[1]))
