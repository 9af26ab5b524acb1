"""OAuth server: what an authorization server does; all metrics of the server's document are on it."""

from __future__ import annotations

from dashboards.parts import JOB, Board, Panel, Row, Variable, increase, quantiles, rate
from dashboards.shared import LIMITED, PKCE_FAILURES, STORE_DURATION, STORED

_CLIENT = Variable(
    "client_id",
    "Client",
    'label_values({__name__=~"oauth_authorization_started|oauth_code_exchanged|oauth_token_refreshed"}, client_id)',
)


def _clients(title: str, metric: str, legend: str, description: str) -> Panel:
    labels = ", ".join(part.strip("{} ") for part in legend.split())
    return Panel(title, "bars", ((increase(metric, labels, client_id="=~$client_id"), legend),), description)


BOARD = Board(
    "otel-oauth-server",
    "OAuth server",
    "Requests to the OAuth endpoints, what came of them, the store behind them and the providers before them.",
    (
        Row(
            "Endpoints",
            (
                Panel(
                    "Requests by endpoint",
                    "lines",
                    ((rate("oauth_http_requests_total", "endpoint, method"), "{{method}} {{endpoint}}"),),
                    "Requests a second.",
                    unit="reqps",
                ),
                Panel(
                    "Answers by status",
                    "bars",
                    ((increase("oauth_http_requests_total", "status"), "{{status}}"),),
                    "Answers in five minutes. 400 is a refusal by the book, 5xx a failure.",
                ),
                Panel(
                    "Duration by endpoint (p95)",
                    "lines",
                    (quantiles("oauth_http_request_duration_milliseconds", "endpoint")[1],),
                    "How long 95 % of the requests take at the most.",
                    unit="ms",
                ),
            ),
        ),
        Row(
            "Grants",
            (
                _clients(
                    "Authorizations started", "oauth_authorization_started", "{{client_id}}", "Once per authorization."
                ),
                _clients(
                    "Codes exchanged",
                    "oauth_code_exchanged",
                    "{{client_id}} {{pkce_method}}",
                    "With the method that was really checked; none is a client without PKCE.",
                ),
                _clients(
                    "Tokens refreshed",
                    "oauth_token_refreshed",
                    "{{client_id}} {{rotated}}",
                    "rotated: whether the answer carried another refresh token.",
                ),
                _clients("Tokens revoked", "oauth_token_revoked", "{{client_id}}", "Tokens that were there to revoke."),
                _clients(
                    "Callbacks",
                    "oauth_callback_processed",
                    "{{client_id}} {{success}}",
                    "Callbacks, where the job is a client as well.",
                ),
                Panel(
                    "Clients registered",
                    "bars",
                    (
                        (increase("oauth_client_registered", "client_type"), "{{client_type}}"),
                        (increase("oauth_client_registrations_total", "status"), "attempts: {{status}}"),
                    ),
                    "Dynamic client registration (RFC 7591) in five minutes.",
                ),
            ),
        ),
        Row(
            "Attacks",
            (
                Panel(
                    "Reuse",
                    "bars",
                    (
                        (increase("oauth_code_reuse_detected", "job"), "codes {{job}}"),
                        (increase("oauth_token_reuse_detected", "job"), "tokens {{job}}"),
                    ),
                    "Codes and refresh tokens presented again, in five minutes.",
                ),
                PKCE_FAILURES,
                LIMITED,
            ),
        ),
        Row(
            "Store",
            (
                Panel(
                    "Operations",
                    "lines",
                    ((rate("storage_operation_total", "operation, result"), "{{operation}} {{result}}"),),
                    "Calls into the application's store a second.",
                    unit="ops",
                ),
                STORE_DURATION,
                Panel(
                    "What is stored",
                    "bargauge",
                    STORED,
                    "From the application's count callbacks, or what this service has seen since it started.",
                ),
            ),
        ),
        Row(
            "Providers that it calls",
            (
                Panel(
                    "Calls",
                    "lines",
                    ((rate("provider_api_calls_total", "provider, operation"), "{{provider}} {{operation}}"),),
                    "Calls a second.",
                    unit="reqps",
                ),
                Panel(
                    "Errors",
                    "bars",
                    ((increase("provider_api_errors_total", "provider, error_type"), "{{provider}} {{error_type}}"),),
                    "Errors in five minutes.",
                ),
                Panel(
                    "Duration (p95)",
                    "lines",
                    (quantiles("provider_api_duration_milliseconds", "provider")[1],),
                    "How long 95 % of the calls take at the most.",
                    unit="ms",
                ),
            ),
        ),
    ),
    (JOB, _CLIENT),
)
