"""A web application that logs its users in with httpx-oauth: ``python examples/httpx_logins/web.py``.

FastAPI, with PKCE, at the server of examples/first_login; visit http://127.0.0.1:8002/login. It knows nothing of
telemetry.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import secrets

import uvicorn
from fastapi import FastAPI, HTTPException
from fastapi.responses import RedirectResponse
from httpx_oauth.oauth2 import OAuth2

REDIRECT_URI = "http://127.0.0.1:8002/callback"
_BASIC = "client_secret_basic"


def create_app(server: str) -> FastAPI:
    """Return the application, whose users log in at ``server``."""
    app, verifiers = FastAPI(), dict[str, str]()
    places = (f"{server}/authorize", f"{server}/token", f"{server}/token", f"{server}/revoke")
    client = OAuth2(
        "shop", "shop-secret", *places, token_endpoint_auth_method=_BASIC, revocation_endpoint_auth_method=_BASIC
    )

    @app.get("/login")
    async def login() -> RedirectResponse:
        state, verifier = secrets.token_urlsafe(16), secrets.token_urlsafe(48)
        verifiers[state] = verifier
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
        return RedirectResponse(
            await client.get_authorization_url(
                REDIRECT_URI, state, ["profile"], code_challenge=challenge, code_challenge_method="S256"
            )
        )

    @app.get("/callback")
    async def callback(code: str, state: str) -> str:
        verifier = verifiers.pop(state, None)
        if verifier is None:
            raise HTTPException(400, "the state is not known")
        token = await client.get_access_token(code, REDIRECT_URI, verifier)
        await client.refresh_token(token["refresh_token"])
        return "logged in and refreshed"

    return app


def main() -> None:
    """Serve the application until it is told to end."""
    parser = argparse.ArgumentParser(description="A web application that logs in with httpx-oauth.")
    parser.add_argument("--server", default="http://127.0.0.1:8001", help="the address of the authorization server")
    parser.add_argument("--port", type=int, default=8002)
    options = parser.parse_args()
    print(f"listens on http://127.0.0.1:{options.port}", flush=True)
    uvicorn.run(create_app(options.server), host="127.0.0.1", port=options.port, log_level="warning")


if __name__ == "__main__":
    main()
