"""The processes of the stack: started, waited for, watched and stopped."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from http.client import HTTPException
from typing import TYPE_CHECKING
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

from stack import StackError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

START_SECONDS = 180.0
STOP_SECONDS = 15.0
POLL_SECONDS = 0.1
LINES = 15
OK = 200

_direct = build_opener(ProxyHandler({}))  # loopback is never behind a proxy


def answers(url: str) -> bool:
    """Tell whether ``url`` answers 200."""
    try:
        with _direct.open(url, timeout=2) as answer:
            return bool(answer.status == OK)
    except (URLError, HTTPException, OSError):
        return False


class Child:
    """One process of the stack, with a log of its own.

    It has a session of its own, so that Ctrl-C reaches the stack alone, which then stops all in order.

    :param ready: the URL that answers 200 when it is ready.
    :param place: where its log and the number of its process are written.
    """

    def __init__(
        self, name: str, command: Sequence[str], ready: str, place: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.log = place / f"{name}.log"
        self._command = [shutil.which(command[0]) or command[0], *command[1:]]
        self._ready = ready
        self._pid_file = place / f"{name}.pid"
        self._environment = {**os.environ, **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The number of the process; 0 if it does not run."""
        return self._process.pid if self._process is not None else 0

    def start(self) -> None:
        """Start it; :meth:`wait_until_ready` waits for it.

        :raises StackError: if it cannot be started.
        """
        self.log.parent.mkdir(parents=True, exist_ok=True)
        _stop_left_over(self._pid_file, self._command[0])
        with self.log.open("ab") as output:
            try:
                self._process = subprocess.Popen(
                    self._command,
                    env=self._environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            except OSError as error:
                message = f"{self.name} cannot be started: {os.strerror(error.errno or 0)}: {self._command[0]}"
                raise StackError(message) from None
        self._pid_file.write_text(str(self._process.pid))

    def wait_until_ready(self, seconds: float = START_SECONDS) -> None:
        """Wait until it is ready.

        :raises StackError: if it ends instead, or takes too long.
        """
        deadline = time.monotonic() + seconds
        while not answers(self._ready):
            self.check()
            if time.monotonic() > deadline:
                message = f"{self.name} was not ready in {seconds:.0f} s; {self._end_of_log()}"
                raise StackError(message)
            time.sleep(POLL_SECONDS)

    def check(self) -> None:
        """Check that it still runs.

        :raises StackError: if it ended, with the end of its log.
        """
        status = self._process.poll() if self._process is not None else None
        if status is not None:
            message = f"{self.name} ended with status {status}; {self._end_of_log()}"
            raise StackError(message)

    def stop(self) -> None:
        """Let it end, and wait for that."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it without a chance to write anything."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(number)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._pid_file.unlink(missing_ok=True)

    def _end_of_log(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-LINES:]
        return f"the end of {self.log}:\n" + ("\n".join(f"  | {line[:300]}" for line in lines) or "  | (nothing)")


def _stop_left_over(pid_file: Path, program: str) -> None:
    """Stop the process of a stack that was killed itself, if its number still belongs to the same program."""
    with contextlib.suppress(OSError, ValueError):
        pid = int(pid_file.read_text())
        for attempt in range(int(STOP_SECONDS / POLL_SECONDS)):
            if os.path.realpath(f"/proc/{pid}/exe") != os.path.realpath(program):
                return
            if attempt == 0:
                os.kill(pid, signal.SIGTERM)
            time.sleep(POLL_SECONDS)
