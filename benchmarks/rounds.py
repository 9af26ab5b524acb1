"""Interleaved rounds: each round runs every variant once, in an order of its own, so that noise meets all alike.

pyperf measures one program after the other, each in processes of its own: right for the small ones (see
:mod:`benchmarks.micro`), but a ratio of two programs that ran minutes apart on a busy machine says little.
"""

from __future__ import annotations

import gc
import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from benchmarks.turn import Timed

_RESAMPLES = 2000


@dataclass(frozen=True)
class Effort:
    """How much to measure: rounds until ``seconds`` have passed, but at least ``least`` and at most ``most``.

    A machine that is slow or busy gets fewer rounds and a wider interval, not a longer run.
    """

    seconds: float
    least: int = 10
    most: int = 400

    def rounds(self) -> Iterator[int]:
        """Return the numbers of the rounds, as long as there is another."""
        began = time.monotonic()
        for number in range(self.most):
            if number >= self.least and time.monotonic() - began > self.seconds:
                return
            yield number


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

    def joined(self, more: Measured) -> Measured:
        """Return the rounds of both."""
        return Measured(
            self.operations, {name: [*seconds, *more.seconds[name]] for name, seconds in self.seconds.items()}
        )

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

    def times(self, name: str, peer: str) -> Estimate:
        """Return how many times what ``peer`` takes a variant takes, with nothing taken off."""
        ours, theirs, picked = self._array(name), self._array(peer), self._resampled()
        shares = np.median(ours[picked], axis=1) / np.median(theirs[picked], axis=1)
        return _estimate(float(np.median(ours) / np.median(theirs)), shares)

    def share(self, name: str, bare: str = "bare") -> Estimate:
        """Return how much a variant adds as a share of the bare operation."""
        added, whole, picked = self._array(name) - self._array(bare), self._array(bare), self._resampled()
        shares = np.median(added[picked], axis=1) / np.median(whole[picked], axis=1)
        return _estimate(float(np.median(added) / np.median(whole)), shares)

    def beyond(self, name: str, again: str, bare: str = "bare") -> Estimate:
        """Return :meth:`share` beyond the noise: less the upper end of what the same ``again`` seems to add."""
        found, noise = self.share(name, bare), max(self.share(again, bare).high, 0.0)
        return Estimate(*(max(each - noise, 0.0) for each in found.as_list()))


def _estimate(value: float, resampled: NDArray[np.float64]) -> Estimate:
    low, high = np.percentile(resampled, [2.5, 97.5])
    return Estimate(value, float(low), float(high))


def measure(variants: Mapping[str, Timed], effort: Effort, *, operations: int) -> Measured:
    """Measure the variants, ``operations`` of each in every round.

    CPU time of the whole process counts, so that what a thread records is counted too, and what other
    processes do is not. What is in this process by now is left out of the collections before each measurement.

    :raises AssertionError: if a variant did not record what it should have.
    """
    measured, order = Measured(operations, {name: [] for name in variants}), list(variants)
    shuffled = random.Random(1)  # noqa: S311 an order, not a secret
    for variant in variants.values():
        variant.seconds(operations)
    gc.collect()
    gc.freeze()
    for _ in effort.rounds():
        shuffled.shuffle(order)
        for name in order:
            measured.seconds[name].append(variants[name].seconds(operations) / operations)
    gc.unfreeze()
    return measured
