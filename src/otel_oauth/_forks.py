"""What every telemetry of the process does around a fork: the parent goes on, the child starts from zero."""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING, Any

from otel_oauth import _sdk_forks
from otel_oauth.catalogue import SCOPE

if TYPE_CHECKING:
    from otel_oauth.recorder import Recorder
    from otel_oauth.telemetry import Telemetry

living: weakref.WeakSet[Telemetry] = weakref.WeakSet()
"""Every telemetry that there is in this process."""

_held: list[Recorder] = []
_held_of_sdk: list[Any] = []


def _meter_providers() -> list[object]:
    return [telemetry.meter_provider for telemetry in list(living)]


def _before_fork() -> None:
    # In the order in which a collection takes them: first the SDK's, then ours.
    _held_of_sdk.extend(_sdk_forks.hold(_meter_providers()))
    # A child must not inherit a lock of the SDK that our own thread holds in the middle of a record.
    queues = {queue: None for telemetry in list(living) for queue in (telemetry.recorder, telemetry.emission.queue)}
    _held.extend(queue for queue in queues if queue.recording.acquire(timeout=1.0))


def _after_fork_in_parent() -> None:
    while _held:
        _held.pop().recording.release()
    while _held_of_sdk:
        _held_of_sdk.pop().release()


def _after_fork_in_child() -> None:
    _held.clear()
    _held_of_sdk.clear()
    _sdk_forks.start_over(_meter_providers(), SCOPE)
    for telemetry in list(living):
        telemetry.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
