"""The small programs of examples/ do what they say, also without telemetry; each has its line in examples/README.md."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
import requests
from pages import ROOT, environment, free_port, page, wait_until_listening

from otel_oauth.catalogue import DOCUMENTED

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOGIN_SAYS = "logged in as Alice\nrefreshed twice\nthe first refresh token again: invalid_grant\n"


@contextmanager
def serving(directory: Path, *program: str) -> Iterator[str]:
    """Run a server of the examples on a free port; give its address, and end it."""
    port = free_port()
    command = [sys.executable, "-W", "error", *program, "--port", str(port)]
    options = {"cwd": ROOT, "env": environment(directory), "text": True}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options) as process:
        try:
            wait_until_listening(port, process)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.send_signal(signal.SIGTERM)
            said = process.stdout.read()
    assert f"listens on http://127.0.0.1:{port}\n" in said
    assert "Traceback" not in said, said


def login(directory: Path, address: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "examples/first_login/login.py", address],
        cwd=ROOT,
        env=environment(directory),
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.stderr == ""
    return done.stdout


@pytest.mark.slow
def test_the_first_login_works_without_telemetry(tmp_path: Path) -> None:
    with serving(tmp_path, "examples/first_login/server.py") as server:
        assert login(tmp_path, server) == LOGIN_SAYS
        assert requests.get(f"{server}/metrics", timeout=5).status_code == 404
        refused = requests.get(f"{server}/authorize?client_id=nobody&response_type=code", timeout=5)
        assert (refused.status_code, refused.json()["error"]) == (400, "invalid_client")


def test_in_code_serves_the_metrics_at_its_own_address(tmp_path: Path) -> None:
    with serving(tmp_path, "-m", "in_code") as server:
        assert login(tmp_path, server) == LOGIN_SAYS
        lines = requests.get(f"{server}/metrics", timeout=5).text.splitlines()
    assert 'oauth_code_exchanged{client_id="shop",pkce_method="S256"} 1.0' in lines
    assert 'oauth_security_events_total{event_type="token_reuse",severity="critical"} 1.0' in lines
    assert "storage_tokens_count 3.0" in lines


def test_the_manual_example_records_all_39(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "manual_api"],
        cwd=ROOT,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
        timeout=40,
    )
    assert (done.returncode, done.stderr) == (0, "")
    moved = {line.partition("{")[0] for line in done.stdout.splitlines()}
    assert [metric.name for metric in DOCUMENTED if metric.name not in moved] == []


@pytest.mark.parametrize("directory", sorted(path.parent.name for path in ROOT.glob("examples/*/__init__.py")))
def test_every_example_has_its_line(directory: str) -> None:
    assert f"- [{directory}]({directory})" in page("examples/README.md")


@pytest.mark.parametrize(
    "program", sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("examples/first_login/*.py"))
)
def test_the_first_login_knows_nothing_of_telemetry(program: str) -> None:
    assert not re.search(r"^\s*(from|import) (opentelemetry|otel_)", page(program), re.MULTILINE)
