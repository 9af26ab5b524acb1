"""The body of a response, seen when the application reads it, and never read for it.

A response whose body is not there yet gets a ``read`` and a ``close`` (``aread``, ``aclose``) of its own, which take
themselves off before they do what the response's own do. Whoever streams the body closes the response at the end,
so that the end is seen, and not the body.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    Ended = Callable[["bytes | None", "BaseException | None"], None]


def buffered(message: Any) -> bytes | None:  # noqa: ANN401 a request or response of httpx or httpx2
    """Return the body of a message that holds it; ``None`` for one that would have to be read."""
    found = getattr(message, "_content", None)
    return found if isinstance(found, bytes) else None


def observe(response: Any, ended: Ended, lost: Callable[[], None], reading: Reading) -> None:  # noqa: ANN401 a response of httpx or httpx2
    """Call ``ended(body, error)`` once, when the response was read or closed; the body is ``None`` if it was not read.

    :param lost: called instead if the response goes away without having been read or closed.
    """
    observed = _Observed(response, ended, lost)
    observed.put({name: reading.once(observed, getattr(response, name)) for name in reading.names})


def _once(observed: _Observed, original: Callable[[], Any]) -> Callable[[], Any]:
    def once() -> Any:  # noqa: ANN401 what the response returns
        with _End(observed):
            return original()

    return once


def _async_once(observed: _Observed, original: Callable[[], Any]) -> Callable[[], Any]:
    async def once() -> Any:  # noqa: ANN401 as above
        with _End(observed):
            return await original()

    return once


class Reading(NamedTuple):
    """How a response of a client is read: by a call or by an awaited one.

    :param names: the methods that read and close it.
    :param once: makes what stands in the place of such a method, once.
    """

    names: tuple[str, str]
    once: Callable[[_Observed, Callable[[], Any]], Callable[[], Any]]


CALLED = Reading(("read", "close"), _once)
AWAITED = Reading(("aread", "aclose"), _async_once)


class _Observed:
    """A response that somebody is going to read or close; the response alone keeps it, and takes it with it."""

    def __init__(self, response: Any, ended: Ended, lost: Callable[[], None]) -> None:  # noqa: ANN401 as above
        self._held = response.__dict__
        self._before: dict[str, Any] = {}
        self._ours: dict[str, Any] = {}
        self._lost = lost
        self.ended = ended

    def __del__(self) -> None:
        if self._ours and not sys.is_finalizing():
            self._lost()

    def put(self, ours: dict[str, Any]) -> None:
        """Put our own methods on the response."""
        self._before = {name: self._held[name] for name in ours if name in self._held}
        self._ours = ours
        self._held.update(ours)

    def off(self) -> bool:
        """Take our methods off again; tell whether this is the first time."""
        if not self._ours:
            return False
        ours, self._ours = self._ours, {}
        for name, method in ours.items():
            if self._held.get(name) is method:
                del self._held[name]
                self._held.update({name: self._before[name]} if name in self._before else {})
        return True

    @property
    def body(self) -> bytes | None:
        """The body, if it was read."""
        found = self._held.get("_content")
        return found if isinstance(found, bytes) else None


class _End:
    """The first call that reads or closes the response, as a ``with`` block."""

    def __init__(self, observed: _Observed) -> None:
        self._observed = observed
        self._first = False

    def __enter__(self) -> None:
        self._first = self._observed.off()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._first:
            self._observed.ended(self._observed.body if error is None else None, error)
