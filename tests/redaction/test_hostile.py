"""Hostile text: no exception, no secret left over, and time in proportion to its length."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_oauth import redaction
from otel_oauth._seen import SEEN
from otel_oauth.redaction._names import Names
from otel_oauth.redaction._policy import Policy
from otel_oauth.redaction._text import regions

if TYPE_CHECKING:
    from collections.abc import Callable

SECRET = "aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC1dF3hJ5kL7nP9r"
FRAGMENTS = (
    *("code", "state", "access_token", "client_id", "Authorization", "cookie", "name", "value", "request_uri"),
    *("=", ":", "=>", "&", "?", "'", '"', "\\", '\\"', "b'", "[", "]", "(", ")", "{", "}", ",", " ", "\n", "<", ">"),
    *("%3D", "%25", "%2", "%", "Bearer ", "Basic ", "eyJ", "eyJhbGciOiJ9.", "://a:b@"),
    *("[redacted:", "[redacted:code:1f3a9c]"),
    *(SECRET, SECRET[:20], "é", "\0", "urn:ietf:params:oauth:request_uri:", "A" * 40, "0" * 40),
)  # fmt: skip
texts = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=5), max_size=40).map("".join)


@settings(max_examples=60)
@given(texts)
def test_any_text_can_be_redacted(text: str) -> None:
    redaction.install(redaction_patterns="ghp_*")
    redaction.seen("code", SECRET)
    redacted = redaction.redact(text)
    for start in range(0, len(SECRET) - 12, 3):
        assert SECRET[start : start + 12] not in redacted or "client_id" in text
    redaction.redact(redacted)


@settings(max_examples=60)
@given(texts)
def test_the_regions_are_in_order_and_apart(text: str) -> None:
    SEEN.active = True
    redaction.seen("code", SECRET)
    place = 0
    for region in regions(text, Policy(Names(), strict=True, prefixes=("ghp_",))):
        assert place <= region.start < region.end <= len(text)
        place = region.end


values = st.recursive(
    texts | st.none() | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=30)
@given(values)
def test_any_value_can_be_redacted(value: object) -> None:
    redaction.install()
    redaction.seen("code", SECRET)
    assert redaction._sources is not None
    redactor = redaction._sources.redactor
    assert redactor is not None
    redactor.value(value, "log")


REPEATED = [
    *(
        "a",
        "\\",
        "eyJ",
        "://a:",
        "%25",
        "%",
        "code:",
        "code:[",
        "code:{",
        'code="',
        "code:\\'",
        "token=('",
        "name=code ",
    ),
    *("authorization: ", "cookie: ", "cookie=a=b", "Bearer ", "a=", "a='", "', '", "state=%3D", "AAAA", "aB3dE5"),
    *("access_token=[redacted:x", "authorization: Bearer [redacted:", "urn:ietf:params:oauth:request_uri:", "ghp_"),
    f"client_id=a&code={SECRET[:30]} ",
    *(
        "&quot;code",
        "\\u0026code=",
        "code[0]",
        "<code>",
        'name="code"\r\nContent-',
        "name=code\\r\\n",
        "code is ",
        "state ",
        "state mismatch: ",
        "code | \t",
    ),
]


@pytest.mark.parametrize("unit", REPEATED)
def test_the_time_is_in_proportion_to_the_length(install: Callable[..., None], unit: str) -> None:
    """A step of eight in length may take a step of about eight in time; what backtracks takes 64."""
    install()
    redaction.seen("code", SECRET)
    policy = Policy(Names(), strict=True, prefixes=("ghp_",))

    def seconds(length: int) -> float:
        text = unit * (length // len(unit))
        best = float("inf")
        for _ in range(2):
            began = time.process_time()
            regions(text, policy)
            best = min(best, time.process_time() - began)
        return best

    short, long = seconds(800), seconds(6400)
    assert long < 24 * max(short, 0.0002)


def test_many_values_that_begin_alike_do_not_multiply_the_time(install: Callable[..., None]) -> None:
    """Whoever presents twenty codes of one beginning, and sends long texts of it, pays for nobody else's time."""
    install()
    text = ("aB3dE5" + "q" * 490 + "!") * 16

    def seconds(codes: int) -> float:
        SEEN.forget()
        for number in range(codes):
            redaction.seen("code", f"aB3dE5{'q' * 480}{number:02d}")
        best = float("inf")
        for _ in range(5):
            began = time.process_time()
            SEEN.find(text)
            best = min(best, time.process_time() - began)
        return best

    assert seconds(20) < 3 * seconds(1)
