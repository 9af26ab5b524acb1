"""What the response of a recognised request came to."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_oauth_httpx.endpoints import Endpoints
    from otel_oauth_httpx.recognised import Outcome, Recognised


def outcome(
    endpoints: Endpoints, recognised: Recognised, status: int, headers: Mapping[str, str], body: bytes | None
) -> Outcome:
    """Return what a response says; learns the endpoints that a discovery document names.

    Pure data in, data out: it makes no span, touches no ledger, never raises, and takes time linear in the body.

    :param headers: the (case-insensitive) headers of httpx.
    :param body: the decoded body as far as the application read it, ``None`` if it did not (closed unread, streamed raw):
        then only the status is judged. A body beyond 1 MiB is not looked at.
    """
    raise NotImplementedError
