"""Operations whose HTTP request may go on in another call, where no framework tells its end.

An application shows a consent page and answers the authorization with two calls, in one HTTP request or in two;
each HTTP request counts once. What the two calls have in common (the framework's request, the grant) tells that
they belong together. If nobody comes back, the operation is completed at a collection a second later or more, half a
minute later where nothing collects, or when the program ends: as of when it was left.
"""

from __future__ import annotations

import atexit
import weakref
from collections import deque
from time import perf_counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_oauth.operation import Operation

_BOUND = 1024
_MOST_CALLS = 16_384
_PATIENCE_SECONDS = 10.0


class Postponed:
    """Operations that wait, by the objects that their next call will bring.

    :param lost: called for each call that was given up because too many waited.
    """

    def __init__(self, lost: Callable[[], None]) -> None:
        # Whoever takes the operation out of its list owns it: the request that goes on, or a collection.
        self._waiting: dict[int, tuple[weakref.ref[Any], list[Operation]]] = {}
        self._calls: deque[Callable[[], object]] = deque()
        self._lost = lost
        self._given_up = 0
        self._at_exit: Callable[[], None] | None = None

    def wait(self, operation: Operation, *marks: object) -> bool:
        """Keep a deferred operation until a call brings one of ``marks``; tell whether one can be remembered."""
        owned = [operation]
        kept = False
        for mark in marks:
            try:
                reference = weakref.ref(mark)
            except TypeError:
                continue
            self._give_up(id(mark))
            self._waiting[id(mark)] = reference, owned
            kept = True
        if self._at_exit is None:
            self._register()
        if len(self._waiting) > _BOUND:
            for mark in list(self._waiting)[: len(self._waiting) - _BOUND]:
                self._give_up(mark)
        return kept

    def _register(self) -> None:
        """See to it that nothing waits at the provider's last collection: handlers run in reverse order."""
        reference = weakref.ref(self)

        def finish() -> None:
            postponed = reference()
            if postponed is not None:
                postponed.flush()

        self._at_exit = atexit.register(finish)

    def back(self, *marks: object) -> Operation | None:
        """Return the operation that waits for one of ``marks``; it waits no longer."""
        for mark in marks:
            reference, owned = self._waiting.get(id(mark), (None, []))
            if reference is not None and reference() is mark:
                self._waiting.pop(id(mark), None)
                return _taken(owned)
        return None

    def make_later(self, call: Callable[[], object]) -> None:
        """Have ``call``, which must not raise, made at the next collection or operation, or half a minute later.

        For finalizers: the garbage collector runs them in the middle of anything, under any lock and, before Python
        3.12, while a context is being changed. This takes no lock and enters no context.
        """
        if len(self._calls) < _MOST_CALLS:
            self._calls.append(call)
        else:
            self._given_up += 1

    def _make_calls(self) -> None:
        for _ in range(len(self._calls)):
            try:
                call = self._calls.popleft()
            except IndexError:
                return
            call()
        given_up, self._given_up = self._given_up, 0
        for _ in range(given_up):
            self._lost()

    def flush(self) -> None:
        """Complete what waits."""
        self._make_calls()
        for mark in list(self._waiting):
            self._give_up(mark)

    def sweep(self, seconds: float = _PATIENCE_SECONDS) -> None:
        """Complete what was left so many seconds ago: that HTTP request is over."""
        self._make_calls()
        limit = perf_counter() - seconds
        for mark in list(self._waiting):
            _, owned = self._waiting.get(mark, (None, []))
            if all(operation.left_at < limit for operation in list(owned)):
                self._give_up(mark)

    def after_fork(self) -> None:
        """Forget what the parent waits for."""
        self._given_up = 0
        self._calls.clear()
        self._waiting.clear()

    def close(self) -> None:
        """Complete what waits; nothing is to be postponed afterwards."""
        self.flush()
        if self._at_exit is not None:
            atexit.unregister(self._at_exit)

    def _give_up(self, mark: int) -> None:
        _, owned = self._waiting.pop(mark, (None, []))
        operation = _taken(owned)
        if operation is not None:
            operation.complete_as_left()


def _taken(owned: list[Operation]) -> Operation | None:
    try:
        return owned.pop()
    except IndexError:
        return None
