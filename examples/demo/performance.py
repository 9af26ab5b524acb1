"""Let the visitors come, and read the meters before and after each act."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from demo.expectations import complaints
from demo.readings import moved
from demo.traffic import SCENARIOS, play

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Sequence

    from demo.programs import InstrumentedProgram
    from demo.readings import Meters, Reading
    from demo.scenario import Scenario, World


@dataclass(frozen=True)
class Outcome:
    """What one scenario moved, by the text of the series, and what of that was wrong."""

    scenario: Scenario
    moved: Counter[str]
    complaints: tuple[str, ...]
    began: float
    ended: float


@dataclass
class Performance:
    """All readings in their order, and the outcomes so far."""

    readings: list[Reading] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)

    def outcome(self, name: str) -> Outcome | None:
        """Return the outcome of the scenario ``name``."""
        return next((outcome for outcome in self.outcomes if outcome.scenario.name == name), None)

    @property
    def seconds(self) -> float:
        """How long it took from the first reading to the last."""
        return self.readings[-1].at - self.readings[0].at


def perform(
    world: World,
    meters: Meters,
    programs: Sequence[InstrumentedProgram],
    watch: Callable[[Performance, Scenario], None],
) -> Performance:
    """Play all scenarios; ``watch`` is called after each reading.

    A reading costs as much as a login, so there is one before an act only where the preparation, immediately before
    it, has logins of its own that do not belong to the act.
    """
    performance = Performance()
    for step in play(world, SCENARIOS):
        alone = step.scenario.kind == "everyday" or step.scenario.early
        if not step.done and alone and performance.readings:
            continue
        performance.readings.append(meters.read())
        if step.done:
            before, after = performance.readings[-2:]
            moves = moved(before, after)
            wrong = (step.error,) if step.error else tuple(complaints(step.scenario.name, moves))
            performance.outcomes.append(Outcome(step.scenario, moves, wrong, before.at, after.at))
            for program in programs:
                program.check()
        watch(performance, step.scenario)
    return performance
