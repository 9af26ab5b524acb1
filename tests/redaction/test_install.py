"""How redaction begins: under ``opentelemetry-instrument`` before everything else, in code with an instrumentor."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

PROGRAM = """
import logging
logging.basicConfig(level=logging.INFO)
logging.getLogger("shop").info("code=%s", "8fJ2kd93JfkQ01xy")
"""
INSTRUMENT = str(Path(sys.executable).with_name("opentelemetry-instrument"))


def run(*command: str, program: str, **environment: str) -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    nothing = {f"OTEL_{signal}_EXPORTER": "none" for signal in ("TRACES", "METRICS", "LOGS")}
    env = {**kept, **nothing, "OTEL_OAUTH_LEDGER": "memory", **environment}
    done = subprocess.run(
        [*command, sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True
    )
    return done.stderr


@pytest.mark.slow
def test_the_command_redacts_from_the_beginning() -> None:
    (entry,) = entry_points(group="opentelemetry_pre_instrument", name="otel_oauth")
    assert entry.value == "otel_oauth._attach:pre_instrument"
    said = run(INSTRUMENT, program=PROGRAM)
    assert "INFO:shop:code=[redacted:code:" in said


@pytest.mark.slow
def test_it_is_in_force_although_an_instrumentor_fails(tmp_path: Path) -> None:
    """One that raises ends the loading of all others, and the hook after them is never reached."""
    installed = tmp_path / "broken-1.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1\n", encoding="utf-8")
    (installed / "entry_points.txt").write_text(
        "[opentelemetry_instrumentor]\na_broken = broken:One\n", encoding="utf-8"
    )
    (tmp_path / "broken.py").write_text("raise RuntimeError('broken')\n", encoding="utf-8")
    said = run(INSTRUMENT, program=PROGRAM, PYTHONPATH=str(tmp_path))
    assert "RuntimeError: broken" in said
    assert "records OAuth operations" not in said
    assert "INFO:shop:code=[redacted:code:" in said


def test_an_instrumentor_in_code_begins_it_too() -> None:
    program = "from otel_oauth_authlib import AuthlibInstrumentor\nAuthlibInstrumentor().instrument()\n" + PROGRAM
    assert "INFO:shop:code=[redacted:code:" in run(program=program)


@pytest.mark.slow
def test_it_can_be_switched_off_for_both() -> None:
    assert "INFO:shop:code=8fJ2" in run(INSTRUMENT, program=PROGRAM, OTEL_OAUTH_REDACTION="off")
    program = "from otel_oauth_authlib import AuthlibInstrumentor\nAuthlibInstrumentor().instrument(redaction='off')\n"
    assert "INFO:shop:code=8fJ2" in run(program=program + PROGRAM)
