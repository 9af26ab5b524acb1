"""Records of the logging module: redacted before any handler of any logger gets them, the console's included.

A record without a secret is passed on as it is. Of one with a secret the handlers get a copy: the object that the
application may hold stays as it was.
"""

from __future__ import annotations

import copy
import logging
import traceback
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from otel_oauth.redaction._redactor import UNINSPECTED

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType, TracebackType

    from otel_oauth.redaction._patches import Sources
    from otel_oauth.redaction._redactor import Redactor

_SIGNAL = "log"
_STANDARD = frozenset((*vars(logging.makeLogRecord({})), "message", "asctime"))
_STANDARD_COUNT = len(vars(logging.makeLogRecord({})))
_MOST_LOCALS = 2000
_SHIFT = 10
"""A value more for each so many bits of its length: a kilobyte of text."""
_EXCEPTION = "exception."
_PLAIN = (str, bytes, dict, list, tuple)


def patch(sources: Sources) -> None:
    """Patch ``logging.Logger.callHandlers``."""

    def calling(original: Any) -> Any:  # noqa: ANN401 the logger's method
        def callHandlers(self: logging.Logger, record: logging.LogRecord) -> None:  # noqa: N802 logging's name
            redactor = sources.redactor
            if redactor is not None:
                record = sources.guard.run("redaction", _redacted, record, redactor) or _uninspected(record)
            original(self, record)

        return callHandlers

    sources.replace(logging.Logger, "callHandlers", calling)


def _redacted(record: logging.LogRecord, redactor: Redactor) -> logging.LogRecord:
    """Return the record, or a copy without the secrets."""
    after = record
    values = vars(record)
    args, msg = record.args, record.msg
    if type(args) is not tuple and isinstance(args, Mapping):
        changed = redactor.changes(args, _SIGNAL)
        if changed:
            after = _copied(after, record)
            after.args = {**args, **changed}
    message = msg if not args and type(msg) is str and type(record) is logging.LogRecord else _message(after)
    if message is not None:
        text = redactor.text(message, _SIGNAL)
        if text is not message:
            after = _copied(after, record)
            _replace_message(after, text, redactor)
    elif record.args or not isinstance(record.msg, str):
        after = _copied(after, record)
        after.msg, after.args = redactor.value(str(record.msg), _SIGNAL), redactor.value(record.args, _SIGNAL)
    if len(values) > _STANDARD_COUNT:
        extra = {name: values[name] for name in values.keys() - _STANDARD}
        changed = redactor.changes(extra, _SIGNAL)
        if changed:
            after = _copied(after, record)
            vars(after).update(changed)
    if record.exc_info or record.exc_text or record.stack_info:
        after = _without_traces(after, record, redactor)
    return after


def _copied(after: logging.LogRecord, record: logging.LogRecord) -> logging.LogRecord:
    return copy.copy(record) if after is record else after


def _message(record: logging.LogRecord) -> str | None:
    """Return the message with its arguments, or ``None`` if they do not fit: handlers then print both to stderr."""
    try:
        return record.getMessage()
    except (TypeError, ValueError, LookupError):
        return None


def _replace_message(record: logging.LogRecord, text: str, redactor: Redactor) -> None:
    """Keep message and arguments apart if they can be: the formatters of access logs take the arguments."""
    msg, args = record.msg, record.args
    if args:
        record.args = redactor.value(args, "")
        if isinstance(msg, str):
            record.msg = redactor.text(msg, "")
        if _message(record) == text:
            return
    record.msg, record.args = text, ()


# Exceptions and stacks ------------------------------------------------------------------------------------------------


def _without_traces(after: logging.LogRecord, record: logging.LogRecord, redactor: Redactor) -> logging.LogRecord:
    for name in ("stack_info", "exc_text"):
        text = getattr(record, name)
        redacted = redactor.text(text, _SIGNAL) if text else text
        if redacted is not text:
            after = _copied(after, record)
            setattr(after, name, redacted)
    info = record.exc_info
    if not isinstance(info, tuple) or info[1] is None:
        return after
    rendered = "".join(traceback.format_exception(*info)).rstrip("\n")
    text = redactor.text(rendered, _SIGNAL)
    if text is rendered and not locals_hold_secrets(info[1], redactor):
        return after
    if redactor.dry_run:
        return after
    after = _copied(after, record)
    # The exception is the application's and cannot be changed, and its frames have the secrets in their variables: so
    # the handlers get the text instead, in the field that a formatter keeps it in and as OpenTelemetry's attributes.
    after.exc_info, after.exc_text = None, text
    vars(after)[_EXCEPTION + "type"] = type(info[1]).__qualname__
    vars(after)[_EXCEPTION + "message"] = redactor.text(str(info[1].args[0]) if info[1].args else "", "")
    vars(after)[_EXCEPTION + "stacktrace"] = text
    return after


def locals_hold_secrets(error: BaseException, redactor: Redactor) -> bool:
    """Tell whether a handler that prints the variables of each frame would print a secret."""
    looked_at = 0
    for frame in _frames(error):
        for name, value in list(frame.f_locals.items()):
            try:
                looked_at += _size(value, _MOST_LOCALS - looked_at)
                if looked_at > _MOST_LOCALS:
                    return True
                kinds = redactor.found({name: value}) if isinstance(value, _PLAIN) else ()
            except Exception:  # noqa: BLE001 a value that another thread changes meanwhile, a str() of the application's
                return True
            for kind in kinds:
                redactor.count(_SIGNAL, kind)
                return True
    return False


def _size(value: object, most: int) -> int:
    """Return how many values are in a variable, up to a few more than ``most``; long text counts as several."""
    size, waiting, seen = 0, [value], {id(value)}
    while waiting and size <= most:
        value = waiting.pop()
        size += 1
        if isinstance(value, (str, bytes, bytearray)):
            size += len(value) >> _SHIFT
        elif isinstance(value, (dict, list, tuple)):
            if len(value) > most:
                return size + len(value)
            for each in list(value.values() if isinstance(value, dict) else value):
                if id(each) not in seen:
                    seen.add(id(each))
                    waiting.append(each)
    return size


def _frames(error: BaseException | None) -> Iterator[FrameType]:
    seen: set[int] = set()
    waiting: list[object] = [error]
    while waiting:
        raised = waiting.pop()
        if not isinstance(raised, BaseException) or id(raised) in seen:
            continue
        seen.add(id(raised))
        step: TracebackType | None = raised.__traceback__
        while step is not None:
            yield step.tb_frame
            step = step.tb_next
        group = getattr(raised, "exceptions", ())  # of an ExceptionGroup
        waiting += [raised.__cause__, raised.__context__, *(group if isinstance(group, (list, tuple)) else ())]


def _uninspected(record: logging.LogRecord) -> logging.LogRecord:
    """Return what is left of a record that could not be inspected: who logged, when, and how severe it was."""
    kept = {name: value for name, value in vars(record).items() if name in _STANDARD}
    nothing = {"msg": UNINSPECTED, "args": (), "exc_info": None, "exc_text": None, "stack_info": None}
    return logging.makeLogRecord({**kept, **nothing})
