"""What the tests of several processes need: a provider, a receiver, services under ``opentelemetry-instrument``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from authlib_provider import Provider
from services import HERE, Service

from otel_oauth.testing import OtlpReceiver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def provider() -> Iterator[Provider]:
    """An OpenID provider in this process."""
    provider = Provider()
    yield provider
    provider.close()


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    with OtlpReceiver() as receiver:
        yield receiver


@pytest.fixture
def environment(provider: Provider, receiver: OtlpReceiver, tmp_path: Path) -> dict[str, str]:
    """What a service is started with."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    return {
        **inherited,
        "ISSUER": provider.url,
        "AUTHLIB_INSECURE_TRANSPORT": "1",
        "NO_PROXY": "127.0.0.1",
        "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent / "support")]),
        "OTEL_SERVICE_NAME": "shop",
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_METRIC_EXPORT_INTERVAL": "60000",
        "OTEL_LOGS_EXPORTER": "none",
        "OTEL_OAUTH_LEDGER": f"host:{tmp_path / 'ledger'}",
        "OTEL_OAUTH_RAISE_INTERNAL_ERRORS": "1",
    }


@pytest.fixture
def serve(environment: dict[str, str]) -> Iterator[Callable[..., Service]]:
    """Start services; keyword arguments are variables of their environment."""
    started: list[Service] = []

    def serve(*command: str, **variables: str) -> Service:
        started.append(Service({**environment, **variables}, *command))
        started[-1].wait_until_it_answers()
        return started[-1]

    yield serve
    for service in started:
        service.stop()
