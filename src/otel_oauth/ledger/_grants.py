"""Authorization grants at the server, and tokens on both sides."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from opentelemetry.trace import INVALID_SPAN_CONTEXT

from otel_oauth.ledger._base import MEMORY_SECONDS, NO_FAMILY, OWN, TOKEN, LedgerBase, Sighting, end_flow
from otel_oauth.ledger._entry import (
    ACCESS,
    ALIVE,
    CHANGED_AT,
    CODE,
    CRITICAL_AT,
    DIGEST,
    EXPIRES_AT,
    FAMILY,
    FLOW,
    GENERATION,
    GRANT,
    ISSUED,
    NEWEST,
    NO_DIGEST,
    NO_SPAN_ID,
    OWNER,
    PEER,
    PRESENTED,
    REDEEMED,
    REDEEMING,
    REFRESH,
    REVOKED,
    ROTATED,
    STATUS,
    UNTIL,
    Entry,
    Family,
    new,
    turned,
)

if TYPE_CHECKING:
    from opentelemetry.trace import SpanContext

    from otel_oauth.ledger._entry import Kind, Record
    from otel_oauth.ledger._store import Transaction

    _Grant = tuple[float, float, bytes | None, Sighting | None, bool, bytes, bytes, Record, bytes | None, bytes]

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
        span: SpanContext = INVALID_SPAN_CONTEXT,
    ) -> bytes:
        """Remember a code that was stored for ``client_id`` with a challenge of ``method`` (``none`` without).

        Returns the digest of the code.
        """
        now = time.time()
        digest = self.digest(b"code", code)
        until = now + lifetime
        kind = _METHODS.get(method, _METHODS["other"])
        owner, place = self.kept_digest(client_id), self.kept_digest(redirect_host, b"host")
        trace, span_id, kept = span.trace_id.to_bytes(16, "big"), span.span_id.to_bytes(8, "big"), now + MEMORY_SECONDS
        entry = kept, ISSUED, 0.0, 0, kind, 0, now, until, owner, digest, NO_DIGEST, place, trace, span_id
        self._store.transact(_issue_code, (digest, entry, (until, kind != 0, NO_DIGEST)))
        return digest

    def sight_code(self, code: str) -> Sighting:
        """Return what is known of a presented code; changes nothing."""
        digest = self.digest(b"code", code)
        return new(Sighting, (digest, self._get(CODE, digest), NO_FAMILY))

    def redeeming(self, kind: Kind, sighting: Sighting) -> None:
        """Mark a code or refresh token as being redeemed: provisional until :meth:`release` or the grant.

        Of a refresh token this remembers, as :meth:`presented` does, that it was presented; that is not undone.
        """
        if sighting.entry is not None:
            self._store.transact(_redeem, (kind, sighting.digest, time.time()))

    def release(self, kind: Kind, sighting: Sighting) -> None:
        """Undo :meth:`redeeming` after a failure: the value is as good as before."""
        if sighting.entry is not None:
            self._store.transact(_release, (kind, sighting.digest))

    def discard_code(self, code: str) -> bool:
        """Forget a code that the application deleted outside an exchange; tell whether its PKCE state was pending."""
        return self._store.transact(end_flow, self.digest(b"code", code))

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
        space: bytes = TOKEN,
    ) -> Sighting | None:
        """Remember issued tokens, and what they were issued for; return what was known of ``parent`` until then.

        :param code: the code that was redeemed for them; it is now redeemed.
        :param parent: the refresh token that they were issued for; with ``rotated`` it is now rotated.
        :param replaced: the access token (or its digest) that they take the place of, if it is no longer used.
        :param space: that of the refresh token: ``OWN`` at the client.
        """
        now = time.time()
        lifetime = UNKNOWN_LIFETIME if expires_in is None else expires_in
        if not 0 <= lifetime <= _LONGEST:  # what is no number or endless becomes the longest
            lifetime = 0.0 if lifetime < 0 else _LONGEST
        owner, access = self.kept_digest(client_id), self.digest(TOKEN, access_token)
        refresh = self.digest(space, refresh_token) if refresh_token else None
        gone = replaced if isinstance(replaced, bytes) else self.digest(TOKEN, replaced) if replaced else b""
        redeemed = None if code is None else code.digest
        until, mark = now + self._refresh_lifetime, (now + lifetime, False, owner)
        return self._store.transact(_grant, (now, until, redeemed, parent, rotated, gone, access, mark, refresh, owner))

    def sight_refresh(self, token: str, space: bytes = TOKEN) -> Sighting:
        """Return what is known of a presented refresh token; changes nothing.

        That it was presented is remembered by :meth:`redeeming`, or by :meth:`presented` where that does not follow.
        """
        digest = self.digest(space, token)
        entry = self._get(REFRESH, digest)
        family = None if entry is None else self._store.get(FAMILY, entry.family)
        return new(Sighting, (digest, entry, NO_FAMILY if family is None else new(Family, family)))

    def presented(self, sighting: Sighting) -> None:
        """Remember that the generation of a refresh token was presented: one before it is no benign race any more."""
        if sighting.entry is not None and sighting.entry.generation:
            self._store.transact(_present, sighting.entry)

    def sight_own(self, token: str) -> Sighting:
        """Return what is known of a client's own refresh token, without its family; changes nothing."""
        digest = self.digest(OWN, token)
        return new(Sighting, (digest, self._get(REFRESH, digest), NO_FAMILY))

    def look_again(self, sighting: Sighting, kind: Kind = REFRESH) -> Sighting:
        """Return the present state of a refresh token or code that was sighted earlier in the same request."""
        entry = self._get(kind, sighting.digest)
        if entry is None:
            return sighting
        family = self._store.get(FAMILY, entry.family)
        return new(Sighting, (sighting.digest, entry, sighting.family if family is None else new(Family, family)))

    def critical(self, sighting: Sighting) -> None:
        """Remember that the family of a refresh token got a critical verdict now."""
        if sighting.entry is not None:
            self._store.transact(_set_critical, (sighting.entry.family, time.time()))

    def revoke(self, token: str, space: bytes = TOKEN) -> str | None:
        """Mark a token as revoked, with the other token of its pair if it is a refresh token.

        Returns the kind of token that was alive, ``access_token`` or ``refresh_token``, or ``None`` for one
        that was not known or had expired.
        """
        return self._store.transact(_revoke, (self.digest(space, token), time.time()))

    def owner_differs(self, token: str, client_id: str) -> bool:
        """Tell whether a token is known and belongs to another client."""
        digest = self.digest(b"token", token)
        access = self._store.get(ACCESS, digest)
        entry = self._store.get(REFRESH, digest) if access is None else None
        owner = access[DIGEST] if access is not None else None if entry is None else entry[OWNER]
        return owner is not None and owner != self.kept_digest(client_id)

    def retire(self, access_token: str) -> None:
        """Take an access token out of the count of active ones: it was replaced or revoked."""
        self._store.transact(_delete_access, self.digest(b"token", access_token))


