"""Moves: which catalogue row one outcome feeds, with which labels, as data.

A move names a metric, a source for each of its labels (a literal, or a :class:`Fact` that the operation knows), and the
fact that must hold for it. Operation kinds and cases are tuples of moves, so that the decision table of the
specification reads the same in the code.
"""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Final

from otel_oauth.events import rule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from otel_oauth.catalogue import Metric


class Fact(str):
    """The name of a fact of an operation, where a label's value is taken from it instead of being a literal."""

    __slots__ = ()


class Move:
    """One increment or one recorded value.

    :param metric: the catalogue entry that moves.
    :param labels: a literal or a :class:`Fact` for each label of the metric, in its order.
    :param when: the fact that must be true for the move to happen; ``None``: always.
    :param value: for histograms, the fact that holds the seconds to record; ``None``: the operation's own duration.
    :param or_own: where that fact is missing, the operation's own duration is recorded instead of nothing.
    """

    def __init__(
        self,
        metric: Metric,
        labels: tuple[str, ...] = (),
        when: str | None = None,
        value: str | None = None,
        *,
        or_own: bool = False,
    ) -> None:
        if len(labels) != len(metric.labels):
            msg = f"{metric.name} has {len(metric.labels)} labels, the move gives {len(labels)}"
            raise ValueError(msg)
        self.metric: Final = metric
        self.labels: Final = labels
        self.when: Final = when
        self.value: Final = value
        self.or_own: Final = or_own
        self.counts: Final = metric.kind == "counter"
        """Whether the metric is a counter."""
        self.rule: Final = rule(metric)
        """What event the increment is, where it is one."""
        names = [str(part) for part in labels if type(part) is Fact]
        self._facts: Final = _getter(names) if len(names) == len(labels) else None

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
