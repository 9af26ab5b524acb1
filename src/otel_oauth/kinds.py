"""Operations as data: one kind per OAuth operation, with its span and the catalogue rows it feeds.

The facts that a kind's moves refer to are set by whoever translates a library's behaviour (a plugin, or the
manual API):

``provider`` / ``client_id``
    label values; ``client_id`` is ``unknown`` unless the id is known to the server or configured in the
    client.
``status``
    ``success`` or ``failure``; set from the outcome of the operation where nobody set it.
``called``, ``http_status``, ``provider_error``
    a request to the provider was attempted; the HTTP status as text (``0`` without a response); the type of
    error.
``flow``, ``flow_timed``, ``flow_seconds``
    the operation ends a flow; its start is known; seconds since its initiation.
``discovery_method``, ``discovery_seconds``
    the request ends an attempt of discovery; seconds since its first request, if it had several.
``initiated``
    an authorization was started; unless set, whether the operation succeeded.
``pkce`` / ``pkce_ok``
    a state with a verifier (client) or a code with a challenge (server) was stored / was validated. ``pkce`` is
    false where one was stored without.
``pkce_plain``, ``redirect_insecure``, ``token_in_query``
    what OAuth 2.1 forbids was seen.
``code``, ``state``, ``family``, ``user``
    keyed digests of a code, a state, the grant that tokens descend from, the user; for events.
"""

from __future__ import annotations

from typing import Final, Literal

from otel_oauth import catalogue as c
from otel_oauth import events as e
from otel_oauth.events import Occurrence
from otel_oauth.moves import Fact, Move, facts_of

_PROVIDER = Fact("provider")
_CLIENT = Fact("client_id")
_STATUS = Fact("status")
_OPERATION = Fact("operation")


class OperationKind:
    """One kind of OAuth operation.

    :param name: the vocabulary's name; the span is called ``oauth.{name} {target}`` with the provider or
        endpoint as target.
    :param side: ``client`` (spans of kind CLIENT), ``server`` (SERVER without a parent, else INTERNAL),
        ``local`` (INTERNAL).
    :param target: the fact that completes the span's name.
    :param moves: the catalogue rows of every such operation; a case may add more.
    :param span: whether the operation has a span of its own.
    :param operation: for a call to a provider, the value of the ``operation`` label.
    :param occurrences: the events of such an operation that no metric counts.
    """

    def __init__(  # noqa: PLR0913 one argument for each column of the table
        self,
        name: str,
        side: Literal["client", "server", "local"],
        target: str,
        moves: tuple[Move, ...],
        *,
        span: bool = True,
        operation: str = "",
        occurrences: tuple[Occurrence, ...] = (),
    ) -> None:
        self.name: Final = name
        self.side: Final = side
        self.target: Final = target
        self.moves: Final = moves
        self.span: Final = span
        self.operation: Final = operation
        self.occurrences: Final = occurrences
        told = [occurrence.fact for occurrence in occurrences if occurrence.fact]
        self.reads: Final = frozenset((*facts_of(moves), *told, "status"))
        """The facts that decide which series move and which events there are."""


_PROVIDER_MOVES = (
    Move(c.PROVIDER_CALLS, (_PROVIDER, _OPERATION, Fact("http_status")), when="called"),
    Move(c.PROVIDER_DURATION, (_PROVIDER, _OPERATION), when="called"),
    Move(c.PROVIDER_API_ERRORS, (_PROVIDER, _OPERATION, Fact("provider_error")), when="provider_error"),
)
_FLOW_MOVES = (
    Move(c.FLOWS, (_PROVIDER, _STATUS), when="flow"),
    Move(c.FLOW_DURATION, (_PROVIDER, _STATUS), when="flow_timed", value="flow_seconds"),
    Move(c.PKCE_VALIDATIONS, ("success", "valid"), when="pkce_ok"),
    Move(c.PKCE_CLEANED, (Fact("cleaned"),), when="cleaned"),
)
_REFRESH_MOVES = (
    Move(c.TOKEN_REFRESH, (Fact("refresh"), Fact("reason")), when="refresh"),
    Move(c.TOKEN_REFRESH_DURATION, (Fact("refresh"),), when="refresh"),
)
_REGISTRATION_MOVES = (
    Move(c.CLIENT_REGISTRATIONS, (_STATUS,), when="registration"),
    Move(c.CLIENT_REGISTRATION_DURATION, (_STATUS,), when="registration"),
)
_DISCOVERY_MOVES = (
    Move(c.DISCOVERY, (Fact("discovery_method"), _STATUS), when="discovery_method"),
    Move(
        c.DISCOVERY_DURATION,
        (Fact("discovery_method"), _STATUS),
        when="discovery_method",
        value="discovery_seconds",
        or_own=True,
    ),
)


_FORBIDDEN_GRANTS = (
    Occurrence(e.IMPLICIT_USED, "grant_type", "implicit", succeeded=True),
    Occurrence(e.PASSWORD_USED, "grant_type", "password", succeeded=True),
)
_IN_QUERY = Occurrence(e.TOKEN_IN_QUERY, "token_in_query")


def _call(name: str, operation: str, *moves: Move, occurrences: tuple[Occurrence, ...] = ()) -> OperationKind:
    return OperationKind(
        name, "client", "provider", (*_PROVIDER_MOVES, *moves), operation=operation, occurrences=occurrences
    )


# The client's side ------------------------------------------------------------------------------------------

