"""The locks of the SDK's metrics at a fork.

The SDK starts the threads of a forked child anew, but not the locks of its metrics (seen up to 1.45): a child that is
forked while the parent collects or exports, and an export to a Collector that is away lasts seconds, would never
export a metric, and would wait for that at its end. So no fork happens in the middle of a collection, and a child
gets locks of its own. Where an SDK has no such lock, nothing is done.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

_LONGEST_SECONDS = 1.0


def _consumers(providers: Iterable[object]) -> list[Any]:
    found = {id(provider): getattr(provider, "_measurement_consumer", None) for provider in providers}
    return [consumer for consumer in found.values() if hasattr(consumer, "_lock")]


def hold(providers: Iterable[object]) -> list[Any]:
    """Wait for the end of a collection, a second at most, and return the locks that hold off the next one."""
    locks = [consumer._lock for consumer in _consumers(providers)]  # noqa: SLF001 the SDK offers no other way
    return [lock for lock in locks if lock.acquire(timeout=_LONGEST_SECONDS)]


def renew(providers: Iterable[object]) -> None:
    """Give a forked child locks that no thread of its parent holds."""
    for consumer in _consumers(providers):
        consumer._lock = threading.Lock()  # noqa: SLF001 as above
        for reader in getattr(consumer, "_reader_storages", ()):
            if hasattr(reader, "_export_lock"):
                reader._export_lock = threading.Lock()  # noqa: SLF001 as above
