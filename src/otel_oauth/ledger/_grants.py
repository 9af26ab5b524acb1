"""Authorization grants at the server, and tokens on both sides."""

from __future__ import annotations

import struct
import time
from typing import TYPE_CHECKING

from otel_oauth.ledger._base import MEMORY_SECONDS, NO_SPAN, FamilyView, LedgerBase, Sighting, SpanIds, kept_until
from otel_oauth.ledger._entry import Entry, Kind, Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_oauth.ledger._store import Transaction

UNKNOWN_LIFETIME = 24 * 3600.0
"""The lifetime of an access token that came without ``expires_in``."""

_LONGEST = 10 * 365 * 24 * 3600.0
_ACCESS = struct.Struct("<d16s")
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
        entry = Entry(
            method=_METHODS.get(method, _METHODS["other"]),
            issued_at=now,
            expires_at=now + lifetime,
            owner=self.client_digest(client_id),
            family=digest,
            place=self.digest(b"host", redirect_host),
            trace_id=span.trace_id.to_bytes(16, "big"),
            span_id=span.span_id.to_bytes(8, "big"),
        )

        def change(txn: Transaction) -> None:
            txn.put(Kind.CODE, digest, entry.pack(), now + MEMORY_SECONDS)
            txn.put(Kind.FLOW, digest, b"", entry.expires_at)
            if entry.method:
                txn.put(Kind.PKCE, digest, b"", entry.expires_at)

        self._transact(change)

    def sight_code(self, code: str) -> Sighting:
        """Return what is known of a presented code; changes nothing."""
        digest = self.digest(b"code", code)
        return Sighting(digest, self._get(Kind.CODE, digest))

    def redeeming(self, kind: Kind, sighting: Sighting) -> None:
        """Mark a code or refresh token as being redeemed: provisional until :meth:`release` or the grant."""
        now = time.time()
        self._transact(lambda txn: _put_status(txn, kind, sighting.digest, Status.ISSUED, Status.REDEEMING, now))

    def release(self, kind: Kind, sighting: Sighting) -> None:
        """Undo :meth:`redeeming` after a failure: the value is as good as before."""
        self._transact(lambda txn: _put_status(txn, kind, sighting.digest, Status.REDEEMING, Status.ISSUED))

    def discard_code(self, code: str) -> bool:
        """Forget a code that the application deleted outside an exchange; tell whether its PKCE state was pending."""
        digest = self.digest(b"code", code)

        def change(txn: Transaction) -> bool:
            txn.delete(Kind.FLOW, digest)
            return txn.delete(Kind.PKCE, digest)

        return self._transact(change)

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
    ) -> None:
        """Remember issued tokens, and what they were issued for.

        :param code: the code that was redeemed for them; it is now redeemed.
        :param parent: the refresh token that they were issued for; with ``rotated`` it is now rotated.
        :param replaced: the access token (or its digest) that they take the place of, if it is no longer used.
        """
        now = time.time()
        access = self.digest(b"token", access_token)
        refresh = self.digest(b"token", refresh_token) if refresh_token else None
        owner = self.client_digest(client_id)
        access_until = now + _bounded(UNKNOWN_LIFETIME if expires_in is None else expires_in)

        gone = (self.digest(b"token", replaced) if isinstance(replaced, str) else replaced) if replaced else None

        def change(txn: Transaction) -> None:
            if code is not None:
                _redeem_code(txn, code.digest, now)
            if gone is not None:
                txn.delete(Kind.ACCESS, gone)
            txn.put(Kind.ACCESS, access, _ACCESS.pack(access_until, owner), access_until)
            generation, family = 0, code.digest if code is not None else None
            if parent is not None and parent.entry is not None:
                family = parent.entry.family
                generation = parent.entry.generation
                if rotated:
                    generation += 1
                    _rotate(txn, parent.digest, now)
                else:
                    _keep_in_use(txn, parent.digest)
            if refresh is None:
                return
            family = family or refresh
            until = now + self._refresh_lifetime
            entry = Entry(
                generation=generation, issued_at=now, expires_at=until, owner=owner, family=family, peer=access
            )
            txn.put(Kind.REFRESH, refresh, entry.pack(), until)
            txn.put(Kind.LIVE_REFRESH, refresh, b"", until)
            txn.put(Kind.LIVE_FAMILY, family, b"", until)
            _advance_family(txn, family, generation, now, until)

        self._transact(change)

    def sight_refresh(self, token: str) -> Sighting:
        """Return what is known of a presented refresh token, and remember that its generation was presented."""
        digest = self.digest(b"token", token)
        entry = self._get(Kind.REFRESH, digest)
        if entry is None:
            return Sighting(digest)
        memory = self._get(Kind.FAMILY_MEMORY, entry.family)
        if memory is None:
            return Sighting(digest, entry)
        view = FamilyView(memory.generation, bool(memory.flag), memory.issued_at)
        if memory.generation == entry.generation and entry.generation and not memory.flag:
            newest = entry.generation
            self._change_family(
                entry.family, lambda family: family._replace(flag=1) if family.generation == newest else family
            )
        return Sighting(digest, entry, view)

    def sight_token(self, token: str) -> Sighting:
        """Return what is known of a client's own refresh token, without its family; changes nothing."""
        digest = self.digest(b"token", token)
        return Sighting(digest, self._get(Kind.REFRESH, digest))

    def look_again(self, sighting: Sighting, kind: Kind = Kind.REFRESH) -> Sighting:
        """Return the present state of a refresh token or code that was sighted earlier in the same request."""
        entry = self._get(kind, sighting.digest)
        if entry is None:
            return sighting
        memory = self._get(Kind.FAMILY_MEMORY, entry.family)
        view = sighting.family if memory is None else FamilyView(memory.generation, bool(memory.flag), memory.issued_at)
        return Sighting(sighting.digest, entry, view)

    def critical(self, sighting: Sighting) -> None:
        """Remember that the family of a refresh token got a critical verdict now."""
        if sighting.entry is not None:
            now = time.time()
            self._change_family(sighting.entry.family, lambda family: family._replace(issued_at=now))

    def _change_family(self, family: bytes, replace: Callable[[Entry], Entry]) -> None:
        def change(txn: Transaction) -> None:
            found = txn.get(Kind.FAMILY_MEMORY, family)
            if found is not None:
                entry = replace(Entry.unpack(found))
                txn.put(Kind.FAMILY_MEMORY, family, entry.pack(), entry.expires_at)

        self._transact(change)

    def revoke(self, token: str) -> str | None:
        """Mark a token as revoked, with the other token of its pair if it is a refresh token.

        Returns the kind of token that was alive, ``access_token`` or ``refresh_token``, or ``None`` for one
        that was not known or had expired.
        """
        digest = self.digest(b"token", token)
        now = time.time()

        def change(txn: Transaction) -> str | None:
            access = txn.get(Kind.ACCESS, digest)
            if access is not None:
                txn.delete(Kind.ACCESS, digest)
                return "access_token" if _ACCESS.unpack(access)[0] > now else None
            found = txn.get(Kind.REFRESH, digest)
            if found is None:
                return None
            entry = Entry.unpack(found)
            if entry.status in (Status.ISSUED, Status.REDEEMING):
                txn.put(Kind.REFRESH, digest, entry._replace(status=Status.REVOKED).pack(), entry.expires_at)
                txn.delete(Kind.LIVE_REFRESH, digest)
                txn.delete(Kind.LIVE_FAMILY, entry.family)
                txn.delete(Kind.ACCESS, entry.peer)
                return "refresh_token" if entry.expires_at > now else None
            return None

        return self._transact(change)

    def owner_differs(self, token: str, client_id: str) -> bool:
        """Tell whether a token is known and belongs to another client."""
        digest = self.digest(b"token", token)
        owner = self._transact(lambda txn: _owner(txn, digest))
        return owner is not None and owner != self.client_digest(client_id)

    def retire(self, access_token: str) -> None:
        """Take an access token out of the count of active ones: it was replaced or revoked."""
        digest = self.digest(b"token", access_token)
        self._transact(lambda txn: txn.delete(Kind.ACCESS, digest))


