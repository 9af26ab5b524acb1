"""A grant and an endpoint of each kind, as an application writes them over its store."""

from __future__ import annotations

import inspect
import secrets
import time
from collections import defaultdict
from typing import Any, ClassVar

from authlib.integrations.flask_oauth2 import AuthorizationServer, ResourceProtector
from authlib.oauth2.rfc6749 import grants
from authlib.oauth2.rfc6750 import BearerTokenValidator
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7523 import JWTBearerClientAssertion, JWTBearerGrant
from authlib.oauth2.rfc7591 import ClientRegistrationEndpoint
from authlib.oauth2.rfc7592 import ClientConfigurationEndpoint
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc7662 import IntrospectionEndpoint
from authlib.oauth2.rfc8628 import DeviceAuthorizationEndpoint, DeviceCodeGrant, DeviceCredentialDict
from authlib.oidc.core import OpenIDCode, OpenIDHybridGrant, OpenIDImplicitGrant, UserInfo
from authlib.oidc.core.userinfo import UserInfoEndpoint
from authlib.oidc.rpinitiated import EndSessionEndpoint
from authlib_jose import ISSUER, ClientKeys, OpenIDKeys, oct_key
from compared_store import Record, client


class Part:
    """Whatever belongs to one application and reaches into its store."""

    application: Any


class Ordered(dict[Any, None]):
    """A set that keeps its order: Authlib calls the hooks of a grant in that of a set, which is anybody's guess."""

    def add(self, hook: Any) -> None:
        self.setdefault(hook)


class Codes(Part):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._hooks = defaultdict(Ordered)

    TOKEN_ENDPOINT_AUTH_METHODS: ClassVar[list[str]] = ["client_secret_basic", "client_secret_post", "none"]

    def save_authorization_code(self, code: str, asked: Any) -> None:
        data = asked.payload.data
        self.application.stored("save_code", code, asked)
        self.application.seen.add(data.get("nonce", ""))
        self.application.codes[code] = Record(
            code=code,
            client_id=asked.client.client_id,
            redirect_uri=data.get("redirect_uri", ""),
            scope=asked.payload.scope or "",
            nonce=data.get("nonce"),
            code_challenge=data.get("code_challenge"),
            code_challenge_method=data.get("code_challenge_method"),
            issued_at=int(time.time()),
            expires_in=300,
        )

    def query_authorization_code(self, code: str, asking: Record) -> Record | None:
        self.application.stored("query_code", code, asking)
        found = self.application.codes.get(code)
        owned = found is not None and (self.application.careless or found.client_id == asking.client_id)
        return found if owned and not found.is_expired() else None

    def delete_authorization_code(self, code: Record) -> None:
        self.application.stored("delete_code", code.code)
        if not self.application.careless:
            self.application.codes.pop(code.code, None)

    def authenticate_user(self, *_arguments: Any) -> str:
        self.application.stored("query_user")
        return "user"


class Nonces(Part, OpenIDKeys):
    def exists_nonce(self, nonce: str, _request: Any) -> bool:
        self.application.stored("query_nonce", nonce)
        return nonce in self.application.seen


class RefreshGrant(Part, grants.RefreshTokenGrant):
    TOKEN_ENDPOINT_AUTH_METHODS: ClassVar[list[str]] = ["client_secret_basic", "client_secret_post", "none"]
    INCLUDE_NEW_REFRESH_TOKEN = True

    def authenticate_refresh_token(self, value: str) -> Record | None:
        found = self.application.token(value, "refresh_token")
        return found if found is not None and (self.application.careless or not found.revoked) else None

    def authenticate_user(self, _token: Record) -> str:
        return "user"

    def revoke_old_credential(self, token: Record) -> None:
        self.application.stored("revoke_token", token.refresh_token)
        token.revoked = True


class PasswordGrant(Part, grants.ResourceOwnerPasswordCredentialsGrant):
    def authenticate_user(self, username: str, password: str) -> str | None:
        self.application.stored("query_user", username)
        return username if password == "right" else None


class DeviceGrant(Part, DeviceCodeGrant):
    def query_device_credential(self, device_code: str) -> Any:
        self.application.stored("query_device_code", device_code)
        found = self.application.devices.get(device_code)
        return None if found is None else DeviceCredentialDict(found)

    def query_user_grant(self, user_code: str) -> tuple[str, bool] | None:
        self.application.stored("query_user", user_code)
        return ("user", True) if self.application.careless else None

    def should_slow_down(self, _credential: Any) -> bool:
        return len(self.application.devices) % 2 == 0


class AssertionGrant(Part, ClientKeys, JWTBearerGrant):
    def resolve_issuer_client(self, issuer: str) -> Record | None:
        return self.application.query_client(issuer)

    def authenticate_user(self, subject: str) -> str:
        return subject

    def has_granted_permission(self, _client: Record, _user: str) -> bool:
        return True


class Credentials(grants.ClientCredentialsGrant):
    TOKEN_ENDPOINT_AUTH_METHODS: ClassVar[list[str]] = [
        "client_secret_basic",
        "client_secret_post",
        JWTBearerClientAssertion.CLIENT_AUTH_METHOD,
    ]


