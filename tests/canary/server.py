"""An authorization server after Authlib's own example for Flask: it logs at DEBUG, prints, and knows no telemetry.

What it prints are its own words: a program that prints a token has published it itself, no library can take it back.
"""

from __future__ import annotations

import logging
import os
import time
from typing import Any

from authlib.integrations.flask_oauth2 import AuthorizationServer, ResourceProtector, current_token
from authlib.oauth2.rfc6749 import grants
from authlib.oauth2.rfc6750 import BearerTokenValidator
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7523 import JWTBearerGrant
from authlib.oauth2.rfc7591 import ClientRegistrationEndpoint
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc7662 import IntrospectionEndpoint
from authlib.oauth2.rfc8628 import DeviceAuthorizationEndpoint, DeviceCodeGrant, DeviceCredentialDict
from authlib.oidc.core import grants as oidc
from canaries import Canaries
from flask import Flask, jsonify, request
from joserfc.jwk import OctKey

canaries = Canaries(os.environ["CANARY_SEED"])
log = logging.getLogger("website")
CODES: dict[str, Any] = {}
TOKENS: list[Any] = []
DEVICES: dict[str, Any] = {}
CLIENTS: dict[str, Any] = {}


class Record:
    """A row of the example's tables."""

    def __init__(self, **values: Any) -> None:
        self.__dict__.update(values)

    def get_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_scope(self) -> str:
        return self.scope

    def get_nonce(self) -> str | None:
        return self.nonce

    def get_auth_time(self) -> int:
        return int(time.time())

    def get_acr(self) -> None:
        return None

    get_amr = get_acr

    def check_client(self, client: Any) -> bool:
        return self.client_id == client.client_id

    def get_expires_in(self) -> int:
        return 3600

    def is_expired(self) -> bool:
        return False

    def is_revoked(self) -> bool:
        return self.revoked


class Client:
    def __init__(self, client_id: str, secret: str) -> None:
        self.client_id, self.client_secret = client_id, secret

    def __repr__(self) -> str:
        return f"<Client client_id={self.client_id!r} client_secret={self.client_secret!r}>"  # as a dataclass would

    def get_client_id(self) -> str:
        return self.client_id

    def get_default_redirect_uri(self) -> str | None:
        return None

    def get_allowed_scope(self, scope: str | None) -> str:
        return scope or ""

    def check_redirect_uri(self, uri: str) -> bool:
        return uri.startswith("http://127.0.0.1:")

    def check_client_secret(self, secret: str) -> bool:
        return secret == self.client_secret

    def check_endpoint_auth_method(self, method: str, _endpoint: str) -> bool:
        return method in ("client_secret_basic", "client_secret_post", "none")  # "none": implicit and hybrid

    def check_response_type(self, _response_type: str) -> bool:
        return True

    def check_grant_type(self, _grant_type: str) -> bool:
        return True


CLIENTS["web"] = Client("web", canaries.of("client_secret"))
CLIENTS["other"] = Client("other", canaries.of("other_secret"))
KEY = OctKey.import_key(canaries.of("signing_key"))


class _Codes:
    def generate_authorization_code(self) -> str:
        return canaries.next("code")

    def save_authorization_code(self, code: str, oauth: Any) -> Any:
        asked = oauth.payload
        print("saving a code for", asked.client_id)  # noqa: T201 the example prints
        log.debug("saving code %s for %r", code, oauth.client)
        CODES[code] = Record(
            code=code,
            client_id=asked.client_id,
            redirect_uri=asked.redirect_uri,
            scope=asked.scope,
            nonce=asked.data.get("nonce"),
            code_challenge=asked.data.get("code_challenge"),
            code_challenge_method=asked.data.get("code_challenge_method"),
        )
        return code


class CodeGrant(_Codes, grants.AuthorizationCodeGrant):
    def query_authorization_code(self, code: str, client: Any) -> Any:
        log.debug("looking for %s of %s, its form is %r", code, client.client_id, dict(request.form))
        found = CODES.get(code)
        return found if found is not None and found.client_id == client.client_id else None

    def delete_authorization_code(self, code: Any) -> None:
        del CODES[code.code]

    def authenticate_user(self, _code: Any) -> str:
        return "alice"


class _IdToken:
    def exists_nonce(self, _nonce: str, _request: Any) -> bool:
        return False

    def get_jwt_config(self, *_args: Any) -> dict[str, Any]:
        return {"key": KEY, "alg": "HS256", "iss": "http://server.example", "exp": 3600}

    def generate_user_info(self, user: str, _scope: str) -> dict[str, str]:
        return {"sub": user}


class OpenID(_IdToken, oidc.OpenIDCode):
    def get_audiences(self, oauth: Any) -> list[str]:
        return [oauth.client.client_id]


class Implicit(_IdToken, oidc.OpenIDImplicitGrant):
    def get_audiences(self, oauth: Any) -> list[str]:
        return [oauth.client.client_id]


class Hybrid(_Codes, _IdToken, oidc.OpenIDHybridGrant):
    def get_audiences(self, oauth: Any) -> list[str]:
        return [oauth.client.client_id]


