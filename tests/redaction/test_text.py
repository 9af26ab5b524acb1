"""What is a secret in a text by its name and form, and what stays readable."""

from __future__ import annotations

import html
import re
from itertools import product
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from otel_oauth import redaction
from otel_oauth.redaction import _redactor

if TYPE_CHECKING:
    from collections.abc import Callable

MARK = re.compile(r"\[redacted:(\w+):[0-9a-f]{6}\]")
JWT = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl"
ISSUED = "Issue token {'token_type': 'Bearer', 'access_token': '%s', 'expires_in': 3600} to <Client shop>"

CASES = {
    "query": (
        "https://shop.example/cb?code=abc&state=x&scope=openid",
        "https://shop.example/cb?code=<code>&state=<state>&scope=openid",
    ),
    "fragment": (
        "https://shop.example/#access_token=abc&token_type=Bearer",
        "https://shop.example/#access_token=<access_token>&token_type=Bearer",
    ),
    "form": (
        "grant_type=refresh_token&refresh_token=abc&client_id=shop",
        "grant_type=refresh_token&refresh_token=<refresh_token>&client_id=shop",
    ),
    "one parameter": ("code=abc", "code=<code>"),
    "encoded value": ("code=a%2Fb%2Bc&client_id=shop", "code=<code>&client_id=shop"),
    "encoded query": (
        "next=https%3A%2F%2Fshop%2Fcb%3Fcode%3Dabc%26client_id%3Dshop",
        "next=https%3A%2F%2Fshop%2Fcb%3Fcode%3D<code>%26client_id%3Dshop",
    ),
    "encoded twice": ("next=%252Fcb%253Fcode%253Dabc%2526a%253D1", "next=%252Fcb%253Fcode%253D<code>%2526a%253D1"),
    "json": (
        '{"access_token": "abc", "expires_in": 3600, "token_type": "Bearer"}',
        '{"access_token": "<access_token>", "expires_in": 3600, "token_type": "Bearer"}',
    ),
    "json in json": (
        '{"body": "{\\"id_token\\": \\"a\\\\\\"b\\", \\"scope\\": \\"x\\"}"}',
        '{"body": "{\\"id_token\\": \\"<id_token>\\", \\"scope\\": \\"x\\"}"}',
    ),
    "escaped quote": (r'{"password": "a\"b", "user": "alice"}', '{"password": "<password>", "user": "alice"}'),
    "repr": (ISSUED % "abc", ISSUED % "<access_token>"),
    "parsed query": ("{'code': ['abc123xyz'], 'scope': ['openid']}", "{'code': ['<code>'], 'scope': ['openid']}"),
    "list of several": (
        "refresh_tokens=['a1b2c3d4', 'e5f6g7h8'] of alice",
        "refresh_tokens=[<refresh_token>] of alice",
    ),
    "multi dict": (
        "ImmutableMultiDict([('client_secret', 'abc'), ('scope', 'x')])",
        "ImmutableMultiDict([('client_secret', '<client_secret>'), ('scope', 'x')])",
    ),
    "header": ("Authorization: Bearer abc", "Authorization: Bearer <authorization>"),
    "raw headers": (
        "[(b'authorization', b'Basic d2ViOng='), (b'host', b'x')]",
        "[(b'authorization', b'Basic <authorization>'), (b'host', b'x')]",
    ),
    "cookies": ("Cookie: session=abc; theme=dark\nHost: shop", "Cookie: <cookie>\nHost: shop"),
    "set-cookie": ("('Set-Cookie', 'session=abc; Path=/')", "('Set-Cookie', '<cookie>')"),
    "scheme alone": ("sent Bearer abc123def456 to x", "sent Bearer <authorization> to x"),
    "jwt": (f"got {JWT} from x", "got <jwt> from x"),
    "jwt cut off": (f"got {JWT[:30]}", "got <jwt>"),
    "argument": ("run --client-secret=abc now", "run --client-secret=<client_secret> now"),
    "camel case": ("accessToken: abc, clientId: shop", "accessToken: <access_token>, clientId: shop"),
    "header name": ("x-api-key: abc", "x-api-key: <api_key>"),
    "suffix": ("GITHUB_TOKEN=abc", "GITHUB_TOKEN=<token>"),
    "url with a password": ("redis://:hunter2@cache:6379/0", "redis://:<password>@cache:6379/0"),
    "user and password": ("https://alice:hunter2@shop.example/", "https://alice:<password>@shop.example/"),
    "html form": (
        '<input type="hidden" name="code" value="abc"/>',
        '<input type="hidden" name="code" value="<code>"/>',
    ),
    "escaped new line": ("url\\ncode=abc12345", "url\\ncode=<code>"),
    "sentence": ("saving code 8fJ2kd93JfkQ01xy for shop", "saving code <code> for shop"),
    "f-string": ("Using code_verifier: 'abc'", "Using code_verifier: '<code_verifier>'"),
    "called": ("refresh(refresh_token=SecretStr('abc'), n=1)", "refresh(refresh_token=<refresh_token>, n=1)"),
    "pushed request": (
        "request_uri=urn:ietf:params:oauth:request_uri:abc&client_id=x",
        "request_uri=urn:ietf:params:oauth:request_uri:<request_uri>&client_id=x",
    ),
    "php": ("data[client_secret]=abc&x=1", "data[client_secret]=<client_secret>&x=1"),
    "array": ("/cb?code[]=abc&state[0]=x&scope=y", "/cb?code[]=<code>&state[0]=<state>&scope=y"),
    "encoded array": ("/cb?code%5B%5D=abc&scope=y", "/cb?code%5B%5D=<code>&scope=y"),
    "escaped in json": (
        r'{"url": "/cb?scope=y\u0026code=abc\u0026state=x", "n": 1}',
        r'{"url": "/cb?scope=y\u0026code=<code>\u0026state=<state>", "n": 1}',
    ),
    "escaped in html": (
        "&quot;access_token&quot;: &quot;abc&quot;, &#x27;state&#x27;: &#39;a1b2c3d4e5&#39;",
        "&quot;access_token&quot;: &quot;<access_token>&quot;, &#x27;state&#x27;: &#39;<state>&#39;",
    ),
    "link in html": ('<a href="/cb?scope=y&amp;code=abc">', '<a href="/cb?scope=y&amp;code=<code>">'),
    "multipart": (
        '--x\r\nContent-Disposition: form-data; name="code"\r\n\r\nabc\r\n--x',
        '--x\r\nContent-Disposition: form-data; name="code"\r\n\r\n<code>\r\n--x',
    ),
    "repr of multipart": (
        r"b'; name=\"state\"\r\nContent-Type: text/plain\r\n\r\nabc\r\n--x'",
        r"b'; name=\"state\"\r\nContent-Type: text/plain\r\n\r\n<state>\r\n--x'",
    ),
    "xml": ("<access_token>abc</access_token>", "<access_token><access_token></access_token>"),
    "table": ("access_token\t8fJ2kd93JfkQ01xy", "access_token\t<access_token>"),
    "two states": (
        "State parameter mismatch: 8fJ2kd93JfkQ01xy != Zk81hd90Lq2mNw7b",
        "State parameter mismatch: <state> != <state>",
    ),
    "without a digit": (
        "saving code ilGmsitwXR-nySwcsJOtDRVQHlJmqelukymqnNLUZNA for {'state': 'nyswcsJOtDRVQHlJmqelukymqnNLUZNA'}",
        "saving code <code> for {'state': '<state>'}",
    ),
    "it is": (
        "the code is 8fJ2kd93JfkQ01xy, the state was <8fJ2kd93JfkQ01xy>",
        "the code is <code>, the state was <<state>>",
    ),
}

