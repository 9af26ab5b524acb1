"""Interleaved rounds: each round runs every variant once, in an order of its own, so that noise meets all alike.

pyperf measures one program after the other, each in processes of its own: right for the small ones (see
:mod:`benchmarks.micro`), but a ratio of two programs that ran minutes apart on a busy machine says little.
"""

from __future__ import annotations

import gc
import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

_RESAMPLES = 2000


class Variant(Protocol):
    """One way to run a workload."""

    def prepare(self, operations: int) -> None:
        """Attach, make ready what the operations need, warm up."""

    def run(self, operations: int) -> None:
        """Do the work that is measured, with all that it records."""

    def check(self, operations: int) -> None:
        """Detach, and assert that everything expected was recorded."""


@dataclass(frozen=True)
class Estimate:
    """A median with the 95 % interval that bootstrapping its rounds gives."""

    value: float
    low: float
    high: float

    def as_list(self) -> list[float]:
        """Return value, lower and upper bound."""
        return [self.value, self.low, self.high]


@dataclass
class Measured:
    """CPU seconds of one operation, by variant and round."""

    operations: int
    seconds: dict[str, list[float]] = field(default_factory=dict)

    def _array(self, name: str) -> NDArray[np.float64]:
        return np.asarray(self.seconds[name])

    def _resampled(self) -> NDArray[np.int64]:
        number = len(next(iter(self.seconds.values())))
        return np.random.default_rng(1).integers(0, number, (_RESAMPLES, number))

    def median(self, name: str) -> Estimate:
        """Return the CPU seconds of one operation."""
        values = self._array(name)
        return _estimate(float(np.median(values)), np.median(values[self._resampled()], axis=1))

    def overhead(self, name: str, bare: str = "bare") -> Estimate:
        """Return what a variant adds to an operation: the median of the differences within each round."""
        added = self._array(name) - self._array(bare)
        return _estimate(float(np.median(added)), np.median(added[self._resampled()], axis=1))

    def ratio(self, name: str, peer: str, bare: str = "bare") -> Estimate:
        """Return how much a variant adds as a share of what ``peer`` adds."""
        ours, theirs = self._array(name) - self._array(bare), self._array(peer) - self._array(bare)
        picked = self._resampled()
        shares = np.median(ours[picked], axis=1) / np.median(theirs[picked], axis=1)
        return _estimate(float(np.median(ours) / np.median(theirs)), shares)

    def share(self, name: str, bare: str = "bare") -> Estimate:
        """Return how much a variant adds as a share of the bare operation."""
        added, whole, picked = self._array(name) - self._array(bare), self._array(bare), self._resampled()
        shares = np.median(added[picked], axis=1) / np.median(whole[picked], axis=1)
        return _estimate(float(np.median(added) / np.median(whole)), shares)


def _estimate(value: float, resampled: NDArray[np.float64]) -> Estimate:
    low, high = np.percentile(resampled, [2.5, 97.5])
    return Estimate(value, float(low), float(high))


def measure(variants: Mapping[str, Variant], *, rounds: int, operations: int) -> Measured:
    """Measure the variants, ``operations`` in each of ``rounds`` rounds.

    CPU time of the whole process counts, so that what a thread records is counted too, and what other
    processes do is not. The garbage collector runs before each measurement and not in it.

    :raises AssertionError: if a variant did not record what it should have.
    """
    measured, order = Measured(operations, {name: [] for name in variants}), list(variants)
    shuffled = random.Random(1)  # noqa: S311 an order, not a secret
    _settle(variants, operations)
    for _ in range(rounds):
        shuffled.shuffle(order)
        for name in order:
            variants[name].prepare(operations)
            gc.collect()
            gc.disable()
            began = time.process_time()
            variants[name].run(operations)
            seconds = time.process_time() - began
            gc.enable()
            variants[name].check(operations)
            measured.seconds[name].append(seconds / operations)
    gc.unfreeze()
    return measured


def _settle(variants: Mapping[str, Variant], operations: int) -> None:
    """Run each once, and leave what exists by then out of the collections."""
    for variant in variants.values():
        variant.prepare(operations)
        variant.run(operations)
        variant.check(operations)
    gc.collect()
    gc.freeze()
