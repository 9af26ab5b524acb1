"""What `make` says when it cannot do its work, and that the environment is made once only."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MAKE = shutil.which("make")
pytestmark = pytest.mark.skipif(MAKE is None, reason="there is no make here")


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(
        [str(MAKE), *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)
    return str(path)


def test_missing_interpreter_is_said(tmp_path: Path) -> None:
    done = make("venv", f"PYTHON={tmp_path}/no-python", f"VENV={tmp_path}/venv")
    assert done.returncode != 0
    assert f'There is no "{tmp_path}/no-python" here. Python 3.10 or newer is needed' in done.stderr
    assert not (tmp_path / "venv").exists()


def test_old_interpreter_is_said(tmp_path: Path) -> None:
    old = script(tmp_path / "python3.8", "exit 1")
    done = make("venv", f"PYTHON={old}", f"VENV={tmp_path}/venv")
    assert done.returncode != 0
    assert "Python 3.10 or newer is needed" in done.stderr
    assert "Traceback" not in done.stderr


def test_foreign_directory_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "work.txt").write_text("mine", encoding="utf-8")
    done = make("venv", f"PYTHON={sys.executable}", f"VENV={tmp_path}")
    assert done.returncode != 0
    assert "is no virtual environment" in done.stderr
    assert (tmp_path / "work.txt").read_text(encoding="utf-8") == "mine"


def test_finished_environment_is_kept(tmp_path: Path) -> None:
    fingerprint = subprocess.run(
        [sys.executable, "-c", "import make_venv; print(make_venv.fingerprint(), end='')"],
        cwd=ROOT / "tools",
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    (tmp_path / ".otel-oauth-stamp").write_text(fingerprint, encoding="ascii")
    done = make("venv", f"PYTHON={sys.executable}", f"VENV={tmp_path}")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_help_names_every_target() -> None:
    phony = next(line for line in (ROOT / "Makefile").read_text(encoding="utf-8").splitlines() if ".PHONY" in line)
    described = make("help").stdout
    assert [target for target in phony.split()[1:] if target != "help" and target not in described] == []
