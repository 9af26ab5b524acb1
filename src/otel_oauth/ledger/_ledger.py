"""The ledger's verbs: issue, look up, redeem, rotate, revoke, drop; on whichever store is in force."""

from __future__ import annotations

import logging
import struct
import threading
import time
from collections.abc import Callable
from hashlib import blake2b
from typing import NamedTuple, TypeVar

from otel_oauth.ledger._entry import PARTITION, Entry, Kind, Status
from otel_oauth.ledger._memory import MemoryStore
from otel_oauth.ledger._store import Store, StoreError, Transaction

T = TypeVar("T")

_log = logging.getLogger("otel_oauth")

MEMORY_SECONDS = 24 * 3600.0
"""How long a code or state is remembered after it was issued, so that a replay is told from a forgery."""

UNKNOWN_LIFETIME = 24 * 3600.0
"""The lifetime of an access token that came without ``expires_in``."""

_CLIENT_LIFETIME = 30 * 24 * 3600.0
_CLIENT_RENEWAL = 24 * 3600.0
_LONGEST = 10 * 365 * 24 * 3600.0
_UNTIL = struct.Struct("<d")
_METHODS = {"plain": 1, "S256": 2}
_METHOD_NAMES = ("none", "plain", "S256")


class FamilyView(NamedTuple):
    """What is remembered of an authorization grant: its newest generation, whether that was presented, the last critical verdict."""

    newest: int = 0
    newest_presented: bool = False
    critical_at: float = 0.0


class Sighting(NamedTuple):
    """What the ledger knows of a value that was presented: its digest, its record, and its family's."""

    digest: bytes
    entry: Entry | None = None
    family: FamilyView = FamilyView()


class SpanIds(NamedTuple):
    """The span that a record leads back to."""

    trace_id: int = 0
    span_id: int = 0


_NO_SPAN = SpanIds()


def method_name(entry: Entry) -> str:
    """Return the PKCE method of a code's challenge: ``S256``, ``plain`` or ``none``."""
    return _METHOD_NAMES[entry.method]


