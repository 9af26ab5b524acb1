"""A real Redis on a loopback port, for the tests of the ledger that several hosts share."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
from typing import TYPE_CHECKING

import redis

if TYPE_CHECKING:
    from pathlib import Path

BINARY = shutil.which("redis-server")
PASSWORD = "canary-redis-password"
MISSING = "there is no redis-server here: apt-get install redis-server"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


class RedisServer:
    """A server that keeps nothing on disk unless ``directory`` is asked for a dump."""

    def __init__(self, directory: Path, port: int | None = None) -> None:
        self.directory = directory
        self.port = port or free_port()
        self.address = f"redis://:{PASSWORD}@127.0.0.1:{self.port}/0"
        self.start()

    def start(self) -> None:
        assert BINARY is not None
        options = {
            "port": self.port,
            "bind": "127.0.0.1",
            "requirepass": PASSWORD,
            "dir": self.directory,
            "save": "",
            "appendonly": "no",
        }
        arguments = [text for name, value in options.items() for text in (f"--{name}", str(value))]
        self.process = subprocess.Popen([BINARY, *arguments], stdout=subprocess.DEVNULL)
        self.client = redis.Redis(port=self.port, password=PASSWORD)
        deadline = time.monotonic() + 10
        while not self._answers():
            assert self.process.poll() is None, "redis-server did not start"
            assert time.monotonic() < deadline, "redis-server does not answer"
            time.sleep(0.01)

    def _answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except redis.ConnectionError:
            return False

    def pause(self) -> None:
        """Let it accept connections and answer nothing."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def dump(self) -> bytes:
        """Return its database file, and every key and value as they are over the wire."""
        self.client.config_set("rdbcompression", "no")
        self.client.save()
        return (self.directory / "dump.rdb").read_bytes()

    def stop(self) -> None:
        """End it at once; all that it knew is lost."""
        self.client.close()
        self.process.kill()
        self.process.wait()
