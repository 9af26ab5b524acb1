"""Attaching: early, late, twice, one client only; detaching; a version without the private method; switched off."""

from __future__ import annotations

import asyncio
import gc
import inspect
import logging
import subprocess
import sys
import weakref
from typing import TYPE_CHECKING, Any

import httpx
import httpx2
import pytest
from opentelemetry.instrumentation.utils import suppress_instrumentation

from otel_oauth.testing import Capture
from otel_oauth_httpx import HttpxOAuthInstrumentor
from otel_oauth_httpx.clients import SEND

if TYPE_CHECKING:
    from collections.abc import Iterator

TARGETS = [(library.Client, library.AsyncClient) for library in (httpx, httpx2)]
FORM = {"grant_type": "client_credentials", "client_id": "web", "client_secret": "s"}
URL = "https://as.example/token"
MOVED = {
    "provider_api_calls_total{provider=as.example,operation=token,status=200}": 1,
    "provider_api_duration_milliseconds{provider=as.example,operation=token}": 1,
}


@pytest.fixture
def recording() -> Iterator[Capture]:
    with Capture() as found:
        found.mark()
        yield found


def post(client: Any, library: Any = httpx) -> Any:
    return (
        client.post(URL, data=FORM) if isinstance(client, library.Client) else asyncio.run(client.post(URL, data=FORM))
    )


def client(library: Any = httpx) -> Any:
    return library.Client(transport=library.MockTransport(lambda _: library.Response(200, json={"access_token": "a"})))


def test_every_client_class_is_hooked_and_gets_its_own_method_back(recording: Capture) -> None:
    before = [vars(cls)[SEND] for pair in TARGETS for cls in pair]
    instrumentor = HttpxOAuthInstrumentor()
    instrumentor.instrument(telemetry=recording.telemetry)
    hooked = [vars(cls)[SEND] for pair in TARGETS for cls in pair]
    assert not set(before) & set(hooked)
    assert [inspect.iscoroutinefunction(one) for one in hooked] == [False, True, False, True]
    assert [inspect.signature(one) for one in hooked] == [inspect.signature(one) for one in before]
    instrumentor.uninstrument()
    assert [vars(cls)[SEND] for pair in TARGETS for cls in pair] == before


@pytest.mark.parametrize("library", [httpx, httpx2])
def test_a_client_made_before_counts_and_after_detach_no_more(recording: Capture, library: Any) -> None:
    made, instrumentor = client(library), HttpxOAuthInstrumentor()
    instrumentor.instrument(telemetry=recording.telemetry)
    held = made._send_single_request
    post(made, library)
    assert recording.moved() == MOVED
    instrumentor.uninstrument()
    post(made, library)
    held(made.build_request("POST", URL, data=FORM))
    assert recording.moved() == {}


def test_attached_twice_counts_once(recording: Capture) -> None:
    instrumentor = HttpxOAuthInstrumentor()
    instrumentor.instrument(telemetry=recording.telemetry)
    instrumentor.instrument(telemetry=recording.telemetry)
    post(client())
    assert recording.moved() == MOVED
    instrumentor.uninstrument()


@pytest.mark.parametrize("library", [httpx, httpx2])
def test_one_client_object_alone(recording: Capture, library: Any) -> None:
    one, other = client(library), client(library)
    HttpxOAuthInstrumentor.instrument_client(one, telemetry=recording.telemetry)
    HttpxOAuthInstrumentor.instrument_client(one, telemetry=recording.telemetry)
    post(one, library)
    post(other, library)
    assert recording.moved() == MOVED
    HttpxOAuthInstrumentor.uninstrument_client(one)
    HttpxOAuthInstrumentor.uninstrument_client(other)
    post(one, library)
    assert recording.moved() == {}
    assert SEND not in vars(one)
    HttpxOAuthInstrumentor.instrument_client(one, telemetry=recording.telemetry)
    left = weakref.ref(one)
    gc.disable()
    try:
        del one
        assert left() is None, "a client that is not used any more closes its connections at once"
    finally:
        gc.enable()


def test_one_asynchronous_client_object_alone(recording: Capture) -> None:
    one = httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(200, json={"access_token": "a"})))
    HttpxOAuthInstrumentor.instrument_client(one, telemetry=recording.telemetry)
    post(one)
    assert recording.moved() == MOVED


def test_a_client_object_of_a_hooked_class_counts_once(capture: Capture) -> None:
    one = client()
    HttpxOAuthInstrumentor.instrument_client(one, telemetry=capture.telemetry)
    post(one)
    assert capture.moved() == MOVED


def test_suppressed_instrumentation_records_nothing(capture: Capture) -> None:
    with suppress_instrumentation():
        post(client())
    assert capture.moved() == {}


def test_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_OAUTH_DISABLED", "true")
    before = vars(httpx.Client)[SEND]
    instrumentor = HttpxOAuthInstrumentor()
    instrumentor.instrument()
    assert vars(httpx.Client)[SEND] is before
    instrumentor.uninstrument()
    one = client()
    HttpxOAuthInstrumentor.instrument_client(one)
    assert SEND not in vars(one)


def test_a_wrong_setting_is_an_error_of_the_programmer() -> None:
    with pytest.raises(ValueError, match="there is no setting 'window'"):
        HttpxOAuthInstrumentor().instrument(window=1)


def test_a_version_with_another_method_is_watched_at_its_transports(
    recording: Capture, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def other(self: Any, request: Any, _more: Any = None) -> Any:
        return original(self, request)

    original = httpx.Client._send_single_request
    monkeypatch.setattr(httpx.Client, SEND, other)
    instrumentor = HttpxOAuthInstrumentor()
    with caplog.at_level(logging.WARNING, "otel_oauth"):
        instrumentor.instrument(telemetry=recording.telemetry)
    assert [record.message for record in caplog.records] == [
        (
            "otel-oauth: httpx has no _send_single_request of the form known to this version; its transports are "
            "watched instead, but not those of the application's own"
        )
    ]
    assert vars(httpx.Client)[SEND] is other
    post(client())
    assert recording.moved() == MOVED
    points = {
        tuple(point["attributes"].items()): point["value"] for point in recording.points() if "hooks" in point["name"]
    }
    assert points[("library", "httpx"), ("state", "missing")] == 1
    before = vars(httpx.MockTransport)["handle_request"]
    instrumentor.uninstrument()
    assert vars(httpx.MockTransport)["handle_request"] is not before


@pytest.mark.slow
@pytest.mark.parametrize("missing", ["httpx", "httpx2"])
def test_one_of_the_two_libraries_is_enough(missing: str) -> None:
    present = "httpx2" if missing == "httpx" else "httpx"
    program = f"""
import sys
sys.modules[{missing!r}] = None
from otel_oauth.testing import Capture
from otel_oauth_httpx import HttpxOAuthInstrumentor
capture = Capture()
HttpxOAuthInstrumentor().instrument(telemetry=capture.telemetry)
assert {present!r} not in sys.modules, "the plugin imports no HTTP client by itself"
import {present} as library
answer = library.Response(200, json={{"access_token": "a"}})
client = library.Client(transport=library.MockTransport(lambda request: answer))
capture.mark()
client.post({URL!r}, data={FORM!r})
assert capture.moved() == {MOVED!r}, capture.moved()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
