"""The way of an event into OpenTelemetry: the Logs API, whose form has changed from version to version.

From 1.38 on a logger takes the parts of a record; the SDK before that wants records of its own class, which know the
event's name from 1.35 on. Which one it is is found out once, by the logger's signature.
"""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import TYPE_CHECKING, Any

from opentelemetry import _logs, trace  # noqa: PLC2701 the Logs API has no other name
from opentelemetry._logs import SeverityNumber  # noqa: PLC2701 as above

from otel_oauth._sdk_attributes import put, record_maker

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.context import Context

    from otel_oauth.events import Event

    Emit = Callable[[dict[str, Any], dict[str, Any], bool], None]

_NUMBERS = {number.value: number for number in SeverityNumber}
_WANTED_NANOSECONDS = 1_000_000_000
"""So long the logger's word stands that it wants an event, and only that word: asking costs as much as a fifth of
emitting. Whoever listens must filter what is emitted in any event, so that nothing is told to who does not want it."""

_NOBODY = frozenset(("NoOpLogger", "ProxyLogger"))
"""The classes of loggers that stand where no provider is set, or where it is switched off."""


class LogsPipeline:
    """The logger of one provider, looked up when there is one.

    :param scope: name and version of the instrumentation scope.
    :param provider: where records go; ``None`` is the global provider, whenever that is set.
    """

    def __init__(self, scope: tuple[str, str], provider: _logs.LoggerProvider | None = None) -> None:
        self._scope = scope
        self._provider = provider
        self._asked: object = None
        self._logger: Any = None
        self._emit: Emit | None = None
        self._enabled: Callable[..., bool] | None = None
        self._wanted: dict[Event, int] = {}

    def available(self) -> bool:
        """Tell, cheaply, whether there is a logger that does something."""
        return self._logger is not None or self._looked_up()

    def _looked_up(self) -> bool:
        provider = self._provider or _logs.get_logger_provider()
        if provider is self._asked:
            return False
        logger = provider.get_logger(*self._scope)
        if type(logger).__name__ in _NOBODY:
            self._asked = provider
            return False
        self._emit = _emitter(logger)
        self._enabled = getattr(logger, "enabled", None)
        self._logger = logger
        return True

    def emit(  # noqa: PLR0913 what a record has
        self,
        event: Event,
        severity: tuple[str, int],
        at: int,
        context: Context,
        attributes: dict[str, Any],
        *,
        plain: bool,
    ) -> None:
        """Emit one event, if there is a logger.

        :param severity: text and number; ``at``: nanoseconds since the epoch; ``context``: that of the moment.
        :param plain: whether the attributes are known to need no cleaning.
        """
        if not self.available() or self._emit is None:
            return
        number = _NUMBERS[severity[1]]
        if self._enabled is not None and not 0 <= at - self._wanted.get(event, 0) < _WANTED_NANOSECONDS:
            if not self._enabled(context=context, severity_number=number, event_name=event.name):
                return
            self._wanted[event] = at
        self._emit(
            {
                "timestamp": at,
                "context": context,
                "severity_text": severity[0].upper(),
                "severity_number": number,
                "body": event.when,
                "event_name": event.name,
            },
            attributes,
            plain,
        )


def _straight(logger: Any, made: Callable[[Any], Any]) -> Emit:  # noqa: ANN401 the SDK's
    record_class, emit = _logs.LogRecord, logger.emit

    def straight(record: dict[str, Any], attributes: dict[str, Any], plain: bool) -> None:  # noqa: FBT001 see `Emit`
        given = record_class(**record)
        readable = made(given)
        if put(given.attributes, attributes, plain=plain):
            emit(readable)
        else:
            emit(**record, attributes=attributes)

    return straight


def _emitter(logger: Any) -> Emit:  # noqa: ANN401 a logger of any version
    if "event_name" in inspect.signature(logger.emit).parameters:
        made = record_maker(logger)
        if made is not None:
            return _straight(logger, made)
        return lambda record, attributes, _plain: logger.emit(**record, attributes=attributes)
    record_class: Any = _logs.LogRecord
    common: dict[str, Any] = {}
    if type(logger).__module__.startswith("opentelemetry.sdk"):
        record_class = import_module("opentelemetry.sdk._logs").LogRecord
        common["resource"] = logger.resource
    known = inspect.signature(record_class).parameters

    def emit(record: dict[str, Any], attributes: dict[str, Any], _plain: bool) -> None:  # noqa: FBT001 see `Emit`
        span = trace.get_current_span(record["context"]).get_span_context()
        ids = {"trace_id": span.trace_id, "span_id": span.span_id, "trace_flags": span.trace_flags}
        told = {**record, "attributes": attributes} | ({} if "context" in known else ids)
        logger.emit(record_class(**common, **{name: value for name, value in told.items() if name in known}))

    return emit
