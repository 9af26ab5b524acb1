"""docs/httpx.md names every operation of a client, its metrics, and everything that is hooked."""

from __future__ import annotations

import re

import pytest
from pages import page, rows

from otel_oauth import kinds
from otel_oauth_httpx.clients import CLIENTS, SEND, TRANSPORTS
from otel_oauth_httpx.mcp_client import MCP_HOOKS
from otel_oauth_httpx.oauth_clients import OAUTH_CLIENT_HOOKS

PAGE = "docs/httpx.md"
RECORDED = [kind for kind in kinds.KINDS.values() if kind.operation or kind is kinds.AUTHORIZE]
ELSEWHERE = ("provider_api_", "oauth_pkce_states_cleaned")


@pytest.mark.parametrize("kind", RECORDED, ids=lambda kind: kind.name)
def test_every_operation_has_its_row_and_its_metrics(kind: kinds.OperationKind) -> None:
    found = [cells for cells in rows(PAGE) if len(cells) == 4 and f"`oauth.{kind.name}`" in cells[2]]
    assert found, f"no row has the span oauth.{kind.name}"
    names = {move.metric.name for move in kind.moves}
    missing = [name for name in names if not name.startswith(ELSEWHERE) and f"`{name}" not in found[0][3]]
    assert missing == []


def test_everything_that_is_hooked_is_named() -> None:
    names = {target.rpartition(".")[2].rpartition(":")[2] for target in (*OAUTH_CLIENT_HOOKS, *MCP_HOOKS)}
    names |= {SEND, *CLIENTS, *(name for name, _ in TRANSPORTS if not name.endswith("HTTPTransport"))}
    assert [name for name in sorted(names) if not re.search(rf"`[^`]*\b{name}\b", page(PAGE))] == []
