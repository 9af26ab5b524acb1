"""Log in at the server of this directory: ``python examples/first_login/login.py http://127.0.0.1:8001``.

A login with PKCE, a call with the token, two refreshes, then what a thief of the first refresh token would do. It
knows nothing of telemetry. A browser would follow the redirects; here a plain HTTP request does.
"""

from __future__ import annotations

import secrets
import sys

import requests
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session


def main() -> None:
    """Do all of it at the server whose address is the first argument."""
    server = sys.argv[1] if sys.argv[1:] else "http://127.0.0.1:8001"
    with OAuth2Session(
        "shop",
        "shop-secret",
        scope="profile",
        redirect_uri="http://127.0.0.1:8002/callback",
        token_endpoint=f"{server}/token",
        code_challenge_method="S256",
    ) as session:
        verifier = secrets.token_urlsafe(48)
        url, state = session.create_authorization_url(f"{server}/authorize", code_verifier=verifier)
        callback = requests.get(url, allow_redirects=False, timeout=5).headers["Location"]
        token = session.fetch_token(authorization_response=callback, state=state, code_verifier=verifier)
        print("logged in as", session.get(f"{server}/me").json()["name"])
        stolen = token["refresh_token"]
        session.refresh_token()
        session.refresh_token()
        print("refreshed twice")
        try:
            session.refresh_token(refresh_token=stolen)
        except OAuthError as refused:
            print("the first refresh token again:", refused.error)


if __name__ == "__main__":
    main()
