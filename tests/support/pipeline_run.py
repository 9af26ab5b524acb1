"""One run of the whole pipeline with the demonstration: what is harmless, one attack, then everything."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from demo import attacks, everyday
from demo.traffic import play
from stack.pipeline import Stack
from stack.queries import Loki, Prometheus, Zipkin
from stack.traffic import Applications

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from demo.scenario import Scenario

SCRAPE_SECONDS = 2
EVALUATION_SECONDS = 15
"""The interval of the rule groups with the alerts on attacks."""

BENIGN = (
    everyday.logins,
    everyday.api_calls,
    everyday.refreshes,
    attacks.code_repeated_at_once,
    attacks.code_with_another_path,
    attacks.verifier_malformed,
    attacks.refresh_race,
    attacks.callback_reloaded,
    attacks.cookie_lost,
    attacks.revocation_repeated,
)
"""What the harmless twins of all attacks do, among logins."""

FIRST_ATTACK = attacks.refresh_token_reused


def wait_until(predicate: Callable[[], Any], seconds: float, what: str) -> Any:
    """Wait until ``predicate()`` is true, and return what it returned."""
    deadline = time.monotonic() + seconds
    while not (found := predicate()):
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.3)
    return found


class PipelineRun:
    """The stack under way, and what was seen on the way.

    :param place: where everything is kept.
    """

    def __init__(self, place: Path) -> None:
        self.stack = Stack(place, scrape_seconds=SCRAPE_SECONDS, usual=False)
        self.prometheus = Prometheus(self.stack.prometheus_url)
        self.loki = Loki(self.stack.loki_url)
        self.zipkin = Zipkin(self.stack.zipkin_url)
        self.applications = Applications(self.stack.collector.otlp, place / "applications")
        self.alerts_before: list[str] = []
        self.alert_after_first_attack: dict[str, Any] = {}

    def perform(self) -> None:
        """Play everything; the stack and the programs run."""
        self._play(*BENIGN)
        self.wait_for_export()
        time.sleep(2 * EVALUATION_SECONDS)
        self.alerts_before = self.security_alerts()
        self._play(FIRST_ATTACK)
        self.alert_after_first_attack = wait_until(self._critical, 120, "an alert of the first attack")
        assert self.applications.play(print) == 0
        self.wait_for_export()
        self._scrape_in_process_endpoints()

    def _play(self, *scenarios: Scenario) -> None:
        errors = [step.error for step in play(self.applications.world, scenarios) if step.error]
        assert errors == []

    def _scrape_in_process_endpoints(self) -> None:
        programs = self.applications.programs
        targets = [program.metrics_url.removeprefix("http://").removesuffix("/metrics") for program in programs]
        self.stack.scrape("oauth-in-process", targets)
        query = 'count(count by (instance) (oauth_http_requests_total{job="oauth-in-process"}))'
        wait_until(lambda: self.prometheus.value(query) == len(programs), 60, "the in-process endpoints are scraped")

    def _critical(self) -> dict[str, Any] | None:
        found = [alert for alert in self.prometheus.alerts() if alert["labels"].get("severity") == "critical"]
        return found[0] if found else None

    def security_alerts(self) -> list[str]:
        """Return the names of the alerts on attacks that fire or are about to."""
        return sorted(
            alert["labels"]["alertname"]
            for alert in self.prometheus.alerts()
            if alert["labels"].get("severity") in ("critical", "high")
        )

    def wait_for_export(self) -> None:
        """Wait until Prometheus knows what the programs count now."""
        total = 'sum(oauth_http_requests_total{job="demo-server"})'
        known = [self.prometheus.value(total)]

        def settled() -> bool:
            time.sleep(2 * SCRAPE_SECONDS)
            known.append(self.prometheus.value(total))
            return bool(known[-1]) and known[-1] == known[-2]

        wait_until(settled, 60, "the counters of the server stand still in Prometheus")
