"""The ledger: what this service issued, and what became of it, without keeping a secret.

It tells a replayed code from an unknown one, a stolen refresh token from a race of one client, a state of
another session from a forged one. Only keyed digests (BLAKE2b) and times are kept, only of values that the
service itself issued, so that an attacker can neither read nor fill it. One domain logic (:class:`Ledger`)
stands on small stores: memory (one process), host (LMDB, the workers of one host and their restarts) and Redis
(the workers of several hosts).
"""

from otel_oauth.ledger._base import OWN, Sighting
from otel_oauth.ledger._directory import private_directory, sweep
from otel_oauth.ledger._entry import Entry, Family, Kind, Status
from otel_oauth.ledger._grants import UNKNOWN_LIFETIME, method_name
from otel_oauth.ledger._ledger import Ledger
from otel_oauth.ledger._memory import MemoryStore
from otel_oauth.ledger._place import service_directory, store_at
from otel_oauth.ledger._store import Store, StoreAwayError, StoreError, Transaction

__all__ = [
    "OWN",
    "UNKNOWN_LIFETIME",
    "Entry",
    "Family",
    "Kind",
    "Ledger",
    "MemoryStore",
    "Sighting",
    "Status",
    "Store",
    "StoreAwayError",
    "StoreError",
    "Transaction",
    "method_name",
    "private_directory",
    "service_directory",
    "store_at",
    "sweep",
]
