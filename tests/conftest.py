"""Shared by all tests: an error of the instrumentation fails the test instead of being stopped."""

from __future__ import annotations

import os

from claims import pytest_collection_modifyitems, pytest_runtest_call
from hypothesis import settings

__all__ = ["pytest_collection_modifyitems", "pytest_runtest_call"]

os.environ["OTEL_OAUTH_RAISE_INTERNAL_ERRORS"] = "1"

# A slow machine is no failure: speed is measured as a ratio, in the benchmarks.
settings.register_profile("tests", deadline=None)
settings.load_profile("tests")
