"""An OTLP/gRPC receiver on a loopback port, which keeps what it is sent as text."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import grpc
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2, logs_service_pb2_grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

if TYPE_CHECKING:
    from types import TracebackType


class GrpcReceiver:
    """Receives every signal over gRPC while its ``with`` block lasts."""

    def __init__(self) -> None:
        self._bodies: list[bytes] = []
        self._server = grpc.server(ThreadPoolExecutor(2))
        services = (
            (trace_service_pb2, trace_service_pb2_grpc, "Trace"),
            (metrics_service_pb2, metrics_service_pb2_grpc, "Metrics"),
            (logs_service_pb2, logs_service_pb2_grpc, "Logs"),
        )
        for messages, stubs, signal in services:
            self._serve(messages, stubs, signal)
        self.endpoint = f"http://127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"

    def _serve(self, messages: Any, stubs: Any, signal: str) -> None:
        answer = getattr(messages, f"Export{signal}ServiceResponse")
        bodies = self._bodies

        def export(_self: Any, request: Any, _context: Any) -> Any:
            bodies.append(request.SerializeToString())
            return answer()

        service = type(signal, (getattr(stubs, f"{signal}ServiceServicer"),), {"Export": export})
        getattr(stubs, f"add_{signal}ServiceServicer_to_server")(service(), self._server)

    def __enter__(self) -> GrpcReceiver:  # noqa: PYI034 Self is not in Python 3.10
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.stop(1).wait()

    def raw(self) -> bytes:
        """Return the bodies of all requests, joined."""
        return b"\n".join(self._bodies)
