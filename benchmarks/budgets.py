"""The budgets: which ratio may be how high, beside which peer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Budget:
    """One row of the budgets.

    :param key: names the ratio in the results.
    :param title: what is compared.
    :param highest: the highest value that is allowed.
    """

    key: str
    title: str
    highest: float


BUDGETS: tuple[Budget, ...] = (
    Budget("counter", "a counter's increment, of the SDK's `Counter.add`", 0.15),
    Budget("server_client_credentials", "client credentials at the server, of what stock Flask adds", 0.5),
    Budget("server_code", "a code with PKCE at the server, of what stock Flask adds", 0.5),
    Budget("server_refresh", "a refresh at the server, of what stock Flask adds", 0.5),
    Budget("server_unsampled", "the same with our spans not sampled, of sampled stock", 0.35),
    Budget("httpx_refresh", "a refresh by httpx, of what stock httpx adds", 0.5),
    Budget("async_refresh", "a refresh by httpx, async, of what stock httpx adds", 0.5),
    Budget("requests_refresh", "a refresh by requests, of what stock requests adds", 0.5),
    Budget("httpx_unsampled", "a refresh by httpx with our spans not sampled, of sampled stock", 0.35),
    Budget("login", "a whole login, both sides, of what both stock instrumentations add", 0.5),
    Budget("httpx_plain", "an httpx request that is not OAuth, of the bare request", 0.015),
    Budget("memory", "megabytes that a million requests with random ids leave", 30),
    Budget("attach", "attaching, in seconds beyond importing the libraries", 0.06),
)

BY_KEY = {budget.key: budget for budget in BUDGETS}
