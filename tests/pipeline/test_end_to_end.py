"""Applications under ``opentelemetry-instrument``, through the Collector, to Prometheus, Loki and Zipkin."""

from __future__ import annotations

import json
import math
import re
import sqlite3
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest
from pipeline_run import EVALUATION_SECONDS, SCRAPE_SECONDS, wait_until

from demo.seeds import CLIENTS
from otel_oauth.catalogue import DOCUMENTED, OWN
from stack import COLLECTOR
from stack.page import Page
from stack.panels import Sources, dashboards, panels, read, variables
from stack.queries import get

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline_run import PipelineRun

    from otel_oauth.catalogue import Metric

pytestmark = [pytest.mark.stack, pytest.mark.timeout(900)]

SECURITY_EVENTS = (
    "oauth_refresh_token_reuse_detected",
    "oauth_code_injection_attempt",
    "oauth_integrity_violation",
    "oauth_ownership_violation",
    "pkce_replay_detected",
    "oauth_code_reuse_detected",
)
ADDED = {"__name__", "job", "instance", "le"}


def sample_names(metric: Metric) -> list[str]:
    """Return the names of the series of a metric."""
    if metric.kind == "histogram":
        return [f"{metric.name}_{suffix}" for suffix in ("bucket", "sum", "count")]
    return [metric.name]


def test_all_39_names_arrive_exactly_with_their_labels(pipeline: PipelineRun) -> None:
    found = pipeline.prometheus.query('{job=~"demo-.*",__name__=~"(oauth|storage|provider_api)_.*"}')
    expected = {name: metric for metric in DOCUMENTED for name in sample_names(metric)}
    assert {series["metric"]["__name__"] for series in found} == set(expected)
    wrong = [
        series["metric"]
        for series in found
        if series["metric"].keys() - ADDED != set(expected[series["metric"]["__name__"]].label_names)
    ]
    assert wrong == []


def test_our_own_metrics_arrive_too(pipeline: PipelineRun) -> None:
    found = pipeline.prometheus.query('{job=~"demo-.*",__name__=~"otel_oauth_.*"}')
    assert {series["metric"]["__name__"] for series in found} <= {metric.name for metric in OWN}
    assert pipeline.prometheus.value("sum(otel_oauth_errors_total)") == 0


def test_types_are_kept_but_for_the_ten_counters_without_the_suffix(pipeline: PipelineRun) -> None:
    # of a counter OpenMetrics describes the family, whose name lacks the suffix of its samples
    metadata = {name.removesuffix("_total"): found[0]["type"] for name, found in pipeline.prometheus.metadata().items()}
    types = {metric.name: metadata[metric.name.removesuffix("_total")] for metric in DOCUMENTED}
    unknown = {metric.name for metric in DOCUMENTED if metric.kind == "counter" and not metric.name.endswith("_total")}
    assert len(unknown) == 10
    assert types == {metric.name: "unknown" if metric.name in unknown else metric.kind for metric in DOCUMENTED}


def test_buckets_are_the_documented_ones(pipeline: PipelineRun) -> None:
    for metric in DOCUMENTED:
        if metric.kind == "histogram":
            series = pipeline.prometheus.query(f"count by (le) ({metric.name}_bucket)")
            bounds = sorted(float(each["metric"]["le"]) for each in series)
            assert bounds == [*metric.buckets, math.inf], metric.name


def test_names_and_values_are_the_same_through_the_in_process_endpoint(pipeline: PipelineRun) -> None:
    names = '__name__=~"(oauth|storage|provider_api)_.*"'
    gauges = {metric.name for metric in DOCUMENTED if metric.kind == "gauge"}
    for program in pipeline.applications.programs:
        target = program.metrics_url.removeprefix("http://").removesuffix("/metrics")
        both = [f'{{job="oauth-in-process",instance="{target}",{names}}}', f'{{job="{program.service}",{names}}}']

        def equal(both: list[str] = both) -> bool:
            scraped, through = (values(pipeline, query, gauges) for query in both)
            return len(through) > 200 and scraped == through

        wait_until(equal, 60, f"the same values of {program.service} in both ways")
    kinds = 'count by (__name__) ({job="oauth-in-process",__name__=~"(oauth|storage|provider_api)_.*"})'
    found = {series["metric"]["__name__"] for series in pipeline.prometheus.query(kinds)}
    assert found == {name for metric in DOCUMENTED for name in sample_names(metric)}


