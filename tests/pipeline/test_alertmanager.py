"""Alertmanager's example: valid, each alert reaches whom its priority says, and an attack really arrives there."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from pipeline_run import wait_until

from stack import COLLECTOR
from stack.queries import get

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline_run import PipelineRun

pytestmark = [
    pytest.mark.stack,
    pytest.mark.timeout(900),
    pytest.mark.skipif(shutil.which("amtool") is None, reason="needs the package prometheus-alertmanager"),
]

AMTOOL = shutil.which("amtool")
FILE = COLLECTOR / "prometheus" / "alertmanager.yml"
FILES = sorted([*(COLLECTOR / "prometheus" / "rules").glob("*.yml"), *(COLLECTOR / "loki" / "rules").glob("*/*.yaml")])
RECEIVERS = {"P0": ["pager"], "P1": ["pager", "team"], "P2": ["tickets"], "P3": ["tickets"]}


def alerts() -> Iterator[dict[str, Any]]:
    for path in FILES:
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]:
            yield from (rule for rule in group["rules"] if "alert" in rule)


def amtool(*arguments: str) -> str:
    done = subprocess.run([str(AMTOOL), *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_alertmanager_takes_the_example() -> None:
    assert "SUCCESS" in amtool("check-config", str(FILE))


def test_every_alert_reaches_whom_its_priority_says() -> None:
    priorities = {alert["labels"]["priority"] for alert in alerts()}
    assert priorities == set(RECEIVERS)
    for priority, receivers in RECEIVERS.items():
        labels = (f"priority={priority}", "alertname=any", "job=shop")
        assert amtool("config", "routes", "test", f"--config.file={FILE}", *labels).split() == [",".join(receivers)]


def test_inhibitions_name_alerts_and_labels_that_there_are() -> None:
    known = {alert["alert"]: alert for alert in alerts()}
    for rule in yaml.safe_load(FILE.read_text(encoding="utf-8"))["inhibit_rules"]:
        for matchers in (rule["source_matchers"], rule["target_matchers"]):
            chosen = matched(matchers[0], set(known))
            assert chosen, matchers
            for name in chosen:
                assert "slo" not in rule["equal"] or known[name]["labels"]["slo"]


def matched(matcher: str, names: set[str]) -> set[str]:
    """Return the alerts that ``alertname="…"`` or ``alertname=~"…"`` stands for."""
    ((operator, value),) = re.findall(r'^alertname(=~?)"(.+)"$', matcher)
    return {name for name in names if (re.fullmatch(value, name) if operator == "=~" else value == name)}


def test_the_first_attack_is_at_alertmanager_once_and_its_twin_is_inhibited(pipeline: PipelineRun) -> None:
    url = f"{pipeline.stack.alertmanager_url}/api/v2/alerts"

    def states() -> dict[str, str]:
        return {
            alert["labels"]["alertname"]: alert["status"]["state"]
            for alert in get(url)
            if alert["labels"].get("job") == "demo-server"
        }

    wait_until(lambda: {"OAuthTokenReuseDetected", "TokenReuseDetected"} <= states().keys(), 120, "both alerts")
    wait_until(lambda: states()["TokenReuseDetected"] == "suppressed", 60, "the second of them is inhibited")
    assert states()["OAuthTokenReuseDetected"] == "active"
