"""The authorization server's tables, on Authlib's SQLAlchemy mixins."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from authlib.integrations.sqla_oauth2 import OAuth2AuthorizationCodeMixin, OAuth2ClientMixin, OAuth2TokenMixin
from sqlalchemy import Column, Integer, String, create_engine, event
from sqlalchemy.orm import DeclarativeBase, scoped_session, sessionmaker

from demo.seeds import CLIENTS, PEOPLE

if TYPE_CHECKING:
    from sqlite3 import Connection

    from demo.seeds import Client as SeedClient

LOOPBACK = "127.0.0.1"

session = scoped_session(sessionmaker(expire_on_commit=False))
"""The session of the current thread; the application removes it after each request."""


class Base(DeclarativeBase):
    """The base of the tables."""


class User(Base):
    """A person."""

    __tablename__ = "users"
    id = Column(Integer, primary_key=True)
    name = Column(String(40), unique=True)

    def get_user_id(self) -> int:
        """Return the id that Authlib stores with a token."""
        return self.id


class Client(Base, OAuth2ClientMixin):
    """A registered client."""

    __tablename__ = "clients"
    id = Column(Integer, primary_key=True)

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        """Tell whether the URI is registered; a loopback URI's port may vary (RFC 8252, section 7.3)."""
        return _without_loopback_port(redirect_uri) in {_without_loopback_port(uri) for uri in self.redirect_uris}


class AuthorizationCode(Base, OAuth2AuthorizationCodeMixin):
    """An authorization code that was not redeemed yet."""

    __tablename__ = "codes"
    id = Column(Integer, primary_key=True)
    user_id = Column(Integer)


class Token(Base, OAuth2TokenMixin):
    """An access token with its refresh token."""

    __tablename__ = "tokens"
    id = Column(Integer, primary_key=True)
    user_id = Column(Integer)

    def get_user(self) -> User | None:
        """Return whom the token speaks for; nobody if a client speaks for itself."""
        return session.get(User, self.user_id) if self.user_id else None

    def get_client(self) -> Client | None:
        """Return the client to which the token was issued."""
        return session.query(Client).filter_by(client_id=self.client_id).first()

    def revoke(self) -> None:
        """Revoke both tokens, now."""
        self.access_token_revoked_at = self.refresh_token_revoked_at = int(time.time())
        session.commit()


def open_store(database: str) -> None:
    """Open the SQLite file ``database``; a new one gets its tables, and who is known from the start."""
    engine = create_engine(f"sqlite:///{database}")
    event.listen(engine, "connect", _configure)
    session.remove()
    session.configure(bind=engine)
    Base.metadata.create_all(engine)
    if session.query(Client).first() is None:
        session.add_all(User(name=name) for name in PEOPLE)
        session.add_all(_client(seed) for seed in CLIENTS)
        session.commit()
    session.remove()


def _configure(connection: Connection, _record: object) -> None:
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")


def _client(seed: SeedClient) -> Client:
    client = Client(client_id=seed.client_id, client_secret=seed.secret, client_id_issued_at=int(time.time()))
    client.set_client_metadata(
        {
            "client_name": seed.client_id,
            "redirect_uris": [seed.redirect_uri] if seed.redirect_uri else [],
            "grant_types": list(seed.grant_types),
            "response_types": ["code"] if seed.redirect_uri else [],
            "scope": seed.scope,
            "token_endpoint_auth_method": "client_secret_basic" if seed.secret else "none",
        }
    )
    return client


def new_client(info: dict[str, object], metadata: dict[str, object]) -> Client:
    """Store a client that registered itself with ``metadata`` (RFC 7591) and was given ``info``."""
    client = Client(**info)
    client.set_client_metadata(json.loads(json.dumps(metadata)))
    session.add(client)
    session.commit()
    return client


def _without_loopback_port(uri: str) -> str:
    parts = urlsplit(uri)
    return parts._replace(netloc=LOOPBACK).geturl() if parts.hostname == LOOPBACK else uri
