"""The authorization server's grants and endpoints: Authlib's, with their callbacks onto the store."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Any

from authlib.integrations.sqla_oauth2 import (
    create_bearer_token_validator,
    create_query_token_func,
    create_revocation_endpoint,
)
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant, ClientCredentialsGrant, RefreshTokenGrant
from authlib.oauth2.rfc7591 import ClientRegistrationEndpoint
from authlib.oauth2.rfc7662 import IntrospectionEndpoint
from authlib.oauth2.rfc9207 import IssuerParameter
from authlib.oidc.core import OpenIDCode, UserInfo, UserInfoEndpoint

from demo.seeds import BATCH, REGISTRATION_TOKEN
from demo.store import AuthorizationCode, Client, Token, User, new_client, session

if TYPE_CHECKING:
    from authlib.oauth2 import OAuth2Request
    from joserfc.jwk import ECKey

AUTH_METHODS = ("client_secret_basic", "client_secret_post", "none")
ID_TOKEN_ALGORITHM = "ES256"


class CodeGrant(AuthorizationCodeGrant):
    """The authorization code grant; a code is deleted when it was redeemed."""

    TOKEN_ENDPOINT_AUTH_METHODS = AUTH_METHODS

    def save_authorization_code(self, code: str, request: OAuth2Request) -> None:
        """Store a new code with what the token request must match."""
        data = request.payload.data
        session.add(
            AuthorizationCode(
                code=code,
                client_id=request.client.client_id,
                redirect_uri=request.payload.redirect_uri,
                scope=request.scope,
                nonce=data.get("nonce"),
                code_challenge=data.get("code_challenge"),
                code_challenge_method=data.get("code_challenge_method"),
                user_id=request.user.id,
            )
        )
        session.commit()

    def query_authorization_code(self, code: str, client: Client) -> AuthorizationCode | None:
        """Return the code if it is this client's and has not expired."""
        found = session.query(AuthorizationCode).filter_by(code=code, client_id=client.client_id).first()
        return found if found and not found.is_expired() else None

    def delete_authorization_code(self, authorization_code: AuthorizationCode) -> None:
        """Delete a redeemed code."""
        session.delete(authorization_code)
        session.commit()

    def authenticate_user(self, authorization_code: AuthorizationCode) -> User | None:
        """Return who consented."""
        return session.get(User, authorization_code.user_id)


class RotatingRefreshGrant(RefreshTokenGrant):
    """The refresh grant; each refresh token is good for one use."""

    TOKEN_ENDPOINT_AUTH_METHODS = AUTH_METHODS
    INCLUDE_NEW_REFRESH_TOKEN = True

    def authenticate_refresh_token(self, refresh_token: str) -> Token | None:
        """Return the token if it was not revoked or rotated."""
        token = session.query(Token).filter_by(refresh_token=refresh_token).first()
        return token if token and not token.refresh_token_revoked_at else None

    def authenticate_user(self, refresh_token: Token) -> User | None:
        """Return whom the token speaks for."""
        return refresh_token.get_user()

    def revoke_old_credential(self, refresh_token: Token) -> None:
        """Retire the token that was just used."""
        refresh_token.revoke()


class ServiceGrant(ClientCredentialsGrant):
    """The client credentials grant."""

    TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_basic", "client_secret_post")


