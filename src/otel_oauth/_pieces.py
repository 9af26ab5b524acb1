"""Pieces of six bytes: what a value is known by, where they are in a text, and what an encoded text holds.

A value is known by every second piece, a text is looked at in two of six places in a row: of any six one is both,
however the two lie, and twelve bytes have seven. What is kept and compared is blurred (:data:`BLURRED`).
"""

from __future__ import annotations

import string
from binascii import a2b_base64
from random import SystemRandom
from struct import Struct
from typing import TYPE_CHECKING

from otel_oauth._patterns import pattern

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from collections.abc import Set as AbstractSet

PIECE = 12
"""The shortest piece of a known value that is found, in characters."""

GRAM = 6
"""The length of the pieces that are kept."""

_LONGEST = 512

_CHUNK = GRAM * 256  # so many bytes are taken apart together
ENCODED = 16
"""The shortest text that is decoded."""
LONG, LONG_RUN = b"x" * PIECE, b"x" * ENCODED
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
_OTHERS = bytes(range(256)).translate(None, _ALPHANUMERIC + b"+-_")
TO_BASE64 = bytes.maketrans(b"-_" + _OTHERS, b"+/" + b" " * len(_OTHERS))
"""Makes what may be encoded of the two alphabets of base64 one, and a space of all else."""
_BESIDE_LETTERS = b"._~ /:?&=,-"
LOWER, UPPER = (letters.encode() + _BESIDE_LETTERS for letters in (string.ascii_lowercase, string.ascii_uppercase))
"""What plain language and paths are made of."""
# What is no shorter than the shortest piece that is replaced: a shorter word is never replaced for itself, and six
# letters of one case in a row are in one random token of five.
_WORDS = pattern(rb"[a-z._~ /:?&=,-]{%d,}|[A-Z._~ /:?&=,-]{%d,}" % (PIECE, PIECE))
_LOWER_WORD, _UPPER_WORD = _in_words(LOWER), _in_words(UPPER)

LONG_WORD = _in_words(_ALPHANUMERIC + b"_-+.~%")
"""Shows where the words are: most texts have no long one, and few secrets are without."""
ANY_WORD = _in_words(bytes(range(256)).translate(None, _WHITESPACE))
"""Shows the words of a text between its blanks."""
_RUNS = _in_words(_ALPHANUMERIC + b"+-_")
OF_WORDS = _ALPHANUMERIC + b"_-+.~"
"""What most secrets are made of."""
RUN = pattern(rb"[A-Za-z0-9+_-]{%d,}" % ENCODED)
"""What may be encoded."""
_AROUND = pattern(rb"[A-Za-z0-9+/=_-]*")


NEVER = b"\0"
"""What is in nothing that is blurred."""


def _blurring() -> bytes:
    """Return a table that makes one of two letters or digits, drawn at random; what is kept does not tell which it was.

    Digits and the letters of hexadecimal numbers go with others: two such numbers differ as they did before.
    """
    table = bytearray(range(256))
    table[NEVER[0]] = ord("?")
    letters = list(_ALPHANUMERIC.translate(None, _HEX))
    SystemRandom().shuffle(letters)
    others = len(letters) - len(_HEX)
    half = len(_HEX) + others // 2
    for one, other in zip((*_HEX, *letters[half:]), letters[:half], strict=True):
        table[one] = other
    return bytes(table)


BLURRED = _blurring()
"""Makes of a text or value what is kept and compared; what is neither letter nor digit stays."""


class _Splitters(dict[int, "Callable[..., tuple[bytes, ...]]"]):
    """What takes so many pieces, side by side, out of bytes."""

    def __missing__(self, number: int) -> Callable[..., tuple[bytes, ...]]:
        self[number] = made = Struct("6s" * number).unpack_from
        return made


_SPLITTERS = _Splitters()


def _parts(data: bytes) -> Iterator[tuple[int, bytes]]:
    for start in range(0, len(data) - GRAM + 1, _CHUNK):
        yield start, data[start : start + _CHUNK + GRAM - 1]


def pieces_of_text(data: bytes) -> list[bytes]:
    """Return the pieces in the places 0 and 1 of each six, in any order."""
    size = len(data)
    if size <= _CHUNK + GRAM:
        return [*_SPLITTERS[size // GRAM](data), *_SPLITTERS[(size - 1) // GRAM](data, 1)]
    return [piece for _, part in _parts(data) for piece in pieces_of_text(part)]


def places_of(data: bytes, *known: AbstractSet[bytes]) -> Iterator[int]:
    """Yield those of two of six places in a row in which there is a piece that is in one of the sets."""
    for start, part in _parts(data):
        pieces = pieces_of_text(part)
        if not all(each.isdisjoint(pieces) for each in known):
            for place in range(len(part) - GRAM + 1):
                piece = part[place : place + GRAM]
                if place % GRAM <= 1 and any(piece in each for each in known):
                    yield start + place


def pieces_of_value(data: bytes, words: Collection[int]) -> list[bytes]:
    """Return every second piece, in any order, but those that are words: no value may make plain language a secret."""
    if not words:
        size, split = len(data), _SPLITTERS
        return [
            *split[size // GRAM](data),
            *split[(size - 2) // GRAM](data, 2),
            *split[(size - 4) // GRAM](data, 4),
        ]
    return [data[place : place + GRAM] for place in range(0, len(data) - GRAM + 1, 2) if place not in words]


def words_in(data: bytes) -> Collection[int]:
    """Return the places of the pieces that may be plain language or a path."""
    if LONG not in data.translate(_LOWER_WORD) and LONG not in data.translate(_UPPER_WORD):
        return ()
    return {place for word in _WORDS.finditer(data) for place in range(word.start(), word.end() - GRAM + 1)}


def bytes_of(value: str) -> bytes:
    """Return what is known of a value: of a JWT its signature, of an endless value both ends."""
    data = value.encode("latin-1", "replace")
    if data.startswith(b"eyJ") and b"." in data:
        tail = data.rpartition(b".")[2][:_LONGEST]
        return tail if len(tail) >= PIECE else data[:_LONGEST]
    return data if len(data) <= _LONGEST else b"%b\0%b" % (data[: _LONGEST // 2], data[-_LONGEST // 2 :])


# Encoded text ---------------------------------------------------------------------------------------------------------


def all_decoded(data: bytes) -> bytes:
    """Return what the runs of letters and digits in a text may stand for, one after the other."""
    if LONG_RUN not in data.translate(_RUNS):
        return b""
    return b"\n".join([decoded(run) for run in data.translate(TO_BASE64).split() if len(run) >= ENCODED])


def decoded(run: bytes) -> bytes:
    """Return what a run of at least 16 letters and digits may stand for: each alignment of base64 and hexadecimal."""
    size = len(run)
    found = [a2b_base64(run[start : start + (size - start & ~3)]) for start in (0, 1, 2, 3)]
    if not run.strip(_HEX):
        found.extend(bytes.fromhex(run[start : start + (size - start & ~1)].decode()) for start in (0, 1))
    return b"\n".join(found)


def widened(data: bytes, start: int, end: int) -> tuple[int, int]:
    """Take in what else belongs to an encoded value: its run ends at a slash, the value need not."""
    around = _AROUND.match(data, end)
    end = end if around is None else around.end()
    while start > 0 and data[start - 1 : start].translate(TO_BASE64) != b" ":
        start -= 1
    return start, end
