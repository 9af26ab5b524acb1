"""Every query of docs/loki.md, against the real Loki with the demonstration's events in it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from pages import page

from otel_oauth.events import EVENTS
from stack import COLLECTOR

if TYPE_CHECKING:
    from pipeline_run import PipelineRun

PAGE = page("docs/loki.md")
RULES = COLLECTOR / "loki" / "rules" / "fake" / "security.yaml"
QUERIES = [
    line for block in re.findall(r"```logql\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines() if line.strip()
]
ABSENT = {
    "oauth_nonce_replayed",
    "oauth_flow_abandoned",
    "oauth_storage_error",
    "oauth_implicit_grant_used",
    "oauth_password_grant_used",
    "oauth_redirect_uri_insecure",
    "oauth_bearer_token_in_query",
    'severity_text="DEBUG"',
    "user_hash",
    "oauth_flow_duration > 5",
    'http_response_status_code="200"',
}
"""What the demonstration has not, or not with its settings: the query must be valid all the same."""


def test_every_event_has_a_query() -> None:
    assert [name for name in EVENTS if f'event_name="{name}"' not in PAGE] == []
    named = set(re.findall(r'event_name="(\w+)"', PAGE))
    assert named <= EVENTS.keys()


def test_every_security_event_has_an_alert_of_its_severity() -> None:
    rules = RULES.read_text()
    for event in EVENTS.values():
        if event.group == "security":
            assert f'severity_text="{event.level.upper()}"}} | event_name="{event.name}"' in rules
            assert f"priority: {event.priority}" in rules
            assert f'runbook_url: "docs/runbook.md#{event.name}"' in rules


@pytest.mark.stack
@pytest.mark.timeout(900)
@pytest.mark.parametrize("query", QUERIES)
def test_the_query_is_valid_and_finds_what_the_demonstration_did(pipeline: PipelineRun, query: str) -> None:
    filled = query
    if "TRACE_ID" in query or "DIGEST" in query:
        label = "trace_id" if "TRACE_ID" in query else re.findall(r"(\w+)=\"DIGEST\"", query)[0]
        lines = pipeline.loki.lines('{service_name=~".+"} | event_name=~"oauth_.+"')
        values = [line["labels"][label] for line in lines if label in line["labels"]]
        if not values:
            assert any(name in query for name in ABSENT), f"no event has {label}"
            values = ["0"]
        filled = query.replace("TRACE_ID", values[0]).replace("DIGEST", values[0])
    found = pipeline.loki.lines(filled) if query.startswith("{") else pipeline.loki.query(filled)
    if not any(name in query for name in ABSENT):
        assert found, filled
