"""What is seen of one call of a hooked callable: how it is begun to be observed, and how it is left."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from time import perf_counter
from typing import TYPE_CHECKING, Any

from opentelemetry import context as otel_context

from otel_oauth.kinds import STORAGE
from otel_oauth.operation import Operation, current_operation, enter, innermost, nearest
from otel_oauth.step import Step

if TYPE_CHECKING:
    from otel_oauth.hooks import HookSet
    from otel_oauth.kinds import OperationKind
    from otel_oauth.telemetry import Telemetry

_SUPPRESSED = ("suppress_instrumentation", otel_context._SUPPRESS_INSTRUMENTATION_KEY)  # noqa: SLF001 the key that exporters set


def _suppressed() -> bool:
    context = otel_context.get_current()
    return bool(context) and bool(context.get(_SUPPRESSED[0]) or context.get(_SUPPRESSED[1]))


class Call:
    """One call of a hooked callable, as a plugin sees it; made for each one, so without an ``__init__``.

    :ivar hooks: the hook set that the hook belongs to, to adopt further classes.
    :ivar telemetry: what that records into.
    :ivar around: the operation that was under way when the call began, or ``None``.
    :ivar instance: the object it was called on (the class for a class method), ``None`` for a function.
    :ivar given: the same, and its arguments by position.
    :ivar kwargs: its arguments by name.
    :ivar operation: the operation that ``begin`` returned, or ``None``.
    :ivar watched: set by a ``begin`` that returns ``None`` but wants to see how the call ends: it is part of
        an operation around it.
    :ivar note: whatever ``begin`` keeps for ``after``.
    """

    hooks: HookSet
    telemetry: Telemetry
    around: Operation | None
    instance: Any
    given: tuple[Any, ...]
    kwargs: dict[str, Any]
    operation: Operation | None = None
    watched = False
    note: object = None

    @property
    def args(self) -> tuple[Any, ...]:
        """Its arguments by position, ``self`` not counted."""
        return self.given[1:]

    def argument(self, position: int, name: str, default: Any = None) -> Any:  # noqa: ANN401 the library's
        """Return an argument by position (``self`` not counted) or name."""
        given = self.given
        return given[position + 1] if len(given) > position + 1 else self.kwargs.get(name, default)

    def enclosing(self, kind: OperationKind) -> Operation | None:
        """Return the innermost operation of ``kind`` around this call that is still under way, or ``None``."""
        around = self.around
        if around is not None and around.kind is kind and not around.ended:
            return around  # nearly always
        return nearest(around, kind)


class StoreCall(Call, Step):
    """A call into the application's store. There are many in a request, so it is its own operation."""

    __init__ = object.__init__  # as that of Call: what is known of it is set one by one
    kind = STORAGE
    ended = False
    nested = 0.0

    @property
    def operation(self) -> Operation:  # type: ignore[override]  # of another call it is set by `begin`
        """The call itself."""
        return self

    def start(self) -> Operation:
        """Start the clock and make this the current operation of the context."""
        self._entered = enter(self)
        self._began = perf_counter()
        return self


class SpannedStoreCall(Call, Operation):
    """The same where storage operations have spans."""

    __init__ = object.__init__  # as above
    kind = STORAGE
    ended = False
    nested = 0.0
    operation = StoreCall.operation


Begin = Callable[[Call], "Operation | None"]
After = Callable[[Call, Any, "BaseException | None"], None]
Stored = Callable[[Call, Any], None]
Called = Callable[[tuple[Any, ...], dict[str, Any]], "Call | None"]
Left = Callable[[Call, Any, "BaseException | None"], None]
Drive = Callable[[Call, AsyncGenerator[Any, Any]], AsyncGenerator[Any, Any]]


