"""An OTLP/HTTP receiver on a loopback port, for tests that start real processes."""

from __future__ import annotations

import gzip
import threading
import time
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # ships no types
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from otel_oauth.testing import _decode
from otel_oauth.testing._series import series

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

_SIGNALS: dict[str, tuple[str, type[Any], Callable[[Any], Iterator[dict[str, Any]]]]] = {
    "/v1/traces": ("spans", ExportTraceServiceRequest, _decode.spans),
    "/v1/metrics": ("metrics", ExportMetricsServiceRequest, _decode.metrics),
    "/v1/logs": ("logs", ExportLogsServiceRequest, _decode.logs),
}
_POLL_SECONDS = 0.05


class OtlpReceiver:
    """Receives spans, metrics and logs over OTLP/HTTP while its ``with`` block lasts.

    Give :attr:`endpoint` to a process as ``OTEL_EXPORTER_OTLP_ENDPOINT``, with ``http/protobuf`` as
    ``OTEL_EXPORTER_OTLP_PROTOCOL``; compressed or not.
    Every record that was received is kept, in the order of arrival.

    :raises OSError: on entering, if no loopback port can be had.
    """

    def __init__(self) -> None:
        self._lock = threading.Condition()
        self._records: dict[str, list[dict[str, Any]]] = {"spans": [], "metrics": [], "logs": []}
        self._bodies: list[bytes] = []
        self._rejected: list[str] = []
        self._server: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> OtlpReceiver:  # noqa: PYI034 Self is not in Python 3.10
        receiver = self

        class Handler(_Handler):
            accept = staticmethod(receiver._accept)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(_POLL_SECONDS,), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()

    @property
    def endpoint(self) -> str:
        """The base address, for example ``http://127.0.0.1:40123``.

        :raises RuntimeError: outside of the ``with`` block's beginning.
        """
        if self._server is None:
            msg = "the receiver has no port before its with block is entered"
            raise RuntimeError(msg)
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def _accept(self, path: str, encoding: str, body: bytes) -> int:
        signal = _SIGNALS.get(path)
        if signal is None:
            return self._reject(404, f"{path} is not a path of OTLP/HTTP")
        kind, message, decode = signal
        try:
            body = _decompressed(encoding, body)
            request = message()
            request.ParseFromString(body)
        except (DecodeError, OSError, EOFError, zlib.error) as error:
            return self._reject(400, f"{path} with {len(body)} bytes: {type(error).__name__}")
        with self._lock:
            self._bodies.append(body)
            self._records[kind].extend(decode(request))
            self._lock.notify_all()
        return 200

    def _reject(self, status: int, reason: str) -> int:
        with self._lock:
            self._rejected.append(reason)
        return status

    # What was received --------------------------------------------------------------------------------

    def _copy(self, kind: str) -> list[dict[str, Any]]:
        with self._lock:
            return list(self._records[kind])

    def spans(self) -> list[dict[str, Any]]:
        """Return the spans.

        Keys: ``name``, ``trace_id``, ``span_id``, ``parent_id`` (hexadecimal, ``""`` for a root), ``kind``
        (``client``, ``server``, ``internal``, …), ``attributes``, ``events``, ``links``, ``status``
        (``code``: ``unset``, ``ok`` or ``error``; ``message``), ``start`` and ``end`` (nanoseconds since the
        epoch), ``resource``, ``scope``.
        """
        return self._copy("spans")

    def metrics(self) -> list[dict[str, Any]]:
        """Return every point of every export.

        Keys: ``name``, ``kind`` (``counter``, ``up_down_counter``, ``gauge``, ``histogram``, …), ``unit``,
        ``description``, ``temporality``, ``attributes``, ``start``, ``time``, ``exemplars``, ``resource``,
        ``scope``; ``value`` for numbers, ``count``, ``sum``, ``buckets`` (not cumulative) and ``bounds`` for
        histograms.
        """
        return self._copy("metrics")

    def latest(self, **resource: str) -> dict[str, dict[str, Any]]:
        """Return the newest point of each series by its text (see :func:`~otel_oauth.testing.series`).

        Processes overwrite each other's points, so name the one that is meant by its resource attributes,
        with ``_`` for each dot: ``latest(service_name="shop")``.
        """
        newest: dict[str, dict[str, Any]] = {}
        wanted = {name.replace("_", "."): value for name, value in resource.items()}
        for point in self.metrics():
            if all(point["resource"].get(name) == value for name, value in wanted.items()):
                newest[series(point["name"], point["attributes"])] = point
        return newest

    def logs(self) -> list[dict[str, Any]]:
        """Return the log records.

        Keys: ``event_name``, ``body``, ``severity``, ``severity_number``, ``attributes``, ``trace_id``,
        ``span_id``, ``time``, ``observed``, ``resource``, ``scope``.
        """
        return self._copy("logs")

    def raw(self) -> bytes:
        """Return the bodies of all requests, decompressed and joined: to search for secrets, as UTF-8."""
        with self._lock:
            return b"\n".join(self._bodies)

    def rejected(self) -> list[str]:
        """Return what was refused: bodies that were no OTLP, and other paths."""
        with self._lock:
            return list(self._rejected)

    def wait_for(self, predicate: Callable[[OtlpReceiver], object], timeout: float = 10.0) -> None:
        """Wait until ``predicate(receiver)`` is true; it is asked again after each request.

        :raises TimeoutError: after ``timeout`` seconds; it says how much was received.
        """
        deadline = time.monotonic() + timeout
        while not predicate(self):
            left = deadline - time.monotonic()
            if left <= 0:
                sizes = ", ".join(f"{len(records)} {kind}" for kind, records in self._records.items())
                msg = f"not true within {timeout:g} s; received: {sizes}, {len(self._rejected)} rejected"
                raise TimeoutError(msg)
            with self._lock:
                self._lock.wait(min(left, _POLL_SECONDS))

    def clear(self) -> None:
        """Forget everything that was received."""
        with self._lock:
            for records in self._records.values():
                records.clear()
            self._bodies.clear()
            self._rejected.clear()


class _Handler(BaseHTTPRequestHandler):
    # HTTP/1.0: a connection ends with its request, so that no thread outlives the receiver
    accept: Callable[[str, str, bytes], int]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status = self.accept(self.path, self.headers.get("Content-Encoding") or "", body)
        self.send_response(status)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 http.server's parameter
        """Say nothing: a test's output is not the place for a list of requests."""


def _decompressed(encoding: str, body: bytes) -> bytes:
    if encoding == "gzip":
        return gzip.decompress(body)
    return zlib.decompress(body) if encoding == "deflate" else body
