"""A plain Flask application that logs its users in with Authlib's registry, with not one line of telemetry."""

from __future__ import annotations

import signal
import sys
from typing import Any

from authlib.integrations.flask_client import OAuth
from authlib.integrations.requests_client import OAuth2Session
from flask import Flask, jsonify, session, url_for
from werkzeug.serving import make_server

ISSUER = sys.argv[1]

app = Flask(__name__)
app.secret_key = "only for this test"
oauth = OAuth(app)
oauth.register(
    "demo",
    client_id="web",
    client_secret="web-secret",
    authorize_url=ISSUER + "/authorize",
    access_token_url=ISSUER + "/token",
    client_kwargs={"code_challenge_method": "S256", "trust_env": False},
)


@app.get("/login")
def login() -> Any:
    return oauth.demo.authorize_redirect(url_for("callback", _external=True))


@app.get("/callback")
def callback() -> Any:
    session["token"] = dict(oauth.demo.authorize_access_token())
    return "welcome"


def api() -> OAuth2Session:
    return OAuth2Session("web", "web-secret", token=session["token"], trust_env=False)


@app.get("/refresh")
def refresh() -> Any:
    session["token"] = dict(api().refresh_token(ISSUER + "/token"))
    return "refreshed"


@app.get("/revoke")
def revoke() -> Any:
    answer = api().revoke_token(ISSUER + "/revoke", token=session["token"]["refresh_token"])
    return jsonify(status=answer.status_code)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts jobs in the background without it
    http = make_server("127.0.0.1", 0, app, threaded=True)
    print(http.port, flush=True)  # noqa: T201 the test reads the port
    try:
        http.serve_forever(poll_interval=0.05)
    except KeyboardInterrupt:
        sys.exit(0)
