"""What the parts of the ledger share: sightings, the store in force, and small counts."""

from __future__ import annotations

import struct
import time
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from otel_oauth._seen import SEEN
from otel_oauth.ledger._entry import PARTITION, Entry, Kind, Status
from otel_oauth.ledger._fallback import Fallback

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_oauth.ledger._store import Store, Transaction

T = TypeVar("T")

_SECRETS = {b"code": "code", b"token": "token", b"state": "state"}
"""What is a secret itself, of the kinds of values: redaction finds it by its value from now on."""

MEMORY_SECONDS = 24 * 3600.0
"""How long a code or state is remembered after it was issued, so that a replay is told from a forgery."""

_MOST_DIGESTS, _LONGEST_KEPT = 1024, 128
"""Client ids whose digests are kept, and their length: they come again and again, and anybody can make up new ones."""

_CLIENT_LIFETIME = 30 * 24 * 3600.0
_CLIENT_RENEWAL = 24 * 3600.0
_FLIGHT_SECONDS = 60.0


class FamilyView(NamedTuple):
    """What is remembered of a grant: its newest generation, whether that was presented, the last critical verdict."""

    newest: int = 0
    newest_presented: bool = False
    critical_at: float = 0.0


class Sighting(NamedTuple):
    """What the ledger knows of a value that was presented: its digest, its record, and its family's."""

    digest: bytes
    entry: Entry | None = None
    family: FamilyView = FamilyView()

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
    """Return the record as it counts now: a redemption still open after a minute was given up (its worker died)."""
    if entry.status == Status.REDEEMING and time.time() - entry.changed_at > _FLIGHT_SECONDS:
        return entry._replace(status=Status.ISSUED, changed_at=0.0)
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
        key = self._store.current.key
        digest = blake2b(value.encode("utf-8", "surrogatepass"), key=key, digest_size=16, person=space).digest()
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

    def _transact(self, change: Callable[[Transaction], T]) -> T:
        return self._store.transact(change)

    def _get(self, kind: Kind, digest: bytes) -> Entry | None:
        found = self._store.get(kind, digest)
        try:
            return None if found is None else still_in_flight(Entry.unpack(found))
        except struct.error as error:
            self._store.damaged(error)
            return None

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
        self._transact(lambda txn: txn.put(Kind.CLIENT, digest, b"", until))

    def forget_client(self, client_id: str) -> None:
        """Forget a client that was deleted."""
        digest = self.client_digest(client_id)
        self._clients.pop(digest, None)
        self._transact(lambda txn: txn.delete(Kind.CLIENT, digest))

    def first(self, value: str, seconds: float) -> bool:
        """Tell whether ``value`` (joined parameters of an authorization) is seen the first time within ``seconds``."""
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
        """Drop what expired; return how many pending PKCE states were among it (each counted by one process only)."""
        self._store.recover()
        gone = self._store.use(lambda store: store.purge(time.time()))
        self._ran_out = [record for kind, record in gone if kind is Kind.FLOW and record]
        return sum(kind is Kind.PKCE for kind, _ in gone)

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


def kept_until(kind: Kind, entry: Entry) -> float:
    """Return until when a record of this kind is kept."""
    if kind is Kind.CODE:
        return entry.issued_at + MEMORY_SECONDS
    if kind is Kind.STATE:
        return entry.expires_at + MEMORY_SECONDS
    return entry.expires_at