READABLE = [
    "token_type=Bearer&grant_type=authorization_code&error=invalid_grant&scope=openid&client_id=shop&status_code=200",
    '{"code": 404, "state": "open", "error_description": "The code is expired"}',
    "exit code: 1",
    "code=404 failed",
    "ERROR code: ECONNREFUSED",
    "connection state: WaitingForReply",
    "Basic authentication of shop failed",
    'WWW-Authenticate: Bearer realm="shop", error="invalid_token"',
    "POST https://shop.example/oauth/token HTTP/1.1 400",
    "The token endpoint answered with a token response",
    "access_token=None, refresh_token=null",
    "the state is CONNECTED, the token was expired, <code>pip install otel2</code>",
    "token|state|code",
    "its state WaitingForApproval, {'state': 'PendingUserApproval', 'code': 'HTTPConnectionPool'}",
    "state mismatch: expected != received, the states do not match",
    "&quot;state&quot;: &quot;open&quot;",
    "trace_id=4bf92f3577b34da6a3ce929d0e0e4736 span_id=00f067aa0ba902b7",
    "",
]


@pytest.mark.parametrize(("text", "expected"), CASES.values(), ids=CASES.keys())
def test_a_secret_is_known_by_its_name_or_form(install: Callable[..., None], text: str, expected: str) -> None:
    install()
    assert MARK.sub(r"<\1>", redaction.redact(text)) == expected


