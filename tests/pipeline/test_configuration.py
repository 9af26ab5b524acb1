"""The Collector's files: each combination of the page is valid, and nothing passes unredacted."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest
import yaml

from stack import COLLECTOR, REPOSITORY
from stack.pipeline import AGENT, GATEWAY, configuration, merged

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = COLLECTOR / "config"
PAGE = REPOSITORY / "docs" / "pipeline.md"
BASE = ("receive", "redaction", "own")
COMBINATIONS = {
    "agent": AGENT,
    "agent with files": (*AGENT, "file-log"),
    "agent of sampling gateways": (*AGENT, "load-balancing"),
    "gateway": GATEWAY,
    "gateway with remote write": (*BASE, "scopes", "remote-write", "loki", "traces-otlp"),
    "gateway with everything": (*GATEWAY, "remote-write", "traces-otlp", "tail-sampling", "file-log"),
}


@pytest.mark.stack
@pytest.mark.parametrize("files", COMBINATIONS.values(), ids=COMBINATIONS)
def test_the_collector_takes_each_combination(binaries: Path, files: tuple[str, ...]) -> None:
    command = [str(binaries / "otelcol"), "validate", *configuration(files)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.stack
def test_a_role_without_a_place_for_a_signal_is_refused(binaries: Path) -> None:
    command = [str(binaries / "otelcol"), "validate", *configuration((*BASE, "loki"))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode != 0
    assert "forward/" in done.stderr


@pytest.mark.stack
@pytest.mark.parametrize("name", ["loki.yaml", "loki-s3.yaml"])
def test_loki_takes_its_configuration(binaries: Path, name: str, tmp_path: Path) -> None:
    command = [str(binaries / "loki"), "-verify-config", "-config.expand-env=true"]
    settings = {"LOKI_DATA": str(tmp_path), "LOKI_RULES": str(COLLECTOR / "loki" / "rules")}
    done = subprocess.run(
        [*command, f"-config.file={COLLECTOR / 'loki' / name}"],
        env=settings,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("files", COMBINATIONS.values(), ids=COMBINATIONS)
def test_everything_from_outside_is_limited_and_redacted_first(files: tuple[str, ...]) -> None:
    settings = merged(files)
    connectors = settings["connectors"].keys()
    for name, pipeline in settings["service"]["pipelines"].items():
        if set(pipeline["receivers"]) <= connectors:
            continue
        first = pipeline["processors"]
        metrics = name.startswith("metrics")
        redaction = ["redaction/metrics"] if metrics else ["redaction", "transform/conceal"]
        assert first[: 2 + len(redaction)] == ["memory_limiter", "transform/expose", *redaction], name
        assert set(pipeline["exporters"]) <= connectors, name


@pytest.mark.parametrize("files", COMBINATIONS.values(), ids=COMBINATIONS)
def test_nothing_is_declared_and_not_used(files: tuple[str, ...]) -> None:
    settings = merged(files)
    pipelines = settings["service"]["pipelines"].values()
    for group in ("receivers", "exporters"):
        used = {name for pipeline in pipelines for name in pipeline[group]}
        unused = settings[group].keys() - used
        # load-balancing.yaml takes the place of the traces only
        assert not unused, (group, unused)


def test_errors_of_processors_refuse_the_data() -> None:
    for path in CONFIG.glob("*.yaml"):
        for name, processor in yaml.safe_load(path.read_text()).get("processors", {}).items():
            if name.startswith(("transform", "filter")):
                assert processor["error_mode"] == "propagate", (path.name, name)


def test_what_waits_for_a_backend_waits_on_disk_and_for_ever() -> None:
    delivered = {}
    for path in CONFIG.glob("*.yaml"):
        for name, exporter in (yaml.safe_load(path.read_text()).get("exporters") or {}).items():
            if "sending_queue" in exporter:
                delivered[name] = (exporter["sending_queue"], exporter["retry_on_failure"])
    assert len(delivered) == 4
    assert all(each == next(iter(delivered.values())) for each in delivered.values())
    queue, retry = next(iter(delivered.values()))
    assert queue["storage"] == "file_storage/queue"
    assert retry["max_elapsed_time"] == "0s"


def test_the_components_are_of_one_release_and_the_checksums_are_of_it() -> None:
    settings = yaml.safe_load((COLLECTOR / "builder-config.yaml").read_text())
    wanted = {
        line["gomod"]
        for group, lines in settings.items()
        if group != "dist"
        for line in lines
        if isinstance(line, dict)
    }
    versions = {module.split()[1] for module in wanted if "/confmap/" not in module}
    assert versions == {f"v{settings['dist']['version']}"}
    required = set(re.findall(r"^\t(\S+ v\S+)$", (COLLECTOR / "build/otelcol/go.mod").read_text(), re.MULTILINE))
    assert wanted <= required
    assert f"cmd/builder {versions.pop()}" in (COLLECTOR / "build/ocb/go.mod").read_text()


def test_the_page_names_every_file_and_every_variable() -> None:
    page = PAGE.read_text()
    files = {path.stem for path in CONFIG.glob("*.yaml")}
    assert {name for name in files if f"`{name}.yaml`" not in page} == set()
    text = "".join(path.read_text() for path in CONFIG.glob("*.yaml"))
    variables = set(re.findall(r"\$\{env:(\w+)", text))
    assert {name for name in variables if f"`{name}`" not in page} == set()
