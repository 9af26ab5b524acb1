"""What clients of the measured server send, with nothing but the standard library: the load's process has no more."""

from __future__ import annotations

import base64
import hashlib
from urllib.parse import parse_qs, urlencode, urlsplit

REDIRECT = "https://client.example/callback"
VERIFIER = "v" * 50
BASIC = "Basic " + base64.b64encode(b"web:web-secret").decode()
FORM = "application/x-www-form-urlencoded"
_CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()

AUTHORIZATION = urlencode(
    {
        "response_type": "code",
        "client_id": "web",
        "redirect_uri": REDIRECT,
        "state": "s",
        "code_challenge": _CHALLENGE,
        "code_challenge_method": "S256",
    }
)
"""The query of an authorization request."""
CLIENT_CREDENTIALS = b"grant_type=client_credentials"


def code_in(location: str) -> str:
    """Return the code in the redirect that answers an authorization request."""
    return parse_qs(urlsplit(location).query)["code"][0]


def exchange(code: str) -> bytes:
    """Return the body that exchanges a code."""
    form = {"grant_type": "authorization_code", "redirect_uri": REDIRECT, "code_verifier": VERIFIER, "code": code}
    return urlencode(form).encode()


def refresh(token: str) -> bytes:
    """Return the body that refreshes."""
    return urlencode({"grant_type": "refresh_token", "refresh_token": token}).encode()
