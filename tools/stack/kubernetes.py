"""Write the Kubernetes manifests: ``python -m stack.kubernetes DIRECTORY``.

They are made from the same files that run here and in containers: the Collector's configuration, the rules, the
dashboards. Needed in the cluster are the OpenTelemetry Operator, and the Prometheus Operator for rules and scraping.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import yaml

from stack import COLLECTOR
from stack.panels import DASHBOARDS
from stack.pipeline import AGENT, merged

NAMESPACE = "observability"
IMAGE = "otel/opentelemetry-collector-contrib:0.158.0"
GATEWAY = ("receive", "redaction", "own", "scopes", "prometheus", "loki", "traces-otlp")
LISTEN = {
    "OTELCOL_OTLP_GRPC": "0.0.0.0:4317",
    "OTELCOL_OTLP_HTTP": "0.0.0.0:4318",
    "OTELCOL_HEALTH": "0.0.0.0:13133",
    "OTELCOL_METRICS_HOST": "0.0.0.0",  # noqa: S104 within a pod
    "OTELCOL_QUEUE_DIRECTORY": "/queue",
}
PROMETHEUS = {"OTELCOL_PROMETHEUS_OAUTH": "0.0.0.0:8889", "OTELCOL_PROMETHEUS_OTHERS": "0.0.0.0:8890"}
BACKENDS = {"OTELCOL_LOKI": "http://loki:3100", "OTELCOL_TRACES": "http://tempo:4318"}
QUEUE = {
    "metadata": {"name": "queue"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}},
}

Manifest = dict[str, Any]


def _resource(api: str, kind: str, name: str, **content: Any) -> Manifest:  # noqa: ANN401 a manifest holds anything
    metadata = {"name": name, "namespace": NAMESPACE, **content.pop("metadata", {})}
    return {"apiVersion": api, "kind": kind, "metadata": metadata, **content}


def _environment(variables: dict[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in variables.items()]


def collectors() -> list[Manifest]:
    """Return the agent, one on each node, and the gateway."""
    common = {"image": IMAGE, "resources": {"limits": {"memory": "768Mi"}, "requests": {"cpu": "100m"}}}
    agent = {
        **common,
        "mode": "daemonset",
        "config": merged(AGENT),
        "env": _environment({**LISTEN, "OTELCOL_GATEWAY": "http://gateway-collector:4318"}),
        "volumes": [{"name": "queue", "hostPath": {"path": "/var/lib/otelcol", "type": "DirectoryOrCreate"}}],
        "volumeMounts": [{"name": "queue", "mountPath": "/queue"}],
        "securityContext": {"runAsUser": 0},
    }
    gateway = {
        **common,
        "mode": "statefulset",
        "replicas": 1,
        "config": merged(GATEWAY),
        "env": _environment({**LISTEN, **PROMETHEUS, **BACKENDS}),
        "volumeClaimTemplates": [QUEUE],
        "volumeMounts": [{"name": "queue", "mountPath": "/queue"}],
        "podSecurityContext": {"fsGroup": 10001},
    }
    kind = ("opentelemetry.io/v1beta1", "OpenTelemetryCollector")
    return [_resource(*kind, "agent", spec=agent), _resource(*kind, "gateway", spec=gateway)]


def instrumentation() -> Manifest:
    """Return what the operator injects into pods that ask for it: the environment of ``opentelemetry-instrument``.

    The packages of otel-oauth have to be in the application's image; the operator's own do not have them.
    """
    spec = {
        "exporter": {"endpoint": "http://agent-collector:4318"},
        "propagators": ["tracecontext", "baggage"],
        "python": {
            "env": _environment(
                {
                    "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
                    "OTEL_METRICS_EXPORTER": "otlp",
                    "OTEL_LOGS_EXPORTER": "otlp",
                }
            )
        },
    }
    return _resource("opentelemetry.io/v1alpha1", "Instrumentation", "oauth", spec=spec)


def rules() -> Manifest:
    """Return all recording and alerting rules."""
    files = sorted((COLLECTOR / "prometheus" / "rules").glob("*.yml"))
    groups = [group for path in files for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]]
    return _resource("monitoring.coreos.com/v1", "PrometheusRule", "oauth", spec={"groups": groups})


def scraping() -> Manifest:
    """Return what makes Prometheus scrape the gateway; job and instance are those of the applications."""
    endpoints = [
        {"portNumber": 8889, "honorLabels": True},
        {
            "portNumber": 8890,
            "honorLabels": True,
            "metricRelabelings": [{"sourceLabels": ["__name__"], "regex": "target_info", "action": "drop"}],
        },
        {"portNumber": 8888},
    ]
    spec = {
        "selector": {"matchLabels": {"app.kubernetes.io/name": "gateway-collector"}},
        "podMetricsEndpoints": endpoints,
    }
    return _resource("monitoring.coreos.com/v1", "PodMonitor", "otelcol-gateway", spec=spec)


def dashboards() -> list[Manifest]:
    """Return a ConfigMap for each dashboard, with the label that Grafana's sidecar looks for."""
    return [
        _resource(
            "v1",
            "ConfigMap",
            f"dashboard-{path.stem}",
            metadata={"labels": {"grafana_dashboard": "1"}},
            data={path.name: path.read_text(encoding="utf-8")},
        )
        for path in sorted(DASHBOARDS.glob("*.json"))
    ]


def manifests() -> dict[str, list[Manifest]]:
    """Return all manifests by the names of their files."""
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    return {
        "namespace.yaml": [namespace],
        "collectors.yaml": collectors(),
        "instrumentation.yaml": [instrumentation()],
        "prometheus.yaml": [rules(), scraping()],
        "dashboards.yaml": dashboards(),
    }


def main() -> None:
    """Write the files."""
    parser = argparse.ArgumentParser(prog="python -m stack.kubernetes", description="Write the Kubernetes manifests.")
    parser.add_argument("directory", type=Path)
    place = parser.parse_args().directory
    place.mkdir(parents=True, exist_ok=True)
    for name, content in manifests().items():
        (place / name).write_text(yaml.safe_dump_all(content, sort_keys=False, width=120), encoding="utf-8")
        print(place / name)


if __name__ == "__main__":
    main()
