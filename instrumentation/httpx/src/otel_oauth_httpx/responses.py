"""What the response of a recognised request came to.

It is read after the RFCs, and after what providers document of their own: an error inside a 200 (GitHub, Slack, Naver,
WeChat), an error that is an object (Facebook), a token one level deeper (Slack, Instagram), a form in place of JSON
(GitHub).
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from otel_oauth import kinds, own_tokens, redaction, vocabulary
from otel_oauth.provider_errors import POLLING_ERRORS, response_error
from otel_oauth.vocabulary import CLIENT_ERROR, SERVER_ERROR
from otel_oauth_httpx.challenges import oauth_challenge
from otel_oauth_httpx.endpoints import place_of
from otel_oauth_httpx.parameters import client_id, form, header, json_object
from otel_oauth_httpx.recognised import TOKEN_KINDS, Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_oauth.kinds import OperationKind
    from otel_oauth_httpx.endpoints import Endpoints
    from otel_oauth_httpx.recognised import Recognised

MOST_BYTES = 1 << 20
"""A body beyond that is not looked at: metadata and key sets, the largest, are some kilobytes."""

_LONGEST_LIFETIME = 10 * 365 * 86400.0
_EXPECTED: dict[OperationKind, tuple[str, ...]] = {
    **dict.fromkeys(TOKEN_KINDS, ("access_token",)),
    kinds.INTROSPECT: ("active",),
    kinds.JWKS: ("keys",),
    kinds.DEVICE_AUTHORIZATION: ("device_code",),
    kinds.PUSHED_AUTHORIZATION: ("request_uri",),
    kinds.REGISTER: ("client_id",),
}
"""The member without which a response is not one of its RFC."""

_DOCUMENT: dict[str, tuple[str, ...]] = {
    "protected_resource": ("resource",),
    "authorization_server": ("issuer",),
}
_NO_TOKEN: Mapping[str, Any] = MappingProxyType({})
_PENDING = ("authorization_pending", "slow_down")
_NESTED = ("authed_user", "data")
_TELLING = frozenset(("error", "errcode", "message"))
"""The members that can be an error."""

_TOKEN_TEXTS = ("access_token", "refresh_token", "scope", "token_type")
_CODES = {
    # GitHub, see docs.github.com/…/troubleshooting-oauth-app-access-token-request-errors
    "bad_verification_code": "invalid_grant",
    "bad_refresh_token": "invalid_grant",
    "incorrect_client_credentials": "invalid_client",
    "incorrect_device_code": "invalid_grant",
    # Slack, see docs.slack.dev/reference/methods/oauth.v2.access
    "invalid_code": "invalid_grant",
    "code_already_used": "invalid_grant",
    "code_expired": "invalid_grant",
    "invalid_refresh_token": "invalid_grant",
    "bad_client_secret": "invalid_client",
    "invalid_client_id": "invalid_client",
    "invalid_auth": "invalid_token",
    "token_revoked": "invalid_token",
    # Microsoft, see learn.microsoft.com/entra/identity-platform/v2-oauth2-device-code
    "authorization_declined": "access_denied",
}
"""What providers call the errors of the RFCs."""

_NUMBERS = {
    190: "invalid_token",  # Facebook: developers.facebook.com/docs/graph-api/guides/error-handling
    # WeChat, see developers.weixin.qq.com, «Return code descriptions»
    40013: "invalid_client",
    40029: "invalid_grant",
    40030: "invalid_grant",
    40125: "invalid_client",
    40163: "invalid_grant",
    42002: "invalid_grant",
}
"""The same, as numbers."""


def outcome(
    endpoints: Endpoints, recognised: Recognised, status: int, headers: Mapping[str, str], body: bytes | None
) -> Outcome:
    """Return what a response says; learns the endpoints that a discovery document or a registration names.

    It makes no span, touches no ledger, never raises, and takes time linear in the body.

    :param headers: the (case-insensitive) headers of httpx.
    :param body: the decoded body as far as the application read it, ``None`` if it did not (closed unread, streamed
        raw): then only status and headers are judged.
    """
    if recognised.kind is kinds.AUTHORIZE:
        return Outcome(kinds.AUTHORIZE, {"status": "failure"} if status >= CLIENT_ERROR else {})
    if body is not None and len(body) > MOST_BYTES:
        body = None
    members = _members(headers, body or b"")
    if redaction.installed():
        redaction.seen_parameters(members)
    kind = recognised.kind
    if kind is kinds.REVOKE and isinstance(members.get("active"), bool):
        kind = kinds.INTROSPECT
    error = _error(status, headers, members)
    succeeded = status < 300 and error is None  # noqa: PLR2004 the success class of HTTP, after redirects
    asked = kind in TOKEN_KINDS
    token = _token(members) if succeeded and asked else _NO_TOKEN
    fits = "access_token" in token if asked else succeeded and _fits(recognised, kind, members, headers)
    unread = succeeded and body is not None and not fits
    facts: dict[str, object] = {"http_status": str(status)}
    if error is not None:
        facts["error"] = error
        if error in _PENDING and status < SERVER_ERROR:
            facts["outcome"] = "pending"
    failed = response_error(status, error, unread=unread) if unread or not succeeded else None
    if failed is not None:
        facts["provider_error"], facts["status"] = failed, "failure"
    found = Outcome(kind, facts, token)
    if not asked:
        _note(found, recognised, members, succeeded=succeeded)
        if succeeded and not unread:
            found.issuers = _learn(endpoints, recognised, members)
    return found


def _note(found: Outcome, recognised: Recognised, members: Mapping[str, Any], *, succeeded: bool) -> None:
    """Note what a response says besides, where it is none with a token."""
    if found.kind is kinds.INTROSPECT and isinstance(members.get("active"), bool):
        found.facts["active"] = members["active"]
    if succeeded and found.kind is kinds.REVOKE:
        found.facts["revoked"] = "manual"
    if succeeded and recognised.kind is kinds.REGISTER:
        found.client_id = client_id(own_tokens.text(members.get("client_id")))


def _members(headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    """Return the members of a response: of a JSON object, or of a form if it says that it is one or plain text."""
    if body[:1] != b"{" and body.lstrip()[:1] != b"{":  # only then a look at the headers, which costs more
        said = header(headers, b"content-type").lower()
        if said.startswith(("application/x-www-form-urlencoded", "text/plain")):
            return dict(form(body.decode("latin-1")))
    return json_object(body)


def _error(status: int, headers: Mapping[str, str], members: Mapping[str, Any]) -> str | None:
    """Return the standard error code of a response, ``other`` for any other, ``None`` if it has none."""
    if status < CLIENT_ERROR and _TELLING.isdisjoint(members):
        return None
    code: Any = members.get("error")
    number: Any = members.get("errcode")
    if isinstance(code, dict):
        code, number = code.get("type"), code.get("code")
    if isinstance(number, float) and number in _NUMBERS:
        return _NUMBERS[int(number)]
    if isinstance(code, str) and code:
        return _CODES.get(code) or vocabulary.rfc_error(code)
    if isinstance(members.get("errcode"), float) and members["errcode"]:
        return vocabulary.rfc_error(None)
    message = members.get("message")
    if isinstance(message, str) and message in POLLING_ERRORS:  # Twitch
        return message
    challenge = oauth_challenge(header(headers, b"www-authenticate")) if status >= CLIENT_ERROR else None
    return vocabulary.rfc_error(challenge.error) if challenge is not None and challenge.error else None


def _token(members: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members of a token response (RFC 6749 section 5.1) that have the right type."""
    holder = members if members.get("access_token") else _nested(members)
    found: dict[str, Any] = {}
    for name in _TOKEN_TEXTS:
        value = holder.get(name)
        if value and isinstance(value, str):
            found[name] = value
    expires_in = own_tokens.lifetime(holder.get("expires_in"))
    if expires_in is not None and expires_in <= _LONGEST_LIFETIME:
        found["expires_in"] = expires_in
    return found


