"""The store of several hosts: Redis, with a key and a time to live of its own for each record.

A change is a function that reads and writes records, so it runs here, on guesses of what it will read; one script
in Redis then compares what it read with what is there, and applies its writes if all is the same. If not, the script
returns what is there, and the change runs again on that. So a change is atomic, and costs one round trip where this
process knows the records, and two where it does not.
"""

from __future__ import annotations

import os
import time
from collections import ChainMap, Counter
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import redis

from otel_oauth.ledger._connections import Connections
from otel_oauth.ledger._entry import COUNTED, Kind, Mark, packed, unpacked
from otel_oauth.ledger._scripts import COMMIT, IDENTIFY, NAME, PURGE, Script
from otel_oauth.ledger._store import StoreAwayError, StoreError, Transaction

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from otel_oauth.ledger._entry import Record

A = TypeVar("A")
T = TypeVar("T")

_FORMAT = 2
_KEY_BYTES = 32
_GRACE_SECONDS = 3600.0
_IDENTITY_SECONDS = 400 * 24 * 3600.0
_MOST_GUESSES = 1024
_CHUNK = 500
_MOST_CHUNKS = 1000
_HERE = b"="
"""Goes before each record, so that an empty one differs from none."""


class _Identity(NamedTuple):
    """What tells one ledger from another of the same name, and the key of its digests."""

    name: bytes
    key: bytes


class RedisStore:
    """Records in Redis, at most ``size`` of each kind; beyond it the one that expires next goes.

    The key of the digests is in Redis as well, made by whoever comes first: who can read the records can read it, as
    with the files of a host, and there is no secret to hand out. It does not help to find a code or token, which are
    random; it keeps digests of one service from being compared with another's.

    :param address: ``redis://`` or ``rediss://``, with the password if there is one.
    :param service: keeps the ledgers of services apart that use one Redis.
    :param wait: seconds to wait at most for a connection, and for an answer.
    :raises StoreError: if the address cannot be used. Nothing is connected before the first access.
    """

    shared = 2

    def __init__(self, address: str, service: str, *, size: int = 100_000, wait: float = 0.05) -> None:
        self.size = size
        self._identity = _Identity(os.urandom(8), os.urandom(_KEY_BYTES))
        self._known = False
        # The braces keep all keys of a ledger in one place where an address stands for several servers.
        self._prefix = f"otel-oauth:{_FORMAT}:{{{service}}}:".encode()
        self._connections = Connections(address, wait, self._identify)
        self._wait = wait
        self._guesses: dict[bytes, bytes] = {}
        self._evicted: Counter[Kind] = Counter()

    @property
    def key(self) -> bytes:
        """The key of the digests; see :class:`Store`."""
        return self._identity.key

    # Talking to Redis ---------------------------------------------------------------------------------------

    def _evaluate(self, connection: Any, script: Script, *arguments: object) -> Any:  # noqa: ANN401 what a script returns
        name = self._prefix + b"ledger"
        try:
            connection.send_command("EVALSHA", script.digest, 1, name, *arguments)
            return connection.read_response()
        except redis.exceptions.NoScriptError:
            connection.send_command("EVAL", script.text, 1, name, *arguments)
            return connection.read_response()

    def _identify(self, connection: Any) -> None:  # noqa: ANN401 redis has no public type for its connections
        """Take the ledger's identity and key from Redis, or bring ours if it has none; tell whether it is another."""
        offered = self._identity
        found = _Identity(*self._evaluate(connection, IDENTIFY, *offered, int(_IDENTITY_SECONDS * 1000)))
        if found != offered:
            self._identity = found
            self._guesses.clear()
            if self._known:
                self._known = False
                msg = "the ledger in Redis was emptied and made anew"
                raise StoreAwayError(msg)
        self._known = True

    def _run(self, script: Script, *arguments: object) -> list[Any]:
        def work(connection: Any) -> list[Any]:  # noqa: ANN401 as above
            found: list[Any] = self._evaluate(connection, script, self._identity.name, self._prefix, *arguments)
            if found == [-1]:
                self._identify(connection)
                found = self._evaluate(connection, script, self._identity.name, self._prefix, *arguments)
            if found == [-1]:
                msg = "the ledger in Redis was removed"
                raise StoreAwayError(msg)
            return found

        return self._connections.run(work)

    # The store ----------------------------------------------------------------------------------------------

    def get(self, kind: Kind, digest: bytes) -> Record | None:
        """Return one record; see :class:`Store`."""
        name = _name(kind, digest)

        def work(connection: Any) -> bytes | None:  # noqa: ANN401 as above
            connection.send_command("GET", self._prefix + name)
            found: bytes | None = connection.read_response()
            return found

        value = self._connections.run(work) or b""
        self._guess(name, value)
        return _record(kind, value)

    def transact(self, change: Callable[[Transaction, A], T], about: A) -> T:
        """Run ``change``, again if its guesses were wrong, and apply what it wrote; see :class:`Store`."""
        until = time.monotonic() + self._wait
        known: dict[bytes, bytes] = {}
        while True:
            txn = _RedisTransaction(ChainMap(known, self._guesses))
            result = change(txn, about)
            if not txn.writes and txn.read.items() <= known.items():
                return result  # it read one answer of Redis, and nothing else
            arguments = [self.size, len(txn.read), *chain(*txn.read.items()), *chain(*txn.writes.values())]
            done, *found = self._run(COMMIT, *arguments)
            if done == 1:
                self._evicted.update(_KIND[kind] for kind in found)
                for name, write in txn.writes.items():
                    self._guess(name, write.value)
                return result
            if time.monotonic() > until:
                msg = "the ledger in Redis is too busy"
                raise StoreAwayError(msg)
            known = dict(zip(txn.read, found, strict=True))
            for name, value in known.items():
                self._guess(name, value)

    def _guess(self, name: bytes, value: bytes) -> None:
        if len(self._guesses) >= _MOST_GUESSES:
            self._guesses.clear()
        self._guesses[name] = value

    def count(self, kind: Kind) -> int:
        """Return the number of records; see :class:`Store`."""

        def work(connection: Any) -> int:  # noqa: ANN401 as above
            connection.send_command("ZCARD", self._prefix + b"expiry:" + _NAME[kind])
            return int(connection.read_response())

        return self._connections.run(work)

    def purge(self, now: float) -> list[tuple[Kind, Record | None]]:
        """Remove what expired, some hundred records a call so that Redis answers others; see :class:`Store`."""
        gone: list[tuple[Kind, Record | None]] = []
        purge = partial(self._run, PURGE, int(_IDENTITY_SECONDS * 1000), int(now * 1e6), _CHUNK, *_KIND)
        for _ in range(_MOST_CHUNKS):
            try:
                found = purge()
            except StoreError:
                if not gone:
                    raise
                break  # what is gone is gone, and nobody else will tell of it
            for kind, value in zip(map(_KIND.__getitem__, found[::2]), found[1::2], strict=True):
                gone.append((kind, _record(kind, value)))
            if len(found) < 2 * _CHUNK:
                break
        return gone

    def evictions(self) -> dict[Kind, int]:
        """Return and reset the evictions by this process; see :class:`Store`."""
        evicted, self._evicted = self._evicted, Counter()
        return evicted

    def after_fork(self) -> None:
        """Make connections of the child's own; see :class:`Store`."""
        self._connections.after_fork()
        self._evicted = Counter()

    def close(self) -> None:
        """Close the connections."""
        self._connections.close()


