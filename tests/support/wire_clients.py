"""The four clients of httpx and httpx2 behind one way to send a request."""

from __future__ import annotations

import asyncio
import importlib
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from otel_oauth.flows import challenge_of

if TYPE_CHECKING:
    from collections.abc import Callable

CALLBACK = "https://client.example/callback"
VERIFIER = "v" * 43
TLS = ssl.create_default_context()
"""Made once: it costs more than all else in a test."""

EVERY = {
    "httpx-sync": ("httpx", False),
    "httpx-async": ("httpx", True),
    "httpx2-sync": ("httpx2", False),
    "httpx2-async": ("httpx2", True),
}
"""The four clients by name: library, and whether it is asynchronous."""
_FAST = ("httpx-sync", "httpx2-async")

KINDS = [pytest.param(kind, id=name, marks=[] if name in _FAST else [pytest.mark.slow]) for name, kind in EVERY.items()]
"""The four clients as parameters of a test, two of them in the fast run: each library once, and each way once."""


@dataclass
class Sender:
    """One of the four clients; each call makes a client, sends a request, and closes it."""

    name: str
    asynchronous: bool
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def library(self) -> Any:
        return importlib.import_module(self.name)

    def __call__(self, method: str, url: str, **kwargs: Any) -> Any:
        return self.drive(lambda client: client.request(method, url, **kwargs))

    def drive(self, do: Callable[[Any], Any]) -> Any:
        """Do something with a client; what is awaitable is awaited."""
        options = {"trust_env": False, "verify": TLS, **self.options}
        if not self.asynchronous:
            with self.library.Client(**options) as client:
                return do(client)

        async def main() -> Any:
            async with self.library.AsyncClient(**options) as client:
                return await do(client)

        return asyncio.run(main())

    def transport(self, handler: Callable[[Any], Any]) -> Any:
        """Return a transport that answers with what ``handler`` returns or raises."""
        return self.library.MockTransport(handler)

    def answering(self, status: int, **kwargs: Any) -> Any:
        """Return a transport that always gives the same answer."""
        return self.transport(lambda _request: self.library.Response(status, **kwargs))


def authorization(state: str = "state-1", verifier: str = VERIFIER, **more: str) -> dict[str, str]:
    """Return the parameters of an authorization request, with PKCE unless ``verifier`` is empty."""
    asked = {"response_type": "code", "client_id": "web", "redirect_uri": CALLBACK, "state": state}
    if verifier:
        asked |= {"code_challenge": challenge_of(verifier), "code_challenge_method": "S256"}
    return {**asked, **more}


def exchange(code: str, verifier: str = VERIFIER, **more: str) -> dict[str, str]:
    """Return the form of a code exchange."""
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK, **more}
    return {**form, "code_verifier": verifier} if verifier else form


def code_in(response: Any) -> str:
    """Return the code that the provider redirected back with."""
    return dict(parse_qsl(urlsplit(response.headers["location"]).query))["code"]
