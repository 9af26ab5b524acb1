"""OpenTelemetry metrics, spans and events of OAuth operations.

Applications built with a supported library need nothing of this: its plugin records. The functions here are
the manual API, for an OAuth implementation of one's own and for what no hook can see;
:mod:`otel_oauth.manual` describes them. They are imported when first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_oauth._version import __version__

if TYPE_CHECKING:
    from otel_oauth.manual import (
        callback,
        count_with,
        discovery,
        endpoint,
        flow_started,
        forbidden_practice,
        pkce_state_cleaned,
        provider_call,
        rate_limit_exceeded,
        refresh,
        registration,
        storage,
        token_revoked,
        verdict,
    )

__all__ = [
    "__version__",
    "callback",
    "count_with",
    "discovery",
    "endpoint",
    "flow_started",
    "forbidden_practice",
    "pkce_state_cleaned",
    "provider_call",
    "rate_limit_exceeded",
    "refresh",
    "registration",
    "storage",
    "token_revoked",
    "verdict",
]


def __getattr__(name: str) -> object:
    # Lazily, because whoever loads one submodule (pytest, the exporter) should not pay for all.
    if name not in __all__:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    from otel_oauth import manual  # noqa: PLC0415 see above

    return getattr(manual, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