def values(pipeline: PipelineRun, query: str, without: set[str]) -> dict[str, float]:
    """Return counters and histograms by their names and labels, rounded as they are printed."""
    return {
        series_text(each["metric"]): round(float(each["value"][1]), 6)
        for each in pipeline.prometheus.query(query)
        if each["metric"]["__name__"] not in without
    }


def series_text(labels: dict[str, str]) -> str:
    inner = ",".join(f"{name}={value}" for name, value in sorted(labels.items()) if name not in ADDED - {"le"})
    return f"{labels['__name__']}{{{inner}}}"


def test_the_metrics_of_others_are_translated_as_usual(pipeline: PipelineRun) -> None:
    found = pipeline.prometheus.query('{job="demo-server",__name__=~"http_.*"}')
    names = {series["metric"]["__name__"] for series in found}
    assert any(name.endswith(("_seconds_count", "_milliseconds_count")) for name in names)
    assert pipeline.prometheus.query('{job="demo-server",__name__=~"http_.*",otel_scope_name!=""}') == []


@pytest.mark.parametrize("event", SECURITY_EVENTS)
def test_each_security_event_leads_from_the_log_to_the_trace_to_the_exemplar_and_back(
    pipeline: PipelineRun, event: str
) -> None:
    found = pipeline.loki.lines(f'{{service_name=~"demo-.*"}} | event_name="{event}"')
    assert found, event
    labels = found[0]["labels"]
    assert {"service_name", "severity_text", "trace_id", "span_id", "oauth_case"} <= labels.keys()
    assert labels["severity_text"] in ("WARN", "ERROR")
    spans = pipeline.zipkin.trace(labels["trace_id"])
    (span,) = [span for span in spans if span["id"] == labels["span_id"]]
    assert span["tags"]["oauth.case"] == labels["oauth_case"]
    ids = {line["labels"]["trace_id"] for line in found}
    exemplars = pipeline.prometheus.exemplars('oauth_security_events_total{severity!="low"}')
    joined = [exemplar for exemplar in exemplars if exemplar["labels"]["trace_id"] in ids]
    assert joined, f"no exemplar of {event} leads to its trace"
    back = pipeline.loki.lines(f'{{service_name=~"demo-.*"}} | trace_id="{joined[0]["labels"]["trace_id"]}"')
    assert event in {line["labels"].get("event_name") for line in back}


def test_as_many_events_as_the_metric_counts(pipeline: PipelineRun) -> None:
    counted = pipeline.prometheus.value('sum(oauth_security_events_total{job=~"demo-.*",severity!="low"})')
    pattern = "|".join(SECURITY_EVENTS)
    logged = pipeline.loki.lines(f'{{service_name=~"demo-.*"}} | event_name=~"{pattern}"')
    assert len(logged) == counted


def test_index_labels_of_loki_are_few(pipeline: PipelineRun) -> None:
    labels = set(get(f"{pipeline.loki.url}/loki/api/v1/labels")["data"])
    assert labels <= {"service_name", "service_namespace", "deployment_environment_name", "severity_text"}
    assert {"service_name", "severity_text"} <= labels


def test_the_benign_twins_of_all_attacks_fire_nothing(pipeline: PipelineRun) -> None:
    assert pipeline.alerts_before == []


def test_the_first_attack_fires_within_one_evaluation(pipeline: PipelineRun) -> None:
    alert = pipeline.alert_after_first_attack
    assert alert["state"] == "firing"
    assert alert["labels"]["job"] == "demo-server"
    attack = 'oauth_token_refresh_total{job="demo-server",status="reuse_detected"}'
    seen = min(
        float(at)
        for series in pipeline.prometheus.query(f"{attack}[30m]")
        for at, value in series["values"]
        if float(value) > 0
    )
    fired = datetime.fromisoformat(re.sub(r"\.\d+", "", alert["activeAt"]).replace("Z", "+00:00")).timestamp()
    # Prometheus's own times: of the scrape that brought the attack, and of the evaluation. What the alert is computed
    # from is recorded before it in the same group, hence in the same evaluation. A busy machine may leave one out, and
    # says so.
    missed = pipeline.prometheus.value("sum(prometheus_rule_group_iterations_missed_total)") or 0
    assert fired - seen < (1 + missed) * EVALUATION_SECONDS + SCRAPE_SECONDS


