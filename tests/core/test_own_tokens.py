"""What a client reads from the answer of a token endpoint."""

from __future__ import annotations

from typing import Any

import pytest

from otel_oauth.own_tokens import lifetime, remaining_lifetime


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (3600, 3600.0),
        ("3600", 3600.0),
        (0.5, 0.5),
        (-1, 0.0),
        (10**400, None),
        ("soon", None),
        (None, None),
        (True, None),
        ([1], None),
    ],
)
def test_a_lifetime_is_a_number_of_seconds_even_as_text_and_anything_else_is_not_known(
    value: Any, seconds: float | None
) -> None:
    assert lifetime(value) == seconds


@pytest.mark.parametrize("expires_at", [10**400, None, "soon", [1]], ids=["endless", "none", "text", "list"])
def test_what_is_no_time_leaves_no_lifetime(expires_at: Any) -> None:
    assert remaining_lifetime({"expires_at": expires_at}) is None
