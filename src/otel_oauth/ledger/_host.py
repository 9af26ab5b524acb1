"""The store of one host: LMDB in a private directory, shared by the workers of a service and surviving their restart.

The directory is 0700 and its files 0600; they hold keyed digests and times only. Writes are not synced to
disk: after a power failure the ledger may be empty, which is what a restart without it would be.

Each kind has a table of its packed records. One more table, in the order of expiry, holds the key of each record, and
beside the tables stands how many records are counted as another kind (``COUNTED``).
"""

from __future__ import annotations

import math
import os
import threading
from collections import Counter
from struct import Struct
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import lmdb

from otel_oauth.ledger._directory import private_directory
from otel_oauth.ledger._entry import COUNTED, Kind, counted_as, packed, unpacked
from otel_oauth.ledger._store import StoreError, Transaction
from otel_oauth.ledger._turn import Turn

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from otel_oauth.ledger._entry import Record

A = TypeVar("A")
T = TypeVar("T")

_TIME = Struct(">d")
_NUMBER = Struct(">q")
_LAYOUT = b" 2"
"""Stands behind the name of each table: tables of another layout are emptied, and no process stumbles over them."""

_COUNTED = b" count"
_COUNT = _COUNTED + _LAYOUT
_BESIDES = {besides for besides, _ in COUNTED.values()}
_PREFIX = [bytes([kind]) for kind in Kind]
_FOREVER = b"\xff" * 8
_MAP_SIZE = 512 * 1024 * 1024
_MOST_TABLES = 10 * (len(Kind) + 1)
"""Those of ten layouts."""

_FILES = ("data.mdb", "lock.mdb", "key")
_KEY_BYTES = 32

_access = threading.RLock()
"""Held for each use of LMDB and while this process forks: a child that inherits another thread's transaction hangs."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_access.acquire, after_in_parent=_access.release, after_in_child=_access.release)


def _host_key(path: Path) -> bytes:
    """Return the key in ``path``, made by whichever process comes first."""
    if not path.exists():
        draft = path.with_name(f"key.{os.getpid()}.{threading.get_ident()}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(os.urandom(_KEY_BYTES))
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    key = path.read_bytes()
    if len(key) != _KEY_BYTES:
        msg = "the ledger's key file is damaged"
        raise StoreError(msg)
    return key


class HostStore:
    """Records in LMDB, at most ``size`` of each kind; beyond it the one that expires next goes.

    :param path: the private directory; made if it is missing.
    :raises StoreError: if the directory is not private or LMDB cannot open it.
    """

    shared = 1
    _opened: ClassVar[dict[Path, HostStore]] = {}
    _opening: ClassVar[threading.Lock] = threading.Lock()

    @classmethod
    def at(cls, path: Path, size: int = 100_000) -> HostStore:
        """Return this process's store for ``path``: LMDB forbids to open one directory twice in a process."""
        with cls._opening:
            found = cls._opened.get(path)
            if found is None:
                found = cls._opened[path] = cls(path, size)
            return found

    def __init__(self, path: Path, size: int = 100_000) -> None:
        self._path = private_directory(path)
        self.size = size
        self._evicted: Counter[Kind] = Counter()
        self._writer = 0
        self._open()

    def _open(self) -> None:
        try:
            self.key = _host_key(self._path / "key")
            self._env = lmdb.open(
                os.fspath(self._path),
                map_size=_MAP_SIZE,
                max_dbs=_MOST_TABLES,
                max_readers=1024,
                mode=0o600,
                metasync=False,
                sync=False,
                readahead=False,
            )
            self._env.reader_check()
            self._empty_other_layouts()
            self._expiry = self._env.open_db(b"expiry" + _LAYOUT)
            self._tables = [self._env.open_db(kind.name.encode() + _LAYOUT) for kind in Kind]
            self._files = self._identities()
            self._turn = Turn(self._path / "key")
            self._pid = os.getpid()
        except (lmdb.Error, OSError) as error:
            msg = f"the host ledger cannot be opened ({type(error).__name__})"
            raise StoreError(msg) from None

    def _empty_other_layouts(self) -> None:
        with self._env.begin() as txn, txn.cursor() as cursor:
            names = [bytes(name) for name in cursor.iternext(values=False)]
        # Beside the tables stand the counts of their records, which nobody reads.
        others = [name for name in names if not name.endswith(_LAYOUT) and _COUNTED not in name]
        tables = [self._env.open_db(name) for name in others]
        if tables:
            with self._env.begin(write=True) as txn:
                for table in tables:
                    txn.drop(table, delete=False)

    def get(self, kind: Kind, digest: bytes) -> Record | None:
        """Return one record; see :class:`Store`."""
        try:
            with _access, self._env.begin(db=self._tables[kind]) as txn:
                found = txn.get(digest)
        except lmdb.Error as error:
            raise _failed(error) from None
        return None if found is None else unpacked(kind, found)

    def transact(self, change: Callable[[Transaction, A], T], about: A) -> T:
        """Run ``change`` in one write transaction; see :class:`Store`."""
        me = threading.get_ident()
        if self._writer == me:
            msg = "a change of the ledger within another one: a collected coroutine ended in the middle of it"
            raise RuntimeError(msg)
        try:
            with self._turn, _access, self._env.begin(write=True) as txn:
                self._writer = me
                try:
                    transaction = _HostTransaction(txn, self._tables, self._expiry, self.size)
                    result = change(transaction, about)
                    transaction.count()
                    self._evicted.update(transaction.evicted)
                    return result
                finally:
                    self._writer = 0
        except lmdb.Error as error:
            raise _failed(error) from None

    def count(self, kind: Kind) -> int:
        """Return the number of records; see :class:`Store`."""
        try:
            with _access, self._env.begin() as txn:
                if kind in _BESIDES:
                    return _number(txn, kind)
                return int(txn.stat(self._tables[kind])["entries"])
        except lmdb.Error as error:
            raise _failed(error) from None

    def purge(self, now: float) -> list[tuple[Kind, Record | None]]:
        """Remove what expired; see :class:`Store`."""
        self._check_files()
        return self.transact(_expired, _TIME.pack(max(0.0, now)))

    def _identities(self) -> list[tuple[int, int]]:
        found = [(self._path / name).stat() for name in _FILES]
        return [(file.st_dev, file.st_ino) for file in found]

    def _check_files(self) -> None:
        """Notice that the directory was removed or replaced, and keep cleaners of temporary files away from it."""
        try:
            same = self._identities() == self._files
            for name in _FILES:
                os.utime(self._path / name)
        except OSError:
            same = False
        if not same:
            msg = "the ledger's directory was removed"
            raise StoreError(msg)

    def evictions(self) -> dict[Kind, int]:
        """Return and reset the evictions of this process; see :class:`Store`."""
        evicted, self._evicted = self._evicted, Counter()
        return evicted

    def after_fork(self) -> None:
        """Open the same directory again: an LMDB environment must not be used across a fork."""
        if self._pid == os.getpid():
            return
        HostStore._opening = threading.Lock()
        self._writer = 0
        self._evicted = Counter()
        # In a child this only gives up the parent's handle, without which the directory cannot be opened again.
        self._env.close()
        self._turn.close()
        self._open()

    def close(self) -> None:
        """Close the environment; closing it again does nothing."""
        if self._opened.get(self._path) is self:
            del self._opened[self._path]
        self._env.close()
        self._turn.close()


