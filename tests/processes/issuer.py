"""An authorization server (``issuer:app``) whose store, a file, is the same for all workers; no line of telemetry."""

from __future__ import annotations

import os
import sqlite3
from typing import Any

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import grants
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib_provider import Client, Code, Token
from authlib_versions import authorization_response, payload
from flask import Flask, Response

STORE = sqlite3.connect(os.environ["STORE"], isolation_level=None, check_same_thread=False, timeout=20)
STORE.execute("CREATE TABLE IF NOT EXISTS code (value PRIMARY KEY, challenge, method)")
STORE.execute("CREATE TABLE IF NOT EXISTS token (access, refresh PRIMARY KEY, revoked)")


class CodeGrant(grants.AuthorizationCodeGrant):
    def save_authorization_code(self, code: str, oauth_request: Any) -> None:
        asked = payload(oauth_request).data
        values = code, asked.get("code_challenge"), asked.get("code_challenge_method")
        STORE.execute("INSERT INTO code VALUES (?, ?, ?)", values)

    def query_authorization_code(self, code: str, _client: Client) -> Code | None:
        found = STORE.execute("SELECT * FROM code WHERE value = ?", [code]).fetchone()
        return found and Code({"value": found[0], "code_challenge": found[1], "code_challenge_method": found[2]})

    def delete_authorization_code(self, code: Code) -> None:
        STORE.execute("DELETE FROM code WHERE value = ?", [code.data["value"]])

    def authenticate_user(self, _code: Code) -> str:
        return "user"


class RefreshGrant(grants.RefreshTokenGrant):
    INCLUDE_NEW_REFRESH_TOKEN = True

    def authenticate_refresh_token(self, value: str) -> Token | None:
        found = STORE.execute("SELECT * FROM token WHERE refresh = ? AND NOT revoked", [value]).fetchone()
        return found and Token(found[0], found[1], "")

    def authenticate_user(self, _token: Token) -> str:
        return "user"

    def revoke_old_credential(self, token: Token) -> None:
        STORE.execute("UPDATE token SET revoked = 1 WHERE refresh = ?", [token.refresh_token])


def save_token(token: dict[str, Any], _request: Any) -> None:
    STORE.execute("INSERT INTO token VALUES (?, ?, 0)", [token["access_token"], token.get("refresh_token")])


app = Flask(__name__)
app.config["OAUTH2_REFRESH_TOKEN_GENERATOR"] = True
server = AuthorizationServer(
    app, query_client=lambda client_id: Client() if client_id == "web" else None, save_token=save_token
)
server.register_grant(CodeGrant, [CodeChallenge(required=True)])
server.register_grant(RefreshGrant)


@app.get("/authorize")
def authorize() -> Response:
    return authorization_response(server, "user", server.get_consent_grant(end_user="user"))


@app.post("/token")
def token() -> Response:
    return server.create_token_response()


@app.get("/")
def home() -> str:
    return "issuer"


@app.after_request
def name_worker(response: Response) -> Response:
    response.headers["X-Worker"] = str(os.getpid())
    return response
