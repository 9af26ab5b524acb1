"""What spans, logs and metrics have in common: their attributes, and the resource and scope that they belong to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from otel_oauth.redaction._redactor import Redactor

_MOST = 1024
INSPECTED: dict[int, Any] = {}
"""The resources and scopes that have been redacted, by their ``id()``."""


def redact_attributes(owner: Any, redactor: Redactor, signal: str) -> None:  # noqa: ANN401 the SDK's
    """Replace the attributes of ``owner`` that hold secrets, in the container where the SDK keeps them."""
    attributes = getattr(owner, "_attributes", None)  # `attributes` is a read-only view of it
    if attributes is None:
        attributes = owner.attributes
    container = getattr(attributes, "_dict", None)
    if not (attributes if container is None else container):  # which has no __len__ to be called
        return
    # A copy: somebody may still set attributes of a span that has not ended, or that another thread uses.
    changed = redactor.changes(dict(attributes) if container is None else container.copy(), signal)
    if not changed:
        return
    if container is not None:
        # Not through its own methods: it may be immutable by now.
        container.update(changed)
    else:
        name = "_attributes" if hasattr(owner, "_attributes") else "attributes"
        object.__setattr__(owner, name, {**attributes, **changed})


def redact_origin(origin: Any, redactor: Redactor, signal: str) -> None:  # noqa: ANN401 a resource or a scope of the SDK
    """Redact a resource or instrumentation scope, once: it belongs to many spans."""
    if origin is None or id(origin) in INSPECTED:
        return
    redact_attributes(origin, redactor, signal)
    if len(INSPECTED) >= _MOST:
        INSPECTED.clear()
    INSPECTED[id(origin)] = origin  # kept alive with its number


def forget_origins() -> None:
    """Inspect every resource and scope again."""
    INSPECTED.clear()
