"""Nothing of ours keeps what an operation was about: clients, servers, requests, responses, tasks, exceptions."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from authlib.integrations.base_client import OAuthError
from authlib.integrations.httpx_client import AsyncOAuth2Client, OAuth2Client
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2 import OAuth2Request

from benchmarks.client_workloads import HttpxPlain, HttpxRefresh, RequestsRefresh
from benchmarks.client_workloads import answer as token_answer
from benchmarks.server import call
from benchmarks.server_workloads import ClientCredentials, CodeExchange, Refresh
from benchmarks.signals import Signals
from benchmarks.workloads import Login
from otel_oauth.hooks import Call
from otel_oauth.operation import Operation
from otel_oauth_authlib import AuthlibInstrumentor
from otel_oauth_httpx import HttpxOAuthInstrumentor
from otel_oauth_httpx.wire import Sent

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

TOKENS = "https://server.example/token"
GIVEN_UP = (OAuth2Request, OAuth2Client, OAuth2Session, httpx2.Request, httpx2.Response, Operation, Call, Sent)
"""The classes, of the libraries and of ours, of which no object may be left."""


@pytest.fixture
def signals(tmp_path: Path) -> Iterator[Signals]:
    """Everything instrumented; the ledger is in a file, so that what it remembers is not in the way."""
    signals = Signals(ledger=f"host:{tmp_path}/ledger")
    telemetry = signals.telemetry()
    instrumentors = (AuthlibInstrumentor(), HttpxOAuthInstrumentor())
    for instrumentor in instrumentors:
        instrumentor.instrument(telemetry=telemetry)
    yield signals
    for instrumentor in instrumentors:
        instrumentor.uninstrument()
    telemetry.close()


def answer(request: httpx2.Request) -> httpx2.Response:
    if b"refused" in request.content:
        return httpx2.Response(400, json={"error": "invalid_grant"})
    if b"lost" in request.content:
        msg = "no such host"
        raise httpx2.ConnectError(msg, request=request)
    return httpx2.Response(200, content=token_answer(), headers={"content-type": "application/json"})


def gone(signals: Signals, references: list[weakref.ref[Any]]) -> list[Any]:
    """Return what is still alive after all was recorded."""
    signals.counted()
    gc.collect()
    return [found for found in (reference() for reference in references) if found is not None]


def refreshed(client: Any, *references: Any) -> list[weakref.ref[Any]]:
    """Refresh with each outcome; return references to the client and what it got, sent and raised."""
    found = [weakref.ref(each) for each in (client, *references)]
    client.register_compliance_hook(
        "refresh_token_response", lambda response: found.append(weakref.ref(response)) or response
    )
    client.refresh_token(TOKENS, refresh_token="good")
    with suppress(OAuthError):
        client.refresh_token(TOKENS, refresh_token="refused")
    with suppress(httpx2.ConnectError):
        client.refresh_token(TOKENS, refresh_token="lost")
    return found


def test_clients_requests_and_responses_are_given_up(signals: Signals) -> None:
    transport = httpx2.MockTransport(answer)
    references = refreshed(OAuth2Client("web", "s", transport=transport, verify=False), transport)
    del transport
    assert len(references) == 4
    assert gone(signals, references) == []
    assert signals.counted()["oauth_token_refresh_total"] == 3


def test_an_asynchronous_client_is_given_up_also_when_its_task_was_cancelled(signals: Signals) -> None:
    references: list[weakref.ref[Any]] = []

    async def never(_request: httpx2.Request) -> httpx2.Response:
        return await asyncio.Event().wait()  # type: ignore[return-value]  # it never does

    async def refresh() -> None:
        client = AsyncOAuth2Client("web", "s", transport=httpx2.MockTransport(never), verify=False)
        task = asyncio.create_task(client.refresh_token(TOKENS, refresh_token="cancelled"))
        references.extend((weakref.ref(client), weakref.ref(task)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await client.aclose()

    asyncio.run(refresh())
    assert gone(signals, references) == []


def test_a_server_its_requests_and_its_application_are_given_up(signals: Signals) -> None:
    references: list[weakref.ref[Any]] = []
    workload = CodeExchange()
    references.append(weakref.ref(workload.app))

    def seen(response: Any) -> Any:
        from flask import request  # noqa: PLC0415 the one that is under way

        references.extend((weakref.ref(request._get_current_object()), weakref.ref(response)))
        return response

    workload.app.after_request(seen)
    workload.prepare(2)
    workload.run(2)
    status, _, _ = call(workload.app, "POST", "/token", b"grant_type=authorization_code&code=forged")
    assert status.startswith("400")
    del workload, seen
    assert len(references) == 11
    assert gone(signals, references) == []


def test_no_operation_request_or_client_is_left_of_any_kind_of_work(signals: Signals) -> None:
    for make in (ClientCredentials, CodeExchange, Refresh, RequestsRefresh, HttpxPlain, Login):
        workload = make()
        workload.prepare(3)
        workload.run(3)
        del workload
    signals.counted()
    gc.collect()
    left = Counter(type(each) for each in gc.get_objects())
    assert {each.__name__: left[each] for each in GIVEN_UP if left[each]} == {}


@pytest.mark.parametrize("make", [ClientCredentials, HttpxRefresh, RequestsRefresh, HttpxPlain])
def test_ever_more_of_the_same_leaves_no_more_objects(signals: Signals, make: Any) -> None:
    workload, counts = make(), []
    for _ in range(5):
        workload.prepare(50)
        workload.run(50)
        signals.counted()
        gc.collect()
        counts.append(len(gc.get_objects()))
    assert counts[-1] - counts[1] < 50, counts
