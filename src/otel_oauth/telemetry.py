"""One set of providers, and everything that records into it.

Plugins receive a :class:`Telemetry` from their ``instrument()``; the manual API uses the default one. Nothing
else holds state. Providers that are set after attach work: instruments come from the API's proxies and are
resolved late.
"""

from __future__ import annotations

import logging
import os
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

from opentelemetry import _logs, metrics, trace  # noqa: PLC2701 the Logs API has no other name
from opentelemetry import context as otel_context
from opentelemetry.metrics import CallbackOptions, Observation

from otel_oauth import catalogue as c
from otel_oauth import kinds
from otel_oauth._forks import living
from otel_oauth._guard import Guard
from otel_oauth._version import __version__
from otel_oauth.cells import Table
from otel_oauth.client_label import ClientLabel
from otel_oauth.counts import Counts
from otel_oauth.durations import Outlet
from otel_oauth.emission import Emission
from otel_oauth.events import PKCE_CLEANED
from otel_oauth.ledger import Kind, Ledger, store_at
from otel_oauth.logs_pipeline import LogsPipeline
from otel_oauth.operation import Operation
from otel_oauth.plans import Plans
from otel_oauth.postponed import Postponed
from otel_oauth.providers import provider_name
from otel_oauth.recorder import Recorder
from otel_oauth.settings import Settings, service_key
from otel_oauth.step import Step

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from opentelemetry._logs import LoggerProvider
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

    from otel_oauth.catalogue import Metric
    from otel_oauth.counts import Taken
    from otel_oauth.kinds import OperationKind

_log = logging.getLogger("otel_oauth")

_MOST_LINKS = 100

_COLLECTED_SECONDS = 1.0
"""An operation that was left so long ago is completed at a collection; the next call of its request may yet come."""

_SHARE_OF_COUNTS, _SHARE_OF_EVENTS = 0.5, 0.1
"""How much of a collection's timeout may be spent waiting: beyond it the SDK drops all metrics of the process."""

GAUGE_KINDS: dict[Metric, Kind] = {
    c.ACTIVE_TOKENS: Kind.ACCESS,
    c.ACTIVE_PKCE_STATES: Kind.PKCE,
    c.STORAGE_TOKENS: Kind.ACCESS,
    c.STORAGE_CLIENTS: Kind.CLIENT,
    c.STORAGE_FLOWS: Kind.FLOW,
    c.STORAGE_FAMILIES: Kind.LIVE_FAMILY,
    c.STORAGE_REFRESH_TOKENS: Kind.LIVE_REFRESH,
}
"""What each documented gauge counts in the ledger, unless the application gave a count of its own."""


