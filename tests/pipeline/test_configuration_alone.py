"""Without our Python code: an application in any language that serves the documented metrics as text."""

from __future__ import annotations

import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest
import yaml
from pipeline_run import SCRAPE_SECONDS, wait_until

from otel_oauth.catalogue import DOCUMENTED
from stack import COLLECTOR
from stack.pipeline import HOST, Stack
from stack.queries import Prometheus

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(400)

TEXT = """\
# TYPE oauth_flows_total counter
oauth_flows_total{{provider="example",status="initiated"}} 100
oauth_flows_total{{provider="example",status="success"}} {successes}
oauth_flows_total{{provider="example",status="failure"}} 1
# TYPE oauth_code_injection_attempts_total counter
oauth_code_injection_attempts_total {attempts}
# TYPE oauth_token_refreshed_total counter
oauth_token_refreshed_total{{client_id="web",rotated="true"}} 7
# TYPE oauth_active_tokens gauge
oauth_active_tokens 12
"""
"""As the stock exporter of another language writes it: with ``_total`` at a counter that is documented without."""


class Shop:
    """Serves the page."""

    def __init__(self) -> None:
        self.attempts = 0
        self.successes = 90

    @contextmanager
    def serving(self) -> Iterator[str]:
        shop = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                shop.successes += 1
                body = TEXT.format(attempts=shop.attempts, successes=shop.successes).encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        with ThreadingHTTPServer((HOST, 0), Handler) as server:
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            yield f"{HOST}:{server.server_port}"
            server.shutdown()
            thread.join()


def test_ten_counters_get_their_documented_names_back() -> None:
    jobs = yaml.safe_load((COLLECTOR / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    wanted = {metric.name for metric in DOCUMENTED if metric.kind == "counter" and not metric.name.endswith("_total")}
    for name in ("otelcol-others", "oauth-stock-exporter"):
        (job,) = [job for job in jobs if job["job_name"] == name]
        (rule,) = [rule for rule in job["metric_relabel_configs"] if rule.get("target_label") == "__name__"]
        renamed = {f"{name}_total": re.fullmatch(rule["regex"], f"{name}_total") for name in wanted}
        assert all(renamed.values()), renamed
        others = [metric.name for metric in DOCUMENTED if re.fullmatch(rule["regex"], metric.name)]
        assert others == []


@pytest.mark.stack
def test_a_handwritten_page_gets_names_rules_and_the_alert_of_its_first_attack(binaries: Path, tmp_path: Path) -> None:
    assert binaries.is_dir()
    shop = Shop()
    with shop.serving() as target:
        stack = Stack(tmp_path, scrape_seconds=SCRAPE_SECONDS, usual=False)
        stack.targets = {"oauth-stock-exporter": [target]}
        stack.children = [stack.prometheus]
        prometheus = Prometheus(stack.prometheus_url)
        with stack:
            wait_until(lambda: prometheus.value("oauth_active_tokens") == 12, 60, "the page is scraped")
            assert prometheus.value("sum(oauth_token_refreshed)") == 7
            assert prometheus.query("oauth_token_refreshed_total") == []
            rate = "oauth:flow_success_rate:5m"
            wait_until(lambda: prometheus.value(rate) is not None, 120, f"the rule {rate} records")
            assert [alert for alert in prometheus.alerts() if alert["labels"]["severity"] == "critical"] == []
            shop.attempts = 1

            def fired() -> set[str]:
                return {a["labels"]["alertname"] for a in prometheus.alerts() if a["state"] == "firing"}

            wait_until(lambda: "OAuthCodeInjectionAttempt" in fired(), 120, "the alert of the first attack")