class PasswordGrant(grants.ResourceOwnerPasswordCredentialsGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_basic", "client_secret_post")

    def authenticate_user(self, username: str, password: str) -> str | None:
        log.debug("checking %s of %s", password, username)
        return username if password == canaries.of("password") else None


class RefreshGrant(grants.RefreshTokenGrant):
    INCLUDE_NEW_REFRESH_TOKEN = True

    def authenticate_refresh_token(self, value: str) -> Any:
        log.debug("looking for <%s>", value)
        if request.headers.get("X-Broken"):
            msg = f"the database refused {value}"
            raise RuntimeError(msg)
        return next((token for token in TOKENS if token.refresh_token == value and not token.revoked), None)

    def authenticate_user(self, _token: Any) -> str:
        return "alice"

    def revoke_old_credential(self, token: Any) -> None:
        token.revoked = True


class DeviceEndpoint(DeviceAuthorizationEndpoint):
    def get_verification_uri(self) -> str:
        return "http://127.0.0.1/activate"

    def generate_device_code(self) -> str:
        return canaries.next("device_code")

    def save_device_credential(self, client_id: str, scope: str, data: dict[str, Any]) -> None:
        log.info("device %s", data)
        DEVICES[data["device_code"]] = {**data, "client_id": client_id, "scope": scope or "", "expires_at": 1 << 40}


class DeviceGrant(DeviceCodeGrant):
    def query_device_credential(self, device_code: str) -> Any:
        found = DEVICES.get(device_code)
        return None if found is None else DeviceCredentialDict(found)

    def query_user_grant(self, _user_code: str) -> tuple[str, bool] | None:
        return ("alice", True) if request.headers.get("X-Activated") else None

    def should_slow_down(self, _credential: Any) -> bool:
        return False


class Assertions(JWTBearerGrant):
    def resolve_issuer_client(self, issuer: str) -> Any:
        return CLIENTS.get(issuer)

    def resolve_client_key(self, client: Any, _headers: Any, _payload: Any) -> Any:
        return OctKey.import_key(client.client_secret)

    def authenticate_user(self, subject: str) -> str:
        return subject

    def has_granted_permission(self, _client: Any, _user: str) -> bool:
        return True


class Revocation(RevocationEndpoint):
    def query_token(self, value: str, _hint: str | None) -> Any:
        return next((token for token in TOKENS if value in (token.access_token, token.refresh_token)), None)

    def revoke_token(self, token: Any, _request: Any) -> None:
        log.info("revoked %r", vars(token))
        token.revoked = True


class Introspection(Revocation, IntrospectionEndpoint):
    ENDPOINT_NAME = "introspection"

    def check_permission(self, _token: Any, _client: Any, _request: Any) -> bool:
        return True

    def introspect_token(self, token: Any) -> dict[str, Any]:
        return {"active": not token.revoked, "client_id": token.client_id}


class Registration(ClientRegistrationEndpoint):
    def authenticate_token(self, _request: Any) -> Any:
        return "somebody"

    def get_server_metadata(self) -> dict[str, Any]:
        return {}

    def generate_client_secret(self, *_args: Any) -> str:
        return canaries.next("new_client_secret")

    def save_client(self, client_info: dict[str, Any], client_metadata: dict[str, Any], _request: Any) -> Any:
        log.info("registered %r as %r", client_metadata, client_info)
        return Record(client_info=client_info, client_metadata=client_metadata)


class Validator(BearerTokenValidator):
    def authenticate_token(self, token_string: str) -> Any:
        log.debug("bearer %s", token_string)
        return next((token for token in TOKENS if token.access_token == token_string), None)


def save_token(token: dict[str, Any], oauth: Any) -> None:
    log.debug(f"saving {token} for {oauth.client}")  # noqa: G004 as applications write it
    kept = {name: token.get(name) for name in ("access_token", "refresh_token", "scope")}
    TOKENS.append(Record(client_id=oauth.client.client_id, revoked=False, **kept))


app = Flask("website")
app.config.update(
    OAUTH2_ACCESS_TOKEN_GENERATOR=lambda *_args, **_kwargs: canaries.next("access_token"),
    OAUTH2_REFRESH_TOKEN_GENERATOR=lambda *_args, **_kwargs: canaries.next("refresh_token"),
)
server = AuthorizationServer(app, query_client=CLIENTS.get, save_token=save_token)
server.register_grant(CodeGrant, [CodeChallenge(required=False), OpenID()])
for grant in (Implicit, Hybrid, PasswordGrant, RefreshGrant, DeviceGrant, Assertions):
    server.register_grant(grant)
server.register_grant(grants.ClientCredentialsGrant)
for endpoint in (DeviceEndpoint, Revocation, Introspection, Registration):
    server.register_endpoint(endpoint)
protector = ResourceProtector()
protector.register_token_validator(Validator())


@app.get("/authorize")
def authorize() -> Any:
    grant = server.get_consent_grant(end_user="alice")
    log.info("consent for %s", request.url)
    return server.create_authorization_response(grant_user="alice", grant=grant)


for name, path in {
    "device_authorization": "/device",
    "revocation": "/revoke",
    "introspection": "/introspect",
    "client_registration": "/register",
}.items():
    app.post(path, endpoint=name)(lambda name=name: server.create_endpoint_response(name))


@app.post("/token")
def token() -> Any:
    return server.create_token_response()


@app.get("/me")
@protector()
def me() -> Any:
    return jsonify(sub="alice", client=current_token.client_id)
