"""Secrets known by value: what this process has just seen as a code, token, state, verifier or secret.

Of each value every piece of six bytes is kept as a hash (keyed by the interpreter, for this process alone), never the
value itself; of every seventh piece it is known whose it is. A text is looked at in every seventh place only: whatever
holds twelve consecutive characters of a value holds one of its pieces there. Pieces of what may be plain language or a
path are kept apart: they only lead from one part of a value that was found to the next. Base64 and hexadecimal forms
are decoded and looked at in the same way. Memory is bounded by two generations: when the young one is full it becomes
the old one, whose values are forgotten.
"""

from __future__ import annotations

import os
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

from otel_oauth._pieces import (
    ANY_WORD,
    CHUNK,
    GRAM,
    LONG,
    LONG_RUN,
    LONG_WORD,
    OF_WORDS,
    PIECE,
    RUN,
    RUNS,
    SPLITTERS,
    STRIDE,
    TO_BASE64,
    all_decoded,
    decoded,
    grams_of,
    parts_of,
    pieces_of,
    widened,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_LIMIT = 65_536
_MARK_BYTES = 3

OWN = "client "
"""What stands before a client's own token in the ledger (``own_tokens.own``): in a log it stands without that."""

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


_SEVERAL = Mark("token", "0" * 2 * _MARK_BYTES)
"""Of what is made of small pieces of several values."""


class _Generation:
    """What was remembered until the next generation began.

    :ivar pieces: the hashes of the pieces of values; ``words`` those that may be plain language.
    :ivar marks: of every seventh piece what is to stand in the place of its value.
    :ivar values: the hashes of whole values, with the key that they were marked with.
    """

    __slots__ = ("marks", "pieces", "values", "words")

    def __init__(self) -> None:
        self.pieces: set[int] = set()
        self.words: set[int] = set()
        self.marks: dict[int, Mark] = {}
        self.values: dict[int, bytes] = {}


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
        self._watched: set[int] = set()
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

    def mark(self, kind: str, value: str) -> Mark:
        """Return the mark of a value: the same for the same value, whatever kind of token it is called."""
        digest = blake2b(
            value.encode("utf-8", "surrogatepass"),
            key=self.key[:64],
            digest_size=16,
            person=_SPACES.get(kind) or kind.encode()[:16],
        ).digest()
        return Mark(kind, digest[:_MARK_BYTES].hex())

    def known(self, value: str) -> bool:
        """Tell whether a value was remembered a short time ago; also a text that :meth:`holding` was told of."""
        return self._young.values.get(hash(value)) == self.key

    def holding(self, text: str, kind: str, value: str) -> None:
        """Remember a value, and that ``text`` holds no other: a header that comes with each request, say."""
        self.learn(kind, value)
        if self.known(value):  # else ever more texts could be remembered, and nothing that bounds their number
            self._young.values[hash(text)] = self.key

    def learn(self, kind: str, value: str, digest: bytes | None = None) -> None:
        """Remember a value of at least twelve characters; ``digest`` is the ledger's, if it has one already."""
        if digest is not None and value.startswith(OWN):
            value, digest = value[len(OWN) :], None
        if not self.active or len(value) < PIECE or self.known(value):
            return
        young = self._young
        mark = self.mark(kind, value) if digest is None else Mark(kind, digest[:_MARK_BYTES].hex())
        for part in parts_of(value):
            data = part.encode("latin-1", "replace")
            if self._word is LONG_WORD and data.translate(None, OF_WORDS):
                self._word = ANY_WORD
            marked, pieces, words = pieces_of(data)
            young.marks.update(dict.fromkeys(marked, mark))
            young.pieces.update(pieces)
            if pieces and words:
                young.words.update(words)
            if not self._watched.isdisjoint(pieces):
                self._changed()
        young.values[hash(value)] = self.key
        if len(young.pieces) + len(young.words) > _LIMIT:
            self._old, self._young = young, _Generation()
        self.generation += 1

    def _strange(self, data: bytes) -> bool:
        young, old = self._young.pieces, self._old.pieces
        if len(data) <= CHUNK:
            grams = map(hash, SPLITTERS[(len(data) - GRAM) // STRIDE](data))
            if not old:
                return young.isdisjoint(grams)
            return not any(gram in young or gram in old for gram in grams)
        return all(young.isdisjoint(grams) and old.isdisjoint(grams) for _, grams in grams_of(data))

    def absent(self, text: str) -> bool:
        """Tell quickly that no piece of a known value is in ``text``, in whatever form; false means: look closer."""
        if len(text) < PIECE or not self._young.pieces:
            return True
        data = text.encode("latin-1", "replace")
        # A regular expression takes many times as long to find out that no word is long.
        words = data.translate(self._word)
        first = words.find(LONG)
        if first < 0:
            return True
        plain = self._word is LONG_WORD  # then no value goes beyond a word
        if not self._strange(data[first : words.rfind(LONG) + PIECE] if plain else data):
            return False
        return LONG_RUN not in data.translate(RUNS) or all(self._strange(decoded) for decoded in all_decoded(data))

    def watch(self, text: str) -> bool:
        """Have :attr:`watched_generation` changed by any value to come that may be in ``text``; false if one is now."""
        if len(text) >= PIECE:
            data = text.encode("latin-1", "replace")
            for part in (data, *all_decoded(data)):
                for _, grams in grams_of(part):
                    self._watched.update(grams)
        return self.absent(text)

    def find(self, text: str) -> list[Region]:
        """Return where known values, or pieces of them, are."""
        if len(text) < PIECE or not self._young.pieces:
            return []
        data = text.encode("latin-1", "replace")
        found = list(self._pieces(data))
        for run in RUN.finditer(data):
            mark = self._in_encoded(run.group().translate(TO_BASE64))
            if mark is not None:
                found.append(Region(*widened(data, run.start(), run.end()), mark))
        return found

    def _in_encoded(self, run: bytes) -> Mark | None:
        for plain in decoded(run):
            for region in self._pieces(plain):
                return region.mark
        return None

    def _pieces(self, data: bytes) -> Iterator[Region]:
        done = 0
        young, old = self._young.pieces, self._old.pieces
        for start, grams in grams_of(data):
            for number, gram in enumerate(grams):
                place = start + number * STRIDE
                if place < done or (gram not in young and gram not in old):
                    continue
                region, words = self._extent(data, place, done)
                done = region.end
                if region.end - region.start - words >= PIECE:
                    yield region

    def _extent(self, data: bytes, place: int, least: int) -> tuple[Region, int]:
        """Return where the known pieces around one of them begin and end, and how many places of that are words."""
        generations = self._young, self._old
        first = last = place
        mark = self._mark_of(data, place)
        words = 0
        for step, limit in ((-1, least), (1, len(data) - GRAM)):
            at = place
            while at != limit:
                gram = hash(data[at + step : at + step + GRAM])
                if not any(gram in generation.pieces for generation in generations):
                    if not any(gram in generation.words for generation in generations):
                        break
                    words += 1
                at += step
                mark = mark or self._mark_of(data, at)
            first, last = min(first, at), max(last, at)
        return Region(first, last + GRAM, mark or _SEVERAL), words

    def _mark_of(self, data: bytes, place: int) -> Mark | None:
        gram = hash(data[place : place + GRAM])
        return self._young.marks.get(gram) or self._old.marks.get(gram)


SEEN = Seen()
"""The values that this process has seen."""
