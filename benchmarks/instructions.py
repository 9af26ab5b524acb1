"""Instructions of one operation, counted by callgrind: the figure that noise cannot move.

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

from benchmarks.floor import Emitted
from benchmarks.variants import VARIANTS
from benchmarks.workers import emitted
from benchmarks.workloads import WORKLOADS
from otel_oauth import recorder

OPERATIONS = 20
_SECONDS = 600


def available() -> bool:
    """Tell whether valgrind is installed."""
    return shutil.which("valgrind") is not None and shutil.which("callgrind_control") is not None


def _switch(to: str) -> None:
    control = shutil.which("callgrind_control") or "callgrind_control"
    subprocess.run([control, f"--instr={to}", str(os.getpid())], check=True, capture_output=True)


def count(workload: str, variant: str) -> float:
    """Return the instructions of one operation of a workload under a variant."""
    program = [sys.executable, "-m", "benchmarks.instructions", workload, variant, str(OPERATIONS)]
    valgrind = ["valgrind", "--tool=callgrind", "--instr-atstart=no", "--callgrind-out-file=/dev/null"]
    ended = subprocess.run(
        [*valgrind, *program],
        capture_output=True,
        text=True,
        check=True,
        timeout=_SECONDS,
        env={**os.environ, "PYTHONHASHSEED": "0"},
    )
    found = re.search(r"Collected : (\d+)", ended.stderr)
    if found is None:
        msg = f"callgrind counted nothing:\n{ended.stderr[-2000:]}"
        raise RuntimeError(msg)
    return int(found[1]) / OPERATIONS


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
