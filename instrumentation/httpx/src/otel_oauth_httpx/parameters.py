"""The parameters of a request, under the names of RFC 6749: from its query, its form, its JSON and its headers."""

from __future__ import annotations

import binascii
import json
from base64 import b64decode
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

from otel_oauth_httpx.bodies import buffered
from otel_oauth_httpx.endpoints import Place, origin_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_oauth.kinds import OperationKind

MOST_BYTES = 65536
"""A body beyond that is none of OAuth: the largest are tokens exchanged by value and SAML assertions. httpx has the
same limit for a URL."""

_MOST_FIELDS = 100
_LONGEST_HEADER = 8192
_BLANK = " \t\n\r"
_LONGEST_ID = 256
_FORM = "application/x-www-form-urlencoded"
_AS_FORM = (b"Content-Type", b"content-type", _FORM.encode())

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

_OWN_NAMES = frozenset(NAMES)

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


class Wire:
    """A request of httpx or httpx2, as far as it can be seen without reading anything.

    :ivar content: the buffered body, empty if it is streamed.
    :ivar is_json: the body is a JSON object.
    :ivar origin: ``scheme://authority`` of the URL, without userinfo.
    :ivar sent: its parameters, once they were read.
    :ivar kind: the operation that its path stands for; ``None`` if for none.
    :ivar certain: its URL is known to be that endpoint.
    """

    sent: Mapping[str, str]
    kind: OperationKind | None = None
    certain: bool = False

    def __init__(self, request: Any) -> None:  # noqa: ANN401 the HTTP client's
        self.method: str = request.method
        self.headers = request.headers
        self.content = content = buffered(request) or b""
        self.is_json = content[:1] == b"{"
        url = request.url
        uri = getattr(url, "_uri_reference", None)
        if uri is not None:
            scheme, host, port = uri.scheme, uri.host, uri.port
            self.path, self.query = uri.path or "/", uri.query or ""
        else:
            scheme, host, port = url.scheme, url.raw_host.decode("ascii", "replace"), url.port
            self.path, _, self.query = url.raw_path.decode("ascii", "replace").partition("?")
        self.scheme, self.host, self.port = scheme, host, port
        self.origin = origin_of(scheme, host, port)

    @property
    def place(self) -> Place:
        """Where it goes."""
        return Place(self.scheme, self.host, self.port, self.path)

    @cached_property
    def json(self) -> dict[str, Any]:
        """The members of the body if it is JSON, and says so if it says anything."""
        said = self.header(b"content-type")
        return json_object(self.content) if self.is_json and (not said or "json" in said.lower()) else {}

    def header(self, name: bytes) -> str:
        """Return a header of the request, empty if it is absent or too long."""
        value = header(self.headers, name)
        return value if len(value) <= _LONGEST_HEADER else ""

    @property
    def scheme_of_client(self) -> str:
        """The scheme of the ``Authorization`` header in lower case: how the client authenticates."""
        return self.header(b"authorization").partition(" ")[0].lower()

    @property
    def user(self) -> str:
        """The client id in that header, if it is ``basic``; empty without one."""
        scheme, _, rest = self.header(b"authorization").partition(" ")
        if scheme.lower() != "basic":
            return ""
        try:
            user = b64decode(rest.strip(), validate=True).partition(b":")[0]
        except (ValueError, binascii.Error):
            return ""
        return client_id(unquote_plus(user.decode("utf-8", "replace")))

    @property
    def client(self) -> bool:
        """Whether the request says which client sends it."""
        return bool(self.sent.get("client_id") or self.sent.get("client_assertion") or self.user)

    def parameters(self) -> dict[str, str]:
        """Return the parameters of query and body that have a value; the body goes before the query."""
        if len(self.content) > MOST_BYTES:
            return {}
        found = form(self.query) if self.query else {}
        if self.is_json:
            found |= texts(self.json)
        elif self.content and self._says_form():
            sent = form(self.content.decode("latin-1"))
            found = found | sent if found else sent
        return found

    def _says_form(self) -> bool:
        if _AS_FORM in _listed(self.headers):  # as httpx writes it
            return True
        said = self.header(b"content-type")
        return not said or said[: len(_FORM)].lower() == _FORM


def header(headers: Any, name: bytes) -> str:  # noqa: ANN401 those of httpx or httpx2
    """Return a header, empty if it is absent; ``name`` is in lower case.

    From the bytes that came: to find one by its name, httpx decodes them all.
    """
    found = [value for _, key, value in _listed(headers) if key == name]
    return b", ".join(found).decode("latin-1") if found else ""


def _listed(headers: Any) -> list[tuple[bytes, bytes, bytes]]:  # noqa: ANN401 as above
    """Return name, name in lower case and value of each header.

    The list behind ``raw``, which copies it, is private and has been the same since 0.24; where it is missing, or
    another one, ``raw`` is used.
    """
    found = getattr(headers, "_list", None)
    if type(found) is list and found and len(found[0]) == len(_AS_FORM):
        return found
    return [(name, name.lower(), value) for name, value in headers.raw]


def form(text: str) -> dict[str, str]:
    """Return the first value of each name of a urlencoded text, as ``parse_qsl`` does; nothing if it has too many."""
    fields = text.split("&", _MOST_FIELDS)
    if len(fields) > _MOST_FIELDS:
        return {}
    fields.reverse()  # the first one of a name is put in last, and stays
    if "%" not in text and "+" not in text:
        found = {}
        for field in fields:
            name, _, value = field.partition("=")
            if value:
                found[name] = value
        return _standard(found)
    pairs = [field.partition("=") for field in fields]
    return _standard({unquote_plus(name): unquote_plus(value) for name, _, value in pairs if value})


def _standard(members: dict[str, Any]) -> dict[str, Any]:
    """Return members under the names of RFC 6749."""
    if _OWN_NAMES.isdisjoint(members):
        return members
    return {NAMES.get(name, name): value for name, value in members.items()}


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
    return _standard(found) if type(found) is dict and end == len(text) else {}


def _nothing(_constant: str) -> None:
    """Read ``NaN`` and ``Infinity``, which are no JSON, as ``null``."""


_DECODER = json.JSONDecoder(parse_int=float, parse_constant=_nothing)
"""What ``json.loads`` would make anew each time."""


def texts(members: Mapping[str, Any]) -> dict[str, str]:
    """Return the members that are text and not empty."""
    return {name: value for name, value in members.items() if isinstance(value, str) and value}


def client_id(value: str | None) -> str:
    """Return a client id that can be one: not too long, no control characters (RFC 6749 appendix A.1)."""
    return value if value and len(value) <= _LONGEST_ID and value.isprintable() else ""
