"""Runs the benchmarks: ``python -m benchmarks [--quick] [--out build/bench] [--update-reference]``."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyperf

from benchmarks import instructions
from benchmarks.attach import measure_attach
from benchmarks.budgets import BY_KEY
from benchmarks.growth import curves
from benchmarks.memory import measure_memory
from benchmarks.report import Row, exceeded, machine, read_reference, update_reference, write
from benchmarks.rounds import Estimate, Measured, measure
from benchmarks.variants import variants
from benchmarks.workloads import WORKLOADS

QUICK = ("server_client_credentials", "server_refresh", "httpx_refresh", "requests_refresh", "httpx_plain")
COUNTED = ("server_client_credentials", "server_code", "httpx_refresh")
UNSAMPLED = {"server_client_credentials": "server_unsampled", "httpx_refresh": "httpx_unsampled"}


def _say(text: str) -> None:
    print(f"{time.monotonic() - _BEGAN:5.0f} s  {text}", flush=True)


_BEGAN = time.monotonic()


def macro(*, quick: bool) -> tuple[dict[str, Measured], list[Row]]:
    """Measure the workloads; return what was measured, and the ratios."""
    measured, rows = {}, []
    for name in QUICK if quick else WORKLOADS:
        _say(name)
        unsampled = name in UNSAMPLED
        workload = WORKLOADS[name]
        tried = variants(workload, unsampled=unsampled)
        found = measured[name] = measure(tried, rounds=12 if quick else 40, operations=workload.operations)
        if name in BY_KEY:
            plain = name == "httpx_plain"
            rows.append(Row(name, found.share("ours") if plain else found.ratio("ours", "stock")))
        if unsampled:
            rows.append(Row(UNSAMPLED[name], found.ratio("unsampled", "stock")))
    return measured, rows


def micro(out: Path, *, quick: bool) -> tuple[dict[str, Estimate], list[Row]]:
    """Let pyperf measure the single steps; return their seconds, and the ratio of the counter."""
    _say("single steps (pyperf)")
    target = out / "micro.json"
    target.unlink(missing_ok=True)
    effort = ["-p", "2", "-n", "3", "-w", "1", "--min-time", "0.02"] if quick else ["-p", "4", "-n", "3", "-w", "1"]
    subprocess.run(
        [sys.executable, "-m", "benchmarks.micro", "-q", "-o", str(target), *effort],
        check=True,
        env={**os.environ, "BENCH_QUICK": "1" if quick else "0"},
        stdout=subprocess.DEVNULL,
    )
    found: dict[str, Estimate] = {}
    for bench in pyperf.BenchmarkSuite.load(str(target)).get_benchmarks():
        values = sorted(bench.get_values())
        found[bench.get_name()] = Estimate(bench.median(), values[0], values[-1])
    ours, sdk = found["counter ours"], found["counter sdk"]
    return found, [Row("counter", Estimate(ours.value / sdk.value, ours.low / sdk.high, ours.high / sdk.low))]


def counted() -> dict[str, dict[str, float]]:
    """Count instructions, where valgrind is there."""
    if not instructions.available():
        _say("no instruction counts: valgrind is not installed")
        return {}
    found: dict[str, dict[str, float]] = {}
    for name in COUNTED:
        _say(f"instructions of {name} (callgrind)")
        found[name] = {variant: instructions.count(name, variant) for variant in ("bare", "stock", "ours")}
    return found


def main() -> int:
    """Run what is asked for; return 1 if a ratio exceeds its budget by more than the noise, or left its reference."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the essential ratios, in less than 90 seconds")
    parser.add_argument("--out", type=Path, default=Path("build/bench"), help="where results go (%(default)s)")
    parser.add_argument("--no-instructions", action="store_true", help="do not run callgrind")
    parser.add_argument(
        "--update-reference",
        action="store_true",
        help="write the ratios as the new reference, and the results into docs/benchmarks.md",
    )
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    measured, rows = macro(quick=arguments.quick)
    steps, counter_rows = micro(arguments.out, quick=arguments.quick)
    _say("attaching")
    attach = measure_attach(4 if arguments.quick else 15)
    rows += [*counter_rows, Row("attach", attach.overhead("ours"))]
    growth, memory = {}, {}
    if not arguments.quick:
        _say("growth")
        growth = curves()
        _say("memory")
        memory = measure_memory(1_000_000)
        left = memory["megabytes"]
        rows.append(Row("memory", Estimate(left, left, left)))
    counts = {} if arguments.quick or arguments.no_instructions else counted()
    results: dict[str, Any] = {"measured": measured, "steps": steps, "attach": attach, "instructions": counts}
    results |= {"growth": growth, "memory": memory}
    described = machine()
    write(arguments.out, rows, described, **results)
    if arguments.update_reference:
        update_reference(rows, arguments.out, described)
    failures = exceeded(rows, read_reference())
    print((arguments.out / "results.md").read_text(encoding="utf-8"))
    for failure in failures:
        print(failure, file=sys.stderr)
    _say(f"done; {arguments.out} has the tables and plots")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
