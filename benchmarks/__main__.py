"""Runs the benchmarks: ``python -m benchmarks [--quick | --full | --instructions] [--update-reference]``."""

from __future__ import annotations

import argparse
import pickle
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import instructions, parts
from benchmarks.report import (
    exceeded,
    machine,
    proposals,
    read_reference,
    update_page,
    update_reference,
    write,
)
from benchmarks.results import Results

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from benchmarks.parts import Part

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


@dataclass(frozen=True)
class Run:
    """One run: which parts, what they measured, on what machine; and which values were too high, twice."""

    kind: str
    results: Results
    machine: dict[str, Any]
    failures: tuple[str, ...]


def _run(kind: str, out: Path, *, confirm: bool) -> Run:
    kinds: dict[str, Callable[[], list[Part]]] = {
        "quick": parts.quick,
        "full": parts.full,
        "instructions": parts.counted,
        "whole": partial(parts.whole, out),
    }
    tried = kinds[kind]()
    results, described = Results(), machine()
    for part in tried:
        _say(part.title)
        part.run(results)
    failures = confirmed(tried, results, read_reference()) if confirm else []
    return Run(kind, results, described, tuple(failures))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--quick", action="store_true", help="only the essential ratios, in less than 90 seconds")
    which.add_argument("--full", action="store_true", help=f"only the memory, after {parts.ALL_FLOWS:,} flows")
    which.add_argument("--instructions", action="store_true", help="only the instructions, which callgrind counts")
    which.add_argument("--measured", action="store_true", help="measure nothing: write what the run before measured")
    parser.add_argument("--out", type=Path, default=Path("build/bench"), help="where results go (%(default)s)")
    parser.add_argument(
        "--update-reference",
        action="store_true",
        help="write the values as the new reference, and the results into docs/benchmarks.md",
    )
    arguments = parser.parse_args()
    if arguments.update_reference and arguments.quick:
        parser.error("the short run is no reference")
    if arguments.instructions and not instructions.available():
        parser.error("valgrind is not installed")
    return arguments


def main() -> int:
    """Run what is asked for; return 1 if a value is certainly above what is allowed."""
    arguments = _arguments()
    out = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    kept = out / "results.pickle"
    if arguments.measured:
        run: Run = pickle.loads(kept.read_bytes())  # noqa: S301 this program's own
    else:
        kind = next((name for name in ("quick", "full", "instructions") if getattr(arguments, name)), "whole")
        run = _run(kind, out, confirm=not arguments.update_reference)
        if not arguments.quick:
            kept.write_bytes(pickle.dumps(run))
    write(out, run.results, run.machine)
    if arguments.update_reference:
        update_page(run.kind, run.results, out, run.machine)
        if run.kind == "whole":
            update_reference(run.results)
    print((out / "results.md").read_text(encoding="utf-8"))
    for line in (*proposals(run.results.rows.values()), *run.failures):
        print(line, file=sys.stderr)
    _say(f"done; {out} has the tables and plots")
    return 1 if run.failures else 0


if __name__ == "__main__":
    sys.exit(main())
