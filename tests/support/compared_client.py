"""Clients of a real provider on loopback HTTP, driven by steps: sessions of each library, each framework's registry."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from authlib.integrations.httpx_client import AsyncOAuth2Client, OAuth2Client
from authlib.integrations.requests_client import OAuth2Session
from authlib_provider import CLIENT_ID, CLIENT_SECRET, Provider
from compared import Clock, Transcript, raised
from registries import PARTIES, Party, django_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

Step = tuple[Any, ...]
SESSIONS: dict[str, Any] = {"requests": OAuth2Session, "httpx": OAuth2Client, "async": AsyncOAuth2Client}
REFUSALS = {
    "server error": (500, "{}"),
    "no json": (200, "<html>"),
    "no token": (200, "{}"),
    "invalid_grant": (400, json.dumps({"error": "invalid_grant", "error_description": "gone"})),
    "error in 200": (200, json.dumps({"error": "bad_verification_code"})),
    "list": (200, "[]"),
    "unknown error": (403, json.dumps({"error": "teapot"})),
}


def told(result: Any) -> Any:
    """Return what a result holds."""
    if hasattr(result, "status_code"):
        return type(result).__qualname__, result.status_code, result.content, sorted(result.request.headers)
    if isinstance(result, dict):
        return type(result).__qualname__, sorted((name, str(value)) for name, value in result.items())
    return type(result).__qualname__, str(result)


class Sessions:
    """One session, and what its provider is told to do."""

    def __init__(self, kind: str, provider: Provider, transcript: Transcript, clock: Clock) -> None:
        self.provider, self.transcript, self.clock = provider, transcript, clock
        self.loop = asyncio.new_event_loop() if kind == "async" else None
        extra = {} if kind == "requests" else {"verify": False}
        self.session = SESSIONS[kind](
            CLIENT_ID,
            CLIENT_SECRET,
            redirect_uri="https://client.example/callback",
            scope="openid profile",
            code_challenge_method="S256",
            token_endpoint=f"{provider.url}/token",
            update_token=self._updated_async if kind == "async" else self._updated,
            **extra,
        )
        self.urls: list[str] = []

    def close(self) -> None:
        self._run(self.session.aclose() if self.loop is not None else self.session.close())
        if self.loop is not None:
            self.loop.close()

    def take(self, steps: list[Step]) -> None:
        for name, *arguments in steps:
            self.transcript.note("step", name)
            try:
                result = self._run(getattr(self, name)(*arguments))
            except Exception as error:  # noqa: BLE001 what the application would get
                self.transcript.note("raised", raised(error))
            else:
                self.transcript.note("returned", told(result))
            self.transcript.note("token", told(self.session.token))
        self.transcript.note("asked", sorted(self.provider.answered.items()))

    def _run(self, result: Any) -> Any:
        awaitable = self.loop is not None and hasattr(result, "__await__")
        return self.loop.run_until_complete(result) if awaitable else result

    def _updated(self, token: Any, **before: Any) -> None:
        self.transcript.note("update_token", told(dict(token)), sorted(before.items()))

    async def _updated_async(self, token: Any, **before: Any) -> None:
        self._updated(token, **before)

    # The steps --------------------------------------------------------------------------------------------------------

    def begin(self, verifier: str) -> Any:
        arguments = {"code_verifier": verifier} if verifier else {}
        url, state = self.session.create_authorization_url(f"{self.provider.url}/authorize", **arguments)
        self.urls.append(url)
        return f"{url} {state}"

    def exchange(self, state: str | None, verifier: str) -> Any:
        back = self.provider.authorize(self.urls[-1]) if self.urls else {"code": "forged", "state": "s"}
        query = "&".join(f"{name}={value}" for name, value in back.items())
        return self.session.fetch_token(
            authorization_response=f"https://client.example/callback?{query}", state=state, code_verifier=verifier
        )

    def fetch(self, **arguments: str) -> Any:
        return self.session.fetch_token(**arguments)

    def password(self) -> Any:
        return self.fetch(username="user", password="right")

    def fragment(self) -> Any:
        return self.fetch(authorization_response="https://client.example/cb#access_token=a&expires_in=60&state=s")

    def refresh(self, token: str | None) -> Any:
        return self.session.refresh_token(f"{self.provider.url}/token", refresh_token=token)

    def revoke(self, token: str | None) -> Any:
        return self.session.revoke_token(f"{self.provider.url}/revoke", token=token)

    def introspect(self, token: str | None) -> Any:
        return self.session.introspect_token(f"{self.provider.url}/introspect", token=token)

    def get(self, path: str) -> Any:
        return self.session.get(f"{self.provider.url}{path}")

    def post(self, path: str, withhold: bool) -> Any:  # noqa: FBT001 a step's argument
        return self.session.post(f"{self.provider.url}{path}", data={"a": "b"}, withhold_token=withhold)

    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    def refuse(self, path: str, how: str) -> None:
        self.provider.answer(path, *REFUSALS[how])

    def forget(self) -> None:
        self.session.token = {}


class Visits:
    """Browsers that visit a relying party."""

    def __init__(self, party: Party, transcript: Transcript, clock: Clock) -> None:
        self.party, self.transcript, self.clock = party, transcript, clock
        self.browsers = [party.browser]
        self.back: list[dict[str, str]] = []

    def take(self, steps: list[Step]) -> None:
        for name, *arguments in steps:
            self.transcript.note("step", name)
            getattr(self, name)(*arguments)
        self.transcript.note("asked", sorted(self.party.provider.answered.items()))
        self.transcript.note("raised", [raised(error) for error in self.party.raised])

    def _send(self, method: str, path: str, browser: int, parameters: dict[str, str]) -> Any:
        found = self.browsers[browser % len(self.browsers)]
        response = self.party.send(found, method, path, parameters)
        headers = [(name.lower(), value) for name, value in response.headers.items()]
        self.transcript.note("answered", response.status_code, headers, response.text)
        return response

    def login(self, browser: int) -> None:
        location = str(self._send("GET", "/login", browser, {}).headers.get("Location", ""))
        if location:
            back = parse_qsl(urlsplit(location).query)
            self.back.append(dict(back) if "code" in dict(back) else self.party.provider.authorize(location))

    def callback(self, method: str, browser: int, which: int, changed: dict[str, str]) -> None:
        back = self.back[which % len(self.back)] if self.back else {}
        self._send(method, "/callback", browser, {**back, **changed})

    def visit(self, browser: int) -> None:
        self._send("GET", "/visit", browser, {})

    def another(self) -> None:
        self.browsers.append(self.party.new_browser())

    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    def refuse(self, path: str, how: str) -> None:
        self.party.provider.answer(path, *REFUSALS[how])


@contextlib.contextmanager
def party(name: str, provider: Provider, *, cached: bool) -> Iterator[Party]:
    """Make a relying party under a framework."""
    with django_settings() if name == "django" else contextlib.nullcontext():
        found = PARTIES[name](provider, cache=cached or None)
        yield found
        found.close()


def renew(provider: Provider) -> None:
    """Let the provider forget everything."""
    provider.reset()
    provider.codes.clear()
    provider.tokens.clear()


def without_signatures(line: tuple[Any, ...]) -> tuple[Any, ...]:
    """Take out of a line what chance decides: where an object lies in memory, and signatures with a random part."""
    text = re.sub(r"0x[0-9a-f]+", "0x", repr(line))
    return (re.sub(r"(eyJ[\w-]+\.[\w-]+)\.[\w-]+", r"\1", text),)
