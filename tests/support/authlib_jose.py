"""Keys and OpenID configuration, whichever JOSE library this version of Authlib takes them from."""

from __future__ import annotations

from typing import Any

from authlib.oidc.core import UserInfo
from authlib_versions import AUTHLIB

JOSERFC = AUTHLIB >= (1, 7)
"""From Authlib 1.7 on keys come from joserfc, before from authlib.jose."""

if JOSERFC:
    from joserfc import jwt
    from joserfc.jwk import OctKey
else:
    from authlib.jose import OctKey

SECRET = "a secret of thirty-two bytes ...."
ISSUER = "https://server.example"


def oct_key(secret: str = SECRET) -> Any:
    """Return a symmetric key."""
    return OctKey.import_key(secret)


def signed_jwt(claims: dict[str, Any]) -> str:
    """Return a JWT signed with that key (Authlib 1.7 and newer)."""
    return str(jwt.encode({"alg": "HS256"}, claims, oct_key(), algorithms=["HS256"]))


class ClientKeys:
    """The key of a client, as the versions of the grants and of the client's authentication ask for it."""

    if JOSERFC:

        def resolve_client_public_key(self, _client: Any) -> Any:
            return oct_key()

        def get_audiences(self) -> list[str]:
            return [ISSUER]

    else:

        def resolve_client_key(self, _client: Any, _headers: Any, _payload: Any) -> Any:
            return oct_key()

        def resolve_client_public_key(self, _client: Any, _headers: Any) -> Any:
            return oct_key()


class OpenIDKeys:
    """How ID tokens are signed."""

    if JOSERFC:

        def resolve_client_private_key(self, _client: Any) -> Any:
            return oct_key()

        def get_client_algorithm(self, _client: Any) -> str:
            return "HS256"

        def get_client_claims(self, client: Any) -> dict[str, Any]:
            return {"iss": ISSUER, "aud": [client.get_client_id()]}

    else:

        def get_jwt_config(self, *_arguments: Any) -> dict[str, Any]:
            return {"key": oct_key(), "alg": "HS256", "iss": ISSUER, "exp": 3600}

    def generate_user_info(self, user: str, _scope: str) -> Any:
        return UserInfo(sub=user)
