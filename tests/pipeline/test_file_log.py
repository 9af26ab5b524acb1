"""JSON lines in files, as the product writes them, become the log records that OTLP would have brought."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import context, trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from otel_oauth.json_lines import JsonLines

if TYPE_CHECKING:
    from pipeline_collector import Agent

pytestmark = [pytest.mark.stack, pytest.mark.timeout(120)]

ATTRIBUTES = {
    "event.name": "oauth_refresh_token_reuse_detected",
    "oauth.client_id": "web",
    "oauth.token_family.digest": "5f1c9a02",
}
AT = 1_700_000_000_123_456_000


def pytest_fails() -> None:
    pytest.fail("a line could not be written")


def found(agent: Agent, **wanted: Any) -> list[dict[str, Any]]:
    """Return the records whose fields are as they are wanted."""
    return [log for log in agent.receiver.logs() if all(log[name] == value for name, value in wanted.items())]


def test_a_line_becomes_the_record_of_its_event(agent: Agent) -> None:
    span = NonRecordingSpan(SpanContext(0xABC, 0xDEF, is_remote=False, trace_flags=TraceFlags(1)))
    lines = JsonLines(str(agent.logs / "events.jsonl"), 10**6, pytest_fails, "billing")
    lines.write(
        "It was presented again.", ("error", 17), AT, trace.set_span_in_context(span, context.Context()), ATTRIBUTES
    )
    lines.close()
    agent.wait_for(lambda _: found(agent, body="It was presented again."))
    (record,) = found(agent, body="It was presented again.")
    assert record["attributes"] == ATTRIBUTES
    assert record["resource"]["service.name"] == "billing"
    assert (record["severity"], record["severity_number"]) == ("ERROR", 17)
    assert (record["trace_id"], record["span_id"]) == (f"{0xABC:032x}", f"{0xDEF:016x}")
    assert abs(record["time"] - AT) < 1_000


def test_other_lines_pass_too_and_are_redacted(agent: Agent) -> None:
    (agent.logs / "others.jsonl").write_text(
        "no json: code=canary-1\n" + json.dumps({"message": "GET /?code=canary-2", "code": "canary-3"}) + "\n"
    )
    agent.wait_for(lambda _: any("message" in log["attributes"] for log in agent.receiver.logs()))
    assert found(agent, body="no json: ****")
    assert found(agent, attributes={"message": "GET /?****", "code": "****"})
    assert b"canary" not in agent.receiver.raw()


def test_a_killed_collector_reads_on_where_it_was(agent: Agent) -> None:
    with (agent.logs / "growing.jsonl").open("a") as file:
        for number in range(200):
            file.write(json.dumps({"body": f"line {number}"}) + "\n")
            if number == 100:
                file.flush()
                agent.wait_for(lambda _: found(agent, body="line 100"))
                time.sleep(1)
                agent.collector.kill()
    agent.collector.start()
    agent.collector.wait_until_ready()
    agent.wait_for(lambda _: found(agent, body="line 199"))
    missing = [number for number in range(200) if not found(agent, body=f"line {number}")]
    assert missing == []