class Assertion(Part, ClientKeys, JWTBearerClientAssertion):
    def validate_jti(self, _claims: Any, jti: str) -> bool:
        return self.application.fresh(jti)


class Tokens(Part):
    def query_token(self, value: str, _hint: str | None) -> Record | None:
        return self.application.token(value)


class Revocation(Tokens, RevocationEndpoint):
    def revoke_token(self, token: Record, _request: Any) -> None:
        self.application.stored("revoke_token", token.access_token)
        token.revoked = True


class Introspection(Tokens, IntrospectionEndpoint):
    def check_permission(self, token: Record, asking: Record, _request: Any) -> bool:
        return bool(token.client_id == asking.client_id)

    def introspect_token(self, token: Record) -> dict[str, Any]:
        return {"active": not token.revoked, "client_id": token.client_id}


class Registered(Part):
    def get_server_metadata(self) -> dict[str, Any]:
        return {"scopes_supported": ["profile", "openid"]}

    def authenticate_token(self, asked: Any) -> Any:
        return self.application.token(asked.headers.get("Authorization", "").removeprefix("Bearer "))


class Registration(Registered, ClientRegistrationEndpoint):
    def generate_client_secret(self, _request: Any) -> str:
        return secrets.token_hex(24)

    def save_client(self, info: dict[str, Any], metadata: dict[str, Any], _request: Any) -> Record:
        self.application.stored("save_client", info["client_id"], *metadata)
        found = client(info["client_id"], info["client_secret"])
        found.client_info, found.client_metadata = info, metadata
        self.application.clients[info["client_id"]] = found
        return found


class Configuration(Registered, ClientConfigurationEndpoint):
    def authenticate_client(self, asked: Any) -> Record | None:
        return self.application.query_client(asked.uri.rsplit("/", 1)[-1])

    def check_permission(self, managed: Record, _request: Any) -> bool:
        return bool(managed.client_id != "narrow")

    def revoke_access_token(self, *_arguments: Any) -> None:
        self.application.stored("revoke_token")

    def introspect_client(self, managed: Record) -> dict[str, Any]:
        return {"client_id": managed.client_id}

    def generate_client_registration_info(self, _client: Record, _request: Any) -> dict[str, Any]:
        return {}

    def update_client(self, managed: Record, metadata: dict[str, Any], _request: Any) -> Record:
        self.application.stored("update_client", *metadata)
        return managed

    def delete_client(self, managed: Record, _request: Any) -> None:
        self.application.stored("delete_client", managed.client_id)
        self.application.clients.pop(managed.client_id, None)


class Devices(Part, DeviceAuthorizationEndpoint):
    def get_verification_uri(self) -> str:
        return f"{ISSUER}/activate"

    def save_device_credential(self, client_id: str, scope: str, data: dict[str, Any]) -> None:
        self.application.stored("save_device_code", client_id, scope)
        found = {**data, "client_id": client_id, "scope": scope or "", "expires_at": time.time() + 600}
        self.application.devices[data["device_code"]] = found


class Users(UserInfoEndpoint):
    def generate_user_info(self, user: str, _scope: str) -> Any:
        return UserInfo(sub=user)


class EndSession(Part, EndSessionEndpoint):
    def get_server_jwks(self) -> Any:
        return oct_key()

    def end_session(self, _request: Any) -> None:
        self.application.stored("end_session")


class CodeGrant(Codes, grants.AuthorizationCodeGrant):
    pass


class HybridGrant(Nonces, Codes, OpenIDHybridGrant):
    pass


class OpenIDImplicit(Nonces, OpenIDImplicitGrant):
    pass


class OpenID(Nonces, OpenIDCode):
    pass


class Validator(Part, BearerTokenValidator):
    def authenticate_token(self, value: str) -> Record | None:
        return self.application.token(value, "access_token")


def protector(application: Any) -> ResourceProtector:
    """Return what guards a resource of the application."""
    protect = ResourceProtector()
    protect.register_token_validator(_of(application, Validator)())
    return protect


def _of(application: Any, part: type) -> Any:
    return type(part.__name__, (part,), {"application": application})


def register(application: Any, server: AuthorizationServer) -> None:
    """Register all of these with the server."""
    server.register_grant(_of(application, CodeGrant), [CodeChallenge(), _of(application, OpenID)()])
    server.register_grant(_of(application, HybridGrant), [CodeChallenge()])
    plain = (
        OpenIDImplicit,
        grants.ImplicitGrant,
        RefreshGrant,
        PasswordGrant,
        DeviceGrant,
        AssertionGrant,
        Credentials,
    )
    for grant in plain:
        server.register_grant(_of(application, grant))
    wanted = inspect.signature(JWTBearerClientAssertion.__init__).parameters["token_url"]
    arguments = [ISSUER] if wanted.default is inspect.Parameter.empty else []
    assertion = _of(application, Assertion)(*arguments)
    server.register_client_auth_method(JWTBearerClientAssertion.CLIENT_AUTH_METHOD, assertion)
    for endpoint in (Revocation, Introspection, Registration, Configuration, Devices, EndSession):
        server.register_endpoint(_of(application, endpoint))
    server.register_endpoint(Users(resource_protector=protector(application)))
