"""Run the tests of the plugins against other versions than the lock's: `python tools/matrix.py --corners`.

Each file of requirements/matrix replaces some pins of the lock: `authlib-1.3.txt` puts Authlib 1.3 in the place of
the newest, `httpx-0.24.txt` httpx 0.24, `floors.txt` the oldest version of everything that our distributions allow.
Each of them with each Python that tools/interpreters.py finds is one cell, with an environment of its own below
build/matrix.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import interpreters
from workspace import DISTRIBUTIONS, LOCK, ROOT

if TYPE_CHECKING:
    from pathlib import Path

OVERRIDES = ROOT / "requirements" / "matrix"
BUILT = ROOT / "build" / "matrix"
PLUGINS = ("tests/plugins", "tests/e2e")
HTTPX = ("tests/plugins/httpx",)
OF_LIBRARY = {"authlib": ("tests/plugins/authlib", "tests/e2e"), "httpx": HTTPX, "httpx2": HTTPX, "mcp": HTTPX}
TESTS = {
    "floors": ("tests/core", *PLUGINS, "--ignore=tests/core/test_prometheus.py"),  # its exporter needs a newer SDK
    "floors-prometheus": ("tests/core/test_prometheus.py", "tests/core/test_telemetry.py"),
}
UV = (sys.executable, "-m", "uv", "--quiet")


def release(name: str) -> tuple[int, ...]:
    """Return the numbers in a name such as `authlib-1.10` or `3.9`, to sort by."""
    return tuple(int(number) for number in re.findall(r"\d+", name))


@dataclass(frozen=True)
class Cell:
    """One Python with one set of replaced pins."""

    minor: str
    interpreter: str
    name: str

    @property
    def library(self) -> str:
        """The library whose version is replaced; the whole name where it is more than one."""
        return self.name if self.name in TESTS else self.name.rpartition("-")[0]

    @property
    def tests(self) -> tuple[str, ...]:
        """The tests that this cell runs."""
        return TESTS.get(self.name) or OF_LIBRARY[self.library]

    @cached_property
    def overrides(self) -> Path:
        """The file with the replaced pins."""
        return OVERRIDES / f"{self.name}.txt"

    @cached_property
    def directory(self) -> Path:
        """Where the environment is."""
        return BUILT / f"{self.minor}-{self.name}"

    @cached_property
    def python(self) -> Path:
        """The interpreter of the environment."""
        return self.directory / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")

    def make(self) -> None:
        """Make the environment unless it is there and made of the same; CalledProcessError if it cannot be made."""
        made_of = (LOCK, self.overrides, *(distribution / "pyproject.toml" for distribution in DISTRIBUTIONS))
        parts = (self.interpreter.encode(), *(path.read_bytes() for path in made_of))
        wanted = hashlib.sha256(b"\0".join(parts)).hexdigest()
        stamp = self.directory / ".stamp"
        if stamp.is_file() and stamp.read_text(encoding="ascii") == wanted:
            return
        run(*UV, "venv", "--clear", "--python", self.interpreter, self.directory)
        install = (*UV, "pip", "install", "--python", self.python)
        run(*install, "--requirement", LOCK, "--override", self.overrides)
        editable = [part for distribution in DISTRIBUTIONS for part in ("--editable", distribution)]
        run(*install, "--no-deps", "--no-build-isolation", *editable)
        stamp.write_text(wanted, encoding="ascii")

    def wrong_pins(self) -> list[str]:
        """Return the replaced pins that are not what the environment has: the cell would test something else."""
        listed = subprocess.run(
            [*UV, "pip", "freeze", "--python", self.python], check=True, capture_output=True, text=True
        ).stdout.split()
        pins = re.findall(r"^[\w.-]+==\S+$", self.overrides.read_text(encoding="utf-8"), re.MULTILINE)
        return [pin for pin in pins if pin not in listed]

    def test(self, arguments: list[str]) -> tuple[bool, str, str]:
        """Run the tests; return whether they passed, pytest's last line and all that it wrote."""
        options = ("-q", "-m", "not slow", "-p", "no:cacheprovider")
        command = [str(self.python), "-m", "pytest", *options, *self.tests, *arguments]
        done = subprocess.run(
            command, cwd=ROOT, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL, env=environment()
        )
        written = done.stdout + done.stderr
        return done.returncode == 0, written.strip().rpartition("\n")[2], written


def environment() -> dict[str, str]:
    """Return the environment for the tests: what is set for this process's own Python would mislead another."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}


def run(*command: str | Path) -> None:
    """Run a command that must succeed."""
    subprocess.run([str(part) for part in command], check=True, stdin=subprocess.DEVNULL, env=environment())


def cells(options: argparse.Namespace) -> list[Cell]:
    """Return the cells that were asked for."""
    found = {minor: path for minor, (_, path) in interpreters.find().items()}
    pythons = sorted(found, key=release)
    names = sorted((path.stem for path in OVERRIDES.glob("*.txt")), key=lambda name: (name in TESTS, release(name)))
    # A release as old as the floors has no wheels for newer Pythons.
    every = [Cell(minor, found[minor], name) for name in names for minor in pythons[: 1 if name in TESTS else None]]
    if options.corners:
        # The newest of each library is the lock's: with it `make test` runs all tests, on each Python.
        oldest = {cell.library: cell.name for cell in reversed(every)}
        ends = {"authlib": {*pythons[::-1][:1], *pythons[:1]}}
        return [
            cell
            for cell in every
            if cell.name == oldest[cell.library] and cell.minor in ends.get(cell.library, pythons[:1])
        ]
    asked_pythons, asked_names = options.python or list(found), options.against or names
    for asked, known in ((asked_pythons, found), (asked_names, names)):
        unknown = [name for name in asked if name not in known]
        if unknown:
            sys.exit(f"There is no {' '.join(unknown)} here; there are {' '.join(known)}.")
    return [cell for cell in every if cell.minor in asked_pythons and cell.name in asked_names]


def passes(cell: Cell, arguments: list[str]) -> bool:
    """Make and test one cell, and print a line on it; what pytest wrote too if something failed."""
    began = time.monotonic()
    try:
        cell.make()
    except subprocess.CalledProcessError as error:
        print(f"FAILED Python {cell.minor:5} {cell.name:12} no environment: {error}", flush=True)
        return False
    wrong = cell.wrong_pins()
    if wrong:
        print(f"FAILED Python {cell.minor:5} {cell.name:12} not installed: {' '.join(wrong)}", flush=True)
        return False
    passed, summary, written = cell.test(arguments)
    if not passed:
        print(written)
    said = f"{'passed' if passed else 'FAILED'} Python {cell.minor:5} {cell.name:12}"
    print(f"{said} {time.monotonic() - began:4.0f} s: {summary}", flush=True)
    return passed


def main(arguments: list[str]) -> int:
    """Run the cells one after the other; return 1 if one of them failed."""
    parser = argparse.ArgumentParser(description="Test the plugins against other versions than the lock's.")
    parser.add_argument("--corners", action="store_true", help="the oldest of each library, and the floors")
    parser.add_argument("--python", nargs="+", metavar="3.x", help="only these Pythons")
    parser.add_argument("--against", nargs="+", metavar="NAME", help="only these files of requirements/matrix")
    parser.add_argument("--jobs", default="2", help="processes of pytest")
    options, passed_on = parser.parse_known_args(arguments)
    chosen = cells(options)
    failed = [cell for cell in chosen if not passes(cell, ["-n", options.jobs, *passed_on])]
    print(f"{len(chosen) - len(failed)} of {len(chosen)} passed")
    return 1 if failed or not chosen else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
