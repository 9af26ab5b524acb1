"""A test that a page of docs/ names is held to it: it must move that series, or compare all increments of that row.

The rows of docs/decisions.md are tested by the tests that are named after them, the label values of docs/coverage.md by
those that tests/coverage.toml names. This is a part of tests/conftest.py.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import pytest
from decision_rows import row_of
from evidence import gathered

import label_coverage

if TYPE_CHECKING:
    from collections.abc import Generator

    from evidence import Evidence

COLLECTED = pytest.StashKey[frozenset[str]]()
"""The ids of all tests of this run, the slow ones too."""

_WITH_ROWS = ("tests/plugins/authlib/", "tests/core/test_manual")


@functools.cache
def _claims() -> dict[str, list[str]]:
    claims: dict[str, list[str]] = {}
    for reached in label_coverage.load():
        if reached.test:
            claims.setdefault(reached.test, []).append(reached.series)
    return claims


def test_name(nodeid: str) -> str:
    """Return the name of a test's function."""
    return nodeid.partition("[")[0].rpartition("::")[2]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Note what was collected, before the slow tests are left out."""
    config.stash[COLLECTED] = frozenset(item.nodeid for item in items)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Run a test, and fail it if it is not what a page says of it."""
    claimed = _claims().get(item.nodeid, [])
    row = row_of(test_name(item.nodeid)) if item.nodeid.startswith(_WITH_ROWS) else None
    if not claimed and row is None:
        return (yield)
    with gathered() as evidence:
        yield
    missing = [series for series in claimed if series not in evidence.series]
    if missing:
        pytest.fail(f"docs/coverage.md says that this test moves {', '.join(missing)}, and it does not", pytrace=False)
    if row is not None and not _compares(evidence, row.case):
        pytest.fail(f"as the test of the row {row.name} it must compare all that moved", pytrace=False)
    return None


def _compares(evidence: Evidence, case: str) -> bool:
    return case in evidence.compared if case else evidence.equal > 0
