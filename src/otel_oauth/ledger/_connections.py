"""Connections to Redis that nobody waits for longer than a bound.

A pool of the client library connects in the thread that asks, and there neither the look-up of the name nor several
addresses are bounded by its time-outs. Here a connection is made by a thread of its own, and who needs one waits for
it at most ``wait`` seconds; what comes later serves the next.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, TypeVar

import redis
from redis.connection import Connection, parse_url

from otel_oauth.ledger._store import StoreAwayError, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_MOST = 16
_CONNECT_SECONDS = 5.0


class Connections:
    """At most sixteen connections of this process to one Redis; a forked child makes its own.

    :param address: ``redis://`` or ``rediss://``; it never appears in an error or a ``repr``.
    :param wait: seconds to wait at most for a connection, and for an answer.
    :param greet: called with each new connection, in the thread that makes it.
    :raises StoreError: if the address has options that redis does not know.
    """

    def __init__(self, address: str, wait: float, greet: Callable[[Any], None]) -> None:
        options: dict[str, Any] = parse_url(address)  # type: ignore[no-untyped-call]  # not typed there
        self._class: Callable[..., Any] = options.pop("connection_class", Connection)
        self._options = {**options, "protocol": 2, "socket_timeout": wait, "socket_connect_timeout": _CONNECT_SECONDS}
        self._wait = wait
        self._greet = greet
        try:
            self._class(**self._options)
        except (redis.RedisError, TypeError, ValueError) as error:
            raise StoreError(_cannot_be_used(error)) from None
        self._start_over()

    def _start_over(self) -> None:
        self._changed = threading.Condition()
        self._free: list[Any] = []
        self._open = self._making = self._waiting = 0
        self._failures = 0
        self._reason = ""

    def run(self, work: Callable[[Any], T]) -> T:
        """Return what ``work`` does with a connection; tried once more if Redis had closed it while it was idle.

        :raises StoreAwayError: if there is no connection or no answer in time, or Redis answers with an error.
        """
        try:
            return self._run_once(work)
        except redis.ConnectionError:
            self.drop()
        except redis.RedisError as error:
            self.drop()
            raise _away(error) from None
        try:
            return self._run_once(work)
        except redis.RedisError as error:
            raise _away(error) from None

    def _run_once(self, work: Callable[[Any], T]) -> T:
        changed, connection = self._changed, self._take()
        healthy = False
        try:
            result = work(connection)
            healthy = True
            return result
        finally:
            # Also after a time-out of gevent or a signal: an answer that was not read would be the next one's.
            with changed:
                if healthy and changed is self._changed:
                    self._free.append(connection)
                    changed.notify()
                elif changed is self._changed:
                    self._open -= 1
            if not healthy:
                connection.disconnect()

    def _take(self) -> Any:  # noqa: ANN401 the connection classes of redis have no common public type
        until = time.monotonic() + self._wait
        with self._changed:
            failures = self._failures
            self._waiting += 1
            try:
                while not self._free and self._failures == failures and (left := until - time.monotonic()) > 0:
                    if self._making < self._waiting and self._open < _MOST:
                        self._grow()
                    self._changed.wait(left)
            finally:
                self._waiting -= 1
            if self._free:
                return self._free.pop()
            reason = self._reason if self._failures != failures else ""
        raise StoreAwayError(reason or f"the ledger in Redis gave no connection within {self._wait:g} s")

    def _grow(self) -> None:
        connection = self._class(**self._options)
        maker = threading.Thread(
            target=self._connect, args=(self._changed, connection), name="otel-oauth-redis", daemon=True
        )
        try:
            maker.start()
        except RuntimeError as error:  # the interpreter ends, or the process may have no more threads
            raise _away(error) from None
        self._open += 1
        self._making += 1

    def _connect(self, changed: threading.Condition, connection: Any) -> None:  # noqa: ANN401 as above
        try:
            connection.connect()
            self._greet(connection)
        except (StoreError, redis.RedisError, OSError, ValueError) as error:
            connection.disconnect()
            reason = str(error) if isinstance(error, StoreError) else _cannot_be_used(error)
        else:
            reason = ""
        with changed:
            if changed is not self._changed:  # the process forked; under gevent its greenlets go on in the child
                connection.disconnect()
                return
            self._making -= 1
            if reason:
                self._open -= 1
                self._failures += 1
                self._reason = reason
            else:
                self._free.append(connection)
            changed.notify_all()

    def drop(self) -> None:
        """Close what is idle: where one connection broke, the others may have."""
        with self._changed:
            idle, self._free = self._free, []
            self._open -= len(idle)
        for connection in idle:
            connection.disconnect()

    def after_fork(self) -> None:
        """Leave the parent's connections to the parent."""
        inherited = self._free
        self._start_over()
        for connection in inherited:
            connection.disconnect()  # in a child this closes the copy and tells the server nothing

    def close(self) -> None:
        """Close all that is idle; what is in use is closed when it comes back."""
        self.drop()


def _cannot_be_used(error: Exception) -> str:
    # The type alone: what a server answers may repeat what it was sent.
    return f"the ledger in Redis cannot be used ({type(error).__name__})"


def _away(error: Exception) -> StoreAwayError:
    return StoreAwayError(_cannot_be_used(error))
