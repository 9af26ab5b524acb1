"""Build the wheels of all distributions into one directory: `python tools/make_wheels.py build/dist`."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from workspace import DISTRIBUTIONS


def build(directory: Path) -> list[Path]:
    """Build all wheels into `directory`, emptied first, with the locked backend; return their paths."""
    shutil.rmtree(directory, ignore_errors=True)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(directory)]
    for distribution in DISTRIBUTIONS:
        subprocess.run([*command, str(distribution)], check=True, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    return sorted(directory.glob("*.whl"))


if __name__ == "__main__":
    for wheel in build(Path(sys.argv[1] if sys.argv[1:] else "build/dist").absolute()):
        print(wheel)
