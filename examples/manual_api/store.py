"""The server's store: dictionaries. Every access is told as a storage operation."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field

import otel_oauth

CODE_SECONDS = 60.0
TOKEN_SECONDS = 3600


@dataclass
class Client:
    """A registered client; public ones have no secret."""

    client_id: str
    redirect_uri: str
    secret: str = ""


@dataclass
class Code:
    """An authorization code and what it was issued for."""

    client_id: str
    redirect_uri: str
    challenge: str
    expires_at: float = field(default_factory=lambda: time.time() + CODE_SECONDS)


@dataclass
class Grant:
    """A pair of tokens."""

    client_id: str
    access_token: str = field(default_factory=secrets.token_urlsafe)
    refresh_token: str = field(default_factory=secrets.token_urlsafe)


class Store:
    """Clients, codes and tokens in memory."""

    def __init__(self) -> None:
        self._clients: dict[str, Client] = {}
        self._codes: dict[str, Code] = {}
        self._grants: dict[str, Grant] = {}

    def save_client(self, client: Client) -> None:
        """Store a client."""
        with otel_oauth.storage("save_client"):
            self._clients[client.client_id] = client

    def client(self, client_id: str) -> Client | None:
        """Return a client by its id."""
        with otel_oauth.storage("query_client"):
            return self._clients.get(client_id)

    def save_code(self, code: Code) -> str:
        """Store an authorization code under a new random value."""
        with otel_oauth.storage("save_code"):
            value = secrets.token_urlsafe()
            self._codes[value] = code
            return value

    def code(self, value: str) -> Code | None:
        """Return a code that was not redeemed and is not expired."""
        with otel_oauth.storage("query_code"):
            code = self._codes.get(value)
            return code if code is not None and code.expires_at > time.time() else None

    def delete_code(self, value: str) -> None:
        """Forget a redeemed code."""
        with otel_oauth.storage("delete_code"):
            self._codes.pop(value, None)

    def save_grant(self, client_id: str) -> Grant:
        """Issue and store a pair of tokens."""
        with otel_oauth.storage("save_token"):
            grant = Grant(client_id)
            self._grants[grant.refresh_token] = grant
            return grant

    def grant(self, refresh_token: str) -> Grant | None:
        """Return the pair that a refresh token belongs to."""
        with otel_oauth.storage("query_token"):
            return self._grants.get(refresh_token)

    def revoke(self, refresh_token: str) -> Grant | None:
        """Remove a pair; tell whether there was one."""
        with otel_oauth.storage("revoke_token"):
            return self._grants.pop(refresh_token, None)

    def client_count(self) -> int:
        """Count the clients, for the gauge ``storage_clients_count``."""
        return len(self._clients)
