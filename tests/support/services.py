"""Applications in several processes under ``opentelemetry-instrument``, and what each of them exported."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests
from redis_server import free_port

from otel_oauth.catalogue import DOCUMENTED
from otel_oauth.testing import series

if TYPE_CHECKING:
    from authlib_provider import Provider

    from otel_oauth.testing import OtlpReceiver

HERE = Path(__file__).parents[1] / "processes"
PROGRAMS = Path(sys.executable).parent
COUNTED = {metric.name for metric in DOCUMENTED if metric.kind != "gauge"}


class Service:
    """A command under ``opentelemetry-instrument``; ``{address}`` and ``{port}`` in it are where it shall serve."""

    def __init__(self, environment: dict[str, str], *command: str) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        program, *arguments = (part.format(address=f"127.0.0.1:{port}", port=port) for part in command)
        self.process = subprocess.Popen(
            [str(PROGRAMS / "opentelemetry-instrument"), str(PROGRAMS / program), *arguments],
            cwd=HERE,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.stderr = ""

    def wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + 60
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self._kill()
                pytest.fail(f"no answer: {self.process.communicate()[1]}")
            time.sleep(0.05)

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def _answers(self) -> bool:
        try:
            return get(self.url + "/").ok
        except requests.ConnectionError:
            return False

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Ask it to end; it must not hang."""
        if self.process.stderr is None or self.process.stderr.closed:
            return
        self.process.send_signal(number)
        try:
            self.stderr = self.process.communicate(timeout=30)[1]
        finally:
            self._kill()


def get(url: str, **options: Any) -> requests.Response:
    with requests.Session() as session:
        session.trust_env = False
        return session.get(url, timeout=20, **options)


def login(provider: Provider, service: Service, pause: float = 0.0) -> tuple[str, str]:
    """Log one user in; return which worker started the login and which ended it."""
    begun = get(service.url + "/login", allow_redirects=False)
    values = provider.authorize(begun.headers["Location"])
    time.sleep(pause)
    ended = get(service.url + "/callback", params=values, cookies=begun.cookies)
    assert ended.text == "welcome"
    return begun.headers["X-Worker"], ended.headers["X-Worker"]


def by_instance(receiver: OtlpReceiver) -> dict[str, dict[str, Any]]:
    """The last point of each of our series, by ``service.instance.id``."""
    newest: dict[tuple[Any, ...], Any] = {}
    for point in receiver.metrics():
        if point["scope"]["name"] == "otel_oauth":
            instance = point["resource"].get("service.instance.id", "")
            newest[instance, point["name"], tuple(point["attributes"].items())] = point
    found: dict[str, dict[str, Any]] = {}
    for (instance, name, attributes), point in newest.items():
        found.setdefault(instance, {})[series(name, attributes)] = point
    return found


def moved(points: dict[str, Any]) -> dict[str, float]:
    """The documented counters and histograms of one instance that moved: their values or counts."""
    values = {
        text: point.get("value", point.get("count")) for text, point in points.items() if point["name"] in COUNTED
    }
    return {text: value for text, value in values.items() if value}


def total(receiver: OtlpReceiver) -> dict[str, float]:
    """What moved, summed over all instances, as a query does it."""
    found: Counter[str] = Counter()
    for points in by_instance(receiver).values():
        found.update(moved(points))
    return dict(found)
