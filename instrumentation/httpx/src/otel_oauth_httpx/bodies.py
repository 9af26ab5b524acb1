"""The body of a response, seen when the application reads it, and never read for it.

A response whose body is not there yet gets a ``read`` and a ``close`` (``aread``, ``aclose``) of its own, which take
themselves off before they do what the response's own do. Whoever streams the body closes the response at the end,
so that the end is seen, and not the body.
"""

from __future__ import annotations

import sys
from copy import deepcopy
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    Ended = Callable[["bytes | None", "BaseException | None"], None]


def buffered(message: Any) -> bytes | None:  # noqa: ANN401 a request or response of httpx or httpx2
    """Return the body of a message that holds it; ``None`` for one that would have to be read."""
    found = getattr(message, "_content", None)
    return found if isinstance(found, bytes) else None


def observe(response: Any, ended: Ended, lost: Callable[[], None], reading: type[Reading]) -> None:  # noqa: ANN401 a response of httpx or httpx2
    """Call ``ended(body, error)`` once, when the response was read or closed; the body is ``None`` if it was not read.

    :param lost: called instead if the response goes away without having been read or closed; by a finalizer, which may
        run in the middle of anything: it must take no lock and enter no context.
    """
    observed = _Observed(response, ended, lost)
    ours = reading(response, observed)
    observed.put({name: getattr(ours, name) for name in reading.names})


class Reading:
    """What stands in the place of the two methods that read and close a response, once.

    Bound methods of ours do: a copy or a pickle of the response gets its own methods in their place.

    :cvar names: the two methods.
    """

    names: ClassVar[tuple[str, str]]

    def __init__(self, response: Any, observed: _Observed | None) -> None:  # noqa: ANN401 a response of httpx or httpx2
        self._response = response
        self._observed = observed
        self._originals = [getattr(response, name) for name in self.names]

    def __reduce__(self) -> tuple[object, ...]:
        return _itself, (self._response,)

    def __deepcopy__(self, memo: dict[int, Any]) -> Reading:
        return type(self)(deepcopy(self._response, memo), None)


def _itself(response: Any) -> Any:  # noqa: ANN401 as above
    return response


class Called(Reading):
    """For a client whose calls return."""

    names = ("read", "close")

    def read(self) -> Any:  # noqa: ANN401 what the response returns
        """Do what the response's own method does, and see the end."""
        with _End(self._observed):
            return self._originals[0]()

    def close(self) -> Any:  # noqa: ANN401 as above
        """Do what the response's own method does, and see the end."""
        with _End(self._observed):
            return self._originals[1]()


class Awaited(Reading):
    """For a client whose calls are awaited."""

    names = ("aread", "aclose")

    async def aread(self) -> Any:  # noqa: ANN401 as above
        """Do what the response's own method does, and see the end."""
        with _End(self._observed):
            return await self._originals[0]()

    async def aclose(self) -> Any:  # noqa: ANN401 as above
        """Do what the response's own method does, and see the end."""
        with _End(self._observed):
            return await self._originals[1]()


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

    def __init__(self, observed: _Observed | None) -> None:
        self._observed = observed
        self._first = False

    def __enter__(self) -> None:
        self._first = self._observed is not None and self._observed.off()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._first and self._observed is not None:
            self._observed.ended(self._observed.body if error is None else None, error)
