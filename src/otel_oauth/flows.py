"""A client's logins: their states handed out, come back, refused; what that means for the flow and the ledger.

A login is known in the ledger by its state, or by the challenge of its code verifier (RFC 7636) where the library
does not hand the state to the exchange: :func:`challenge_of` gives the same name at both ends.
"""

from __future__ import annotations

import base64
import time
from hashlib import sha256
from typing import TYPE_CHECKING

from otel_oauth import cases, judge, vocabulary
from otel_oauth.ledger import Status

if TYPE_CHECKING:
    from otel_oauth.ledger import Entry, Sighting
    from otel_oauth.operation import Operation
    from otel_oauth.own_tokens import Exchange

LIFETIME = 3600.0
"""Seconds that a state is taken to be kept for, where the library does not say it."""

_ERROR_SECONDS = 3600.0


def challenge_of(verifier: str) -> str:
    """Return the challenge of a code verifier with the method S256 (RFC 7636 section 4.2)."""
    return base64.urlsafe_b64encode(sha256(verifier.encode("utf-8", "surrogatepass")).digest()).decode().rstrip("=")


def initiated(operation: Operation, state: object, *, verifier: bool, seconds: float = LIFETIME) -> None:
    """Note the state that an authorization request was made with; ``seconds`` is how long it is kept."""
    ledger, facts = operation.telemetry.ledger, operation.facts
    facts["pkce"] = verifier
    span = operation.span.get_span_context()
    facts["state"] = ledger.issue_state(str(state), verifier=verifier, lifetime=seconds, span=span)


def time_flow(operation: Operation, entry: Entry | None, returned: float, started: float = 0.0) -> None:
    """Give the operation that ends a flow its duration, split in two, and the link to its beginning.

    :param returned: when the user came back, in seconds since the epoch.
    :param started: when it began, if the session tells; it goes before the ledger, which another worker may not share.
    """
    operation.link(entry)
    began = started or (entry.issued_at if entry is not None else 0.0)
    if not began:
        return
    facts, now = operation.facts, time.time()
    facts["flow_timed"] = True
    facts["flow_seconds"] = max(0.0, now - began)
    facts["user_seconds"] = max(0.0, returned - began)
    facts["machine_seconds"] = max(0.0, now - returned)


def end(operation: Operation, exchange: Exchange) -> None:
    """End the flow that a code exchange belongs to, successful or not: its state is used up."""
    operation.facts["flow"] = True
    operation.facts["code"] = exchange.code
    if exchange.state is None:
        return
    operation.facts["state"] = exchange.state.digest
    operation.facts["pkce_ok"] = operation.telemetry.ledger.consume_state(exchange.state, exchange.code)
    time_flow(operation, exchange.state.entry, exchange.began)


def refuse(operation: Operation, presented: judge.StatePresented, *, marked: bool = False, cache: bool = False) -> None:
    """Judge a state that the client refused, and note what became of it.

    :param marked: the session holds the state although a cache lost its data, or the cache alone held it and lost it.
    :param cache: states are kept in a cache, where the owner's entry is deleted whoever presents the state.
    """
    ledger, facts, entry = operation.telemetry.ledger, operation.facts, presented.sighting.entry
    facts["verifier"] = entry is not None and bool(entry.method)
    facts["state"], facts["code"] = presented.sighting.digest, presented.code
    case = judge.state(presented)
    if marked and case in (cases.STATE_OF_OTHER_SESSION, cases.STATE_SESSION_LOST):
        # Its entry in the cache was destroyed before.
        case, cache = cases.STATE_DROPPED, True
    if case is cases.STATE_EXPIRED:
        facts["pending"] = ledger.drop_state(presented.sighting)
    elif cache and entry is not None and ledger.drop_state(presented.sighting):
        facts["cleaned"] = "server_deleted"
    operation.judge(case)
    ledger.came_back(presented.sighting)
    if case.facts.get("flow"):
        time_flow(operation, entry, time.time())


def answered_with_error(operation: Operation, state: Sighting | None, error: str, began: float) -> None:
    """Settle an authorization response that carries an error instead of a code (RFC 6749 section 4.1.2.1).

    :param state: what is known of the state that came with it.
    :param began: when it came, in seconds since the epoch.
    """
    operation.facts["error"] = vocabulary.rfc_error(error)
    if state is None:
        return
    operation.facts["state"] = state.digest
    ledger, entry = operation.telemetry.ledger, state.entry
    ledger.came_back(state)
    if error in vocabulary.CANCELLED_ERRORS:
        operation.facts["outcome"] = "cancelled"
        operation.link(entry)
        operation.judge(cases.CALLBACK_CANCELLED)
        return
    pending = entry is not None and entry.status == Status.ISSUED and entry.expires_at > time.time()
    # The library leaves the state where it is: a reload of the page is the same failure.
    if pending and ledger.first(f"error {state.digest.hex()}", _ERROR_SECONDS):
        operation.judge(cases.CALLBACK_ERROR)
        time_flow(operation, entry, began)
