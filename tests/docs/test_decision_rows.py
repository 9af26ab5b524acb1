"""Each row of each table in docs/decisions.md is a test that is named after it.

That such a test compares all increments of its row is checked whenever it runs: tests/support/claims.py.
"""

from __future__ import annotations

import pytest
from claims import test_name as name_of
from decision_rows import ROWS, Row, row_of

from otel_oauth.cases import CASES

pytestmark = pytest.mark.timeout(180)  # to collect the tests of a part of a run takes a while

AUTHLIB = "tests/plugins/authlib/"
BY_HAND = ("c_hash_mismatch",)
"""Cases that no hook can see."""


def test_the_tables_were_read() -> None:
    assert {row.case for row in ROWS.values() if row.case} == set(CASES)
    requests = [row for row in ROWS.values() if not row.case]
    assert len(requests) >= 9
    assert all(row.server or row.client for row in requests)


def _tests(row: Row, collected: frozenset[str], where: str) -> list[str]:
    return [test for test in collected if test.startswith(where) and row_of(name_of(test)) is row]


@pytest.mark.parametrize("row", ROWS.values(), ids=lambda row: row.name)
def test_a_row_is_a_test(row: Row, collected: frozenset[str]) -> None:
    if row.case:
        assert _tests(row, collected, "tests/core/test_manual" if row.case in BY_HAND else AUTHLIB)
    if row.server:
        assert _tests(row, collected, AUTHLIB + "server/")
    if row.client:
        assert _tests(row, collected, AUTHLIB + "client/")


def test_a_test_that_is_named_after_a_row_is_named_after_one_that_is_there(collected: frozenset[str]) -> None:
    names = {name_of(test) for test in collected if test.startswith(AUTHLIB)}
    assert [name for name in sorted(names) if "__" in name and row_of(name) is None] == []


def test_attacks_stand_beside_their_benign_twins() -> None:
    """Each attack has a case of the same tables that looks like it and raises no alarm."""
    twins = {
        "code_replayed": "code_double_submit",
        "code_redirect_host_differs": "code_redirect_uri_differs",
        "pkce_mismatch": "pkce_malformed",
        "refresh_reused": "refresh_race",
        "state_replayed": "state_reloaded",
        "state_of_other_session": "state_session_lost",
        "nonce_mismatch": "nonce_missing",
    }
    for attack, twin in twins.items():
        verdict, benign = CASES[attack].security, CASES[twin].security
        assert verdict is not None
        assert verdict[1] in ("high", "critical")
        assert benign is None or benign[1] == "low"
