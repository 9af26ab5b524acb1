"""Log in with httpx and no OAuth library: ``python examples/httpx_logins/plain.py http://127.0.0.1:8001``.

A login with PKCE at the server of examples/first_login, and a refresh. It knows nothing of telemetry. A browser would
follow the redirects; here a plain HTTP request does.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import sys

import httpx

REDIRECT_URI = "http://127.0.0.1:8002/callback"


def main() -> None:
    """Do all of it at the server whose address is the first argument."""
    server = sys.argv[1] if sys.argv[1:] else "http://127.0.0.1:8001"
    state, verifier = secrets.token_urlsafe(16), secrets.token_urlsafe(48)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
    asked = {"response_type": "code", "client_id": "shop", "redirect_uri": REDIRECT_URI, "scope": "profile"}
    asked |= {"state": state, "code_challenge": challenge, "code_challenge_method": "S256"}
    with httpx.Client(base_url=server, auth=("shop", "shop-secret"), trust_env=False) as client:
        back = httpx.URL(client.get("/authorize", params=asked).headers["Location"]).params
        if back["state"] != state:
            sys.exit("the state differs")
        form = {"grant_type": "authorization_code", "code": back["code"], "redirect_uri": REDIRECT_URI}
        token = client.post("/token", data={**form, "code_verifier": verifier}).raise_for_status().json()
        print("logged in")
        form = {"grant_type": "refresh_token", "refresh_token": token["refresh_token"]}
        client.post("/token", data=form).raise_for_status()
        print("refreshed")


if __name__ == "__main__":
    main()
