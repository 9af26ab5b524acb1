"""A provider at the other end of real HTTP; and each test checks that what was told and what was counted agree."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
from agreement import Agreement
from authlib_provider import Provider

from otel_oauth.testing import Capture

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def running_provider() -> Iterator[Provider]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    provider = Provider()
    yield provider
    provider.close()


@pytest.fixture
def provider(running_provider: Provider, monkeypatch: pytest.MonkeyPatch) -> Provider:
    monkeypatch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")
    running_provider.reset()
    return running_provider


@pytest.fixture(autouse=True)
def _events_agree_with_counters(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    agreements: dict[Capture, Agreement] = {}
    disagreements: list[object] = []
    clear, close = Capture.clear, Capture.close

    def noted_clear(capture: Capture) -> None:
        agreements.setdefault(capture, Agreement()).note(capture.events())
        clear(capture)

    def checked_close(capture: Capture) -> None:
        agreement = agreements.setdefault(capture, Agreement())
        if not capture.telemetry.settings.disabled:
            disagreements.extend(agreement.disagreements(capture).items())
        close(capture)

    # Details too, and as many as there are.
    monkeypatch.setenv("OTEL_OAUTH_LOG_LEVEL", "debug")
    monkeypatch.setenv("OTEL_OAUTH_EVENT_RATE", "0")
    monkeypatch.setattr(Capture, "clear", noted_clear)
    monkeypatch.setattr(Capture, "close", checked_close)
    yield
    assert disagreements == []
