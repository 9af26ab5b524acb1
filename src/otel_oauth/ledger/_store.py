"""The protocol behind the ledger: atomic changes of packed records under (kind, digest), with an expiry each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_oauth.ledger._entry import Kind

T = TypeVar("T")


class StoreError(Exception):
    """The store cannot be used; it says why without any value from a request."""


class StoreAwayError(StoreError):
    """The store cannot be reached now, and may come back: the same call may succeed later."""


class Transaction(Protocol):
    """What may be done within one atomic change."""

    def get(self, kind: Kind, digest: bytes) -> bytes | None:
        """Return the record, or ``None``; an expired record that was not purged yet is still returned."""

    def put(self, kind: Kind, digest: bytes, record: bytes, expires_at: float) -> None:
        """Store the record until ``expires_at`` (seconds since the epoch); replaces what was there."""

    def delete(self, kind: Kind, digest: bytes) -> bool:
        """Remove the record; tell whether there was one."""


class Store(Protocol):
    """A place for records.

    ``shared`` is 0 for this process, 1 for this host, 2 for several hosts; ``key`` keys the digests; ``size``
    bounds each kind.
    """

    shared: int
    size: int

    @property
    def key(self) -> bytes:
        """The key of the digests: the same for all who share the store."""

    def get(self, kind: Kind, digest: bytes) -> bytes | None:
        """Return one record outside of a transaction."""

    def transact(self, change: Callable[[Transaction], T]) -> T:
        """Run ``change`` atomically and return its result; a store may run it again on a conflict."""

    def count(self, kind: Kind) -> int:
        """Return the number of records of a kind, the expired ones included until they are purged."""

    def purge(self, now: float) -> list[tuple[Kind, bytes]]:
        """Remove what expired before ``now`` and return (kind, record) of each, once across all processes."""

    def evictions(self) -> dict[Kind, int]:
        """Return how many records of each kind were dropped before their time, and start again from zero."""

    def after_fork(self) -> None:
        """Make the store usable in a forked child."""

    def close(self) -> None:
        """Give the resources back."""
