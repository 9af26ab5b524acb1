"""What is looked for, what is found, and whether a value looks like a secret."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from otel_oauth.redaction._names import Names

DIGIT = re.compile(r"[0-9]")
LETTER = re.compile(r"[A-Za-z]")
ENOUGH = 96
_SHORTEST = 8
WITHOUT_MIXTURE = 16


class Policy(NamedTuple):
    """What is looked for.

    :param names: the names that stand for secrets.
    :param strict: take every value of a possible name for a secret, and whatever looks like one.
    :param prefixes: beginnings of secrets, such as ``ghp_``.
    """

    names: Names
    strict: bool = False
    prefixes: tuple[str, ...] = ()


class Found(NamedTuple):
    start: int
    end: int
    kind: str
    value: str


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
    return turns * 3 > len(value)
