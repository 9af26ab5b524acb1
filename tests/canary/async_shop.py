"""A client application on Starlette, served by uvicorn, that logs in with Authlib's registry for it over httpx."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
from typing import Any

import httpx
import uvicorn
from authlib.integrations.starlette_client import OAuth
from canaries import Canaries
from canary_logging import log_everything, say_ports
from fastapi import FastAPI, Request
from starlette.middleware.sessions import SessionMiddleware

canaries = Canaries(os.environ["CANARY_SEED"])
ISSUER = os.environ["CANARY_ISSUER"]
log = logging.getLogger("async_shop")

app = FastAPI()
app.add_middleware(SessionMiddleware, secret_key=canaries.of("cookie_key"))
oauth = OAuth()
oauth.register(
    "idp",
    client_id="web",
    client_secret=canaries.of("client_secret"),
    authorize_url=ISSUER + "/authorize",
    access_token_url=ISSUER + "/token",
    client_kwargs={"code_challenge_method": "S256", "trust_env": False, "scope": "profile"},
)


@app.get("/login")
async def login(request: Request) -> Any:
    return await oauth.idp.authorize_redirect(request, str(request.url_for("callback")))


@app.get("/callback")
async def callback(request: Request) -> Any:
    token = await oauth.idp.authorize_access_token(request)
    log.info("logged in with %s", token)
    request.session["token"] = {name: token[name] for name in ("access_token", "refresh_token")}
    return "welcome"


@app.get("/me")
async def me(request: Request) -> Any:
    access_token = request.session["token"]["access_token"]
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(ISSUER + "/me", headers={"Authorization": "Bearer " + access_token})
        await client.get(ISSUER + "/me", params={"access_token": access_token})
    return answer.json()


@app.get("/broken")
async def broken(request: Request) -> Any:
    held = dict(request.session["token"])
    msg = f"no such user for {held['access_token']}"
    raise LookupError(msg)


if __name__ == "__main__":
    log_everything()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts jobs in the background without it
    listening = socket.create_server(("127.0.0.1", 0))
    say_ports(listening.getsockname()[1])
    try:
        uvicorn.Server(uvicorn.Config(app, log_level="debug")).run(sockets=[listening])
    except KeyboardInterrupt:
        sys.exit(0)
