"""Shared by all tests: an error of the instrumentation fails the test instead of being stopped."""

from __future__ import annotations

import os

os.environ["OTEL_OAUTH_RAISE_INTERNAL_ERRORS"] = "1"
