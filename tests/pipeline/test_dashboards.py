"""The dashboards are what their code makes, and show every metric that there is."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from otel_oauth.catalogue import BY_NAME, DOCUMENTED

if sys.version_info < (3, 11):
    pytest.skip("the SDK of the dashboards needs Python 3.11", allow_module_level=True)

import make_dashboards

SEEDED = {
    "OAuth Flow Success Rate",
    "Token Refresh Duration (p50, p95, p99)",
    "Security Events Timeline",
    "OAuth Operations Rate",
}
SERVER = [metric.name for metric in DOCUMENTED if metric.source == "mcp-oauth"]


def expressions(text: str) -> list[str]:
    return [target["expr"] for panel in json.loads(text)["panels"] for target in panel.get("targets", ())]


def shown(text: str) -> set[str]:
    words = re.findall(r"\w+", " ".join(expressions(text)))
    return {re.sub(r"_(bucket|sum|count)$", "", word) if word not in BY_NAME else word for word in words} & set(BY_NAME)


def test_the_files_are_what_their_code_makes() -> None:
    assert make_dashboards.main(["--check"]) == 0
    assert {path.name for path in make_dashboards.PLACE.glob("*.json")} == set(make_dashboards.rendered())


def test_every_metric_is_shown_somewhere() -> None:
    rates = {"oauth:flow_success_rate:5m"}
    everything = set().union(*(shown(text) for text in make_dashboards.rendered().values()))
    assert set(BY_NAME) - everything == set()
    assert any(rate in text for rate in rates for text in make_dashboards.rendered().values())


def test_all_metrics_of_a_server_are_on_the_servers_dashboard() -> None:
    assert len(SERVER) == 22
    assert set(SERVER) - shown(make_dashboards.rendered()["server.json"]) == set()


def test_the_documented_panels_are_on_the_overview() -> None:
    panels = json.loads(make_dashboards.rendered()["overview.json"])["panels"]
    assert SEEDED - {panel["title"] for panel in panels} == set()


@pytest.mark.parametrize("name", sorted(make_dashboards.rendered()))
def test_panels_are_described_have_a_place_of_their_own_and_follow_the_chosen_job(name: str) -> None:
    board = json.loads(make_dashboards.rendered()[name])
    panels = [panel for panel in board["panels"] if panel["type"] != "row"]
    assert len({panel["id"] for panel in panels}) == len(panels) > 5
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    for panel in panels:
        assert panel["title"]
        assert panel["description"].endswith(".")
        for target in panel["targets"]:
            assert "$job" in target["expr"] or "otelcol_" in target["expr"]


NEWER = {
    ".annotations.list[].placement",
    ".annotations.list[].step",
    ".annotations.list[].textFormat",
    ".annotations.list[].titleFormat",
    ".links[].placement",
    ".panels[].options.legend",
    ".panels[].options.percentChangeColorMode",
    ".templating.list[].allowCustomValue",
    ".templating.list[].definition",
}
"""Optional fields that older schemas have no word for, or never had; Grafana ignores what it does not know."""


@pytest.mark.stack
@pytest.mark.timeout(300)
@pytest.mark.parametrize("version", ["1769699734!11.0.0", "1769699379!11.6.0", "1769699241"])
def test_the_schemas_of_other_releases_of_grafana_know_the_dashboards(version: str, tmp_path: Path) -> None:
    install = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--no-deps", "--target", tmp_path]
    subprocess.run([*install, f"grafana-foundation-sdk=={version}"], check=True)
    script = Path(__file__).parents[1] / "support" / "dashboard_schema.py"
    done = subprocess.run(
        [sys.executable, script, tmp_path, make_dashboards.PLACE], check=True, capture_output=True, text=True
    )
    found = json.loads(done.stdout)
    assert found["files"] == len(make_dashboards.BOARDS)
    assert set(found["lost"]) <= NEWER
