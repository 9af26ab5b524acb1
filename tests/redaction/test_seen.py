"""Secrets known by value: found in any form and in pieces, forgotten in the end, never plain words."""

from __future__ import annotations

import base64
import hashlib
import secrets
import string
from collections import Counter
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_oauth import _seen, redaction
from otel_oauth._pieces import BLURRED, PIECE
from otel_oauth._seen import SEEN
from otel_oauth.ledger import Ledger, MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable

SECRET = "aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC1dF3hJ5kL7nP9r"


def redacted_as(kind: str, value: str) -> str:
    return f"[redacted:{kind}:{SEEN.mark(kind, value).digest}]"


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        SECRET[7:],
        SECRET[5 : 5 + PIECE],
        base64.b64encode(SECRET.encode()).decode(),
        base64.b64encode(f"shop:{SECRET}".encode()).decode(),
        base64.urlsafe_b64encode(f' {{"a":"{SECRET}"}}'.encode()).decode(),
        SECRET.encode().hex(),
        SECRET.encode().hex().upper(),
        SECRET[3:20].encode().hex(),
    ],
)
def test_a_value_is_found_in_each_form(install: Callable[..., None], form: str) -> None:
    install()
    redaction.seen("code", SECRET)
    assert redaction.redact(f"it was <{form}> then") == f"it was <{redacted_as('code', SECRET)}> then"


def test_a_percent_encoded_value_is_found(install: Callable[..., None]) -> None:
    install()
    value = "k3+Jd8/fK2=mP0+aQ7/sD4=zX9"
    redaction.seen("client_secret", value)
    mark = redacted_as("client_secret", value)
    assert redaction.redact(f"at {quote(value, safe='')} end") == f"at {mark} end"
    assert redaction.redact(f"at {quote(quote(value, safe=''))} end") == f"at {mark} end"


@settings(max_examples=60)
@given(st.integers(0, 31), st.text(max_size=30), st.text(max_size=30))
def test_every_piece_is_found_wherever_it_is(start: int, before: str, after: str) -> None:
    redaction.install()
    redaction.seen("code", SECRET)
    piece = SECRET[start : start + PIECE]
    assert piece not in redaction.redact(f"{before}{piece}{after}")


@pytest.mark.parametrize(
    "value",
    [
        "-A9E1g-yksxkxfgapF0MqCyUehRn761y1qO6f5kGTNc",  # letters of one case near its beginning
        "KtQJ97tddgwuyrdpseSv8h1T_NtQQ6vucKCboTBK39o",
        "_ABGRa9-nSHlZ5eobalZXF0x8FXCG-DAERWGWak5fuQ",  # near its end
        "iHU1XIT-QFi_BedRrqNR_jhL8KmJrRTML-BUMVOYCSY",  # at its end
        "abcdefghijklmnopqrstuvwX9f2KeT51bQz07RrLm3",
    ],
)
def test_a_random_value_with_letters_of_one_case_in_a_row_is_found_whole(
    install: Callable[..., None], value: str
) -> None:
    install()
    redaction.seen("refresh_token", value)
    mark = redacted_as("refresh_token", value)
    assert redaction.redact(f"looking for <{value}>") == f"looking for <{mark}>"
    assert redaction.redact(f"looking for {value} of web") == f"looking for {mark} of web"


@settings(max_examples=60)
@given(st.binary(min_size=24, max_size=48), st.text("abcdefghijklmnopqrstuvwxyz-", max_size=24), st.integers(0, 63))
def test_no_piece_is_left_of_a_random_value(random: bytes, letters: str, place: int) -> None:
    redaction.install()
    SEEN.forget()  # what the last example had in common with this one
    value = base64.urlsafe_b64encode(hashlib.sha512(random).digest()).decode().rstrip("=")
    value = value[:place] + letters + value[place:]
    redaction.seen("token", value)
    assert redaction.redact(f"it was <{value}> then") == f"it was <{redacted_as('token', value)}> then"


