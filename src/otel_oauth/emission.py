"""Which events leave the process, and how: levels, sampling, rates; then the logs pipeline, the JSON lines, or both.

The request only pays for the decision and for a place in a queue; a thread builds the record and emits it shortly
after, with the time and the context of the moment when it happened. Where nobody listens nothing is done.
"""

from __future__ import annotations

import atexit
import logging
import random
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any, NamedTuple

from otel_oauth import vocabulary as v
from otel_oauth._sdk_attributes import PLAIN
from otel_oauth.cases import CASES
from otel_oauth.client_label import ClientLabel
from otel_oauth.events import EVENTS, SEVERITIES, VARYING
from otel_oauth.recorder import Recorder
from otel_oauth.settings import service_name
from otel_oauth.sources import Source, source_of, told_address, told_agent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from opentelemetry.context import Context

    from otel_oauth._guard import Guard
    from otel_oauth.events import Event
    from otel_oauth.json_lines import JsonLines
    from otel_oauth.logs_pipeline import LogsPipeline
    from otel_oauth.settings import Settings

    Facts = Mapping[str, object]

_log = logging.getLogger("otel_oauth")

_random = random.Random().random  # noqa: S311 a sample, no secret; the application may have seeded the global one

_EXIT_SECONDS = 5.0
_COLLECTION_SECONDS = 1.0
_MOST_FRAMES = 20
_DIGEST_BYTES = 6
_PLAIN_OR_NOTHING = PLAIN | {type(None)}
_YES_OR_NO = frozenset(("scope_changed", "reauthorize"))


class _Besides(NamedTuple):
    """What few events have besides: nothing in it keeps an exception, a frame or a request alive.

    :param error: type and frames of the exception.
    :param suppressed: how many of this event the rate held back before.
    """

    error: tuple[str, str] | None
    source: Source
    suppressed: int


_NOTHING = _Besides(None, Source(), 0)


class Told(NamedTuple):
    """What an event tells where an operation knows certain facts.

    :param attributes: those that are the same each time.
    :param varying: the facts of which each operation tells another value, and the names of their attributes.
    :param plain: whether the first need no cleaning by the SDK.
    """

    event: Event
    gate: _Gate
    attributes: dict[str, Any]
    varying: tuple[tuple[str, str], ...]
    plain: bool


class _Gate:
    """What may pass of one event: a share of it, and so many a minute.

    :ivar open: whether everything passes.
    """

    def __init__(self, severity: tuple[str, int], share: float, rate: int) -> None:
        self.severity = severity
        self.open = share >= 1 and not rate
        self._share = share
        self._rate = rate
        self._allowance = float(rate)
        self._at = time.monotonic()
        self._suppressed = 0
        # Re-entrant: a collected coroutine may end its operation while this thread holds it.
        self._lock = threading.RLock()

    def refusal(self) -> str | None:
        """Return why this one does not pass, or ``None``."""
        if self._share < 1 and _random() >= self._share:
            return "sampled"
        if not self._rate:
            return None
        with self._lock:
            now = time.monotonic()
            self._allowance = min(self._rate, self._allowance + (now - self._at) * self._rate / 60)
            self._at = now
            if self._allowance < 1:
                self._suppressed += 1
                return "rate_limited"
            self._allowance -= 1
        return None

    def suppressed(self) -> int:
        """Return how many the rate held back since the last that passed."""
        if not self._suppressed:
            return 0
        with self._lock:
            suppressed, self._suppressed = self._suppressed, 0
        return suppressed

    def after_fork(self) -> None:
        """Make the gate usable in a forked child: another thread of the parent may have held its lock."""
        self._lock = threading.RLock()


