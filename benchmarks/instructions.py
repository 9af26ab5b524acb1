"""Instructions of one operation, counted by callgrind: the figure that noise cannot move; and what makes them slow.

The misses of the caches and of the branch predictor are simulated, with the caches of this machine. callgrind knows two
levels: the second one it takes for the last, and it is told to be as large as the core's own.

``python -m benchmarks.instructions WORKLOAD VARIANT OPERATIONS`` is the program that valgrind runs; it switches the
counting on around the operations alone.
"""

from __future__ import annotations

import gc
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from benchmarks.floor import Emitted
from benchmarks.variants import VARIANTS
from benchmarks.workers import emitted
from benchmarks.workloads import WORKLOADS
from otel_oauth import recorder

OPERATIONS = 60
_SECONDS = 600
_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
_DESCRIBED = ("level", "size", "ways_of_associativity", "coherency_line_size")


class Counted(NamedTuple):
    """What one operation takes.

    :param l1_instruction: misses of the first-level cache of instructions; ``l1_data`` of that of data; ``l2`` of the
        second level.
    :param branches: branches that the predictor gets wrong.
    """

    instructions: float
    l1_instruction: float
    l1_data: float
    l2: float
    branches: float


_PRINTED = ("I +refs", "I1 +misses", "D1 +misses", "LL +misses", "Mispredicts")
"""What callgrind calls the fields of :class:`Counted` in what it prints at the end."""


def available() -> bool:
    """Tell whether valgrind is installed."""
    return shutil.which("valgrind") is not None and shutil.which("callgrind_control") is not None


def _switch(to: str) -> None:
    control = shutil.which("callgrind_control") or "callgrind_control"
    subprocess.run([control, f"--instr={to}", str(os.getpid())], check=True, capture_output=True)


def second_level(caches: Path = _CACHES) -> list[str]:
    """Return callgrind's option for the second-level cache of this machine; without it the last level is taken."""
    for cache in caches.glob("index*"):
        said = [(cache / name).read_text("utf-8").strip() for name in _DESCRIBED if (cache / name).exists()]
        level, size, ways, line = said if len(said) == len(_DESCRIBED) else [""] * len(_DESCRIBED)
        if level == "2" and size.endswith("K"):
            return [f"--LL={int(size[:-1]) * 1024},{ways},{line}"]
    return []


def count(workload: str, variant: str) -> Counted:
    """Return what one operation of a workload takes under a variant."""
    program = [sys.executable, "-m", "benchmarks.instructions", workload, variant, str(OPERATIONS)]
    valgrind = ["valgrind", "--tool=callgrind", "--instr-atstart=no", "--callgrind-out-file=/dev/null"]
    valgrind += ["--cache-sim=yes", "--branch-sim=yes", *second_level()]
    ended = subprocess.run(
        [*valgrind, *program],
        capture_output=True,
        text=True,
        check=True,
        timeout=_SECONDS,
        env={**os.environ, "PYTHONHASHSEED": "0"},
    )
    found = [re.search(rf"{name}: +([\d,]+)", ended.stderr) for name in _PRINTED]
    if None in found:
        msg = f"callgrind counted nothing:\n{ended.stderr[-2000:]}"
        raise RuntimeError(msg)
    return Counted(*[int(each[1].replace(",", "")) / OPERATIONS for each in found if each is not None])


def _run(workload: str, variant: str, operations: int) -> None:
    # The program runs some fifty times as slowly: our threads would wake for each operation instead of for a batch.
    recorder._DELAY_SECONDS = _SECONDS  # noqa: SLF001 no setting, it concerns nobody else
    chosen = VARIANTS[variant](WORKLOADS[workload], emitted(workload) if "floor" in variant else Emitted())
    chosen.warm()
    chosen.prepare(operations)
    gc.collect()
    gc.disable()
    _switch("on")
    chosen.run(operations)
    _switch("off")
    chosen.check(operations)


if __name__ == "__main__":
    _run(sys.argv[1], sys.argv[2], int(sys.argv[3]))
