"""Whose turn it is to write to a host's ledger: a lock between threads and processes that nobody waits for for ever.

LMDB has a lock of its own for writers, and waits for it without an end: a process that is stopped (a debugger, a frozen
container) in the middle of a change would stop the logins of all others. So each writer takes this one before.
"""

from __future__ import annotations

import os
import threading
import time
from itertools import chain, repeat
from typing import TYPE_CHECKING

from otel_oauth.ledger._store import StoreAwayError, StoreError

try:
    from fcntl import LOCK_EX, LOCK_NB, LOCK_UN, flock

    _BETWEEN_PROCESSES = True
except ImportError:  # a system without it: threads take turns here, processes by LMDB's own lock
    _BETWEEN_PROCESSES = False

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

_LONGEST_SECONDS = 0.5
_PAUSES = (0.0001, 0.0005, 0.002)


class Turn:
    """A lock on the file ``path``; the kernel takes it from a process that ends.

    :raises OSError: if the file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._threads = threading.Lock()

    def __enter__(self) -> None:
        """Wait at most half a second.

        :raises StoreAwayError: if the turn does not come.
        """
        if self._threads.acquire(blocking=False):
            taken = False
            try:
                taken = self._take()
            finally:
                if not taken:
                    self._threads.release()
            if taken:
                return
        self._wait()

    def _wait(self) -> None:
        until = time.monotonic() + _LONGEST_SECONDS
        first = self._threads.acquire(timeout=_LONGEST_SECONDS)
        taken = False
        try:
            for pause in chain(_PAUSES, repeat(_PAUSES[-1])):
                taken = first and self._take()
                if taken:
                    return
                if time.monotonic() > until:
                    msg = "the host ledger is locked by a process that does not go on"
                    raise StoreAwayError(msg)
                time.sleep(pause)
        finally:
            if first and not taken:
                self._threads.release()

    def _take(self) -> bool:
        if _BETWEEN_PROCESSES:
            try:
                flock(self._file, LOCK_EX | LOCK_NB)
            except BlockingIOError:
                return False
            except OSError as error:
                msg = f"the host ledger cannot be locked ({error.strerror})"
                raise StoreError(msg) from None
        return True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if _BETWEEN_PROCESSES:
            flock(self._file, LOCK_UN)
        self._threads.release()

    def close(self) -> None:
        """Close the file, once; in a forked child this leaves the lock to the parent."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