class Emission:
    """Decides which events leave, and hands them to whoever listens.

    :param guard: stops and counts what goes wrong on the way.
    :param dropped: called with the reason for each event that does not leave though somebody listens:
        ``rate_limited``, ``sampled``, ``queue_full``, ``unwritten``.
    """

    def __init__(
        self, settings: Settings, guard: Guard, pipeline: LogsPipeline, dropped: Callable[[str], None]
    ) -> None:
        self._settings = settings
        self._pipeline = pipeline
        self._dropped = dropped
        self._gates = _gates(settings)
        self._fixed: dict[Event, dict[str, Any]] = {event: _fixed(event, settings) for event in self._gates}
        self._ocsf = _ocsf(settings)
        self._lines = self._json_lines()
        self._at_exit: Callable[[], None] | None = None
        self.queue = Recorder(guard, dropped=lambda: dropped("queue_full"), name="otel-oauth-events")

    def _json_lines(self) -> JsonLines | None:
        settings = self._settings
        if not settings.log_json:
            return None
        from otel_oauth.json_lines import JsonLines, installed  # noqa: PLC0415 nobody else needs logging's handlers

        if not installed():
            _log.warning("otel-oauth: JSON lines need python-json-logger: install otel-oauth[json]")
            return None
        return JsonLines(settings.log_json, settings.log_json_size, lambda: self._dropped("unwritten"), service_name())

    # In the request -----------------------------------------------------------------------------------------

    def told(self, event: Event, facts: Facts) -> Told | None:
        """Return what an event tells of these facts, ``None`` if it never leaves."""
        gate = self._gates.get(event)
        if gate is None:
            return None
        found, varying = self._fixed[event].copy(), []
        for fact, name in event.named:
            if fact not in facts:
                continue
            if fact in VARYING:
                varying.append((fact, name))
                found[name] = None  # its place among the others
                continue
            value = _as_attribute(fact, facts[fact])
            if value is not None and value != "":
                found[name] = value
        status = facts.get("http_status")
        if isinstance(status, str) and status.isdecimal() and status != "0":
            found[v.HTTP_STATUS_CODE] = int(status)
        if not event.sampled:
            case = CASES.get(str(facts.get("case")))
            if case is not None and case.security is not None:
                found[v.EVENT_TYPE], found[v.SEVERITY] = case.security
        plain = _PLAIN_OR_NOTHING.issuperset(map(type, found.values()))
        return Told(event, gate, found, tuple(varying), plain)

    def happened(  # noqa: PLR0913, PLR0917 what is known of it at that moment
        self,
        told: Told,
        facts: Facts,
        context: Context,
        seconds: float | None = None,
        error: BaseException | None = None,
        request: object = None,
    ) -> None:
        """Take an event; of an exception its type and frames are told, never its message.

        :param facts: those of its operation, which must not change afterwards.
        :param context: whose span is the event's.
        :param seconds: how long the operation took.
        :param error: the exception that left the operation.
        :param request: the web framework's request, or a :class:`~otel_oauth.sources.Source`.
        """
        if self._lines is None and not self._pipeline.available():
            return
        gate, suppressed = told.gate, 0
        if not gate.open:
            refusal = gate.refusal()
            if refusal is not None:
                self._dropped(refusal)
                return
            suppressed = gate.suppressed()
        besides = _NOTHING
        if error is not None or suppressed or request is not None:
            source = _NOTHING.source if request is None else source_of(request)
            besides = _Besides(None if error is None else _error(error), source, suppressed)
        if self._at_exit is None and not self._register():
            self._deliver(told, time.time_ns(), facts, context, seconds, besides)
        else:
            self.queue.add(self._deliver, told, time.time_ns(), facts, context, seconds, besides)

    def _register(self) -> bool:
        """See to it that the queue is emptied at exit; it is too late for that if the program is over already."""
        if not threading.main_thread().is_alive():
            return False
        # Handlers run in reverse order: only now, after the provider was made, ours is the earlier one.
        reference = weakref.ref(self)

        def finish() -> None:
            emission = reference()
            if emission is not None:
                emission.queue.wait(_EXIT_SECONDS)
                emission._at_exit = None  # noqa: SLF001 its own; what happens from here on is delivered at once

        self._at_exit = atexit.register(finish)
        return True

    # Beside the request -------------------------------------------------------------------------------------

    def _deliver(  # noqa: PLR0913, PLR0917 what waits in the queue
        self, told: Told, at: int, facts: Facts, context: Context, seconds: float | None, besides: _Besides
    ) -> None:
        event, gate, attributes, varying, plain = told
        attributes = attributes.copy()
        for fact, name in varying:
            value = facts[fact]
            if type(value) is not str:
                value = _as_attribute(fact, value)
                plain = plain and type(value) in _PLAIN_OR_NOTHING
            if value is None or value == "":
                del attributes[name]
            else:
                attributes[name] = value
        if seconds is not None:
            attributes[v.EVENT_DURATION] = int(seconds * 1e6 + 0.5) / 1e6  # a third of the instructions of round()
        if besides is not _NOTHING:
            self._tell_besides(besides, attributes)
        if self._ocsf is not None:
            attributes.update(self._ocsf(event, attributes, at))
            plain = False
        if self._lines is not None:
            self._lines.write(event.when, gate.severity, at, context, attributes)
        self._pipeline.emit(event, gate.severity, at, context, attributes, plain=plain)

    def _tell_besides(self, besides: _Besides, attributes: dict[str, Any]) -> None:
        if besides.error is not None:
            attributes[v.EXCEPTION_TYPE], attributes[v.EXCEPTION_STACKTRACE] = besides.error
        if besides.suppressed:
            attributes[v.EVENT_SUPPRESSED] = besides.suppressed
        attributes.update(self._source(besides.source))

    def _source(self, source: Source) -> Iterator[tuple[str, str]]:
        address = told_address(source.address, self._settings.source_address)
        if address:
            yield v.CLIENT_ADDRESS, address
        if self._settings.user_agent and source.user_agent:
            yield v.USER_AGENT, told_agent(source.user_agent)

    # Life cycle ---------------------------------------------------------------------------------------------

    def flush(self, seconds: float = _COLLECTION_SECONDS) -> None:
        """Wait until what is queued is emitted, ``seconds`` and a second at most: the way out may be blocked."""
        self.queue.wait(min(seconds, _COLLECTION_SECONDS))

    def close(self) -> None:
        """Emit what is queued and close the file; nothing is to be emitted afterwards."""
        self.queue.stop(_EXIT_SECONDS)
        if self._at_exit is not None:
            atexit.unregister(self._at_exit)
        if self._lines is not None:
            self._lines.close()

    def after_fork(self) -> None:
        """Start with an empty queue in a forked child: the parent emits what happened in it."""
        self.queue.after_fork()
        for gate in self._gates.values():
            gate.after_fork()
        if self._lines is not None:
            self._lines.after_fork()


