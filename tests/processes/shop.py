"""A plain Flask application (``shop:app``) that logs its users in at $ISSUER, with not one line of telemetry."""

from __future__ import annotations

import os
from typing import Any

from authlib.integrations.flask_client import OAuth
from flask import Flask, Response, url_for

app = Flask(__name__)
app.secret_key = "only for this test"  # the session is in the cookie: any worker can take any request
oauth = OAuth(app)
oauth.register(
    "demo",
    client_id="web",
    client_secret="web-secret",
    authorize_url=os.environ["ISSUER"] + "/authorize",
    access_token_url=os.environ["ISSUER"] + "/token",
    client_kwargs={"code_challenge_method": "S256", "trust_env": False},
)


@app.get("/login")
def login() -> Any:
    return oauth.demo.authorize_redirect(url_for("callback", _external=True))


@app.get("/callback")
def callback() -> Any:
    oauth.demo.authorize_access_token()
    return "welcome"


@app.get("/")
def home() -> str:
    return "shop"


@app.after_request
def name_worker(response: Response) -> Response:
    response.headers["X-Worker"] = str(os.getpid())
    return response
