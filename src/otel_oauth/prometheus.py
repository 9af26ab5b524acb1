"""An in-process ``/metrics`` with exactly the documented names.

``opentelemetry-exporter-prometheus`` adds ``_total`` to every counter and scope labels to every series. The
reader here puts the ten documented counters without ``_total`` back under their names (with type ``unknown``,
because a Prometheus counter has to end in ``_total``) and leaves everything that is not of this product as
the stock exporter gives it.

- ``OTEL_METRICS_EXPORTER=oauth_prometheus`` serves on ``OTEL_EXPORTER_PROMETHEUS_HOST`` (``localhost``) and
  ``OTEL_EXPORTER_PROMETHEUS_PORT`` (``9464``).
- :func:`metrics_wsgi_app` and :func:`metrics_asgi_app` serve on the application's own address.

Needs the extra ``otel-oauth[prometheus]``.
"""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import TYPE_CHECKING, Any

from otel_oauth._exposition import Watch, join_siblings
from otel_oauth.catalogue import BY_NAME, SCOPE

try:
    from opentelemetry.exporter.prometheus import PrometheusMetricReader
    from prometheus_client import REGISTRY, CollectorRegistry, make_asgi_app, make_wsgi_app, start_http_server
    from prometheus_client.core import Metric
except ImportError as missing:
    msg = f"the /metrics endpoint needs more packages ({missing.name}): pip install 'otel-oauth[prometheus]'"
    raise ImportError(msg, name=missing.name) from missing

if TYPE_CHECKING:
    from wsgiref.simple_server import WSGIServer

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_log = logging.getLogger("otel_oauth")

_HOST = "OTEL_EXPORTER_PROMETHEUS_HOST"
_PORT = "OTEL_EXPORTER_PROMETHEUS_PORT"
_DEFAULT_PORT = 9464
_HIGHEST_PORT = 65535
_SCOPE_LABELS = "otel_scope_"
_NO_READER = (
    "There is no metrics reader in this process: set OTEL_METRICS_EXPORTER=oauth_prometheus, "
    "or give OAuthPrometheusReader(serve=False) to the application's MeterProvider."
)
_TEXT = "text/plain; charset=utf-8"

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Scope]]
Send = Callable[[Scope], Awaitable[None]]


class OAuthPrometheusReader(PrometheusMetricReader):
    """A metric reader that exposes OpenTelemetry's metrics to Prometheus under the documented names.

    It never raises because an address cannot be had: a port that is taken, by a sibling worker for example,
    is said in the log, and the application goes on without this endpoint. Once a forked child has recorded OAuth
    operations of its own, the endpoint answers 503 with the reason.

    :param serve: start an HTTP server of its own on ``OTEL_EXPORTER_PROMETHEUS_HOST`` and ``_PORT``.
    :param registry: the public registry that is scraped.
    """

    def __init__(self, *, serve: bool = True, registry: CollectorRegistry = REGISTRY) -> None:
        inner = CollectorRegistry()
        super().__init__(registry=inner)
        self.watch = Watch()
        self._public = registry
        self._exposed = _Exposed(inner)
        self._server: WSGIServer | None = None
        self._down = False
        registry.register(self._exposed)
        _readers[registry] = self
        if serve:
            self._serve()

    def _serve(self) -> None:
        host = os.environ.get(_HOST) or "localhost"
        port = _port(os.environ.get(_PORT, ""))
        try:
            server, _ = start_http_server(port, host, self._public)
        except OSError as error:
            _log.warning(
                "otel-oauth: no /metrics at %s:%d, the address cannot be had (%s). If sibling workers each try to "
                "serve, export over OTLP or set %s for each; the application is not affected",
                host,
                port,
                error.strerror or type(error).__name__,
                _PORT,
            )
            return
        self._server = server
        server.set_app(_guarded(make_wsgi_app(self._public), lambda _: self.watch.refusal()))
        _log.info("otel-oauth: /metrics is served at http://%s:%d/metrics", host, server.server_port)

    @property
    def port(self) -> int | None:
        """The port that is served, or ``None``."""
        return None if self._server is None else self._server.server_port

    def release(self) -> None:
        """Let go of the inherited socket in a forked child, so that it does not keep the port taken."""
        server, self._server = self._server, None
        if server is not None:
            server.socket.close()

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:  # noqa: ANN401 the base class's signature
        """Stop serving and take the metrics out of the registry; in a forked child nothing is left to do."""
        if not self.watch.here or self._down:
            return
        self._down = True
        server, self._server = self._server, None
        # Stopping the server takes up to half a second. A process that ends takes its thread and socket along.
        if server is not None and threading.main_thread().is_alive():
            server.shutdown()
            server.server_close()
        self._public.unregister(self._exposed)
        if _readers.get(self._public) is self:
            del _readers[self._public]
        super().shutdown(timeout_millis, **kwargs)


