"""Redaction is of the whole process: each test begins without it and leaves nothing of it behind."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from otel_oauth import redaction

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(autouse=True)
def clean_process() -> Iterator[None]:
    redaction.uninstall()
    yield
    redaction.uninstall()


@pytest.fixture
def counted() -> Counter[tuple[str, str]]:
    """What was redacted: by signal and kind."""
    found: Counter[tuple[str, str]] = Counter()

    def redacted(signal: str, kind: str, amount: int) -> None:
        found[signal, kind] += amount

    redaction.count_into(lambda *_: None, lambda _component: None)  # what other tests left
    redaction.count_into(redacted, lambda _component: None)
    return found


@pytest.fixture
def install(counted: Counter[tuple[str, str]]) -> Callable[..., None]:  # noqa: ARG001 counts from the beginning
    def installed(**settings: object) -> None:
        redaction.install(**settings)

    return installed