def _issue_code(txn: Transaction, about: tuple[bytes, Record, Record]) -> None:
    digest, entry, flow = about
    txn.put(CODE, digest, entry)
    txn.put(FLOW, digest, flow)


def _redeem(txn: Transaction, about: tuple[Kind, bytes, float]) -> None:
    kind, digest, now = about
    entry = txn.get(kind, digest)
    if entry is not None:
        if entry[STATUS] in ALIVE:
            txn.put(kind, digest, turned(entry, REDEEMING, now))
        if entry[GENERATION]:
            _present(txn, entry)


def _release(txn: Transaction, about: tuple[Kind, bytes]) -> None:
    kind, digest = about
    entry = txn.get(kind, digest)
    if entry is not None and entry[STATUS] == REDEEMING:
        txn.put(kind, digest, turned(entry, ISSUED, 0.0))


def _present(txn: Transaction, entry: Record) -> None:
    """Remember that the generation of a refresh token was presented, if it is the newest one of its family still."""
    family = txn.get(FAMILY, entry[GRANT])
    if family is not None and family[NEWEST] == entry[GENERATION] and not family[PRESENTED]:
        txn.put(FAMILY, entry[GRANT], (family[UNTIL], family[STATUS], family[NEWEST], True, family[CRITICAL_AT]))


