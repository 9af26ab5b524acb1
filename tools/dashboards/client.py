"""OAuth client and providers: logins by provider, refreshes, discovery, registration, and the providers themselves."""

from __future__ import annotations

from dashboards.parts import JOB, Board, Panel, Row, Variable, increase, quantiles, rate, selected
from dashboards.shared import REFRESH_DURATION, REFRESHES

_PROVIDER = Variable("provider", "Provider", "label_values(provider_api_calls_total, provider)")
_OF = {"provider": "=~$provider"}
_DOWN = "=~server_error|timeout|network|invalid_response"
_ERRORS = increase("provider_api_errors_total", "provider, error_type", **_OF)


def _succeeded() -> str:
    ended = f"increase({selected('oauth_flows_total', status='=~success|failure', **_OF)}[$__range])"
    good = f"increase({selected('oauth_flows_total', status='success', **_OF)}[$__range])"
    return f"sum by (provider) ({good}) / (sum by (provider) ({ended}) > 0)"


def _unanswered() -> str:
    errors = rate("provider_api_errors_total", "provider", error_type=_DOWN, **_OF)
    return f"{errors} / ({rate('provider_api_calls_total', 'provider', **_OF)} > 0)"


BOARD = Board(
    "otel-oauth-client",
    "OAuth client and providers",
    "Logins through each provider, and how the providers answer.",
    (
        Row(
            "Logins",
            (
                Panel(
                    "Logins by provider",
                    "lines",
                    ((increase("oauth_flows_total", "provider, status", **_OF), "{{provider}} {{status}}"),),
                    "Logins begun, succeeded and failed in five minutes.",
                    width=12,
                ),
                Panel(
                    "Success by provider",
                    "bargauge",
                    ((_succeeded(), "{{provider}}"),),
                    "Share of the logins that succeeded, of those that ended in the chosen time.",
                    unit="percentunit",
                    thresholds=((None, "red"), (0.95, "yellow"), (0.98, "green")),
                    limits=(0, 1),
                    width=12,
                ),
                Panel(
                    "Login duration (p95)",
                    "lines",
                    (quantiles("oauth_flow_duration_seconds", "provider", **_OF)[1],),
                    "From the redirect to the stored token, the user's own time included.",
                    unit="s",
                ),
                REFRESHES,
                Panel(
                    "PKCE states",
                    "lines",
                    (
                        (increase("oauth_pkce_states_created_total", "job"), "created {{job}}"),
                        (increase("oauth_pkce_states_cleaned_total", "reason"), "cleaned {{reason}}"),
                        (f"max by (job) ({selected('oauth_active_pkce_states')})", "pending {{job}}"),
                    ),
                    "Created and dropped unused in five minutes, and pending now.",
                ),
            ),
        ),
        Row(
            "Providers",
            (
                Panel(
                    "Calls by operation",
                    "lines",
                    ((rate("provider_api_calls_total", "provider, operation", **_OF), "{{provider}} {{operation}}"),),
                    "Calls a second.",
                    unit="reqps",
                ),
                Panel(
                    "Answers by status",
                    "bars",
                    ((increase("provider_api_calls_total", "status", **_OF), "{{status}}"),),
                    "Answers in five minutes; 0 is no answer at all.",
                ),
                Panel(
                    "Errors by type",
                    "bars",
                    (
                        (
                            increase("provider_api_errors_total", "provider, error_type", **_OF),
                            "{{provider}} {{error_type}}",
                        ),
                    ),
                    "In five minutes. client_error is a refusal, the others are faults.",
                ),
                Panel(
                    "Duration by operation (p95)",
                    "lines",
                    (quantiles("provider_api_duration_milliseconds", "operation", **_OF)[1],),
                    "How long 95 % of the calls take at the most.",
                    unit="ms",
                ),
                Panel(
                    "Share of calls without an answer to use",
                    "lines",
                    ((_unanswered(), "{{provider}}"),),
                    "Server errors, time-outs, no connection, nonsense. Above half of the calls the provider is down.",
                    unit="percentunit",
                    thresholds=((None, "green"), (0.5, "red")),
                    limits=(0, 1),
                ),
                REFRESH_DURATION,
            ),
        ),
        Row(
            "Discovery and registration",
            (
                Panel(
                    "Discovery by method",
                    "bars",
                    ((increase("oauth_discovery_attempts_total", "method, status"), "{{method}} {{status}}"),),
                    "Attempts in five minutes; several candidate URLs are one attempt.",
                ),
                Panel(
                    "Discovery duration (p95)",
                    "lines",
                    (quantiles("oauth_discovery_duration_seconds", "method")[1],),
                    "How long 95 % of the attempts take at the most.",
                    unit="s",
                ),
                Panel(
                    "Client registrations",
                    "bars",
                    ((increase("oauth_client_registrations_total", "status"), "{{status}}"),),
                    "Attempts in five minutes (RFC 7591).",
                ),
                Panel(
                    "Registration duration (p95)",
                    "lines",
                    (quantiles("oauth_client_registration_duration_seconds", "status")[1],),
                    "How long 95 % of the registrations take at the most.",
                    unit="s",
                ),
            ),
        ),
    ),
    (JOB, _PROVIDER),
)
