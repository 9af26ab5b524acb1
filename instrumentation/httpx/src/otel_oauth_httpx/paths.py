"""What the path of a URL says: the names that the RFCs and the servers give to the endpoints of OAuth."""

from __future__ import annotations

import string
from typing import TYPE_CHECKING

from otel_oauth import kinds
from otel_oauth_httpx.endpoints import TAIL

if TYPE_CHECKING:
    from collections.abc import Iterable

    from otel_oauth.kinds import OperationKind

_TOKEN = (
    "token",
    "tokens",
    "access_token",
    "accesstoken",
    "refresh_token",
    "refresh_access_token",
    "oauth_token",
    "useraccesstoken",
    "token.oauth2",
)
_REVOKE = ("revoke", "revocation", "revoke_token", "revoke_token.oauth2", "oauth_revoke")
_INTROSPECT = ("introspect", "introspection", "introspect.oauth2", "check_token", "token_info", "tokeninfo")
_REGISTER = ("register", "registration", "reg", "clients.oauth2")
_DEVICE = ("device_authorization", "devicecode", "deviceauthorization", "authorize_device")
_PUSHED = ("par", "par.oauth2", "pushed_authorization")
_PATHS: dict[str, OperationKind] = {
    **dict.fromkeys(_TOKEN, kinds.TOKEN),
    **dict.fromkeys(_REVOKE, kinds.REVOKE),
    **dict.fromkeys(_INTROSPECT, kinds.INTROSPECT),
    **dict.fromkeys(_REGISTER, kinds.REGISTER),
    **dict.fromkeys(_DEVICE, kinds.DEVICE_AUTHORIZATION),
    **dict.fromkeys(_PUSHED, kinds.PUSHED_AUTHORIZATION),
}
_ENDINGS: dict[tuple[str, str], OperationKind] = {
    ("v1", "clients"): kinds.REGISTER,  # Okta
    ("clients-registrations", "openid-connect"): kinds.REGISTER,  # Keycloak
    ("device", "code"): kinds.DEVICE_AUTHORIZATION,
    ("device", "authorize"): kinds.DEVICE_AUTHORIZATION,
    ("auth", "device"): kinds.DEVICE_AUTHORIZATION,
    ("oauth2", "device"): kinds.DEVICE_AUTHORIZATION,
    ("o", "device"): kinds.DEVICE_AUTHORIZATION,  # authentik
    ("par", "request"): kinds.PUSHED_AUTHORIZATION,
}

OF_OAUTH = ("oauth", "openid-connect", "/connect/", "/oidc/", "/as/")
"""What the path of an OAuth server's endpoint often has in it."""


def kind_of_path(path: str) -> OperationKind | None:
    """Return the operation that the last one or two segments of a path stand for, ``None`` if for none."""
    found = _PATHS.get(path[path.rfind("/") + 1 :])  # nearly always; none of these names ends a pair below
    if found is not None:
        return found
    before, last = ("", *path.lower().rstrip("/").rsplit("/", 2))[-2:]
    return _ENDINGS.get((before, last)) or _PATHS.get(last)


def _tails(names: Iterable[str]) -> frozenset[str]:
    """Return how paths end whose last segment is one of these, cut off as the classifier does it."""
    spelt = {form for name in names for form in (name, name.title(), name.capitalize(), name.upper())}
    endings = [f"/{name}{slash}" for name in spelt for slash in ("", "/")]
    short = [ending for ending in endings if len(ending) < TAIL]
    longer = [before + ending for ending in short for before in (*string.ascii_letters, *string.digits, *"-._~/")]
    return frozenset([ending[-TAIL:] for ending in (*endings, *longer)])


FORM_TAILS = _tails((*_PATHS, *(last for _, last in _ENDINGS)))
"""How the paths end that take a form which need not tell by itself what it is."""

JSON_TAILS = _tails((*_TOKEN, *_REVOKE, *_INTROSPECT, *_REGISTER, "userAccessToken", "device_authorization"))
JSON_TAILS |= _tails(last for (_, last), kind in _ENDINGS.items() if kind is kinds.REGISTER)
"""How the paths end that take parameters in JSON."""
