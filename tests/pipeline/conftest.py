"""The real binaries, started once for the tests that share them; `make stack-check` builds them first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pipeline_collector import Agent
from pipeline_run import PipelineRun

from otel_oauth.testing import OtlpReceiver
from stack import BINARIES
from stack.binaries import PARTS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def binaries() -> Path:
    """All parts are built, from the sources that are here; the folder with them."""
    missing = [part.title for part in PARTS if not part.is_there(BINARIES)]
    if missing:
        pytest.fail(
            f"not built: {', '.join(missing)}; `make stack-check` builds them and runs these tests", pytrace=False
        )
    return BINARIES


@pytest.fixture(scope="module")
def agent(binaries: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    """A Collector as agent, with the log files of applications; what it sends on is received here."""
    assert binaries.is_dir()
    with OtlpReceiver() as receiver, Agent(tmp_path_factory.mktemp("agent"), receiver) as agent:
        yield agent


@pytest.fixture(scope="session")
def pipeline(binaries: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PipelineRun]:
    """The whole pipeline, after the demonstration's traffic went through it."""
    assert binaries.is_dir()
    run = PipelineRun(tmp_path_factory.mktemp("pipeline"))
    with run.stack, run.applications:
        run.perform()
        yield run
