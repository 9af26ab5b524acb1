"""Single steps, each beside its peers: what the SDK does for the same, prometheus_client, and nothing at all.

A group is a function that makes its steps. :mod:`benchmarks.micro` lets pyperf measure each in processes of its own;
those that have a budget are measured turn by turn in one process, where noise meets all alike.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.turn import Variant

if TYPE_CHECKING:
    from collections.abc import Callable


def nothing() -> None:
    """Do nothing."""


@dataclass
class Step(Variant):
    """One step.

    :param call: does it once.
    :param settle: does what the calls left for later; it is part of the measurement.
    :param drain: does so after the measurement: what a thread does beside the request.
    :param clock: tells the CPU seconds; that of the thread where the request alone is meant.
    :param attach: makes ready, for each round; ``detach`` takes it back.
    :param recorded: how often it was recorded so far; each call must add one.
    """

    call: Callable[[], object]
    settle: Callable[[], object] = nothing
    drain: Callable[[], object] = nothing
    clock: Callable[[], float] = time.process_time
    attach: Callable[[], object] = nothing
    detach: Callable[[], object] = nothing
    recorded: Callable[[], float] | None = None

    _before = 0.0

    def prepare(self, operations: int) -> None:
        """Make ready and warm up."""
        self.attach()
        for _ in range(min(operations, 100)):
            self.call()
        self.settle()
        self.drain()
        if self.recorded is not None:
            self._before = self.recorded()

    def run(self, operations: int) -> None:
        """Do it so many times."""
        call = self.call
        for _ in range(operations):
            call()
        self.settle()

    def check(self, operations: int) -> None:
        """Assert that each was recorded."""
        self.drain()
        self.detach()
        if self.recorded is not None:
            found = self.recorded() - self._before
            if found != operations:
                msg = f"{operations} steps were to be recorded, {found:g} were"
                raise AssertionError(msg)
