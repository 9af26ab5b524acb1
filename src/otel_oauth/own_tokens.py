"""The tokens that a client got: what the ledger remembers of them, and how a refresh of one is judged."""

from __future__ import annotations

import time
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from otel_oauth import cases
from otel_oauth.ledger import OWN, Status
from otel_oauth.provider_errors import response_error

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_oauth.cases import Case
    from otel_oauth.ledger import Ledger, Sighting
    from otel_oauth.operation import Operation


_NO_TOKEN: Mapping[str, Any] = MappingProxyType({})


class Exchange:
    """Notes of one call to the token endpoint, kept on its operation and never exported.

    :ivar client_id: the client's own id.
    :ivar scope: the scope that was asked for.
    :ivar before: the client's token before the call, as far as it is known.
    :ivar presented: the refresh token that is exchanged, empty if there is none.
    :ivar refresh: what the ledger knows of that refresh token.
    :ivar state: what the ledger knows of the state that the flow began with.
    :ivar code: the digest of the code that came with it.
    :ivar ends_flow: the operation ends a flow of its own (no callback around it).
    :ivar granted: the response held an access token.
    :param began: when the application asked for the exchange, in seconds since the epoch: the user had come back.
    """

    # Defaults of the class and not of each instance: most calls leave most of them as they are.
    client_id: str = ""
    scope: str = ""
    before: Mapping[str, Any] = _NO_TOKEN
    presented: str = ""
    refresh: Sighting | None = None
    state: Sighting | None = None
    code: bytes = b"\0" * 16
    ends_flow: bool = False
    granted: bool = False

    def __init__(self, began: float | None = None) -> None:
        self.began = time.time() if began is None else began


def lifetime(value: object) -> float | None:
    """Return ``expires_in`` (RFC 6749 section 5.1) in seconds; ``None`` if it is no number, not even as text."""
    if type(value) is not int and (isinstance(value, bool) or not isinstance(value, (int, float, str))):
        return None
    try:
        seconds = float(value)
    except (ValueError, OverflowError):
        return None
    return seconds if seconds > 0 else 0.0  # also of what is no number


def remaining_lifetime(token: Mapping[str, Any]) -> float | None:
    """Return the seconds that an access token still had, negative if it had expired; ``None`` if that is not known."""
    expires_at = token.get("expires_at")
    try:
        return float(expires_at) - time.time() if isinstance(expires_at, (int, float)) else None
    except OverflowError:
        return None


def text(value: object) -> str:
    """Return ``value`` if it is text, else nothing."""
    return value if isinstance(value, str) else ""


def remember(operation: Operation, exchange: Exchange, token: Mapping[str, Any]) -> None:
    """Remember the tokens of a response as the client's own, and what they replace."""
    access, refresh = text(token.get("access_token")), text(token.get("refresh_token"))
    exchange.granted = bool(access)
    if not access:
        answered = int(str(operation.facts.get("http_status", 200)))
        operation.facts["provider_error"] = response_error(answered, None, unread=True)
        return
    if exchange.scope and (scope := text(token.get("scope"))):
        operation.facts["scope_changed"] = set(scope.split()) != set(exchange.scope.split())
    ledger, expires_in = operation.telemetry.ledger, lifetime(token.get("expires_in"))
    presented, sighting = exchange.presented, exchange.refresh
    if not presented:
        ledger.granted(exchange.client_id, access, expires_in=expires_in, refresh_token=refresh or None, space=OWN)
        return
    rotated = refresh not in ("", presented)
    operation.facts["rotated"] = "true" if rotated else "false"
    old_access = text(exchange.before.get("access_token")) if exchange.before else ""
    known = None if sighting is None else sighting.entry
    replaced: str | bytes = old_access if old_access or known is None else known.peer
    ledger.granted(
        exchange.client_id,
        access,
        expires_in=expires_in,
        refresh_token=refresh if rotated else None,
        parent=sighting if sighting is None or known is not None else _adopted(ledger, exchange, old_access),
        rotated=rotated,
        replaced=replaced if replaced != access else "",
        space=OWN,
    )


def _adopted(ledger: Ledger, exchange: Exchange, old_access: str) -> Sighting:
    """Remember a refresh token that was given to an earlier process, and return what is known of it then."""
    presented = exchange.presented
    ledger.granted(exchange.client_id, old_access, expires_in=0.0, refresh_token=presented, space=OWN)
    return ledger.sight_own(presented)


def judge_refresh(operation: Operation, exchange: Exchange, *, failed: bool) -> Case:
    """Return the case of a refresh at the client; one that the provider refused for good needs the user again.

    :param failed: the call raised, or its answer is an error.
    """
    code = operation.facts.get("error")
    if exchange.refresh is not None:
        operation.facts["family"] = exchange.refresh.grant
    if not failed:
        return cases.REFRESH_OK if exchange.granted else cases.REFRESH_ERROR
    if not exchange.presented:
        operation.facts["reauthorize"] = True
        return cases.REFRESH_MISSING
    if code is None:
        return cases.REFRESH_ERROR
    if code != "invalid_grant":
        return cases.REFRESH_REFUSED
    operation.facts["reauthorize"] = True
    return _refused_for_good(operation, exchange)


def _refused_for_good(operation: Operation, exchange: Exchange) -> Case:
    ledger = operation.telemetry.ledger
    if exchange.refresh is not None:
        now = ledger.look_again(exchange.refresh).entry
        if now is not None and now.status == Status.ROTATED:
            return cases.REFRESH_KNOWN_ROTATED
    ledger.revoke(exchange.presented, OWN)
    return cases.REFRESH_UNKNOWN


def forget(operation: Operation, token: str) -> None:
    """Take a token that the provider revoked out of the client's own."""
    ledger = operation.telemetry.ledger
    ledger.retire(token)
    ledger.revoke(token, OWN)