AUTHORIZE = OperationKind(
    "authorize",
    "local",
    "provider",
    (
        Move(c.FLOWS, (_PROVIDER, "initiated"), when="initiated"),
        Move(c.FLOWS, (_PROVIDER, _STATUS), when="flow"),
        Move(c.PKCE_CREATED, when="pkce"),
        Move(c.PKCE_CLEANED, (Fact("cleaned"),), when="cleaned"),
    ),
    occurrences=(Occurrence(e.PKCE_NOT_USED, "pkce", value=False),),
)
CALLBACK = OperationKind(
    "callback",
    "local",
    "provider",
    (Move(c.CALLBACK_PROCESSED, (_CLIENT, Fact("handled")), when="handled"), *_FLOW_MOVES),
)
CODE_EXCHANGE = _call("code_exchange", "token", *_FLOW_MOVES, occurrences=_FORBIDDEN_GRANTS)
TOKEN = _call("token", "token", occurrences=_FORBIDDEN_GRANTS)
REFRESH = _call("refresh", "refresh", *_REFRESH_MOVES)
REVOKE = _call("revoke", "revoke", Move(c.TOKEN_REVOCATIONS, (Fact("revoked"),), when="revoked"))
INTROSPECT = _call("introspect", "introspect")
USERINFO = _call("userinfo", "userinfo")
DISCOVER = _call("discovery", "discovery", *_DISCOVERY_MOVES)
JWKS = _call("jwks", "jwks")
REGISTER = _call("registration", "registration", *_REGISTRATION_MOVES)
DEVICE_AUTHORIZATION = _call("device_authorization", "api")
PUSHED_AUTHORIZATION = _call("pushed_authorization", "api")
API = _call("api", "api", occurrences=(_IN_QUERY,))
ABANDONED = OperationKind("login", "local", "outcome", (), occurrences=(Occurrence(e.FLOW_ABANDONED),))
"""Logins whose user never came back, found when their states ran out: no failure, and counted by no metric."""
CALLBACK_ENDPOINT = OperationKind(
    "callback_endpoint",
    "server",
    "endpoint",
    (
        Move(c.HTTP_REQUESTS, (Fact("method"), Fact("endpoint"), Fact("http_status"))),
        Move(c.HTTP_DURATION, (Fact("endpoint"),)),
    ),
    span=False,
)
"""The HTTP request in which the client's callback was handled; the span is the callback's own."""

# The server's side ------------------------------------------------------------------------------------------

ENDPOINT = OperationKind(
    "endpoint",
    "server",
    "endpoint",
    (
        Move(c.HTTP_REQUESTS, (Fact("method"), Fact("endpoint"), Fact("http_status"))),
        Move(c.HTTP_DURATION, (Fact("endpoint"),)),
        Move(c.AUTHORIZATION_STARTED, (_CLIENT,), when="started"),
        Move(c.PKCE_CREATED, when="pkce"),
        Move(c.PKCE_VALIDATIONS, ("success", "valid"), when="pkce_ok"),
        Move(c.PKCE_CLEANED, (Fact("cleaned"),), when="cleaned"),
        Move(c.CODE_EXCHANGED, (_CLIENT, Fact("pkce_method")), when="exchanged"),
        *_REFRESH_MOVES,
        Move(c.TOKEN_REFRESHED, (_CLIENT, Fact("rotated")), when="refreshed"),
        Move(c.TOKEN_REVOKED, (_CLIENT,), when="revoked"),
        Move(c.TOKEN_REVOCATIONS, (Fact("revoked"),), when="revoked"),
        Move(c.TOKEN_REVOCATIONS, ("security",), when="revoked_for_security"),
        *_REGISTRATION_MOVES,
        Move(c.CLIENT_REGISTERED, (Fact("client_type"),), when="client_type"),
        Move(c.RATE_LIMIT_EXCEEDED, (Fact("limiter"),), when="limiter"),
    ),
    occurrences=(
        Occurrence(e.PKCE_NOT_USED, "pkce", value=False),
        Occurrence(e.PKCE_PLAIN_USED, "pkce_plain"),
        Occurrence(e.REDIRECT_INSECURE, "redirect_insecure"),
        *_FORBIDDEN_GRANTS,
    ),
)
VERIFY = OperationKind("verify_token", "local", "token_type", (), occurrences=(_IN_QUERY,))
STORAGE = OperationKind(
    "storage",
    "local",
    "operation",
    (
        Move(c.STORAGE_OPS, (_OPERATION, Fact("result"))),
        Move(c.STORAGE_DURATION, (_OPERATION,)),
    ),
    span=False,
)

# Single facts without a span, for what happens outside of an operation --------------------------------------

RATE_LIMITED = OperationKind(
    "rate_limited", "local", "limiter", (Move(c.RATE_LIMIT_EXCEEDED, (Fact("limiter"),)),), span=False
)
REVOKED = OperationKind("revoked", "local", "revoked", (Move(c.TOKEN_REVOCATIONS, (Fact("revoked"),)),), span=False)
STATE_CLEANED = OperationKind(
    "state_cleaned", "local", "cleaned", (Move(c.PKCE_CLEANED, (Fact("cleaned"),)),), span=False
)
FORBIDDEN = OperationKind(
    "forbidden",
    "local",
    "practice",
    (),
    span=False,
    occurrences=tuple(Occurrence(event, "practice", name) for name, event in e.FORBIDDEN.items()),
)
"""Something that OAuth 2.1 forbids and that only the application can see."""
VERDICT = OperationKind("verdict", "local", "case", (), span=False)

KINDS: dict[str, OperationKind] = {
    kind.name: kind for kind in list(globals().values()) if isinstance(kind, OperationKind)
}
"""Every operation kind by its name."""
