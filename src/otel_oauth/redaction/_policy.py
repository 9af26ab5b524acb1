"""What is looked for, what is found, and whether a value looks like a secret."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

from otel_oauth._patterns import pattern

if TYPE_CHECKING:
    from otel_oauth.redaction._names import Names

DIGIT = pattern(r"[0-9]")
LETTER = pattern(r"[A-Za-z]")
_NAME = pattern(r"[a-z]*(?:[A-Z][a-z]{2,}|[^A-Za-z][a-z]*)*")  # such as WaitingForApproval, out-of-order
READABLE = pattern(r"(?!ey[JI])[A-Za-z0-9_.\-]{0,128}")
"""A value that stays as it is under a name that stands for no secret; whatever else is there is text like any other."""
ENOUGH = 96
_SHORTEST = 8
WITHOUT_MIXTURE = 16


class Policy:
    """What is looked for.

    :param names: the names that stand for secrets.
    :param strict: take every value of a possible name for a secret, and whatever looks like one.
    :param prefixes: beginnings of secrets, such as ``ghp_``.
    """

    def __init__(self, names: Names, *, strict: bool = False, prefixes: tuple[str, ...] = ()) -> None:
        self.names: Final = names
        self.strict: Final = strict
        self.prefixes: Final = prefixes


class Found:
    def __init__(self, start: int, end: int, kind: str, value: str) -> None:
        self.start: Final = start
        self.end: Final = end
        self.kind: Final = kind
        self.value: Final = value


def looks_secret(value: str) -> bool:
    """Tell whether a value looks like a random one, rather than like a word or a number."""
    if len(value) < _SHORTEST:
        return False
    value = value[:ENOUGH]
    digits, letters = DIGIT.search(value), LETTER.search(value)
    if digits and letters:
        return True
    if len(value) < WITHOUT_MIXTURE:
        return False
    if digits:
        return True
    turns = sum(a.islower() is not b.islower() for a, b in pairwise(value))
    return turns * 3 > len(value) or (turns * 5 > len(value) and _NAME.fullmatch(value) is None)
