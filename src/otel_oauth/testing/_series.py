"""How a series is spelled in the tools for tests: the metric's name, its labels in the documented order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_oauth.catalogue import BY_NAME

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def series(name: str, attributes: Mapping[str, object] | Iterable[tuple[str, object]] = ()) -> str:
    """Return one series as text: ``oauth_token_refresh_total{status=success,reason=normal}``.

    Labels of a catalogued metric stand in the documented order, those of any other metric in alphabetical
    order; a series without labels is the bare name.
    """
    labels = dict(attributes)
    metric = BY_NAME.get(name)
    documented = [label for label in metric.label_names if label in labels] if metric is not None else []
    others = sorted(labels.keys() - set(documented))
    inner = ",".join(f"{label}={labels[label]}" for label in (*documented, *others))
    return f"{name}{{{inner}}}" if inner else name
