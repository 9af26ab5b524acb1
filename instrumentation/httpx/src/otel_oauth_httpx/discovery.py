"""Attempts of discovery: several documents and several candidates for the place of each are one attempt.

A protected resource names its authorization servers (RFC 9728), whose metadata is fetched next (RFC 8414); each may
lie at one of several places, which are tried one after the other. Nothing says which request is the last one: a
request that another may follow waits for it, and ends the attempt if none came.
"""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

from otel_oauth_httpx.exchanges import Note

if TYPE_CHECKING:
    from otel_oauth.operation import Operation
    from otel_oauth.telemetry import Telemetry
    from otel_oauth_httpx.recognised import Outcome, Recognised

_MOST = 64


@dataclass(eq=False, repr=False)
class _Begun:
    """An attempt that may go on, since ``clock`` of ``perf_counter``."""

    clock: float


class Attempts:
    """The attempts that another request may go on with, by origin and document."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._begun: dict[tuple[str, str], _Begun] = {}

    def settle(self, operation: Operation, recognised: Recognised, found: Outcome | None) -> bool:
        """Settle one request of discovery; tell whether its operation waits for what may follow it.

        :param found: what its response said; ``None`` if none came.
        """
        facts = operation.facts
        place = recognised.origin, recognised.document
        clock = self._goes_on(place)
        begun = clock if clock is not None else _clock_of(operation)
        facts["discovery_method"] = recognised.discovery_method
        facts["discovery_seconds"] = perf_counter() - begun
        if found is None:
            return False
        if facts.get("provider_error") or facts.get("status") == "failure":
            return self._wait(operation, begun, [place])
        return self._wait(operation, begun, [(issuer, "authorization_server") for issuer in found.issuers])

    def _goes_on(self, place: tuple[str, str]) -> float | None:
        """Take the request that waits for this one out of the count of attempts; return when its attempt began."""
        begun = self._begun.pop(place, None)
        earlier = None if begun is None else self._telemetry.postponed.back(begun)
        if begun is None or earlier is None:
            return None
        earlier.facts["discovery_method"] = None
        earlier.complete_as_left()
        return begun.clock

    def _wait(self, operation: Operation, clock: float, places: list[tuple[str, str]]) -> bool:
        if not places:
            return False
        begun = _Begun(clock)
        while len(self._begun) >= _MOST:
            self._begun.pop(next(iter(self._begun)), None)
        self._begun.update(dict.fromkeys(places, begun))
        operation.deferred = True
        operation.end()
        return self._telemetry.postponed.wait(operation, begun)


def _clock_of(operation: Operation) -> float:
    note = operation.local
    began = note.clock if isinstance(note, Note) else None
    return perf_counter() if began is None else began
