"""Attempts of discovery: several documents and several candidates for the place of each are one attempt.

A protected resource names its authorization servers (RFC 9728), whose metadata is fetched next (RFC 8414); each may
lie at one of several places, which are tried one after the other. Nothing says which request is the last one: a
request that another may follow waits for it, and ends the attempt if none came.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

from otel_oauth_httpx.exchanges import Note

if TYPE_CHECKING:
    from otel_oauth.operation import Operation
    from otel_oauth.telemetry import Telemetry
    from otel_oauth_httpx.recognised import Outcome, Recognised

_MOST = 64
_MOST_CANDIDATES = 16


@dataclass(eq=False, repr=False)
class _Begun:
    """An attempt that may go on, since ``clock`` of ``perf_counter``; ``urls`` is what it has asked for."""

    clock: float
    urls: tuple[str, ...] = ()


class Attempts:
    """The attempts that another request may go on with, by origin and document."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._begun: dict[tuple[str, str], list[_Begun]] = {}

    def settle(self, operation: Operation, recognised: Recognised, found: Outcome | None) -> bool:
        """Settle one request of discovery; tell whether its operation waits for what may follow it.

        :param found: what its response said; ``None`` if none came.
        """
        facts = operation.facts
        place = recognised.origin, recognised.document
        earlier = self._goes_on(place, recognised.url) or _Begun(_clock_of(operation))
        begun = _Begun(earlier.clock, (*earlier.urls, recognised.url)[-_MOST_CANDIDATES:])
        facts["discovery_method"] = recognised.discovery_method
        facts["discovery_seconds"] = perf_counter() - begun.clock
        if found is None:
            return False
        if facts.get("provider_error") or facts.get("status") == "failure":
            return self._wait(operation, begun, [place])
        return self._wait(operation, begun, [(issuer, "authorization_server") for issuer in found.issuers])

    def _goes_on(self, place: tuple[str, str], url: str) -> _Begun | None:
        """Take a request that waits for this one out of the count of attempts; return its attempt.

        Several may wait for one place, of logins at the same time. What asks for the same document once more is another
        attempt.
        """
        waiting = self._begun.get(place, [])
        for begun in list(waiting):
            if url in begun.urls:
                continue
            with suppress(ValueError):  # another thread was first
                waiting.remove(begun)
            earlier = self._telemetry.postponed.back(begun)
            if earlier is not None:
                earlier.facts["discovery_method"] = None
                earlier.complete_as_left()
                return begun
        return None

    def _wait(self, operation: Operation, begun: _Begun, places: list[tuple[str, str]]) -> bool:
        if not places:
            return False
        for place in dict.fromkeys(places):
            if place not in self._begun and len(self._begun) >= _MOST:
                self._begun.pop(next(iter(self._begun)), None)
            waiting = self._begun.setdefault(place, [])
            waiting.append(begun)
            del waiting[:-_MOST]
        operation.deferred = True
        operation.end()
        return self._telemetry.postponed.wait(operation, begun)


def _clock_of(operation: Operation) -> float:
    note = operation.local
    began = note.clock if isinstance(note, Note) else None
    return perf_counter() if began is None else began