def _expired(transaction: Transaction, limit: bytes) -> list[tuple[Kind, Record | None]]:
    expire = transaction.expire  # type: ignore[attr-defined]  # it is our own
    expired = ((kind, record) for kind in Kind for record in expire(kind, limit, most=math.inf))
    return [(each, record) for kind, record in expired for each in counted_as(kind, record)]


def _failed(error: lmdb.Error) -> StoreError:
    return StoreError(f"the host ledger failed ({type(error).__name__})")


def _number(txn: lmdb.Transaction, kind: Kind) -> int:
    found = txn.get(kind.name.encode() + _COUNT)
    return 0 if found is None else int(_NUMBER.unpack(found)[0])


class _HostTransaction:
    """A write transaction that keeps the order of expiry and the counts in step.

    :ivar evicted: the records that made room for others, by the kinds that they counted as.
    """

    __slots__ = ("_expiry", "_more", "_size", "_tables", "_txn", "evicted")

    def __init__(self, txn: lmdb.Transaction, tables: list[Any], expiry: Any, size: int) -> None:  # noqa: ANN401 lmdb does not say what a table is
        self._txn = txn
        self._tables = tables
        self._expiry = expiry
        self._size = size
        self._more: dict[Kind, int] = {}
        self.evicted: list[Kind] = []

    def get(self, kind: Kind, digest: bytes) -> Record | None:
        found = self._txn.get(digest, db=self._tables[kind])
        return None if found is None else unpacked(kind, found)

    def put(self, kind: Kind, digest: bytes, record: Record) -> None:
        txn, table, data = self._txn, self._tables[kind], packed(kind, record)
        before = txn.replace(digest, data, db=table)
        if before is None or before[:8] != data[:8]:
            if before is None:
                self._make_room(kind)
            else:
                txn.delete(_PREFIX[kind] + before[:8] + digest, db=self._expiry)
            txn.put(_PREFIX[kind] + data[:8] + digest, b"", db=self._expiry)
        if kind in COUNTED:
            besides, values = COUNTED[kind]
            more = values[data[8]] - (0 if before is None else values[before[8]])
            if more:
                self._more[besides] = self._more.get(besides, 0) + more

    def _make_room(self, kind: Kind) -> None:
        """Let the record go that expires next if the one that was put, which has no expiry yet, is one too many."""
        if self._txn.stat(self._tables[kind])["entries"] > self._size:
            for evicted in self.expire(kind, _FOREVER, most=1):
                self.evicted.extend(counted_as(kind, evicted))

    def expire(self, kind: Kind, limit: bytes, *, most: float) -> list[Record]:
        """Remove and return the records that are kept until ``limit`` at the longest."""
        gone: list[Record] = []
        with self._txn.cursor(self._expiry) as cursor:
            while len(gone) < most and cursor.set_range(_PREFIX[kind]):
                key = bytes(cursor.key())
                if key[:1] != _PREFIX[kind] or key[1:9] > limit:
                    break
                record = self.delete(kind, key[9:])
                if record is not None:
                    gone.append(record)
                else:  # damaged: without its record the place in the order would be found for ever
                    self._txn.delete(key, db=self._expiry)
        return gone

    def delete(self, kind: Kind, digest: bytes) -> Record | None:
        before = self._txn.pop(digest, db=self._tables[kind])
        if before is None:
            return None
        self._txn.delete(_PREFIX[kind] + before[:8] + digest, db=self._expiry)
        if kind in COUNTED:
            besides, values = COUNTED[kind]
            self._more[besides] = self._more.get(besides, 0) - values[before[8]]
        return unpacked(kind, before)

    def count(self) -> None:
        """Write what the changes made of the counts; a rotation, for one, changes none."""
        for kind, more in self._more.items():
            if more:
                self._txn.put(kind.name.encode() + _COUNT, _NUMBER.pack(_number(self._txn, kind) + more))
