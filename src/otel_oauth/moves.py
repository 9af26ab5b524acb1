"""Moves: which catalogue row one outcome feeds, with which labels, as data.

A move names a metric, a source for each of its labels (a literal, or a :class:`Fact` that the operation knows), and the
fact that must hold for it. Operation kinds and cases are tuples of moves, so that the decision table of the
specification reads the same in the code.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import itemgetter
from typing import TYPE_CHECKING

from otel_oauth.events import rule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from otel_oauth.catalogue import Metric
    from otel_oauth.events import Rule


class Fact(str):
    """The name of a fact of an operation, where a label's value is taken from it instead of being a literal."""

    __slots__ = ()


@dataclass(frozen=True, eq=False, repr=False)
class Move:
    """One increment or one recorded value.

    :param metric: the catalogue entry that moves.
    :param labels: a literal or a :class:`Fact` for each label of the metric, in its order.
    :param when: the fact that must be true for the move to happen; ``None``: always.
    :param value: for histograms, the fact that holds the seconds to record; ``None``: the operation's own duration.
    :param or_own: where that fact is missing, the operation's own duration is recorded instead of nothing.
    """

    metric: Metric
    labels: tuple[str, ...] = ()
    when: str | None = None
    value: str | None = None
    or_own: bool = False

    def __post_init__(self) -> None:
        """Check the number of labels and prepare the key, at import time of the tables."""
        if len(self.labels) != len(self.metric.labels):
            msg = f"{self.metric.name} has {len(self.metric.labels)} labels, the move gives {len(self.labels)}"
            raise ValueError(msg)

        names = [str(part) for part in self.labels if type(part) is Fact]
        object.__setattr__(self, "counts", self.metric.kind == "counter")
        object.__setattr__(self, "rule", rule(self.metric))
        object.__setattr__(self, "_facts", _getter(names) if len(names) == len(self.labels) else None)

    counts: bool = field(init=False, default=False)
    """Whether the metric is a counter."""

    rule: Rule | None = field(init=False, default=None)
    """What event the increment is, where it is one."""

    _facts: Callable[[Mapping[str, object]], tuple[str, ...]] | None = field(init=False, default=None)

    def key(self, facts: Mapping[str, object]) -> tuple[str, ...]:
        """Return the label values of this move under ``facts``; a fact that is missing is given as ``other``."""
        if self._facts is not None:
            try:
                return self._facts(facts)
            except KeyError:
                pass
        return tuple([str(facts.get(part, "other")) if type(part) is Fact else part for part in self.labels])


def _getter(names: Sequence[str]) -> Callable[[Mapping[str, object]], tuple[str, ...]] | None:
    if len(names) == 1:
        (name,) = names
        return lambda facts: (facts[name],)  # type: ignore[return-value]  # a fact that is a label is text
    return itemgetter(*names) if names else None


def facts_of(moves: Iterable[Move]) -> Iterator[str]:
    """Yield the names of the facts that decide whether and where these moves happen; not of the values they record."""
    for move in moves:
        if move.when is not None:
            yield move.when
        # As plain text, which a dict looks up in a third of the time.
        yield from (str(part) for part in move.labels if type(part) is Fact)
