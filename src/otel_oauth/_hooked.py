"""What stands in the place of a hooked callable.

Everything that must never go wrong stands here once: the same result object, the same exception object, sync and
async, our own errors stopped. In the place of a function stands a function: that is what costs least, and what nobody
can tell from it; of anything else (static and class methods, generator functions, what somebody else has wrapped) a
wrapper of wrapt, which binds and looks like it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Coroutine
from copy import deepcopy
from functools import partial, reduce, wraps
from importlib import import_module
from inspect import CO_ASYNC_GENERATOR, CO_COROUTINE, CO_GENERATOR
from types import CoroutineType, FunctionType
from typing import TYPE_CHECKING, Any

import wrapt
from opentelemetry import context as otel_context

from otel_oauth._entered import MANAGERS, observe_entry
from otel_oauth.operation import Operation, current_operation, innermost, nearest

if TYPE_CHECKING:
    from otel_oauth.hooks import HookSet
    from otel_oauth.kinds import OperationKind
    from otel_oauth.telemetry import Telemetry

_SUPPRESSED = ("suppress_instrumentation", otel_context._SUPPRESS_INSTRUMENTATION_KEY)  # noqa: SLF001 the key that exporters set


def _suppressed() -> bool:
    context = otel_context.get_current()
    return bool(context.get(_SUPPRESSED[0]) or context.get(_SUPPRESSED[1]))


_GOING_ON = MANAGERS | {CoroutineType}
"""The types of results whose call is not over yet."""

_GENERATORS = CO_GENERATOR | CO_ASYNC_GENERATOR


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

    def within(self, kind: OperationKind) -> Operation | None:
        """Return the innermost operation of ``kind`` around this call that is still under way, or ``None``."""
        around = self.around
        if around is not None and around.kind is kind and not around.ended:
            return around  # nearly always
        return nearest(around, kind)


Begin = Callable[[Call], "Operation | None"]
After = Callable[[Call, Any, "BaseException | None"], None]
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


def in_place_of(original: Any, hook: Hook, hooks: HookSet, *, method: bool) -> Any:  # noqa: ANN401 the library's
    """Return what stands in the place of ``original``: of a function a function, of anything else wrapt's."""
    flags = original.__code__.co_flags if type(original) is FunctionType else _GENERATORS
    if flags & _GENERATORS or hook.drive is not None:
        return _ours(original, _wrapper(hook, hooks))
    make = _coroutine_function if flags & CO_COROUTINE else _function
    return wraps(original)(make(original, hook, hooks, () if method else (None,)))


