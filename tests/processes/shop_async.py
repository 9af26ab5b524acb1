"""The same application on Starlette (``shop_async:app``), with not one line of telemetry."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from authlib.integrations.starlette_client import OAuth
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route

if TYPE_CHECKING:
    from starlette.requests import Request

HEADERS = {"X-Worker": str(os.getpid())}
oauth = OAuth()
oauth.register(
    "demo",
    client_id="web",
    client_secret="web-secret",
    authorize_url=os.environ["ISSUER"] + "/authorize",
    access_token_url=os.environ["ISSUER"] + "/token",
    client_kwargs={"code_challenge_method": "S256", "trust_env": False},
)


async def login(request: Request) -> Any:
    answer = await oauth.demo.authorize_redirect(request, str(request.url_for("callback")))
    answer.headers.update(HEADERS)
    return answer


async def callback(request: Request) -> Any:
    await oauth.demo.authorize_access_token(request)
    return PlainTextResponse("welcome", headers=HEADERS)


async def home(_request: Request) -> Any:
    return PlainTextResponse("shop", headers=HEADERS)


app = Starlette(
    routes=[Route("/login", login), Route("/callback", callback, name="callback"), Route("/", home)],
    middleware=[Middleware(SessionMiddleware, secret_key="only for this test")],
)
