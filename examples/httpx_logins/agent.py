"""An MCP client that logs in: ``python examples/httpx_logins/agent.py http://127.0.0.1:8004/mcp``.

It calls a tool of the server beside this file, which refuses it first; the MCP SDK does the rest. It knows nothing of
telemetry. A browser would show the authorization page; here a plain HTTP request does.
"""

from __future__ import annotations

import sys
from urllib.parse import parse_qs, urlsplit

import anyio
import httpx2
from mcp import ClientSession
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client  # noqa: PLC2701 as the SDK's own examples do
from mcp.shared.auth import OAuthClientInformationFull, OAuthClientMetadata, OAuthToken
from pydantic import AnyUrl


class Tokens:
    """What the client keeps; the MCP SDK calls these methods."""

    tokens: OAuthToken | None = None
    client: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        """Return the tokens of an earlier login."""
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        """Keep the tokens of a login or a refresh."""
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        """Return the registration of an earlier run."""
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        """Keep the registration."""
        self.client = client_info


class Browser:
    """Stands for the user's browser: it consents, and takes the redirect back."""

    location = ""

    async def visit(self, url: str) -> None:
        """Go to the authorization server."""
        async with httpx2.AsyncClient(trust_env=False) as client:
            self.location = (await client.get(url)).headers["Location"]

    async def returned(self) -> AuthorizationCodeResult:
        """Come back with the code."""
        values = {name: found[0] for name, found in parse_qs(urlsplit(self.location).query).items()}
        return AuthorizationCodeResult(code=values["code"], state=values["state"], iss=values.get("iss"))


async def main(url: str) -> None:
    """Call the tool, and refresh the token once."""
    browser, tokens = Browser(), Tokens()
    metadata = OAuthClientMetadata(client_name="agent", redirect_uris=[AnyUrl("http://127.0.0.1:8002/callback")])
    provider = OAuthClientProvider(url, metadata, tokens, browser.visit, browser.returned)
    async with (
        create_mcp_http_client(auth=provider) as client,
        streamable_http_client(url, http_client=client) as (receiving, sending),
        ClientSession(receiving, sending) as session,
    ):
        await session.initialize()
        print("logged in")
        provider.context.token_expiry_time = 1.0  # as if an hour had passed
        await session.call_tool("seconds", {})
        print("refreshed")


if __name__ == "__main__":
    anyio.run(main, sys.argv[1] if sys.argv[1:] else "http://127.0.0.1:8004/mcp")
