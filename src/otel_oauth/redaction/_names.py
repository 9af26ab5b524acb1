"""Which names stand for a secret: parameters of OAuth and OpenID Connect, headers, and what programs call them.

A name is compared without its case, dashes and underscores: ``access_token``, ``accessToken`` and
``X-Access-Token`` are one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable


class Name(NamedTuple):
    """What the value of a name is.

    :param kind: one of :data:`~otel_oauth.catalogue.REDACTED_KINDS`.
    :param certain: the name is used for secrets only; otherwise the value must look like one, or stand in a
        query or form.
    :param readable: the value is no secret and stays as it is, whoever presents the same one as a secret.
    """

    kind: str
    certain: bool
    readable: bool = False


_CERTAIN = {
    "accesstoken": "access_token",
    "registrationaccesstoken": "access_token",
    "initialaccesstoken": "access_token",
    "subjecttoken": "access_token",
    "actortoken": "access_token",
    "oauthtoken": "access_token",
    "refreshtoken": "refresh_token",
    "idtoken": "id_token",
    "idtokenhint": "id_token",
    "logouttoken": "id_token",
    "authorizationcode": "code",
    "authcode": "code",
    "devicecode": "device_code",
    "usercode": "user_code",
    "verificationuricomplete": "user_code",
    "authreqid": "device_code",
    "codechallenge": "code_challenge",
    "oauthsignature": "authorization",
    "samlresponse": "assertion",
    "samlrequest": "assertion",
    "relaystate": "state",
    "sessionstate": "state",
    "oauthstate": "state",
    "authorization": "authorization",
    "proxyauthorization": "authorization",
    "httpauthorization": "authorization",
    "dpop": "jwt",
    "sessionid": "session",
    "sessionkey": "session",
    "passphrase": "password",
    "pwd": "password",
    "apikey": "api_key",
    "xapikey": "api_key",
    "secretkey": "client_secret",
    "privatekey": "client_secret",
    "signingkey": "client_secret",
}

_POSSIBLE = {
    "code": "code",
    "state": "state",
    "nonce": "nonce",
    "cnonce": "nonce",
    "token": "token",
    "jwt": "jwt",
    "session": "session",
    "sid": "session",
    "ticket": "token",
    "otp": "password",
    "pin": "password",
    "auth": "authorization",
    "credential": "password",
    "signature": "authorization",
    "sig": "authorization",
}

_ENDINGS = (
    ("accesstoken", "access_token"),
    ("refreshtoken", "refresh_token"),
    ("idtoken", "id_token"),
    ("token", "token"),
    ("secret", "client_secret"),
    ("password", "password"),
    ("passwd", "password"),
    ("verifier", "code_verifier"),
    ("assertion", "assertion"),
    ("cookie", "cookie"),
    ("apikey", "api_key"),
)

_OPEN = frozenset(
    (
        *("clientid", "tokentype", "tokentypehint", "granttype", "responsetype", "responsemode", "error", "scope"),
        *("scopes", "codechallengemethod", "statuscode", "provider", "servicename", "serviceinstanceid"),
        *("traceid", "spanid", "oteltraceid", "otelspanid", "traceparent"),
    )
)

_READABLE = Name("", certain=False, readable=True)
_BY_NAME = {
    **dict.fromkeys(_OPEN, _READABLE),
    **{name: Name(kind, certain=True) for name, kind in _CERTAIN.items()},
    **{name: Name(kind, certain=False) for name, kind in _POSSIBLE.items()},
}

_REMEMBERED = 4096


def _squashed(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")


class Names:
    """The names that stand for secrets, with the user's own.

    :param extra: further names; their values are of kind ``custom``.
    :ivar known: what :meth:`get` found, for whoever cannot wait for a call.
    """

    def __init__(self, extra: Iterable[str] = ()) -> None:
        self.extra = tuple(extra)
        self.known: dict[str, Name | None] = {}
        self._extra = {_squashed(name) for name in self.extra}

    def get(self, name: str) -> Name | None:
        """Return what the value of ``name`` is, ``None`` if it may be anything. Dotted names count by their end."""
        try:
            return self.known[name]
        except KeyError:
            if len(self.known) >= _REMEMBERED:
                self.known.clear()
            found = self.known[name] = self._classify(name)
            return found

    def _classify(self, name: str) -> Name | None:
        parts = [part for part in name.split(".") if part]
        if not parts:
            return None
        last = _squashed(parts[-1])
        found = self._one(last)
        if found is None and last == "digest" and parts[0] == "oauth":
            return _READABLE  # of our own events, and another one each time
        if found is None and len(parts) > 1:
            joined = _squashed(parts[-2]) + last
            found = self._one(joined) if joined in _CERTAIN or joined in self._extra else None
        return found

    def _one(self, name: str) -> Name | None:
        if name in self._extra:
            return Name("custom", certain=True)
        if name in _BY_NAME:
            return _BY_NAME[name]
        for ending, kind in _ENDINGS:
            if name.endswith(ending):
                return Name(kind, certain=True)
        if name.endswith("s") and len(name) > 1:
            single = self._one(name[:-1])
            return None if single is None else single._replace(certain=False)
        return None