def _grant(txn: Transaction, grant: _Grant) -> Sighting | None:
    now, until, code, parent, rotated, gone, access, mark, refresh, owner = grant
    before, family, generation, origin = parent, None, 0, code or refresh or NO_DIGEST
    if code is not None:
        end_flow(txn, code)
        entry = txn.get(CODE, code)
        if entry is not None and entry[STATUS] in ALIVE:
            txn.put(CODE, code, turned(entry, REDEEMED, now))
    elif parent is not None:
        # What it was when it was sighted may have been asked of memory, while the store was away.
        before, family = _exchange(txn, parent, now, rotated=rotated)
        if before.entry is not None:
            generation, origin = before.entry.generation + rotated, before.entry.family
    if gone:
        txn.delete(ACCESS, gone)
    txn.put(ACCESS, access, mark)
    if refresh is not None:
        none = NO_DIGEST
        entry = until, ISSUED, 0.0, 0, 0, generation, now, until, owner, origin, access, none, none, NO_SPAN_ID
        txn.put(REFRESH, refresh, entry)
        _, _, newest, presented, critical_at = family or txn.get(FAMILY, origin) or NO_FAMILY
        if generation > newest:
            newest, presented = generation, False
        txn.put(FAMILY, origin, (until, ISSUED, newest, presented, critical_at))
    return before


def _exchange(txn: Transaction, parent: Sighting, now: float, *, rotated: bool) -> tuple[Sighting, Record | None]:
    """Settle a refresh token that tokens were issued for; return what was known of it until now, and of its family.

    One that is as good as when it was sighted is told as it was sighted.
    """
    entry = txn.get(REFRESH, parent.digest)
    if entry is None:
        return parent, None
    family = txn.get(FAMILY, entry[GRANT]) or parent.family
    status = entry[STATUS]
    if status in ALIVE:
        if rotated:
            txn.put(REFRESH, parent.digest, turned(entry, ROTATED, now))
        elif status == REDEEMING:
            txn.put(REFRESH, parent.digest, turned(entry, ISSUED, 0.0))
        if parent.entry is not None and parent.entry[STATUS] in ALIVE:
            return parent, family
    elif status == REVOKED and not rotated:
        # It was accepted and not rotated: if it counted as revoked, its server does not really revoke.
        txn.put(REFRESH, parent.digest, turned(entry, ISSUED, entry[CHANGED_AT], flag=1))
        txn.put(FAMILY, entry[GRANT], (entry[EXPIRES_AT], ISSUED, *family[NEWEST:]))
    return new(Sighting, (parent.digest, new(Entry, entry), new(Family, family))), family


def _set_critical(txn: Transaction, about: tuple[bytes, float]) -> None:
    digest, now = about
    family = txn.get(FAMILY, digest)
    if family is not None:
        txn.put(FAMILY, digest, (*family[:CRITICAL_AT], now))


def _revoke(txn: Transaction, about: tuple[bytes, float]) -> str | None:
    digest, now = about
    access = txn.delete(ACCESS, digest)
    if access is not None:
        return "access_token" if access[UNTIL] > now else None
    entry = txn.get(REFRESH, digest)
    if entry is None or entry[STATUS] not in ALIVE:
        return None
    txn.put(REFRESH, digest, turned(entry, REVOKED, entry[CHANGED_AT]))
    txn.delete(ACCESS, entry[PEER])
    family = txn.get(FAMILY, entry[GRANT])
    if family is not None:
        txn.put(FAMILY, entry[GRANT], (family[UNTIL], REVOKED, *family[NEWEST:]))
    return "refresh_token" if entry[EXPIRES_AT] > now else None


def _delete_access(txn: Transaction, digest: bytes) -> None:
    txn.delete(ACCESS, digest)
