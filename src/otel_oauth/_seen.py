"""Secrets known by value: what this process has just seen as a code, token, state, verifier or secret.

What is kept of a value is blurred: each letter and digit stands for two, in each process others, so that it can be
compared with a text and does not stand in memory as it is. Its pieces of six bytes tell quickly that a text holds
none: two of six places in a row are looked at, and whatever holds twelve consecutive characters of a value holds a
piece of it there. What may be plain language or a path counts for nothing. Base64 and hexadecimal forms are decoded
and looked at in the same way. Memory is bounded by two generations: when the young one is full it becomes the old one,
whose values are forgotten.
"""

from __future__ import annotations

import os
from bisect import bisect_left, bisect_right
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from otel_oauth._pieces import (
    ANY_WORD,
    BLURRED,
    ENCODED,
    GRAM,
    LONG,
    LONG_WORD,
    LOWER,
    NEVER,
    OF_WORDS,
    PIECE,
    RUN,
    TO_BASE64,
    UPPER,
    all_decoded,
    bytes_of,
    decoded,
    pieces_of_text,
    pieces_of_value,
    places_of,
    widened,
    words_in,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_LIMIT = 73_728  # characters
_MOST_WATCHED = 65_536
_MOST_PLACES = 16
_MARK_BYTES = 3

_SPACES = {
    "code": b"code",
    "state": b"state",
    "access_token": b"token",
    "refresh_token": b"token",
    "id_token": b"token",
    "token": b"token",
    "jwt": b"token",
    "authorization": b"token",
}


class Mark(NamedTuple):
    """What stands in the place of a value: its kind, and its short digest."""

    kind: str
    digest: str


class Region(NamedTuple):
    """A part of a text that is to be replaced."""

    start: int
    end: int
    mark: Mark


_Kept: TypeAlias = "tuple[str, bytes, Sequence[int]]"
"""Of a value its kind, its digest, and which of its pieces are words, in order. No class: many are made."""


class _Generation:
    """What was remembered until the next generation began.

    :ivar values: the hashes of whole values, with the key that they were marked with.
    :ivar pieces: the pieces of values.
    :ivar kept: the values.
    :ivar joined: the same one after the other, the newest last.
    :ivar size: how many characters they have.
    """

    __slots__ = ("joined", "kept", "pieces", "size", "values")

    def __init__(self) -> None:
        self.values: dict[int, bytes] = {}
        self.pieces: set[bytes] = set()
        self.kept: dict[bytes, _Kept] = {}
        self.joined = bytearray()
        self.size = 0

    def longest(self, data: bytes, place: int, least: int) -> tuple[Region | None, bool]:
        """Return how far the text around a piece is that of a value, if that is enough without plain words.

        Also tell whether no other value goes further: of those that begin alike only the newest are looked at.
        """
        piece, joined = data[place : place + GRAM], self.joined
        longest: Region | None = None
        at = joined.rfind(piece)
        for _ in range(_MOST_PLACES):
            if at < 0:
                return longest, True
            first = joined.rfind(NEVER, 0, at) + 1
            value = bytes(joined[first : joined.find(NEVER, at)])
            before, after = _alike_around(data, place, least, value, at - first)
            kind, digest, words = self.kept[value]
            here = at - first
            plain = bisect_right(words, here + after - GRAM) - bisect_left(words, here - before)
            if before + after - plain >= PIECE and (longest is None or before + after > longest.end - longest.start):
                longest = Region(place - before, place + after, Mark(kind, digest[:_MARK_BYTES].hex()))
                if before + after == len(value):
                    return longest, True
            at = joined.rfind(piece, 0, at + GRAM - 1)
        return longest, at < 0


def keyed(key: bytes, space: bytes) -> blake2b:
    """Return the hash that digests a value of a kind under ``key``, before it takes the value in.

    The key goes before the value: as a parameter it would be padded to a block, to be hashed anew for each value.
    BLAKE2 cannot be extended, so that keys it as well.
    """
    return blake2b(key, digest_size=16, person=space)


class Seen:
    """The values that were seen, and the key of the short digests.

    :ivar key: keys the digests; the ledger's, once there is one, so that the workers of a host write the same digest.
    :ivar active: nothing is remembered while this is false.
    :ivar generation: changes with each value that is remembered.
    :ivar watched_generation: changes with each value that may be in a watched text (see :meth:`watch`).
    """

    def __init__(self) -> None:
        self.key = os.urandom(32)
        self.active = False
        self.generation = 0
        self.watched_generation = 0
        self._watched: set[bytes] = set()
        self._word = LONG_WORD
        self._young, self._old = _Generation(), _Generation()

    def forget(self) -> None:
        """Forget every value."""
        self._young, self._old = _Generation(), _Generation()
        self._word = LONG_WORD
        self._changed()

    def _changed(self) -> None:
        self._watched = set()
        self.watched_generation += 1
        self.generation += 1

    def _digest(self, kind: str, value: str) -> bytes:
        hashed = keyed(self.key, _SPACES.get(kind) or kind.encode()[:16])
        hashed.update(value.encode("utf-8", "surrogatepass"))
        return hashed.digest()

    def mark(self, kind: str, value: str) -> Mark:
        """Return the mark of a value: the same for the same value, whatever kind of token it is called."""
        return Mark(kind, self._digest(kind, value)[:_MARK_BYTES].hex())

    def known(self, value: str) -> bool:
        """Tell whether a value was remembered a short time ago; also a text that :meth:`holding` was told of."""
        return self._young.values.get(hash(value)) == self.key

    def holding(self, text: str, kind: str, value: str) -> None:
        """Remember a value, and that ``text`` holds no other: a header that comes with each request, say."""
        self.learn(kind, value)
        young = self._young
        if self.known(value):  # else ever more texts could be remembered, and nothing that bounds their number
            young.values[hash(text)] = self.key
            young.size += PIECE
            self._grown(young)

    def learn(self, kind: str, value: str, digest: bytes | None = None) -> None:
        """Remember a value of at least twelve characters; ``digest`` is the ledger's, if it has one already."""
        young, number = self._young, hash(value)
        if not self.active or len(value) < PIECE or young.values.get(number) == self.key:
            return
        data = bytes_of(value)
        words, blurred = words_in(data), data.translate(BLURRED)
        pieces = pieces_of_value(blurred, words)
        young.kept[blurred] = kind, self._digest(kind, value) if digest is None else digest, tuple(sorted(words))
        young.joined += blurred + NEVER
        young.pieces.update(pieces)
        if self._word is LONG_WORD and data.translate(None, OF_WORDS):
            self._word = ANY_WORD
            self._changed()
        elif not self._watched.isdisjoint(pieces):
            self._changed()
        young.values[number] = self.key
        self.generation += 1
        young.size += len(data)
        if young.size > _LIMIT:
            self._grown(young)

    def _grown(self, young: _Generation) -> None:
        if young.size > _LIMIT and young is self._young:
            self._old, self._young = young, _Generation()

    # Texts ------------------------------------------------------------------------------------------------------------

    def _pieces(self, text: str) -> list[bytes]:
        """Return those pieces of a text that may be of a value, also of what is encoded in it: of most texts none."""
        data, word = text.encode("latin-1", "replace"), self._word
        # A regular expression takes many times as long to find out that no word is long.
        words = data.translate(word)
        first = words.find(LONG)
        if first < 0:
            return []
        plain = word is LONG_WORD  # then no value goes beyond a word
        if plain:
            data = data[first : words.rfind(LONG) + PIECE]
            if not data.strip(LOWER) or not data.strip(UPPER):
                return []
        pieces = pieces_of_text(data.translate(BLURRED))
        if len(data) >= ENCODED:
            other = all_decoded(data)
            if other and (not plain or LONG in other.translate(word)):
                pieces += pieces_of_text(other.translate(BLURRED))
        return pieces

    def absent(self, text: str) -> bool:
        """Tell quickly that no piece of a known value is in ``text``, in whatever form; false means: look closer."""
        young, old = self._young.pieces, self._old.pieces
        if len(text) < PIECE or not (young or old):
            return True
        pieces = self._pieces(text)
        return not pieces or (young.isdisjoint(pieces) and old.isdisjoint(pieces))

    def watch(self, text: str) -> bool:
        """Have :attr:`watched_generation` changed by any value to come that may be in ``text``; false if one is now."""
        if len(self._watched) > _MOST_WATCHED:
            self._changed()
        if len(text) >= PIECE:
            self._watched.update(self._pieces(text))
        return self.absent(text)

    def find(self, text: str) -> list[Region]:
        """Return where known values, or pieces of them, are."""
        if len(text) < PIECE or not (self._young.pieces or self._old.pieces):
            return []
        data = text.encode("latin-1", "replace")
        found = list(self._regions(data))
        for run in RUN.finditer(data):
            # One alignment after the other in one text: mostly there is nothing in any.
            for region in self._regions(decoded(run.group().translate(TO_BASE64))):
                found.append(Region(*widened(data, run.start(), run.end()), region.mark))
                break
        return found

    def _regions(self, data: bytes) -> Iterator[Region]:
        young, old = self._young, self._old
        data = data.translate(BLURRED)
        done, waiting = 0, None
        for place in places_of(data, young.pieces, old.pieces):
            if waiting is not None and place > waiting.end:
                yield waiting
                done, waiting = waiting.end, None
            if place >= done:
                (newer, sure), (older, also) = young.longest(data, place, done), old.longest(data, place, done)
                waiting = _longer(waiting, _longer(newer, older))
                if waiting is not None and sure and also:
                    yield waiting
                    done, waiting = waiting.end, None
        if waiting is not None:
            yield waiting


def _alike_around(data: bytes, place: int, least: int, value: bytes, at: int) -> tuple[int, int]:
    """Return how many bytes before a place of a text, and from it on, are those of a value before and from another."""
    before = _alike(data[max(least, place - at) : place][::-1], value[:at][::-1])
    return before, _alike(data[place : place + len(value) - at], value[at:])


def _longer(one: Region | None, other: Region | None) -> Region | None:
    if one is None or other is None:
        return one or other
    return other if other.end - other.start > one.end - one.start else one


def _alike(one: bytes, other: bytes) -> int:
    """Return how many bytes at the beginning are the same."""
    least, most = 0, min(len(one), len(other))
    middle = most
    while least < most:  # by halves: whoever presents values that begin alike makes this happen often
        if one[least:middle] == other[least:middle]:
            least = middle
        else:
            most = middle - 1
        middle = (least + most + 1) // 2
    return least


SEEN = Seen()
"""The values that this process has seen."""
