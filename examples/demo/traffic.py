"""Drive both programs as their visitors would: ``python -m demo.traffic --server URL --application URL``."""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from requests import RequestException

from demo import attacks, everyday, failures
from demo.scenario import Scenario, World
from demo.visitors import ScenarioError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SCENARIOS: tuple[Scenario, ...] = (
    everyday.logins,
    everyday.kiosk_logins,
    everyday.partner_logins,
    everyday.newsletter_logins,
    everyday.api_calls,
    everyday.profiles,
    everyday.refreshes,
    everyday.automatic_refreshes,
    everyday.introspections,
    everyday.nightly_reports,
    everyday.tenants,
    everyday.registrations,
    everyday.documents,
    everyday.logouts,
    everyday.second_thoughts,
    failures.consent_denied,
    failures.unsupported_scope,
    failures.insufficient_scope,
    failures.revoked_access_token,
    failures.provider_error_at_login,
    failures.provider_error_at_refresh,
    failures.gateway_page,
    failures.unknown_state,
    failures.registrations_rejected,
    failures.discovery_fails,
    failures.wrong_client_secret,
    failures.secret_guessing,
    failures.refresh_refused,
    failures.forged_code,
    failures.verifier_missing_public,
    failures.unknown_token_introspected,
    failures.unknown_token_revoked,
    failures.expired_state,
    attacks.code_repeated_at_once,
    attacks.code_replayed_later,
    attacks.redeemed_code_of_another_client,
    attacks.code_with_another_path,
    attacks.code_with_another_host,
    attacks.code_of_another_client,
    attacks.verifier_malformed,
    attacks.verifier_wrong,
    attacks.verifier_missing,
    attacks.pkce_downgrade,
    attacks.code_injected,
    attacks.refresh_race,
    attacks.refresh_token_reused,
    attacks.refresh_token_rotated_away,
    attacks.refresh_token_of_another_client,
    attacks.callback_reloaded,
    attacks.state_replayed,
    attacks.cookie_lost,
    attacks.state_of_another_session,
    attacks.revocation_repeated,
    attacks.revocation_by_another_client,
)
"""All scenarios, in the order in which they are played."""


@dataclass(frozen=True)
class Step:
    """Where the traffic is: ``scenario`` is prepared, or ``done`` with what went wrong in ``error``."""

    scenario: Scenario
    done: bool
    error: str = ""


def play(world: World, scenarios: Sequence[Scenario] = SCENARIOS) -> Iterator[Step]:
    """Play the scenarios one after the other.

    Yields a step before each act and one after it: what lies between the two is the act's effect alone.
    """
    early = {item.name: _Run(item, world) for item in scenarios if item.early}
    for run in early.values():
        run.prepare()
    for item in scenarios:
        run = early.get(item.name) or _Run(item, world)
        run.prepare()
        run.wait()
        yield Step(item, done=False)
        run.act()
        yield Step(item, done=True, error=run.error)


class _Run:
    """One performance of a scenario."""

    def __init__(self, item: Scenario, world: World) -> None:
        self._steps = item.play(world)
        self._not_before: float | None = None
        self.error = ""

    def prepare(self) -> None:
        """Prepare, unless that was done."""
        if self._not_before is None:
            pause = self._advance() or 0.0
            self._not_before = time.monotonic() + pause

    def wait(self) -> None:
        """Wait until the act may follow the preparation."""
        time.sleep(max(0.0, (self._not_before or 0.0) - time.monotonic()))

    def act(self) -> None:
        """Do what the scenario is about."""
        if not self.error:
            self._advance()

    def _advance(self) -> float | None:
        try:
            return next(self._steps, None)
        except (ScenarioError, RequestException) as error:
            # The text of a RequestException may hold a URL with a code in it.
            self.error = str(error) if isinstance(error, ScenarioError) else type(error).__name__
            return None


def main() -> None:
    """Play all scenarios, print a line for each, and exit with 1 if one went otherwise than it should."""
    parser = argparse.ArgumentParser(prog="demo.traffic", description="The visitors of the two programs.")
    parser.add_argument("--server", required=True, help="the URL of demo.server")
    parser.add_argument("--application", required=True, help="the URL of demo.client")
    parser.add_argument("--race-window", type=float, default=1.0, help="seconds; a replay after it is no race")
    options = parser.parse_args()
    failed = 0
    start = time.monotonic()
    for step in play(World(options.server, options.application, options.race_window)):
        if step.done:
            failed += bool(step.error)
            print(f"{step.scenario.kind:9}{step.scenario.name:34}{step.error or 'as expected'}")
    print(f"{len(SCENARIOS)} scenarios in {time.monotonic() - start:.1f} s, {failed} otherwise than expected")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
