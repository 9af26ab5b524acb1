"""The store of one process: dicts under a lock."""

from __future__ import annotations

import heapq
import os
import threading
from collections import Counter
from typing import TYPE_CHECKING, TypeVar

from otel_oauth.ledger._entry import Kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_oauth.ledger._store import Transaction

T = TypeVar("T")


class MemoryStore:
    """Records in this process, at most ``size`` of each kind; beyond it the oldest of that kind goes.

    A forked child starts empty: what the parent issued stays the parent's.
    """

    shared = 0

    def __init__(self, size: int = 100_000) -> None:
        self.key = os.urandom(32)
        self.size = size
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.RLock()
        self._records: dict[Kind, dict[bytes, tuple[bytes, float]]] = {kind: {} for kind in Kind}
        self._expiry: list[tuple[float, Kind, bytes]] = []
        self._compact_at = 1024
        self._evicted: Counter[Kind] = Counter()

    def get(self, kind: Kind, digest: bytes) -> bytes | None:
        """Return one record; see :class:`Store`."""
        found = self._records[kind].get(digest)
        return None if found is None else found[0]

    def put(self, kind: Kind, digest: bytes, record: bytes, expires_at: float) -> None:
        """Store one record; see :class:`Transaction`."""
        records = self._records[kind]
        before = records.get(digest)
        if before is None and len(records) >= self.size:
            del records[next(iter(records))]
            self._evicted[kind] += 1
        records[digest] = (record, expires_at)
        if before is None or before[1] != expires_at:
            heapq.heappush(self._expiry, (expires_at, kind, digest))
            if len(self._expiry) > self._compact_at:
                self._compact()

    def _compact(self) -> None:
        self._expiry = [
            (expires_at, kind, digest)
            for kind, records in self._records.items()
            for digest, (_, expires_at) in records.items()
        ]
        heapq.heapify(self._expiry)
        self._compact_at = 2 * len(self._expiry) + 1024

    def delete(self, kind: Kind, digest: bytes) -> bool:
        """Remove one record; see :class:`Transaction`."""
        return self._records[kind].pop(digest, None) is not None

    def transact(self, change: Callable[[Transaction], T]) -> T:
        """Run ``change`` under the lock; see :class:`Store`."""
        with self._lock:
            return change(self)

    def count(self, kind: Kind) -> int:
        """Return the number of records; see :class:`Store`."""
        return len(self._records[kind])

    def purge(self, now: float) -> list[tuple[Kind, bytes]]:
        """Remove what expired; see :class:`Store`."""
        gone: list[tuple[Kind, bytes]] = []
        with self._lock:
            while self._expiry and self._expiry[0][0] <= now:
                expires_at, kind, digest = heapq.heappop(self._expiry)
                found = self._records[kind].get(digest)
                if found is not None and found[1] == expires_at:
                    del self._records[kind][digest]
                    gone.append((kind, found[0]))
        return gone

    def evictions(self) -> dict[Kind, int]:
        """Return and reset the evictions; see :class:`Store`."""
        with self._lock:
            evicted, self._evicted = self._evicted, Counter()
        return evicted

    def after_fork(self) -> None:
        """Start empty with a key of its own."""
        self.key = os.urandom(32)
        self._reset()

    def close(self) -> None:
        """Forget everything."""
        self._reset()
