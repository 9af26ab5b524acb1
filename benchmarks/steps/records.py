"""An event, and what redaction adds to a span, a log record and a log line in which there is nothing to redact."""

from __future__ import annotations

import itertools
import logging
import os
import time
from functools import partial
from typing import TYPE_CHECKING

from opentelemetry import context as otel_context
from opentelemetry._logs import NoOpLoggerProvider, SeverityNumber  # noqa: PLC2701 the Logs API has no other name

from benchmarks.signals import Signals
from benchmarks.steps import Step
from benchmarks.steps.instruments import FLUSH_SECONDS
from otel_oauth import events, redaction
from otel_oauth.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

FACTS: dict[str, object] = {
    "provider": "example",
    "client_id": "web",
    "grant_type": "refresh_token",
    "endpoint": "token",
    "reason": "normal",
    "rotated": "true",
    "http_status": "200",
}
"""What is known of a refresh when its event happens."""

REQUEST: dict[str, str | int] = {
    "http.method": "GET",
    "http.server_name": "127.0.0.1",
    "http.scheme": "https",
    "net.host.name": "shop.example",
    "http.host": "shop.example",
    "net.host.port": 443,
    "http.target": "/orders/open",
    "net.peer.ip": "192.0.2.17",
    "http.user_agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "net.peer.port": 40123,
    "http.flavor": "1.1",
    "http.route": "/orders/<which>",
    "http.status_code": 200,
}
"""The attributes that the stock instrumentation of Flask gives its span."""


def event() -> dict[str, Step]:
    """Return the event of a refresh: what the request pays, what it costs with its thread, and the SDK's own emit."""
    signals, peer = Signals(), Signals()
    emission = signals.telemetry().emission
    told, context = emission.told(events.TOKEN_REFRESHED, FACTS), otel_context.get_current()

    def ours() -> None:
        if told is not None:
            emission.happened(told, FACTS, context, 0.05)

    flush, recorded = partial(emission.flush, FLUSH_SECONDS), lambda: signals.logs.records
    attributes = {"event.name": "oauth_token_refreshed", **FACTS, "oauth.duration": 0.05}
    record = {
        "timestamp": time.time_ns(),
        "context": otel_context.get_current(),
        "severity_text": "INFO",
        "severity_number": SeverityNumber.INFO,
        "body": "The server refreshed a token.",
        "attributes": attributes,
        "event_name": "oauth_token_refreshed",
    }
    sdk, idle = peer.logger_provider.get_logger("l"), NoOpLoggerProvider().get_logger("l")
    return {
        "event ours, in the request": Step(ours, drain=flush, clock=time.thread_time, recorded=recorded),
        "event ours, with its thread": Step(ours, settle=flush, recorded=recorded),
        "event sdk": Step(partial(sdk.emit, **record)),
        "event no-op": Step(partial(idle.emit, **record)),
    }


def _redacted(call: Callable[[], object]) -> Step:
    settings = Settings.from_environment({})
    return Step(call, attach=lambda: redaction.install(settings), detach=redaction.uninstall)


def _both(name: str, call: Callable[[], object]) -> dict[str, Step]:
    return {name: Step(call), f"{name}, redacted": _redacted(call)}


def redacted_span() -> dict[str, Step]:
    """Return a span of the SDK as the stock instrumentation makes it, with and without redaction."""
    tracer = Signals().tracer_provider.get_tracer("t")
    numbers = itertools.count()

    def same() -> None:
        with tracer.start_as_current_span("GET /orders/<which>", attributes=REQUEST):
            pass

    def other() -> None:
        attributes = {**REQUEST, "http.target": f"/orders/{next(numbers)}"}
        with tracer.start_as_current_span("GET /orders/<which>", attributes=attributes):
            pass

    return {**_both("span of a request", same), **_both("span of a request, one value new", other)}


def redacted_record() -> dict[str, Step]:
    """Return a log record of the SDK, with and without redaction."""
    logger = Signals().logger_provider.get_logger("l")
    attributes: dict[str, str | int] = {
        "code.function.name": "place",
        "code.file.path": "/srv/shop/orders.py",
        "code.line.number": 120,
    }
    numbers = itertools.count()

    def emit(body: str) -> None:
        logger.emit(severity_number=SeverityNumber.INFO, severity_text="INFO", body=body, attributes=attributes)

    same = partial(emit, "the order was placed and its items are reserved")

    def other() -> None:
        emit(f"order {next(numbers)} was placed and its items are reserved")

    return {**_both("log record", same), **_both("log record, body new", other)}


def redacted_line() -> dict[str, Step]:
    """Return a line of the logging module, formatted and written to nowhere, with and without redaction."""
    logger = logging.getLogger("benchmarks.line")
    logger.propagate = False
    logger.setLevel(logging.INFO)
    if not logger.handlers:
        handler = logging.FileHandler(os.devnull)
        handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(message)s"))
        logger.addHandler(handler)
    numbers = itertools.count()

    def line() -> None:
        logger.info("order %d of %s was placed and its items are reserved", next(numbers), "alice")

    return _both("log line", line)
