"""The rows of an application's store, and the secrets that its clients know."""

from __future__ import annotations

import base64
import hashlib
import time
from types import SimpleNamespace

from authlib.oauth2.rfc7523 import JWTBearerGrant
from authlib.oauth2.rfc8628 import DeviceCodeGrant

REDIRECT = "https://client.example/cb"
VERIFIER = "v" * 50
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
ALL_GRANTS = (
    "authorization_code",
    "refresh_token",
    "client_credentials",
    "password",
    "implicit",
    DeviceCodeGrant.GRANT_TYPE,
    JWTBearerGrant.GRANT_TYPE,
)


class Record(SimpleNamespace):
    """A row of the store, with the methods that Authlib asks its models for."""

    def get_client_id(self) -> str:
        return str(self.client_id)

    def get_default_redirect_uri(self) -> str:
        return REDIRECT

    def get_allowed_scope(self, scope: str | None) -> str:
        return " ".join(part for part in (scope or "").split() if part != "admin")

    def check_redirect_uri(self, uri: str) -> bool:
        return uri.startswith("https://")

    def check_client_secret(self, secret: str) -> bool:
        return bool(self.secret == secret)

    def check_endpoint_auth_method(self, method: str, _endpoint: str) -> bool:
        return method in self.methods

    def check_response_type(self, response_type: str) -> bool:
        return self.client_id != "narrow" or response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type in self.grant_types

    def check_client(self, client: Record) -> bool:
        return bool(self.client_id == client.client_id)

    def get_redirect_uri(self) -> str:
        return str(self.redirect_uri)

    def get_scope(self) -> str:
        return str(self.scope)

    def get_nonce(self) -> str:
        return str(self.nonce)

    def get_auth_time(self) -> int:
        return int(self.issued_at)

    def get_acr(self) -> None:
        return None

    def get_amr(self) -> None:
        return None

    def is_expired(self) -> bool:
        return bool(self.issued_at + self.expires_in < time.time())

    def is_revoked(self) -> bool:
        return bool(self.revoked)

    def get_client(self) -> Record:
        return client(self.client_id)

    def get_user(self) -> str:
        return "user"


def client(client_id: str, secret: str = "", *methods: str, only: tuple[str, ...] = ()) -> Record:
    named = methods or (("client_secret_basic", "client_secret_post") if secret else ("none",))
    return Record(
        client_id=client_id,
        secret=secret,
        methods=named,
        grant_types=only or ALL_GRANTS,
        client_metadata={"post_logout_redirect_uris": [REDIRECT]},
    )
