"""The protocol behind the ledger: atomic changes of records under (kind, digest), each kept until a time of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_oauth.ledger._entry import Kind, Record

A = TypeVar("A")
T = TypeVar("T")


class StoreError(Exception):
    """The store cannot be used; it says why without any value from a request."""


class StoreAwayError(StoreError):
    """The store cannot be reached now, and may come back: the same call may succeed later."""


class Transaction(Protocol):
    """What may be done within one atomic change. Which record is under a kind tells its form in ``_entry``."""

    def get(self, kind: Kind, digest: bytes) -> Record | None:
        """Return the record, or ``None``; an expired record that was not purged yet is still returned."""

    def put(self, kind: Kind, digest: bytes, record: Record) -> None:
        """Store the record until the time that it begins with; replaces what was there."""

    def delete(self, kind: Kind, digest: bytes) -> Record | None:
        """Remove the record and return it, or ``None`` if there was none."""


class Store(Protocol):
    """A place for records.

    ``shared`` is 0 for this process, 1 for this host, 2 for several hosts; ``key`` keys the digests; ``size``
    bounds each kind. Kinds that only count (``COUNTED`` in ``_entry``) follow from the records of the others: the
    store keeps them in step.
    """

    shared: int
    size: int

    @property
    def key(self) -> bytes:
        """The key of the digests: the same for all who share the store."""

    def get(self, kind: Kind, digest: bytes) -> Record | None:
        """Return one record outside of a transaction, or ``None``; raises ``struct.error`` if it is damaged."""

    def transact(self, change: Callable[[Transaction, A], T], about: A) -> T:
        """Run ``change`` atomically, with what it is about, and return its result; it may be run again on a conflict.

        It is a function of the module and no closure, which would have to be made anew for each change.
        """

    def count(self, kind: Kind) -> int:
        """Return the number of records of a kind, the expired ones included until they are purged."""

    def purge(self, now: float) -> list[tuple[Kind, Record | None]]:
        """Remove what expired before ``now`` and return (kind, record) of each, once across all processes.

        A record that is counted besides is returned as both; it may be ``None`` where only the kind is known.
        """

    def evictions(self) -> dict[Kind, int]:
        """Return how many records of each kind were dropped before their time, and start again from zero."""

    def after_fork(self) -> None:
        """Make the store usable in a forked child."""

    def close(self) -> None:
        """Give the resources back."""
