"""The store of one process: dicts under a lock."""

from __future__ import annotations

import os
import threading
from collections import Counter
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, TypeVar

from otel_oauth.ledger._entry import COUNTED, Kind, counted_as

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_oauth.ledger._entry import Record
    from otel_oauth.ledger._store import Transaction

A = TypeVar("A")
T = TypeVar("T")

_COUNTED_BY = {besides: kind for kind, (besides, _) in COUNTED.items()}
_SPARE = 1024
_UNWATCHED = 256


class _Partition:
    """The records of one kind, when to look whether they expired, and how many of them are counted besides.

    :ivar fresh: what was put since it was last arranged when to look at it; much of it is gone before.
    """

    __slots__ = ("besides", "counted", "expiry", "fresh", "records")

    def __init__(self, kind: Kind) -> None:
        self.records: dict[bytes, Record] = {}
        self.expiry: list[tuple[float, bytes]] = []
        self.fresh: list[bytes] = []
        self.counted = COUNTED.get(kind, (kind, ()))[1]
        self.besides = 0

    def watch(self) -> None:
        """Look at each record when its time comes; one that is kept longer since then is looked at again."""
        records, expiry = self.records, self.expiry
        for digest in self.fresh:
            if digest in records:
                heappush(expiry, (records[digest][0], digest))
        self.fresh.clear()
        if len(expiry) > 2 * len(records) + _SPARE:
            self.expiry = [(record[0], known) for known, record in records.items()]
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

    def get(self, kind: Kind, digest: bytes) -> Record | None:
        """Return one record; see :class:`Store`."""
        return self._partitions[kind].records.get(digest)

    def put(self, kind: Kind, digest: bytes, record: Record) -> None:
        """Store one record; see :class:`Transaction`."""
        partition = self._partitions[kind]
        records, counted = partition.records, partition.counted
        before = records.get(digest)
        records[digest] = record
        if before is not None:
            if counted and record[1] is not before[1]:
                partition.besides += counted[record[1]] - counted[before[1]]
            if record[0] >= before[0]:
                return
        else:
            if counted:
                partition.besides += counted[record[1]]
            if len(records) > self.size:
                self._evict(kind, next(iter(records)))
        fresh = partition.fresh
        fresh.append(digest)
        if len(fresh) > _UNWATCHED:
            partition.watch()

    def _evict(self, kind: Kind, oldest: bytes) -> None:
        record = self.delete(kind, oldest)
        if record is not None:
            self._evicted.update(counted_as(kind, record))

    def delete(self, kind: Kind, digest: bytes) -> Record | None:
        """Remove one record; see :class:`Transaction`."""
        partition = self._partitions[kind]
        record = partition.records.pop(digest, None)
        if record is not None and partition.counted:
            partition.besides -= partition.counted[record[1]]
        return record

    def transact(self, change: Callable[[Transaction, A], T], about: A) -> T:
        """Run ``change`` under the lock; see :class:`Store`."""
        lock = self._lock
        lock.acquire()  # a ``with`` takes twice as long
        try:
            return change(self, about)
        finally:
            lock.release()

    def count(self, kind: Kind) -> int:
        """Return the number of records; see :class:`Store`."""
        if kind in _COUNTED_BY:
            return self._partitions[_COUNTED_BY[kind]].besides
        return len(self._partitions[kind].records)

    def purge(self, now: float) -> list[tuple[Kind, Record | None]]:
        """Remove what expired; see :class:`Store`."""
        gone: list[tuple[Kind, Record | None]] = []
        with self._lock:
            for kind, partition in zip(Kind, self._partitions, strict=True):
                partition.watch()
                while partition.expiry and partition.expiry[0][0] <= now:
                    _, digest = heappop(partition.expiry)
                    record = partition.records.get(digest)
                    if record is not None and record[0] > now:
                        heappush(partition.expiry, (record[0], digest))
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