_NAME = {kind: name.encode() for kind, name in NAME.items()}
_KIND = {name: kind for kind, name in _NAME.items()}


def _name(kind: Kind, digest: bytes) -> bytes:
    return _NAME[kind] + b":" + digest.hex().encode()


def _record(kind: Kind, value: bytes) -> Record | None:
    return unpacked(kind, value[1:]) if value else None


def _counts(kind: Kind, record: Record) -> tuple[float, int]:
    """Return until when a record is kept, and how often it is counted as another kind."""
    return record[0], COUNTED[kind][1][record[1]]


class _Write(NamedTuple):
    kind: bytes
    digest: str
    value: bytes
    expires_at: int
    milliseconds: int


class _RedisTransaction:
    """What a change reads, from guesses, and writes, for the script.

    What is counted as another kind is a record of that kind as well: Redis forgets records beside the purges, and no
    sum would stay right.
    """

    __slots__ = ("_guesses", "read", "writes")

    def __init__(self, guesses: Mapping[bytes, bytes]) -> None:
        self._guesses = guesses
        self.read: dict[bytes, bytes] = {}
        self.writes: dict[bytes, _Write] = {}

    def _value(self, kind: Kind, digest: bytes) -> bytes:
        name = _name(kind, digest)
        written = self.writes.get(name)
        if written is not None:
            return written.value
        value = self.read.get(name)
        if value is None:
            value = self.read[name] = self._guesses.get(name, b"")
        return value

    def get(self, kind: Kind, digest: bytes) -> Record | None:
        return _record(kind, self._value(kind, digest))

    def put(self, kind: Kind, digest: bytes, record: Record) -> None:
        # Beyond its expiry a record is kept until some process has found it expired at a collection.
        seconds = max(0.0, record[0] - time.time()) + _GRACE_SECONDS
        name, value = _name(kind, digest), _HERE + packed(kind, record)
        expiry = max(0, int(record[0] * 1e6))
        before = self.writes.get(name)
        known = self.read.get(name, b"") if before is None else before.value
        self.writes[name] = _Write(_NAME[kind], digest.hex(), value, expiry, int(seconds * 1000))
        if kind in COUNTED and not (known and _counts(kind, unpacked(kind, known[1:])) == _counts(kind, record)):
            besides = COUNTED[kind][0]
            if _counts(kind, record)[1]:
                self.put(besides, digest, Mark(record[0]))
            else:
                self._remove(besides, digest)

    def _remove(self, kind: Kind, digest: bytes) -> None:
        self.writes[_name(kind, digest)] = _Write(_NAME[kind], digest.hex(), b"", 0, 0)

    def delete(self, kind: Kind, digest: bytes) -> Record | None:
        before = self.get(kind, digest)
        if before is not None:
            self._remove(kind, digest)
            if kind in COUNTED:
                self._remove(COUNTED[kind][0], digest)
        return before
