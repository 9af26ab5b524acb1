"""Single steps, measured by pyperf: ``python -m benchmarks.micro -o micro.json``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING

import pyperf

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.steps import Step

GROUPS = {
    "instruments": ("empty", "counters", "gauges", "histograms", "spans"),
    "records": ("event", "redacted_span", "redacted_record", "redacted_line"),
    "oauth": ("classifier", "ledgers", "redis_ledger"),
}
"""The functions that make the steps, by their module in :mod:`benchmarks.steps`, in the order of the table."""
_NAMES = "BENCH_STEPS"
_EFFORT = ("--processes", "2", "--values", "5", "--warmups", "1", "--loops", "400")


def measure_steps(out: Path) -> dict[str, list[float]]:
    """Let pyperf measure each step in processes of its own; return the seconds of one: median, lowest, highest."""
    target = out / "micro.json"
    target.unlink(missing_ok=True)
    subprocess.run(
        [sys.executable, "-m", "benchmarks.micro", "--quiet", "--output", str(target), *_EFFORT],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    found: dict[str, list[float]] = {}
    for bench in pyperf.BenchmarkSuite.load(str(target)).get_benchmarks():
        values = sorted(bench.get_values())
        found[bench.get_name()] = [bench.median(), values[0], values[-1]]
    return found


@lru_cache
def _made(group: str) -> dict[str, Step]:
    module, _, make = group.partition(".")
    steps: dict[str, Step] = getattr(import_module(f"benchmarks.steps.{module}"), make)()
    return steps


def _loop(loops: int, group: str, name: str) -> float:
    return _made(group)[name].seconds(loops)


def main() -> None:
    """Measure the steps; what they are called is told to pyperf's processes, so that each makes only its own."""
    if _NAMES not in os.environ:
        groups = [f"{module}.{make}" for module, makes in GROUPS.items() for make in makes]
        os.environ[_NAMES] = json.dumps([(group, name) for group in groups for name in _made(group)])
    runner = pyperf.Runner(program_args=("-m", "benchmarks.micro"))
    runner.parse_args()
    runner.args.inherit_environ = [_NAMES, "PYTHONPATH"]
    for group, name in json.loads(os.environ[_NAMES]):
        runner.bench_time_func(name, _loop, group, name)


if __name__ == "__main__":
    main()
