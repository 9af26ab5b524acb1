"""One measurement of one variant."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable


class Variant(Protocol):
    """One way to run a workload."""

    def prepare(self, operations: int) -> None:
        """Attach, make ready what the operations need, warm up."""

    def run(self, operations: int) -> None:
        """Do the work that is measured, with all that it records."""

    def check(self, operations: int) -> None:
        """Detach, and assert that everything expected was recorded."""

    def finish(self) -> None:
        """Assert what was not asserted yet: nothing more is measured."""

    @property
    def clock(self) -> Callable[[], float]:
        """Tells the CPU seconds: of the process, or of the thread that runs alone."""


def once(variant: Variant, operations: int) -> float:
    """Return the CPU seconds of ``operations``; the garbage collector runs before and not in them."""
    clock = variant.clock
    variant.prepare(operations)
    gc.collect()
    gc.disable()
    began = clock()
    variant.run(operations)
    seconds = clock() - began
    gc.enable()
    variant.check(operations)
    return seconds
