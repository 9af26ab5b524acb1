"""Whether the events of a capture agree with its counters: each event happens exactly where its metric is counted."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from otel_oauth import vocabulary as v
from otel_oauth.catalogue import SECURITY_EVENTS
from otel_oauth.events import EVENTS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from otel_oauth.events import Event
    from otel_oauth.testing import Capture

Verdict = tuple[str, ...]


def _count(counters: dict[Any, float], event: Event) -> float:
    """What the counter of an operation event says."""
    assert event.counted is not None
    return sum(
        value
        for (name, labels), value in counters.items()
        if name == event.counted.name and (not event.label or dict(labels)[event.label] in event.values)
    )


class Agreement:
    """What one capture told: its events are noted before they are forgotten."""

    def __init__(self) -> None:
        self.events: Counter[str] = Counter()
        self.verdicts: Counter[Verdict] = Counter()

    def note(self, events: Iterable[dict[str, Any]]) -> None:
        for event in events:
            attributes = event["attributes"]
            assert event["event_name"] == attributes["event.name"]
            self.events[event["event_name"]] += attributes.get("oauth.count", 1)
            if EVENTS[event["event_name"]].group in ("security", "benign"):
                self.verdicts[attributes[v.EVENT_TYPE], attributes[v.SEVERITY]] += 1

    def disagreements(self, capture: Capture) -> dict[str, tuple[float, float]]:
        """What was counted and what was told, where they differ."""
        counters = capture.counters()  # collects, so that what waits is counted and told
        self.note(capture.events())
        counted = {
            event.name: (_count(counters, event), self.events[event.name])
            for event in EVENTS.values()
            if event.counted is not None and event.group == "operation"
        }
        verdicts = {tuple(dict(key[1]).values()): n for key, n in counters.items() if key[0] == SECURITY_EVENTS.name}
        for verdict in verdicts.keys() | self.verdicts.keys():
            counted[" ".join(verdict)] = verdicts.get(verdict, 0), self.verdicts[verdict]
        return {name: pair for name, pair in counted.items() if pair[0] != pair[1]}
