"""What the parts of the ledger share: sightings, the store in force, and small counts."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from otel_oauth._seen import SEEN, keyed
from otel_oauth.ledger._entry import (
    AUTHORIZATION,
    CLIENT,
    DIGEST,
    FLOW,
    ISSUED,
    NO_DIGEST,
    PARTITION,
    PKCE,
    REDEEMING,
    STATUS,
    UNTIL,
    VERIFIER,
    Entry,
    Family,
    Mark,
    new,
    turned,
)
from otel_oauth.ledger._fallback import Fallback

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_oauth.ledger._entry import Kind
    from otel_oauth.ledger._store import Store, Transaction

TOKEN, OWN = b"token", b"own"
"""The spaces of the tokens that a server issued, and of a client's own refresh tokens.

A process may be the client and the server of one token: each judges its own use of it.
"""

_SECRETS = {b"code": "code", TOKEN: "token", OWN: "token", b"state": "state"}
"""What is a secret itself, of the kinds of values: redaction finds it by its value from now on."""

MEMORY_SECONDS = 24 * 3600.0
"""How long a code or state is remembered after it was issued, so that a replay is told from a forgery."""

_SPACES = (b"code", TOKEN, OWN, b"state", b"client", b"host", b"authorization", b"user")
"""The kinds of values that are digested."""

_MOST_DIGESTS, _LONGEST_KEPT = 1024, 128
"""Client ids and hosts whose digests are kept, and their length: they come again, and anybody can make up new ones."""

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


def still_in_flight(entry: Entry) -> Entry:
    """Return a record that is being redeemed as it counts now: after a minute it was given up (its worker died).

    So it is if the clock was set back since: nobody can tell how long ago that was.
    """
    if abs(time.time() - entry.changed_at) > _FLIGHT_SECONDS:
        return new(Entry, turned(entry, ISSUED, 0.0))
    return entry


class _Digests:
    """What makes the digests under one key.

    :ivar hashes: by the kind of value, a hash that took the key in: its copy is made in a third of the time.
    :ivar kept: the digests of client ids and hosts.
    """

    __slots__ = ("hashes", "kept", "key")

    def __init__(self, key: bytes) -> None:
        self.key = key
        self.hashes = {space: keyed(key, space) for space in _SPACES}
        self.kept: dict[bytes, dict[str, bytes]] = {b"client": {}, b"host": {}}


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
        self._digests = _Digests(store.key)
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
        key, digests = self._store.current.key, self._digests
        if key is not digests.key:
            digests = self._digests = _Digests(key)
        hashed = digests.hashes[space].copy()
        try:
            hashed.update(value.encode())
        except UnicodeEncodeError:
            hashed.update(value.encode("utf-8", "surrogatepass"))
        digest = hashed.digest()
        if SEEN.active and space in _SECRETS:
            SEEN.key = key
            # Redaction knows a client's own token by the digest that it has as anybody's.
            SEEN.learn(_SECRETS[space], value, None if space == OWN else digest)
        return digest

    def kept_digest(self, value: str, space: bytes = b"client") -> bytes:
        """Return the keyed digest of a client's id, or of another value that comes again and again."""
        digests = self._digests
        known = digests.kept[space].get(value) if digests.key is self._store.current.key else None
        if known is not None:
            return known
        digest, kept = self.digest(space, value), self._digests.kept[space]
        if len(value) <= _LONGEST_KEPT:
            if len(kept) >= _MOST_DIGESTS:
                kept.clear()
            kept[value] = digest
        return digest

    # The store ----------------------------------------------------------------------------------------------

    def _get(self, kind: Kind, digest: bytes) -> Entry | None:
        record = self._store.get(kind, digest)
        if record is None:
            return None
        return new(Entry, record) if record[STATUS] != REDEEMING else still_in_flight(new(Entry, record))

    def recover(self) -> None:
        """Go back to a store that was away, if it is there again; called where no request waits."""
        self._store.recover()

    # Clients, single occurrences, counts --------------------------------------------------------------------

    def know_client(self, client_id: str) -> None:
        """Remember a client that the application's store returned or registered."""
        digest = self.kept_digest(client_id)
        now = time.time()
        if self._clients.get(digest, 0.0) > now:
            return
        if len(self._clients) >= 10_000:  # noqa: PLR2004 a bound of this process's memory, the store has its own
            self._clients.clear()
        self._clients[digest] = now + _CLIENT_RENEWAL
        self._store.transact(_put_client, (digest, Mark(now + _CLIENT_LIFETIME)))

    def forget_client(self, client_id: str) -> None:
        """Forget a client that was deleted."""
        digest = self.kept_digest(client_id)
        self._clients.pop(digest, None)
        self._store.transact(_delete_client, digest)

    def first(self, value: str, seconds: float) -> bool:
        """Tell whether ``value`` (joined parameters of an authorization) is seen the first time within ``seconds``."""
        now = time.time()
        return self._store.transact(_first, (self.digest(b"authorization", value), now, now + seconds))

    def purge(self) -> int:
        """Drop what expired; return how many pending PKCE states were among it (each counted by one process only)."""
        self._store.recover()
        gone = self._store.use(lambda store: store.purge(time.time()))
        states = [record[DIGEST] for kind, record in gone if kind is FLOW and record is not None]
        self._ran_out = [digest for digest in states if digest != NO_DIGEST]
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
    flow = txn.delete(FLOW, digest)
    return flow is not None and bool(flow[VERIFIER])


def _put_client(txn: Transaction, about: tuple[bytes, Mark]) -> None:
    txn.put(CLIENT, *about)


def _delete_client(txn: Transaction, digest: bytes) -> None:
    txn.delete(CLIENT, digest)


def _first(txn: Transaction, about: tuple[bytes, float, float]) -> bool:
    digest, now, until = about
    found = txn.get(AUTHORIZATION, digest)
    if found is not None and found[UNTIL] > now:
        return False
    txn.put(AUTHORIZATION, digest, (until, False, NO_DIGEST))
    return True
