"""Made-up secrets that can be told from everything else, and the search for them in what a process left behind."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections import defaultdict
from urllib.parse import quote

PIECE = 12
"""The shortest piece of a secret that counts as found, in characters."""

_RUN = re.compile(rb"[A-Za-z0-9+/_.~%=-]{12,}")  # what every form of a secret is made of
_BASE64_PIECE = 16
_HEX_PIECE = 24


class Canaries:
    """The secrets of one run: a program and whoever drives it make the same ones from the same seed.

    :ivar known: every secret and what it is.
    """

    def __init__(self, seed: str) -> None:
        self._seed = seed.encode()
        self._counts: defaultdict[str, int] = defaultdict(int)
        self.known: dict[str, str] = {}

    def of(self, kind: str, number: int = 0) -> str:
        """Return the secret of that kind and number: 43 characters of base64url, as real ones are."""
        digest = hmac.digest(self._seed, f"{kind} {number}".encode(), hashlib.sha256)
        return self.also(kind, base64.urlsafe_b64encode(digest).rstrip(b"=").decode())

    def next(self, kind: str) -> str:
        """Return the next secret of that kind."""
        self._counts[kind] += 1
        return self.of(kind, self._counts[kind])

    def also(self, kind: str, value: str) -> str:
        """Add a secret that somebody else made."""
        self.known[value] = kind
        return value

    def expect(self, kind: str, most: int) -> None:
        """Add what the program made, up to the ``most``-th."""
        for number in range(1, most + 1):
            self.of(kind, number)

    def found_in(self, data: bytes) -> set[str]:
        """Return the kinds of secrets, and their forms, of which ``data`` holds a piece."""
        pieces = self._pieces()
        found = set()
        runs = set(_RUN.findall(data))
        for length in {len(piece) for piece in pieces}:
            there = {run[i : i + length] for run in runs for i in range(len(run) - length + 1)}
            found |= {pieces[piece] for piece in pieces.keys() & there}
        return found

    def _pieces(self) -> dict[bytes, str]:
        pieces: dict[bytes, str] = {}
        for value, kind in self.known.items():
            for form, text, length in forms(value):
                for i in range(len(text) - length + 1):
                    pieces.setdefault(text[i : i + length].encode(), f"{kind} {form}")
        return pieces


def forms(value: str) -> list[tuple[str, str, int]]:
    """Return the forms in which a secret may turn up, each with the length of the shortest piece of it."""
    found = [("raw", value, PIECE)]
    if quote(value, safe="") != value:
        found.append(("percent-encoded", quote(value, safe=""), PIECE))
    data = value.encode()
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + data).decode()
        # What depends on the neighbours alone is cut off at both ends.
        inner = encoded[(0, 2, 3)[shift] : len(encoded) - (0, 4, 4)[(shift + len(data)) % 3]].rstrip("=")
        found += [("base64", inner, _BASE64_PIECE), ("base64url", inner.translate({43: 45, 47: 95}), _BASE64_PIECE)]
    return [*found, ("hex", data.hex(), _HEX_PIECE), ("hex", data.hex().upper(), _HEX_PIECE)]
