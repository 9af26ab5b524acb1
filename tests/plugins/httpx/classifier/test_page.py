"""docs/recognition.md agrees with the code."""

from __future__ import annotations

import re

from oauth_corpus import DOCUMENTED
from pages import page, rows

from otel_oauth_httpx import endpoints, parameters, responses
from otel_oauth_httpx.providers import DOCUMENTED as PROVIDERS

PAGE = "docs/recognition.md"


def test_every_operation_of_the_corpus_has_its_sign() -> None:
    kinds = {name for cells in rows(PAGE) for name in re.findall(r"`(\w+)`", cells[0])}
    assert {entry["recognised"]["kind"] for entry in DOCUMENTED} <= kinds


def test_every_host_with_documented_endpoints_is_named() -> None:
    listed = re.search(r"after the provider's documentation:\n(.+?)\.\n\n", page(PAGE), re.DOTALL)
    assert listed is not None
    assert re.split(r",\s+", listed[1]) == sorted({documented.host for documented in PROVIDERS})


def test_the_limits_are_those_of_the_code() -> None:
    text = page(PAGE)
    assert (
        f"At most {endpoints.MOST_ENDPOINTS} endpoints are remembered, at most {endpoints.MOST_OF_HOST} of one" in text
    )
    assert f"forgotten after {endpoints.LIFETIME / 3600:g} hours" in text
    assert text.count(f"{endpoints.ATTEMPT / 60:g} minutes before") == 2
    assert f"beyond {responses.MOST_BYTES >> 20} MiB" in text
    assert f"a body beyond {parameters.MOST_BYTES >> 10} KiB" in text