class Ledger:
    """What this service issued, and what became of it.

    :param store: where records live; replaced by memory, once and with a line in the log, when it fails.
    :param refresh_lifetime: seconds that a refresh token is taken to live, as servers rarely say it.
    """

    def __init__(self, store: Store, *, refresh_lifetime: float = 30 * 24 * 3600.0) -> None:
        self._store = store
        self._refresh_lifetime = refresh_lifetime
        self._clients: dict[bytes, float] = {}
        self._lock = threading.Lock()

    @property
    def shared(self) -> int:
        """How far the ledger is shared now: 0 this process, 1 this host."""
        return self._store.shared

    def digest(self, space: bytes, value: str) -> bytes:
        """Return the keyed digest of ``value`` (16 bytes); ``space`` keeps kinds of values apart."""
        return blake2b(value.encode("utf-8", "surrogatepass"), key=self._store.key, digest_size=16, person=space).digest()

    # The store, and what happens when it fails ------------------------------------------------------------------------

    def _transact(self, change: Callable[[Transaction], T]) -> T:
        try:
            return self._store.transact(change)
        except (StoreError, struct.error) as error:
            self._degrade(error)
            return self._store.transact(change)

    def _get(self, kind: Kind, digest: bytes) -> Entry | None:
        try:
            found = self._store.get(kind, digest)
            return None if found is None else Entry.unpack(found)
        except (StoreError, struct.error) as error:
            self._degrade(error)
            return None

    def _degrade(self, error: StoreError | struct.error) -> None:
        reason = error if isinstance(error, StoreError) else "a record of the host ledger is damaged or of another version"
        with self._lock:
            if self._store.shared == 0:
                return
            memory = MemoryStore(self._store.size)
            memory.key = self._store.key
            self._store = memory
            self._clients.clear()
        _log.warning("otel-oauth: %s; from now on this process remembers codes, tokens and states only for itself", reason)

    # Authorization codes (server) -------------------------------------------------------------------------------------

    def issue_code(
        self, code: str, client_id: str, *, method: str = "none", redirect_host: str = "", lifetime: float = 600.0, span: SpanIds = _NO_SPAN
    ) -> None:
        """Remember a code that was stored for ``client_id`` with a challenge of ``method`` (``none`` without)."""
        now = time.time()
        digest = self.digest(b"code", code)
        entry = Entry(
            method=_METHODS.get(method, 0),
            issued_at=now,
            expires_at=now + lifetime,
            owner=self.digest(b"client", client_id),
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
        self._mark(kind, sighting.digest, Status.ISSUED, Status.REDEEMING)

    def release(self, kind: Kind, sighting: Sighting) -> None:
        """Undo :meth:`redeeming` after a failure: the value is as good as before."""
        self._mark(kind, sighting.digest, Status.REDEEMING, Status.ISSUED)

    def _mark(self, kind: Kind, digest: bytes, before: Status, after: Status) -> None:
        self._transact(lambda txn: _put_status(txn, kind, digest, before, after))

    def discard_code(self, code: str) -> bool:
        """Forget a code that the application deleted outside of an exchange; tell whether its PKCE state was pending."""
        digest = self.digest(b"code", code)

        def change(txn: Transaction) -> bool:
            txn.delete(Kind.FLOW, digest)
            return txn.delete(Kind.PKCE, digest)

        return self._transact(change)

    # Tokens -----------------------------------------------------------------------------------------------------------

    def granted(
        self,
        client_id: str,
        access_token: str,
        *,
        expires_in: float | None = None,
        refresh_token: str | None = None,
        code: Sighting | None = None,
        parent: Sighting | None = None,
        rotated: bool = False,
        replaced: str = "",
    ) -> None:
        """Remember issued tokens, and what they were issued for.

        :param code: the code that was redeemed for them; it is now redeemed.
        :param parent: the refresh token that they were issued for; with ``rotated`` it is now rotated.
        :param replaced: the access token that they take the place of, if it is no longer used.
        """
        now = time.time()
        access = self.digest(b"token", access_token)
        refresh = self.digest(b"token", refresh_token) if refresh_token else None
        owner = self.digest(b"client", client_id)
        access_until = now + _bounded(UNKNOWN_LIFETIME if expires_in is None else expires_in)

        gone = self.digest(b"token", replaced) if replaced else None

        def change(txn: Transaction) -> None:
            if code is not None:
                _redeem_code(txn, code.digest, now)
            if gone is not None:
                txn.delete(Kind.ACCESS, gone)
            txn.put(Kind.ACCESS, access, _UNTIL.pack(access_until), access_until)
            generation, family = 0, code.digest if code is not None else None
            if parent is not None and parent.entry is not None:
                family = parent.entry.family
                generation = parent.entry.generation
                if rotated:
                    generation += 1
                    _rotate(txn, parent.digest, now)
                else:
                    _put_status(txn, Kind.REFRESH, parent.digest, Status.REDEEMING, Status.ISSUED)
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

        Returns the kind of token that was alive, ``access_token`` or ``refresh_token``, or ``None`` for one that was not known or had expired.
        """
        digest = self.digest(b"token", token)
        now = time.time()

        def change(txn: Transaction) -> str | None:
            access = txn.get(Kind.ACCESS, digest)
            if access is not None:
                txn.delete(Kind.ACCESS, digest)
                return "access_token" if _UNTIL.unpack(access)[0] > now else None
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
        entry = self._get(Kind.REFRESH, self.digest(b"token", token))
        return entry is not None and entry.owner != self.digest(b"client", client_id)

    def retire(self, access_token: str) -> None:
        """Take an access token out of the count of active ones: it was replaced or revoked."""
        digest = self.digest(b"token", access_token)
        self._transact(lambda txn: txn.delete(Kind.ACCESS, digest))

    # States (client) --------------------------------------------------------------------------------------------------

    def issue_state(self, state: str, *, verifier: bool, lifetime: float = 3600.0, span: SpanIds = _NO_SPAN) -> None:
        """Remember a state that was handed out, with or without a code verifier."""
        now = time.time()
        digest = self.digest(b"state", state)
        entry = Entry(
            method=int(verifier),
            issued_at=now,
            expires_at=now + lifetime,
            trace_id=span.trace_id.to_bytes(16, "big"),
            span_id=span.span_id.to_bytes(8, "big"),
        )

        def change(txn: Transaction) -> None:
            txn.put(Kind.STATE, digest, entry.pack(), entry.expires_at + MEMORY_SECONDS)
            txn.put(Kind.FLOW, digest, b"", entry.expires_at)
            if verifier:
                txn.put(Kind.PKCE, digest, b"", entry.expires_at)

        self._transact(change)

    def sight_state(self, state: str | Sighting) -> Sighting:
        """Return what is known of a presented state, now if it was sighted before; changes nothing."""
        digest = self.digest(b"state", state) if isinstance(state, str) else state.digest
        return Sighting(digest, self._get(Kind.STATE, digest))

    def consume_state(self, state: str | Sighting, code: str | bytes = "") -> bool:
        """Mark a state as used, with the code (or its digest) that came with it; tell whether its PKCE state was still pending."""
        return self._end_state(state, Status.REDEEMED, self.digest(b"code", code) if isinstance(code, str) else code)

    def drop_state(self, state: str | Sighting) -> bool:
        """Mark a state as dropped unused; tell whether its PKCE state was still pending."""
        return self._end_state(state, Status.DROPPED, b"\0" * 16)

    def _end_state(self, state: str | Sighting, status: Status, peer: bytes) -> bool:
        digest = self.digest(b"state", state) if isinstance(state, str) else state.digest
        now = time.time()

        def change(txn: Transaction) -> bool:
            found = txn.get(Kind.STATE, digest)
            if found is not None:
                entry = Entry.unpack(found)
                if entry.status == Status.ISSUED:
                    ended = entry._replace(status=status, changed_at=now, peer=peer)
                    txn.put(Kind.STATE, digest, ended.pack(), _kept_until(Kind.STATE, entry))
            txn.delete(Kind.FLOW, digest)
            return txn.delete(Kind.PKCE, digest)

        return self._transact(change)

    # Clients, single occurrences, counts ------------------------------------------------------------------------------

    def know_client(self, client_id: str) -> None:
        """Remember a client that the application's store returned or registered."""
        digest = self.digest(b"client", client_id)
        now = time.time()
        if self._clients.get(digest, 0.0) > now:
            return
        if len(self._clients) >= 10_000:  # noqa: PLR2004 a bound of this process's memory, the store has its own
            self._clients.clear()
        self._clients[digest] = now + _CLIENT_RENEWAL
        until = now + _CLIENT_LIFETIME
        self._transact(lambda txn: txn.put(Kind.CLIENT, digest, b"", until))

    def forget_client(self, client_id: str) -> None:
        """Forget a client that was deleted."""
        digest = self.digest(b"client", client_id)
        self._clients.pop(digest, None)
        self._transact(lambda txn: txn.delete(Kind.CLIENT, digest))

    def first(self, value: str, seconds: float) -> bool:
        """Tell whether ``value`` (joined parameters of an authorization) is seen for the first time within ``seconds``."""
        digest = self.digest(b"authorization", value)
        now = time.time()

        def change(txn: Transaction) -> bool:
            found = txn.get(Kind.AUTHORIZATION, digest)
            if found is not None and Entry.unpack(found).expires_at > now:
                return False
            txn.put(Kind.AUTHORIZATION, digest, Entry(issued_at=now, expires_at=now + seconds).pack(), now + seconds)
            return True

        return self._transact(change)

    def purge(self) -> int:
        """Drop what expired; return how many pending PKCE states were among it (each is counted by one process only)."""
        try:
            gone = self._store.purge(time.time())
        except StoreError as error:
            self._degrade(error)
            return 0
        return sum(kind is Kind.PKCE for kind, _ in gone)

    def count(self, kind: Kind) -> int:
        """Return the number of live records of ``kind``, as of the last :meth:`purge`."""
        try:
            return self._store.count(kind)
        except StoreError as error:
            self._degrade(error)
            return self._store.count(kind)

    def entries(self) -> dict[str, int]:
        """Return the number of records by partition."""
        totals: dict[str, int] = {}
        for kind, partition in PARTITION.items():
            totals[partition] = totals.get(partition, 0) + self.count(kind)
        return totals

    def evictions(self) -> dict[str, int]:
        """Return the evictions since the last call, by partition."""
        return {PARTITION[kind]: count for kind, count in self._store.evictions().items() if count}

    def after_fork(self) -> None:
        """Make the ledger usable in a forked child."""
        self._lock = threading.Lock()
        self._clients = {}
        try:
            self._store.after_fork()
        except StoreError as error:
            self._degrade(error)

    def close(self) -> None:
        """Give the store's resources back."""
        self._store.close()


def _kept_until(kind: Kind, entry: Entry) -> float:
    if kind is Kind.CODE:
        return entry.issued_at + MEMORY_SECONDS
    if kind is Kind.STATE:
        return entry.expires_at + MEMORY_SECONDS
    return entry.expires_at


def _bounded(seconds: float) -> float:
    """Bound a lifetime that a provider claims: what is no number or endless becomes the longest."""
    return seconds if seconds < _LONGEST else _LONGEST


def _put_status(txn: Transaction, kind: Kind, digest: bytes, before: Status, after: Status) -> None:
    found = txn.get(kind, digest)
    if found is not None:
        entry = Entry.unpack(found)
        if entry.status == before:
            txn.put(kind, digest, entry._replace(status=after).pack(), _kept_until(kind, entry))


def _redeem_code(txn: Transaction, digest: bytes, now: float) -> None:
    txn.delete(Kind.FLOW, digest)
    txn.delete(Kind.PKCE, digest)
    found = txn.get(Kind.CODE, digest)
    if found is not None:
        entry = Entry.unpack(found)
        if entry.status in (Status.ISSUED, Status.REDEEMING):
            redeemed = entry._replace(status=Status.REDEEMED, changed_at=now)
            txn.put(Kind.CODE, digest, redeemed.pack(), _kept_until(Kind.CODE, entry))


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
