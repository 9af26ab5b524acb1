"""Which requests are OAuth operations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from otel_oauth_httpx.endpoints import Endpoints
    from otel_oauth_httpx.recognised import Recognised

Classify = Callable[[Any], "Recognised | None"] if TYPE_CHECKING else object


def classifier(endpoints: Endpoints) -> Classify:
    """Return the function that recognises a request of httpx or httpx2: ``classify(request) -> Recognised | None``.

    It never raises, reads no stream, and takes about 100 ns for a request that is not OAuth: no guard is needed around.
    """
    raise NotImplementedError


def refused(endpoints: Endpoints, request: Any, status: int, headers: Mapping[str, str]) -> Recognised | None:  # noqa: ANN401 a request of httpx or httpx2
    """Recognise a request that :func:`classifier` did not by its refusal: 401 or 403 with an OAuth challenge.

    To be called for ``status`` 401 and 403, after the response's head arrived, with the same (case-insensitive)
    ``headers`` of httpx. Learns where the metadata of the protected resource is (RFC 9728 section 5.1). The kind is API.
    """
    raise NotImplementedError
