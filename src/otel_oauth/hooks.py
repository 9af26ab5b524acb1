"""How a plugin reaches into a library: a table of hooks, applied and taken back in one place.

A hook is two pure functions of the plugin: ``begin`` translates the call's arguments into an operation,
``after`` translates its result or exception into facts. Everything that must never go wrong stands here once:
the same result object, the same exception object, sync and async, our own errors stopped, the original
attribute restored.
"""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import partial, reduce
from importlib import import_module
from types import CoroutineType, ModuleType
from typing import TYPE_CHECKING, Any

import wrapt
from opentelemetry import context as otel_context

from otel_oauth._entered import MANAGERS, observe_entry
from otel_oauth.operation import Operation, innermost

if TYPE_CHECKING:
    from otel_oauth.telemetry import Telemetry

_log = logging.getLogger("otel_oauth")

_SUPPRESSED = ("suppress_instrumentation", otel_context._SUPPRESS_INSTRUMENTATION_KEY)  # noqa: SLF001 the key that exporters set


def _suppressed() -> bool:
    context = otel_context.get_current()
    return bool(context.get(_SUPPRESSED[0]) or context.get(_SUPPRESSED[1]))


_GOING_ON = MANAGERS | {CoroutineType}
"""The types of results whose call is not over yet."""


