"""Replacing methods of the SDK and of the logging module, and giving them back."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_oauth._guard import Guard
    from otel_oauth.redaction._redactor import Redactor


class Sources:
    """The places that are patched, and what they work with.

    :ivar redactor: what takes the secrets out; ``None`` as soon as redaction is uninstalled: a patch that somebody else
        wrapped in the meantime then passes straight through.
    :ivar guard: stops our errors; what could not be inspected is then left out.
    """

    def __init__(self, redactor: Redactor, guard: Guard) -> None:
        self.redactor: Redactor | None = redactor
        self.guard = guard
        self._replaced: list[tuple[Any, str, Any, Any]] = []

    def replace(self, owner: Any, name: str, make: Callable[[Any], Callable[..., Any]]) -> None:  # noqa: ANN401 a class
        """Replace the method ``name`` of a class by what ``make`` makes of it."""
        original = vars(owner)[name]
        replacement = wraps(original)(make(original))
        setattr(owner, name, replacement)
        self._replaced.append((owner, name, original, replacement))

    def restore(self) -> None:
        """Give every method back that is still ours."""
        self.redactor = None
        for owner, name, original, replacement in reversed(self._replaced):
            if vars(owner).get(name) is replacement:
                setattr(owner, name, original)
        self._replaced.clear()