def test_the_attacks_fire_their_alerts_in_loki_too(pipeline: PipelineRun) -> None:
    def firing() -> set[str]:
        return {alert["labels"]["event_name"] for alert in pipeline.loki.alerts() if alert["state"] == "firing"}

    wait_until(lambda: firing() >= set(SECURITY_EVENTS), 120, "all six alerts of Loki's ruler")


def test_no_secret_is_anywhere(pipeline: PipelineRun) -> None:
    """Tokens and client secrets of the run: in all three stores, the Collector's log, its queue and all logs."""
    secrets = [client.secret for client in CLIENTS if client.secret] + stored_secrets(pipeline)
    assert len(secrets) > 50
    stores = {
        "prometheus": json.dumps(pipeline.prometheus.query('{__name__=~".+"}'))
        + json.dumps(pipeline.prometheus.exemplars('{__name__=~".+"}')),
        "loki": json.dumps(pipeline.loki.lines('{service_name=~".+"}')),
        "zipkin": json.dumps(pipeline.zipkin.traces(5000)),
    }
    for name, text in stores.items():
        assert [secret for secret in secrets if secret in text] == [], name
    for path in pipeline.stack.place.rglob("*"):
        if path.is_file() and path.name != "database" and not path.name.startswith("database-"):
            content = path.read_bytes()
            assert [secret for secret in secrets if secret.encode() in content] == [], path


def stored_secrets(pipeline: PipelineRun) -> list[str]:
    """Return the tokens and codes that the server still stores."""
    path = pipeline.stack.place / "applications" / "database"
    found: list[Any] = []
    with sqlite3.connect(path) as database:
        found += database.execute("SELECT access_token FROM tokens").fetchall()
        found += database.execute("SELECT refresh_token FROM tokens WHERE refresh_token IS NOT NULL").fetchall()
        found += database.execute("SELECT code FROM codes").fetchall()
    return [value for (value,) in found if value]


def test_every_panel_of_the_dashboards_has_data(pipeline: PipelineRun, tmp_path: Path) -> None:
    sources = Sources(pipeline.prometheus, pipeline.loki)
    missing = [(panel, variables(board)) for board in dashboards() for panel in panels(board)]
    assert len(missing) > 80

    def complete() -> bool:
        missing[:] = [(panel, values) for panel, values in missing if not read(panel, values, sources)]
        return not missing

    try:
        wait_until(complete, 180, "data in every panel")
    except AssertionError:
        pytest.fail(f"without data: {[(panel.dashboard, panel.title) for panel, _ in missing]}")
    page = Page(tmp_path, sources, {})
    assert page.render() == len(list(tmp_path.glob("*.png")))


def test_the_alerts_on_the_collector_name_its_metrics(pipeline: PipelineRun) -> None:
    rules = (COLLECTOR / "prometheus" / "rules" / "pipeline.yml").read_text(encoding="utf-8")
    named = set(re.findall(r"\botelcol_\w+", rules))
    born_later = {name for name in named if name.startswith("otelcol_exporter_send_failed_")}
    assert len(named - born_later) == 5
    for name in named - born_later:
        assert pipeline.prometheus.query(f'{name}{{job="otelcol"}}'), name
    delivered = {name.replace("send_failed", "sent") for name in born_later}
    assert all(pipeline.prometheus.query(f'{name}{{job="otelcol"}}') for name in delivered)


def test_every_variable_of_the_dashboards_has_values(pipeline: PipelineRun) -> None:
    queries = {
        variable["query"]
        for dashboard in dashboards()
        for variable in dashboard["templating"]["list"]
        if variable["type"] == "query"
    }
    assert len(queries) >= 3
    for query in queries:
        found = re.fullmatch(r"label_values\((.+), (\w+)\)", query)
        assert found is not None, query
        assert pipeline.prometheus.query(f"group by ({found[2]}) ({found[1]})"), query
