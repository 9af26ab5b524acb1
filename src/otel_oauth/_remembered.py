"""What follows from the values of an operation's facts, worked out once for equal ones."""

from __future__ import annotations

from collections.abc import Mapping
from operator import itemgetter
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

Facts = Mapping[str, object]
Made = TypeVar("Made")

_MOST = 2048
"""So many results are kept at the most: then they are made anew."""


class _Shape(Generic[Made]):
    """Operations that know the same facts: what was made for each of their values.

    :param names: the facts that decide.
    """

    __slots__ = ("known", "values")

    def __init__(self, names: Sequence[str]) -> None:
        self.values: Callable[[Facts], object] = itemgetter(*names) if names else _nothing
        self.known: dict[object, Made] = {}


def _nothing(_facts: Facts) -> None:
    """Return the one key where no fact decides."""


class Remembered(Generic[Made]):
    """What follows from the values of some facts, made once for equal ones.

    :param make: makes it, and tells whether it may be kept; its first argument are the facts.
    :param deciding: returns the names of the facts that decide, for the other arguments of ``make``.
    """

    def __init__(self, make: Callable[..., tuple[Made, bool]], deciding: Callable[..., Collection[str]]) -> None:
        self._make = make
        self._deciding = deciding
        self._shapes: dict[tuple[object, ...], _Shape[Made]] = {}
        self._kept = 0

    def of(self, facts: Facts, *about: object) -> Made:
        """Return what follows from the facts."""
        # By the names of all facts first: they are fewer than those that could decide, most of which are not there.
        names = (*about, *facts)
        shape = self._shapes.get(names)
        if shape is None:
            deciding = self._deciding(*about)
            shape = self._shapes[names] = _Shape([name for name in facts if name in deciding])
        values = shape.values(facts)
        found = shape.known.get(values)
        if found is None:
            found, lasting = self._make(facts, *about)
            if lasting:
                self._keep(shape, values, found)
        return found

    def _keep(self, shape: _Shape[Made], values: object, made: Made) -> None:
        self._kept += 1
        if self._kept > _MOST:
            self._kept, self._shapes = 0, {}
        else:
            shape.known[values] = made
