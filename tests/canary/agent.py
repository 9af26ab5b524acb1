"""A client of the MCP SDK and the server that it logs in to, in one process, at DEBUG: it does all by itself and ends.

States and verifiers are the SDK's own: what was seen of them goes to the file ``CANARY_NOTES``, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import httpx2
from canaries import Canaries
from canary_logging import log_everything
from mcp.client.auth import OAuthClientProvider
from mcp.server.auth.provider import AccessToken, AuthorizationCode, RefreshToken
from mcp.shared.auth import OAuthClientMetadata, OAuthToken
from mcp_server import CALLBACK, Resource, Store, Tokens, returned
from starlette.responses import Response

URL = "http://127.0.0.1:8000"
canaries = Canaries(os.environ["CANARY_SEED"])
log = logging.getLogger("agent")
notes: dict[str, list[str]] = {"state": [], "verifier": [], "new_client_secret": []}


class CanaryStore(Store):
    """A store whose codes and tokens the test knows."""

    async def authorize(self, client: Any, params: Any) -> str:
        notes["state"].append(params.state)
        notes["new_client_secret"].append(client.client_secret)
        asked = await super().authorize(client, params)
        code = self.codes.pop(parse_qs(urlsplit(asked).query)["code"][0])
        mine = canaries.next("code")
        self.codes[mine] = AuthorizationCode(**{**code.model_dump(), "code": mine})
        return asked.replace(code.code, mine)

    def _issue(self, client_id: str, scopes: list[str]) -> OAuthToken:
        access, refresh = canaries.next("access_token"), canaries.next("refresh_token")
        self.access_tokens[access] = AccessToken(token=access, client_id=client_id, scopes=scopes)
        self.refresh_tokens[refresh] = RefreshToken(token=refresh, client_id=client_id, scopes=scopes)
        return OAuthToken(access_token=access, refresh_token=refresh, expires_in=3600, scope=" ".join(scopes))


class CanaryResource(Resource):
    """The resource; it may answer a token request with what is no token response."""

    def __init__(self) -> None:
        super().__init__(URL)
        self.answer: Response | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope.get("path") != "/token":
            await super().__call__(scope, receive, send)
            return
        message = await receive()
        looked_at = [message]
        form = dict(parse_qsl(message["body"].decode()))
        notes["verifier"] += [form["code_verifier"]] if "code_verifier" in form else []

        async def again() -> Any:
            return looked_at.pop() if looked_at else await receive()

        await (self.answer or super().__call__)(scope, again, send)


class Agent:
    """An agent, and the browser that its user consents in."""

    def __init__(self) -> None:
        self.resource, self.tokens = CanaryResource(), Tokens()
        self.resource.store.__class__ = CanaryStore
        self.transport = httpx2.ASGITransport(app=self.resource)
        self.forged = ""
        asked = OAuthClientMetadata(client_name="agent", redirect_uris=[CALLBACK], scope="read")
        self.auth = OAuthClientProvider(f"{URL}/mcp", asked, self.tokens, self.sent_off, self.came_back)

    async def sent_off(self, url: str) -> None:
        self.url = url

    async def came_back(self) -> Any:
        async with httpx2.AsyncClient(transport=self.transport) as browser:
            location = (await browser.get(self.url)).headers["location"]
        code, state = (parse_qs(urlsplit(location).query)[name][0] for name in ("code", "state"))
        replaced = {"code": code, "state": state}.get(self.forged)
        return returned(location.replace(replaced, canaries.next(f"forged_{self.forged}")) if replaced else location)

    async def ask(self) -> None:
        async with httpx2.AsyncClient(transport=self.transport, auth=self.auth) as client:
            answer = await client.post(f"{URL}/mcp", json={"jsonrpc": "2.0"})
        held = self.tokens.tokens
        log.info("answered %s, holding <%s> and %r", answer.status_code, held.access_token, held)


async def main() -> None:
    agent = Agent()
    await agent.ask()
    agent.auth.context.token_expiry_time = 1.0
    await agent.ask()
    for wrong in (
        {"access_token": 5, "refresh_token": canaries.next("refresh_token"), "id_token": canaries.next("id_token")},
        {"refresh_token": canaries.next("refresh_token"), "token_type": "Bearer"},
    ):
        agent.resource.answer = Response(json.dumps(wrong), media_type="application/json")
        agent.auth.context.token_expiry_time = 1.0
        with suppress(Exception):
            await agent.ask()
    for forged in ("state", "code"):
        agent = Agent()
        agent.forged = forged
        try:
            await agent.ask()
        except Exception:
            log.exception("the login failed")


if __name__ == "__main__":
    log_everything()
    asyncio.run(main())
    Path(os.environ["CANARY_NOTES"]).write_text(json.dumps(notes), encoding="utf-8")
