"""The parameters of a request, under the names of RFC 6749: from its query, its form, its JSON and its headers."""

from __future__ import annotations

import binascii
import json
from base64 import b64decode
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_oauth_httpx.endpoints import Place

MOST_BYTES = 65536
"""A body beyond that is none of OAuth: the largest are tokens exchanged by value and SAML assertions. httpx has the
same limit for a URL."""

_MOST_FIELDS = 100
_LONGEST_HEADER = 8192
_BLANK = " \t\n\r"
_LONGEST_ID = 256

NAMES = {
    "clientId": "client_id",
    "clientSecret": "client_secret",
    "codeVerifier": "code_verifier",
    "deviceCode": "device_code",
    "grantType": "grant_type",
    "redirectUri": "redirect_uri",
    "refreshToken": "refresh_token",
    "appid": "client_id",
    "input_token": "token",
    "client_key": "client_id",
    "secret": "client_secret",
    "accessToken": "access_token",
    "expiresIn": "expires_in",
    "tokenType": "token_type",
}
"""What some providers call the parameters of RFC 6749: AWS and DingTalk in camel case, WeChat, TikTok and Facebook by
names of their own."""

PRESENTED = frozenset(
    (
        "code",
        "code_challenge",
        "code_challenge_method",
        "code_verifier",
        "device_code",
        "redirect_uri",
        "refresh_token",
        "scope",
        "state",
        "token",
        "token_type_hint",
    )
)
"""The parameters that an operation may need; no client secret, password or assertion is among them."""


@dataclass(eq=False, repr=False)
class Wire:
    """A request, as far as it can be seen without reading anything.

    :param content: the buffered body, empty if it is streamed.
    """

    method: str
    place: Place
    query: str
    content: bytes
    headers: Mapping[str, str]

    @property
    def is_json(self) -> bool:
        """Whether the body is a JSON object."""
        return self.content[:1] == b"{"

    @cached_property
    def json(self) -> dict[str, Any]:
        """The members of the body if it is JSON, and says so if it says anything."""
        said = self.header("content-type")
        return json_object(self.content) if self.is_json and (not said or "json" in said.lower()) else {}

    def header(self, name: str) -> str:
        """Return a header of the request, empty if it is absent or too long."""
        value = self.headers.get(name)
        return value if isinstance(value, str) and len(value) <= _LONGEST_HEADER else ""

    def parameters(self) -> dict[str, str]:
        """Return the parameters of query and body that have a value; the body goes before the query."""
        if len(self.content) > MOST_BYTES:
            return {}
        found = form(self.query) if self.query else {}
        if self.is_json:
            found |= texts(self.json)
        elif self.content and self._says_form():
            found |= form(self.content.decode("latin-1"))
        return found

    def _says_form(self) -> bool:
        said = self.header("content-type").lower()
        return not said or said.startswith("application/x-www-form-urlencoded")


def form(text: str) -> dict[str, str]:
    """Return the first value of each name of a urlencoded text, as ``parse_qsl`` does; nothing if it has too many."""
    found: dict[str, str] = {}
    if text.count("&") >= _MOST_FIELDS:
        return found
    encoded = "%" in text or "+" in text
    for pair in text.split("&"):
        name, _, value = pair.partition("=")
        if value:
            if encoded:
                name, value = unquote_plus(name), unquote_plus(value)
            found.setdefault(NAMES.get(name, name), value)
    return found


def json_object(body: bytes) -> dict[str, Any]:
    """Return a JSON object under the names of RFC 6749; nothing if it is something else.

    Numbers are read as floats: the time to read a long integer is not linear in its length.
    """
    plain = body[:1] == b"{" and body[1:2] != b"\0"  # all others, UTF-16 and 32 among them, ``json`` tells by itself
    try:
        text = body.decode("utf-8" if plain else json.detect_encoding(body), "surrogatepass").strip(_BLANK)
        found, end = _DECODER.raw_decode(text)
    except (ValueError, RecursionError):
        return {}
    members: dict[str, Any] = found if isinstance(found, dict) and end == len(text) else {}
    if NAMES.keys().isdisjoint(members):
        return members
    return {NAMES.get(name, name): value for name, value in members.items()}


def _nothing(_constant: str) -> None:
    """Read ``NaN`` and ``Infinity``, which are no JSON, as ``null``."""


_DECODER = json.JSONDecoder(parse_int=float, parse_constant=_nothing)
"""What ``json.loads`` would make anew each time."""


def texts(members: Mapping[str, Any]) -> dict[str, str]:
    """Return the members that are text and not empty."""
    return {name: value for name, value in members.items() if isinstance(value, str) and value}


def authentication(wire: Wire) -> tuple[str, str]:
    """Return the scheme of the ``Authorization`` header in lower case, and the client id if it is ``basic``."""
    scheme, _, rest = wire.header("authorization").partition(" ")
    scheme = scheme.lower()
    if scheme != "basic":
        return scheme, ""
    try:
        user = b64decode(rest.strip(), validate=True).partition(b":")[0]
    except (ValueError, binascii.Error):
        return scheme, ""
    return scheme, client_id(unquote_plus(user.decode("utf-8", "replace")))


def client_id(value: str | None) -> str:
    """Return a client id that can be one: not too long, no control characters (RFC 6749 appendix A.1)."""
    return value if value and len(value) <= _LONGEST_ID and value.isprintable() else ""
