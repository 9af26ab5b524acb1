"""The clients of httpx and httpx2 against a real provider on loopback, everything of the plugin attached, in memory."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import httpx
import httpx2
import pytest

from otel_oauth.testing import Capture
from otel_oauth_httpx import HttpxOAuthInstrumentor

if TYPE_CHECKING:
    from collections.abc import Iterator

collect_ignore = [] if find_spec("mcp") else ["test_mcp_client.py"]
"""The MCP SDK has no version as old as the oldest httpx that is supported."""


@pytest.fixture
def capture() -> Iterator[Capture]:
    with Capture() as found:
        instrumentor = HttpxOAuthInstrumentor()
        instrumentor.instrument(telemetry=found.telemetry)
        found.mark()
        yield found
        instrumentor.uninstrument()


@pytest.fixture(params=[httpx, httpx2], ids=["httpx", "httpx2"])
def library(request: pytest.FixtureRequest) -> Any:
    return request.param
