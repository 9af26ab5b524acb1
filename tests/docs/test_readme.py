"""Every program in the handwritten pages and every command of the README runs, and the first run shows what it says."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from pages import BLOCKS, NAMES, ROOT, Block, environment, free_port, page, wait_until_listening

import make_wheels
import otel_oauth

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from pathlib import Path

PROGRAMS = [block for block in BLOCKS if block.language == "python"]
COMMANDS = [block for block in BLOCKS if block.language == "bash"]


@pytest.mark.parametrize("block", PROGRAMS, ids=lambda block: f"{block.page}:{block.line}")
def test_program_runs(block: Block, tmp_path: Path) -> None:
    program = tmp_path / "test_block.py"
    program.write_text(block.text, encoding="utf-8")
    is_test = "def test_" in block.text
    command = ["-m", "pytest", "-q", "-p", "no:cacheprovider", f"--rootdir={tmp_path}"] if is_test else ["-W", "error"]
    raising = {"OTEL_OAUTH_RAISE_INTERNAL_ERRORS": "1"}
    done = subprocess.run(
        [sys.executable, *command, str(program)],
        cwd=tmp_path,
        env=environment(tmp_path, **raising),
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""


def test_there_are_programs_and_commands() -> None:
    assert len([block for block in PROGRAMS if block.page == "README.md"]) >= 4
    assert {block.language for block in BLOCKS} <= {"bash", "python", "text", "promql", "logql", ""}
    assert len(COMMANDS) >= 5


def test_every_make_command_is_a_target() -> None:
    phony = re.search(r"^\.PHONY:(.*)$", page("Makefile"), re.MULTILINE)
    assert phony is not None
    targets = set(phony[1].split())
    named = re.findall(r"^make ([a-z-]+)", "\n".join(block.text for block in COMMANDS), re.MULTILINE)
    named += re.findall(r"`make ([a-z-]+)[^`]*`", "".join(page(name) for name in NAMES))
    assert {"demo", "test", "wheels", "venv"} <= set(named)
    assert set(named) <= targets


def test_every_other_command_is_run_by_these_tests() -> None:
    others = [
        line
        for block in COMMANDS
        for line in block.text.replace("\\\n", " ").splitlines()
        if not line.startswith(("make ", "export "))
    ]
    login = ".venv/bin/opentelemetry-instrument .venv/bin/python examples/first_login/"
    run_here = (
        login,
        "curl ",
        "pip install 'build/dist/",  # see the test after the next
        "otelcol --config=",  # the tests of the pipeline run and validate these three
        "docker compose -f collector/compose.yaml",
        "PYTHONPATH=tools python -m stack.kubernetes",
    )
    assert [line for line in others if not line.startswith(run_here)] == []


def test_the_wheels_in_the_install_command_have_these_extras() -> None:
    version = otel_oauth.__version__
    found = dict(
        re.findall(rf"build/dist/(\w+)-{re.escape(version)}-py3-none-any\.whl\[([\w,-]+)\]", page("README.md"))
    )
    places = {
        "otel_oauth": "",
        "otel_oauth_authlib": "instrumentation/authlib/",
        "otel_oauth_httpx": "instrumentation/httpx/",
    }
    assert set(found) == set(places)
    for name, path in places.items():
        project = tomllib.loads(page(f"{path}pyproject.toml"))["project"]
        assert set(found[name].split(",")) <= set(project["optional-dependencies"])


@pytest.mark.slow
def test_make_wheels_builds_what_the_install_command_names(tmp_path: Path) -> None:
    built = {wheel.name for wheel in make_wheels.build(tmp_path / "dist")}
    assert built == set(re.findall(r"build/dist/([\w.-]+\.whl)", page("README.md")))


# The first run, as it stands in the README ----------------------------------------------------------------------------


def _block_with(text: str) -> str:
    return next(block.text for block in BLOCKS if block.page == "README.md" and text in block.text)


@pytest.mark.skipif(not all(map(shutil.which, ("bash", "curl"))), reason="there is no bash or no curl here")
def test_the_first_run_is_what_the_readme_says(tmp_path: Path) -> None:
    (tmp_path / ".venv").symlink_to(sys.prefix)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    ports = {"8001": str(free_port()), "9464": str(free_port())}
    variables = environment(tmp_path, OTEL_EXPORTER_PROMETHEUS_PORT=ports["9464"])

    def start(part: str) -> subprocess.Popen[str]:
        text = _block_with(part)
        for default, port in ports.items():
            text = text.replace(default, port)
        command = ["bash", "-euo", "pipefail", "-c", text]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        return subprocess.Popen(command, cwd=tmp_path, env=variables, text=True, start_new_session=True, **pipes)

    server = start("server.py")
    try:
        for port in ports.values():
            wait_until_listening(int(port), server)
        with start("login.py") as login:
            shown = login.communicate(timeout=30)[0]
        with start("curl") as curl:
            metrics = curl.communicate(timeout=20)[0].splitlines()
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        said = server.communicate(timeout=20)[0]
    assert (login.returncode, curl.returncode) == (0, 0), shown + said
    assert "the first refresh token again: invalid_grant" in shown
    for span in ("oauth.authorize", "oauth.code_exchange", "oauth.api", "oauth.refresh"):
        assert f'"name": "{span} 127.0.0.1"' in shown
    promised = _block_with("oauth_http_requests_total{").splitlines()
    assert len(promised) > 5
    assert [line for line in promised if line not in metrics] == [], metrics
    assert not re.search(r"Traceback|otel-oauth:", said + shown)
