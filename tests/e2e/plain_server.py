"""A plain Flask and Authlib authorization server, with not one line of telemetry."""

from __future__ import annotations

import signal
import sys
from typing import Any

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import grants
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7636 import CodeChallenge
from flask import Flask
from werkzeug.serving import make_server

CODES: dict[str, Any] = {}
TOKENS: list[Any] = []


class Record:
    def __init__(self, **values: Any) -> None:
        self.__dict__.update(values)

    def get_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_scope(self) -> str:
        return ""

    def check_client(self, client: Any) -> bool:
        return self.client_id == client.client_id

    def is_expired(self) -> bool:
        return False

    def is_revoked(self) -> bool:
        return self.revoked


class Client:
    client_id = "web"

    def get_client_id(self) -> str:
        return self.client_id

    def get_default_redirect_uri(self) -> str | None:
        return None

    def get_allowed_scope(self, _scope: str | None) -> str:
        return ""

    def check_redirect_uri(self, uri: str) -> bool:
        return uri.startswith("http://127.0.0.1:")

    def check_client_secret(self, secret: str) -> bool:
        return secret == "web-secret"

    def check_endpoint_auth_method(self, method: str, _endpoint: str) -> bool:
        return method == "client_secret_basic"

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, _grant_type: str) -> bool:
        return True


class CodeGrant(grants.AuthorizationCodeGrant):
    def save_authorization_code(self, code: str, oauth: Any) -> None:
        asked = getattr(oauth, "payload", oauth)  # Authlib 1.6 and newer have a payload
        CODES[code] = Record(
            code=code,
            redirect_uri=asked.redirect_uri,
            code_challenge=asked.data.get("code_challenge"),
            code_challenge_method=asked.data.get("code_challenge_method"),
        )

    def query_authorization_code(self, code: str, _client: Client) -> Any:
        return CODES.get(code)

    def delete_authorization_code(self, code: Any) -> None:
        del CODES[code.code]

    def authenticate_user(self, _code: Any) -> str:
        return "user"


class RefreshGrant(grants.RefreshTokenGrant):
    INCLUDE_NEW_REFRESH_TOKEN = True

    def authenticate_refresh_token(self, value: str) -> Any:
        return next((token for token in TOKENS if token.refresh_token == value and not token.revoked), None)

    def authenticate_user(self, _token: Any) -> str:
        return "user"

    def revoke_old_credential(self, token: Any) -> None:
        token.revoked = True


class Revocation(RevocationEndpoint):
    def query_token(self, value: str, _hint: str | None) -> Any:
        return next((token for token in TOKENS if value in (token.access_token, token.refresh_token)), None)

    def revoke_token(self, token: Any, _request: Any) -> None:
        token.revoked = True


def save_token(token: dict[str, Any], oauth: Any) -> None:
    TOKENS.append(
        Record(
            client_id=oauth.client.client_id,
            access_token=token["access_token"],
            refresh_token=token.get("refresh_token"),
            revoked=False,
        )
    )


app = Flask(__name__)
app.config["OAUTH2_REFRESH_TOKEN_GENERATOR"] = True
server = AuthorizationServer(
    app, query_client=lambda client_id: Client() if client_id == "web" else None, save_token=save_token
)
server.register_grant(CodeGrant, [CodeChallenge(required=True)])
server.register_grant(RefreshGrant)
server.register_endpoint(Revocation)


@app.get("/authorize")
def authorize() -> Any:
    grant = server.get_consent_grant(end_user="user")
    validated = {"grant": grant} if hasattr(grant.request, "payload") else {}  # as above
    return server.create_authorization_response(request=None, grant_user="user", **validated)


@app.post("/token")
def token() -> Any:
    return server.create_token_response()


@app.post("/revoke")
def revoke() -> Any:
    return server.create_endpoint_response("revocation")


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts jobs in the background without it
    http = make_server("127.0.0.1", 0, app, threaded=True)
    print(http.port, flush=True)  # noqa: T201 the test reads the port
    try:
        http.serve_forever(poll_interval=0.05)
    except KeyboardInterrupt:
        sys.exit(0)
