"""What a client reads from the answer of a token endpoint."""

from __future__ import annotations

from typing import Any

import pytest

from otel_oauth.own_tokens import lifetime


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
