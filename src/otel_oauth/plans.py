"""What an operation moves and tells, worked out once for all operations with the same facts.

A kind's and a case's moves ask many facts, and most operations give the same answers: a plan keeps where they lead to,
the very series, the attributes of the span and the events. It knows label values and other text of closed lists alone;
what is measured each time, and digests, are no part of it. What an operation measured waits with its plan, and moves
the series together with what others measured: when the recorder comes by, and before each collection.
"""

from __future__ import annotations

import weakref
from collections import deque
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Literal

from otel_oauth import vocabulary as v
from otel_oauth._described import Description
from otel_oauth.events import ATTRIBUTES, VARYING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from opentelemetry.context import Context

    from otel_oauth.cases import Case
    from otel_oauth.cells import Cell, Table
    from otel_oauth.durations import Durations
    from otel_oauth.emission import Told
    from otel_oauth.events import Event
    from otel_oauth.kinds import OperationKind
    from otel_oauth.recorder import Recorder

    Facts = Mapping[str, object]
    Telling = Callable[[Event, Facts], Told | None]
    Went = Literal["failed", "cancelled"] | None

MANY = 1024
"""So many operations that wait with one plan do not wait for the recorder's next turn."""

BOUND = 16 * MANY
"""Beyond so many whoever comes records them, one of each 1,024. The garbage collector may have brought it in the middle
of the SDK's own recording; so many it does not bring at once."""

_MOST = 2048
"""So many plans are kept at the most: then they are made anew."""

_PLAIN = frozenset((str, bool, int, float, type(None)))
_TOLD = (frozenset((*ATTRIBUTES, *v.SPAN_ATTRIBUTES, "http_status", "status"))) - VARYING
"""The facts that decide what is told of an operation."""


class Plan:
    """What one operation moves and tells. It may be kept: it stands in a forked child as well.

    :ivar cells: the counters.
    :ivar own: the histograms that take the operation's own duration.
    :ivar told: the histograms that take the seconds of a fact; with whether its absence means the own duration.
    :ivar events: the events that it is, of those that may leave.
    :ivar description: what its span says.
    """

    __slots__ = (
        *("__weakref__", "_pending", "_queued", "_recorder", "_table"),
        *("cells", "description", "events", "own", "told"),
    )

    def __init__(self, table: Table, recorder: Recorder, description: Description) -> None:
        self._table = table
        self._recorder = recorder
        self.description = description
        self.cells: tuple[Cell, ...] = ()
        self.own: tuple[Durations, ...] = ()
        self.told: tuple[tuple[Durations, str, bool], ...] = ()
        self.events: tuple[Told, ...] = ()
        self.after_fork()

    def after_fork(self) -> None:
        """Start empty in a forked child: the parent records what it measured."""
        self._pending: deque[tuple[Any, ...]] = deque()
        self._queued = False

    def take(self, seconds: float, context: Context | None, facts: Facts) -> None:
        """Have moved what an operation moves that took ``seconds``; ``context`` is the exemplar."""
        if self.told:
            self._pending.append((seconds, context, *self._told_by(facts, seconds)))
        else:
            self._pending.append((seconds, context))
        if not self._queued:
            self._queued = True
            self._recorder.add(self.record)
        elif not len(self._pending) % MANY:
            self._recorder.hurry()
            if len(self._pending) > BOUND:
                self.record()

    def _told_by(self, facts: Facts, seconds: float) -> list[float | None]:
        values = [facts.get(fact, seconds if or_own else None) for _, fact, or_own in self.told]
        # Never negative: the start of a flow may come from another host's clock.
        return [max(0.0, float(value)) if isinstance(value, (int, float)) else None for value in values]

    def record(self) -> None:
        """Move what is pending, each operation once whichever threads come by."""
        self._queued = False  # before it is emptied: what is added from here on queues the plan again
        taken, pending = [], self._pending
        try:
            while True:
                taken.append(pending.popleft())
        except IndexError:
            pass
        if not taken:
            return
        seconds, contexts, *told = zip(*taken, strict=True)
        if self.cells:
            sampled = next((context for context in reversed(contexts) if context is not None), None)
            self._table.add_to(self.cells, sampled, len(taken))
        for series in self.own:
            series.take(seconds, contexts)
        for (series, _, _), values in zip(self.told, told, strict=True):
            known = [measured for measured in zip(values, contexts, strict=True) if measured[0] is not None]
            if known:
                series.take(*zip(*known, strict=True))


