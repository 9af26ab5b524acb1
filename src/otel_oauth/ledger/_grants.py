"""Authorization grants at the server, and tokens on both sides."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from otel_oauth.ledger._base import MEMORY_SECONDS, NO_FAMILY, NO_SPAN, LedgerBase, Sighting, SpanIds, end_flow
from otel_oauth.ledger._entry import (
    ACCESS,
    ALIVE,
    CODE,
    FAMILY,
    FLOW,
    ISSUED,
    NO_DIGEST,
    NO_SPAN_ID,
    REDEEMED,
    REDEEMING,
    REFRESH,
    REVOKED,
    ROTATED,
    Entry,
    Family,
    Mark,
    new,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_oauth.ledger._entry import Kind, Status
    from otel_oauth.ledger._store import Transaction

UNKNOWN_LIFETIME = 24 * 3600.0
"""The lifetime of an access token that came without ``expires_in``."""

_LONGEST = 10 * 365 * 24 * 3600.0
_METHOD_NAMES = ("none", "plain", "S256", "other")
_METHODS = {name: number for number, name in enumerate(_METHOD_NAMES)}


def method_name(entry: Entry) -> str:
    """Return the PKCE method of a code's challenge: ``S256``, ``plain``, ``none``, or ``other`` for an own one."""
    return _METHOD_NAMES[entry.method]


