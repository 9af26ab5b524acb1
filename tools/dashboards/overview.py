"""OAuth overview: how logins, refreshes and PKCE checks do, and whether anybody attacks them."""

from __future__ import annotations

from dashboards.parts import Board, Panel, Row, increase, quantiles, rate, selected
from dashboards.shared import REFRESH_DURATION, REFRESHES

_RATIO = ((None, "red"), (95, "yellow"), (98, "green"))
_BUDGET = ((None, "red"), (0, "orange"), (0.5, "green"))


def _budget(slo: str, budget: float) -> str:
    return f'1 - oauth:{slo}_error_ratio:30d{{job=~"$job"}} / {budget}'


BOARD = Board(
    "otel-oauth-overview",
    "OAuth overview",
    "How logins, token refreshes and PKCE checks do, and whether anybody attacks them.",
    (
        Row(
            "Service levels",
            (
                Panel(
                    "OAuth Flow Success Rate",
                    "gauge",
                    (('oauth:flow_success_rate:5m{job=~"$job"} * 100', "{{job}}"),),
                    "Logins that succeeded, of those that ended in the last five minutes. The objective is 95 %.",
                    unit="percent",
                    thresholds=_RATIO,
                    limits=(0, 100),
                    width=6,
                ),
                Panel(
                    "Refresh and PKCE success",
                    "gauge",
                    (
                        ('oauth:refresh_success_rate:5m{job=~"$job"} * 100', "refresh {{job}}"),
                        ('oauth:pkce_success_rate:5m{job=~"$job"} * 100', "PKCE {{job}}"),
                    ),
                    "Refreshes (objective 99 %) and PKCE checks (98 %) of the last five minutes that succeeded.",
                    unit="percent",
                    thresholds=_RATIO,
                    limits=(0, 100),
                    width=9,
                ),
                Panel(
                    "Error budget left",
                    "bargauge",
                    (
                        (_budget("flow", 0.05), "logins {{job}}"),
                        (_budget("refresh", 0.01), "refreshes {{job}}"),
                        (_budget("pkce", 0.02), "PKCE {{job}}"),
                    ),
                    "What is left of the failures that the objectives allow in 30 days; below zero it is overspent.",
                    unit="percentunit",
                    thresholds=_BUDGET,
                    limits=(-1, 1),
                    width=9,
                ),
            ),
        ),
        Row(
            "Operations",
            (
                Panel(
                    "OAuth Operations Rate",
                    "lines",
                    (
                        (f"sum(rate({selected('oauth_flows_total')}[$__rate_interval])) * 60", "Flows"),
                        (f"sum(rate({selected('oauth_token_refresh_total')}[$__rate_interval])) * 60", "Refreshes"),
                        (f"sum(rate({selected('oauth_pkce_validations_total')}[$__rate_interval])) * 60", "PKCE"),
                    ),
                    "Logins (begun and ended), refreshes and PKCE checks a minute.",
                    unit="opm",
                ),
                Panel(
                    "Logins by outcome",
                    "bars",
                    ((increase("oauth_flows_total", "status", status="=~success|failure"), "{{status}}"),),
                    "Logins that ended, in five minutes. One that nobody finishes has no outcome.",
                ),
                Panel(
                    "Login Duration",
                    "lines",
                    quantiles("oauth_flow_duration_seconds"),
                    "From the redirect to the stored token, the user's own time included.",
                    unit="s",
                ),
                REFRESH_DURATION,
                REFRESHES,
                Panel(
                    "Active tokens",
                    "lines",
                    ((f"max by (job) ({selected('oauth_active_tokens')})", "{{job}}"),),
                    "Access tokens that are live.",
                ),
            ),
        ),
        Row(
            "Attacks",
            (
                Panel(
                    "Security Events Timeline",
                    "bars",
                    ((increase("oauth_security_events_total", "event_type, severity"), "{{event_type}} {{severity}}"),),
                    "Verdicts in five minutes. Severity low is the benign twin of an attack.",
                    severities=True,
                    width=16,
                ),
                Panel(
                    "Failed callbacks and endpoints",
                    "lines",
                    (
                        (rate("oauth_callback_processed", "job", success="false"), "callbacks {{job}}"),
                        (rate("oauth_http_requests_total", "job", status="=~[45].."), "requests {{job}}"),
                    ),
                    "Callbacks that were refused, and answers of 4xx and 5xx of the OAuth endpoints, a second.",
                    unit="reqps",
                ),
            ),
        ),
    ),
)
