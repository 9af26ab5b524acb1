"""An MCP resource with OAuth: the MCP SDK's own authorization server over a store in memory, and what it protects."""

from __future__ import annotations

import secrets
import time
from importlib.metadata import version
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from mcp.server.auth.middleware.auth_context import AuthContextMiddleware
from mcp.server.auth.middleware.bearer_auth import BearerAuthBackend, RequireAuthMiddleware
from mcp.server.auth.provider import (
    AccessToken,
    AuthorizationCode,
    AuthorizationParams,
    OAuthAuthorizationServerProvider,
    RefreshToken,
    construct_redirect_uri,
)
from mcp.server.auth.routes import create_auth_routes
from mcp.server.auth.settings import ClientRegistrationOptions, RevocationOptions
from mcp.shared.auth import OAuthClientInformationFull, OAuthToken
from pydantic import AnyHttpUrl
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

MCP = tuple(int(number) for number in version("mcp").split(".")[:2])
CALLBACK = "http://127.0.0.1:9/callback"


class Store(OAuthAuthorizationServerProvider[AuthorizationCode, RefreshToken, AccessToken]):
    """Clients, codes and tokens; every user consents.

    :ivar lifetime: seconds that an access token lives.
    :ivar granted: the scopes that the user consents to, whatever was asked for.
    """

    def __init__(self) -> None:
        self.clients: dict[str, Any] = {}
        self.codes: dict[str, AuthorizationCode] = {}
        self.refresh_tokens: dict[str, RefreshToken] = {}
        self.access_tokens: dict[str, AccessToken] = {}
        self.lifetime = 3600
        self.granted: list[str] | None = None

    async def get_client(self, client_id: str) -> OAuthClientInformationFull | None:
        return self.clients.get(client_id)

    async def register_client(self, client_info: OAuthClientInformationFull) -> None:
        self.clients[str(client_info.client_id)] = client_info

    async def authorize(self, client: OAuthClientInformationFull, params: AuthorizationParams) -> str:
        code = AuthorizationCode(
            code=secrets.token_urlsafe(24),
            client_id=client.client_id,
            scopes=params.scopes or [] if self.granted is None else self.granted,
            expires_at=time.time() + 60,
            code_challenge=params.code_challenge,
            redirect_uri=params.redirect_uri,
            redirect_uri_provided_explicitly=params.redirect_uri_provided_explicitly,
        )
        self.codes[code.code] = code
        return construct_redirect_uri(str(params.redirect_uri), code=code.code, state=params.state)

    async def load_authorization_code(self, _client: Any, authorization_code: str) -> AuthorizationCode | None:
        return self.codes.get(authorization_code)

    async def exchange_authorization_code(self, client: Any, authorization_code: AuthorizationCode) -> OAuthToken:
        del self.codes[authorization_code.code]
        return self._issue(client.client_id, authorization_code.scopes)

    async def load_refresh_token(self, _client: Any, refresh_token: str) -> RefreshToken | None:
        return self.refresh_tokens.get(refresh_token)

    async def exchange_refresh_token(self, client: Any, refresh_token: RefreshToken, scopes: list[str]) -> OAuthToken:
        del self.refresh_tokens[refresh_token.token]
        return self._issue(client.client_id, scopes or refresh_token.scopes)

    async def load_access_token(self, token: str) -> AccessToken | None:
        return self.access_tokens.get(token)

    async def revoke_token(self, token: Any) -> None:
        self.refresh_tokens.pop(token.token, None)
        self.access_tokens.pop(token.token, None)

    def _issue(self, client_id: str, scopes: list[str]) -> OAuthToken:
        access, refresh = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
        expires_at = int(time.time()) + self.lifetime
        self.access_tokens[access] = AccessToken(
            token=access, client_id=client_id, scopes=scopes, expires_at=expires_at
        )
        self.refresh_tokens[refresh] = RefreshToken(token=refresh, client_id=client_id, scopes=scopes)
        return OAuthToken(
            access_token=access, refresh_token=refresh, expires_in=self.lifetime, scope=" ".join(scopes) or None
        )


class Resource:
    """The resource as an ASGI application, with switches for what a server may do.

    :ivar scopes: the scopes that the resource asks for.
    :ivar missing: paths that are answered 404.
    :ivar broken: paths that are answered 500.
    :ivar announced: the 401 names the place of the resource's metadata.
    """

    def __init__(self, url: str = "http://127.0.0.1:8000") -> None:
        self.url = url
        self.store = Store()
        self.scopes: list[str] = []
        self.missing: set[str] = set()
        self.broken: set[str] = set()
        self.announced = True
        self.asked: list[tuple[str, str]] = []
        routes = create_auth_routes(
            self.store,
            issuer_url=AnyHttpUrl(url),
            client_registration_options=ClientRegistrationOptions(enabled=True, valid_scopes=["read", "write"]),
            revocation_options=RevocationOptions(enabled=True),
        )
        prm = "/.well-known/oauth-protected-resource"
        routes += [Route(place, self._metadata) for place in (prm, f"{prm}/mcp", "/named/metadata" + prm)]
        verifier: Any = self.store
        if hasattr(verifier, "load_access_token") and MCP >= (1, 10):
            from mcp.server.auth.provider import ProviderTokenVerifier  # noqa: PLC0415 newer versions only

            verifier = ProviderTokenVerifier(self.store)
        routes.append(Route("/mcp", self._protected, methods=["GET", "POST"]))
        self.app = Starlette(
            routes=routes,
            middleware=[
                Middleware(AuthenticationMiddleware, backend=BearerAuthBackend(verifier)),
                Middleware(AuthContextMiddleware),
            ],
        )

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            self.asked.append((scope["method"], scope["path"]))
            for status, paths in ((404, self.missing), (500, self.broken)):
                if scope["path"] in paths:
                    await Response("{}", status)(scope, receive, send)
                    return
        await self.app(scope, receive, send)

    async def _metadata(self, _request: Any) -> Response:
        return JSONResponse({"resource": f"{self.url}/mcp", "authorization_servers": [f"{self.url}/"]})

    async def _protected(self, request: Any) -> Response:
        async def granted(scope: Any, receive: Any, send: Any) -> None:
            await JSONResponse({"ok": True})(scope, receive, send)

        guard = RequireAuthMiddleware(granted, self.scopes)
        sent: list[Any] = []

        async def collect(message: Any) -> None:
            sent.append(message)

        await guard(request.scope, request.receive, collect)
        body = b"".join(message.get("body", b"") for message in sent)
        headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        if sent[0]["status"] == 401 and self.announced:
            headers["www-authenticate"] += (
                f', resource_metadata="{self.url}/named/metadata/.well-known/oauth-protected-resource"'
            )
        return Response(body, sent[0]["status"], headers)


class Tokens:
    """What the client keeps."""

    def __init__(self) -> None:
        self.tokens: Any = None
        self.client: Any = None

    async def get_tokens(self) -> Any:
        return self.tokens

    async def set_tokens(self, tokens: Any) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> Any:
        return self.client

    async def set_client_info(self, client_info: Any) -> None:
        self.client = client_info


def returned(location: str) -> Any:
    """Return what a callback handler of this version gives, for the redirect back from the server."""
    values = dict(parse_qsl(urlsplit(location).query))
    if MCP >= (2, 0):
        from mcp.shared.auth import AuthorizationCodeResult  # noqa: PLC0415 newer versions only

        return AuthorizationCodeResult(code=values["code"], state=values.get("state"), iss=values.get("iss"))
    return values["code"], values.get("state")
