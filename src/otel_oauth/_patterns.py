"""Regular expressions that are compiled when they are first used: a process that starts does not wait for them."""

from __future__ import annotations

import re
from typing import Any, AnyStr, cast


class _Pattern:
    """Stands for a compiled expression; each of its methods is found here after the first call."""

    def __init__(self, text: str | bytes, flags: int) -> None:
        self._text = text
        self._flags = flags

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 whatever the expression has
        found = getattr(re.compile(self._text, self._flags), name)
        setattr(self, name, found)
        return found


def pattern(text: AnyStr, flags: int = 0) -> re.Pattern[AnyStr]:
    """Return what :func:`re.compile` returns, in effect; an error in the expression shows with its first use."""
    return cast("re.Pattern[AnyStr]", _Pattern(text, flags))
