"""Panels that stand on more than one dashboard."""

from __future__ import annotations

from dashboards.parts import Panel, increase, quantiles, selected

PKCE_FAILURES = Panel(
    "PKCE failures by method",
    "bars",
    ((increase("oauth_pkce_validation_failed", "method"), "{{method}}"),),
    "Failed checks in five minutes; none means that the client sent no challenge.",
)
LIMITED = Panel(
    "Limited requests",
    "bars",
    ((increase("oauth_rate_limit_exceeded", "limiter_type"), "{{limiter_type}}"),),
    "Requests over a limit in five minutes.",
)
REFRESHES = Panel(
    "Refreshes by outcome and reason",
    "bars",
    ((increase("oauth_token_refresh_total", "status, reason"), "{{status}} {{reason}}"),),
    "Refreshes in five minutes.",
)
REFRESH_DURATION = Panel(
    "Token Refresh Duration (p50, p95, p99)",
    "lines",
    quantiles("oauth_token_refresh_duration_seconds"),
    "How long a refresh takes; an alert fires when p95 is above 2 s.",
    unit="s",
    thresholds=((None, "green"), (2, "red")),
)
STORE_DURATION = Panel(
    "Duration by operation (p95)",
    "lines",
    (quantiles("storage_operation_duration_milliseconds", "operation")[1],),
    "How long 95 % of the calls take at the most.",
    unit="ms",
)
STORED = tuple(
    (f"max by (job) ({selected(f'storage_{what}_count')})", f"{what} {{{{job}}}}")
    for what in ("tokens", "refresh_tokens", "families", "flows", "clients")
)
"""The queries of all five storage gauges."""
