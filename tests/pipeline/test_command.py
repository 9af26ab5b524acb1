"""``make stack`` with the real programs: what it says, and that Ctrl-C stops all of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from pipeline_run import wait_until

from stack import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.stack, pytest.mark.timeout(400)]

PROGRAM = """
import pathlib, sys
import stack
stack.BUILD = pathlib.Path(sys.argv[1])  # the rest of its modules take it from there
from stack.__main__ import main
sys.exit(main(sys.argv[2:]))
"""


class Command:
    """The command under way, with data of its own."""

    def __init__(self, place: Path) -> None:
        self.said: list[str] = []
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(str(REPOSITORY / name) for name in ("tools", "examples")),
        }
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(place)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as output:
            self.said.extend(iter(output.readline, ""))

    def says(self, words: str) -> bool:
        return any(words in line for line in list(self.said)) or self.process.poll() is not None

    def end(self) -> int:
        self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(120)
        finally:
            self.process.kill()
            self._reader.join()


def runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_ctrl_c_stops_everything_that_was_started(binaries: Path, tmp_path: Path) -> None:
    assert binaries.is_dir()
    command = Command(tmp_path)
    try:
        wait_until(lambda: command.says("ready after"), 240, "the stack is ready")
        pids = {path.stem: int(path.read_text()) for path in (tmp_path / "data").glob("*.pid")}
        assert {"loki", "prometheus", "zipkin", "collector"} <= pids.keys(), "".join(command.said)
        assert all(runs(pid) for pid in pids.values())
    finally:
        status = command.end()
    assert (status, command.said[-1]) == (0, "stopped: nothing is left running\n")
    assert [name for name, pid in pids.items() if runs(pid)] == []
