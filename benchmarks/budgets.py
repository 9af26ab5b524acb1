"""The budgets: which ratio may be how high, beside which peer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Budget:
    """One row of the budgets.

    :param key: names the value in the results.
    :param title: what is compared.
    :param highest: the highest value that is aimed at.
    :param proposed: the highest value that is allowed instead, where the aim cannot be reached; with its ``reason``:
        which call takes the time, and how that was found.
    :param slack: what cannot be told from noise on a busy machine, however many rounds there are: so much more it takes
        to fail.
    """

    key: str
    title: str
    highest: float
    proposed: float | None = None
    reason: str = ""
    slack: float = 0.0

    def __post_init__(self) -> None:
        if (self.proposed is None) != (not self.reason):
            msg = f"{self.key}: a proposed budget has a reason, and only that"
            raise ValueError(msg)

    @property
    def allowed(self) -> float:
        """The highest value that is allowed."""
        return self.highest if self.proposed is None else self.proposed


BUDGETS: tuple[Budget, ...] = (
    Budget("counter", "a counter's increment, of the SDK's `Counter.add`", 0.15),
    Budget("server_client_credentials", "client credentials at the server, of what stock Flask adds", 0.5),
    Budget("server_code", "a code with PKCE at the server, of what stock Flask adds", 0.5),
    Budget("server_refresh", "a refresh at the server, of what stock Flask adds", 0.5),
    Budget("server_unsampled", "client credentials with our spans not sampled, of sampled stock", 0.35),
    Budget("httpx_refresh", "a refresh by httpx, of what stock httpx adds", 0.5),
    Budget("async_refresh", "a refresh by httpx, async, of what stock httpx adds", 0.5),
    Budget("requests_refresh", "a refresh by requests, of what stock requests adds", 0.5),
    Budget("httpx_unsampled", "a refresh by httpx with our spans not sampled, of sampled stock", 0.35),
    Budget("login", "a whole login, both sides, of what both stock instrumentations add", 0.5),
    Budget("httpx_plain", "an httpx request that is not OAuth, of the bare request", 0.015, slack=0.03),
    Budget("event", "an event in the request, of the SDK's `Logger.emit`", 2.0),
    Budget("redaction_span", "redaction of a span with nothing to redact, of the SDK's span", 0.3),
    Budget("redaction_log", "redaction of a log record with nothing to redact, of the SDK's `Logger.emit`", 0.5),
    Budget("attach", "attaching, in seconds beyond importing the libraries", 0.06),
    Budget("cpu_100", "CPU of ours at 100 token requests a second, in per cent of a core", 1.0),
    Budget("cpu_50", "CPU of ours at 50 token requests a second, in per cent of a core", 0.5),
    Budget("memory", "megabytes that flows with random ids leave, ledger of the host", 30),
    Budget("memory_process", "the same with the ledger in memory", 30),
    Budget("series", "series that flows with random ids add", 0),
)

BY_KEY = {budget.key: budget for budget in BUDGETS}
