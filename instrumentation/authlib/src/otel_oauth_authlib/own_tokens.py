"""Notes of one call of a session to the token endpoint, and what an exception of Authlib says of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_oauth import own_tokens, vocabulary
from otel_oauth_authlib.transport import RequestNote

if TYPE_CHECKING:
    from otel_oauth.ledger import Sighting


class Exchange(own_tokens.Exchange, RequestNote):
    """Notes of one call to the token endpoint, kept on its operation and never exported.

    :ivar mismatched: what the ledger knows of the state that came back in the response's URL.
    :ivar parsed: the response was seen when Authlib read it.
    """

    mismatched: Sighting | None = None
    parsed: bool = False


def error_code(error: BaseException | None) -> str | None:
    """Return the OAuth error code of an exception of Authlib, ``other`` if no RFC names it, ``None`` without one."""
    code = getattr(error, "error", None)
    return vocabulary.rfc_error(code) if isinstance(code, str) else None
