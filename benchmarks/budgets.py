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
        which calls take the time. Floor and profile of the same run are told beside it.
    """

    key: str
    title: str
    highest: float
    proposed: float | None = None
    reason: str = ""

    def __post_init__(self) -> None:
        if (self.proposed is None) != (not self.reason):
            msg = f"{self.key}: a proposed budget has a reason, and only that"
            raise ValueError(msg)

    @property
    def allowed(self) -> float:
        """The highest value that is allowed."""
        return self.highest if self.proposed is None else self.proposed


_SDK = "The SDK's `Tracer.start_span`, `Span.end` and `Logger.emit`"
_SERVER = (
    f"{_SDK} are what no instrumentation with these signals can leave out. Beyond them ours counts each storage "
    "operation of the request with its duration, and asks the ledger what became of client, code and tokens: Python of "
    "ours, and most of what it adds."
)
_CLIENT = (
    f"{_SDK} are what no instrumentation with these signals can leave out. Beyond them ours learns each new pair of "
    "tokens and what became of the one before, so that a refresh token that is used twice is seen: Python of "
    "ours, and most of what it adds."
)
_LOGIN = (
    f"{_SDK} are called four times a login, for both sides of authorization and exchange; stock makes three spans and "
    "no record."
)
_UNSAMPLED = (
    "`Logger.emit`, and `start_span`, which asks the sampler, remain without a span, and all that is counted and "
    "judged: counters must not depend on the sampler."
)
_LOOK = (
    "Host, path and query are members of httpx's parsed URL, a named tuple, and to read the three takes most of the "
    "look at a GET, and more than is aimed at. What remains asks one set, two strings and whether there is a body; of "
    "JSON the end of the path, which is cut off and hashed."
)
_PACED = (
    "The exporters of the SDK, `BatchSpanProcessor` and `BatchLogRecordProcessor`, serialise and send each span and "
    "record: stock misses the budget too, with one span a request."
)
_FULL = (
    "A full ledger in memory holds `OTEL_OAUTH_LEDGER_SIZE` records of each kind, 100,000 if nobody sets it: a tuple "
    "and its key of 0.7 to 1 kB each. That of the host, the default, keeps its records in its files."
)

BUDGETS: tuple[Budget, ...] = (
    Budget("counter", "a counter's increment, of the SDK's `Counter.add`", 0.15),
    Budget("server_client_credentials", "client credentials at the server, of what stock Flask adds", 0.5),
    Budget("server_code", "a code with PKCE at the server, of what stock Flask adds", 0.5, 0.73, _SERVER),
    Budget("server_refresh", "a refresh at the server, of what stock Flask adds", 0.5, 0.73, _SERVER),
    Budget("server_unsampled", "client credentials with our spans not sampled, of sampled stock", 0.35),
    Budget("httpx_refresh", "a refresh by httpx, of what stock httpx adds", 0.5, 0.58, _CLIENT),
    Budget("async_refresh", "a refresh by httpx, async, of what stock httpx adds", 0.5, 0.8, _CLIENT),
    Budget("requests_refresh", "a refresh by requests, of what stock requests adds", 0.5, 1.0, _CLIENT),
    Budget(
        "httpx_unsampled", "a refresh by httpx with our spans not sampled, of sampled stock", 0.35, 0.68, _UNSAMPLED
    ),
    Budget("login", "a whole login, both sides, of what both stock instrumentations add", 0.5, 0.8, _LOGIN),
    Budget(
        "wire_refresh", "a refresh that is seen by the httpx plugin alone, of what stock httpx adds", 0.5, 0.7, _CLIENT
    ),
    Budget("httpx_plain", "an httpx request that is not OAuth, of the bare request, beyond the noise", 0.015),
    Budget("classifier_get", "the look at a GET that is not OAuth, of an empty call", 2.5, 4.7, _LOOK),
    Budget("classifier_json", "the look at a JSON POST that is not OAuth, of an empty call", 6.25, 8.2, _LOOK),
    Budget("event", "an event in the request, of the SDK's `Logger.emit`", 2.0),
    Budget("redaction_span", "redaction of a span with nothing to redact, of the SDK's span", 0.3),
    Budget("redaction_log", "redaction of a log record with nothing to redact, of the SDK's `Logger.emit`", 0.5),
    Budget("attach", "attaching, in seconds beyond importing the libraries", 0.06),
    Budget("cpu_100", "CPU of ours at 100 token requests a second, in per cent of a core", 1.0, 8, _PACED),
    Budget("cpu_50", "CPU of ours at 50 token requests a second, in per cent of a core", 0.5, 4.8, _PACED),
    Budget("memory", "megabytes that flows with random ids leave, ledger of the host", 30),
    Budget("memory_process", "the same with the ledger in memory", 30),
    Budget("memory_full", "the same with the ledger in memory, once it is full", 30, 150, _FULL),
    Budget("series", "series that flows with random ids add", 0),
)

BY_KEY = {budget.key: budget for budget in BUDGETS}