def _nested(members: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the member of a response that has the token in it, the response itself if none has."""
    parts = [members.get(name) for name in _NESTED]
    parts = [part[0] if isinstance(part, list) and part else part for part in parts]
    return next((part for part in parts if isinstance(part, dict) and part.get("access_token")), members)


def _fits(
    recognised: Recognised,
    kind: OperationKind,
    members: Mapping[str, Any],
    headers: Mapping[str, str],
) -> bool:
    """Tell whether a successful response is one of its kind, which has no token."""
    deleted = recognised.manages and recognised.method == "DELETE"
    signed = "jwt" in header(headers, b"content-type").lower()  # RFC 9701, OpenID Connect Core 5.3.2
    if not recognised.standard or kind is kinds.REVOKE or deleted or signed:
        return True
    expected = _DOCUMENT.get(recognised.document) or _EXPECTED.get(kind, ())
    return bool(members) and all(name in members for name in expected)


def _learn(endpoints: Endpoints, recognised: Recognised, members: Mapping[str, Any]) -> tuple[str, ...]:
    if not recognised.document and recognised.kind is not kinds.REGISTER:
        return ()
    source = place_of(recognised.url)
    if source is None:
        return ()
    if recognised.document == "authorization_server":
        endpoints.learn_metadata(source, members)
    elif recognised.document == "protected_resource":
        return endpoints.learn_resource(members, recognised.discovery_method)
    else:
        endpoints.learn_registration(source, members.get("registration_client_uri"))
    return ()
