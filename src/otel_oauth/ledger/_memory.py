"""The store of one process: dicts under a lock."""

from __future__ import annotations

import os
import threading
from collections import Counter
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Any, TypeVar

from otel_oauth.ledger._entry import COUNTED, Kind, counted_as

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_oauth.ledger._store import Transaction

T = TypeVar("T")

_COUNTED_BY = {besides: kind for kind, (besides, _) in COUNTED.items()}
_SPARE = 1024


class _Partition:
    """The records of one kind, when to look whether they expired, and how many of them are counted besides."""

    __slots__ = ("besides", "counted", "expiry", "records")

    def __init__(self, kind: Kind) -> None:
        self.records: dict[bytes, tuple[Any, ...]] = {}
        self.expiry: list[tuple[float, bytes]] = []
        self.counted = COUNTED.get(kind, (kind, ()))[1]
        self.besides = 0

    def watch(self, until: float, digest: bytes) -> None:
        """Look at a record when its time comes; one that is kept longer since then is looked at again."""
        heappush(self.expiry, (until, digest))
        if len(self.expiry) > 2 * len(self.records) + _SPARE:
            self.expiry = [(record[0], known) for known, record in self.records.items()]
            heapify(self.expiry)


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
        self._partitions = [_Partition(kind) for kind in Kind]
        self._evicted: Counter[Kind] = Counter()

    def get(self, kind: Kind, digest: bytes) -> Any:  # noqa: ANN401 the record of that kind
        """Return one record; see :class:`Store`."""
        return self._partitions[kind].records.get(digest)

    def put(self, kind: Kind, digest: bytes, record: tuple[Any, ...]) -> None:
        """Store one record; see :class:`Transaction`."""
        partition = self._partitions[kind]
        records = partition.records
        before = records.get(digest)
        if before is None and len(records) >= self.size:
            self._evict(kind, partition)
        records[digest] = record
        if before is None or record[0] < before[0]:
            partition.watch(record[0], digest)
        counted = partition.counted
        if counted and (before is None or record[1] is not before[1]):
            partition.besides += counted[record[1]] - (0 if before is None else counted[before[1]])

    def _evict(self, kind: Kind, partition: _Partition) -> None:
        oldest = self.delete(kind, next(iter(partition.records)))
        self._evicted.update(counted_as(kind, oldest))

    def delete(self, kind: Kind, digest: bytes) -> Any:  # noqa: ANN401 as above
        """Remove one record; see :class:`Transaction`."""
        partition = self._partitions[kind]
        record = partition.records.pop(digest, None)
        if record is not None and partition.counted:
            partition.besides -= partition.counted[record[1]]
        return record

    def transact(self, change: Callable[[Transaction], T]) -> T:
        """Run ``change`` under the lock; see :class:`Store`."""
        with self._lock:
            return change(self)

    def count(self, kind: Kind) -> int:
        """Return the number of records; see :class:`Store`."""
        if kind in _COUNTED_BY:
            return self._partitions[_COUNTED_BY[kind]].besides
        return len(self._partitions[kind].records)

    def purge(self, now: float) -> list[tuple[Kind, Any]]:
        """Remove what expired; see :class:`Store`."""
        gone: list[tuple[Kind, Any]] = []
        with self._lock:
            for kind, partition in zip(Kind, self._partitions, strict=True):
                while partition.expiry and partition.expiry[0][0] <= now:
                    _, digest = heappop(partition.expiry)
                    record = partition.records.get(digest)
                    if record is not None and record[0] > now:
                        partition.watch(record[0], digest)
                    elif record is not None:
                        self.delete(kind, digest)
                        gone.extend((each, record) for each in counted_as(kind, record))
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
