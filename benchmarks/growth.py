"""The cost of an operation against what grows: series, pending states, threads; its span sampled, or not."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import otel_oauth
from benchmarks.signals import Signals

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_oauth.telemetry import Telemetry

POINTS: dict[str, tuple[int, ...]] = {
    "clients with series": (1, 10, 100, 1000),
    "pending states": (10, 100, 1_000, 10_000, 100_000),
    "threads": (1, 2, 4, 8, 16),
}
"""What is varied, and its values."""
_OPERATIONS = 240
_THREADED = 960
_REPEATED = 4


def _token_request(telemetry: Telemetry, client_id: str) -> None:
    with otel_oauth.endpoint("token", grant_type="client_credentials", telemetry=telemetry) as request:
        request.client(client_id, authenticated=True)
        request.tokens_issued("an access token", expires_in=3600)
        request.answered(200)


def _flow(telemetry: Telemetry, state: str) -> None:
    with otel_oauth.flow_started("example", telemetry=telemetry) as flow:
        flow.state_stored(state, verifier=True)
    with otel_oauth.callback("example", client_id="web", telemetry=telemetry) as callback:
        callback.state_accepted(state, code="c")


def _per_operation(telemetry: Telemetry, step: Callable[[int], None], operations: int = _OPERATIONS) -> float:
    """Return the CPU seconds of one ``step``, the lowest of some repetitions: nothing but noise makes it higher."""
    times = []
    for _ in range(_REPEATED):
        began = time.process_time()
        for number in range(operations):
            step(number)
        telemetry.recorder.flush()
        times.append((time.process_time() - began) / operations)
    return min(times)


def _with_clients(number: int, *, sampled: bool) -> float:
    telemetry = Signals(sampled=sampled, settings={"client_id_cap": 10_000}).telemetry()
    names = [f"client-{each}" for each in range(number)]
    for name in names:
        _token_request(telemetry, name)
    return _per_operation(telemetry, lambda each: _token_request(telemetry, names[each % number]))


def _with_states(number: int, *, sampled: bool) -> float:
    telemetry = Signals(sampled=sampled, settings={"ledger_size": 1_000_000}).telemetry()
    for each in range(number):
        telemetry.ledger.issue_state(f"pending-{each}", verifier=True, lifetime=3600)
    return _per_operation(telemetry, lambda each: _flow(telemetry, f"state-{each}"))


def _with_threads(number: int, *, sampled: bool) -> float:
    telemetry = Signals(sampled=sampled).telemetry()

    def all_at_once(_each: int) -> None:
        threads = [threading.Thread(target=work) for _ in range(number)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def work() -> None:
        for _ in range(_THREADED // number):
            _token_request(telemetry, "web")

    return _per_operation(telemetry, all_at_once, operations=1) / _THREADED


_MEASURES: dict[str, Callable[..., float]] = {
    "clients with series": _with_clients,
    "pending states": _with_states,
    "threads": _with_threads,
}
Curves = dict[str, list[tuple[int, float]]]


def curves() -> Curves:
    """Return the CPU seconds of an operation at each point of each curve, with spans sampled and not."""
    return {
        f"{name}, spans {'' if sampled else 'not '}sampled": [
            (point, _MEASURES[name](point, sampled=sampled)) for point in points
        ]
        for name, points in POINTS.items()
        for sampled in (True, False)
    }
