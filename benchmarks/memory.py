"""What flows with random ids leave behind, in a process of its own: ``python -m benchmarks.memory FLOWS LEDGER CODES``.

Flows take the cheapest real way, the manual API. They are in turn: a login with a random state whose callback comes,
one whose user never comes back, a stranger's callback with a random state and code, a stranger's random code under a
random client id at the token endpoint. Spans, events and redaction are on. What counts is the anonymous memory of the
process: the pages of the host's ledger belong to its file.
"""

from __future__ import annotations

import gc
import json
import os
import re
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

import otel_oauth
from benchmarks.signals import Signals
from otel_oauth import redaction
from otel_oauth.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_oauth.telemetry import Telemetry

PENDING = 10_000
RECORDS = 50_000
_WARM = 5_000
_SETTLED_EVERY = 1_000
_ANONYMOUS = re.compile(r"RssAnon:\s+(\d+) kB")


def measure_memory(flows: int, ledger: str, *, records: int = RECORDS) -> dict[str, float]:
    """Return what ``flows`` leave with a ledger in ``memory`` or of the ``host``, and what its records take.

    :param records: of how many codes the bytes are taken.

    Keys: ``flows``, ``megabytes`` and ``series`` that they leave, ``MB of 10,000 pending states``,
    ``bytes of a pending code``, ``bytes of a login more`` (its family and pair of tokens).
    """
    command = [sys.executable, "-m", "benchmarks.memory", str(flows), ledger, str(records)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(json.loads(ended.stdout))


def _megabytes() -> float:
    gc.collect()
    status = Path("/proc/self/status")
    found = _ANONYMOUS.search(status.read_text(encoding="utf-8")) if status.exists() else None
    return int(found[1]) / 1e3 if found is not None else float(psutil.Process().memory_info().rss) / 1e6


def _login(telemetry: Telemetry, *, returns: bool) -> None:
    state = os.urandom(16).hex()
    with otel_oauth.flow_started("example", telemetry=telemetry) as flow:
        flow.state_stored(state, verifier=True)
    if returns:
        with otel_oauth.callback("example", client_id="web", telemetry=telemetry) as callback:
            callback.state_accepted(state, code=os.urandom(16).hex())


def _forged_callback(telemetry: Telemetry) -> None:
    with otel_oauth.callback("example", client_id="web", telemetry=telemetry) as callback:
        callback.state_refused(os.urandom(16).hex(), code=os.urandom(16).hex())


def _forged_code(telemetry: Telemetry) -> None:
    stranger = os.urandom(16).hex()
    with otel_oauth.endpoint("token", grant_type="authorization_code", telemetry=telemetry) as request:
        request.client(stranger, known=False)
        request.code_presented(os.urandom(16).hex(), found=False, verifier=True)
        request.answered(400, stranger)


_FLOWS: tuple[Callable[[Telemetry], None], ...] = (
    partial(_login, returns=True),
    partial(_login, returns=False),
    _forged_callback,
    _forged_code,
)


def _flows(telemetry: Telemetry, signals: Signals, number: int) -> None:
    for each in range(number):
        _FLOWS[each % len(_FLOWS)](telemetry)
        if each % _SETTLED_EVERY == 0:
            signals.counted()  # as an exporter does now and then


def _records(telemetry: Telemetry, number: int) -> float:
    """Return the bytes of a code that was redeemed for a pair of tokens, beyond those of the code."""
    ledger, before = telemetry.ledger, _megabytes()
    for each in range(number):
        code = f"code-{each}"
        ledger.granted("web", f"a-{code}", refresh_token=f"r-{code}", code=ledger.sight_code(code))
    return 1e6 * (_megabytes() - before) / number


def _main(flows: int, place: str, records: int) -> dict[str, float]:
    # The records first, and they are kept: memory that is given back would be taken again, and seem to cost nothing.
    kept = Signals(ledger="memory" if place == "memory" else f"{place}-records").telemetry()
    before = _megabytes()
    for each in range(PENDING):
        kept.ledger.issue_state(f"pending-{each}", verifier=True, lifetime=3600)
    found = {f"MB of {PENDING:,} pending states": _megabytes() - before}
    before = _megabytes()
    for each in range(records):
        kept.ledger.issue_code(f"code-{each}", "web", method="S256")
    found["bytes of a pending code"] = 1e6 * (_megabytes() - before) / records
    found["bytes of a login more"] = _records(kept, records)

    signals = Signals(ledger=place)
    telemetry = signals.telemetry()
    redaction.install(Settings.from_environment({}))
    _flows(telemetry, signals, min(_WARM, flows))
    before, series = _megabytes(), signals.series()
    _flows(telemetry, signals, flows)
    left, grown = _megabytes() - before, signals.series() - series
    telemetry.close()
    kept.close()
    return {"flows": float(flows), "megabytes": left, "series": float(grown), **found}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as _directory:
        _place = "memory" if sys.argv[2] == "memory" else f"host:{_directory}/ledger"
        print(json.dumps(_main(int(sys.argv[1]), _place, int(sys.argv[3]))))