def _bounded(seconds: float) -> float:
    """Bound a lifetime that a provider claims: what is no number or endless becomes the longest."""
    return min(_LONGEST, seconds)  # in this order: NaN is not smaller than its first argument


def _put_status(  # noqa: PLR0913, PLR0917 the key of a record, and the change of its status
    txn: Transaction, kind: Kind, digest: bytes, before: Status, after: Status, changed_at: float = 0.0
) -> None:
    found = txn.get(kind, digest)
    if found is not None:
        entry = Entry.unpack(found)
        if entry.status in (before, after):
            changed = entry._replace(status=after, changed_at=changed_at)
            txn.put(kind, digest, changed.pack(), kept_until(kind, entry))


def _keep_in_use(txn: Transaction, digest: bytes) -> None:
    # It was accepted and not rotated: if it counted as revoked, its server does not really revoke.
    found = txn.get(Kind.REFRESH, digest)
    entry = Entry() if found is None else Entry.unpack(found)
    if entry.status == Status.REVOKED:
        txn.put(Kind.REFRESH, digest, entry._replace(status=Status.ISSUED, flag=1).pack(), entry.expires_at)
        txn.put(Kind.LIVE_REFRESH, digest, b"", entry.expires_at)
        txn.put(Kind.LIVE_FAMILY, entry.family, b"", entry.expires_at)
    else:
        _put_status(txn, Kind.REFRESH, digest, Status.REDEEMING, Status.ISSUED)


def _owner(txn: Transaction, digest: bytes) -> bytes | None:
    access, refresh = txn.get(Kind.ACCESS, digest), txn.get(Kind.REFRESH, digest)
    if access is not None:
        owner: bytes = _ACCESS.unpack(access)[1]
        return owner
    return None if refresh is None else Entry.unpack(refresh).owner


def _redeem_code(txn: Transaction, digest: bytes, now: float) -> None:
    txn.delete(Kind.FLOW, digest)
    txn.delete(Kind.PKCE, digest)
    found = txn.get(Kind.CODE, digest)
    if found is not None:
        entry = Entry.unpack(found)
        if entry.status in (Status.ISSUED, Status.REDEEMING):
            redeemed = entry._replace(status=Status.REDEEMED, changed_at=now)
            txn.put(Kind.CODE, digest, redeemed.pack(), kept_until(Kind.CODE, entry))


def _rotate(txn: Transaction, digest: bytes, now: float) -> None:
    txn.delete(Kind.LIVE_REFRESH, digest)
    found = txn.get(Kind.REFRESH, digest)
    if found is not None:
        entry = Entry.unpack(found)
        if entry.status in (Status.ISSUED, Status.REDEEMING):
            rotated = entry._replace(status=Status.ROTATED, changed_at=now)
            txn.put(Kind.REFRESH, digest, rotated.pack(), entry.expires_at)


def _advance_family(txn: Transaction, family: bytes, generation: int, now: float, until: float) -> None:
    found = txn.get(Kind.FAMILY_MEMORY, family)
    before = Entry() if found is None else Entry.unpack(found)
    if found is None or generation > before.generation:
        after = before._replace(generation=generation, flag=0, changed_at=now, expires_at=until)
        txn.put(Kind.FAMILY_MEMORY, family, after.pack(), until)
