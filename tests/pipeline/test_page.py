"""The page of panels: a dashboard as Grafana reads it, its queries against the real stores, its pictures."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

import pytest

from stack.page import Page, serve
from stack.panels import Sources, filled_in, panels, read, variables
from stack.pipeline import HOST, port

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline_run import PipelineRun

FLOWS = 'sum by (job) (rate(oauth_flows_total{job=~"$job"}[$__rate_interval]))'


def panel(kind: str, expression: str, source: str = "prometheus", **more: Any) -> dict[str, Any]:
    target = {"expr": expression, "datasource": {"type": source, "uid": "${source}"}, "legendFormat": "{{job}}"}
    return {"type": kind, "title": kind, "targets": [target], **more}


THRESHOLDS = {"defaults": {"unit": "percentunit", "thresholds": {"steps": [{"value": None, "color": "red"}]}}}
DASHBOARD = {
    "title": "A dashboard",
    "templating": {"list": [{"name": "job", "allValue": ".+", "current": {"value": "$__all"}}, {"name": "source"}]},
    "panels": [
        panel("timeseries", FLOWS),
        panel("stat", 'sum(oauth_active_tokens{job=~"${job:regex}"})', fieldConfig=THRESHOLDS),
        panel("table", "sum by (job) (oauth_security_events_total)"),
        {"type": "row", "title": "collapsed", "panels": [panel("logs", '{service_name=~"$job"}', "loki")]},
        panel("barchart", 'sum by (service_name) (count_over_time({service_name=~"$job"}[$__interval]))', "loki"),
        panel("timeseries", "no_such_metric"),
        panel("timeseries", "sum by ("),
    ],
}


def test_panels_and_variables_are_those_of_the_dashboard() -> None:
    found = list(panels(DASHBOARD))
    assert [each.kind for each in found] == [
        "timeseries",
        "stat",
        "table",
        "logs",
        "barchart",
        "timeseries",
        "timeseries",
    ]
    assert [query.instant for each in found for query in each.queries][:4] == [False, True, True, False]
    assert {each.dashboard for each in found} == {"A dashboard"}
    assert variables(DASHBOARD) == {"job": ".+", "source": ".+"}


@pytest.mark.stack
@pytest.mark.timeout(900)
def test_each_panel_is_drawn_from_real_data_and_served(pipeline: PipelineRun, tmp_path: Path) -> None:
    (tmp_path / "dashboards").mkdir()
    (tmp_path / "dashboards" / "one.json").write_text(json.dumps(DASHBOARD))
    sources = Sources(pipeline.prometheus, pipeline.loki)
    expression = filled_in(FLOWS, variables(DASHBOARD), sources)
    assert expression == 'sum by (job) (rate(oauth_flows_total{job=~".+"}[1m]))'
    read_now = {number: read(each, variables(DASHBOARD), sources) for number, each in enumerate(panels(DASHBOARD))}
    assert [number for number, data in read_now.items() if not data] == [5, 6]
    assert "demo-client" in dict(read_now[0].series)
    assert any("parse error" in error for error in read_now[6].errors)
    page = Page(tmp_path / "page", sources, {"Zipkin": "http://127.0.0.1:1/"}, tmp_path / "dashboards")
    assert page.render() == 7
    assert len(page.without_data) == 2
    number = port()
    server = serve(tmp_path / "page", HOST, number)
    try:
        with urlopen(f"http://{HOST}:{number}/", timeout=10) as answer:
            text = answer.read().decode()
        pictures = re.findall(r'src="([^"?]+)', text)
        assert len(pictures) == 7
        for name in pictures:
            with urlopen(f"http://{HOST}:{number}/{name}", timeout=10) as answer:
                assert answer.read(8) == b"\x89PNG\r\n\x1a\n"
    finally:
        server.shutdown()
        server.server_close()