def _ocsf(settings: Settings) -> Callable[[Event, Mapping[str, Any], int], dict[str, Any]] | None:
    if not settings.ocsf:
        return None
    from otel_oauth.event_mapping import ocsf_attributes  # noqa: PLC0415 nobody else needs its tables

    return ocsf_attributes


def _gates(settings: Settings) -> dict[Event, _Gate]:
    """Return the gates of the events that may leave at all."""
    least = SEVERITIES.get(settings.log_level)
    gates = {}
    for event in EVENTS.values():
        chosen = settings.events.get(event.name, "")
        level = chosen if chosen in SEVERITIES else event.level
        number = SEVERITIES[level]
        wanted = chosen == "on" or (least is not None and number >= least)
        if wanted and chosen != "off":
            share = settings.event_sampling if event.sampled else 1.0
            gates[event] = _Gate((level, number), share, settings.event_rate)
    return gates


def _fixed(event: Event, settings: Settings) -> dict[str, Any]:
    """Return the attributes that are the same each time."""
    link = f"{settings.runbook}#{event.name}"
    return {"event.name": event.name, v.EVENT_PRIORITY: event.priority, v.EVENT_RUNBOOK: link}


def _as_attribute(fact: str, value: object) -> object:
    """Return what is told of a fact that is no plain text, ``None`` if nothing is."""
    if isinstance(value, bytes):
        return value[:_DIGEST_BYTES].hex() if value.strip(b"\0") else None
    if isinstance(value, ClientLabel):
        return value.full if value else None
    return None if value is False and fact not in _YES_OR_NO else value


def _error(error: BaseException) -> tuple[str, str]:
    """Return the type of an exception and where it passed: files, lines, functions, nothing that it says or holds."""
    frames = []
    traceback = error.__traceback__
    while traceback is not None:
        code = traceback.tb_frame.f_code
        frames.append(f'File "{code.co_filename}", line {traceback.tb_lineno}, in {code.co_name}')
        traceback = traceback.tb_next
    return f"{type(error).__module__}.{type(error).__qualname__}", "\n".join(frames[-_MOST_FRAMES:])
