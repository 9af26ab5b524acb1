"""Processes that a program makes after it was instrumented: each exports its own, as an instance of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import requests
from services import HERE, PROGRAMS, by_instance, moved

if TYPE_CHECKING:
    from pathlib import Path

    from authlib_provider import Provider

    from otel_oauth.testing import OtlpReceiver

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

REFRESHED = "oauth_token_refresh_total{status=success,reason=normal}"
TIMED = "oauth_token_refresh_duration_seconds{status=success}"


def refresh_token(provider: Provider) -> str:
    asked = {"grant_type": "password", "username": "user", "password": "any"}
    answer = requests.post(provider.url + "/token", data=asked, auth=("web", "web-secret"), timeout=10)
    return str(answer.json()["refresh_token"])


def refreshes(receiver: OtlpReceiver) -> list[tuple[float, float]]:
    counted = [moved(points) for points in by_instance(receiver).values()]
    return sorted((each[REFRESHED], each[TIMED]) for each in counted if REFRESHED in each)


@pytest.mark.parametrize("method", ["fork", "spawn", "os.fork"])
def test_each_process_exports_what_it_did_itself(
    method: str, provider: Provider, receiver: OtlpReceiver, environment: dict[str, str], tmp_path: Path
) -> None:
    until, exported = tmp_path / "until", tmp_path / "exported"
    os.mkfifo(until)
    os.mkfifo(exported)
    tokens = [refresh_token(provider) for _ in range(3)]
    quickly = {"OTEL_METRIC_EXPORT_INTERVAL": "1000", "OTEL_BSP_SCHEDULE_DELAY": "500"}
    pipes = {"EXPORTED": str(exported), "UNTIL": str(until)}
    process = subprocess.Popen(
        [str(PROGRAMS / "opentelemetry-instrument"), sys.executable, str(HERE / "jobs.py"), method, *tokens],
        env={**environment, **quickly, **pipes, "PYTHONWARNINGS": "ignore"},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        with exported.open("wb"):  # so that the forks begin with what was given to the SDK
            receiver.wait_for(lambda _: refreshes(receiver) == [(1, 1)], timeout=60)
        with until.open("wb"):  # the jobs go on until this is closed
            receiver.wait_for(lambda _: len(spans(receiver)) == 6, timeout=60)
            receiver.wait_for(lambda _: refreshes(receiver) == [(1, 1), (2, 2), (3, 3)], timeout=30)
        stderr = process.communicate(timeout=30)[1]
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0, stderr
    assert stderr == ""
    assert refreshes(receiver) == [(1, 1), (2, 2), (3, 3)]
    assert sorted(spans(receiver).count(instance) for instance in set(spans(receiver))) == [1, 2, 3]
    assert {instance for instance, points in by_instance(receiver).items() if moved(points)} == set(spans(receiver))


def spans(receiver: OtlpReceiver) -> list[str]:
    """The instance of each refresh's span."""
    found = [span for span in receiver.spans() if span["name"].startswith("oauth.refresh ")]
    return [span["resource"]["service.instance.id"] for span in found]