ESCAPES: dict[str, Callable[[str], str]] = {
    "url": lambda text: quote(text, safe=""),
    "html": html.escape,
    "json": lambda text: text.replace("&", r"\u0026").replace("=", r"\u003d").replace("<", r"\u003c"),
}


@pytest.mark.parametrize("last", ESCAPES)
def test_escapes_within_escapes(install: Callable[..., None], last: str) -> None:
    install()
    secret = "8fJ2kd93JfkQ01xyZk81hd"
    query = f'/cb?scope=a&code={secret}&x="1"&state={secret[::-1]}&client_id=shop'
    for first, second in product(ESCAPES, repeat=2):
        text = f"<{ESCAPES[last](ESCAPES[second](ESCAPES[first](query)))}>"
        redacted = redaction.redact(text)
        assert secret not in redacted
        assert secret[::-1] not in redacted
        rest = text.replace(secret, "<code>").replace(secret[::-1], "<state>")
        assert MARK.sub(r"<\1>", redacted) == rest, (first, second)


@pytest.mark.parametrize("text", READABLE)
def test_what_is_no_secret_stays_readable(install: Callable[..., None], text: str) -> None:
    install()
    assert redaction.redact(text) is text


def test_the_same_secret_has_the_same_digest(install: Callable[..., None]) -> None:
    install()
    text = redaction.redact(f"access_token={JWT}&x=1 Authorization: Bearer {JWT}")
    assert len(set(re.findall(r":([0-9a-f]{6})\]", text))) == 1
    assert MARK.sub(r"<\1>", text) == "access_token=<access_token>&x=1 Authorization: Bearer <authorization>"
    assert redaction.redact("token=abc&x") != redaction.redact("token=abd&x")


def test_redacting_twice_changes_nothing_more(install: Callable[..., None]) -> None:
    install()
    for text, _ in CASES.values():
        once = redaction.redact(text)
        assert redaction.redact(once) == once


def test_further_names_and_beginnings(install: Callable[..., None]) -> None:
    install(redaction_keys="x_vault_id, ticketNumber", redaction_patterns=["ghp_*", "xoxb-*"])
    text = redaction.redact("X-Vault-Id: 17, ticket_number=5; key ghp_abc12 and xoxb-1-2, ghp_")
    assert MARK.sub(r"<\1>", text) == "X-Vault-Id: <custom>, ticket_number=<custom>; key <custom> and <custom>, ghp_"


def test_strict_takes_whatever_looks_like_a_secret(install: Callable[..., None]) -> None:
    text = "got 8fJ2kd93JfkQ01xyAb34 state=open trace 4bf92f3577b34da6a3ce929d0e0e4736"
    install(redaction="strict")
    expected = "got <opaque> state=<state> trace 4bf92f3577b34da6a3ce929d0e0e4736"
    assert MARK.sub(r"<\1>", redaction.redact(text)) == expected


def test_a_dry_run_only_counts(install: Callable[..., None], counted: dict[tuple[str, str], int]) -> None:
    install(redaction="dry-run")
    text = "/cb?code=abc&state=x"
    assert redaction.redact(text) == text
    assert counted == {("log", "code"): 1, ("log", "state"): 1}


def test_off_and_disabled_install_nothing() -> None:
    assert not redaction.install(redaction="off")
    assert not redaction.install(disabled=True)
    assert not redaction.installed()
    assert redaction.redact("code=abc") == "code=abc"


@pytest.mark.parametrize(
    "wrong",
    [{"redaction": "maybe"}, {"redaction_keys": "a b"}, {"redaction_patterns": "gh"}, {"redaction_patterns": "*"}],
)
def test_a_wrong_setting_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        redaction.install(**wrong)


def test_an_endless_text_is_cut_off_where_it_was_not_looked_at(
    install: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_redactor, "_LONGEST", 1000)
    install()
    text = redaction.redact("code=abc&x=" + "y " * 3000)
    assert text.startswith("code=[redacted:code:")
    assert text.endswith("[redacted:uninspected]")
    assert len(text) < 1100
