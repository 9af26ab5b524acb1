"""The exceptions of the three HTTP clients, as they raise them themselves, and what ``error_type`` they are."""

from __future__ import annotations

import socket
import ssl
import threading
from typing import TYPE_CHECKING, Any

import httpx
import httpx2
import pytest
import requests

from otel_oauth.provider_errors import response_error, status_error, transport_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
CLIENTS: list[Callable[..., Any]] = [
    lambda url: requests.get(url, timeout=0.2),
    lambda url: httpx.get(url, timeout=0.2, verify=TLS, follow_redirects=True),
    lambda url: httpx2.get(url, timeout=0.2, verify=TLS, follow_redirects=True),
]
ANSWERS = {
    "nothing": b"",
    "half": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
    "garbage": b"\x00\xff\x00 no HTTP at all\r\n\r\n",
    "undecodable": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nABCD",
}


@pytest.fixture
def far_end() -> Iterator[Callable[[str], str]]:
    """A raw server that answers every connection with some bytes, or keeps silent."""
    listening = socket.create_server(("127.0.0.1", 0))
    answer = {"bytes": b"", "silent": False}
    accepted: list[socket.socket] = []

    def serve() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            accepted.append(connection)
            if answer["silent"]:
                continue
            connection.recv(65536)
            connection.sendall(answer["bytes"])
            connection.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()

    def say(what: str) -> str:
        answer["silent"] = what == "silence"
        answer["bytes"] = ANSWERS.get(what, b"")
        return f"http://127.0.0.1:{listening.getsockname()[1]}/"

    yield say
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()
    thread.join()
    for connection in accepted:
        connection.close()


def raised(get: Callable[[str], Any], url: str) -> BaseException:
    with pytest.raises(Exception) as caught:  # noqa: PT011 each client has its own, that is the point
        get(url)
    return caught.value


@pytest.mark.parametrize("get", CLIENTS)
@pytest.mark.parametrize(
    ("what", "error"),
    [
        ("silence", "timeout"),
        ("nothing", "network"),
        ("half", "network"),
        ("garbage", "network"),
        ("undecodable", "invalid_response"),
    ],
)
def test_what_the_far_end_does(far_end: Any, get: Callable[[str], Any], what: str, error: str) -> None:
    assert transport_error(raised(get, far_end(what))) == error


@pytest.mark.parametrize("get", CLIENTS)
def test_nobody_listens(get: Callable[[str], Any]) -> None:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    assert transport_error(raised(get, f"http://127.0.0.1:{port}/")) == "network"


@pytest.mark.parametrize("get", CLIENTS)
def test_tls_that_is_none_is_network(far_end: Any, get: Callable[[str], Any]) -> None:
    assert transport_error(raised(get, far_end("garbage").replace("http:", "https:"))) == "network"


@pytest.mark.parametrize("get", CLIENTS)
def test_a_url_that_nobody_can_call_is_no_error_of_the_provider(get: Callable[[str], Any]) -> None:
    assert transport_error(raised(get, "http://")) is None


def test_exceptions_of_the_application_are_nobody_elses() -> None:
    class TimeoutException(Exception):  # noqa: N818 the name is what could be mistaken
        """Called like httpx's, and of the application."""

    assert transport_error(TimeoutException()) is None
    assert transport_error(ValueError()) is None
    assert transport_error(None) is None


def test_statuses() -> None:
    assert [status_error(status) for status in (200, 302, 399)] == [None, None, None]
    assert [status_error(status) for status in (400, 429, 499)] == ["client_error"] * 3
    assert [status_error(status) for status in (500, 503)] == ["server_error"] * 2


def test_responses() -> None:
    assert response_error(200, None, unread=True) == "invalid_response"
    assert response_error(200, "invalid_grant", unread=True) == "client_error"
    assert response_error(400, "slow_down", unread=True) is None
    assert response_error(503, "slow_down", unread=True) == "server_error"
    assert response_error(200, None, unread=False) is None
