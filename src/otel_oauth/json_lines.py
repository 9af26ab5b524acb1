"""Events as JSON lines, for a process without an OpenTelemetry log pipeline: one object a line.

The fields have the names that they have over OTLP, so that the same queries work for both: whoever reads the lines
(Promtail, the Collector's ``file_log``) and Loki itself turn dots into underscores in either case. A handler of the
standard logging module writes them, with the formatter of python-json-logger.
"""

from __future__ import annotations

import logging
import os
import sys
from datetime import datetime, timezone
from logging.handlers import RotatingFileHandler
from typing import TYPE_CHECKING, Any

from opentelemetry import trace

if TYPE_CHECKING:
    from collections.abc import Callable
    from io import TextIOWrapper

    from opentelemetry.context import Context

_log = logging.getLogger("otel_oauth")

LOGGER = "otel_oauth.events"
"""The name of the logger that the records of the lines carry."""

_KEPT_FILES = 5
_OWNER_ONLY = 0o600
_PYTHON_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}


class JsonLines:
    """Writes events as lines of JSON.

    :param place: ``stdout``, ``stderr`` or the absolute path of a file, in which ``{pid}`` is the process's id.
    :param size: the number of bytes at which a file is rotated; five old files are kept.
    :param failed: called for each line that could not be written.
    :param service: the field ``service.name``; empty if it is not known.
    """

    def __init__(self, place: str, size: int, failed: Callable[[], None], service: str = "") -> None:
        self._place = place
        self._size = size
        self._failed = failed
        self._common = {"service.name": service} if service else {}
        self._said = False
        self._handler: logging.Handler | None = None

    def write(
        self, body: str, severity: tuple[str, int], at: int, context: Context, attributes: dict[str, Any]
    ) -> None:
        """Write one event; ``at`` is in nanoseconds since the epoch."""
        if self._handler is None:
            self._handler = self._open()
        span = trace.get_current_span(context).get_span_context()
        ids = {"trace_id": f"{span.trace_id:032x}", "span_id": f"{span.span_id:016x}"} if span.is_valid else {}
        level = _PYTHON_LEVELS[severity[0]]
        record = logging.makeLogRecord(
            {"name": LOGGER, "levelno": level, "levelname": severity[0].upper(), "msg": body}
        )
        vars(record).update(
            timestamp=datetime.fromtimestamp(at / 1e9, timezone.utc).isoformat(timespec="microseconds"),
            severity_text=severity[0].upper(),
            severity_number=severity[1],
            **ids,
            **self._common,
            **attributes,
        )
        self._handler.handle(record)

    def _open(self) -> logging.Handler:
        from pythonjsonlogger.json import JsonFormatter  # noqa: PLC0415 an extra, needed by nobody else

        handler: _StreamLines | _FileLines
        if self._place in ("stdout", "stderr"):
            handler = _StreamLines(getattr(sys, self._place))
        else:
            path = self._place.replace("{pid}", str(os.getpid()))
            handler = _FileLines(path, maxBytes=self._size, backupCount=_KEPT_FILES, delay=True, encoding="utf-8")
        handler.failed = self._not_written
        handler.setFormatter(JsonFormatter("%(message)s", rename_fields={"message": "body"}))
        return handler

    def _not_written(self) -> None:
        self._failed()
        if not self._said:
            self._said = True
            error = sys.exc_info()[0]
            name = "an error" if error is None else error.__name__
            _log.warning("otel-oauth: events cannot be written to %s (%s); they are counted", self._place, name)

    def after_fork(self) -> None:
        """Open the file again in a forked child, whose id may be in its name."""
        self.close()

    def close(self) -> None:
        """Close the file."""
        handler, self._handler = self._handler, None
        if handler is not None:
            handler.close()


class _Counted(logging.Handler):
    """A handler that has its failures counted instead of printing the record to the console."""

    failed: Callable[[], None]

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802 logging's method
        self.failed()


class _StreamLines(_Counted, logging.StreamHandler):  # type: ignore[type-arg]  # generic for type checkers only
    """Lines on a stream of the process."""


class _FileLines(_Counted, RotatingFileHandler):
    """Lines in a rotating file that only its owner may read: they tell addresses of users."""

    def _open(self) -> TextIOWrapper:
        def opener(path: str, flags: int) -> int:
            return os.open(path, flags, _OWNER_ONLY)

        return open(self.baseFilename, "a", encoding="utf-8", errors="backslashreplace", opener=opener)


def installed() -> bool:
    """Tell whether the JSON formatter is there: the extra ``otel-oauth[json]``."""
    try:
        from pythonjsonlogger import json  # noqa: F401, PLC0415 only whether it can be had
    except ImportError:
        return False
    return True