class Grants(LedgerBase):
    """Codes, refresh tokens and their families, access tokens."""

    # Authorization codes (server) ---------------------------------------------------------------------------

    def issue_code(  # noqa: PLR0913 one argument for each fact that is kept of a code
        self,
        code: str,
        client_id: str,
        *,
        method: str = "none",
        redirect_host: str = "",
        lifetime: float = 600.0,
        span: SpanIds = NO_SPAN,
    ) -> None:
        """Remember a code that was stored for ``client_id`` with a challenge of ``method`` (``none`` without)."""
        now = time.time()
        digest = self.digest(b"code", code)
        until = now + lifetime
        kind = _METHODS.get(method, _METHODS["other"])
        owner, place = self.client_digest(client_id), self.digest(b"host", redirect_host)
        span_ids = span.trace_id.to_bytes(16, "big"), span.span_id.to_bytes(8, "big")
        entry = new(
            Entry,
            (now + MEMORY_SECONDS, ISSUED, 0.0, 0, kind, 0, now, until, owner, digest, NO_DIGEST, place, *span_ids),
        )

        def change(txn: Transaction) -> None:
            txn.put(CODE, digest, entry)
            txn.put(FLOW, digest, new(Mark, (until, entry.method != 0, NO_DIGEST)))

        self._store.transact(change)

    def sight_code(self, code: str) -> Sighting:
        """Return what is known of a presented code; changes nothing."""
        digest = self.digest(b"code", code)
        return new(Sighting, (digest, self._get(CODE, digest), NO_FAMILY))

    def redeeming(self, kind: Kind, sighting: Sighting) -> None:
        """Mark a code or refresh token as being redeemed: provisional until :meth:`release` or the grant."""
        now = time.time()
        self._store.transact(lambda txn: _turn(txn, kind, sighting.digest, ISSUED, REDEEMING, now))

    def release(self, kind: Kind, sighting: Sighting) -> None:
        """Undo :meth:`redeeming` after a failure: the value is as good as before."""
        self._store.transact(lambda txn: _turn(txn, kind, sighting.digest, REDEEMING, ISSUED))

    def discard_code(self, code: str) -> bool:
        """Forget a code that the application deleted outside an exchange; tell whether its PKCE state was pending."""
        digest = self.digest(b"code", code)
        return self._store.transact(lambda txn: end_flow(txn, digest))

    # Tokens -------------------------------------------------------------------------------------------------

    def granted(  # noqa: PLR0913 one argument for each fact that is kept of an answer
        self,
        client_id: str,
        access_token: str,
        *,
        expires_in: float | None = None,
        refresh_token: str | None = None,
        code: Sighting | None = None,
        parent: Sighting | None = None,
        rotated: bool = False,
        replaced: str | bytes = "",
    ) -> Sighting | None:
        """Remember issued tokens, and what they were issued for; return what was known of ``parent`` until then.

        :param code: the code that was redeemed for them; it is now redeemed.
        :param parent: the refresh token that they were issued for; with ``rotated`` it is now rotated.
        :param replaced: the access token (or its digest) that they take the place of, if it is no longer used.
        """
        now = time.time()
        until = now + self._refresh_lifetime
        access_until = now + _bounded(UNKNOWN_LIFETIME if expires_in is None else expires_in)
        access = self.digest(b"token", access_token)
        refresh = self.digest(b"token", refresh_token) if refresh_token else None
        gone = self.digest(b"token", replaced) if isinstance(replaced, str) and replaced else replaced
        owner = self.client_digest(client_id)
        origin = None if parent is None else parent.entry
        family, generation = (refresh or NO_DIGEST) if code is None else code.digest, 0
        if origin is not None:
            family, generation = origin.family, origin.generation + rotated

        def change(txn: Transaction) -> Sighting | None:
            before = parent
            if code is not None:
                _redeem_code(txn, code.digest, now)
            elif parent is not None and origin is not None:
                before = _exchange(txn, parent, now, rotated=rotated)
            if gone:
                txn.delete(ACCESS, gone)
            txn.put(ACCESS, access, new(Mark, (access_until, False, owner)))
            if refresh is not None:
                times, none = (generation, now, until), (NO_DIGEST, NO_DIGEST, NO_SPAN_ID)
                txn.put(REFRESH, refresh, new(Entry, (until, ISSUED, 0.0, 0, 0, *times, owner, family, access, *none)))
                known = txn.get(FAMILY, family) if before is None or before is parent else before.family
                _advance_family(txn, family, known or NO_FAMILY, generation, until)
            return before

        return self._store.transact(change)

    def sight_refresh(self, token: str) -> Sighting:
        """Return what is known of a presented refresh token, and remember that its generation was presented."""
        digest = self.digest(b"token", token)
        entry = self._get(REFRESH, digest)
        if entry is None:
            return Sighting(digest)
        if entry.generation:
            family = self._store.transact(lambda txn: _present_newest(txn, entry))
        else:
            family = self._store.get(FAMILY, entry.family)
        return new(Sighting, (digest, entry, family or NO_FAMILY))

    def sight_token(self, token: str) -> Sighting:
        """Return what is known of a client's own refresh token, without its family; changes nothing."""
        digest = self.digest(b"token", token)
        return new(Sighting, (digest, self._get(REFRESH, digest), NO_FAMILY))

    def look_again(self, sighting: Sighting, kind: Kind = REFRESH) -> Sighting:
        """Return the present state of a refresh token or code that was sighted earlier in the same request."""
        entry = self._get(kind, sighting.digest)
        if entry is None:
            return sighting
        return Sighting(sighting.digest, entry, self._store.get(FAMILY, entry.family) or sighting.family)

    def critical(self, sighting: Sighting) -> None:
        """Remember that the family of a refresh token got a critical verdict now."""
        if sighting.entry is not None:
            digest, now = sighting.entry.family, time.time()
            self._store.transact(lambda txn: _amend_family(txn, digest, {"critical_at": now}))

    def revoke(self, token: str) -> str | None:
        """Mark a token as revoked, with the other token of its pair if it is a refresh token.

        Returns the kind of token that was alive, ``access_token`` or ``refresh_token``, or ``None`` for one
        that was not known or had expired.
        """
        digest = self.digest(b"token", token)
        now = time.time()

        def change(txn: Transaction) -> str | None:
            access: Mark | None = txn.delete(ACCESS, digest)
            if access is not None:
                return "access_token" if access.kept_until > now else None
            entry: Entry | None = txn.get(REFRESH, digest)
            if entry is None or entry.status not in ALIVE:
                return None
            txn.put(REFRESH, digest, entry.turned(REVOKED, entry.changed_at))
            txn.delete(ACCESS, entry.peer)
            _amend_family(txn, entry.family, {"status": REVOKED})
            return "refresh_token" if entry.expires_at > now else None

        return self._store.transact(change)

    def owner_differs(self, token: str, client_id: str) -> bool:
        """Tell whether a token is known and belongs to another client."""
        digest = self.digest(b"token", token)
        access: Mark | None = self._store.get(ACCESS, digest)
        entry: Entry | None = self._store.get(REFRESH, digest) if access is None else None
        owner = access.digest if access is not None else None if entry is None else entry.owner
        return owner is not None and owner != self.client_digest(client_id)

    def retire(self, access_token: str) -> None:
        """Take an access token out of the count of active ones: it was replaced or revoked."""
        digest = self.digest(b"token", access_token)
        self._store.transact(lambda txn: txn.delete(ACCESS, digest))


