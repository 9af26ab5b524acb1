"""The store of one host: LMDB in a private directory, shared by the workers of a service and surviving their restart.

The directory is 0700 and its files 0600; they hold keyed digests and times only. Writes are not synced to
disk: after a power failure the ledger may be empty, which is what a restart without it would be.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import struct
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, ClassVar, TypeVar

import lmdb

from otel_oauth.ledger._entry import Kind
from otel_oauth.ledger._store import StoreError, Transaction
from otel_oauth.ledger._turn import Turn

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

T = TypeVar("T")

_EXPIRY = struct.Struct(">Q")
_MAP_SIZE = 512 * 1024 * 1024
_FILES = ("data.mdb", "lock.mdb", "key")
_STALE_SECONDS = 30 * 24 * 3600.0
_KEY_BYTES = 32
_OWN_NAME = re.compile("[0-9a-f]{16}")


_access = threading.RLock()
"""Held for each use of LMDB and while this process forks: a child that inherits another thread's transaction hangs."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_access.acquire, after_in_parent=_access.release, after_in_child=_access.release)


def private_directory(path: Path) -> Path:
    """Create ``path`` with mode 0700, or check that it is a directory of this user that nobody else can enter.

    :raises StoreError: if it is a link, belongs to somebody else or is open to others.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
        found = path.lstat()
    except OSError as error:
        msg = f"the ledger's directory cannot be made ({error.strerror})"
        raise StoreError(msg) from None
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        msg = "the ledger's directory is not private to this user (it must be a directory of mode 0700)"
        raise StoreError(msg)
    return path


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


def sweep(root: Path, keep: Path) -> None:
    """Remove the ledgers below this product's own ``root`` that no process has written to for 30 days."""
    try:
        for directory in root.iterdir():
            files = [directory / "data.mdb", directory / "key"]
            if directory != keep and _OWN_NAME.fullmatch(directory.name) and all(file.exists() for file in files):
                used = max(file.stat().st_mtime for file in files)
                if time.time() - used > _STALE_SECONDS:
                    shutil.rmtree(directory, ignore_errors=True)
    except OSError:
        # Another worker sweeps at the same time; what it leaves goes at the next start.
        return


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
                max_dbs=len(Kind) + 1,
                max_readers=1024,
                mode=0o600,
                metasync=False,
                sync=False,
                readahead=False,
            )
            self._env.reader_check()
            self._expiry = self._env.open_db(b"expiry")
            self._dbs = {kind: self._env.open_db(kind.name.encode()) for kind in Kind}
            self._files = self._identities()
            self._turn = Turn(self._path / "key")
            self._pid = os.getpid()
        except (lmdb.Error, OSError) as error:
            msg = f"the host ledger cannot be opened ({type(error).__name__})"
            raise StoreError(msg) from None

    def get(self, kind: Kind, digest: bytes) -> bytes | None:
        """Return one record; see :class:`Store`."""
        try:
            with _access, self._env.begin(db=self._dbs[kind]) as txn:
                found = txn.get(digest)
        except lmdb.Error as error:
            raise _failed(error) from None
        return None if found is None else found[8:]

    def transact(self, change: Callable[[Transaction], T]) -> T:
        """Run ``change`` in one write transaction; see :class:`Store`."""
        me = threading.get_ident()
        if self._writer == me:
            msg = "a change of the ledger within another one: a collected coroutine ended in the middle of it"
            raise RuntimeError(msg)
        try:
            with self._turn, _access, self._env.begin(write=True) as txn:
                self._writer = me
                try:
                    return change(_HostTransaction(self, txn))
                finally:
                    self._writer = 0
        except lmdb.Error as error:
            raise _failed(error) from None

    def count(self, kind: Kind) -> int:
        """Return the number of records; see :class:`Store`."""
        try:
            with _access, self._env.begin() as txn:
                return int(txn.stat(self._dbs[kind])["entries"])
        except lmdb.Error as error:
            raise _failed(error) from None

    def purge(self, now: float) -> list[tuple[Kind, bytes]]:
        """Remove what expired; see :class:`Store`."""
        self._check_files()
        limit = _EXPIRY.pack(max(0, int(now * 1e6)))

        def remove(transaction: Transaction) -> list[tuple[Kind, bytes]]:
            txn = transaction._txn  # type: ignore[attr-defined]  # noqa: SLF001 our own transaction, one call above
            gone: list[tuple[Kind, bytes]] = []
            for kind in Kind:
                gone.extend(self._purge_kind(txn, kind, limit))
            return gone

        return self.transact(remove)

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

    def _purge_kind(self, txn: lmdb.Transaction, kind: Kind, limit: bytes) -> list[tuple[Kind, bytes]]:
        prefix = bytes([kind])
        gone: list[tuple[Kind, bytes]] = []
        with txn.cursor(self._expiry) as cursor:
            found = cursor.set_range(prefix)
            while found:
                key = bytes(cursor.key())
                if key[:1] != prefix or key[1:9] > limit:
                    break
                record = txn.pop(key[9:], db=self._dbs[kind])
                if record is not None:
                    gone.append((kind, bytes(record[8:])))
                found = cursor.delete()
        return gone

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


def _failed(error: lmdb.Error) -> StoreError:
    return StoreError(f"the host ledger failed ({type(error).__name__})")


class _HostTransaction:
    """A write transaction that keeps the expiry index in step."""

    __slots__ = ("_store", "_txn")

    def __init__(self, store: HostStore, txn: lmdb.Transaction) -> None:
        self._store = store
        self._txn = txn

    def get(self, kind: Kind, digest: bytes) -> bytes | None:
        found = self._txn.get(digest, db=self._store._dbs[kind])  # noqa: SLF001 the store and its transaction are one unit
        return None if found is None else bytes(found[8:])

    def put(self, kind: Kind, digest: bytes, record: bytes, expires_at: float) -> None:
        store, txn = self._store, self._txn
        db = store._dbs[kind]  # noqa: SLF001 the store and its transaction are one unit
        expiry = _EXPIRY.pack(max(0, int(expires_at * 1e6)))
        before = txn.get(digest, db=db)
        if before is None:
            self._make_room(kind)
        elif before[:8] != expiry:
            txn.delete(bytes([kind]) + before[:8] + digest, db=store._expiry)  # noqa: SLF001 as above
        txn.put(digest, expiry + record, db=db)
        if before is None or before[:8] != expiry:
            txn.put(bytes([kind]) + expiry + digest, b"", db=store._expiry)  # noqa: SLF001 as above

    def _make_room(self, kind: Kind) -> None:
        store, txn = self._store, self._txn
        db = store._dbs[kind]  # noqa: SLF001 the store and its transaction are one unit
        if txn.stat(db)["entries"] < store.size:
            return
        with txn.cursor(store._expiry) as cursor:  # noqa: SLF001 as above
            if cursor.set_range(bytes([kind])) and cursor.key()[:1] == bytes([kind]):
                txn.delete(bytes(cursor.key())[9:], db=db)
                cursor.delete()
                store._evicted[kind] += 1  # noqa: SLF001 as above

    def delete(self, kind: Kind, digest: bytes) -> bool:
        before = self._txn.pop(digest, db=self._store._dbs[kind])  # noqa: SLF001 the store and its transaction are one unit
        if before is None:
            return False
        self._txn.delete(bytes([kind]) + before[:8] + digest, db=self._store._expiry)  # noqa: SLF001 as above
        return True
