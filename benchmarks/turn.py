"""One measurement of one variant."""

from __future__ import annotations

import gc
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable


class Timed(Protocol):
    """What can be measured, in this process or in one of its own."""

    def seconds(self, operations: int) -> float:
        """Return the CPU seconds of so many operations.

        :raises AssertionError: if not everything expected was recorded.
        """


class Variant(ABC):
    """One way to do what is measured.

    :ivar clock: tells the CPU seconds: of the process, or of the thread that runs alone.
    """

    clock: Callable[[], float] = staticmethod(time.process_time)

    @abstractmethod
    def prepare(self, operations: int) -> None:
        """Make ready what the operations need, and note what was recorded so far."""

    @abstractmethod
    def run(self, operations: int) -> None:
        """Do the work that is measured, with all that it records."""

    @abstractmethod
    def check(self, operations: int) -> None:
        """Assert that everything expected was recorded."""

    def seconds(self, operations: int) -> float:
        """Return the CPU seconds of ``operations``; the garbage collector runs before and not in them."""
        clock = self.clock
        self.prepare(operations)
        gc.collect()
        gc.disable()
        began = clock()
        self.run(operations)
        seconds = clock() - began
        gc.enable()
        self.check(operations)
        return seconds