_readers: weakref.WeakKeyDictionary[CollectorRegistry, OAuthPrometheusReader] = weakref.WeakKeyDictionary()


def _after_fork_in_child() -> None:
    for reader in list(_readers.values()):
        reader.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def _port(text: str) -> int:
    if not text.strip():
        return _DEFAULT_PORT
    if text.strip().isdecimal() and int(text) <= _HIGHEST_PORT:
        return int(text)
    _log.warning("otel-oauth: %s must be a whole number from 0 to %d; %d is used", _PORT, _HIGHEST_PORT, _DEFAULT_PORT)
    return _DEFAULT_PORT


class _Exposed:
    """The public collector: what the inner registry collects, under the documented names."""

    def __init__(self, inner: CollectorRegistry) -> None:
        self._inner = inner
        self._lock = threading.Lock()

    def describe(self) -> Iterable[Metric]:
        """Name nothing at registration: the names are known when something is collected."""
        return []

    def collect(self) -> Iterable[Metric]:
        """Collect now."""
        # One scrape at a time: the stock collector gives parallel ones each other's families twice.
        with self._lock:
            families = list(self._inner.collect())
        return [_documented(family) for family in families]


def _documented(family: Metric) -> Metric:
    if not family.samples or family.samples[0].labels.get(_SCOPE_LABELS + "name") != SCOPE:
        return family
    counter_without_total = family.type == "counter" and family.name in BY_NAME
    found = Metric(family.name, family.documentation, "unknown" if counter_without_total else family.type, family.unit)
    for sample in family.samples:
        labels = {name: value for name, value in sample.labels.items() if not name.startswith(_SCOPE_LABELS)}
        name = family.name if counter_without_total else sample.name
        found.samples.append(sample._replace(name=name, labels=labels))
    return found


# On the application's own address ---------------------------------------------------------------------------


def _reason(registry: CollectorRegistry, *, several: bool, per_process: bool) -> str | None:
    reader = _readers.get(registry)
    if reader is None:
        return _NO_READER
    return reader.watch.refusal(shared_address=not per_process, several=several and not per_process)


def _guarded(inner: WSGIApplication, refusal: Callable[[WSGIEnvironment], str | None]) -> WSGIApplication:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        reason = refusal(environ)
        if reason is None:
            return inner(environ, start_response)
        start_response("503 Service Unavailable", [("Content-Type", _TEXT)])
        return [f"{reason}\n".encode()]

    return app


def metrics_wsgi_app(registry: CollectorRegistry = REGISTRY, *, per_process: bool = False) -> WSGIApplication:
    """Return a WSGI application (PEP 3333) that answers a Prometheus scrape, to be mounted at ``/metrics``.

    It answers 503 with the reason where one process's figures would look like all: forked after the reader
    was made, ``wsgi.multiprocess``, or sibling workers of one parent that serve the same. It has no access
    control of its own.

    :param registry: the registry that the :class:`OAuthPrometheusReader` was given.
    :param per_process: each process is a scrape target with an address of its own, so siblings are no reason
        to refuse.
    """
    if not per_process:
        join_siblings()
    inner: WSGIApplication = make_wsgi_app(registry)
    return _guarded(
        inner,
        lambda environ: _reason(registry, several=bool(environ.get("wsgi.multiprocess")), per_process=per_process),
    )


def metrics_asgi_app(
    registry: CollectorRegistry = REGISTRY, *, per_process: bool = False
) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
    """Return an ASGI application that answers a Prometheus scrape, to be mounted at ``/metrics``.

    It refuses like :func:`metrics_wsgi_app`, which also says what the parameters mean. Servers of ASGI do not
    tell that they run several processes: siblings know each other through the host's private directory.
    """
    if not per_process:
        join_siblings()
    inner = make_asgi_app(registry)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        reason = _reason(registry, several=False, per_process=per_process) if scope["type"] == "http" else None
        if reason is None:
            await inner(scope, receive, send)
            return
        headers = [(b"content-type", _TEXT.encode())]
        await send({"type": "http.response.start", "status": 503, "headers": headers})
        await send({"type": "http.response.body", "body": f"{reason}\n".encode()})

    return app
