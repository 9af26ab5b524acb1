"""A client application on Flask that logs its users in with Authlib's registry, at DEBUG, without any telemetry."""

from __future__ import annotations

import logging
import os
from typing import Any

import httpx
from authlib.integrations.flask_client import OAuth
from authlib.integrations.requests_client import OAuth2Session
from canaries import Canaries
from flask import Flask, jsonify, session, url_for

canaries = Canaries(os.environ["CANARY_SEED"])
ISSUER = os.environ["CANARY_ISSUER"]
SECRET = canaries.of("client_secret")
log = logging.getLogger("shop")

app = Flask("shop")
app.secret_key = canaries.of("cookie_key")
oauth = OAuth(app)
oauth.register(
    "idp",
    client_id="web",
    client_secret=SECRET,
    authorize_url=ISSUER + "/authorize",
    access_token_url=ISSUER + "/token",
    client_kwargs={"code_challenge_method": "S256", "trust_env": False, "scope": "profile"},
)


@app.get("/login")
def login() -> Any:
    return oauth.idp.authorize_redirect(url_for("callback", _external=True))


@app.get("/callback")
def callback() -> Any:
    token = oauth.idp.authorize_access_token()
    log.info("logged in with %s", token)
    session["token"] = {name: token[name] for name in ("access_token", "refresh_token")}
    return "welcome"


def api() -> OAuth2Session:
    return OAuth2Session("web", SECRET, token=dict(session["token"]), trust_env=False)


@app.get("/refresh")
def refresh() -> Any:
    session["token"] = dict(api().refresh_token(ISSUER + "/token"))
    return "refreshed"


@app.get("/me")
def me() -> Any:
    with httpx.Client(trust_env=False) as client:
        headers = {"Authorization": "Bearer " + session["token"]["access_token"]}
        answer = client.get(ISSUER + "/me", headers=headers)
        client.get(ISSUER + "/me", params={"access_token": session["token"]["access_token"]})
    return jsonify(answer.json())


@app.get("/revoke")
def revoke() -> Any:
    answer = api().revoke_token(ISSUER + "/revoke", token=session["token"]["refresh_token"])
    return jsonify(status=answer.status_code)


@app.get("/broken")
def broken() -> Any:
    held = dict(session["token"])
    log.warning("about to fail", extra={"held": held}, stack_info=True)
    msg = f"no such user for {held['access_token']}"
    raise LookupError(msg)
