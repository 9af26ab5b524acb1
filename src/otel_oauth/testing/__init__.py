"""Tools with which an application tests its own OAuth telemetry, and with which this project tests itself.

:class:`Capture` records in memory what one process would export; the pytest fixture ``oauth_telemetry``
gives one. :class:`OtlpReceiver` takes what other processes export over OTLP/HTTP. Both give plain dicts.

Needs the extra ``otel-oauth[testing]``. Nothing is imported before one of the names is used, because pytest
loads the plugin in every test run of every project that has this distribution installed.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from otel_oauth.testing._capture import Capture
    from otel_oauth.testing._receiver import OtlpReceiver
    from otel_oauth.testing._series import series

__all__ = ["Capture", "OtlpReceiver", "series"]

_HOMES = {"Capture": "_capture", "OtlpReceiver": "_receiver", "series": "_series"}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
