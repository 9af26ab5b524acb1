"""Make the virtual environment of this checkout: the locked packages, then our distributions, editable.

Run by the Makefile with the interpreter that the environment shall have: `python3 tools/make_venv.py .venv`.
It returns at once when the environment is there and nothing that went into it has changed.
"""

from __future__ import annotations

import hashlib
import importlib.util
import subprocess
import sys
import venv
from pathlib import Path

from workspace import DISTRIBUTIONS, LOCK, ROOT


class CannotMakeError(Exception):
    """The environment cannot be made; the message tells the user what to do about it."""


def fingerprint() -> str:
    """Return a digest of what the environment is made from: interpreter, lock, our metadata."""
    digest = hashlib.sha256(f"{sys.base_prefix} {sys.version} {ROOT}".encode())
    for path in (LOCK, *(distribution / "pyproject.toml" for distribution in DISTRIBUTIONS)):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def run(*command: str | Path) -> None:
    """Run a command of the new environment; CannotMakeError if it fails (its own output says why)."""
    result = subprocess.run([str(part) for part in command], check=False, stdin=subprocess.DEVNULL)
    if result.returncode:
        message = f"this command failed: {' '.join(str(part) for part in command)}"
        raise CannotMakeError(message)


def make(directory: Path) -> None:
    """Create the environment in `directory` and install everything into it."""
    if directory.exists() and not (directory / "pyvenv.cfg").exists() and any(directory.iterdir()):
        message = f"{directory} exists and is no virtual environment: move it away, or give VENV=…"
        raise CannotMakeError(message)
    if importlib.util.find_spec("ensurepip") is None:
        message = (
            f"{sys.executable} has no ensurepip, which virtual environments need: install it "
            "(on Debian and Ubuntu the package python3-venv), or give another interpreter: make PYTHON=…"
        )
        raise CannotMakeError(message)
    print(f"Making {directory} with Python {sys.version.split()[0]}: a minute or two, once.", flush=True)
    venv.create(directory, clear=True, with_pip=True, symlinks=sys.platform != "win32")
    python = directory / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    pip = (python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet")
    run(*pip, "--require-hashes", "--requirement", LOCK)
    editable = [part for distribution in DISTRIBUTIONS for part in ("--editable", distribution)]
    run(*pip, "--no-build-isolation", "--no-deps", *editable)


def main(arguments: list[str]) -> int:
    """Make or keep the environment named in `arguments`; return the exit status."""
    directory = Path(arguments[0] if arguments else ".venv").absolute()
    stamp = directory / ".otel-oauth-stamp"
    wanted = fingerprint()
    if stamp.is_file() and stamp.read_text(encoding="ascii") == wanted:
        return 0
    try:
        make(directory)
    except CannotMakeError as error:
        print(f"No virtual environment: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(
            "Interrupted: the virtual environment is not complete, the next make starts it again.",
            file=sys.stderr,
        )
        return 130
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"No virtual environment in {directory}: {error}", file=sys.stderr)
        return 1
    stamp.write_text(wanted, encoding="ascii")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
