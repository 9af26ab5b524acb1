"""Which operation a request is, exactly: by a known endpoint, by a well-known URI, or by its parameters.

A wrong match would give a name to somebody's other traffic, so a parameter alone that other protocols have too
(``token``, ``code``, ``client_id``) is never enough: the path or the client's authentication must say the same.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from otel_oauth import kinds, redaction, vocabulary
from otel_oauth_httpx.parameters import PRESENTED, client_id
from otel_oauth_httpx.paths import OF_OAUTH, kind_of_path
from otel_oauth_httpx.recognised import TOKEN_KINDS, Recognised

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_oauth.kinds import OperationKind
    from otel_oauth_httpx.endpoints import Endpoint, Endpoints
    from otel_oauth_httpx.parameters import Wire

WELL_KNOWN = "/.well-known/"
_RESOURCE = "oauth-protected-resource"
_SERVER = frozenset(("oauth-authorization-server", "openid-configuration"))
_KEY_SETS = frozenset(("jwks.json", "jwks", "openid-configuration/jwks"))

TELLING = re.compile(rb"(?:^|&)(?:grant_type|response_type|token_type_hint)=")
"""The parameters that tell the operation of a form at any other path."""

_GRANTS: dict[str, OperationKind] = {
    "authorization_code": kinds.CODE_EXCHANGE,
    "refresh_token": kinds.REFRESH,
    "delete": kinds.REVOKE,  # Naver
}
_OWN_GRANTS = {
    "client_credential": "client_credentials",  # WeChat
    "device_code": "device_code",  # before RFC 8628
    "delete": "",
    "fb_exchange_token": "other",
    "ig_exchange_token": "other",
    "ig_refresh_token": "other",
    "th_exchange_token": "other",
    "th_refresh_token": "other",
}
"""Grant types of providers and what they are called in a span attribute."""

_PROOFS: dict[str, tuple[str, ...]] = {
    "authorization_code": ("code",),
    "refresh_token": ("refresh_token",),
    "password": ("username",),
    "urn:ietf:params:oauth:grant-type:device_code": ("device_code",),
    "urn:ietf:params:oauth:grant-type:jwt-bearer": ("assertion",),
    "urn:ietf:params:oauth:grant-type:saml2-bearer": ("assertion",),
    "urn:ietf:params:oauth:grant-type:token-exchange": ("subject_token",),
    "urn:openid:params:grant-type:ciba": ("auth_req_id",),
}
"""The parameter that a grant cannot do without; another grant needs its client."""

_URIS = ("urn:", "https://", "http://")
_RESPONSE_TYPES = frozenset(("code", "token", "id_token", "none"))
_HINTS = ("access_token", "refresh_token")


def examine(endpoints: Endpoints, wire: Wire) -> Recognised | None:
    """Return what a request is, ``None`` if it is nothing of OAuth as far as can be told."""
    known = endpoints.find(wire.method, wire.place) if wire.host in endpoints.hosts else None
    if WELL_KNOWN in wire.path and wire.method == "GET":
        found = _well_known(endpoints, wire, known)
        if found is not None:
            return found
    if known is None:
        return _by_parameters(wire, None) if wire.content or wire.query else None
    if known.kind is kinds.DISCOVER:
        return _recognised(wire, kinds.DISCOVER, discovery_method=known.discovery_method, document="protected_resource")
    return _by_parameters(wire, known)


def _well_known(endpoints: Endpoints, wire: Wire, known: Endpoint | None) -> Recognised | None:
    """Recognise a well-known URI in the middle of a path (RFC 8414) or at its end (OpenID Connect Discovery)."""
    rest = wire.path.rpartition(WELL_KNOWN)[2].rstrip("/")
    name = rest.partition("/")[0]
    if rest in _KEY_SETS:
        return _recognised(wire, kinds.JWKS)
    if name == _RESOURCE:
        method = known.discovery_method if known is not None and known.discovery_method else "rfc9728"
        return _recognised(wire, kinds.DISCOVER, discovery_method=method, document="protected_resource")
    if name in _SERVER:
        named_by = endpoints.issuer_method(wire.host)
        return _recognised(wire, kinds.DISCOVER, discovery_method=named_by, document="authorization_server")
    return None


def _by_parameters(wire: Wire, known: Endpoint | None) -> Recognised | None:
    if known is not None and known.manages:
        return _recognised(wire, kinds.REGISTER, manages=True)
    path = wire.path
    if wire.method == "PUT":  # of a registration, below its endpoint
        path = path.rpartition("/")[0]
    kind = known.kind if known is not None else kind_of_path(path)
    if kind is None and wire.is_json:
        return None
    sent = wire.sent = wire.parameters()
    wire.kind, wire.certain = kind, known is not None
    found = _kind(wire)
    if found is None:
        return None
    if redaction.installed():
        redaction.seen_parameters(sent)
        redaction.seen_authorization(wire.header(b"authorization"))
    presented = {name: value for name, value in sent.items() if name in PRESENTED}
    recognised = Recognised(found, wire.method, wire.origin, wire.origin + wire.path, presented)
    recognised.client_id = client_id(sent.get("client_id")) or wire.user
    if found in TOKEN_KINDS:
        recognised.grant_type = _grant(found, sent.get("grant_type"))
    elif "access_token" in sent and found in (kinds.REVOKE, kinds.INTROSPECT):
        presented.setdefault("token", sent["access_token"])
    recognised.manages = found is kinds.REGISTER and wire.method == "PUT"
    if known is not None and found not in (kinds.CODE_EXCHANGE, kinds.REFRESH):
        recognised.standard = known.standard
    return recognised


def _kind(wire: Wire) -> OperationKind | None:
    if wire.sent.get("grant_type"):
        return _token_request(wire)
    if wire.sent.get("response_type"):
        return _authorization_request(wire)
    rule = _RULES.get(wire.kind) if wire.kind is not None else None
    if rule is not None and rule(wire):
        return kinds.CODE_EXCHANGE if wire.kind is kinds.TOKEN else wire.kind
    if wire.certain:
        return wire.kind if wire.kind is not kinds.TOKEN or "code" in wire.sent else None
    if wire.method == "POST" and "token" in wire.sent and wire.sent.get("token_type_hint") in _HINTS:
        return kinds.REVOKE
    return None


def _token_request(wire: Wire) -> OperationKind | None:
    """Recognise a token request by its grant (RFC 6749 section 4 and extensions).

    A form that is posted anywhere must hold what the grant needs; in a query or in JSON the URL must be that of a token
    endpoint besides, and so it must for a grant that nobody documents.
    """
    grant = wire.sent["grant_type"]
    if wire.kind is kinds.TOKEN:
        recognised = wire.method == "POST" or (wire.method == "GET" and ("access_token" in wire.sent or wire.client))
    else:
        recognised = wire.method == "POST" and bool(wire.content) and not wire.is_json and _proven(wire, grant)
    return _GRANTS.get(grant, kinds.TOKEN) if recognised else None


def _proven(wire: Wire, grant: str) -> bool:
    """Tell whether somebody documents a grant, and the request holds what it cannot do without."""
    if not (grant in vocabulary.GRANT_TYPES or grant in _OWN_GRANTS or grant.startswith(_URIS)):
        return False
    return any(name in wire.sent for name in _PROOFS[grant]) if grant in _PROOFS else wire.client


def _authorization_request(wire: Wire) -> OperationKind | None:
    """Recognise an authorization request (RFC 6749 section 4.1.1), pushed (RFC 9126) or on the wire."""
    response_type = wire.sent["response_type"].split()
    if not wire.client or not response_type or wire.is_json:
        return None
    if response_type[0] == "device_code" and wire.method == "POST":  # Salesforce, Amazon
        return kinds.DEVICE_AUTHORIZATION
    if response_type[0] not in _RESPONSE_TYPES or wire.method not in ("GET", "POST"):
        return None
    if wire.kind is kinds.PUSHED_AUTHORIZATION:
        return kinds.PUSHED_AUTHORIZATION
    return kinds.AUTHORIZE if "client_id" in wire.sent else None


def _is_exchange(wire: Wire) -> bool:
    """Tell an exchange without ``grant_type`` (GitHub, Slack, Facebook): a code, and whose it is."""
    proof = "client_secret" in wire.sent or "code_verifier" in wire.sent
    return "code" in wire.sent and (("client_id" in wire.sent and proof) or (wire.certain and bool(wire.user)))


def _is_revocation(wire: Wire) -> bool:
    """Tell a revocation (RFC 7009 section 2.1): a token, and whose it is or that the path is one of OAuth."""
    path = wire.path
    hinted = "token_type_hint" in wire.sent or any(part in path for part in OF_OAUTH)
    return wire.method == "POST" and "token" in wire.sent and (wire.client or hinted)


def _is_introspection(wire: Wire) -> bool:
    """Tell an introspection (RFC 7662 section 2.1): like a revocation, or with a token of the resource server's."""
    bearer = wire.scheme_of_client == "bearer" and wire.method == "POST" and "token" in wire.sent
    return bearer or _is_revocation(wire)


