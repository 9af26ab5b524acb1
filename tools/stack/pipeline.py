"""The pipeline on loopback: which processes, with which configuration, at which ports, with which data."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import socket
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from stack import BINARIES, COLLECTOR, StackError
from stack.processes import Child
from stack.queries import post

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

HOST = "127.0.0.1"
RULE_INTERVAL = "15s"
GATEWAY = ("receive", "redaction", "own", "scopes", "prometheus", "loki", "traces-zipkin")
"""The files of ``collector/config`` that make a gateway for this pipeline."""

AGENT = ("receive", "redaction", "own", "agent")
"""The files that make an agent."""

USUAL = {
    "otlp-http": 4318,
    "otlp-grpc": 4317,
    "prometheus": 9090,
    "loki": 3100,
    "zipkin": 9411,
    "alertmanager": 9093,
}
"""The ports at which one looks first; another is taken where one is taken already."""


PRIVATE_PORTS = range(20_000, 32_000)
"""Where free ports are looked for: systems take those of connections from above, so none is lost before its program
listens there."""

_given_out: set[int] = set()


def port(name: str = "", wanted: int = 0) -> int:
    """Return a free port of loopback: ``wanted``, or else the usual one of ``name``, or else any.

    :raises StackError: if ``wanted`` is taken.
    """
    if wanted:
        try:
            return _free(wanted)
        except OSError as error:
            reason = os.strerror(error.errno or 0)
            message = f"port {wanted} of {HOST} cannot be had for {name} ({reason}): give another one, or leave it out"
            raise StackError(message) from None
    for number in (*([USUAL[name]] if name in USUAL else []), *random.sample(PRIVATE_PORTS, len(PRIVATE_PORTS))):
        if number not in _given_out:
            with contextlib.suppress(OSError):
                _given_out.add(_free(number))
                return number
    message = f"there is no free port for {name} on {HOST}"
    raise StackError(message)


def _free(number: int) -> int:
    with socket.create_server((HOST, number)) as listener:
        return int(listener.getsockname()[1])


class CollectorProcess(Child):
    """One Collector, from files of ``collector/config``.

    :param files: the names of the files, without suffix, in the order in which they are merged.
    :param settings: environment variables of the configuration, beside the addresses that are chosen here.
    """

    def __init__(
        self, name: str, files: Sequence[str], place: Path, settings: Mapping[str, str], ports: Mapping[str, int]
    ) -> None:
        self.ports = {
            item: ports.get(item) or port() for item in ("otlp-http", "otlp-grpc", "oauth", "others", "own", "health")
        }
        self.queue = place / f"{name}-queue"
        self.settings = {
            "OTELCOL_OTLP_GRPC": f"{HOST}:{self.ports['otlp-grpc']}",
            "OTELCOL_OTLP_HTTP": f"{HOST}:{self.ports['otlp-http']}",
            "OTELCOL_HEALTH": f"{HOST}:{self.ports['health']}",
            "OTELCOL_METRICS_PORT": str(self.ports["own"]),
            "OTELCOL_PROMETHEUS_OAUTH": f"{HOST}:{self.ports['oauth']}",
            "OTELCOL_PROMETHEUS_OTHERS": f"{HOST}:{self.ports['others']}",
            "OTELCOL_QUEUE_DIRECTORY": str(self.queue),
            "OTELCOL_SERVICE_NAME": name,
            **settings,
        }
        command = [str(BINARIES / "otelcol"), *configuration(files)]
        super().__init__(name, command, f"http://{HOST}:{self.ports['health']}", place, self.settings)

    @property
    def otlp(self) -> str:
        """The OTLP/HTTP endpoint for applications."""
        return f"http://{HOST}:{self.ports['otlp-http']}"


def configuration(files: Sequence[str]) -> list[str]:
    """Return the options that name the Collector's files: those of ``collector/config``, or others by their path."""
    paths = (Path(name) if name.endswith(".yaml") else COLLECTOR / "config" / f"{name}.yaml" for name in files)
    return [f"--config=file:{path}" for path in paths]


def merged(files: Sequence[str]) -> dict[str, Any]:
    """Merge files of ``collector/config`` as the Collector does: maps deeply, everything else is replaced."""
    result: dict[str, Any] = {}
    for name in files:
        _merge(result, yaml.safe_load((COLLECTOR / "config" / f"{name}.yaml").read_text(encoding="utf-8")))
    return result


def _merge(into: dict[str, Any], what: dict[str, Any]) -> None:
    for key, value in what.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


