"""The rules, alerts and queries for Prometheus: complete, documented, and tested by promtool."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "collector" / "prometheus"
RULES = sorted((PROMETHEUS / "rules").glob("*.yml"))
CASES = sorted((PROMETHEUS / "tests").glob("*.test.yml"))
DOCUMENTED_ALERTS = {
    "OAuthTokenReuseDetected",
    "OAuthCodeInjectionAttempt",
    "OAuthFlowSuccessRateLow",
    "OAuthTokenRefreshSlow",
    "OAuthIntegrityViolations",
    "OAuthActiveTokensHigh",
    "HighErrorRate",
    "RateLimitAttack",
    "TokenReuseDetected",
    "StorageGrowth",
}
DOCUMENTED_RULES = {
    "oauth:flow_success_rate:5m",
    "oauth:refresh_success_rate:5m",
    "oauth:flow_duration_seconds:p95",
    "oauth:refresh_duration_seconds:p95",
    "oauth:security_events_critical:rate5m",
    "oauth:integrity_violations:total",
}


def rules() -> Iterator[dict[str, Any]]:
    for path in RULES:
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]:
            yield from group["rules"]


ALERTS = {rule["alert"]: rule for rule in rules() if "alert" in rule}
RECORDED = {rule["record"]: rule for rule in rules() if "record" in rule}


@cache
def cases() -> frozenset[tuple[str, bool]]:
    return frozenset(
        (case["alertname"], bool(case["exp_alerts"]))
        for path in CASES
        for test in yaml.load(path.read_text(encoding="utf-8"), yaml.CSafeLoader)["tests"]
        for case in test.get("alert_rule_test", ())
    )


def test_the_documented_rules_and_alerts_are_there() -> None:
    assert DOCUMENTED_ALERTS - set(ALERTS) == set()
    assert DOCUMENTED_RULES - set(RECORDED) == set()


@pytest.mark.parametrize("name", sorted(ALERTS))
def test_an_alert_says_how_bad_it_is_what_it_means_and_what_to_do(name: str) -> None:
    alert = ALERTS[name]
    assert alert["labels"]["severity"] in {"critical", "high", "warning", "info"}
    assert re.fullmatch("P[0-3]", alert["labels"]["priority"])
    assert "$labels.job" in alert["annotations"]["summary"]
    assert alert["annotations"]["description"]
    page, _, anchor = alert["annotations"]["runbook_url"].partition("#")
    headings = re.findall(r"^#+ (.+)$", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE)
    assert anchor in {heading.lower() for heading in headings}


@pytest.mark.parametrize("name", sorted(ALERTS))
def test_an_alert_has_a_case_that_fires_and_one_that_stays_silent(name: str) -> None:
    assert {fires for alert, fires in cases() if alert == name} == {True, False}


def test_everything_is_by_job() -> None:
    for rule in rules():
        for grouping in re.findall(r"\bby \(([^)]*)\)", rule["expr"]):
            assert "job" in re.split(r"[,\s]+", grouping), rule


def test_the_page_of_queries_says_what_they_return() -> None:
    page = (ROOT / "docs" / "queries.md").read_text(encoding="utf-8")
    (test,) = yaml.safe_load((PROMETHEUS / "tests" / "queries.test.yml").read_text(encoding="utf-8"))["tests"]
    returned = {case["expr"]: case["exp_samples"] for case in test["promql_expr_test"]}
    found = re.findall(r"```promql\n(.+)\n```\n\nreturns (.+?)(?:: |\.\n|\. Corrected)", page)
    assert {query for query, _ in found} == set(returned)
    for query, text in found:
        shown = [f"`{sample['labels']} {sample['value']:.4g}`" for sample in returned[query]]
        rest = f" and {len(shown) - 2} more" if len(shown) > 2 else ""
        assert text == (", ".join(shown[:2]) + rest or "nothing"), query


@pytest.mark.stack
@pytest.mark.timeout(600)
def test_promtool_accepts_the_rules_and_passes_their_cases(binaries: Path) -> None:
    for command in (["check", "rules", *RULES], ["test", "rules", *CASES]):
        done = subprocess.run([binaries / "promtool", *command], check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
