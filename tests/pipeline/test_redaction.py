"""The second line of redaction, in a real Collector: what applications without the first line send."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from opentelemetry import trace
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.trace import Link, SpanContext, Status, StatusCode, TraceFlags
from pipeline_collector import Agent

from otel_oauth.testing import OtlpReceiver

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.stack, pytest.mark.timeout(120)]

CANARY = "zq7Canary{:02d}xK3vW9pLm2"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ6cTdDYW5hcnkifQ.zq7CanaryJwtSignature"
REDACTED = "[redacted:access_token:1f3a9c]"

PARAMETERS = (
    "code",
    "state",
    "nonce",
    "access_token",
    "refresh_token",
    "id_token",
    "id_token_hint",
    "code_verifier",
    "client_secret",
    "client_assertion",
    "assertion",
    "subject_token",
    "registration_access_token",
    "device_code",
    "user_code",
    "password",
    "token",
)

HARMLESS = {
    "url.path": "/token",
    "oauth.grant_type": "authorization_code",
    "oauth.error": "invalid_grant",
    "oauth.case": "code_replayed",
    "oauth.code.digest": "5f1c9a02",
    "oauth.token_type": "Bearer",
    "oauth.token.remaining_lifetime": 12,
    "http.response.status_code": 400,
    "http.route": "/callback",
    "oauth.client_id": "web",
    "note": "grant_type=authorization_code&response_type=code&scope=openid&client_id=web&token_type=Bearer",
    "mark": REDACTED,
    "link": f"https://shop.example/callback?code={REDACTED}&scope=openid",
}


def forms(name: str, secret: str) -> dict[str, str]:
    """Return the forms in which a parameter turns up in text."""
    url = f"https://shop.example/callback?x=1&{name}={secret}&y=2"
    return {
        "url": url,
        "percent": quote(url, safe=""),
        "percent twice": quote(quote(url, safe=""), safe=""),
        "form": f"{name}={secret}",
        "json": json.dumps({"a": 1, name: secret}),
        "json in json": json.dumps({"body": json.dumps({name: secret})}),
        "repr": repr({name: secret}),
        "list": repr({name: [secret]}),
        "bytes": repr({name: secret.encode()}),
        "bytes form": repr(f"{name}={secret}".encode()),
    }


HEADERS = {
    "http.request.header.authorization": "Bearer {}",
    "http.request.header.cookie": "session={}; path=/",
    "http.response.header.set_cookie": "session={}",
}


@pytest.fixture(scope="module")
def sent(agent: Agent) -> list[str]:
    """Send every secret in every form over all three signals; return the secrets."""
    return send(agent)


def send(agent: Agent) -> list[str]:
    secrets = []
    tracer = agent.application.tracers.get_tracer("stock")
    logger = agent.application.loggers.get_logger("stock")
    count = agent.application.meters.get_meter("stock").create_counter("logins")
    for number, name in enumerate(PARAMETERS):
        secret = CANARY.format(number)
        secrets.append(secret)
        for form, text in forms(name, secret).items():
            with tracer.start_as_current_span(f"GET {text}") as span:
                span.set_attribute("text", text)
                span.set_attribute("texts", [text, "other"])
                span.set_attribute(name, secret)
                span.set_attribute(f"form.{name}", secret)
                span.add_event(f"event {text}", {"exception.message": text, name: secret})
                span.set_status(Status(StatusCode.ERROR, text))
                logger.emit(record(text, {"text": text, name: secret, "form": form}))
                logger.emit(record({"inner": {"deep": text, name: secret, "list": [text, {name: secret}]}}, {}))
                count.add(1, {"link": text, "form": form, "parameter": name})
    for text in (f"Authorization: Bearer {CANARY.format(98)}", f"cookie: session={CANARY.format(98)}; a=b", JWT):
        with tracer.start_as_current_span(text) as span:
            span.set_attribute("text", text)
            logger.emit(record(text, {"text": text}))
    with tracer.start_as_current_span("headers") as span:
        for name, text in HEADERS.items():
            span.set_attribute(name, text.format(CANARY.format(99)))
    with tracer.start_as_current_span("harmless", attributes=HARMLESS):
        logger.emit(record("state of the service: code 400, Bearer of news", dict(HARMLESS)))
    agent.application.flush()
    agent.wait_for(
        lambda receiver: (
            any(span["name"] == "harmless" for span in receiver.spans())
            and receiver.metrics()
            and any(log["attributes"].get("oauth.client_id") == "web" for log in receiver.logs())
        )
    )
    return [*secrets, CANARY.format(98), CANARY.format(99), JWT, "zq7Canary"]


def record(body: Any, attributes: dict[str, Any]) -> LogRecord:
    """Return a log record in the current context."""
    return LogRecord(
        timestamp=1,
        body=body,
        attributes=attributes,
        severity_number=SeverityNumber.WARN,
        severity_text="WARN",
        context=trace.set_span_in_context(trace.get_current_span()),
    )


def test_no_secret_passes_in_any_form(agent: Agent, sent: list[str]) -> None:
    received = {
        "spans": json.dumps(agent.receiver.spans(), default=str),
        "metrics": json.dumps(agent.receiver.metrics(), default=str),
        "logs": json.dumps(agent.receiver.logs(), default=str),
    }
    left = {
        signal: [text[max(0, text.find(secret) - 60) : text.find(secret) + 40] for secret in sent if secret in text]
        for signal, text in received.items()
    }
    assert left == {"spans": [], "metrics": [], "logs": []}
    assert [secret for secret in sent if secret.encode() in agent.receiver.raw()] == []


WITHOUT = """
service:
  pipelines:
    traces/in: {processors: [memory_limiter]}
    metrics/in: {processors: [memory_limiter]}
    logs/in: {processors: [memory_limiter]}
