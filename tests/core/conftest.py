"""The core under the real SDK: telemetry that records into memory, and what was recorded in a form to compare."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from redis_server import BINARY, MISSING, RedisServer

from otel_oauth import settings as settings_module
from otel_oauth.catalogue import BY_NAME
from otel_oauth.ledger import Kind, Ledger, MemoryStore
from otel_oauth.ledger._host import HostStore
from otel_oauth.ledger._redis import RedisStore
from otel_oauth.settings import Settings
from otel_oauth.telemetry import Telemetry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from opentelemetry.sdk.trace import ReadableSpan

    from otel_oauth.ledger import Store


def _series(name: str, metric: Any) -> dict[tuple[str, ...], Any]:
    labels = BY_NAME[name].label_names
    points = [] if metric is None else metric.data.data_points
    assert all(set(point.attributes) == set(labels) for point in points)
    return {tuple(point.attributes[label] for label in labels): point for point in points}


def _values(name: str, metric: Any) -> dict[tuple[str, ...], float]:
    points = _series(name, metric).items()
    return {key: getattr(point, "value", getattr(point, "count", None)) for key, point in points}


@dataclass
class Recording:
    """A telemetry and what it records."""

    telemetry: Telemetry
    reader: InMemoryMetricReader
    meter_provider: MeterProvider
    tracer_provider: TracerProvider
    exporter: InMemorySpanExporter

    def metrics(self) -> dict[str, Any]:
        data = self.reader.get_metrics_data()
        scopes = [] if data is None else [s for resource in data.resource_metrics for s in resource.scope_metrics]
        found: dict[str, Any] = {}
        for scope in scopes:
            for metric in scope.metrics:
                assert metric.name not in found, f"{metric.name} is exported twice"
                found[metric.name] = metric
        return found

    def series(self, name: str) -> dict[tuple[str, ...], Any]:
        """The points of one metric by label values in the catalogue's order; the labels are exactly the catalogue's."""
        return _series(name, self.metrics().get(name))

    def values(self, name: str) -> dict[tuple[str, ...], float]:
        """The values of a counter's or gauge's series, or the counts of a histogram's."""
        return _values(name, self.metrics().get(name))

    def moved(self) -> dict[tuple[str, ...], float]:
        """Every documented counter and histogram that is not 0, by (name, *label values)."""
        moved = {}
        for name, metric in self.metrics().items():
            if BY_NAME[name].kind != "gauge" and BY_NAME[name].source != "otel-oauth":
                moved.update({(name, *key): value for key, value in _values(name, metric).items() if value})
        return moved

    def spans(self) -> list[ReadableSpan]:
        return list(self.exporter.get_finished_spans())


@pytest.fixture
def record() -> Iterator[Callable[..., Recording]]:
    """Make recordings; keyword arguments are settings."""
    made: list[Recording] = []

    def make(
        *, sampler: Any = None, readers: tuple[Any, ...] = (), views: tuple[Any, ...] = (), **settings: Any
    ) -> Recording:
        reader, exporter = InMemoryMetricReader(), InMemorySpanExporter()
        meter_provider = MeterProvider([reader, *readers], shutdown_on_exit=False, views=views)
        tracer_provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
        tracer_provider.add_span_processor(SimpleSpanProcessor(exporter))
        telemetry = Telemetry(meter_provider, tracer_provider, Settings(**{"ledger": "memory", **settings}))
        made.append(Recording(telemetry, reader, meter_provider, tracer_provider, exporter))
        return made[-1]

    yield make
    for recording in made:
        recording.meter_provider.shutdown()
        recording.tracer_provider.shutdown()
        recording.telemetry.ledger.close()


@pytest.fixture
def recording(record: Callable[..., Recording]) -> Recording:
    """A recording with the default settings and a ledger in memory."""
    return record()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis for all tests of a process; each of them takes a service name of its own."""
    if BINARY is None:
        pytest.skip(MISSING)
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture(params=["memory", "host", "redis"])
def make_ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Ledger]]:
    """Make a ledger on each of the stores; ``size`` bounds each kind of record."""
    made: list[Ledger] = []

    def make(size: int = 1000, **arguments: Any) -> Ledger:
        path = tmp_path / f"ledger{len(made)}"
        if request.param == "memory":
            store: Store = MemoryStore(size)
        elif request.param == "host":
            store = HostStore(path, size)
        else:
            server = request.getfixturevalue("redis_server")
            store = RedisStore(server.address, str(path), size=size, wait=5)
        made.append(Ledger(store, **arguments))
        made[-1].count(Kind.CLIENT)
        return made[-1]

    yield make
    for ledger in made:
        ledger.close()


@pytest.fixture
def ledger(make_ledger: Callable[..., Ledger]) -> Ledger:
    """A ledger on each of the stores."""
    return make_ledger()


class Clock:
    """The time of the ledger and the judge, moved by hand."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now

    def pass_(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Stop the time; ``pass_`` lets it go on."""
    clock = Clock()
    monkeypatch.setattr("time.time", clock)
    return clock


@pytest.fixture(autouse=True)
def _nothing_was_said_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings_module, "_reported", set())
