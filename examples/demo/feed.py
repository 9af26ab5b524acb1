"""The log events as they happen: what both programs exported since one last looked."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.text import Text

from demo.wording import PROGRAMS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

SCOPE = "otel_oauth"
LEVELS = {"ERROR": "bold red", "WARN": "yellow", "INFO": "", "DEBUG": "dim"}
TOLD = ("oauth.provider", "oauth.client_id", "oauth.case", "error.type")
SHOWN = 6
"""Events under the live table."""


@dataclass(frozen=True)
class Told:
    """One event of ours, as it was exported."""

    program: str
    level: str
    name: str
    attributes: Mapping[str, Any]

    @property
    def line(self) -> Text:
        """The event in one line: program, level, name, and what helps to know it again."""
        known = [f"{name.rpartition('.')[2]}={self.attributes[name]}" for name in TOLD if name in self.attributes]
        return Text.assemble(
            (f"{self.program:7}", "dim"),
            (f"{self.level:6}{self.name}", LEVELS.get(self.level, "")),
            (f"  {' '.join(known)}", "dim"),
        )


class Feed:
    """What has been exported so far, in the order of its arrival.

    :param logs: returns all log records that have arrived.
    """

    def __init__(self, logs: Callable[[], list[dict[str, Any]]]) -> None:
        self._logs = logs
        self._seen = 0
        self.last: deque[Told] = deque(maxlen=SHOWN)

    def newest(self) -> list[Told]:
        """Return the events that have arrived since the last call."""
        arrived = self._logs()
        fresh, self._seen = arrived[self._seen :], len(arrived)
        told = [
            Told(program, log["severity"], log["attributes"]["event.name"], log["attributes"])
            for log in fresh
            if log["scope"]["name"] == SCOPE and "event.name" in log["attributes"]
            for program in PROGRAMS
            if log["resource"]["service.name"].endswith(program)
        ]
        self.last.extend(told)
        return told
