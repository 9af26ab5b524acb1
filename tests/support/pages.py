"""The handwritten pages of the documentation, taken apart for the tests."""

from __future__ import annotations

import os
import re
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/*.md", "examples/*.md", "instrumentation/*/README.md")
    for path in ROOT.glob(pattern)
)
NAMES = [str(path.relative_to(ROOT)) for path in PAGES]


class Block(NamedTuple):
    """One fenced block of a page."""

    page: str
    line: int
    language: str
    text: str


def _blocks() -> Iterator[Block]:
    fence = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    for name, path in zip(NAMES, PAGES, strict=True):
        content = path.read_text(encoding="utf-8")
        for found in fence.finditer(content):
            yield Block(name, content.count("\n", 0, found.start()) + 1, *found.groups())


BLOCKS = list(_blocks())


def page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def rows(name: str) -> list[list[str]]:
    """Return the cells of every table row of a page."""
    return [
        [cell.strip() for cell in line.strip().strip("|").split("|")]
        for line in page(name).splitlines()
        if line.startswith("|")
    ]


def environment(directory: Path, **variables: str) -> dict[str, str]:
    """Return an environment without telemetry settings, whose ledger lives and ends with the test."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    kept.pop("XDG_RUNTIME_DIR", None)
    # The README does not install the stock log handler, the development lock does: its last flush starts a thread,
    # which Python 3.12 refuses at the end of the interpreter, with a traceback (docs/troubleshooting.md).
    stock = {"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "logging"} if sys.version_info[:2] == (3, 12) else {}
    return {**kept, **stock, "TMPDIR": str(directory), "PYTHONPATH": str(ROOT / "examples"), **variables}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def wait_until_listening(port: int, process: subprocess.Popen[str]) -> None:
    """Wait until something listens on a loopback port; fail if the process ends before."""
    deadline = time.monotonic() + 20
    while not _listens(port):
        assert process.poll() is None, "the server ended"
        assert time.monotonic() < deadline, f"nothing listens on port {port}"
        time.sleep(0.05)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("localhost", port), timeout=1).close()
    except OSError:
        return False
    return True
