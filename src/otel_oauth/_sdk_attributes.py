"""Attributes that need no cleaning, put straight where the SDK keeps those of a span or a log record.

The SDK asks of each attribute what type it is, step by step, and takes a lock for it: half of what a small span costs.
Ours are text, numbers and booleans under constant names. This puts them into the container that the SDK made, in the
form that it has had from 1.31 to 1.45. Into one of another form, or that would drop or shorten any, none is put, and
they go the public way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.attributes import BoundedAttributes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from opentelemetry._logs import LogRecord

PLAIN = frozenset((str, bool, int, float))
"""The types of attributes that need no cleaning."""


def put(container: object, attributes: Mapping[str, object], *, plain: bool = False) -> bool:
    """Put the attributes into an empty container of the SDK; false, and nothing put, if they must go the public way.

    :param plain: their types are known to be :data:`PLAIN`.
    """
    if type(container) is not BoundedAttributes or not (plain or PLAIN.issuperset(map(type, attributes.values()))):
        return False
    held, most = getattr(container, "_dict", None), container.maxlen
    # Of what is there already the SDK would keep the order.
    if type(held) is not dict or held or container.max_value_len is not None:
        return False
    if most is not None and most < len(attributes):
        return False
    held.update(attributes)
    return True


def of_span(span: object) -> object:
    """Return the container of a span's attributes, ``None`` where the SDK has no such thing."""
    return getattr(span, "_attributes", None)


def record_maker(logger: Any) -> Callable[[LogRecord], Any] | None:  # noqa: ANN401 a logger of any version
    """Return what makes of a record without attributes the one that the SDK's logger would, whose container is empty.

    The logger takes that as it is (from 1.39 on); ``None`` where it does not.
    """
    if not type(logger).__module__.startswith("opentelemetry.sdk."):
        return None
    try:
        from opentelemetry.sdk._logs import (  # noqa: PLC0415, PLC2701 without the SDK there is the API alone; it has no other name
            ReadWriteLogRecord,
        )
    except ImportError:
        return None
    scope = getattr(logger, "_instrumentation_scope", None)
    if scope is None or not hasattr(logger, "resource"):
        return None
    limits = getattr(logger, "_log_record_limits", None)  # which it has from 1.42 on
    more = () if limits is None else (limits,)
    return lambda record: ReadWriteLogRecord(record, logger.resource, scope, *more)
