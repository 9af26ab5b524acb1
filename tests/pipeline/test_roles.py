"""Agent and gateway in a row; remote write; tail sampling; spans to a backend that takes OTLP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanKind, Status, StatusCode
from pipeline_collector import Application
from pipeline_run import wait_until

from otel_oauth.testing import OtlpReceiver
from stack.pipeline import AGENT, CollectorProcess, Stack
from stack.queries import Prometheus

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

SAMPLING_GATEWAY = (
    *("receive", "redaction", "own", "scopes", "remote-write", "loki", "traces-otlp"),
    "tail-sampling",
)


class Roles:
    """An application, its agent, the gateway, Prometheus, and a backend of spans."""

    def __init__(self, place: Path, backend: OtlpReceiver) -> None:
        self.backend = backend
        self.stack = Stack(place, usual=False)
        self.stack.targets = {}
        self.stack.children = [self.stack.prometheus]
        self.prometheus = Prometheus(self.stack.prometheus_url)
        settings = {
            "OTELCOL_REMOTE_WRITE": f"{self.stack.prometheus_url}/api/v1/write",
            "OTELCOL_TRACES": backend.endpoint,
            "OTELCOL_DECISION_WAIT": "1s",
            "OTELCOL_SAMPLING_PERCENTAGE": "0",
        }
        self.gateway = CollectorProcess("gateway", SAMPLING_GATEWAY, place, settings, {})
        self.agent = CollectorProcess("agent", AGENT, place, {"OTELCOL_GATEWAY": self.gateway.otlp}, {})
        self.stack.children += [self.gateway, self.agent]
        self.application = Application(self.agent.otlp)


@pytest.fixture(scope="module")
def roles(binaries: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Roles]:
    assert binaries.is_dir()
    with OtlpReceiver() as backend:
        roles = Roles(tmp_path_factory.mktemp("roles"), backend)
        with roles.stack:
            yield roles
            roles.application.shutdown()


def test_remote_write_keeps_names_labels_and_exemplars_and_translates_others(roles: Roles) -> None:
    ours, theirs = (roles.application.meters.get_meter(scope) for scope in ("otel_oauth", "other"))
    with roles.application.tracers.get_tracer("otel_oauth").start_as_current_span("oauth.endpoint token") as span:
        ours.create_counter("oauth_code_reuse_detected", unit="{attempt}").add(1)
        ours.create_counter("oauth_security_events_total").add(1, {"event_type": "token_reuse", "severity": "high"})
        ours.create_histogram("oauth_flow_duration_seconds", unit="s").record(3.0, {"provider": "demo"})
        theirs.create_counter("jobs", unit="{job}").add(1)
        trace_id = trace.format_trace_id(span.get_span_context().trace_id)
    roles.application.flush()
    names = '{job="shop",__name__!~".*_(bucket|sum|count)|target_info"}'
    wait_until(lambda: len(roles.prometheus.query(names)) >= 3, 60, "the metrics are in Prometheus")
    found = {series["metric"].pop("__name__"): series["metric"] for series in roles.prometheus.query(names)}
    who = {"job": "shop", "instance": "shop-1"}
    assert found == {
        "oauth_code_reuse_detected": who,
        "oauth_security_events_total": {**who, "event_type": "token_reuse", "severity": "high"},
        "jobs_total": who,
    }
    assert roles.prometheus.value('oauth_flow_duration_seconds_count{provider="demo"}') == 1
    exemplars = roles.prometheus.exemplars('{__name__=~"oauth_.*"}')
    assert {exemplar["labels"]["trace_id"] for exemplar in exemplars} == {trace_id}
    assert {exemplar["metric"]["__name__"] for exemplar in exemplars} >= {
        "oauth_security_events_total",
        "oauth_flow_duration_seconds_bucket",
    }


def test_sampling_keeps_traces_with_a_verdict_or_an_error_whole_and_no_others(roles: Roles) -> None:
    tracer = roles.application.tracers.get_tracer("otel_oauth")

    def request(name: str, attributes: dict[str, Any], *, failed: bool = False) -> None:
        with (
            tracer.start_as_current_span(f"{name} http", kind=SpanKind.SERVER),
            tracer.start_as_current_span(f"{name} oauth", attributes=attributes) as span,
        ):
            if failed:
                span.set_status(Status(StatusCode.ERROR))

    request("everyday", {"oauth.case": "success"})
    request("attack", {"oauth.security.event_type": "token_reuse", "oauth.security.severity": "critical"})
    request("benign", {"oauth.security.event_type": "token_reuse", "oauth.security.severity": "low"})
    request("failure", {}, failed=True)
    request("everyday too", {"oauth.case": "success"})
    wanted = {f"{name} {layer}" for name in ("attack", "benign", "failure") for layer in ("http", "oauth")}

    def arrived() -> set[str]:
        return {span["name"] for span in roles.backend.spans()} & {*wanted, "everyday oauth", "everyday too oauth"}

    wait_until(lambda: arrived() >= wanted, 60, "the traces that are kept")
    assert arrived() == wanted
