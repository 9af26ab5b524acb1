"""OpenTelemetry log records: redacted where the SDK hands them to its processors."""

from __future__ import annotations

import logging
import traceback
from typing import TYPE_CHECKING, Any

from otel_oauth.redaction._logging import locals_hold_secrets
from otel_oauth.redaction._redactor import UNINSPECTED
from otel_oauth.redaction._shared import INSPECTED, redact_attributes, redact_origin

if TYPE_CHECKING:
    from types import ModuleType

    from otel_oauth.redaction._patches import Sources
    from otel_oauth.redaction._redactor import Redactor

_log = logging.getLogger("otel_oauth")

_SIGNAL = "log"
_SEVERITIES = frozenset(("DEBUG", "INFO", "WARN", "WARNING", "ERROR", "FATAL", "CRITICAL", "NOTSET"))
_FANS = ("SynchronousMultiLogRecordProcessor", "ConcurrentMultiLogRecordProcessor")


def patch(module: ModuleType, sources: Sources) -> None:
    """Patch ``opentelemetry.sdk._logs._internal``: the fan-out of its processors, and providers with another one."""
    method = next((name for name in ("on_emit", "emit") if name in vars(getattr(module, _FANS[0], object))), None)
    if method is None:
        _log.error("otel-oauth: log records of OpenTelemetry are not redacted, this SDK has no %s", _FANS[0])
        return

    def emitting(original: Any) -> Any:  # noqa: ANN401 the SDK's method
        def emit(self: Any, record: Any) -> None:  # noqa: ANN401 the SDK's record, of whichever version
            redactor = sources.redactor
            if redactor is not None and not sources.guard.run("redaction", _redact, record, redactor):
                _empty(record.log_record)
            original(self, record)

        return emit

    fans = tuple(getattr(module, name) for name in _FANS)
    for fan in fans:
        sources.replace(fan, method, emitting)

    def making(original: Any) -> Any:  # noqa: ANN401 the SDK's method
        def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401, N807 a provider
            original(self, *args, **kwargs)
            processor = getattr(self, "_multi_log_record_processor", None)
            if processor is not None and not isinstance(processor, fans):
                self._multi_log_record_processor = _Inspecting(processor, sources)

        return __init__

    sources.replace(module.LoggerProvider, "__init__", making)


class _Inspecting:
    """A processor of the user's own in the place of the SDK's fan-out."""

    def __init__(self, processor: Any, sources: Sources) -> None:  # noqa: ANN401 the user's
        self._processor = processor
        self._sources = sources

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 the user's
        return getattr(self._processor, name)

    def on_emit(self, record: Any) -> None:  # noqa: ANN401 the SDK's record
        _inspect(record, self._sources)
        self._processor.on_emit(record)

    def emit(self, record: Any) -> None:  # noqa: ANN401 the SDK's record before version 1.36
        _inspect(record, self._sources)
        self._processor.emit(record)


def _inspect(record: Any, sources: Sources) -> None:  # noqa: ANN401 the SDK's
    redactor = sources.redactor
    if redactor is not None and not sources.guard.run("redaction", _redact, record, redactor):
        _empty(record.log_record)


def _redact(record: Any, redactor: Redactor) -> bool:  # noqa: ANN401 the SDK's
    log_record = record.log_record
    body = log_record.body
    after = redactor.text(body, _SIGNAL) if type(body) is str else redactor.value(body, _SIGNAL)
    if after is not body:
        log_record.body = after
    redact_attributes(log_record, redactor, _SIGNAL)
    error = getattr(log_record, "exception", None)
    if error is not None and not redactor.dry_run and _holds_secrets(error, redactor):
        log_record.exception = None  # its text is in the attributes
    event_name = getattr(log_record, "event_name", None)
    if event_name:
        log_record.event_name = redactor.text(event_name, _SIGNAL)
    if log_record.severity_text and log_record.severity_text not in _SEVERITIES:
        log_record.severity_text = redactor.text(log_record.severity_text, _SIGNAL)
    resource, scope = getattr(record, "resource", None), record.instrumentation_scope
    if resource is None:  # the SDK before version 1.36 keeps it in the other one
        resource = getattr(log_record, "resource", None)
    if id(resource) not in INSPECTED or id(scope) not in INSPECTED:
        redact_origin(resource, redactor, _SIGNAL)
        redact_origin(scope, redactor, _SIGNAL)
    return True


def _holds_secrets(error: BaseException, redactor: Redactor) -> bool:
    rendered = "".join(traceback.format_exception(error))
    return redactor.text(rendered, "") is not rendered or locals_hold_secrets(error, redactor)


def _empty(log_record: Any) -> None:  # noqa: ANN401 the SDK's
    log_record.body = UNINSPECTED
    log_record.attributes = {}
    if getattr(log_record, "exception", None) is not None:
        log_record.exception = None