def test_shorter_pieces_and_other_values_stay(install: Callable[..., None]) -> None:
    install()
    redaction.seen("code", SECRET)
    for text in (SECRET[: PIECE - 1], SECRET[::-1], secrets.token_urlsafe(32), "4bf92f3577b34da6a3ce929d0e0e4736"):
        assert redaction.redact(f"see {text}") == f"see {text}"


def test_plain_words_do_not_become_secrets(install: Callable[..., None]) -> None:
    """Whoever presents «the-client-of-the-shop» as a code must not make the name of that client unreadable."""
    install()
    redaction.seen("code", "the-client-of-the-shop")
    assert redaction.redact("asked by the-client-of-the-shop") == "asked by the-client-of-the-shop"


@pytest.mark.parametrize("words", ["connection refused by peer", "/admin/export/all-users.csv", "GET /admin?page=one"])
def test_words_beside_random_characters_do_not_become_secrets(install: Callable[..., None], words: str) -> None:
    """An attacker who presents them as a code must not make the lines of the log unreadable that tell of him."""
    install()
    for presented in (words, SECRET + words, words + SECRET, f"x1Y {words}"):
        redaction.seen("code", presented)
    assert redaction.redact(f"he sent {words}") == f"he sent {words}"
    assert SECRET[:PIECE] not in redaction.redact(f"he sent {SECRET}{words}")


def test_a_client_id_stays_readable_even_if_it_is_presented_as_a_secret(install: Callable[..., None]) -> None:
    install()
    redaction.seen("code", SECRET)
    assert redaction.redact(f"client_id={SECRET}&code={SECRET}&a=1").startswith(
        f"client_id={SECRET}&code=[redacted:code:"
    )


def test_of_a_jwt_the_signature_is_known(install: Callable[..., None]) -> None:
    install()
    redaction.seen("id_token", f"eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.{SECRET}")
    assert "redacted" in redaction.redact(f"signed {SECRET[4:30]}")


def test_memory_is_bounded_and_the_oldest_go_first(
    install: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_seen, "_LIMIT", 2000)
    install()
    values = [secrets.token_urlsafe(32) for _ in range(300)]
    for value in values:
        redaction.seen("token", value)
    assert len(SEEN._young.pieces) + len(SEEN._old.pieces) < 3 * 2000
    assert redaction.redact(values[0]) == values[0]
    assert "redacted" in redaction.redact(values[-1])


