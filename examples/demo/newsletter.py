"""The newsletter's pages of the web application, where people log in with httpx-oauth instead of Authlib."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import secrets
from typing import TYPE_CHECKING

from flask import Flask, abort, jsonify, redirect, request, session, url_for
from httpx_oauth.oauth2 import OAuth2

from demo.seeds import NEWSLETTER

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue


def add_newsletter(app: Flask, issuer: str) -> None:
    """Add the pages; people log in at ``issuer``."""
    places = (f"{issuer}/authorize", f"{issuer}/token")
    method = "client_secret_basic"
    client = OAuth2(
        NEWSLETTER.client_id, NEWSLETTER.secret, *places, name="newsletter", token_endpoint_auth_method=method
    )

    @app.get("/login/newsletter")
    def newsletter_login() -> ResponseReturnValue:
        state, verifier = secrets.token_urlsafe(16), secrets.token_urlsafe(48)
        session[f"newsletter {state}"] = verifier
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
        callback = url_for("newsletter_callback", _external=True)
        url = client.get_authorization_url(callback, state, ["profile"], challenge, "S256")
        return redirect(asyncio.run(url))

    @app.get("/callback/newsletter")
    def newsletter_callback() -> ResponseReturnValue:
        verifier = session.pop(f"newsletter {request.args.get('state')}", None) or abort(400)
        callback = url_for("newsletter_callback", _external=True)
        asyncio.run(client.get_access_token(request.args["code"], callback, verifier))
        return jsonify(welcome="reader")
