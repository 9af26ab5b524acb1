"""The browser and the provider cannot tell whether a registry is instrumented; concurrent logins do not mix."""

from __future__ import annotations

import asyncio
import contextlib
import re
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from attached import attached
from client_rows import flow
from registries import PARTIES, StarletteParty, django_settings

from otel_oauth.testing import Capture
from otel_oauth_authlib.client import CLIENT_HOOKS
from otel_oauth_authlib.registry import REGISTRY_HOOKS


def comparable(response: Any) -> tuple[Any, ...]:
    """All of a response but the random values."""
    location = urlsplit(response.headers.get("Location", ""))
    headers = sorted(
        (name.lower(), re.sub(r"=[^; ]{30,}|\d+", "=", value))
        for name, value in response.headers.items()
        if name.lower() not in ("date", "location", "content-length")
    )
    text = re.sub(r"(state|nonce|code_challenge)=[\w-]+", r"\1=", response.text)
    return response.status_code, location.path, [name for name, _ in parse_qsl(location.query)], headers, text


def visit(name: str, provider: Any, cached: bool) -> tuple[list[tuple[Any, ...]], list[str], dict[Any, int]]:  # noqa: FBT001 a parameter of the test
    """Log in, reload, cancel, forge, post; give the responses, the exceptions, what the provider was asked."""
    with django_settings() if name == "django" else contextlib.nullcontext():
        party = PARTIES[name](provider, cache=cached or None)
        provider.answered.clear()
        responses = [party.get("/login")]
        back = provider.authorize(str(responses[0].headers["Location"]))
        responses += [party.get("/callback", **back) for _ in range(2)]
        responses.append(party.get("/callback", error="access_denied", state=party.consent()["state"]))
        responses += [party.get("/callback", state="forged"), party.get("/visit")]
        responses.append(party.send(party.browser, "POST", "/callback", {}) if name != "starlette" else party.get("/"))
        seen = [comparable(response) for response in responses]
        raised = [f"{type(error).__module__}.{type(error).__qualname__}: {error}" for error in party.raised]
        # Not what an earlier test gave up to wait for.
        asked = {path: count for path, count in provider.answered.items() if path[0] != "/api"}
        party.close()
    return seen, raised, asked


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize("name", PARTIES)
def test_the_same_responses_and_requests(provider: Any, name: str, cached: bool) -> None:  # noqa: FBT001 a parameter of the test
    plain = visit(name, provider, cached)
    with Capture() as capture:
        hooks = attached(capture.telemetry, {**CLIENT_HOOKS, **REGISTRY_HOOKS})
        observed = visit(name, provider, cached)
        hooks.detach()
        assert capture.moved()["oauth_flows_total{provider=idp,status=success}"] == 1
    assert observed == plain
    assert visit(name, provider, cached) == plain


@pytest.mark.parametrize("registry", [("starlette", False), ("starlette", True)], ids=str, indirect=True)
def test_concurrent_logins_do_not_mix(registry: StarletteParty, capture: Any) -> None:
    browsers = [registry.new_browser() for _ in range(5)]
    back = [registry.consent(browser) for browser in browsers]
    capture.mark()

    async def all_at_once() -> list[Any]:
        sent = (browser.get("/callback", params=each) for browser, each in zip(browsers, back, strict=True))
        return await asyncio.gather(*sent)

    assert [response.status_code for response in registry.run(all_at_once())] == [200] * 5
    moved = capture.moved()
    assert {name: moved[name] for name in flow("success")} == dict.fromkeys(flow("success"), 5)
    callbacks = capture.spans("oauth.callback")
    links = sorted(span["links"][0]["span_id"] for span in callbacks)
    assert links == sorted(span["span_id"] for span in capture.spans("oauth.authorize"))
    exchanges = {span["parent_id"] for span in capture.spans("oauth.code_exchange")}
    assert exchanges == {span["span_id"] for span in callbacks}
