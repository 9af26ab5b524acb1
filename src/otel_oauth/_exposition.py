"""Whether one process may answer for all: one worker's figures must never look like the application's.

Three things make a scrape partial: the process was forked after its reader was made, a forked child has
recorded OAuth operations that this process does not see, or sibling workers serve the same address.
"""

from __future__ import annotations

import logging
import mmap
import os
import threading
import weakref
from typing import TYPE_CHECKING, Any

from otel_oauth._forks import living
from otel_oauth.ledger import StoreError, private_directory, service_directory
from otel_oauth.settings import service_key

try:
    import fcntl
except ImportError:  # a system without fork and without prefork servers
    fcntl = None  # type: ignore[assignment]  # its absence is asked for below

if TYPE_CHECKING:
    from pathlib import Path

_log = logging.getLogger("otel_oauth")

_GROUP_BYTES = 1 << 22  # one byte for each process id of a group; group number: the id of the parent
_INSTEAD = "Export over OTLP, whose series carry service.instance.id, or give each process an address of its own."

FORKED = "This process was forked after its metrics reader was made, so it has only its own figures. " + _INSTEAD
CHILDREN = "A forked child of this process has recorded OAuth operations which are not in these figures. " + _INSTEAD
SIBLINGS = "Several worker processes serve this address, each with its own figures only. " + _INSTEAD


class Watch:
    """The process that made a reader, and what it can know of others that record beside it."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._page = mmap.mmap(-1, 1)  # shared with children: they write, the maker reads
        self._said: set[str] = set()
        self._lock = threading.Lock()
        _watches.add(self)

    @property
    def here(self) -> bool:
        """Whether this is the process that made it."""
        return os.getpid() == self._pid

    def refusal(self, *, shared_address: bool = False, several: bool = False) -> str | None:
        """Return why these figures must not be served, or ``None``; the first time it is also logged.

        :param shared_address: the figures go out on the application's own address, which sibling workers may
            share.
        :param several: the server says that it runs several processes (PEP 3333, ``wsgi.multiprocess``).
        """
        reason = None
        if not self.here:
            reason = FORKED
        elif self._page[0]:
            reason = CHILDREN
        elif shared_address and (several or siblings_recording()):
            reason = SIBLINGS
        if reason is not None:
            self._say(reason)
        return reason

    def _say(self, reason: str) -> None:
        with self._lock:
            if reason in self._said:
                return
            self._said.add(reason)
        _log.warning("otel-oauth: /metrics answers 503: %s", reason)

    def in_child(self) -> None:
        """Tell the maker when this forked child records its first OAuth operation."""
        self._lock = threading.Lock()
        for telemetry in list(living):
            _tell_first(telemetry.table, "add_to", self._page)
            _tell_first(telemetry.recorder, "add", self._page)


def _tell_first(place: Any, name: str, page: mmap.mmap) -> None:  # noqa: ANN401 instance attributes shadow its method
    # A shadow of the method that removes itself: the hundred nanoseconds of an increment are not paid for
    # this.
    def first(*args: Any, **arguments: Any) -> None:  # noqa: ANN401 passed on
        vars(place).pop(name, None)
        page[0] = 1
        getattr(place, name)(*args, **arguments)

    vars(place)[name] = first


_watches: weakref.WeakSet[Watch] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    global _place  # noqa: PLW0603 the parent's lock on its byte is not the child's
    _place = None
    for watch in list(_watches):
        watch.in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


# Siblings: each process that serves on a shared address locks one byte in the range of its parent -----------

_place: int | None = None
_place_lock = threading.Lock()


def join_siblings() -> None:
    """Let the other workers of the same parent know that this process serves its figures beside them."""
    global _place  # noqa: PLW0603 the descriptor lives as long as the process: closing it would drop the lock
    if fcntl is None:
        return  # type: ignore[unreachable]  # not where mypy runs
    with _place_lock:
        if _place is not None:
            return
        try:
            path = private_directory(service_directory(service_key())) / "exposition.lock"
            _place = _locked(path)
        except (OSError, StoreError):
            _log.warning("otel-oauth: sibling workers cannot be told apart here, /metrics answers for this process")


def _locked(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    fcntl.lockf(descriptor, fcntl.LOCK_EX, 1, os.getppid() * _GROUP_BYTES + os.getpid() % _GROUP_BYTES)
    return descriptor


def siblings_recording() -> bool:
    """Tell whether another process of the same parent has joined."""
    if _place is None:
        return False
    start, own = os.getppid() * _GROUP_BYTES, os.getpid() % _GROUP_BYTES
    with _place_lock:
        return not (_free(_place, start, own) and _free(_place, start + own + 1, _GROUP_BYTES - own - 1))


def _free(descriptor: int, start: int, length: int) -> bool:
    if length == 0:
        return True
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, length, start)
    except OSError:
        return False
    fcntl.lockf(descriptor, fcntl.LOCK_UN, length, start)
    return True
