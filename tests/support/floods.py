"""What an attacker sends by the hundred thousand, and what must stay bounded under it."""

from __future__ import annotations

import gc
import random
import string
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import otel_oauth
from otel_oauth.catalogue import BY_NAME
from otel_oauth.testing import series

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_oauth.testing import Capture

SIZE = 100
BOUNDS = {"provider_cap": 4, "client_id_cap": 4, "ledger_size": SIZE}
"""The settings of a telemetry that is flooded: small, so that a flood is over them soon."""
GROWTH = 150_000
"""Bytes that the product may hold more after a flood, once it is full: interned text, freed tuples."""
FULL, FAST = 60_000, 160
"""How often a flood does something; each time it sends about two requests."""
_MEASURED = 60

_CAPS = {"provider": BOUNDS["provider_cap"], "client_id": BOUNDS["client_id_cap"]}
_PRODUCT = (str(Path(otel_oauth.__file__).parent / "*"), "*/otel_oauth_authlib/*")
_HOSTILE = ("", "\0", "é漢", "<script>", "%00", "a" * 300, "otel", "other", "unknown")


def counted(capture: Capture) -> set[str]:
    """Return the counters that are not 0."""
    return {series(*key) for key in capture.counters()}


class Noise:
    """Values that are new each time, the same in each run."""

    def __init__(self, seed: int = 2026) -> None:
        self.random = random.Random(seed)  # noqa: S311 not for secrets: the flood is the same each time

    def text(self) -> str:
        """Return a value that nobody has sent before, sometimes with what a client must not send."""
        drawn = "".join(self.random.choices(string.ascii_letters + string.digits, k=12))
        return drawn + self.random.choice(_HOSTILE) if self.random.random() < 0.2 else drawn

    def one_of(self, *choices: Callable[[], object]) -> None:
        self.random.choice(choices)()


def held_to_the_catalogue(capture: Capture) -> None:
    """Check the number of series of every entry of the catalogue, and the records of the ledger."""
    points = capture.points()
    found = Counter(point["name"] for point in points)
    assert {name: count for name, count in found.items() if count > BY_NAME[name].max_series(_CAPS)} == {}
    kept = {p["attributes"]["partition"]: p["value"] for p in points if p["name"] == "otel_oauth_ledger_entries"}
    assert kept
    assert {name: value for name, value in kept.items() if value > 3 * SIZE} == {}, "at most three kinds share one"
    assert {p["name"] for p in points if p["name"] == "otel_oauth_errors_total" and p["value"]} == set()


def grown(capture: Capture, flood: Callable[[int], None], count: int) -> int:
    """Flood ``count`` times; return by how many bytes the product's own memory grew in the last of it."""
    for _ in range((count - _MEASURED) // 100):
        flood(100)
        capture.clear()
    tracemalloc.start()
    try:
        flood(10)
        before = _held(capture)
        flood(_MEASURED - 10)
        return _held(capture) - before
    finally:
        tracemalloc.stop()


def _held(capture: Capture) -> int:
    capture.clear()  # the spans that it keeps for the test
    gc.collect()
    taken = tracemalloc.take_snapshot()
    ours = taken.filter_traces([tracemalloc.Filter(inclusive=True, filename_pattern=pattern) for pattern in _PRODUCT])
    return sum(trace.size for trace in ours.traces)
