"""Verdicts: from what was presented, what the ledger knows and what the application answered, to the case.

The rules are those of the decision table; no plugin decides anything of its own. A check that did not run
gives no case.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from otel_oauth import cases
from otel_oauth.ledger import Kind, Status, method_name
from otel_oauth.vocabulary import CLIENT_ERROR, SERVER_ERROR

if TYPE_CHECKING:
    from otel_oauth.cases import Case
    from otel_oauth.ledger import Entry, Ledger, Sighting

_MUTE_SECONDS = 3600.0
_CODE = Kind.CODE


class CodePresented:
    """A presented authorization code and what the server did with it.

    :param sighting: what the ledger knew when the code was presented.
    :param client_id: the client that presented it; empty if none was authenticated.
    :param authenticated: the client proved who it is (not ``token_endpoint_auth_method`` ``none``).
    :param found: the application's look-up returned the code.
    :param accepted: the request was answered with tokens.
    :param redirect: how the redirect URI compared: ``same``, ``host`` (another host) or ``other`` (absent, or
        other scheme or path).
    :param pkce: how the PKCE check ended: ``unchecked``, ``matched``, ``mismatch``, ``malformed``,
        ``missing``, ``required`` or ``downgrade``.
    """

    def __init__(  # noqa: PLR0913 one argument for each fact that is judged
        self,
        sighting: Sighting,
        client_id: str = "",
        *,
        authenticated: bool = False,
        found: bool = False,
        accepted: bool = False,
        redirect: str = "same",
        pkce: str = "unchecked",
    ) -> None:
        self.sighting = sighting
        self.client_id = client_id
        self.authenticated = authenticated
        self.found = found
        self.accepted = accepted
        self.redirect = redirect
        self.pkce = pkce


_PKCE = {
    "mismatch": cases.PKCE_MISMATCH,
    "malformed": cases.PKCE_MALFORMED,
    "missing": cases.PKCE_VERIFIER_MISSING,
    "required": cases.PKCE_REQUIRED,
    "downgrade": cases.PKCE_DOWNGRADE,
}


def code(ledger: Ledger, presented: CodePresented, race_window: float) -> Case | None:  # noqa: PLR0911 a return for each row of the decision table
    """Judge a presented authorization code (RFC 6749 section 4.1.2, RFC 9700 section 4.5)."""
    entry = presented.sighting.entry
    if entry is not None and entry.status == Status.ISSUED and not presented.found and not presented.accepted:
        # The other one of two simultaneous requests may have redeemed it since.
        entry = ledger.look_again(presented.sighting, _CODE).entry or entry
    if entry is not None and presented.client_id:
        same = entry.owner == ledger.kept_digest(presented.client_id)
        # In flight is provisional: for another client the code is not redeemed yet.
        if entry.status == Status.REDEEMED or (same and entry.status == Status.REDEEMING):
            return _code_replayed(entry, presented, race_window, same=same)
        if not same:
            return cases.CODE_OF_OTHER_CLIENT
    if presented.redirect == "host":
        return cases.CODE_REDIRECT_HOST_DIFFERS
    if presented.redirect == "other":
        return cases.CODE_REDIRECT_URI_DIFFERS
    if presented.pkce in _PKCE:
        return _PKCE[presented.pkce]
    if presented.client_id and not presented.found and not presented.accepted:
        return cases.CODE_UNKNOWN if entry is None else cases.CODE_EXPIRED
    return None


def _code_replayed(entry: Entry, presented: CodePresented, race_window: float, *, same: bool) -> Case:
    if not same:
        return cases.CODE_REPLAYED_BY_OTHER_CLIENT
    recent = entry.status == Status.REDEEMING or abs(time.time() - entry.changed_at) <= race_window
    return cases.CODE_DOUBLE_SUBMIT if presented.authenticated and recent else cases.CODE_REPLAYED


def challenge_method(sighting: Sighting) -> str:
    """Return the method of the challenge that a code was stored with: ``S256``, ``plain`` or ``none``."""
    return "none" if sighting.entry is None else method_name(sighting.entry)


class RefreshPresented:
    """A presented refresh token and what the server did with it.

    :param sighting: what the ledger knew when the token was presented; ``None`` if the parameter was missing.
    :param client_id: the client that presented it; empty if none was authenticated.
    :param found: the application's look-up returned the token; ``None`` if it was not asked.
    :param status: the HTTP status of the answer; 500 if an exception escaped.
    :param error: the RFC error code of the answer.
    :param settled: what the ledger knew when it was told of the answer; looked up if it was not told yet.
    """

    def __init__(  # noqa: PLR0913 one argument for each fact that is judged
        self,
        sighting: Sighting | None = None,
        client_id: str = "",
        *,
        found: bool | None = None,
        status: int = 200,
        error: str = "",
        settled: Sighting | None = None,
    ) -> None:
        self.sighting = sighting
        self.client_id = client_id
        self.found = found
        self.status = status
        self.error = error
        self.settled = settled


def refresh(ledger: Ledger, presented: RefreshPresented, race_window: float) -> Case:  # noqa: PLR0911 a return for each row of the decision table
    """Judge a refresh at the server (RFC 6749 section 6, RFC 9700 section 4.14.2)."""
    if presented.status >= SERVER_ERROR:
        return cases.REFRESH_ERROR
    accepted = presented.status < CLIENT_ERROR
    sighting = presented.sighting
    if sighting is None or presented.found is None:
        missing = presented.error == "invalid_request" and sighting is None
        return cases.REFRESH_MISSING if missing else cases.REFRESH_REFUSED
    again = presented.settled or ledger.look_again(sighting)
    entry = again.entry
    if entry is not None and presented.client_id:
        same = entry.owner == ledger.kept_digest(presented.client_id)
        status = entry.status
        lost = status == Status.REDEEMING and same and not accepted and not presented.found
        if lost or status == Status.ROTATED:
            return _refresh_reused(sighting, again, race_window, same=same, accepted=accepted)
        if not same and status in (Status.ISSUED, Status.REDEEMING) and entry.expires_at > time.time():
            return cases.REFRESH_OF_OTHER_CLIENT
    if accepted:
        return cases.REFRESH_OK
    if presented.found:
        return cases.REFRESH_OF_OTHER_CLIENT if presented.error == "invalid_grant" else cases.REFRESH_REFUSED
    return cases.REFRESH_UNKNOWN


def _refresh_reused(before: Sighting, now: Sighting, race_window: float, *, same: bool, accepted: bool) -> Case:
    entry = now.entry
    if entry is None:
        return cases.REFRESH_UNKNOWN
    in_flight = entry.status == Status.REDEEMING
    direct_parent = in_flight or entry.generation == now.family.newest - 1
    successor_seen = before.family.newest_presented and before.family.newest == now.family.newest
    recent = in_flight or abs(time.time() - entry.changed_at) <= race_window
    if same and direct_parent and not successor_seen and recent:
        return cases.REFRESH_RACE_ACCEPTED if accepted else cases.REFRESH_RACE
    if abs(time.time() - now.family.critical_at) < _MUTE_SECONDS:
        return cases.REFRESH_REUSED_AGAIN
    return cases.REFRESH_REUSED


class StatePresented:
    """A state that came back to a client whose session did not hold it, or held it past its time.

    :param sighting: what the ledger knows of it.
    :param code: digest of the code that came with it.
    :param session_empty: the session that the callback arrived in holds nothing at all.
    """

    def __init__(self, sighting: Sighting, code: bytes = b"", *, session_empty: bool = False) -> None:
        self.sighting = sighting
        self.code = code
        self.session_empty = session_empty


def state(presented: StatePresented) -> Case:
    """Judge a state that was refused at the callback (RFC 6749 section 10.12, RFC 9700 section 4.7)."""
    entry = presented.sighting.entry
    if entry is None:
        return cases.STATE_UNKNOWN
    if entry.status == Status.REDEEMED:
        return cases.STATE_RELOADED if entry.peer == presented.code else cases.STATE_REPLAYED
    if entry.status == Status.DROPPED:
        return cases.STATE_DROPPED
    if entry.expires_at <= time.time():
        return cases.STATE_EXPIRED
    return cases.STATE_SESSION_LOST if presented.session_empty else cases.STATE_OF_OTHER_SESSION
