"""OAuth security: who attacks, how, and what the log says of it."""

from __future__ import annotations

from dashboards.parts import Board, Panel, Row, increase, selected
from dashboards.shared import LIMITED, PKCE_FAILURES

_NONE = ((None, "green"), (1, "red"))
_EVENTS = (
    "oauth_refresh_token_reuse_detected|oauth_code_injection_attempt|oauth_integrity_violation"
    "|oauth_ownership_violation|pkce_replay_detected|oauth_code_reuse_detected"
)
_FAILURES = "oauth_.+_(failed|error|refused|abandoned|exceeded)"


def _total(title: str, metric: str, description: str, **labels: str) -> Panel:
    expression = f"sum(increase({selected(metric, **labels)}[$__range]))"
    return Panel(title, "stat", ((expression, ""),), description, thresholds=_NONE, width=4, height=5)


BOARD = Board(
    "otel-oauth-security",
    "OAuth security",
    "Verdicts and facts about attacks; the log lines lead to their traces.",
    (
        Row(
            "In the chosen time",
            (
                _total(
                    "Token reuse",
                    "oauth_token_refresh_total",
                    "Rotated refresh tokens presented again.",
                    status="reuse_detected",
                ),
                _total("Code injection", "oauth_code_injection_attempts_total", "Codes, states and nonces of others."),
                _total(
                    "Code replays", "oauth_code_reuse_detected", "Redeemed codes presented again, double clicks too."
                ),
                _total(
                    "Hash mismatch",
                    "oauth_integrity_violations_total",
                    "Verifiers and token hashes that do not match.",
                    violation_type="hash_mismatch",
                ),
                _total(
                    "Somebody else's token",
                    "oauth_integrity_violations_total",
                    "Live tokens presented by another client, issuers mixed up.",
                    violation_type="user_mismatch",
                ),
                _total(
                    "State replays",
                    "oauth_integrity_violations_total",
                    "Used states with another code, used assertions.",
                    violation_type="state_reuse",
                ),
            ),
        ),
        Row(
            "When",
            (
                Panel(
                    "Security events by severity",
                    "bars",
                    ((increase("oauth_security_events_total", "severity"), "{{severity}}"),),
                    "Verdicts in five minutes. The dots are traces: each leads to the request.",
                    severities=True,
                    width=12,
                ),
                Panel(
                    "Integrity violations by type",
                    "bars",
                    ((increase("oauth_integrity_violations_total", "violation_type"), "{{violation_type}}"),),
                    "Violations in five minutes.",
                    width=12,
                ),
                Panel(
                    "Reuse of tokens and codes",
                    "bars",
                    (
                        (increase("oauth_token_reuse_detected", "job"), "tokens {{job}}"),
                        (increase("oauth_code_reuse_detected", "job"), "codes {{job}}"),
                        (increase("oauth_code_injection_attempts_total", "job"), "injections {{job}}"),
                    ),
                    "The server's facts and the attempts to inject codes, in five minutes.",
                ),
                Panel(
                    "PKCE checks by reason",
                    "bars",
                    ((increase("oauth_pkce_validations_total", "status, reason"), "{{status}} {{reason}}"),),
                    "Checks of states (client) and verifiers (server) in five minutes.",
                ),
                PKCE_FAILURES,
                LIMITED,
                Panel(
                    "Revocations by reason",
                    "bars",
                    ((increase("oauth_token_revocations_total", "reason"), "{{reason}}"),),
                    "Tokens revoked in five minutes.",
                ),
                Panel(
                    "Callbacks",
                    "bars",
                    ((increase("oauth_callback_processed", "success"), "{{success}}"),),
                    "Callbacks accepted and refused in five minutes.",
                ),
            ),
        ),
        Row(
            "What the log says",
            (
                Panel(
                    "Security events",
                    "logs",
                    ((f'{{service_name=~"$job"}} | event_name=~"{_EVENTS}"', ""),),
                    "Each line has the client, the address, the digest of the grant and the trace.",
                    width=24,
                    height=10,
                ),
                Panel(
                    "Failures of operations",
                    "logs",
                    ((f'{{service_name=~"$job"}} | event_name=~"{_FAILURES}"', ""),),
                    "Logins, refreshes, registrations, the store, providers: what failed, by an attack or not.",
                    width=24,
                    height=10,
                ),
            ),
        ),
    ),
)
