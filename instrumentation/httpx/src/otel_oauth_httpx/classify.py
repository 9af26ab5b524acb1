"""Which requests are OAuth operations: on the way of every request, so it first asks what costs least.

The URL of httpx answers through properties that decode and quote anew each time; the tuple behind them is private, has
been the same since 0.24, and where it is missing the properties are used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otel_oauth import kinds
from otel_oauth_httpx.challenges import oauth_challenge
from otel_oauth_httpx.endpoints import TAIL
from otel_oauth_httpx.parameters import MOST_BYTES, Wire, header
from otel_oauth_httpx.paths import FORM_TAILS, JSON_TAILS
from otel_oauth_httpx.recognised import Recognised
from otel_oauth_httpx.rules import TELLING, WELL_KNOWN, examine

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_oauth_httpx.endpoints import Endpoints

_BRACE = ord("{")
_END = slice(-TAIL, None)


def sieve(endpoints: Endpoints) -> Callable[[Any], bool]:
    """Return the function that tells whether a request of httpx or httpx2 may be OAuth: ``sieve(request) -> bool``.

    It never raises and reads no stream. A request that is not OAuth takes no more than some look-ups; one that it lets
    through :func:`recognise` looks at.
    """
    hosts, near = endpoints.hosts, endpoints.near

    def may_be_oauth(request: Any) -> bool:  # noqa: ANN401 a request of httpx or httpx2
        try:
            uri = request.url._uri_reference  # noqa: SLF001 see above
            host, path, query = uri.host, uri.path, uri.query
            if (
                (host in hosts and near(request.method, host, path))
                or ("." in path and WELL_KNOWN in path)
                # What ``client_id`` and ``grant_type`` have in common: to look for both costs twice as much.
                or (query is not None and "nt_" in query and ("client_id=" in query or "grant_type=" in query))
            ):
                return True
            content = request._content  # noqa: SLF001 the body, if it is buffered
            if not content:
                return False
            end = path[_END]
            if content[0] == _BRACE:
                return end in JSON_TAILS or (request.method == "PUT" and _below(path) in JSON_TAILS)
            return len(content) <= MOST_BYTES and (
                end in FORM_TAILS or (b"_type" in content and TELLING.search(content) is not None)
            )
        except (AttributeError, TypeError):  # a body that is streamed, a URL of another make
            return True

    return may_be_oauth


def _below(path: str) -> str:
    """Return how the path ends that a path is below of."""
    return path[: path.rfind("/")][-TAIL:]


def recognise(endpoints: Endpoints, request: Any) -> Recognised | None:  # noqa: ANN401 a request of httpx or httpx2
    """Recognise a request that the :func:`sieve` let through; ``None`` if it is nothing of OAuth."""
    return examine(endpoints, Wire(request))


def refused(endpoints: Endpoints, request: Any, status: int, headers: Any) -> Recognised | None:  # noqa: ANN401 of httpx or httpx2
    """Recognise a request that is none by itself by its refusal: 401 or 403 with an OAuth challenge.

    To be called for ``status`` 401 and 403, after the response's head arrived. Learns where the metadata of the
    protected resource is (RFC 9728 section 5.1). The kind is API.
    """
    challenge = oauth_challenge(header(headers, b"www-authenticate")) if status in (401, 403) else None
    if challenge is None:
        return None
    wire = Wire(request)
    endpoints.learn_challenge(wire.place, challenge.metadata)
    return Recognised(kinds.API, wire.method, wire.origin, wire.origin + wire.path)
