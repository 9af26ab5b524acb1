"""How a plugin reaches into a library: a table of hooks, applied and taken back in one place.

A hook is two pure functions of the plugin: ``begin`` translates the call's arguments into an operation,
``after`` translates its result or exception into facts. The original attribute is restored at the end.
"""

from __future__ import annotations

import logging
import threading
import weakref
from typing import TYPE_CHECKING, Any

import wrapt

from otel_oauth._calls import Call, Hook, StoreHook
from otel_oauth._hooked import in_place_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from types import ModuleType

    from otel_oauth.telemetry import Telemetry

__all__ = ["Call", "Hook", "HookSet", "StoreHook"]

_log = logging.getLogger("otel_oauth")


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
        self._made: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()
        self._undo: list[Callable[[], None]] = []
        self._adopted: weakref.WeakKeyDictionary[type, set[str]] = weakref.WeakKeyDictionary()
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
        if self._is_ours(original):
            return
        ours = in_place_of(original, hook, self, method=isinstance(definer, type))
        self._made[id(ours)] = ours
        setattr(definer, attribute, ours)
        self._patches.append((weakref.ref(definer), attribute))
        self._attached += 1

    def _is_ours(self, found: Any) -> bool:  # noqa: ANN401 an attribute of a class or module
        """Tell whether this hook set made ``found``; what was made of it by somebody else only looks like it."""
        return self._made.get(id(found)) is found

    def origin(self, cls: type, attribute: str) -> str:
        """Return the name of the module that a method of a class comes from, empty if there is no such method."""
        definer = self._definer(cls, attribute)
        return "" if definer is None else str(getattr(definer.__dict__[attribute], "__module__", ""))

    def adopt(self, cls: type, table: Mapping[str, Hook], *, beyond: str = "") -> None:
        """Patch the named methods of a class of the application, where they are defined, the first time it is seen.

        Applications override the library's methods; hooking the library's own classes would not see those.

        :param beyond: leave alone, for this time, what is of a module whose name begins so: the library's.
        """
        seen = self._adopted.get(cls)
        if seen is not None and table.keys() <= seen:
            return
        with self._lock:
            if not self.active:
                return
            seen = self._adopted.setdefault(cls, set())
            for attribute, hook in table.items():
                if attribute in seen or (beyond and self.origin(cls, attribute).startswith(beyond)):
                    continue
                if self._definer(cls, attribute) is not None:
                    self._patch(cls, attribute, hook)
                seen.add(attribute)
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
                if found is not None and self._is_ours(found):
                    setattr(owner, attribute, found.__wrapped__)
            self._patches.clear()
            for undo in self._undo:
                self.telemetry.guard.run("hook", undo)
            self._undo.clear()
            self._adopted = weakref.WeakKeyDictionary()
        self.telemetry.hooks(self._library, attached=0, missing=0)