"""


def test_without_it_every_secret_is_found(binaries: Path, tmp_path: Path) -> None:
    """The gate can fail."""
    assert binaries.is_dir()
    overlay = tmp_path / "without.yaml"
    overlay.write_text(WITHOUT)
    with OtlpReceiver() as receiver, Agent(tmp_path, receiver, str(overlay)) as agent:
        secrets = send(agent)
        for signal in (receiver.spans(), receiver.metrics(), receiver.logs()):
            text = json.dumps(signal, default=str)
            assert [secret for secret in secrets[: len(PARAMETERS)] if secret not in text] == []
        assert JWT in json.dumps(receiver.spans())


def test_nothing_was_lost_by_it(agent: Agent, sent: list[str]) -> None:
    expected = len(PARAMETERS) * 10
    assert len(agent.receiver.spans()) == expected + 5
    assert len(agent.receiver.logs()) == 2 * expected + 4
    assert sum(point["value"] for point in agent.receiver.metrics() if point["name"] == "logins") == expected
    assert sent


def test_what_is_no_secret_stays_readable(agent: Agent, sent: list[str]) -> None:
    (span,) = [span for span in agent.receiver.spans() if span["name"] == "harmless"]
    assert span["attributes"] == HARMLESS
    (log,) = [log for log in agent.receiver.logs() if "oauth.client_id" in log["attributes"]]
    assert log["attributes"] == HARMLESS
    assert log["body"] == "state of the service: code 400, Bearer of news"
    assert (log["severity"], log["trace_id"]) == ("WARN", span["trace_id"])
    assert span["resource"]["service.name"] == "shop"
    assert sent


def test_names_and_status_are_where_they_were(agent: Agent, sent: list[str]) -> None:
    span = next(span for span in agent.receiver.spans() if span["attributes"].get("code") == "****")
    assert span["name"].startswith("GET ")
    assert "****" in span["name"]
    assert span["status"]["code"] == "error"
    assert "****" in span["status"]["message"]
    assert "****" in span["events"][0]["name"]
    assert not [name for name in span["attributes"] if name.startswith("redaction.")]
    assert sent


def test_the_disk_of_the_collector_holds_no_secret(agent: Agent, sent: list[str]) -> None:
    assert [secret for secret in sent if secret.encode() in agent.left_on_disk()] == []


def test_the_links_of_spans_pass_as_they_are(agent: Agent) -> None:
    """No component reaches their attributes: the page says so, and this would tell if that changed."""
    context = SpanContext(1, 1, is_remote=True, trace_flags=TraceFlags(1))
    tracer = agent.application.tracers.get_tracer("stock")
    with tracer.start_as_current_span("linked", links=[Link(context, {"url": "https://a.example/?code=visible"})]):
        pass
    agent.wait_for(lambda receiver: any(span["name"] == "linked" for span in receiver.spans()))
    (span,) = [span for span in agent.receiver.spans() if span["name"] == "linked"]
    assert span["links"][0]["attributes"] == {"url": "https://a.example/?code=visible"}