def _wrapper(hook: Hook, hooks: HookSet) -> Callable[..., Any]:
    """Return what wrapt calls; ``wrapped`` is bound already."""
    called, drive = _caller(hook, hooks), hook.drive

    def wrapper(wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # noqa: ANN401 the library's
        if drive is None:
            return _function(wrapped, hook, hooks, (instance,))(*args, **kwargs)
        call, result = called((instance, *args), kwargs), wrapped(*args, **kwargs)
        return result if call is None else drive(call, result)

    return wrapper


def _function(original: Callable[..., Any], hook: Hook, hooks: HookSet, first: tuple[Any, ...]) -> Callable[..., Any]:
    """Return a function that calls the original and sees the call; ``first`` goes before its arguments."""
    called, after = _caller(hook, hooks), hook.after

    def hooked(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 the library's
        call = called(first + args, kwargs)
        if call is None:
            return original(*args, **kwargs)
        try:
            result = original(*args, **kwargs)
        except BaseException as error:
            _leave(call, after, None, error)
            raise
        if type(result) in _GOING_ON:
            return _going_on(call, after, result)
        _leave(call, after, result, None)
        return result

    return hooked


def _coroutine_function(
    original: Callable[..., Any], hook: Hook, hooks: HookSet, first: tuple[Any, ...]
) -> Callable[..., Any]:
    """Return a coroutine function that does the same in the place of one, as which it must be seen."""
    called, after = _caller(hook, hooks), hook.after

    async def hooked(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 the library's
        call = called(first + args, kwargs)
        if call is None:
            return await original(*args, **kwargs)
        try:
            result = await original(*args, **kwargs)
        except BaseException as error:
            _leave(call, after, None, error)
            raise
        _leave(call, after, result, None)
        return result

    return hooked


def _caller(hook: Hook, hooks: HookSet) -> Callable[[tuple[Any, ...], dict[str, Any]], Call | None]:
    """Return what begins to observe a call, or gives ``None`` if it is to pass unobserved."""
    begin, outside = hook.begin, hook.outside

    def called(given: tuple[Any, ...], kwargs: dict[str, Any]) -> Call | None:
        around = innermost()
        if around is not None and around.ended:
            around = current_operation()
        passes = _suppressed() if around is None else around.kind is outside
        if passes or not given or not hooks.active:
            return None
        call = Call()
        call.hooks, call.telemetry, call.around = hooks, hooks.telemetry, around
        call.instance, call.given, call.kwargs = given[0], given, kwargs
        if begin is None:
            return call
        try:
            operation = call.operation = begin(call)
            if operation is not None:
                operation.start()
            elif not call.watched:
                return None
        except Exception as error:  # noqa: BLE001 what Guard.run does, without the calls: each hook comes by here
            hooks.telemetry.guard.stopped("hook", error)
            return None
        return call

    return called


def _going_on(call: Call, after: After | None, result: Any) -> Any:  # noqa: ANN401 the library's
    operation = call.operation
    if operation is not None:
        operation.suspend()
    if type(result) is CoroutineType:
        return _awaited(call, after, result)
    if operation is None:
        _leave(call, after, result, None)
    else:
        observe_entry(result, operation.resume, partial(_leave, call, after))
    return result


async def _awaited(call: Call, after: After | None, coroutine: Coroutine[Any, Any, Any]) -> Any:  # noqa: ANN401 the library's
    if call.operation is not None:
        call.operation.resume()
    try:
        result = await coroutine
    except BaseException as error:
        _leave(call, after, None, error)
        raise
    _leave(call, after, result, None)
    return result


def _leave(call: Call, after: After | None, result: Any, error: BaseException | None) -> None:  # noqa: ANN401 the library's
    try:
        try:
            if after is not None:
                after(call, result, error)
        finally:
            if call.operation is not None:
                call.operation.end(error)
    except Exception as ours:  # noqa: BLE001 as above
        call.telemetry.guard.stopped("hook", ours)


def _named(module: str, path: str) -> Any:  # noqa: ANN401 whatever has that name
    return reduce(getattr, path.split("."), import_module(module))


class _bound(wrapt.BoundFunctionWrapper):  # type: ignore[type-arg]  # noqa: N801 generic for type checkers only; private
    """A bound method of ours: wrapt's own cannot be copied or pickled, which the library's could before."""

    def __copy__(self) -> _bound:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:  # noqa: ANN401 a method of the instance's copy
        owner = getattr(self.__wrapped__, "__self__", None)
        return self if owner is None else getattr(deepcopy(owner, memo), self.__name__)

    def __reduce_ex__(self, protocol: Any) -> Any:  # noqa: ANN401 as pickle calls it
        owner = getattr(self.__wrapped__, "__self__", None)
        return (_named, (self.__module__, self.__qualname__)) if owner is None else (getattr, (owner, self.__name__))


class _ours(wrapt.FunctionWrapper):  # type: ignore[type-arg]  # noqa: N801 generic for type checkers only; private
    """What stands in the place of anything but a function; it copies and pickles like one."""

    __bound_function_wrapper__ = _bound

    def __copy__(self) -> _ours:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> _ours:
        return self

    def __reduce_ex__(self, protocol: Any) -> str:  # noqa: ANN401 as pickle calls it
        return str(self.__qualname__)