class Hook:
    """One hooked callable.

    :param begin: returns the operation of this call, or ``None`` to let the call pass unobserved; without a
        ``begin`` the call has no operation of its own and is only watched.
    :param after: gets the result, or ``None`` and the exception, before the operation ends.
    :param outside: a call within an operation of this kind passes unobserved.
    :param optional: not every supported version of the library has it, so nothing is missing where it is absent.
    :param drive: for a function that returns an asynchronous generator, instead of the others: an asynchronous
        generator function that drives it, and yields, receives and raises the same. It guards what it does besides.
    """

    def __init__(
        self,
        begin: Begin | None = None,
        after: After | None = None,
        *,
        outside: OperationKind | None = None,
        optional: bool = False,
        drive: Drive | None = None,
    ) -> None:
        self.begin = begin
        self.after = after
        self.outside = outside
        self.optional = optional
        self.drive = drive


class StoreHook(Hook):
    """A callback through which a library reaches the application's store: each call is a storage operation.

    A callback within a callback (``grant.save_token`` calls ``server.save_token``, an override calls ``super()``)
    counts once.

    :param operation: the value of the label ``operation``.
    :param before: notes what is presented, before the callback runs.
    :param stored: notes what the callback returned, if it did not raise; the operation has ended by then.
    """

    def __init__(
        self, operation: str, *, before: Callable[[Call], None] | None = None, stored: Stored | None = None
    ) -> None:
        super().__init__(before, outside=STORAGE)
        self.facts: dict[str, object] = {"operation": operation, "result": "success"}
        self.stored = stored


def seen(hook: Hook, hooks: HookSet) -> tuple[Called, Left]:
    """Return what begins to observe a call, or gives ``None`` if it is to pass unobserved, and what leaves it."""
    if isinstance(hook, StoreHook):
        made = StoreCall if hooks.telemetry.step is Step else SpannedStoreCall
        return _called(hook, hooks, made, hook.facts), _left_store(hook, hooks.telemetry)
    return _called(hook, hooks, Call, None), _left(hook, hooks.telemetry)


def _called(hook: Hook, hooks: HookSet, made: type[Call], facts: dict[str, object] | None) -> Called:
    begin, outside, telemetry = hook.begin, hook.outside, hooks.telemetry

    def called(given: tuple[Any, ...], kwargs: dict[str, Any]) -> Call | None:
        around = innermost()
        if around is not None and around.ended:
            around = current_operation()
        passes = _suppressed() if around is None else around.kind is outside
        if passes or not given or not hooks.active:
            return None
        call: Any = made()
        call.hooks, call.telemetry, call.around = hooks, telemetry, around
        call.instance, call.given, call.kwargs = given[0], given, kwargs
        try:
            operation = None if begin is None else begin(call)
            if facts is not None:
                call.facts, call.parent = facts, around
                call.start()
            elif operation is not None:
                call.operation = operation
                operation.start()
            elif begin is not None and not call.watched:
                return None
        except Exception as error:  # noqa: BLE001 what Guard.run does, without the calls: each hook comes by here
            telemetry.guard.stopped("hook", error)
            return None
        return call  # type: ignore[no-any-return]  # a Call, to which the operation of a store's adds more

    return called


def _left(hook: Hook, telemetry: Telemetry) -> Left:
    after = hook.after

    def left(call: Call, result: Any, error: BaseException | None) -> None:  # noqa: ANN401 the library's
        try:
            try:
                if after is not None:
                    after(call, result, error)
            finally:
                if call.operation is not None:
                    call.operation.end(error)
        except Exception as ours:  # noqa: BLE001 as above
            telemetry.guard.stopped("hook", ours)

    return left


def _left_store(hook: StoreHook, telemetry: Telemetry) -> Left:
    stored = hook.stored

    def left(call: Any, result: Any, error: BaseException | None) -> None:  # noqa: ANN401 what `called` made; the library's
        try:
            call.end(error)
            if stored is not None and error is None:
                stored(call, result)
            # A task that was started within it keeps its operation, but not what it was called with.
            call.instance = call.given = call.kwargs = None
        except Exception as ours:  # noqa: BLE001 as above
            telemetry.guard.stopped("hook", ours)

    return left