class Stack:
    """Collector, Loki, Prometheus, Zipkin and, where it is installed, Alertmanager.

    :param place: where configurations, data and logs go.
    :param wanted: ports that must be these, by the names of :data:`USUAL`.
    :param scrape_seconds: how often Prometheus scrapes and evaluates.
    :param usual: whether to look at the usual ports first.
    """

    def __init__(
        self, place: Path, wanted: Mapping[str, int] | None = None, scrape_seconds: float = 5, *, usual: bool = True
    ) -> None:
        self.place = place.resolve()
        asked = wanted or {}
        self.ports = {name: port(name if usual else "", asked.get(name, 0)) for name in USUAL}
        self.prometheus_url = f"http://{HOST}:{self.ports['prometheus']}"
        self.loki_url = f"http://{HOST}:{self.ports['loki']}"
        self.zipkin_url = f"http://{HOST}:{self.ports['zipkin']}"
        self.has_alertmanager = shutil.which("prometheus-alertmanager") is not None
        self.alertmanager_url = f"http://{HOST}:{self.ports['alertmanager']}" if self.has_alertmanager else ""
        self.collector = CollectorProcess(
            "collector",
            GATEWAY,
            self.place,
            {"OTELCOL_LOKI": self.loki_url, "OTELCOL_ZIPKIN": self.zipkin_url},
            self.ports,
        )
        self.targets: dict[str, list[str]] = {
            "otelcol-oauth": [f"{HOST}:{self.collector.ports['oauth']}"],
            "otelcol-others": [f"{HOST}:{self.collector.ports['others']}"],
            "otelcol": [f"{HOST}:{self.collector.ports['own']}"],
            "loki": [f"{HOST}:{self.ports['loki']}"],
            "prometheus": [f"{HOST}:{self.ports['prometheus']}"],
        }
        self.scrape_seconds = scrape_seconds
        self.loki = self._loki()
        self.prometheus = self._prometheus()
        self.zipkin = self._zipkin()
        self.children: list[Child] = [self.loki, self.prometheus, self.zipkin, self.collector]
        if self.has_alertmanager:
            self.children.insert(0, self._alertmanager())
        self._open = ExitStack()

    def __enter__(self) -> Stack:  # noqa: PYI034 Self is not in Python 3.10
        """Start everything, and wait until it is ready."""
        self.place.mkdir(parents=True, exist_ok=True)
        self.write_prometheus()
        try:
            for child in self.children:
                self._open.callback(child.stop)
                child.start()
            for child in self.children:
                child.wait_until_ready()
        except BaseException:
            self._open.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop everything, the Collector first."""
        self._open.close()

    def check(self) -> None:
        """Check that everything still runs.

        :raises StackError: if something ended.
        """
        for child in self.children:
            child.check()

    def _write_rules(self, source: Path) -> list[str]:
        """Write the committed rules, evaluated often: nobody waits ten minutes here for the budget of 30 days."""
        place = self.place / "rules"
        place.mkdir(exist_ok=True)
        for path in sorted((source / "rules").glob("*.yml")):
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
            for group in content["groups"]:
                group["interval"] = RULE_INTERVAL
            (place / path.name).write_text(json.dumps(content, indent=1), encoding="utf-8")
        return [str(place / "*.yml")]

    def scrape(self, job: str, targets: list[str]) -> None:
        """Let the running Prometheus scrape ``targets`` too, as the job of that name in the committed configuration."""
        self.targets[job] = targets
        self.write_prometheus()
        post(f"{self.prometheus_url}/-/reload")

    def _loki(self) -> Child:
        settings = {
            "LOKI_PORT": str(self.ports["loki"]),
            "LOKI_GRPC_PORT": str(port()),
            "LOKI_DATA": str(self.place / "loki"),
            "LOKI_RULES": str(COLLECTOR / "loki" / "rules"),
            "LOKI_EVALUATION": f"{self.scrape_seconds:g}s",
            "LOKI_ALERTMANAGER": self.alertmanager_url,
        }
        file = COLLECTOR / "loki" / "loki.yaml"
        command = (str(BINARIES / "loki"), f"-config.file={file}", "-config.expand-env=true")
        return Child("loki", command, f"{self.loki_url}/ready", self.place, settings)

    def _prometheus(self) -> Child:
        command = (
            str(BINARIES / "prometheus"),
            f"--config.file={self.place / 'prometheus.yml'}",
            f"--storage.tsdb.path={self.place / 'prometheus'}",
            f"--web.listen-address={HOST}:{self.ports['prometheus']}",
            "--web.enable-remote-write-receiver",
            "--web.enable-lifecycle",
            "--enable-feature=exemplar-storage",
        )
        return Child("prometheus", command, f"{self.prometheus_url}/-/ready", self.place)

    def _zipkin(self) -> Child:
        jar = str(BINARIES / "zipkin.jar")
        settings = {"STORAGE_TYPE": "mem", "MEM_MAX_SPANS": "50000"}
        # its own settings know a port only, and would listen on all addresses
        listen = {"ip": HOST, "port": self.ports["zipkin"], "protocols[0]": "http"}
        options = [f"-Darmeria.ports[0].{name}={value}" for name, value in listen.items()]
        command = ("java", "-Xmx384m", *options, "-jar", jar)
        return Child("zipkin", command, f"{self.zipkin_url}/health", self.place, settings)

    def _alertmanager(self) -> Child:
        command = (
            "prometheus-alertmanager",
            f"--config.file={COLLECTOR / 'prometheus' / 'alertmanager.yml'}",
            f"--storage.path={self.place / 'alertmanager'}",
            f"--web.listen-address={HOST}:{self.ports['alertmanager']}",
            "--cluster.listen-address=",
        )
        return Child("alertmanager", command, f"{self.alertmanager_url}/-/ready", self.place)

    def write_prometheus(self) -> None:
        """Write Prometheus's configuration: the committed one, with the addresses of this machine.

        Jobs that have no target here are left out.
        """
        source = COLLECTOR / "prometheus"
        settings: dict[str, Any] = yaml.safe_load((source / "prometheus.yml").read_text(encoding="utf-8"))
        settings["global"] = {
            **settings.get("global", {}),
            "scrape_interval": f"{self.scrape_seconds:g}s",
            "evaluation_interval": f"{self.scrape_seconds:g}s",
            "scrape_timeout": f"{self.scrape_seconds:g}s",
        }
        settings["rule_files"] = self._write_rules(source)
        settings["scrape_configs"] = [
            {**job, "static_configs": [{"targets": self.targets[job["job_name"]]}]}
            for job in settings["scrape_configs"]
            if job["job_name"] in self.targets
        ]
        settings.pop("alerting", None)
        if self.has_alertmanager:
            managers = [{"static_configs": [{"targets": [f"{HOST}:{self.ports['alertmanager']}"]}]}]
            settings["alerting"] = {"alertmanagers": managers}
        (self.place / "prometheus.yml").write_text(json.dumps(settings, indent=1), encoding="utf-8")