class Call:
    """One call of a hooked callable, as a plugin sees it.

    :ivar instance: the object it was called on (the class for a class method).
    :ivar hooks: the hook set that the hook belongs to, to adopt further classes.
    :ivar operation: the operation that ``begin`` returned, or ``None``.
    :ivar watched: set by a ``begin`` that returns ``None`` but wants to see how the call ends: it is part of
        an operation around it.
    :ivar note: whatever ``begin`` keeps for ``after``.
    """

    operation: Operation | None = None
    watched = False
    note: object = None

    def __init__(self, hooks: HookSet, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:  # noqa: ANN401 the library's
        self.hooks = hooks
        self.telemetry = hooks.telemetry
        self.instance = instance
        self.args = args
        self.kwargs = kwargs

    def argument(self, position: int, name: str, default: Any = None) -> Any:  # noqa: ANN401 the library's
        """Return an argument by position (``self`` not counted) or name."""
        return self.args[position] if len(self.args) > position else self.kwargs.get(name, default)


Begin = Callable[[Call], "Operation | None"]
After = Callable[[Call, Any, "BaseException | None"], None]
Drive = Callable[[Call, AsyncGenerator[Any, Any]], AsyncGenerator[Any, Any]]


@dataclass(frozen=True)
class Hook:
    """One hooked callable.

    :param begin: returns the operation of this call, or ``None`` to let the call pass unobserved; without a
        ``begin`` the call has no operation of its own and is only watched.
    :param after: gets the result, or ``None`` and the exception, before the operation ends.
    :param optional: not every supported version of the library has it, so nothing is missing where it is absent.
    :param drive: for a function that returns an asynchronous generator, instead of the others: an asynchronous
        generator function that drives it, and yields, receives and raises the same. It guards what it does besides.
    """

    begin: Begin | None = None
    after: After | None = None
    optional: bool = False
    drive: Drive | None = None


class HookSet:
    """The hooks of one plugin while it is attached.

    :param telemetry: what the plugin's operations record into.
    :param library: the name of the library, for the metric of hooks and the log.
    :ivar notes: what the plugin remembers of the library's long-lived objects, as long as those live.
    """

    def __init__(self, telemetry: Telemetry, library: str) -> None:
        self.telemetry = telemetry
        self.active = True
        self._library = library
        self._lock = threading.RLock()
        # Only where they are: an original may refer to its class, which must stay free to go.
        self._patches: list[tuple[weakref.ref[Any], str]] = []
        self._undo: list[Callable[[], None]] = []
        self._adopted: weakref.WeakSet[type] = weakref.WeakSet()
        self.notes: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()
        self._attached = 0
        self._missing = 0

    # Attaching ----------------------------------------------------------------------------------------------

    def attach(self, table: Mapping[str, Hook]) -> None:
        """Patch every ``module:Class.attribute`` of the table, as soon as its module is imported by the application."""
        modules: dict[str, list[tuple[str, Hook]]] = {}
        for target, hook in table.items():
            module, _, path = target.partition(":")
            modules.setdefault(module, []).append((path, hook))
        for module, hooks in modules.items():
            wrapt.register_post_import_hook(self._patcher(hooks), module)

    def _patcher(self, hooks: list[tuple[str, Hook]]) -> Callable[[ModuleType], None]:
        def imported(module: ModuleType) -> None:
            if self.active:
                self.telemetry.guard.run("hook", self._patch_module, module, hooks)

        return imported

    def _patch_module(self, module: ModuleType, hooks: Iterable[tuple[str, Hook]]) -> None:
        for path, hook in hooks:
            class_name, _, attribute = path.rpartition(".")
            owner = getattr(module, class_name, None) if class_name else module
            found = self._definer(owner, attribute)
            if found is None and hook.optional:
                continue
            if found is None:
                self._missing += 1
                _log.warning(
                    "otel-oauth: %s.%s is not in this version of %s; it is left out",
                    module.__name__,
                    path,
                    self._library,
                )
            else:
                self._patch(owner if class_name else module, attribute, hook)
        self.telemetry.hooks(self._library, attached=self._attached, missing=self._missing)

    @staticmethod
    def _definer(owner: Any, attribute: str) -> Any:  # noqa: ANN401 a class or module of the library
        if owner is None:
            return None
        if not isinstance(owner, type):
            return owner if attribute in vars(owner) else None
        return next((base for base in owner.__mro__ if attribute in base.__dict__ and base is not object), None)

    def _patch(self, owner: Any, attribute: str, hook: Hook) -> None:  # noqa: ANN401 a class or module of the library
        definer = self._definer(owner, attribute)
        original = definer.__dict__[attribute]
        if isinstance(original, _ours) and original._self_hooks is self:  # noqa: SLF001 wrapt's place for a wrapper's own state
            return
        wrapper = _ours(original, self._wrapper(hook))
        wrapper._self_hooks = self  # noqa: SLF001 as above
        setattr(definer, attribute, wrapper)
        self._patches.append((weakref.ref(definer), attribute))
        self._attached += 1

    def adopt(self, cls: type, table: Mapping[str, Hook]) -> None:
        """Patch the named methods of a class of the application, where they are defined, the first time it is seen.

        Applications override the library's methods; hooking the library's own classes would not see those.
        """
        if cls in self._adopted or not self.active:
            return
        with self._lock:
            if cls in self._adopted:
                return
            for attribute, hook in table.items():
                if self._definer(cls, attribute) is not None:
                    self._patch(cls, attribute, hook)
            self._adopted.add(cls)
        self.telemetry.hooks(self._library, attached=self._attached, missing=self._missing)

    def count(self, *, attached: int = 0, missing: int = 0) -> None:
        """Count hooks that the plugin put in place by itself, to be taken back by :meth:`on_detach`."""
        with self._lock:
            self._attached += attached
            self._missing += missing
        self.telemetry.hooks(self._library, attached=self._attached, missing=self._missing)

    def on_detach(self, undo: Callable[[], None]) -> None:
        """Remember something else to be taken back at :meth:`detach`."""
        self._undo.append(undo)

    def detach(self) -> None:
        """Restore every attribute; wrappers that somebody still holds pass straight through from now on."""
        with self._lock:
            self.active = False
            for owner_ref, attribute in reversed(self._patches):
                owner = owner_ref()
                found = None if owner is None else owner.__dict__.get(attribute)
                if isinstance(found, _ours) and found._self_hooks is self:  # noqa: SLF001 wrapt's place for a wrapper's own state
                    setattr(owner, attribute, found.__wrapped__)
            self._patches.clear()
            for undo in self._undo:
                self.telemetry.guard.run("hook", undo)
            self._undo.clear()
            self._adopted = weakref.WeakSet()
        self.telemetry.hooks(self._library, attached=0, missing=0)

    # Calling ------------------------------------------------------------------------------------------------

    def _wrapper(self, hook: Hook) -> Callable[..., Any]:
        begin, drive, after = hook.begin, hook.drive, hook.after
        leave = self._leave

        def wrapper(wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # noqa: ANN401 the library's
            if not self.active or (innermost() is None and _suppressed()):
                return wrapped(*args, **kwargs)
            call = Call(self, instance, args, kwargs)
            if drive is not None:
                return drive(call, wrapped(*args, **kwargs))
            if begin is not None:
                observed = False
                try:
                    operation = call.operation = begin(call)
                    if operation is not None:
                        operation.start()
                    observed = operation is not None or call.watched
                except Exception as error:  # noqa: BLE001 what Guard.run does, without the calls: each hook comes by here
                    self.telemetry.guard.stopped("hook", error)
                if not observed:
                    return wrapped(*args, **kwargs)
            try:
                result = wrapped(*args, **kwargs)
            except BaseException as error:
                leave(call, after, None, error)
                raise
            if type(result) in _GOING_ON:
                return self._going_on(call, after, result)
            leave(call, after, result, None)
            return result

        return wrapper

    def _going_on(self, call: Call, after: After | None, result: Any) -> Any:  # noqa: ANN401 the library's
        operation = call.operation
        if operation is not None:
            operation.suspend()
        if type(result) is CoroutineType:
            return self._awaited(call, after, result)
        if operation is None:
            self._leave(call, after, result, None)
        else:
            observe_entry(result, operation.resume, partial(self._leave, call, after))
        return result

    async def _awaited(self, call: Call, after: After | None, coroutine: Coroutine[Any, Any, Any]) -> Any:  # noqa: ANN401 the library's
        if call.operation is not None:
            call.operation.resume()
        try:
            result = await coroutine
        except BaseException as error:
            self._leave(call, after, None, error)
            raise
        self._leave(call, after, result, None)
        return result

    def _leave(self, call: Call, after: After | None, result: Any, error: BaseException | None) -> None:  # noqa: ANN401 the library's
        try:
            try:
                if after is not None:
                    after(call, result, error)
            finally:
                if call.operation is not None:
                    call.operation.end(error)
        except Exception as ours:  # noqa: BLE001 as in the wrapper
            self.telemetry.guard.stopped("hook", ours)


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
    """A wrapper of this product, told from other instrumentors' by its class; it copies and pickles like a function."""

    __bound_function_wrapper__ = _bound
    _self_hooks: HookSet | None = None

    def __copy__(self) -> _ours:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> _ours:
        return self

    def __reduce_ex__(self, protocol: Any) -> str:  # noqa: ANN401 as pickle calls it
        return str(self.__qualname__)