class OpenID(OpenIDCode):
    """ID tokens, signed with the server's key."""

    def __init__(self, issuer: str, key: ECKey) -> None:
        super().__init__(require_nonce=False)
        self.issuer = issuer
        self.key = key

    def exists_nonce(self, nonce: str, request: OAuth2Request) -> bool:
        """Tell whether a pending code already carries this nonce."""
        query = session.query(AuthorizationCode).filter_by(client_id=request.payload.client_id, nonce=nonce)
        return query.first() is not None

    def get_client_algorithm(self, client: Client) -> str:  # noqa: ARG002 - the same for each
        """Return the signature's algorithm."""
        return ID_TOKEN_ALGORITHM

    def get_encode_header(self, client: Client) -> dict[str, str]:
        """Return the JOSE header."""
        return {"alg": self.get_client_algorithm(client), "kid": self.key.kid}

    def get_client_claims(self, client: Client) -> dict[str, Any]:
        """Return who issues the token, and for whom."""
        return {"iss": self.issuer, "aud": [client.client_id]}

    def resolve_client_private_key(self, client: Client) -> ECKey:  # noqa: ARG002 - the same for each
        """Return the signing key."""
        return self.key

    def generate_user_info(self, user: User, scope: str) -> UserInfo:
        """Return the claims about a person that the scope allows."""
        return describe(user, scope)


class Profile(UserInfoEndpoint):
    """The userinfo endpoint of OpenID Connect."""

    def generate_user_info(self, user: User, scope: str) -> UserInfo:
        """Return the claims about a person that the scope allows."""
        return describe(user, scope)


Revocation = create_revocation_endpoint(session, Token)
Revocation.CLIENT_AUTH_METHODS = AUTH_METHODS
BearerValidator = create_bearer_token_validator(session, Token)
_query_token = create_query_token_func(session, Token)


class Introspection(IntrospectionEndpoint):
    """RFC 7662: a client may look at its own tokens, the batch service at all."""

    CLIENT_AUTH_METHODS = ("client_secret_basic",)

    def query_token(self, token_string: str, token_type_hint: str | None) -> Token | None:
        """Find an access or refresh token."""
        return _query_token(token_string, token_type_hint)

    def check_permission(self, token: Token, client: Client, request: OAuth2Request) -> bool:  # noqa: ARG002
        """Tell whether ``client`` may look at ``token``."""
        return client.client_id in {token.client_id, BATCH.client_id}

    def introspect_token(self, token: Token) -> dict[str, Any]:
        """Describe an active token."""
        return {
            "active": True,
            "client_id": token.client_id,
            "scope": token.scope,
            "token_type": token.token_type,
            "sub": str(token.user_id),
            "exp": token.issued_at + token.expires_in,
        }


class Registration(ClientRegistrationEndpoint):
    """RFC 7591, for those who hold the initial access token."""

    def authenticate_token(self, request: OAuth2Request) -> str | None:
        """Return the initial access token if it is the right one."""
        presented = request.headers.get("Authorization", "").removeprefix("Bearer ")
        return presented if secrets.compare_digest(presented.encode(), REGISTRATION_TOKEN.encode()) else None

    def get_server_metadata(self) -> dict[str, Any]:
        """Return what a client may ask for."""
        return self.server.metadata

    def generate_client_id(self, request: OAuth2Request) -> str:  # noqa: ARG002
        """Return a new id."""
        return f"dyn-{secrets.token_hex(6)}"

    def generate_client_secret(self, request: OAuth2Request) -> str:
        """Return a new secret, none for a public client."""
        return "" if request.payload.data.get("token_endpoint_auth_method") == "none" else secrets.token_urlsafe(24)

    def save_client(self, info: dict[str, Any], metadata: dict[str, Any], request: OAuth2Request) -> Client:  # noqa: ARG002
        """Store the new client."""
        return new_client(info, metadata)


class Issuer(IssuerParameter):
    """RFC 9207: the authorization response says who gave it."""

    def __init__(self, issuer: str) -> None:
        self.issuer = issuer

    def get_issuer(self) -> str:
        """Return the issuer."""
        return self.issuer


def describe(user: User, scope: str) -> UserInfo:
    """Return the claims about ``user`` that ``scope`` allows."""
    return UserInfo(sub=str(user.id), name=user.name).filter(scope)


def save_token(token: dict[str, Any], request: OAuth2Request) -> None:
    """Store a newly issued token."""
    user_id = request.user.get_user_id() if request.user else None
    session.add(Token(client_id=request.client.client_id, user_id=user_id, issued_at=int(time.time()), **token))
    session.commit()
