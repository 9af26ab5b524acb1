"""What stands in the place of a hooked callable.

Everything that must never go wrong stands here once: the same result object, the same exception object, sync and
async, our own errors stopped. In the place of a function stands a function: that is what costs least, and what nobody
can tell from it; of anything else (static and class methods, generator functions, what somebody else has wrapped) a
wrapper of wrapt, which binds and looks like it.
"""

from __future__ import annotations

from copy import deepcopy
from functools import partial, reduce, wraps
from importlib import import_module
from inspect import CO_ASYNC_GENERATOR, CO_COROUTINE, CO_GENERATOR
from types import CoroutineType, FunctionType
from typing import TYPE_CHECKING, Any

import wrapt

from otel_oauth._calls import seen
from otel_oauth._entered import MANAGERS, observe_entry

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from otel_oauth._calls import Call, Hook, Left
    from otel_oauth.hooks import HookSet

_GOING_ON = MANAGERS | {CoroutineType}
"""The types of results whose call is not over yet."""

_GENERATORS = CO_GENERATOR | CO_ASYNC_GENERATOR


def in_place_of(original: Any, hook: Hook, hooks: HookSet, *, method: bool) -> Any:  # noqa: ANN401 the library's
    """Return what stands in the place of ``original``: of a function a function, of anything else wrapt's."""
    flags = original.__code__.co_flags if type(original) is FunctionType else _GENERATORS
    if flags & _GENERATORS or hook.drive is not None:
        made = _our_data if hasattr(type(original), "__set__") else _ours
        return made(original, _wrapper(hook, hooks))
    make = _coroutine_function if flags & CO_COROUTINE else _function
    return wraps(original)(make(original, hook, hooks, () if method else (None,)))


def _wrapper(hook: Hook, hooks: HookSet) -> Callable[..., Any]:
    """Return what wrapt calls; ``wrapped`` is bound already."""
    (called, _), drive = seen(hook, hooks), hook.drive

    def wrapper(wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # noqa: ANN401 the library's
        if drive is None:
            return _function(wrapped, hook, hooks, (instance,))(*args, **kwargs)
        call, result = called((instance, *args), kwargs), wrapped(*args, **kwargs)
        return result if call is None else drive(call, result)

    return wrapper


def _function(original: Callable[..., Any], hook: Hook, hooks: HookSet, first: tuple[Any, ...]) -> Callable[..., Any]:
    """Return a function that calls the original and sees the call; ``first`` goes before its arguments."""
    called, left = seen(hook, hooks)

    def hooked(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 the library's
        call = called(first + args, kwargs)
        if call is None:
            return original(*args, **kwargs)
        try:
            result = original(*args, **kwargs)
        except BaseException as error:
            left(call, None, error)
            raise
        if type(result) in _GOING_ON:
            return _going_on(call, left, result)
        left(call, result, None)
        return result

    return hooked


def _coroutine_function(
    original: Callable[..., Any], hook: Hook, hooks: HookSet, first: tuple[Any, ...]
) -> Callable[..., Any]:
    """Return a coroutine function that does the same in the place of one, as which it must be seen."""
    called, left = seen(hook, hooks)

    async def hooked(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 the library's
        call = called(first + args, kwargs)
        if call is None:
            return await original(*args, **kwargs)
        try:
            result = await original(*args, **kwargs)
        except BaseException as error:
            left(call, None, error)
            raise
        left(call, result, None)
        return result

    return hooked


def _going_on(call: Call, left: Left, result: Any) -> Any:  # noqa: ANN401 the library's
    operation = call.operation
    if operation is not None:
        operation.suspend()
    if type(result) is CoroutineType:
        return _as(result, _awaited(call, left, _Held(result)))
    if operation is None:
        left(call, result, None)
    else:
        observe_entry(result, operation.resume, partial(left, call))
    return result


def _as(inner: Any, outer: Any) -> Any:  # noqa: ANN401 coroutines
    """Return ``outer``, which looks like ``inner``."""
    outer.__name__, outer.__qualname__ = inner.__name__, inner.__qualname__
    return outer


class _Held:
    """The library's coroutine as ours holds it: closed if ours goes without having been awaited.

    No finalizer does that: it would keep alive whatever the coroutine holds, which may lead back to ours.
    """

    __slots__ = ("coroutine",)

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self.coroutine = coroutine

    def __del__(self) -> None:
        self.coroutine.close()


async def _awaited(call: Call, left: Left, held: _Held) -> Any:  # noqa: ANN401 the library's
    if call.operation is not None:
        call.operation.resume()
    try:
        result = await held.coroutine
    except BaseException as error:
        left(call, None, error)
        raise
    left(call, result, None)
    return result


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


class _our_data(_ours):  # noqa: N801 private
    """What stands in the place of a property: to set and to delete it is the property's matter."""

    def __set__(self, instance: object, value: object) -> None:
        self.__wrapped__.__set__(instance, value)  # type: ignore[attr-defined]  # it has one, see above

    def __delete__(self, instance: object) -> None:
        self.__wrapped__.__delete__(instance)  # type: ignore[attr-defined]  # as above