class Telemetry:
    """Meter, tracer, logger, cells and ledger of one set of providers.

    :param meter_provider: where metrics go; ``None`` is the global provider, whenever that is set.
    :param tracer_provider: where spans go; likewise.
    :param settings: the configuration; ``None`` reads the environment.
    :param logger_provider: where events go; ``None`` is the global provider, whenever that is set.
    :param beside: the telemetry that has the instruments of the same meter provider, which exist once: what is measured
        and remembered is shared with it, spans and events go their own way.
    """

    def __init__(
        self,
        meter_provider: MeterProvider | None = None,
        tracer_provider: TracerProvider | None = None,
        settings: Settings | None = None,
        logger_provider: LoggerProvider | None = None,
        *,
        beside: Telemetry | None = None,
    ) -> None:
        # Kept alive with their telemetry: get_telemetry() knows them by id.
        self.providers = (meter_provider, tracer_provider, logger_provider)
        self.settings = Settings.from_environment() if settings is None else settings
        self.tracer = trace.get_tracer(c.SCOPE, __version__, tracer_provider)
        self.step: type[Operation] = Operation if self.settings.storage_spans else Step
        """What a storage operation is: with a span of its own only if that is wanted."""
        self.beside = beside
        if beside is None:
            self._measure()
        else:
            self._share(beside)
        pipeline = LogsPipeline((c.SCOPE, __version__), logger_provider)
        self.emission = Emission(self.settings, self.guard, pipeline, self._count_dropped)
        self._emissions.append(self.emission)
        self.plans = Plans(self.table, self.recorder, self.emission.told)
        if beside is None:
            self._make_instruments(metrics.get_meter(c.SCOPE, __version__, meter_provider))
        living.add(self)

    def _measure(self) -> None:
        self.table = Table((*c.DOCUMENTED, *c.OWN), self.settings.caps)
        self.guard = Guard(self._count_error)
        self.ledger = self._open_ledger()
        self._counts = Counts(self.guard)
        self._hooks: dict[tuple[str, str], int] = {}
        self.postponed = Postponed(partial(self._count_error, "operation"))
        self.recorder = Recorder(self.guard, self._look)
        self._emissions: list[Emission] = []

    def _share(self, other: Telemetry) -> None:
        self.table, self.guard, self.ledger = other.table, other.guard, other.ledger
        self._counts, self._hooks = other._counts, other._hooks
        self.postponed, self.recorder, self._emissions = other.postponed, other.recorder, other._emissions

    @property
    def meter_provider(self) -> MeterProvider:
        """Where metrics go now."""
        return self.providers[0] or metrics.get_meter_provider()

    def _open_ledger(self) -> Ledger:
        settings = self.settings
        store = store_at(settings.ledger, service_key(), size=settings.ledger_size, wait=settings.ledger_timeout)
        ledger = Ledger(
            store, refresh_lifetime=settings.refresh_token_lifetime, on_loss=partial(self._count_error, "ledger")
        )
        # Now, where nobody waits for a login: whether a ledger that is reached over the network is there.
        self.guard.run("ledger", ledger.count, Kind.CLIENT)
        return ledger

    def _look(self) -> None:
        """Do what is due now and then; called by the recorder's thread."""
        self.postponed.sweep()
        self.ledger.recover()

    # Instruments --------------------------------------------------------------------------------------------

    def _make_instruments(self, meter: metrics.Meter) -> None:
        gauges: dict[Metric, Any] = {
            metric: partial(self._observe_kind, metric, kind) for metric, kind in GAUGE_KINDS.items()
        }
        gauges[c.LEDGER_SHARED] = lambda _: [Observation(self.ledger.shared)]
        gauges[c.LEDGER_ENTRIES] = self._observe_entries
        gauges[c.HOOKS] = self._observe_hooks
        # The SDK calls back in the order of creation: the first instrument opens the collection.
        observers = {c.DOCUMENTED[0]: self._observe_first, c.LEDGER_EVICTIONS: self._observe_evictions}
        for metric in (*c.DOCUMENTED, *c.OWN):
            described = {"unit": metric.unit, "description": metric.description}
            if metric.kind == "counter":
                observe = observers.get(metric) or partial(self.table.observe, metric)
                meter.create_observable_counter(metric.name, [observe], **described)
            elif metric.kind == "gauge":
                meter.create_observable_gauge(metric.name, [gauges[metric]], **described)
            else:
                histogram = meter.create_histogram(
                    metric.name,
                    **described,
                    explicit_bucket_boundaries_advisory=self.settings.buckets.get(metric.name, metric.buckets),
                )
                scale = 1000.0 if metric.unit == "ms" else 1.0
                self.table.outlets[metric] = Outlet(histogram, scale)

    def _count_error(self, component: str) -> None:
        self.table.add(c.INTERNAL_ERRORS, (component,))

    def _count_dropped(self, reason: str) -> None:
        self.table.add(c.EVENTS_DROPPED, (reason,))

    # Observing: gauges are derived from the ledger at each collection, never counted up and down ------------

    def _observe_first(self, options: CallbackOptions) -> Sequence[Observation]:
        seconds = options.timeout_millis / 1000
        self.postponed.sweep(_COLLECTED_SECONDS)
        self.recorder.flush()
        self._counts.begin(_SHARE_OF_COUNTS * seconds)
        expired = self.guard.run("ledger", self.ledger.purge)
        if expired:
            self._count_expired(expired)
        self.guard.run("ledger", self._note_abandoned)
        for emission in self._emissions:
            emission.flush(_SHARE_OF_EVENTS * seconds / len(self._emissions))
        return self.table.observe(c.DOCUMENTED[0], options)

    def _count_expired(self, states: int) -> None:
        self.table.add(c.PKCE_CLEANED, ("expired",), amount=states)
        facts = {"cleaned": "expired", "count": states}
        told = self.emission.told(PKCE_CLEANED, facts)
        if told is not None:
            self.emission.happened(told, facts, otel_context.get_current())

    def _note_abandoned(self) -> None:
        """Tell of logins whose user never came back: one span for all that ran out since the last collection."""
        lost = self.ledger.abandoned()
        if lost:
            with self.operation(kinds.ABANDONED, {"outcome": "abandoned", "abandoned": len(lost)}) as operation:
                for entry in lost[:_MOST_LINKS]:
                    operation.link(entry)

    def _observe_kind(self, metric: Metric, kind: Kind, _options: CallbackOptions) -> Sequence[Observation]:
        if metric in self._counts:
            value = self._counts.value(metric)
        else:
            value = self.guard.run("ledger", self.ledger.count, kind)
        return [] if value is None else [Observation(value)]

    def _observe_entries(self, _options: CallbackOptions) -> Sequence[Observation]:
        entries = self.guard.run("ledger", self.ledger.entries) or {}
        return [Observation(value, {"partition": partition}) for partition, value in entries.items()]

    def _observe_evictions(self, options: CallbackOptions) -> Sequence[Observation]:
        for partition, count in (self.guard.run("ledger", self.ledger.evictions) or {}).items():
            self.table.add(c.LEDGER_EVICTIONS, (partition,), amount=count)
        return self.table.observe(c.LEDGER_EVICTIONS, options)

    def _observe_hooks(self, _options: CallbackOptions) -> Sequence[Observation]:
        names = c.HOOKS.label_names
        return [Observation(count, dict(zip(names, key, strict=True))) for key, count in self._hooks.items()]

    def count_with(self, metric: Metric, count: Callable[[], int] | None, *, timeout: float | None = None) -> None:
        """Take a documented gauge from the application's own count instead of the ledger; ``None`` takes it back.

        ``count`` is called at each collection, in the exporter's thread; if it raises, the gauge is absent
        and the error counted.

        :param timeout: call it in a thread of its own instead, and wait at most so many seconds, or half of the
            collection's own timeout; beyond it the last value stands for five minutes.
        :raises ValueError: if ``metric`` is not one of the documented gauges, or ``timeout`` no time to wait.
        """
        _check_gauge(metric)
        if count is None:
            self._counts.forget(metric)
        elif timeout is None:
            self._counts.take_directly(metric, count)
        else:
            self._counts.take_in_background([metric], lambda: [(metric, int(count()))], timeout)

    def count_together(self, metrics: Collection[Metric], take: Callable[[], Taken], *, timeout: float) -> None:
        """Take several gauges from one function that yields their metrics and values, in a thread of its own.

        :raises ValueError: as :meth:`count_with`.
        """
        for metric in metrics:
            _check_gauge(metric)
        self._counts.take_in_background(metrics, take, timeout)

    def hooks(self, library: str, *, attached: int, missing: int) -> None:
        """Say how many hooks into ``library`` are in place and how many did not find their target."""
        self._hooks[library, "attached"] = attached
        self._hooks[library, "missing"] = missing

    # Operations ---------------------------------------------------------------------------------------------

    def operation(self, kind: OperationKind, facts: dict[str, object]) -> Operation:
        """Return an operation to be used in a ``with`` block, or started and ended by hand.

        :param facts: what is known of it at its start; they are the operation's from here on.
        """
        return (self.step if kind is kinds.STORAGE else Operation)(self, kind, facts)

    def provider(self, name: str | None = None, url: str | None = None) -> str:
        """Return the label value of a provider: its registered name, else what its host is called."""
        if name is None:
            name = provider_name(url or "", self.settings.providers) or c.UNKNOWN
        return self.table.admit(c.PROVIDER, name)

    def client(self, client_id: str | None, *, known: bool = True) -> str:
        """Return the label value of a client id: ``unknown`` unless the server's or the client's side knows it.

        The server knows it from its store, the client from its configuration.
        """
        if not known or not client_id:
            return c.UNKNOWN
        label = self.table.admit(c.CLIENT_ID, str(client_id))
        return ClientLabel.of(label, str(client_id)) if self.settings.full_client_id else label

    # Life cycle ---------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Record what is pending and give the ledger's resources back; nothing is to be recorded afterwards.

        One that is beside another gives back its own way for events alone.
        """
        if self.beside is not None:
            self.emission.close()
            return
        self.postponed.close()
        self.recorder.stop()
        self.emission.close()
        self.ledger.close()

    def after_fork(self) -> None:
        """Start from zero in a forked child."""
        self.emission.after_fork()
        self.plans.after_fork()
        if self.beside is not None:
            return
        self.postponed.after_fork()
        self.recorder.after_fork()
        self.table.after_fork()
        self.guard.after_fork()
        self._counts.after_fork()
        self.guard.run("ledger", self.ledger.after_fork)


def _check_gauge(metric: Metric) -> None:
    if metric not in GAUGE_KINDS:
        msg = f"{metric.name} is not a gauge that can be counted; there are {', '.join(m.name for m in GAUGE_KINDS)}"
        raise ValueError(msg)


_by_provider: dict[tuple[int, int, int], Telemetry] = {}
_lock = threading.Lock()


def get_telemetry(
    meter_provider: MeterProvider | None = None,
    tracer_provider: TracerProvider | None = None,
    logger_provider: LoggerProvider | None = None,
    **arguments: object,
) -> Telemetry:
    """Return the telemetry of a set of providers: the same each time, so that its instruments exist once.

    Sets with one meter provider share what is measured, and the ledger.

    :param arguments: settings (see :class:`~otel_oauth.settings.Settings`); they count when the telemetry is
        first made.
    :raises ValueError: if an argument is not a setting or its value is invalid.
    """
    # The global providers by name are the global providers: their instruments must not be made a second time.
    if meter_provider is metrics.get_meter_provider():
        meter_provider = None
    if tracer_provider is trace.get_tracer_provider():
        tracer_provider = None
    if logger_provider is _logs.get_logger_provider():
        logger_provider = None
    key = (id(meter_provider), id(tracer_provider), id(logger_provider))
    with _lock:
        found = _by_provider.get(key)
        if found is None:
            settings = Settings.from_environment(None, **arguments)
            meters = meter_provider or metrics.get_meter_provider()
            made = [each for each in _by_provider.values() if each.beside is None and each.meter_provider is meters]
            beside = made[0] if made else None
            found = Telemetry(meter_provider, tracer_provider, settings, logger_provider, beside=beside)
            _by_provider[key] = found
        return found


def _renew_lock() -> None:
    global _lock  # noqa: PLW0603 the parent may have held it
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)
