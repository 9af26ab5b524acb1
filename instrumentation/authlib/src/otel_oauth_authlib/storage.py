"""The callbacks through which Authlib reaches the application's store, as storage operations."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from otel_oauth.hooks import Call, Hook
from otel_oauth.kinds import STORAGE

if TYPE_CHECKING:
    from otel_oauth.operation import Operation

Before = Callable[[Call], None]
After = Callable[[Call, Any], None]


def storage_operation(call: Call, operation: str) -> Operation:
    """Return the operation of one call into the store."""
    telemetry = call.telemetry
    return telemetry.step(telemetry, STORAGE, {"operation": operation, "result": "success"})


def storage_hook(operation: str, *, before: Before | None = None, after: After | None = None) -> Hook:
    """Return the hook of one callback.

    A callback within a callback (``grant.save_token`` calls ``server.save_token``, an override calls
    ``super()``) counts once.

    :param operation: the value of the label ``operation``.
    :param before: notes what is presented, before the callback runs.
    :param after: notes what the callback returned, if it did not raise.
    """

    def begin(call: Call) -> Operation:
        if before is not None:
            before(call)
        return storage_operation(call, operation)

    def done(call: Call, result: Any, error: BaseException | None) -> None:  # noqa: ANN401 the application's
        if after is not None and error is None:
            after(call, result)

    return Hook(begin, None if after is None else done, outside=STORAGE)
