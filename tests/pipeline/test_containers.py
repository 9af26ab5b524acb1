"""compose.yaml and the Kubernetes manifests, against the schemas that their makers publish as Go modules."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator, Draft202012Validator

from stack import COLLECTOR
from stack.kubernetes import manifests
from stack.pipeline import merged

pytestmark = pytest.mark.timeout(300)  # the first time, modules with schemas are fetched

SCHEMAS = COLLECTOR / "build" / "schemas"
COMPOSE = COLLECTOR / "compose.yaml"
OPERATOR = "github.com/open-telemetry/opentelemetry-operator"
PROMETHEUS_OPERATOR = "github.com/prometheus-operator/prometheus-operator"
DEFINITIONS = {
    "OpenTelemetryCollector": (OPERATOR, "config/crd/bases/opentelemetry.io_opentelemetrycollectors.yaml"),
    "Instrumentation": (OPERATOR, "config/crd/bases/opentelemetry.io_instrumentations.yaml"),
    "PrometheusRule": (
        PROMETHEUS_OPERATOR,
        "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
    ),
    "PodMonitor": (PROMETHEUS_OPERATOR, "example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml"),
}
MOST_BYTES_OF_A_CONFIG_MAP = 1_048_576


def module(name: str) -> Path:
    """Return the folder of a module, fetched with the committed checksum."""
    (version,) = re.findall(rf"{name} (v\S+)$", (SCHEMAS / "go.mod").read_text(), re.MULTILINE)
    command = ["go", "mod", "download", "-json", f"{name}@{version}"]
    done = subprocess.run(command, cwd=SCHEMAS, capture_output=True, text=True, check=True)
    return Path(json.loads(done.stdout)["Dir"])


def closed(schema: Any) -> Any:
    """Return a schema that refuses unknown fields, as the API server does with strict validation."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    result = {key: closed(value) for key, value in schema.items()}
    free = schema.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in schema
    if schema.get("type") == "object" and isinstance(schema.get("properties"), dict) and not free:
        result["additionalProperties"] = False
    return result


def definition(manifest: dict[str, Any]) -> dict[str, Any]:
    repository, path = DEFINITIONS[manifest["kind"]]
    content = yaml.safe_load((module(repository) / path).read_text())
    (version,) = [each for each in content["spec"]["versions"] if manifest["apiVersion"].endswith(f"/{each['name']}")]
    schema = closed(version["schema"]["openAPIV3Schema"])
    schema["properties"]["metadata"] = {"type": "object"}
    return dict(schema)


def errors(manifest: dict[str, Any]) -> list[str]:
    validator = Draft202012Validator(definition(manifest))
    return [f"{error.json_path}: {error.message[:200]}" for error in validator.iter_errors(manifest)]


ALL = [manifest for content in manifests().values() for manifest in content]
CUSTOM = [manifest for manifest in ALL if manifest["kind"] in DEFINITIONS]


@pytest.mark.stack
@pytest.mark.parametrize("manifest", CUSTOM, ids=lambda manifest: f"{manifest['kind']} {manifest['metadata']['name']}")
def test_the_operators_take_the_manifest(manifest: dict[str, Any]) -> None:
    assert errors(manifest) == []


@pytest.mark.stack
def test_a_wrong_manifest_is_refused() -> None:
    (agent,) = [each for each in CUSTOM if each["metadata"]["name"] == "agent"]
    wrong = {**agent, "spec": {**agent["spec"], "mode": "sometimes", "colour": "red"}}
    assert len(errors(wrong)) == 2


@pytest.mark.stack
def test_compose_takes_the_file() -> None:
    schema = json.loads((module("github.com/compose-spec/compose-go/v2") / "schema/compose-spec.json").read_text())
    validator_class = Draft7Validator if "draft-07" in schema["$schema"] else Draft202012Validator
    found = validator_class(schema).iter_errors(yaml.safe_load(COMPOSE.read_text()))
    assert [f"{error.json_path}: {error.message}" for error in found] == []


def test_every_manifest_is_complete_and_named_once() -> None:
    names = [(manifest["kind"], manifest["metadata"]["name"]) for manifest in ALL]
    assert len(set(names)) == len(names)
    assert {kind for kind, _ in names} >= {*DEFINITIONS, "Namespace"}
    for manifest in ALL:
        assert {"apiVersion", "kind", "metadata"} <= manifest.keys()
        if manifest["kind"] == "ConfigMap":
            assert sum(len(text.encode()) for text in manifest["data"].values()) < MOST_BYTES_OF_A_CONFIG_MAP


def test_compose_mounts_and_names_what_is_there() -> None:
    settings = yaml.safe_load(COMPOSE.read_text())
    collector = settings["services"]["otelcol"]
    files = [re.sub(r".*/(\S+)\.yaml", r"\1", option) for option in collector["command"]]
    assert merged(files)["service"]["pipelines"].keys() >= {"logs/loki", "metrics/oauth", "traces/otlp"}
    version = yaml.safe_load((COLLECTOR / "builder-config.yaml").read_text())["dist"]["version"]
    for service in settings["services"].values():
        image, _, tag = service["image"].partition(":")
        assert tag not in ("", "latest")
        if image.startswith("otel/"):
            assert tag == version
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert source in settings["volumes"] or (COLLECTOR / source).exists(), volume
        for published in service.get("ports", ()):
            assert published.startswith("127.0.0.1:")
