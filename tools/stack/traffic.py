"""The demonstration's two programs and their visitors, exporting into the pipeline."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from demo import everyday
from demo.programs import DemoError, InstrumentedProgram, free_ports
from demo.scenario import World
from demo.traffic import SCENARIOS, play
from stack import StackError

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from demo.scenario import Scenario

RACE_WINDOW = 2.0
"""Seconds in which a second presentation is a race: 30 by default, too long to wait for."""

EXPORT_MILLISECONDS = 2000
PAUSE_SECONDS = 10.0
AFTERWARDS = (everyday.logins, everyday.api_calls, everyday.refreshes, everyday.profiles)
"""What goes on as long as the stack is there."""

RARE = (everyday.registrations,)
"""What is played a second time, later: a histogram that was never seen without its only observation has no rate."""


class Applications:
    """Authorization server and client of ``examples/demo`` under ``opentelemetry-instrument``.

    :param endpoint: where they export to, over OTLP/HTTP.
    :param place: where their data and output go.
    """

    def __init__(self, endpoint: str, place: Path) -> None:
        self._endpoint = endpoint
        self._place = place.resolve()
        self._open = ExitStack()
        self.programs: list[InstrumentedProgram] = []
        self.world = World("", "", RACE_WINDOW)

    def __enter__(self) -> Applications:  # noqa: PYI034 Self is not in Python 3.10
        """Start both, and wait until they are ready.

        :raises StackError: if one does not start.
        """
        self._place.mkdir(parents=True, exist_ok=True)
        try:
            ports = free_ports(dict.fromkeys(("server", "client", "server-metrics", "client-metrics"), 0))
            database = self._place / "database"
            database.unlink(missing_ok=True)
            server = self._start("server", ports[0], ports[2], "--database", str(database))
            client = self._start("client", ports[1], ports[3], "--issuer", server.url)
            for program in self.programs:
                program.wait_until_ready()
        except DemoError as error:
            self._open.close()
            raise StackError(str(error)) from None
        except BaseException:
            self._open.close()
            raise
        self.world = World(server.url, client.url, RACE_WINDOW)
        return self

    def __exit__(self, *_: object) -> None:
        """Stop both; they export the last of what they have."""
        self._open.close()

    def _start(self, name: str, number: int, metrics_port: int, *arguments: str) -> InstrumentedProgram:
        settings = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": self._endpoint,
            "OTEL_LOGS_EXPORTER": "otlp",
            "OTEL_METRIC_EXPORT_INTERVAL": str(EXPORT_MILLISECONDS),
            "OTEL_OAUTH_RACE_WINDOW": f"{RACE_WINDOW:g}",
            "OTEL_EXPORTER_PROMETHEUS_PORT": str(metrics_port),
            "OTEL_OAUTH_LEDGER": f"host:{self._place / name}",
        }
        program = InstrumentedProgram(name, number, arguments, settings, self._place / f"{name}.log")
        self.programs.append(program)
        return self._open.enter_context(program)

    def check(self) -> None:
        """Check that both still run.

        :raises StackError: if one ended.
        """
        try:
            for program in self.programs:
                program.check()
        except DemoError as error:
            raise StackError(str(error)) from None

    def play(self, say: Callable[[str], None]) -> int:
        """Play every scenario once, attacks among them; return how many went otherwise than they should."""
        wrong = self._play(say, SCENARIOS)
        time.sleep(PAUSE_SECONDS)  # so that what was is exported and scraped
        return wrong + self._play(say, RARE)

    def _play(self, say: Callable[[str], None], scenarios: Sequence[Scenario]) -> int:
        wrong = 0
        for step in play(self.world, scenarios):
            if step.done and step.error:
                wrong += 1
                say(f"  {step.scenario.name}: {step.error}")
        return wrong

    def go_on(self, ended: threading.Event) -> None:
        """Let people go on logging in until ``ended`` is set."""
        while not ended.wait(PAUSE_SECONDS):
            self.world.people.clear()
            for step in play(self.world, AFTERWARDS):
                if ended.is_set() or step.error:
                    break