def _is_registration(wire: Wire) -> bool:
    """Tell a registration (RFC 7591 section 3.1): JSON metadata; an update names its client (RFC 7592 section 2.2)."""
    metadata = wire.json
    uris = metadata.get("redirect_uris")
    registers = wire.method == "POST" or (wire.method == "PUT" and "client_id" in wire.sent)
    return registers and isinstance(uris, list) and bool(uris)


def _is_device_authorization(wire: Wire) -> bool:
    """Tell a device authorization request (RFC 8628 section 3.1)."""
    return wire.method == "POST" and wire.client


def _is_pushed(wire: Wire) -> bool:
    """Tell a pushed request object (RFC 9126 section 3)."""
    return wire.method == "POST" and wire.client and "request" in wire.sent


_RULES: dict[OperationKind, Callable[[Wire], bool]] = {
    kinds.TOKEN: _is_exchange,
    kinds.REVOKE: _is_revocation,
    kinds.INTROSPECT: _is_introspection,
    kinds.REGISTER: _is_registration,
    kinds.DEVICE_AUTHORIZATION: _is_device_authorization,
    kinds.PUSHED_AUTHORIZATION: _is_pushed,
}


def _grant(found: OperationKind, grant: str | None) -> str:
    if not grant:
        return "authorization_code" if found is kinds.CODE_EXCHANGE else "device_code"
    return _OWN_GRANTS.get(grant) or vocabulary.grant_type(grant)


def _recognised(wire: Wire, kind: OperationKind, **rest: Any) -> Recognised:  # noqa: ANN401 fields of Recognised
    recognised = Recognised(kind, wire.method, wire.origin, wire.origin + wire.path)
    for name, value in rest.items():
        setattr(recognised, name, value)
    return recognised
