"""What an operation moves, worked out once for all operations with the same facts.

A kind's and a case's moves ask many facts, and most operations give the same answers: a plan keeps where they lead to,
the very series and events. It knows label values alone; what is measured each time, and digests, are no part of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from otel_oauth._remembered import Remembered

if TYPE_CHECKING:
    from collections.abc import Collection

    from opentelemetry.context import Context

    from otel_oauth._remembered import Facts
    from otel_oauth.cases import Case
    from otel_oauth.cells import Cell, Table
    from otel_oauth.durations import Durations
    from otel_oauth.events import Event
    from otel_oauth.kinds import OperationKind


class Plan(NamedTuple):
    """What one operation moves.

    :param cells: the counters.
    :param own: the histograms that take the operation's own duration.
    :param told: the histograms that take the seconds of a fact; with whether its absence means the own duration.
    :param events: the events that it is, of those that may leave.
    """

    cells: tuple[Cell, ...]
    own: tuple[Durations, ...]
    told: tuple[tuple[Durations, str, bool], ...]
    events: tuple[Event, ...]


class Plans(Remembered[Plan]):
    """The plans of one table of series, by kind and case.

    :param table: the series; they stay what they are in a forked child, and so do the plans.
    :param leaving: the events that may leave at all.
    """

    def __init__(self, table: Table, leaving: Collection[Event]) -> None:
        super().__init__(self._made, _deciding)
        self._table = table
        self._leaving = leaving

    def apply(self, plan: Plan, facts: Facts, seconds: float, context: Context | None) -> None:
        """Move what an operation moves that took ``seconds``; ``context`` is the exemplar."""
        if plan.cells:
            self._table.add_to(plan.cells, context)
        for series in plan.own:
            series.add(seconds, context)
        for series, fact, or_own in plan.told:
            value = facts.get(fact, seconds if or_own else None)
            if isinstance(value, (int, float)):
                # Never negative: the start of a flow may come from another host's clock.
                series.add(max(0.0, value), context)

    def _made(self, facts: Facts, kind: OperationKind, case: Case | None) -> tuple[Plan, bool]:
        """Return the plan, and whether each series is the one of its label values, none of them ``other`` instead."""
        table, lasting = self._table, True
        cells, own, told, events = [], [], [], []
        for move in kind.moves if case is None else kind.moves + case.moves:
            if move.when is not None and not facts.get(move.when):
                continue
            key = move.key(facts)
            if move.counts:
                cells.append(table.cell(move.metric, key))
                event = None if move.rule is None else move.rule.event(key)
                if event is not None:
                    events.append(event)
            elif move.value is None:
                own.append(table.durations(move.metric, key))
            else:
                told.append((table.durations(move.metric, key), move.value, move.or_own))
            lasting = lasting and table.has_own(move.metric, key)
        if case is not None and case.event is not None:
            events.append(case.event)
        events += [occurrence.event for occurrence in kind.occurrences if occurrence.happened(facts)]
        leaving = tuple(event for event in events if event in self._leaving)
        return Plan(tuple(cells), tuple(own), tuple(told), leaving), lasting


def _deciding(kind: OperationKind, case: Case | None) -> Collection[str]:
    return kind.reads if case is None else kind.reads | case.reads
