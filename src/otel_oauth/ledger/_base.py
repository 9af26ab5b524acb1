"""What the parts of the ledger share: sightings, the store in force, and small counts."""

from __future__ import annotations

import time
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

from otel_oauth._seen import SEEN
from otel_oauth.ledger._entry import (
    AUTHORIZATION,
    CLIENT,
    FLOW,
    ISSUED,
    NO_DIGEST,
    PARTITION,
    PKCE,
    REDEEMING,
    Entry,
    Family,
    Mark,
)
from otel_oauth.ledger._fallback import Fallback

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_oauth.ledger._entry import Kind
    from otel_oauth.ledger._store import Store, Transaction

_SECRETS = {b"code": "code", b"token": "token", b"state": "state"}
"""What is a secret itself, of the kinds of values: redaction finds it by its value from now on."""

MEMORY_SECONDS = 24 * 3600.0
"""How long a code or state is remembered after it was issued, so that a replay is told from a forgery."""

_MOST_DIGESTS, _LONGEST_KEPT = 1024, 128
"""Client ids whose digests are kept, and their length: they come again and again, and anybody can make up new ones."""

_CLIENT_LIFETIME = 30 * 24 * 3600.0
_CLIENT_RENEWAL = 24 * 3600.0
_FLIGHT_SECONDS = 60.0

NO_FAMILY = Family()


class Sighting(NamedTuple):
    """What the ledger knows of a value that was presented: its digest, its record, and its family's."""

    digest: bytes
    entry: Entry | None = None
    family: Family = NO_FAMILY

    @property
    def grant(self) -> bytes:
        """The digest of the authorization grant that the value descends from; its own where that is not known."""
        return self.digest if self.entry is None else self.entry.family


class SpanIds(NamedTuple):
    """The span that a record leads back to."""

    trace_id: int = 0
    span_id: int = 0


NO_SPAN = SpanIds()


def still_in_flight(entry: Entry) -> Entry:
    """Return a record that is being redeemed as it counts now: after a minute it was given up (its worker died)."""
    if time.time() - entry.changed_at > _FLIGHT_SECONDS:
        return entry.turned(ISSUED, 0.0)
    return entry


class LedgerBase:
    """What this service issued, and what became of it.

    :param store: where records live; memory takes its place, with a line in the log, when it fails.
    :param refresh_lifetime: seconds that a refresh token is taken to live, as servers rarely say it.
    :param on_loss: called each time that memory takes the place of the store.
    """

    def __init__(
        self, store: Store, *, refresh_lifetime: float = 30 * 24 * 3600.0, on_loss: Callable[[], None] | None = None
    ) -> None:
        self._on_loss = on_loss
        self._store = Fallback(store, self._lost)
        self._refresh_lifetime = refresh_lifetime
        self._clients: dict[bytes, float] = {}
        self._digests: dict[tuple[bytes, str], bytes] = {}
        self._keyed: tuple[bytes, dict[bytes, blake2b]] = b"", {}
        self._ran_out: list[bytes] = []

    def _lost(self) -> None:
        self._clients.clear()
        if self._on_loss is not None:
            self._on_loss()

    @property
    def shared(self) -> int:
        """How far the ledger is shared now: 0 this process, 1 this host, 2 several hosts."""
        return self._store.current.shared

    def digest(self, space: bytes, value: str) -> bytes:
        """Return the keyed digest of ``value`` (16 bytes); ``space`` keeps kinds of values apart."""
        key, keyed = self._keyed
        if key is not self._store.current.key:
            self._keyed = key, keyed = self._store.current.key, {}
        if space not in keyed:
            keyed[space] = blake2b(key=key, digest_size=16, person=space)
        # The copy of one that took the key in is made in a third of the time of a new one.
        hashed = keyed[space].copy()
        hashed.update(value.encode("utf-8", "surrogatepass"))
        digest = hashed.digest()
        if SEEN.active and space in _SECRETS:
            SEEN.key = key
            SEEN.learn(_SECRETS[space], value, digest)
        return digest

    def client_digest(self, client_id: str) -> bytes:
        """Return the keyed digest of a client's id."""
        key = self._store.current.key
        digest = self._digests.get((key, client_id))
        if digest is None:
            digest = self.digest(b"client", client_id)
            if len(client_id) <= _LONGEST_KEPT:
                if len(self._digests) >= _MOST_DIGESTS:
                    self._digests.clear()
                self._digests[key, client_id] = digest
        return digest

    # The store ----------------------------------------------------------------------------------------------

    def _get(self, kind: Kind, digest: bytes) -> Entry | None:
        entry: Entry | None = self._store.get(kind, digest)
        return still_in_flight(entry) if entry is not None and entry.status == REDEEMING else entry

    def recover(self) -> None:
        """Go back to a store that was away, if it is there again; called where no request waits."""
        self._store.recover()

    # Clients, single occurrences, counts --------------------------------------------------------------------

    def know_client(self, client_id: str) -> None:
        """Remember a client that the application's store returned or registered."""
        digest = self.client_digest(client_id)
        now = time.time()
        if self._clients.get(digest, 0.0) > now:
            return
        if len(self._clients) >= 10_000:  # noqa: PLR2004 a bound of this process's memory, the store has its own
            self._clients.clear()
        self._clients[digest] = now + _CLIENT_RENEWAL
        until = now + _CLIENT_LIFETIME
        self._store.transact(lambda txn: txn.put(CLIENT, digest, Mark(until)))

    def forget_client(self, client_id: str) -> None:
        """Forget a client that was deleted."""
        digest = self.client_digest(client_id)
        self._clients.pop(digest, None)
        self._store.transact(lambda txn: txn.delete(CLIENT, digest))

    def first(self, value: str, seconds: float) -> bool:
        """Tell whether ``value`` (joined parameters of an authorization) is seen the first time within ``seconds``."""
        digest = self.digest(b"authorization", value)
        now = time.time()

        def change(txn: Transaction) -> bool:
            found = txn.get(AUTHORIZATION, digest)
            if found is not None and found.kept_until > now:
                return False
            txn.put(AUTHORIZATION, digest, Mark(now + seconds))
            return True

        return self._store.transact(change)

    def purge(self) -> int:
        """Drop what expired; return how many pending PKCE states were among it (each counted by one process only)."""
        self._store.recover()
        gone = self._store.use(lambda store: store.purge(time.time()))
        flows = [record for kind, record in gone if kind is FLOW and record is not None]
        self._ran_out = [flow.digest for flow in flows if flow.digest != NO_DIGEST]
        return sum(kind is PKCE for kind, _ in gone)

    def count(self, kind: Kind) -> int:
        """Return the number of live records of ``kind``, as of the last :meth:`purge`."""
        return self._store.use(lambda store: store.count(kind))

    def entries(self) -> dict[str, int]:
        """Return the number of records by partition."""
        totals: dict[str, int] = {}
        for kind, partition in PARTITION.items():
            totals[partition] = totals.get(partition, 0) + self.count(kind)
        return totals

    def evictions(self) -> dict[str, int]:
        """Return the evictions since the last call, by partition."""
        return {PARTITION[kind]: count for kind, count in self._store.current.evictions().items() if count}

    def after_fork(self) -> None:
        """Make the ledger usable in a forked child."""
        self._clients = {}
        self._ran_out = []
        self._store.after_fork()

    def close(self) -> None:
        """Give the store's resources back."""
        self._store.close()


def end_flow(txn: Transaction, digest: bytes) -> bool:
    """Forget that a login is pending; tell whether its PKCE state was."""
    flow: Mark | None = txn.delete(FLOW, digest)
    return flow is not None and flow.verifier
