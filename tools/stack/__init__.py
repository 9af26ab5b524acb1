"""The telemetry pipeline for real, on this machine: Collector, Loki, Prometheus and Zipkin, built, started and filled.

``python -m stack`` is ``make stack``; the tests of the pipeline use the same modules.
"""

from __future__ import annotations

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
"""The checkout."""

COLLECTOR = REPOSITORY / "collector"
"""The configurations."""

BUILD = REPOSITORY / "build" / "stack"
"""Where binaries, data and logs go; the first are kept."""

BINARIES = BUILD / "bin"
"""Where the binaries are."""


class StackError(Exception):
    """The stack cannot be had; the text says why and what can be done, and is all that is shown."""
