"""Redaction of everything that leaves the process through OpenTelemetry or the logging module.

Spans of every instrumentation, log records of every logger, metrics and baggage lose the secrets of OAuth and
OpenID Connect before any processor, exporter or handler gets them: what is known as a secret by its name, by its
form, or because this process has just seen it. In the place of a secret stands what it was and a short keyed
digest, the same for the same secret: ``[redacted:access_token:1f3a9c]``. docs/redaction.md says what is not covered.

``opentelemetry-instrument`` sets it up by itself; other programs call :func:`install`.
"""

from __future__ import annotations

import threading
from binascii import a2b_base64
from collections import Counter
from typing import TYPE_CHECKING
from urllib.parse import unquote

import wrapt

from otel_oauth._guard import Guard
from otel_oauth._pieces import PIECE
from otel_oauth._seen import SEEN
from otel_oauth.redaction import _baggage, _logging, _metrics, _records, _spans
from otel_oauth.redaction._names import Names
from otel_oauth.redaction._patches import Sources
from otel_oauth.redaction._policy import Policy
from otel_oauth.redaction._redactor import Redactor
from otel_oauth.redaction._shared import forget_origins
from otel_oauth.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import ModuleType

__all__ = ["count_into", "install", "installed", "redact", "seen", "seen_authorization", "seen_parameters", "uninstall"]

_MODULES: dict[str, Callable[[ModuleType, Sources], None]] = {
    "opentelemetry.sdk.trace": _spans.patch,
    "opentelemetry.sdk._logs._internal": _records.patch,
    "opentelemetry.sdk.metrics._internal.metric_reader_storage": _metrics.patch,
    "opentelemetry.baggage.propagation": _baggage.patch,
}


class _Counts:
    """Redactions until somebody exports them, then told to whoever does."""

    def __init__(self) -> None:
        self._waiting: Counter[tuple[str, str]] = Counter()
        self._errors = 0
        self.redaction: Callable[[str, str, int], None] | None = None
        self.error: Callable[[str], None] | None = None

    def redacted(self, signal: str, kind: str) -> None:
        if self.redaction is None:
            self._waiting[signal, kind] += 1
        else:
            self.redaction(signal, kind, 1)

    def failed(self, component: str) -> None:
        if self.error is not None:
            self.error(component)

    def into(self, redaction: Callable[[str, str, int], None], error: Callable[[str], None]) -> None:
        waiting, self._waiting = self._waiting, Counter()
        self.redaction, self.error = redaction, error
        for (signal, kind), amount in waiting.items():
            redaction(signal, kind, amount)


_counts = _Counts()
_sources: Sources | None = None
_lock = threading.Lock()


def install(settings: Settings | None = None, **arguments: object) -> bool:
    """Begin to redact, in this whole process; a second call changes nothing. Tell whether redaction is in force.

    :param settings: the settings, if they have been read already.
    :param arguments: else ``redaction``, ``redaction_keys`` and ``redaction_patterns`` of
        :class:`~otel_oauth.settings.Settings`; they go before environment variables.
    :raises ValueError: if an argument is no setting or is invalid.
    """
    global _sources  # noqa: PLW0603 the patches are of the whole process
    chosen = Settings.from_environment(None, **arguments) if settings is None else settings
    with _lock:
        if _sources is not None:
            return True
        if chosen.redaction == "off" or chosen.disabled:
            return False
        names = Names(chosen.redaction_keys)
        policy = Policy(
            names,
            strict=chosen.redaction == "strict",
            prefixes=tuple(pattern[:-1] for pattern in chosen.redaction_patterns),
        )
        redactor = Redactor(policy, _counts.redacted, dry_run=chosen.redaction == "dry-run")
        _sources = Sources(redactor, Guard(_counts.failed))
        SEEN.active = True
        _logging.patch(_sources)
        for name, patch in _MODULES.items():
            wrapt.register_post_import_hook(_patcher(patch, _sources), name)
    return True


def _patcher(patch: Callable[[ModuleType, Sources], None], sources: Sources) -> Callable[[ModuleType], None]:
    def imported(module: ModuleType) -> None:
        if sources.redactor is not None:
            sources.guard.run("redaction", patch, module, sources)

    return imported


def uninstall() -> None:
    """Stop redacting, give every patched method back and forget the values that were seen."""
    global _sources  # noqa: PLW0603 as above
    with _lock:
        if _sources is not None:
            _sources.restore()
            _sources = None
            SEEN.active = False
            SEEN.forget()
            forget_origins()


def installed() -> bool:
    """Tell whether redaction is in force."""
    return _sources is not None


def redact(text: str) -> str:
    """Return ``text`` without secrets, for what this cannot reach: a logger with an output of its own, a ``print``.

    Without :func:`install` the text comes back as it is.
    """
    redactor = None if _sources is None else _sources.redactor
    return text if redactor is None else redactor.text(text, "log")


def seen(kind: str, value: str) -> None:
    """Remember ``value`` as a secret, to be found wherever it turns up from now on.

    :param kind: one of :data:`~otel_oauth.catalogue.REDACTED_KINDS`.
    :param value: of at least 12 characters; shorter ones are known by their names only.
    """
    SEEN.learn(kind, value)


def seen_parameters(parameters: Mapping[str, object]) -> None:
    """Remember the secrets among the parameters of a request or response."""
    redactor = None if _sources is None else _sources.redactor
    if SEEN.active and redactor is not None:
        for name, value in parameters.items():
            if isinstance(value, str) and len(value) >= PIECE:
                kind = redactor.kind(name)
                if kind:
                    SEEN.learn(kind, value)


def seen_authorization(header: object) -> None:
    """Remember the client secret in an ``Authorization`` header, if it has one (RFC 6749 section 2.3.1)."""
    if not SEEN.active or not isinstance(header, str) or SEEN.known(header):
        return
    scheme, _, credentials = header.partition(" ")
    if scheme.lower() == "basic":
        try:
            secret = a2b_base64(credentials).decode().partition(":")[2]
        except ValueError:
            return
        if len(secret) >= PIECE:
            SEEN.holding(header, "client_secret", unquote(secret))


def count_into(redaction: Callable[[str, str, int], None], error: Callable[[str], None]) -> None:
    """Tell where redactions (signal, kind, amount) and errors of ours are counted from now on, with those so far."""
    _counts.into(redaction, error)
