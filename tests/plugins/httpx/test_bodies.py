"""A response is read as the application reads it: same bytes, same errors, same time, and it is seen once."""

from __future__ import annotations

import copy
import gc
import pickle
from typing import TYPE_CHECKING, Any

import pytest
from client_rows import refreshed
from wire_clients import KINDS, Sender

if TYPE_CHECKING:
    from collections.abc import Iterator

BODY = b'{"access_token": "a", "expires_in": 60, "refresh_token": "r2"}'
URL = "https://as.example/token"
FORM = {"grant_type": "refresh_token", "refresh_token": "r1", "client_id": "web"}
SYNC_WAYS = {
    "read": lambda response: response.read(),
    "read twice": lambda response: (response.read(), response.read())[1],
    "iter_bytes": lambda response: b"".join(response.iter_bytes()),
    "iter_raw": lambda response: b"".join(response.iter_raw()),
    "iter_text": lambda response: "".join(response.iter_text()).encode(),
    "iter_lines": lambda response: "\n".join(response.iter_lines()).encode(),
    "part": lambda response: next(response.iter_bytes(4)),
    "close": lambda response: response.close() or b"",
    "nothing": lambda _response: b"",
}


async def _joined(parts: Any) -> Any:
    found = [part async for part in parts]
    return "".join(found).encode() if found and isinstance(found[0], str) else b"".join(found)


async def _first(parts: Any) -> bytes:
    async for part in parts:
        return bytes(part)
    return b""


async def _twice(response: Any) -> bytes:
    await response.aread()
    return bytes(await response.aread())


async def _closed(response: Any) -> bytes:
    await response.aclose()
    return b""


async def _nothing(_response: Any) -> bytes:
    return b""


ASYNC_WAYS = {
    "read": lambda response: response.aread(),
    "read twice": _twice,
    "iter_bytes": lambda response: _joined(response.aiter_bytes()),
    "iter_raw": lambda response: _joined(response.aiter_raw()),
    "iter_text": lambda response: _joined(response.aiter_text()),
    "iter_lines": lambda response: _joined(response.aiter_lines()),
    "part": lambda response: _first(response.aiter_bytes(4)),
    "close": _closed,
    "nothing": _nothing,
}


@pytest.fixture(params=KINDS)
def send(request: pytest.FixtureRequest) -> Sender:
    return Sender(*request.param)


