"""Secrets known by value: what this process has just seen as a code, token, state, verifier or secret.

Of each value every piece of six bytes is kept as a hash (keyed by the interpreter, for this process alone), never the
value itself. A text is looked at in every seventh place only: whatever holds twelve consecutive characters of a value
holds one of its pieces there. Pieces of what may be plain language or a path are kept apart: they only lead from one
part of a value that was found to the next. Base64 and hexadecimal forms are decoded and looked at in the same way.
Memory is bounded by two generations: when the young one is full it becomes the old one, whose values are forgotten.
"""

from __future__ import annotations

import os
import string
from binascii import a2b_base64
from hashlib import blake2b
from struct import Struct
from typing import TYPE_CHECKING, NamedTuple

from otel_oauth._patterns import pattern

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PIECE = 12
"""The shortest piece of a known value that is found, in characters."""

_GRAM = 6
_STRIDE = PIECE - _GRAM + 1
_LIMIT = 65_536
_LONGEST = 512
_CHUNK = _STRIDE * 256
_ENCODED = 16
_MARK_BYTES = 3
_LONG, _LONG_RUN = b"x" * PIECE, b"x" * _ENCODED

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


def _in_words(letters: bytes) -> bytes:
    """Return a table that makes an ``x`` of each of the ``letters``, and a space of all else."""
    table = bytearray(b" " * 256)
    for letter in letters:
        table[letter] = ord("x")
    return bytes(table)


_ALPHANUMERIC = (string.ascii_letters + string.digits).encode()
_WHITESPACE = b"\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f \x85\xa0"
_HEX = b"0123456789abcdefABCDEF"
_TO_BASE64 = bytes(
    byte if byte in _ALPHANUMERIC else {ord("+"): ord("+"), ord("-"): ord("+"), ord("_"): ord("/")}.get(byte, ord(" "))
    for byte in range(256)
)
# What is no shorter than the shortest piece that is replaced: a shorter word is never replaced for itself, and six
# letters of one case in a row are in one random token of five.
_WORDS = pattern(rb"[a-z._~ /:?&=,-]{%d,}|[A-Z._~ /:?&=,-]{%d,}" % (PIECE, PIECE))
_LONG_WORD = _in_words(_ALPHANUMERIC + b"_-+.~%")
"""Shows where the words are: most texts have no long one, and few secrets are without."""
_ANY_WORD = _in_words(bytes(range(256)).translate(None, _WHITESPACE))
_RUNS = _in_words(_ALPHANUMERIC + b"+-_")
_OTHER_CHARACTER = pattern(r"[^A-Za-z0-9_\-+.~]")
_RUN = pattern(rb"[A-Za-z0-9+_-]{%d,}" % _ENCODED)
_AROUND = pattern(rb"[A-Za-z0-9+/=_-]*")


class Mark(NamedTuple):
    """What stands in the place of a value: its kind, and its short digest."""

    kind: str
    digest: str


class Region(NamedTuple):
    """A part of a text that is to be replaced."""

    start: int
    end: int
    mark: Mark


class _Splitters(dict[int, "Callable[..., tuple[bytes, ...]]"]):
    """What takes every seventh piece out of bytes: by their number, less one."""

    def __missing__(self, before: int) -> Callable[..., tuple[bytes, ...]]:
        self[before] = made = Struct("6sx" * before + "6s").unpack_from
        return made


_SPLITTERS = _Splitters()


