"""Shared by all tests: an error of the instrumentation fails the test instead of being stopped."""

from __future__ import annotations

import os
import signal

from claims import pytest_collection_modifyitems, pytest_runtest_call
from hypothesis import settings

__all__ = ["pytest_collection_modifyitems", "pytest_runtest_call"]

# Whoever starts the tests in the background may have them ignore it; the programs that they start inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

os.environ["OTEL_OAUTH_RAISE_INTERNAL_ERRORS"] = "1"

# A slow machine is no failure: speed is measured as a ratio, in the benchmarks.
settings.register_profile("tests", deadline=None)
settings.load_profile("tests")
