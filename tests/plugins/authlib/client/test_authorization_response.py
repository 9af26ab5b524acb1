"""What is read of an authorization response that the application hands to ``fetch_token``: what Authlib reads of it."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest

from otel_oauth_authlib.client import code_and_state


@pytest.mark.parametrize(
    "response",
    [
        "https://app.example/cb?code=c&state=s",
        "https://app.example/cb?state=s&code=a%2Fb%3D&iss=https%3A%2F%2Fas.example",
        "https://app.example/cb?code=a+b&state=%C3%BC",
        "https://app.example/cb?code=first&code=second&state=",
        "https://app.example/cb?error=access_denied&state=s",
        "https://app.example/cb?x=a?code=1&state=a=b",
        "https://app.example/cb#state=s&access_token=t",
        "https://app.example/cb?code=c#state=s?code=d",
        "https://app.example/cb",
        "code=c&state=s",
        "",
    ],
)
def test_code_and_state_are_those_that_a_parser_finds(response: str) -> None:
    parts = urlsplit(response)
    parsed = parse_qs(f"{parts.query}&{parts.fragment}")
    assert code_and_state(response) == {name: parsed[name][-1] for name in ("code", "state") if name in parsed}