def _grams(data: bytes) -> Iterator[tuple[int, list[int]]]:
    """Yield the hashes of every seventh piece, in chunks with their place."""
    size = len(data)
    for start in range(0, size - _GRAM + 1, _CHUNK):
        before = (min(size - start, _CHUNK + _GRAM - 1) - _GRAM) // _STRIDE
        yield start, list(map(hash, _SPLITTERS[before](data, start)))


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
        self._word = _LONG_WORD
        self._values: tuple[dict[int, bytes], dict[int, bytes]] = ({}, {})  # with the key that they were marked with
        self._young: dict[int, Mark] = {}
        self._old: dict[int, Mark] = {}
        self._words: tuple[set[int], set[int]] = (set(), set())

    def forget(self) -> None:
        """Forget every value."""
        self._values, self._young, self._old, self._words = ({}, {}), {}, {}, (set(), set())
        self._word = _LONG_WORD
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

    def learn(self, kind: str, value: str, digest: bytes | None = None) -> None:
        """Remember a value of at least twelve characters; ``digest`` is the ledger's, if it has one already."""
        if digest is not None and value.startswith(OWN):
            value, digest = value[len(OWN) :], None
        if not self.active or len(value) < PIECE or self._values[0].get(hash(value)) == self.key:
            return
        mark = self.mark(kind, value) if digest is None else Mark(kind, digest[:_MARK_BYTES].hex())
        for part in _parts(value):
            if self._word is _LONG_WORD and _OTHER_CHARACTER.search(part) is not None:
                self._word = _ANY_WORD
            pieces, words = _pieces_of(part.encode("latin-1", "replace"))
            self._young.update(dict.fromkeys(pieces, mark))
            if pieces and words:
                self._words[0].update(words)
            if not self._watched.isdisjoint(pieces):
                self._changed()
        self._values[0][hash(value)] = self.key
        if len(self._young) + len(self._words[0]) > _LIMIT:
            self._old, self._young = self._young, {}
            self._values, self._words = ({}, self._values[0]), (set(), self._words[0])
        self.generation += 1

    def _find(self, gram: int) -> Mark | None:
        return self._young.get(gram) or self._old.get(gram)

    def _is_word(self, gram: int) -> bool:
        return gram in self._words[0] or gram in self._words[1]

    def _strange(self, data: bytes) -> bool:
        young, old = self._young.keys(), self._old.keys()
        if len(data) <= _CHUNK:
            grams = map(hash, _SPLITTERS[(len(data) - _GRAM) // _STRIDE](data))
            if not old:
                return young.isdisjoint(grams)
            return not any(gram in young or gram in old for gram in grams)
        return all(young.isdisjoint(grams) and old.isdisjoint(grams) for _, grams in _grams(data))

    def absent(self, text: str) -> bool:
        """Tell quickly that no piece of a known value is in ``text``, in whatever form; false means: look closer."""
        if len(text) < PIECE or not self._young:
            return True
        data = text.encode("latin-1", "replace")
        # A regular expression takes many times as long to find out that no word is long.
        words = data.translate(self._word)
        first = words.find(_LONG)
        if first < 0:
            return True
        plain = self._word is _LONG_WORD  # then no value goes beyond a word
        if not self._strange(data[first : words.rfind(_LONG) + PIECE] if plain else data):
            return False
        return _LONG_RUN not in data.translate(_RUNS) or all(self._strange(decoded) for decoded in _all_decoded(data))

    def watch(self, text: str) -> bool:
        """Have :attr:`watched_generation` changed by any value to come that may be in ``text``; false if one is now."""
        if len(text) >= PIECE:
            data = text.encode("latin-1", "replace")
            for part in (data, *_all_decoded(data)):
                for _, grams in _grams(part):
                    self._watched.update(grams)
        return self.absent(text)

    def find(self, text: str) -> list[Region]:
        """Return where known values, or pieces of them, are."""
        if len(text) < PIECE or not self._young:
            return []
        data = text.encode("latin-1", "replace")
        found = list(self._pieces(data))
        for run in _RUN.finditer(data):
            mark = self._in_encoded(run.group().translate(_TO_BASE64))
            if mark is not None:
                found.append(Region(*_widened(data, run.start(), run.end()), mark))
        return found

    def _in_encoded(self, run: bytes) -> Mark | None:
        for decoded in _decoded(run):
            for region in self._pieces(decoded):
                return region.mark
        return None

    def _pieces(self, data: bytes) -> Iterator[Region]:
        done = 0
        for start, grams in _grams(data):
            for number, gram in enumerate(grams):
                place = start + number * _STRIDE
                mark = self._find(gram) if place >= done else None
                if mark is None:
                    continue
                first, end, words = self._extent(data, place, done)
                done = end
                if end - first - words >= PIECE:
                    yield Region(first, end, mark)

    def _extent(self, data: bytes, place: int, least: int) -> tuple[int, int, int]:
        """Return where the known pieces around one of them begin and end, and how many places of that are words."""
        first = last = place
        words = 0
        for step, limit in ((-1, least), (1, len(data) - _GRAM)):
            at = place
            while at != limit:
                gram = hash(data[at + step : at + step + _GRAM])
                if self._find(gram) is None:
                    if not self._is_word(gram):
                        break
                    words += 1
                at += step
            first, last = min(first, at), max(last, at)
        return first, last + _GRAM, words


def _pieces_of(data: bytes) -> tuple[list[int], list[int]]:
    """Return the hashes of all pieces; apart, of those that are words: no value may make plain language a secret."""
    grams = [hash(data[i : i + _GRAM]) for i in range(len(data) - _GRAM + 1)]
    words = {i for word in _WORDS.finditer(data) for i in range(word.start(), word.end() - _GRAM + 1)}
    if not words:
        return grams, []
    return [gram for i, gram in enumerate(grams) if i not in words], [grams[i] for i in words]


def _parts(value: str) -> tuple[str, ...]:
    """Return what is indexed of a value: of a JWT its signature, of an endless value both ends."""
    if value.startswith("eyJ") and "." in value:
        tail = value.rpartition(".")[2][:_LONGEST]
        return (tail,) if len(tail) >= PIECE else (value[:_LONGEST],)
    if len(value) <= _LONGEST:
        return (value,)
    return value[: _LONGEST // 2], value[-_LONGEST // 2 :]


def _all_decoded(data: bytes) -> Iterator[bytes]:
    for run in data.translate(_TO_BASE64).split():
        if len(run) >= _ENCODED:
            yield from _decoded(run)


def _decoded(run: bytes) -> Iterator[bytes]:
    """Yield what a run of letters and digits may stand for: each alignment of base64 and hexadecimal."""
    if not run.strip(_HEX):
        for start in (0, 1):
            part = run[start:]
            decoded = bytes.fromhex(part[: len(part) & ~1].decode())
            if len(decoded) >= _GRAM:
                yield decoded
    for start in range(4):
        part = run[start:]
        decoded = a2b_base64(part[: len(part) & ~3])
        if len(decoded) >= _GRAM:
            yield decoded


def _widened(data: bytes, start: int, end: int) -> tuple[int, int]:
    """Take in what else belongs to an encoded value: its run ends at a slash, the value need not."""
    around = _AROUND.match(data, end)
    end = end if around is None else around.end()
    while start > 0 and data[start - 1 : start].translate(_TO_BASE64) != b" ":
        start -= 1
    return start, end


SEEN = Seen()
"""The values that this process has seen."""
