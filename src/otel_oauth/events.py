"""The catalogue of events: every log event of the product, as data.

An event that a metric counts happens exactly where that metric is counted: :class:`Event` names the counter and the
label values, and a move asks :func:`rule` for the event that it is. A verdict's event is named by its case, what
OAuth 2.1 forbids by the kind of its operation. Emission, the reference of the documentation and the check of the
runbook are made by looping over this module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from otel_oauth import catalogue as c
from otel_oauth import vocabulary as v

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from otel_oauth.catalogue import Metric

Level = Literal["debug", "info", "warn", "error"]
Group = Literal["security", "benign", "operation", "compliance"]
Priority = Literal["P0", "P1", "P2", "P3", "P4"]

SEVERITIES: dict[str, int] = {"debug": 5, "info": 9, "warn": 13, "error": 17}
"""The levels and their OpenTelemetry severity numbers."""

ATTRIBUTES: dict[str, str] = {
    **v.SPAN_ATTRIBUTES,
    "provider_error": v.ERROR_TYPE,
    "limiter": "oauth.limiter_type",
    "client_type": "oauth.client_type",
    "revoked": "oauth.revocation.reason",
    "cleaned": "oauth.pkce.cleaned.reason",
    "code": "oauth.code.digest",
    "state": "oauth.state.digest",
    "family": "oauth.token_family.digest",
    "user": "user.hash",
    "count": "oauth.count",
}
"""Facts of an operation that become attributes of its events, and their names; digests are keyed and shortened."""

VARYING = frozenset(
    (
        *("client_id", "server_address", "code", "state", "family", "user"),
        *("flow_seconds", "user_seconds", "machine_seconds", "remaining_lifetime", "count", "abandoned"),
    )
)
"""Facts of which each event tells another value: digests, numbers, the host that was called (of any number), and the
client, whose label may stand for an id."""

COMMON = ("provider", "client_id", "grant_type", "endpoint", "operation", "error", "case", "server_address", "user")
"""The facts that every event carries, where they are known."""

_LOGIN = ("outcome", "flow_seconds", "user_seconds", "machine_seconds", "state", "code")
_REFRESH = ("reason", "rotated", "remaining_lifetime", "reauthorize", "scope_changed", "family")
_PKCE = ("challenge_method", "state", "code")
_ATTACK = ("code", "state", "family", "challenge_method")


class Event:
    """One event.

    :param name: the event's name, also its attribute ``event.name`` and its anchor in the runbook.
    :param group: ``security`` (an attack), ``benign`` (its harmless twin), ``operation`` or ``compliance``.
    :param level: the severity that it is emitted with.
    :param priority: how soon somebody should look: ``P0`` now, ``P1`` today, then as time permits.
    :param when: one sentence that says when it happens; also the body of the log record.
    :param counted: the counter that counts it; ``None`` if no metric does.
    :param label: the label of ``counted`` that tells this event from others, with its ``values``.
    :param facts: the facts that it carries besides those of every event; see :data:`ATTRIBUTES`.
    :param source: whether it tells the address that the request came from.
    """

    def __init__(  # noqa: PLR0913, PLR0917 one argument for each column of the table
        self,
        name: str,
        group: Group,
        level: Level,
        priority: Priority,
        when: str,
        counted: Metric | None = None,
        label: str = "",
        values: tuple[str, ...] = (),
        facts: tuple[str, ...] = (),
        *,
        source: bool = False,
    ) -> None:
        self.name: Final = name
        self.group: Final = group
        self.level: Final = level
        self.priority: Final = priority
        self.when: Final = when
        self.counted: Final = counted
        self.label: Final = label
        self.values: Final = values
        self.facts: Final = facts
        self.source: Final = source
        self.named: Final = tuple([(fact, ATTRIBUTES[fact]) for fact in dict.fromkeys((*COMMON, *facts))])
        """The facts that it can carry with the names of their attributes."""
        self.sampled: Final = group in ("operation", "compliance")
        """Whether sampling applies: never to what an investigation needs whole."""


def _verdict(name: str, level: Level, priority: Priority, when: str) -> Event:
    return Event(name, "security", level, priority, when, c.SECURITY_EVENTS, facts=_ATTACK, source=True)


def _benign(name: str, when: str) -> Event:
    return Event(name, "benign", "info", "P4", when, c.SECURITY_EVENTS, facts=_ATTACK, source=True)


def _operation(  # noqa: PLR0913 one argument for each column of the table
    name: str,
    when: str,
    counted: Metric | None,
    label: str = "",
    *values: str,
    level: Level = "info",
    priority: Priority = "P4",
    facts: tuple[str, ...] = (),
    source: bool = False,
) -> Event:
    return Event(name, "operation", level, priority, when, counted, label, values, facts, source=source)


def _forbidden(name: str, when: str, *facts: str) -> Event:
    return Event(name, "compliance", "info", "P3", when, facts=facts)


# Security ---------------------------------------------------------------------------------------------------

REFRESH_REUSE = _verdict(
    "oauth_refresh_token_reuse_detected",
    "error",
    "P0",
    "A rotated refresh token was presented again, and it was no race.",
)
CODE_INJECTION = _verdict(
    "oauth_code_injection_attempt",
    "error",
    "P0",
    "A code, state or nonce of another client, place or session was presented.",
)
INTEGRITY_VIOLATION = _verdict(
    "oauth_integrity_violation", "warn", "P1", "A PKCE verifier or a token hash does not belong to what it came with."
)
OWNERSHIP_VIOLATION = _verdict(
    "oauth_ownership_violation", "warn", "P1", "A token, device code or issuer belongs to somebody else."
)
REPLAY = _verdict(
    "pkce_replay_detected", "warn", "P1", "A used state or assertion was presented again with something new."
)
CODE_REUSE = _verdict("oauth_code_reuse_detected", "warn", "P1", "A redeemed authorization code was presented again.")

# The harmless twins of attacks ------------------------------------------------------------------------------

REFRESH_RACE = _benign("oauth_refresh_race", "Two requests of one client presented the same refresh token at once.")
CODE_DOUBLE_SUBMIT = _benign("oauth_code_double_submit", "A client sent its code twice within the race window.")
STATE_RELOADED = _benign("oauth_state_reloaded", "A callback was loaded again with the same code.")
SESSION_LOST = _benign("oauth_state_session_lost", "A callback arrived without the session that its login began in.")
NONCE_REPLAYED = _benign("oauth_nonce_replayed", "An OpenID Connect nonce was sent again.")

# Operations -------------------------------------------------------------------------------------------------

FLOW_INITIATED = _operation(
    "oauth_flow_initiated", "A client sent a user to its provider.", c.FLOWS, "status", "initiated", facts=("state",)
)
FLOW_COMPLETED = _operation(
    "oauth_flow_completed", "A login ended with a token.", c.FLOWS, "status", "success", facts=_LOGIN
)
FLOW_FAILED = _operation(
    "oauth_flow_failed", "A login failed.", c.FLOWS, "status", "failure", priority="P3", facts=_LOGIN
)
FLOW_ABANDONED = _operation(
    "oauth_flow_abandoned", "Users who were sent to a provider did not come back in time.", None, facts=("abandoned",)
)
AUTHORIZATION_STARTED = _operation(
    "oauth_authorization_started", "The server received a valid authorization request.", c.AUTHORIZATION_STARTED
)
CODE_EXCHANGED = _operation(
    "oauth_code_exchanged",
    "The server exchanged a code for tokens.",
    c.CODE_EXCHANGED,
    facts=("challenge_method", "code", "family"),
)
TOKEN_REFRESHED = _operation(
    "oauth_token_refreshed", "A refresh succeeded.", c.TOKEN_REFRESH, "status", "success", facts=_REFRESH
)
TOKEN_REFRESH_FAILED = _operation(
    "oauth_token_refresh_failed",
    "A refresh failed; the reason is told.",
    c.TOKEN_REFRESH,
    "status",
    "failure",
    priority="P3",
    facts=_REFRESH,
)
TOKEN_REVOKED = _operation("oauth_token_revoked", "A token was revoked.", c.TOKEN_REVOCATIONS, facts=("revoked",))
DISCOVERY_COMPLETED = _operation(
    "oauth_discovery_completed", "Metadata was fetched.", c.DISCOVERY, "status", "success", facts=("discovery_method",)
)
DISCOVERY_FAILED = _operation(
    "oauth_discovery_failed",
    "Metadata could not be fetched.",
    c.DISCOVERY,
    "status",
    "failure",
    priority="P3",
    facts=("discovery_method", "provider_error"),
)
REGISTRATION_COMPLETED = _operation(
    "oauth_client_registration_completed",
    "A client was registered.",
    c.CLIENT_REGISTRATIONS,
    "status",
    "success",
    facts=("client_type",),
)
REGISTRATION_FAILED = _operation(
    "oauth_client_registration_failed",
    "The registration of a client was refused or failed.",
    c.CLIENT_REGISTRATIONS,
    "status",
    "failure",
    priority="P3",
    source=True,
)
RATE_LIMITED = _operation(
    "oauth_rate_limit_exceeded",
    "A request was refused by a rate limit.",
    c.RATE_LIMIT_EXCEEDED,
    priority="P3",
    facts=("limiter",),
    source=True,
)
STORAGE_ERROR = _operation(
    "oauth_storage_error",
    "A call into the application's store failed.",
    c.STORAGE_OPS,
    "result",
    "error",
    priority="P2",
)
PROVIDER_ERROR = _operation(
    "oauth_provider_error",
    "A call to the provider failed.",
    c.PROVIDER_API_ERRORS,
    priority="P2",
    facts=("provider_error",),
)
PKCE_REFUSED = _operation(
    "oauth_pkce_validation_refused",
    "A code verifier or a state did not pass.",
    c.PKCE_VALIDATIONS,
    "status",
    "failure",
    facts=_PKCE,
)

# Details ----------------------------------------------------------------------------------------------------

PKCE_VALIDATED = _operation(
    "oauth_pkce_validated",
    "A code verifier, or the state of a login with one, passed.",
    c.PKCE_VALIDATIONS,
    "status",
    "success",
    level="debug",
    facts=_PKCE,
)
PKCE_CREATED = _operation(
    "oauth_pkce_state_created", "A challenge or verifier was stored.", c.PKCE_CREATED, level="debug", facts=_PKCE
)
PKCE_CLEANED = _operation(
    "oauth_pkce_state_cleaned",
    "Stored challenges or verifiers went unused.",
    c.PKCE_CLEANED,
    level="debug",
    facts=("cleaned", "count", "state", "code"),
)
HTTP_REQUEST = _operation(
    "oauth_http_request", "An OAuth endpoint of the server answered.", c.HTTP_REQUESTS, level="debug", facts=("method",)
)
PROVIDER_CALL = _operation(
    "oauth_provider_call", "A client called its provider.", c.PROVIDER_CALLS, level="debug", facts=("method",)
)

# What OAuth 2.1 forbids -------------------------------------------------------------------------------------

PKCE_NOT_USED = _forbidden(
    "oauth_pkce_not_used", "An authorization went without PKCE (RFC 9700 section 2.1.1).", "code"
)
PKCE_PLAIN_USED = _forbidden(
    "oauth_pkce_plain_used",
    "A challenge used the method plain, which shows the verifier (RFC 9700 section 2.1.1).",
    "code",
)
IMPLICIT_USED = _forbidden(
    "oauth_implicit_grant_used", "An access token was issued in the authorization response (RFC 9700 section 2.1.2)."
)
PASSWORD_USED = _forbidden(
    "oauth_password_grant_used", "A user's password was exchanged for a token (RFC 9700 section 2.4)."
)
REDIRECT_INSECURE = _forbidden(
    "oauth_redirect_uri_insecure", "A code was sent over http to another host (RFC 9700 section 2.6).", "code"
)
TOKEN_IN_QUERY = _forbidden(
    "oauth_bearer_token_in_query", "A bearer token came or went in a URL (RFC 9700 section 4.3.2)."
)

EVENTS: dict[str, Event] = {event.name: event for event in list(globals().values()) if isinstance(event, Event)}
"""Every event by its name, in the order of the groups."""

FORBIDDEN: dict[str, Event] = {
    event.name.removeprefix("oauth_"): event for event in EVENTS.values() if event.group == "compliance"
}
"""The practices that OAuth 2.1 forbids, by their short name in the manual API."""


class Rule:
    """How the event of one counter follows from the label values of an increment.

    :param position: which label tells events apart; ``None`` if all increments are the same event.
    :param events: the event of each of its values; ``every`` that of all values.
    """

    def __init__(self, position: int | None, events: dict[str, Event], every: Event | None = None) -> None:
        self.position: Final = position
        self.events: Final = events
        self.every: Final = every

    def event(self, key: tuple[str, ...]) -> Event | None:
        """Return the event of an increment with the label values ``key``, or ``None``."""
        return self.every if self.position is None else self.events.get(key[self.position])


def _rules(events: Iterable[Event]) -> dict[Metric, Rule]:
    rules: dict[Metric, Rule] = {}
    for event in events:
        metric = event.counted
        if metric is None or event.group in ("security", "benign"):
            continue
        if not event.label:
            rules[metric] = Rule(None, {}, event)
            continue
        rule = rules.setdefault(metric, Rule(metric.label_names.index(event.label), {}))
        rule.events.update(dict.fromkeys(event.values, event))
    return rules


_RULES = _rules(EVENTS.values())


def rule(metric: Metric) -> Rule | None:
    """Return the rule of a counter whose increments are events; verdicts are named by their case instead."""
    return _RULES.get(metric)


class Occurrence:
    """An event that follows from a fact of an operation and that no metric counts.

    :param event: the event.
    :param fact: the fact that must have ``value``; without one it always happens.
    :param succeeded: only if the operation succeeded.
    """

    def __init__(self, event: Event, fact: str = "", value: object = True, *, succeeded: bool = False) -> None:  # noqa: FBT002 any value of a fact
        self.event: Final = event
        self.fact: Final = fact
        self.value: Final = value
        self.succeeded: Final = succeeded

    def happened(self, facts: Mapping[str, object]) -> bool:
        """Tell whether it happened in an operation with these facts."""
        if self.fact and facts.get(self.fact) != self.value:
            return False
        return not self.succeeded or facts.get("status") == "success"
