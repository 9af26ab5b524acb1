"""The source of a request, of each framework's own request object."""

from __future__ import annotations

import django.conf
import pytest
from django.test import RequestFactory
from starlette.requests import Request
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request as WerkzeugRequest

from otel_oauth.sources import Source, source_of


def test_a_wsgi_request() -> None:
    environ = EnvironBuilder(
        environ_base={"REMOTE_ADDR": "203.0.113.7"}, headers={"User-Agent": "curl/8"}
    ).get_environ()
    assert source_of(WerkzeugRequest(environ)) == Source("203.0.113.7", "curl/8")


def test_a_header_that_anybody_can_send_is_not_believed() -> None:
    headers = {"X-Forwarded-For": "198.51.100.1"}
    environ = EnvironBuilder(environ_base={"REMOTE_ADDR": "203.0.113.7"}, headers=headers).get_environ()
    assert source_of(WerkzeugRequest(environ)).address == "203.0.113.7"


def test_a_django_request() -> None:
    if not django.conf.settings.configured:
        django.conf.settings.configure()
    request = RequestFactory().get("/", REMOTE_ADDR="203.0.113.7", HTTP_USER_AGENT="curl/8")
    assert source_of(request) == Source("203.0.113.7", "curl/8")


def test_an_asgi_request() -> None:
    scope = {"type": "http", "client": ("2001:db8::7", 4711), "headers": [(b"user-agent", b"curl/8"), (b"a", b"b")]}
    assert source_of(Request(scope)) == Source("2001:db8::7", "curl/8")


@pytest.mark.parametrize("client", [None, ["/run/app.sock", None]])
def test_an_asgi_request_over_a_socket_of_the_host(client: object) -> None:
    found = source_of(Request({"type": "http", "client": client, "headers": []}))
    assert found.address == (client[0] if isinstance(client, list) else "")


@pytest.mark.parametrize("request_", [None, object(), "203.0.113.7", {"REMOTE_ADDR": "203.0.113.7"}])
def test_what_is_no_request_has_no_source(request_: object) -> None:
    assert source_of(request_) == Source()


def test_a_source_is_itself() -> None:
    assert source_of(Source("203.0.113.7")) == Source("203.0.113.7")
