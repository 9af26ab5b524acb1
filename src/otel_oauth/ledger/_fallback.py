"""The store in force: the one that was asked for, or memory while that one cannot be used.

Nobody who waits for an answer pays twice for a store that is away: the first access that fails puts memory in its
place, and only :meth:`Fallback.recover`, called beside the requests, asks the store again. What changes meanwhile is
kept, as the changes themselves, and applied to the store when it is back.
"""

from __future__ import annotations

import logging
import struct
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, TypeVar

from otel_oauth.ledger._entry import Kind
from otel_oauth.ledger._memory import MemoryStore
from otel_oauth.ledger._store import Store, StoreAwayError, StoreError, Transaction

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_oauth.ledger._entry import Record

A = TypeVar("A")
T = TypeVar("T")

_log = logging.getLogger("otel_oauth")

_MOST_CHANGES = 10_000
_LAST_CHANGES = 50
"""So many may be applied while requests wait for it: some milliseconds."""

_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 60.0


class Fallback:
    """A store, and memory in its place when it fails: for good, or until it is back after :class:`StoreAwayError`.

    :param store: the store that was asked for.
    :param on_loss: called each time that the store is lost.
    """

    def __init__(self, store: Store, on_loss: Callable[[], None]) -> None:
        self.current = store
        if store.shared == 0:
            # Nothing can take the place of memory, so nobody is asked before it is.
            self.transact = store.transact  # type: ignore[method-assign]  # the same, one frame less on each request
            self.get = store.get  # type: ignore[method-assign]  # as above
        self._on_loss = on_loss
        self._away: Store | None = None
        self._changes: deque[tuple[Callable[[Transaction, Any], object], Any]] = deque()
        self._pause = _FIRST_PAUSE_SECONDS
        self._ask_at = self._back_at = 0.0
        self._make_locks()

    def _make_locks(self) -> None:
        # Reentrant: a collected coroutine may end its operation in the middle of a change.
        self._switching = threading.RLock()
        self._recovering = threading.Lock()

    def transact(self, change: Callable[[Transaction, A], T], about: A) -> T:
        """Run ``change`` on the store in force; see :class:`Store`."""
        if self._away is not None:
            with self._switching:
                if self._away is not None:
                    if len(self._changes) >= _MOST_CHANGES:
                        self._changes.popleft()
                    self._changes.append((change, about))
                    return self.current.transact(change, about)
        store = self.current
        try:
            return store.transact(change, about)
        except (StoreError, struct.error) as error:
            self._lose(store, error)
        return self.transact(change, about)

    def get(self, kind: Kind, digest: bytes) -> Record | None:
        """Return a record from the store in force; see :class:`Store`."""
        store = self.current
        try:
            return store.get(kind, digest)
        except (StoreError, struct.error) as error:
            self._lose(store, error)
        return self.current.get(kind, digest)

    def use(self, act: Callable[[Store], T]) -> T:
        """Return what ``act`` reads from the store in force; it must not change a record."""
        store = self.current
        try:
            return act(store)
        except (StoreError, struct.error) as error:
            self._lose(store, error)
        return act(self.current)

    def _lose(self, store: Store, error: StoreError | struct.error) -> None:
        if store.shared == 0:
            raise error
        away = isinstance(error, StoreAwayError)
        with self._switching:
            if self.current is not store:
                return  # another thread was first
            self.current = _memory_like(store)
            if away:
                self._away = store
                self._plan(again=time.monotonic() - self._back_at < _LONGEST_PAUSE_SECONDS)
        self._on_loss()
        reason = error if isinstance(error, StoreError) else "a record of the ledger is damaged or of another version"
        until = "until it is back" if away else "from now on"
        _log.warning(
            "otel-oauth: %s; %s this process remembers codes, tokens and states only for itself", reason, until
        )

    def _plan(self, *, again: bool) -> None:
        # A store that comes and goes is asked less and less, so that neither the log nor a request pays for it.
        self._pause = min(2 * self._pause, _LONGEST_PAUSE_SECONDS) if again else _FIRST_PAUSE_SECONDS
        self._ask_at = time.monotonic() + self._pause

    def recover(self) -> None:
        """Go back to a store that was away if it answers again; asks it at most once a second, then less often.

        Called where no request waits: by the recorder's thread and at each collection.
        """
        away = self._away
        if away is None or time.monotonic() < self._ask_at or not self._recovering.acquire(blocking=False):
            return
        try:
            away.transact(_touch, bytes(16))
            self._catch_up(away)
        except (StoreError, struct.error):
            self._plan(again=True)
        else:
            self._back_at = time.monotonic()
            _log.warning("otel-oauth: the ledger is back, this process shares its codes, tokens and states again")
        finally:
            self._recovering.release()

    def _catch_up(self, away: Store) -> None:
        if away.key != self.current.key:
            self._changes.clear()  # the store was made anew, by others: our digests mean nothing there
        for _ in range(_MOST_CHANGES):
            if len(self._changes) <= _LAST_CHANGES:
                break
            self._apply(away)
        with self._switching:
            # Few are left, unless more came than Redis took: those are given up, the process must come back some time.
            for _ in range(min(len(self._changes), _LAST_CHANGES)):
                self._apply(away)
            self._changes.clear()
            self.current, self._away = away, None

    def _apply(self, away: Store) -> None:
        change, about = self._changes.popleft()
        try:
            away.transact(change, about)
        except StoreAwayError:
            self._changes.appendleft((change, about))
            raise

    def after_fork(self) -> None:
        """Make the store usable in a forked child, which leaves the parent's changes to the parent."""
        self._make_locks()
        self._changes.clear()
        if self._away is not None:
            self._away.after_fork()
            self.current = _memory_like(self._away)
            return
        store = self.current
        try:
            store.after_fork()
        except StoreError as error:
            self._lose(store, error)

    def close(self) -> None:
        """Give the resources of the store back."""
        self.current.close()
        if self._away is not None:
            self._away.close()


def _touch(txn: Transaction, nobody: bytes) -> None:
    """Change nothing, as a change that a store cannot answer from what it knows."""
    txn.delete(Kind.CLIENT, nobody)


def _memory_like(store: Store) -> MemoryStore:
    """Return memory of the same size whose digests the store would understand."""
    memory = MemoryStore(store.size)
    memory.key = store.key
    return memory
