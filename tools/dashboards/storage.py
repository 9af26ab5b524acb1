"""Storage and capacity: what is stored, how it grows, how the store does."""

from __future__ import annotations

from dashboards.parts import Board, Panel, Row, increase, rate, selected
from dashboards.shared import STORE_DURATION, STORED

_COUNTS = ("tokens", "refresh_tokens", "families", "flows", "clients")


def _now(what: str) -> Panel:
    expression = f"max by (job) ({selected(f'storage_{what}_count')})"
    return Panel(
        what.replace("_", " ").capitalize(), "stat", ((expression, "{{job}}"),), "Stored now.", width=4, height=5
    )


BOARD = Board(
    "otel-oauth-storage",
    "Storage and capacity",
    "What is stored, how it grows, and how the application's store does.",
    (
        Row(
            "Now",
            (
                *map(_now, _COUNTS),
                Panel(
                    "Active tokens",
                    "stat",
                    ((f"max by (job) ({selected('oauth_active_tokens')})", "{{job}}"),),
                    "Access tokens that are live.",
                    thresholds=((None, "green"), (10000, "red")),
                    width=4,
                    height=5,
                ),
            ),
        ),
        Row(
            "Growth",
            (
                Panel(
                    "Stored",
                    "lines",
                    STORED,
                    "Over time.",
                    width=12,
                ),
                Panel(
                    "Growth of the tokens",
                    "lines",
                    ((f"max by (job) (deriv({selected('storage_tokens_count')}[15m])) * 3600", "{{job}}"),),
                    "Tokens added an hour, expired ones taken off.",
                    width=12,
                ),
                Panel(
                    "Pending logins",
                    "lines",
                    ((f"max by (job) ({selected('oauth_active_pkce_states')})", "{{job}}"),),
                    "PKCE states that are neither used nor expired; an alert fires above 1,000.",
                    thresholds=((None, "green"), (1000, "red")),
                ),
                Panel(
                    "States dropped unused",
                    "bars",
                    ((increase("oauth_pkce_states_cleaned_total", "reason"), "{{reason}}"),),
                    "In five minutes.",
                ),
                Panel(
                    "States created",
                    "lines",
                    ((rate("oauth_pkce_states_created_total", "job"), "{{job}}"),),
                    "States with a verifier a second.",
                    unit="ops",
                ),
            ),
        ),
        Row(
            "The store",
            (
                Panel(
                    "Operations",
                    "lines",
                    ((rate("storage_operation_total", "operation"), "{{operation}}"),),
                    "Calls a second.",
                    unit="ops",
                ),
                Panel(
                    "Errors",
                    "bars",
                    ((increase("storage_operation_total", "operation", result="error"), "{{operation}}"),),
                    "Calls that raised, in five minutes.",
                ),
                STORE_DURATION,
            ),
        ),
    ),
)
