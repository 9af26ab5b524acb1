"""The endpoints that are known without looking at a request: documented ones of providers, and learned ones."""

from __future__ import annotations


class Endpoints:
    """Which URLs are which endpoints; one table for an instrumentor, safe to use from any thread."""
