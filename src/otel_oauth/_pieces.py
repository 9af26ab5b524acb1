"""Pieces of six bytes: what a value is known by, where they are in a text, and what an encoded text holds."""

from __future__ import annotations

import string
from binascii import a2b_base64
from itertools import chain
from struct import Struct
from typing import TYPE_CHECKING

from otel_oauth._patterns import pattern

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PIECE = 12
"""The shortest piece of a known value that is found, in characters."""

GRAM = 6
"""The length of a piece of which a hash is kept."""

STRIDE = PIECE - GRAM + 1
"""A text is looked at in so many places less."""

CHUNK = STRIDE * 256
"""So many bytes are looked at together."""

_LONGEST = 512
_ENCODED = 16
LONG, LONG_RUN = b"x" * PIECE, b"x" * _ENCODED
"""What a table such as :data:`LONG_WORD` makes of a long word, and of one that may be encoded."""


def _in_words(letters: bytes) -> bytes:
    """Return a table that makes an ``x`` of each of the ``letters``, and a space of all else."""
    table = bytearray(b" " * 256)
    for letter in letters:
        table[letter] = ord("x")
    return bytes(table)


_ALPHANUMERIC = (string.ascii_letters + string.digits).encode()
_WHITESPACE = b"\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f \x85\xa0"
_HEX = b"0123456789abcdefABCDEF"
TO_BASE64 = bytes(
    byte if byte in _ALPHANUMERIC else {ord("+"): ord("+"), ord("-"): ord("+"), ord("_"): ord("/")}.get(byte, ord(" "))
    for byte in range(256)
)
# What is no shorter than the shortest piece that is replaced: a shorter word is never replaced for itself, and six
# letters of one case in a row are in one random token of five.
_WORDS = pattern(rb"[a-z._~ /:?&=,-]{%d,}|[A-Z._~ /:?&=,-]{%d,}" % (PIECE, PIECE))
_CASES = tuple(
    _in_words(letters.encode() + b"._~ /:?&=,-") for letters in (string.ascii_lowercase, string.ascii_uppercase)
)
"""Show where there may be words of one case."""

LONG_WORD = _in_words(_ALPHANUMERIC + b"_-+.~%")
"""Shows where the words are: most texts have no long one, and few secrets are without."""
ANY_WORD = _in_words(bytes(range(256)).translate(None, _WHITESPACE))
"""Shows the words of a text between its blanks."""
RUNS = _in_words(_ALPHANUMERIC + b"+-_")
"""Shows where a text may hold something encoded."""
OF_WORDS = _ALPHANUMERIC + b"_-+.~"
"""What most secrets are made of."""
RUN = pattern(rb"[A-Za-z0-9+_-]{%d,}" % _ENCODED)
"""What may be encoded."""
_AROUND = pattern(rb"[A-Za-z0-9+/=_-]*")


class _Splitters(dict[int, "Callable[..., tuple[bytes, ...]]"]):
    """What takes every seventh piece out of bytes: by their number, less one."""

    def __missing__(self, before: int) -> Callable[..., tuple[bytes, ...]]:
        self[before] = made = Struct("6sx" * before + "6s").unpack_from
        return made


SPLITTERS = _Splitters()


def grams_of(data: bytes) -> Iterator[tuple[int, list[int]]]:
    """Yield the hashes of every seventh piece, in chunks with their place."""
    size = len(data)
    for start in range(0, size - GRAM + 1, CHUNK):
        before = (min(size - start, CHUNK + GRAM - 1) - GRAM) // STRIDE
        yield start, list(map(hash, SPLITTERS[before](data, start)))


def pieces_of(data: bytes) -> tuple[list[int], list[int], list[int]]:
    """Return the hashes of every seventh piece and of all; apart, of those that are words.

    No value may make plain language a secret.
    """
    last = len(data) - GRAM
    if not any(LONG in data.translate(case) for case in _CASES):
        # As is usual. The order does not matter, and to take them by sevens is quicker than one by one.
        split = [SPLITTERS[(last - start) // STRIDE](data, start) for start in range(STRIDE)]
        return list(map(hash, split[0])), list(map(hash, chain.from_iterable(split))), []
    grams = [hash(data[i : i + GRAM]) for i in range(last + 1)]
    words = {i for word in _WORDS.finditer(data) for i in range(word.start(), word.end() - GRAM + 1)}
    pieces = [gram for i, gram in enumerate(grams) if i not in words]
    return pieces[::STRIDE], pieces, [grams[i] for i in words]


def parts_of(value: str) -> tuple[str, ...]:
    """Return what is indexed of a value: of a JWT its signature, of an endless value both ends."""
    if value.startswith("eyJ") and "." in value:
        tail = value.rpartition(".")[2][:_LONGEST]
        return (tail,) if len(tail) >= PIECE else (value[:_LONGEST],)
    if len(value) <= _LONGEST:
        return (value,)
    return value[: _LONGEST // 2], value[-_LONGEST // 2 :]


def all_decoded(data: bytes) -> Iterator[bytes]:
    """Yield what the runs of letters and digits in a text may stand for."""
    for run in data.translate(TO_BASE64).split():
        if len(run) >= _ENCODED:
            yield from decoded(run)


def decoded(run: bytes) -> Iterator[bytes]:
    """Yield what a run of letters and digits may stand for: each alignment of base64 and hexadecimal."""
    if not run.strip(_HEX):
        for start in (0, 1):
            part = run[start:]
            plain = bytes.fromhex(part[: len(part) & ~1].decode())
            if len(plain) >= GRAM:
                yield plain
    for start in range(4):
        part = run[start:]
        plain = a2b_base64(part[: len(part) & ~3])
        if len(plain) >= GRAM:
            yield plain


def widened(data: bytes, start: int, end: int) -> tuple[int, int]:
    """Take in what else belongs to an encoded value: its run ends at a slash, the value need not."""
    around = _AROUND.match(data, end)
    end = end if around is None else around.end()
    while start > 0 and data[start - 1 : start].translate(TO_BASE64) != b" ":
        start -= 1
    return start, end
