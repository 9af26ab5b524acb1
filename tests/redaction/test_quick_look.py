"""The quick looks that most texts pass: they must never pass what the thorough one would have found."""

from __future__ import annotations

import base64
import random
import re

import pytest

from otel_oauth import redaction
from otel_oauth._patterns import pattern
from otel_oauth._pieces import PIECE
from otel_oauth._seen import SEEN
from otel_oauth.redaction._names import Names
from otel_oauth.redaction._policy import Policy
from otel_oauth.redaction._redactor import _STEMS, Redactor

PARTS = (
    *_STEMS,
    "=",
    ":",
    "%3D",
    "&",
    "?",
    "'",
    '"',
    "@",
    " ",
    "\n",
    "_",
    "-",
    "7",
    "é",
    "K",
    "order",
    "Shipped",
    "zz",
)


def redactor(*, keys: tuple[str, ...] = (), prefixes: tuple[str, ...] = ()) -> Redactor:
    return Redactor(Policy(Names(keys), prefixes=prefixes), lambda _signal, _kind: None)


@pytest.mark.parametrize("own", [False, True], ids=["built in", "the user's too"])
def test_words_that_are_known_hide_no_stem(*, own: bool) -> None:
    chosen = random.Random(3)  # noqa: S311 the same texts each time
    looked = redactor(keys=("X-Shop_Pass9",), prefixes=("GHP_",)) if own else redactor()
    parts = (*PARTS, "shop", "Pass9", "ghp_") if own else PARTS
    suspicious = 0
    for _ in range(2000):
        text = "".join(chosen.choice(parts) for _ in range(chosen.randint(1, 6)))
        text = "".join(character.upper() if chosen.random() < 0.2 else character for character in text)
        if looked._has_stem(text):
            suspicious += 1
            assert looked._suspicious(text), text
    assert 200 < suspicious < 2000


def test_a_long_text_is_looked_at_as_a_whole() -> None:
    text = "order " * 2000
    assert not redactor()._suspicious(text)
    assert redactor()._suspicious(text + "code=x")


@pytest.mark.parametrize("strange", ["", "!"], ids=["letters", "other characters"])
def test_no_piece_of_a_known_value_is_missed(*, strange: str) -> None:
    redaction.install()
    chosen = random.Random(5)  # noqa: S311 the same values each time
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
    for _ in range(100):
        secret = "".join(chosen.choice(letters) for _ in range(20)) + strange
        redaction.seen("code", secret)
        before = "GET /some/long-resource-name x " if chosen.random() < 0.5 else "x" * chosen.randint(0, 9)
        start = chosen.randint(0, 20 - PIECE)
        piece = secret[start : start + PIECE]
        assert not SEEN.absent(f"{before}{piece} y"), piece
        assert not SEEN.absent(f"{before} {base64.b64encode(secret.encode()).decode()} y")
    assert SEEN.absent("GET /some/long-resource-name/0123456789abcdef0123456789abcdef HTTP/1.1")


def test_a_percent_encoded_text_is_not_trusted_beyond_the_next_value() -> None:
    """What is watched for is not decoded: a value that becomes known later may be in it."""
    redaction.install()
    secret = "s-8fJ2kd93+JfkQ/01xyZk81"
    text = f"GET /x/{secret}/y".replace("+", "%2B").replace("/", "%2F")
    for _ in range(3):
        redaction.redact(f"unrelated\n{text}")
        assert redaction.redact(text) == text
        redaction.seen("code", "Zx8fJ2kd93JfkQ01-" + "q" * len(text))
    redaction.seen("code", secret)
    left = redaction.redact(text)
    assert "JfkQ" not in left
    assert "Zk81" not in left


def test_the_digests_of_our_own_events_are_not_looked_at() -> None:
    names = Names()
    own = names.get("oauth.token_family.digest")
    assert own is not None
    assert own.readable
    assert names.get("shop.digest") is None
    token = names.get("oauth.token")
    assert token is not None
    assert not token.readable


def test_an_expression_is_compiled_when_it_is_used() -> None:
    found = pattern(r"(a+)b", re.IGNORECASE)
    assert "search" not in vars(found)
    match = found.search("xAAb")
    assert match is not None
    assert match.group(1) == "AA"
    assert [each.span() for each in found.finditer("ab ab")] == [(0, 2), (3, 5)]
    assert "search" in vars(found)
    with pytest.raises(re.error):
        pattern("(").search("x")
