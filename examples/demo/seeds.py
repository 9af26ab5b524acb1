"""The clients and people that the demonstration's authorization server knows from the start."""

from __future__ import annotations

from dataclasses import dataclass

SCOPES = ("openid", "profile", "orders", "reports")

GUESSES = 4
"""How often a client may fail to authenticate in a minute before the server refuses it."""

KIOSK_LOGIN_LIFETIME = 3
"""Seconds in which a login at the kiosk must be finished."""

REGISTRATION_TOKEN = "initial-access-token-of-the-demo"
"""The initial access token of RFC 7591, section 1.2, that allows a client to register."""

PEOPLE = (
    *("ada", "alan", "annie", "barbara", "claude", "dennis", "donald", "edsger"),
    *("frances", "grace", "hedy", "john", "karen", "katherine", "ken", "kurt"),
    *("leslie", "linus", "margaret", "niklaus", "radia", "ruth", "sophie", "tim"),
)


@dataclass(frozen=True)
class Client:
    """A client that is registered from the start; one without ``secret`` is public (RFC 6749, section 2.1).

    The port of ``redirect_uri`` does not matter: the server lets it vary on loopback.
    """

    client_id: str
    secret: str
    grant_types: tuple[str, ...]
    scope: str
    redirect_uri: str = ""


WEB = Client(
    "web",
    "the-secret-of-web",
    ("authorization_code", "refresh_token"),
    "openid profile orders",
    "http://127.0.0.1/callback/demo",
)
KIOSK = Client(
    "kiosk",
    "",
    ("authorization_code", "refresh_token"),
    "openid profile orders",
    "http://127.0.0.1/callback/kiosk",
)
PARTNER = Client(
    "partner",
    "the-secret-of-partner",
    ("authorization_code", "refresh_token"),
    "profile orders",
    "http://127.0.0.1:9/partner",
)
NEWSLETTER = Client(
    "newsletter",
    "the-secret-of-newsletter",
    ("authorization_code", "refresh_token"),
    "profile",
    "http://127.0.0.1/callback/newsletter",
)
BATCH = Client("batch", "the-secret-of-batch", ("client_credentials",), "reports")

CLIENTS = (WEB, KIOSK, PARTNER, NEWSLETTER, BATCH)
