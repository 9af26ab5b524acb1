"""What the programs of tests/canary say: their logs at DEBUG, and their ports."""

from __future__ import annotations

import logging
import os
import sys
from urllib.parse import urlsplit


def log_everything() -> None:
    """Log at DEBUG to stderr, all but what the exporter's own requests say: exporting that would never end."""
    logging.basicConfig(level=logging.DEBUG, format="%(levelname)s %(name)s %(message)s")
    receiver = str(urlsplit(os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "")).port)

    def of_the_application(record: logging.LogRecord) -> bool:
        said = record.getMessage()
        return receiver not in said and not said.startswith("Resetting dropped connection")

    logging.getLogger("urllib3.connectionpool").addFilter(of_the_application)


def say_ports(*ports: int) -> None:
    """Print each port on a line of its own, for the test, in one write.

    ``print`` writes the text and the end of the line one after the other, and the thread of a console exporter comes
    in between.
    """
    sys.stdout.write("".join(f"{port}\n" for port in ports))
    sys.stdout.flush()