def _bounded(seconds: float) -> float:
    """Bound a lifetime that a provider claims: what is no number or endless becomes the longest."""
    if 0 <= seconds <= _LONGEST:
        return seconds
    return 0.0 if seconds < 0 else _LONGEST


def _turn(  # noqa: PLR0913, PLR0917 the key of a record, and the change of its status
    txn: Transaction, kind: Kind, digest: bytes, before: Status, after: Status, changed_at: float = 0.0
) -> None:
    entry: Entry | None = txn.get(kind, digest)
    if entry is not None and entry.status in (before, after):
        txn.put(kind, digest, entry.turned(after, changed_at))


def _redeem_code(txn: Transaction, digest: bytes, now: float) -> None:
    end_flow(txn, digest)
    entry: Entry | None = txn.get(CODE, digest)
    if entry is not None and entry.status in ALIVE:
        txn.put(CODE, digest, entry.turned(REDEEMED, now))


def _exchange(txn: Transaction, parent: Sighting, now: float, *, rotated: bool) -> Sighting:
    """Settle a refresh token that tokens were issued for; return what was known of it until now."""
    entry: Entry | None = txn.get(REFRESH, parent.digest)
    if entry is None:
        return parent
    family: Family | None = txn.get(FAMILY, entry.family)
    if rotated:
        if entry.status in ALIVE:
            txn.put(REFRESH, parent.digest, entry.turned(ROTATED, now))
    elif entry.status == REDEEMING:
        txn.put(REFRESH, parent.digest, entry.turned(ISSUED, 0.0))
    elif entry.status == REVOKED:
        # It was accepted and not rotated: if it counted as revoked, its server does not really revoke.
        txn.put(REFRESH, parent.digest, entry._replace(status=ISSUED, flag=1))
        alive = (family or NO_FAMILY)._replace(kept_until=entry.expires_at, status=ISSUED)
        txn.put(FAMILY, entry.family, alive)
    return new(Sighting, (parent.digest, entry, family or parent.family))


def _present_newest(txn: Transaction, entry: Entry) -> Family | None:
    """Return what is known of the family of a refresh token, and remember that its generation was presented."""
    family: Family | None = txn.get(FAMILY, entry.family)
    if family is not None and family.newest == entry.generation and not family.newest_presented:
        txn.put(FAMILY, entry.family, new(Family, (*family[:3], True, family.critical_at)))
    return family


def _amend_family(txn: Transaction, digest: bytes, changes: Mapping[str, Any]) -> None:
    family: Family | None = txn.get(FAMILY, digest)
    if family is not None:
        txn.put(FAMILY, digest, family._replace(**changes))


def _advance_family(txn: Transaction, digest: bytes, known: Family, generation: int, until: float) -> None:
    _, _, newest, presented, critical_at = known
    if generation > newest:
        newest, presented = generation, False
    txn.put(FAMILY, digest, new(Family, (until, ISSUED, newest, presented, critical_at)))
