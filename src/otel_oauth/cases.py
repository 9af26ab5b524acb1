"""The decision table as data: what each case moves beyond the rows of its operation, and what event it is.

Facts and verdicts: a case with a ``security`` verdict moves ``oauth_security_events_total`` exactly once;
severity ``low`` is the benign twin of an attack and moves no attack counter. A request or callback has at
most one verdict; where two would apply, the higher :attr:`Case.rank` stands (code injection before token
reuse before integrity violation).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from otel_oauth import catalogue as c
from otel_oauth import events as e
from otel_oauth.moves import Fact, Move, facts_of

if TYPE_CHECKING:
    from otel_oauth.events import Event

EventType = Literal["token_reuse", "integrity_violation", "code_injection"]
Severity = Literal["low", "medium", "high", "critical"]

_RANK = {"code_injection": 3, "token_reuse": 2, "integrity_violation": 1}


class Case:
    """One row of the decision table.

    :param name: the case's name, also the span attribute ``oauth.case``.
    :param moves: what moves beyond the rows of the operation's kind.
    :param security: the verdict ``(event_type, severity)``, if the case is one.
    :param event: the event that goes with the verdict.
    :param facts: facts that the case settles (the labels of a refresh, whether a flow failed).
    """

    def __init__(
        self,
        name: str,
        moves: tuple[Move, ...] = (),
        security: tuple[EventType, Severity] | None = None,
        event: Event | None = None,
        facts: dict[str, str | bool] | None = None,
    ) -> None:
        self.name: Final = name
        self.moves: Final = moves
        self.security: Final = security
        self.event: Final = event
        self.facts: Final = {} if facts is None else facts
        self.reads: Final = frozenset(facts_of(moves))
        """The facts that decide which series move, beyond those of the kind."""

    @property
    def rank(self) -> int:
        """The precedence of the verdict: a higher one replaces a lower one."""
        if self.security is None:
            return 0
        return _RANK[self.security[0]] * 2 - (self.security[1] == "low")


_METHOD = Fact("challenge_method")
_EXPIRED = Move(c.PKCE_VALIDATIONS, ("failure", "expired"), when="verifier")
_INVALID_HASH = Move(c.PKCE_VALIDATIONS, ("failure", "invalid_hash"))
_NOT_FOUND = Move(c.PKCE_VALIDATIONS, ("failure", "not_found"))
_GONE = Move(c.PKCE_VALIDATIONS, ("failure", "not_found"), when="verifier")
_HASH_MISMATCH = Move(c.INTEGRITY_VIOLATIONS, ("hash_mismatch",))
_STATE_REUSE = Move(c.INTEGRITY_VIOLATIONS, ("state_reuse",))
_USER_MISMATCH = Move(c.INTEGRITY_VIOLATIONS, ("user_mismatch",))
_FLOW_FAILED: dict[str, str | bool] = {"flow": True, "status": "failure"}


def _verdict(
    name: str, event_type: EventType, severity: Severity, event: Event, *moves: Move, **facts: str | bool
) -> Case:
    security = Move(c.SECURITY_EVENTS, (event_type, severity))
    return Case(name, (*moves, security), (event_type, severity), event, facts)


def _refresh(name: str, reason: str) -> Case:
    return Case(name, facts={"refresh": "failure", "reason": reason})


# The server, authorization code -----------------------------------------------------------------------------

CODE_DOUBLE_SUBMIT = _verdict("code_double_submit", "token_reuse", "low", e.CODE_DOUBLE_SUBMIT, Move(c.CODE_REUSE))
CODE_REPLAYED = _verdict("code_replayed", "token_reuse", "high", e.CODE_REUSE, Move(c.CODE_REUSE))
CODE_REPLAYED_BY_OTHER_CLIENT = _verdict(
    "code_replayed_by_other_client",
    "code_injection",
    "critical",
    e.CODE_INJECTION,
    Move(c.CODE_REUSE),
    Move(c.CODE_INJECTIONS),
)
CODE_OF_OTHER_CLIENT = _verdict(
    "code_of_other_client", "code_injection", "critical", e.CODE_INJECTION, Move(c.CODE_INJECTIONS)
)
CODE_REDIRECT_HOST_DIFFERS = _verdict(
    "code_redirect_host_differs", "code_injection", "critical", e.CODE_INJECTION, Move(c.CODE_INJECTIONS)
)
CODE_REDIRECT_URI_DIFFERS = Case("code_redirect_uri_differs")
CODE_EXPIRED = Case("code_expired", (_EXPIRED,))
CODE_UNKNOWN = Case("code_unknown", (_GONE,))
PKCE_MISMATCH = _verdict(
    "pkce_mismatch",
    "integrity_violation",
    "high",
    e.INTEGRITY_VIOLATION,
    _INVALID_HASH,
    Move(c.PKCE_FAILED, (_METHOD,)),
    _HASH_MISMATCH,
)
PKCE_MALFORMED = Case("pkce_malformed", (_INVALID_HASH, Move(c.PKCE_FAILED, (_METHOD,))))
PKCE_VERIFIER_MISSING = _verdict(
    "pkce_verifier_missing",
    "integrity_violation",
    "medium",
    e.INTEGRITY_VIOLATION,
    _INVALID_HASH,
    Move(c.PKCE_FAILED, (_METHOD,)),
    _HASH_MISMATCH,
)
PKCE_REQUIRED = Case("pkce_required", (_INVALID_HASH, Move(c.PKCE_FAILED, ("none",))))
PKCE_DOWNGRADE = _verdict(
    "pkce_downgrade",
    "integrity_violation",
    "high",
    e.INTEGRITY_VIOLATION,
    _INVALID_HASH,
    Move(c.PKCE_FAILED, ("none",)),
    _HASH_MISMATCH,
)

# The server, refresh token ----------------------------------------------------------------------------------

REFRESH_RACE = _verdict(
    "refresh_race", "token_reuse", "low", e.REFRESH_RACE, refresh="failure", reason="reuse_detected"
)
REFRESH_RACE_ACCEPTED = _verdict(
    "refresh_race_accepted", "token_reuse", "low", e.REFRESH_RACE, refresh="success", reason="normal"
)
REFRESH_REUSED = _verdict(
    "refresh_reused",
    "token_reuse",
    "critical",
    e.REFRESH_REUSE,
    Move(c.TOKEN_REUSE),
    refresh="reuse_detected",
    reason="reuse_detected",
)
REFRESH_REUSED_AGAIN = _refresh("refresh_reused_again", "reuse_detected")
REFRESH_OF_OTHER_CLIENT = _verdict(
    "refresh_of_other_client",
    "integrity_violation",
    "high",
    e.OWNERSHIP_VIOLATION,
    _USER_MISMATCH,
    refresh="failure",
    reason="ownership_failed",
)
REFRESH_UNKNOWN = _refresh("refresh_unknown", "no_record")
REFRESH_MISSING = _refresh("refresh_missing", "no_refresh_token")
REFRESH_REFUSED = _refresh("refresh_refused", "normal")
REFRESH_ERROR = _refresh("refresh_error", "exception")
REFRESH_KNOWN_ROTATED = _refresh("refresh_known_rotated", "reuse_detected")
REFRESH_OK = Case("refresh_ok", facts={"refresh": "success", "reason": "normal"})

# The server, other endpoints --------------------------------------------------------------------------------

TOKEN_OF_OTHER_CLIENT = _verdict(
    "token_of_other_client", "integrity_violation", "high", e.OWNERSHIP_VIOLATION, _USER_MISMATCH
)
ASSERTION_REPLAYED = _verdict("assertion_replayed", "integrity_violation", "high", e.REPLAY, _STATE_REUSE)
NONCE_REPLAYED = _verdict("nonce_replayed", "integrity_violation", "low", e.NONCE_REPLAYED)

# The client, callback ---------------------------------------------------------------------------------------

STATE_RELOADED = _verdict("state_reloaded", "integrity_violation", "low", e.STATE_RELOADED, _GONE)
STATE_REPLAYED = _verdict("state_replayed", "integrity_violation", "high", e.REPLAY, _GONE, _STATE_REUSE)
STATE_EXPIRED = Case(
    "state_expired", (_EXPIRED, Move(c.PKCE_CLEANED, ("expired",), when="pending")), facts=dict(_FLOW_FAILED)
)
STATE_UNKNOWN = Case("state_unknown", (_NOT_FOUND,))
STATE_OF_OTHER_SESSION = _verdict(
    "state_of_other_session", "code_injection", "critical", e.CODE_INJECTION, _GONE, Move(c.CODE_INJECTIONS)
)
STATE_SESSION_LOST = _verdict("state_session_lost", "integrity_violation", "low", e.SESSION_LOST, _GONE, **_FLOW_FAILED)
STATE_DROPPED = Case("state_dropped", (_GONE,))
CALLBACK_CANCELLED = Case("callback_cancelled")
CALLBACK_ERROR = Case("callback_error", facts=dict(_FLOW_FAILED))
NONCE_MISMATCH = _verdict(
    "nonce_mismatch", "code_injection", "critical", e.CODE_INJECTION, Move(c.CODE_INJECTIONS), **_FLOW_FAILED
)
NONCE_MISSING = Case("nonce_missing", facts=dict(_FLOW_FAILED))
AT_HASH_MISMATCH = _verdict(
    "at_hash_mismatch", "integrity_violation", "high", e.INTEGRITY_VIOLATION, _HASH_MISMATCH, **_FLOW_FAILED
)
C_HASH_MISMATCH = _verdict("c_hash_mismatch", "integrity_violation", "high", e.INTEGRITY_VIOLATION, _HASH_MISMATCH)
ISSUER_MISMATCH = _verdict("issuer_mismatch", "integrity_violation", "high", e.OWNERSHIP_VIOLATION, _USER_MISMATCH)

CASES: dict[str, Case] = {case.name: case for case in list(globals().values()) if isinstance(case, Case)}
"""Every case by its name."""
