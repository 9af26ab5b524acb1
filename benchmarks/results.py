"""What was measured, in one place: the parts fill it, tables and plots are made of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.instructions import Counted
    from benchmarks.load import Load, Paced
    from benchmarks.rounds import Estimate, Measured


@dataclass(frozen=True)
class Row:
    """One value that has a budget.

    :param beside: what it and its peers take, in words.
    :param pace: for a value that is no ratio: the CPU seconds that the same run took for what is not ours, so that a
        slower or busier machine is not taken for a regression; 0 for a ratio.
    :param floor: what the value would be if ours were nothing but the SDK's own calls (:mod:`benchmarks.floor`).
    :param workload: the one whose profile tells more.
    """

    key: str
    estimate: Estimate
    beside: str = ""
    pace: float = 0.0
    floor: Estimate | None = None
    workload: str = ""

    def as_list(self) -> list[float]:
        """Return value, lower and upper bound, and the pace."""
        return [*self.estimate.as_list(), self.pace]


@dataclass
class Results:
    """Everything that one run measured; what it left out is empty.

    :ivar rows: the values that have a budget, by key.
    :ivar measured: the workloads; ``shares``: how what ours adds to each is divided, as profiled.
    :ivar steps: the groups of steps that were measured turn by turn.
    :ivar alone: the steps that pyperf measured: median, lowest and highest seconds.
    :ivar left_out: what could not be measured, and why.
    """

    rows: dict[str, Row] = field(default_factory=dict)
    measured: dict[str, Measured] = field(default_factory=dict)
    shares: dict[str, dict[str, float]] = field(default_factory=dict)
    steps: dict[str, Measured] = field(default_factory=dict)
    alone: dict[str, list[float]] = field(default_factory=dict)
    attach: Measured | None = None
    load: Load | None = None
    paced: Paced | None = None
    memory: dict[str, dict[str, float]] = field(default_factory=dict)
    growth: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    instructions: dict[str, dict[str, Counted]] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    def add(self, row: Row) -> None:
        """Add a value that has a budget."""
        self.rows[row.key] = row

    def as_json(self) -> dict[str, Any]:
        """Return it as what JSON can hold."""
        return {
            "rows": {key: row.as_list() for key, row in self.rows.items()},
            "floors": {key: row.floor.as_list() for key, row in self.rows.items() if row.floor is not None},
            "seconds": {name: found.seconds for name, found in self.measured.items()},
            "shares": self.shares,
            "steps": {name: found.seconds for name, found in self.steps.items()},
            "alone": self.alone,
            "attach": self.attach.seconds if self.attach else {},
            "load": self.load.found if self.load else {},
            "paced": self.paced.found if self.paced else {},
            "memory": self.memory,
            "growth": self.growth,
            "instructions": {
                name: {variant: counted._asdict() for variant, counted in found.items()}
                for name, found in self.instructions.items()
            },
            "left out": self.left_out,
        }