def test_what_was_seen_is_known_when_the_next_generation_begins(
    install: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    install()
    redaction.seen("token", SECRET)
    monkeypatch.setattr(_seen, "_LIMIT", 1)
    redaction.seen("token", SECRET[::-1])
    assert not SEEN._young.pieces
    for value in (SECRET, SECRET[::-1]):
        assert redaction.redact(f"it is <{value}>") == f"it is <{redacted_as('token', value)}>"


def test_values_that_begin_alike_are_told_apart(install: Callable[..., None]) -> None:
    install()
    values = [f"shop_at_V2_{number:02}{secrets.token_urlsafe(24)}" for number in range(40)]
    for value in values:
        redaction.seen("token", value)
    for value in values:
        assert redaction.redact(f"it is <{value}>") == f"it is <{redacted_as('token', value)}>"
    assert redaction.redact("see shop_at_V2_ there") == "see shop_at_V2_ there"


def test_what_is_watched_for_is_bounded(install: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_seen, "_MOST_WATCHED", 100)
    install()
    redaction.seen("token", SECRET)
    for number in range(200):
        SEEN.watch(f"the order 4bf92f3577b34da6a3ce929d0e{number:06}")
        assert len(SEEN._watched) < 200


def test_what_is_kept_of_a_value_is_blurred(install: Callable[..., None]) -> None:
    """Each letter and digit stands for two: 43 of them for more values than anybody could try."""
    install()
    redaction.seen("token", SECRET)
    kept = bytes(SEEN._young.joined)
    assert len(set(SECRET.encode().translate(BLURRED))) < len(set(SECRET))
    assert not any(SECRET[place : place + 3].encode() in kept for place in range(len(SECRET) - 2))
    letters = (string.ascii_letters + string.digits).encode()
    assert set(Counter(letters.translate(BLURRED)).values()) == {2}
    assert len(set(string.hexdigits.encode().translate(BLURRED))) == len(string.hexdigits)


def test_what_the_ledger_digests_is_known(install: Callable[..., None]) -> None:
    install()
    ledger = Ledger(MemoryStore(100))
    ledger.issue_code(SECRET, "shop")
    assert redaction.redact(f"it is {SECRET}") == f"it is [redacted:code:{ledger.digest(b'code', SECRET).hex()[:6]}]"
    assert (
        redaction.redact(f"/cb?code={SECRET}") == f"/cb?code=[redacted:code:{ledger.digest(b'code', SECRET).hex()[:6]}]"
    )


def test_the_digest_is_the_ledgers_also_of_what_was_seen_before_there_was_one(install: Callable[..., None]) -> None:
    install()
    redaction.seen("client_secret", SECRET)
    before = redaction.redact(f"it is <{SECRET}>")
    Ledger(MemoryStore(100)).digest(b"code", "another value, of a login")
    redaction.seen("client_secret", SECRET)
    known, named = redaction.redact(f"it is <{SECRET}>"), redaction.redact(f"client_secret={SECRET}")
    assert known == f"it is <{redacted_as('client_secret', SECRET)}>" != before
    assert named == f"client_secret={redacted_as('client_secret', SECRET)}"


def test_a_clients_own_token_has_the_digest_of_the_token(install: Callable[..., None]) -> None:
    install()
    Ledger(MemoryStore(100)).sight_own(SECRET)
    assert redaction.redact(f"it is <{SECRET}>") == f"it is <{redacted_as('token', SECRET)}>"


def test_the_parameters_and_credentials_of_a_request_are_known(install: Callable[..., None]) -> None:
    install()
    parameters = {"code_verifier": SECRET, "client_id": SECRET[::-1], "scope": "x" * 20, "n": 3}
    redaction.seen_parameters(parameters)
    assert "[redacted:code_verifier:" in redaction.redact(f"it is {SECRET}")
    assert redaction.redact(f"it is {SECRET[::-1]}") == f"it is {SECRET[::-1]}"
    password = "8fJ2kd93JfkQ01xyAb34"
    redaction.seen_authorization("Basic " + base64.b64encode(f"shop:{password}".encode()).decode())
    redaction.seen_authorization("Basic not base64 at all")
    redaction.seen_authorization(None)
    assert "[redacted:client_secret:" in redaction.redact(f"it is {password}")


def test_a_value_that_becomes_known_later_is_found_in_a_text_that_was_clean_before(
    install: Callable[..., None],
) -> None:
    install()
    text = f"it is {SECRET}"
    for _ in range(3):
        assert redaction.redact(text) is text
    redaction.seen("code", SECRET)
    assert SECRET not in redaction.redact(text)


def test_nothing_is_remembered_without_redaction() -> None:
    Ledger(MemoryStore(100)).issue_code(SECRET, "shop")
    redaction.seen("code", SECRET)
    assert not SEEN._young.pieces


def test_a_header_is_decoded_once_unless_it_holds_nothing_to_remember(install: Callable[..., None]) -> None:
    install()
    header, short = (f"Basic {base64.b64encode(f'web:{secret}'.encode()).decode()}" for secret in (SECRET, "short"))
    for _ in range(2):
        redaction.seen_authorization(header)
        redaction.seen_authorization(short)
    assert SEEN.known(header)
    assert not SEEN.known(short), "else anybody could make the table grow"
    assert redaction.redact(f"with {SECRET}") == f"with {redacted_as('client_secret', SECRET)}"
