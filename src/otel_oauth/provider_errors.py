"""What went wrong with a call to a provider: the values of the label ``error_type``.

The exceptions of requests, httpx and httpx2 are told by the names of their classes, because none of the three needs
to be installed. Text of an exception is never looked at.
"""

from __future__ import annotations

from types import MappingProxyType

from otel_oauth.vocabulary import CLIENT_ERROR, SERVER_ERROR

POLLING_ERRORS = frozenset(("authorization_pending", "slow_down", "expired_token"))
"""Answers to the polling of a device (RFC 8628 section 3.5) that are no error of the provider."""

_LIBRARIES = frozenset(
    [
        "asyncio",
        "builtins",
        "concurrent",
        "httpcore",
        "httpcore2",
        "httpx",
        "httpx2",
        "requests",
        "socket",
        "ssl",
        "urllib3",
    ]
)
_TYPES = MappingProxyType(
    {
        "Timeout": "timeout",  # requests
        "TimeoutException": "timeout",  # httpx
        "TimeoutError": "timeout",  # Python, urllib3
        "ConnectionError": "network",  # requests, Python
        "ChunkedEncodingError": "network",  # requests: the body broke off
        "NetworkError": "network",  # httpx
        "ProtocolError": "network",  # httpx, urllib3
        "ProxyError": "network",  # httpx, requests
        "SSLError": "network",  # requests, urllib3, Python
        "gaierror": "network",  # Python
        "InvalidJSONError": "invalid_response",  # requests
        "ContentDecodingError": "invalid_response",  # requests
        "DecodingError": "invalid_response",  # httpx
        "TooManyRedirects": "invalid_response",  # requests, httpx
    }
)


def transport_error(error: BaseException | None) -> str | None:
    """Return ``timeout``, ``network`` or ``invalid_response`` for an HTTP client's exception, ``None`` for any other.

    The first class along the MRO that says something decides, except that a timeout goes before all (requests'
    ``ConnectTimeout`` is a ``ConnectionError`` first).
    """
    if error is None:
        return None
    found = [
        _TYPES[base.__name__]
        for base in type(error).__mro__
        if base.__name__ in _TYPES and base.__module__.partition(".")[0] in _LIBRARIES
    ]
    if "timeout" in found:
        return "timeout"
    return found[0] if found else None


def status_error(status: int) -> str | None:
    """Return ``server_error`` or ``client_error`` for the status of a response that is one, else ``None``."""
    if status >= SERVER_ERROR:
        return "server_error"
    return "client_error" if status >= CLIENT_ERROR else None


def response_error(status: int, code: object, *, unread: bool) -> str | None:
    """Classify a response that was not accepted, or was although its status is an error.

    :param code: the OAuth error code in the response, if there is one: an OAuth error inside a 200 is a client error.
    :param unread: what is in the response is not what belongs there.
    """
    if code in POLLING_ERRORS and status < SERVER_ERROR:
        return None
    found = status_error(status)
    if found is not None:
        return found
    if isinstance(code, str):
        return "client_error"
    return "invalid_response" if unread else None