def streaming(send: Sender) -> Any:
    library = send.library

    class Parts(library.SyncByteStream, library.AsyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield BODY[:20]
            yield BODY[20:]

        async def __aiter__(self) -> Any:
            for part in self:
                yield part

    return send.transport(lambda _request: library.Response(200, stream=Parts()))


def streamed(send: Sender, way: str) -> tuple[bytes, bool, bool, dict[str, Any]]:
    """Return what was read, whether the response knows its time, is closed, and what it still carries of ours."""
    send.options["transport"] = streaming(send)

    def do(client: Any) -> Any:
        if not send.asynchronous:
            with client.stream("POST", URL, data=FORM) as response:
                found = SYNC_WAYS[way](response)
            return found, response.elapsed.total_seconds() >= 0, response.is_closed, dict(vars(response))

        async def main() -> Any:
            async with client.stream("POST", URL, data=FORM) as response:
                found = await ASYNC_WAYS[way](response)
            return found, response.elapsed.total_seconds() >= 0, response.is_closed, dict(vars(response))

        return main()

    return send.drive(do)


@pytest.mark.parametrize("way", SYNC_WAYS)
def test_each_way_of_reading_gives_the_same_and_counts_once(send: Sender, capture: Any, way: str) -> None:
    found, elapsed, closed, held = streamed(send, way)
    expected = b"" if way in ("close", "nothing") else BODY[:4] if way == "part" else BODY
    assert (found, elapsed, closed) == (expected, True, True)
    assert not {"read", "close", "aread", "aclose"} & held.keys()
    moved = capture.moved()
    assert {**refreshed("success", "normal")}.items() <= moved.items()
    assert moved["provider_api_calls_total{provider=as.example,operation=refresh,status=200}"] == 1
    known = way in ("read", "read twice")
    assert capture.gauges()["storage_refresh_tokens_count"] == int(known), "only who reads it whole shows the tokens"


@pytest.mark.parametrize("name", ["httpx", "httpx2"])
def test_a_response_that_is_dropped_unread_is_recorded(name: str, capture: Any) -> None:
    send = Sender(name, asynchronous=False)
    with send.library.Client(transport=streaming(send)) as client:
        response = client.send(client.build_request("POST", URL, data=FORM), stream=True)
        assert capture.moved() == {}
        del response
        gc.collect()
    # The garbage collector runs while anybody holds any lock, or changes a context: it only notes what is to be done.
    assert capture.spans() == []
    assert {**refreshed("success", "normal")}.items() <= capture.moved().items()
    assert len(capture.spans("oauth.refresh")) == 1


def test_a_failed_reading_after_the_response_came_is_no_missing_response(send: Sender, capture: Any) -> None:
    send.options["transport"] = streaming(send)
    library = send.library

    def do(client: Any) -> Any:
        if not send.asynchronous:
            with client.stream("POST", URL, data=FORM) as response:
                next(response.iter_raw())
                with pytest.raises(library.StreamConsumed):
                    response.read()
            return None

        async def main() -> None:
            async with client.stream("POST", URL, data=FORM) as response:
                async for _ in response.aiter_raw():
                    break
                with pytest.raises(library.StreamConsumed):
                    await response.aread()

        return main()

    send.drive(do)
    assert capture.moved()["provider_api_calls_total{provider=as.example,operation=refresh,status=200}"] == 1


def test_a_method_of_the_application_on_a_response_stays(capture: Any) -> None:
    send = Sender("httpx", asynchronous=False)
    calls = []

    def handler(request: Any) -> Any:
        response = streaming(send).handle_request(request)
        plain = response.read
        response.read = lambda: calls.append("read") or plain()
        return response

    send.options["transport"] = send.transport(handler)
    response = send("POST", URL, data=FORM)
    assert (response.content, calls) == (BODY, ["read"])
    assert "read" in vars(response)
    assert {**refreshed("success", "normal")}.items() <= capture.moved().items()


@pytest.mark.usefixtures("capture")
@pytest.mark.parametrize("name", ["httpx", "httpx2"])
def test_a_response_that_was_read_can_be_pickled(name: str) -> None:
    send = Sender(name, asynchronous=False)
    send.options["transport"] = streaming(send)
    assert pickle.loads(pickle.dumps(send("POST", URL, data=FORM))).content == BODY  # noqa: S301 our own


@pytest.mark.parametrize("copied", [lambda each: pickle.loads(pickle.dumps(each)), copy.deepcopy])  # noqa: S301 our own
def test_a_copy_of_an_unread_response_has_no_body(send: Sender, capture: Any, copied: Any) -> None:
    send.options["transport"] = streaming(send)

    def do(client: Any) -> Any:
        if not send.asynchronous:
            with client.stream("POST", URL, data=FORM) as response:
                other = copied(response)
                with pytest.raises(send.library.StreamClosed):
                    other.read()
                other.close()
                return response.read()

        async def main() -> Any:
            async with client.stream("POST", URL, data=FORM) as response:
                other = copied(response)
                with pytest.raises(send.library.StreamClosed):
                    await other.aread()
                await other.aclose()
                return await response.aread()

        return main()

    assert send.drive(do) == BODY
    assert {**refreshed("success", "normal")}.items() <= capture.moved().items()
    assert len(capture.spans("oauth.refresh")) == 1


def test_a_streamed_request_body_is_not_touched(send: Sender, capture: Any) -> None:
    library = send.library
    seen, parts = [], [b"grant_type=refresh_token", b"&refresh_token=r"]

    class Transport(library.BaseTransport, library.AsyncBaseTransport):
        def handle_request(self, request: Any) -> Any:
            assert "_content" not in vars(request)
            seen.extend(request.stream)
            return library.Response(200, json={})

        async def handle_async_request(self, request: Any) -> Any:
            assert "_content" not in vars(request)
            seen.extend([part async for part in request.stream])
            return library.Response(200, json={})

    async def generated() -> Any:
        for part in parts:
            yield part

    send.options["transport"] = Transport()
    send("POST", URL, content=generated() if send.asynchronous else iter(parts))
    assert seen == parts
    assert capture.moved() == {}


def test_a_compressed_body_is_understood(send: Sender, capture: Any) -> None:
    import gzip  # noqa: PLC0415 needed here only

    library = send.library

    class Zipped(library.SyncByteStream, library.AsyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield gzip.compress(BODY)

        async def __aiter__(self) -> Any:
            for part in self:
                yield part

    headers = {"content-encoding": "gzip"}
    send.options["transport"] = send.transport(lambda _: library.Response(200, headers=headers, stream=Zipped()))
    assert send("POST", URL, data=FORM).content == BODY
    assert {**refreshed("success", "normal")}.items() <= capture.moved().items()
    assert capture.gauges()["storage_refresh_tokens_count"] == 1