class _Shape:
    """Operations that know the same facts: the plan for each of their values.

    :param names: the facts that decide.
    """

    __slots__ = ("known", "names", "values")

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        self.values: Callable[[Facts], object] = itemgetter(*names) if names else _nothing
        self.known: dict[object, Plan] = {}


def _nothing(_facts: Facts) -> None:
    """Return the one key where no fact decides."""


class Plans:
    """The plans of one table of series.

    :param table: the series; they stay what they are in a forked child, and so do the plans.
    :param recorder: comes by for what waits with them.
    :param telling: returns what an event tells, ``None`` if it never leaves.
    :ivar usual: the plans of steps that no exception left, by operation and result, where both are of closed lists: a
        look-up less for each of the many steps of a request.
    """

    def __init__(self, table: Table, recorder: Recorder, telling: Telling) -> None:
        self._table = table
        self._recorder = recorder
        self._telling = telling
        self._shapes: dict[tuple[object, ...], _Shape] = {}
        self._kept = 0
        self.usual: dict[tuple[object, object], Plan] = {}
        self._made: weakref.WeakSet[Plan] = weakref.WeakSet()

    def of(self, facts: Facts, kind: OperationKind, case: Case | None = None, went: Went = None) -> Plan:
        """Return the plan of an operation with these facts, as they were set.

        :param went: how it was left, ``None`` without an exception; cancelled is also what closes a generator or
            ends the program.
        """
        # By the names of all facts first: they are fewer than those that could decide, most of which are not there.
        names = (kind, case, went, *facts)
        shape = self._shapes.get(names)
        if shape is None:
            shape = self._shaped(names, facts, kind, case)
        values = shape.values(facts)
        plan = shape.known.get(values)
        if plan is None:
            plan, lasting = self._worked_out(shape, facts, kind, case, went)
            if lasting:
                self._keep(shape, values, plan)
        return plan

    def after_fork(self) -> None:
        """Start empty in a forked child, with the same plans."""
        for plan in list(self._made):
            plan.after_fork()

    def _shaped(self, names: tuple[object, ...], facts: Facts, kind: OperationKind, case: Case | None) -> _Shape:
        deciding = kind.reads | _TOLD if case is None else kind.reads | case.reads | _TOLD
        shape = self._shapes[names] = _Shape([name for name in facts if name in deciding])
        return shape

    def _keep(self, shape: _Shape, values: object, plan: Plan) -> None:
        self._kept += 1
        if self._kept > _MOST:
            self._kept, self._shapes = 0, {}
        else:
            shape.known[values] = plan

    def _worked_out(
        self, shape: _Shape, given: Facts, kind: OperationKind, case: Case | None, went: Went
    ) -> tuple[Plan, bool]:
        """Return the plan, and whether it stands for all operations with these values.

        It does not where a series is ``other`` instead of the one of its label values, or where a fact is a digest.
        """
        table, facts = self._table, _settled(given, case, went)
        lasting = all(_is_label(name, given[name]) for name in shape.names)
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
        said = v.closed(facts)
        lasting = lasting and said is facts
        events += [occurrence.event for occurrence in kind.occurrences if occurrence.happened(facts)]
        varying = given.keys() - shape.names
        plan = Plan(table, self._recorder, Description(said, kind, case, varying=varying, raised=went is not None))
        plan.cells, plan.own, plan.told = tuple(cells), tuple(own), tuple(told)
        plan.events = tuple(filter(None, [self._telling(event, said) for event in events]))
        self._made.add(plan)
        return plan, lasting


def ended_by(error: BaseException) -> Went:
    """Return how an operation was left that this exception left: what is no failure cancels it, in any event loop."""
    return "failed" if isinstance(error, Exception) else "cancelled"


def _is_label(name: str, value: object) -> bool:
    return type(value) in _PLAIN or (name == "client_id" and isinstance(value, str))


def _settled(given: Facts, case: Case | None, went: Went) -> Facts:
    """Return the facts of an operation with what follows from its case and from how it ended."""
    facts = dict(given)
    if case is not None:
        facts.update(case.facts)
        facts["case"] = case.name
    if went is not None:
        if went == "cancelled":
            facts["outcome"] = "cancelled"
            facts["flow"] = facts["flow_timed"] = facts["handled"] = facts["provider_error"] = False
            for attempt in ("refresh", "registration", "discovery_method"):
                facts.pop(attempt, None)
        facts["status"] = "failure"
        facts["result"] = "error"
    status = facts.setdefault("status", "success")
    facts.setdefault("outcome", status)
    facts.setdefault("initiated", status == "success")
    return facts
