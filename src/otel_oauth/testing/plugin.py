"""The pytest plugin: the fixture ``oauth_telemetry``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_oauth.testing import Capture

_GROUP = "opentelemetry_instrumentor"
_FAMILY = "otel_oauth_"


@pytest.fixture
def oauth_telemetry() -> Iterator[Capture]:
    """Record the OAuth telemetry of one test in memory, with every installed plugin of otel-oauth attached.

    Needs the extra ``otel-oauth[testing]``. ``oauth_telemetry.moved()`` tells which metrics moved,
    ``.spans()`` gives the spans. A plugin that was already attached (``opentelemetry-instrument pytest``)
    records elsewhere, so it is detached for the test and attached again with its defaults.
    """
    # Imported here and not above: pytest loads this module in every run, the SDK costs half a second.
    from importlib.metadata import entry_points  # noqa: PLC0415 see above

    from otel_oauth.testing import Capture  # noqa: PLC0415 see above

    ours = [entry for entry in entry_points(group=_GROUP) if entry.value.startswith(_FAMILY)]
    instrumentors = [entry.load()() for entry in ours]
    before = [instrumentor for instrumentor in instrumentors if instrumentor.is_instrumented_by_opentelemetry]
    for instrumentor in before:
        instrumentor.uninstrument()
    with Capture() as capture:
        for instrumentor in instrumentors:
            instrumentor.instrument(telemetry=capture.telemetry)
        capture.mark()
        try:
            yield capture
        finally:
            for instrumentor in instrumentors:
                instrumentor.uninstrument()
            for instrumentor in before:
                instrumentor.instrument()
