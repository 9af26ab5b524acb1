"""Metrics: attributes and exemplars are redacted at each collection, in the thread of the reader."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from otel_oauth.redaction._shared import redact_origin

if TYPE_CHECKING:
    from types import ModuleType

    from otel_oauth.redaction._patches import Sources
    from otel_oauth.redaction._redactor import Redactor

_log = logging.getLogger("otel_oauth")

_SIGNAL = "metric"


def patch(module: ModuleType, sources: Sources) -> None:
    """Patch ``opentelemetry.sdk.metrics._internal.metric_reader_storage``, which every reader collects from.

    What is before it on the way, the consumer of measurements, is bound by a reader when that is made.
    """
    storage = getattr(module, "MetricReaderStorage", None)
    if storage is None or "collect" not in vars(storage):
        _log.error("otel-oauth: metrics are not redacted, this SDK has no MetricReaderStorage.collect")
        return

    def collecting(original: Any) -> Any:  # noqa: ANN401 the SDK's method
        def collect(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 the SDK's
            data = original(self, *args, **kwargs)
            redactor = sources.redactor
            if data is None or redactor is None:
                return data
            # Nothing at all is better than what could not be inspected: the reader takes None for no data.
            return data if sources.guard.run("redaction", _redact, data, redactor) else None

        return collect

    sources.replace(storage, "collect", collecting)


def _redact(data: Any, redactor: Redactor) -> bool:  # noqa: ANN401 the SDK's
    for group in data.resource_metrics:
        redact_origin(group.resource, redactor, _SIGNAL)
        for scoped in group.scope_metrics:
            redact_origin(scoped.scope, redactor, _SIGNAL)
            for metric in scoped.metrics:
                for point in metric.data.data_points:
                    _redact_field(point, "attributes", redactor)
                    for exemplar in getattr(point, "exemplars", None) or ():
                        _redact_field(exemplar, "filtered_attributes", redactor)
    return True


def _redact_field(owner: Any, name: str, redactor: Redactor) -> None:  # noqa: ANN401 the SDK's
    attributes = getattr(owner, name)
    changed = redactor.changes(attributes, _SIGNAL) if attributes else None
    if changed:
        # A new mapping on this collection's own point: the aggregation goes on with its own.
        object.__setattr__(owner, name, {**attributes, **changed})
