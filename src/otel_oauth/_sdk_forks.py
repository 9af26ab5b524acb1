"""The SDK's metrics at a fork.

The SDK starts the threads of a forked child anew, but not the locks of its metrics (seen up to 1.45): a child that is
forked while the parent collects or exports, and an export to a Collector that is away lasts seconds, would never
export a metric, and would wait for that at its end. So no fork happens in the middle of a collection, and a child
gets locks of its own. Nor does the SDK forget what the parent measured: the child would export the parent's durations
a second time, and what its own counters fell by as a negative delta. So our instruments start over.
Where an SDK is made in another way, nothing is done.
"""

from __future__ import annotations

import threading
from contextlib import suppress
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


def start_over(providers: Iterable[object], scope: str) -> None:
    """Give a forked child locks that no thread of its parent holds, and nothing of what the parent measured.

    :param scope: whose instruments start over; those of others stay as the SDK left them.
    """
    for consumer in _consumers(providers):
        consumer._lock = threading.Lock()  # noqa: SLF001 as above
        readers = getattr(consumer, "_reader_storages", {})
        for reader in readers:
            if hasattr(reader, "_export_lock"):
                reader._export_lock = threading.Lock()  # noqa: SLF001 as above
        for storage in readers.values():
            with suppress(AttributeError):
                _forget(storage, scope)


def _forget(storage: Any, scope: str) -> None:  # noqa: ANN401 the SDK's, private
    for instrument, matches in storage._instrument_view_instrument_matches.items():  # noqa: SLF001 as above
        if instrument.instrumentation_scope.name == scope:
            for match in matches:
                match._lock = threading.Lock()  # noqa: SLF001 as above
                match._attributes_aggregation.clear()  # noqa: SLF001 as above
