"""Runs the benchmarks: ``python -m benchmarks [--quick | --full] [--out build/bench] [--update-reference]``."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import parts
from benchmarks.report import exceeded, machine, read_reference, update_reference, write
from benchmarks.results import Results

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.parts import Part

FLOWS, ALL_FLOWS = 40_000, 1_000_000
_BEGAN = time.monotonic()


def _say(text: str) -> None:
    print(f"{time.monotonic() - _BEGAN:5.0f} s  {text}", flush=True)


def confirmed(tried: list[Part], results: Results, reference: Mapping[str, list[float]]) -> list[str]:
    """Return a line for each value that is too high, and is so again when it is measured a second time.

    A burst of load that met one measurement does not meet both; a regression does.
    """
    suspects = exceeded(results.rows.values(), reference)
    again = Results()
    for part in tried:
        if part.again and suspects.keys() & set(part.keys):
            _say(f"{part.title}, again")
            part.run(again)
    for key in suspects.keys() & again.rows.keys():
        results.rows[key] = min(results.rows[key], again.rows[key], key=lambda row: row.estimate.low)
    return list(exceeded(results.rows.values(), reference).values())


def main() -> int:
    """Run what is asked for; return 1 if a value is certainly above its budget and its reference."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--quick", action="store_true", help="the essential ratios, in less than 90 seconds")
    length.add_argument("--full", action="store_true", help=f"memory after {ALL_FLOWS:,} flows instead of {FLOWS:,}")
    parser.add_argument("--out", type=Path, default=Path("build/bench"), help="where results go (%(default)s)")
    parser.add_argument("--no-instructions", action="store_true", help="do not run callgrind")
    parser.add_argument(
        "--update-reference",
        action="store_true",
        help="write the values as the new reference, and the results into docs/benchmarks.md",
    )
    arguments = parser.parse_args()
    out = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    flows = ALL_FLOWS if arguments.full else FLOWS
    tried = parts.quick() if arguments.quick else parts.whole(out, flows=flows, counted=not arguments.no_instructions)
    results, described = Results(), machine()
    for part in tried:
        _say(part.title)
        part.run(results)
    failures = [] if arguments.update_reference else confirmed(tried, results, read_reference())
    write(out, results, described)
    if arguments.update_reference:
        update_reference(results, out, described)
    print((out / "results.md").read_text(encoding="utf-8"))
    for failure in failures:
        print(failure, file=sys.stderr)
    _say(f"done; {out} has the tables and plots")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
