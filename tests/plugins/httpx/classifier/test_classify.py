"""What the classifier looks at, and what it leaves alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import httpx2
import pytest
from oauth_corpus import classifier

from otel_oauth import kinds
from otel_oauth_httpx import classify as module
from otel_oauth_httpx.challenges import oauth_challenge
from otel_oauth_httpx.classify import refused
from otel_oauth_httpx.endpoints import Endpoints
from otel_oauth_httpx.parameters import Wire, form

if TYPE_CHECKING:
    from collections.abc import Iterator

GRANT = {"grant_type": "refresh_token", "refresh_token": "r", "client_id": "c"}
LIBRARIES = pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])


@LIBRARIES
def test_a_stream_is_not_touched(library: Any) -> None:
    began = []

    def body() -> Iterator[bytes]:
        began.append(True)
        yield b"grant_type=refresh_token&refresh_token=r&client_id=c"

    request = library.Request("POST", "https://as.example.org/token", content=body())
    assert classifier(Endpoints())(request) is None
    assert began == []
    assert b"".join(request.stream) == b"grant_type=refresh_token&refresh_token=r&client_id=c"


@LIBRARIES
def test_a_streamed_request_is_recognised_by_its_url(library: Any) -> None:
    stream = iter([b"token=t"])
    found = classifier(Endpoints())(library.Request("POST", "https://oauth2.googleapis.com/revoke", content=stream))
    assert found is not None
    assert found.kind is kinds.REVOKE
    assert next(stream) == b"token=t"


@pytest.mark.parametrize("path", ["/oauth/revoke", "/OAuth/Revoke", "/Oauth/Revoke/", "/OAUTH/REVOKE"])
def test_the_case_of_a_path_does_not_matter(path: str) -> None:
    form = {"token": "t", "client_id": "c", "client_secret": "s"}
    found = classifier(Endpoints())(httpx2.Request("POST", f"https://as.example.org{path}", data=form))
    assert found is not None
    assert found.kind is kinds.REVOKE


@LIBRARIES
def test_a_multipart_form_is_a_stream(library: Any) -> None:
    request = library.Request("POST", "https://as.example.org/token", files={"a": b"1"}, data=GRANT)
    assert classifier(Endpoints())(request) is None


@LIBRARIES
def test_a_stream_that_the_application_read_is_buffered(library: Any) -> None:
    request = library.Request("POST", "https://as.example.org/token", content=iter([b"grant_type=client_credentials"]))
    request.read()
    found = classifier(Endpoints())(request)
    assert found is not None
    assert found.grant_type == "client_credentials"


class Url:
    """A URL as a later httpx might make it: its public face alone."""

    def __init__(self, url: httpx.URL) -> None:
        for name in ("scheme", "host", "raw_host", "port", "path", "raw_path", "query"):
            setattr(self, name, getattr(url, name))


@pytest.mark.parametrize(
    ("method", "url", "kind"),
    [
        ("GET", "https://as.example.org:8443/.well-known/openid-configuration", kinds.DISCOVER),
        ("GET", "https://www.googleapis.com/oauth2/v3/userinfo?alt=json", kinds.USERINFO),
        ("POST", "https://[::1]:8080/token?grant_type=client_credentials", kinds.TOKEN),
        ("GET", "https://www.example.org/", None),
    ],
)
def test_without_the_private_tuple_the_public_face_of_a_url_does(method: str, url: str, kind: Any) -> None:
    request = httpx.Request(method, url)
    usual = classifier(Endpoints())(request)
    request.url = Url(request.url)
    found = classifier(Endpoints())(request)
    assert found == usual
    assert (found and found.kind) is kind


class Headers:
    """Headers as a later httpx might make them: their public face alone, and a list of another form."""

    def __init__(self, headers: httpx.Headers) -> None:
        self.raw = headers.raw
        self._list = headers.raw


@pytest.mark.parametrize(("said", "kind"), [("application/x-www-form-urlencoded", kinds.REFRESH), ("text/plain", None)])
def test_without_the_private_list_the_public_face_of_headers_does(said: str, kind: Any) -> None:
    request: Any = httpx.Request("POST", "https://as.example.org/token", data=GRANT, headers={"Content-Type": said})
    usual = classifier(Endpoints())(request)
    request.headers = Headers(request.headers)
    found = classifier(Endpoints())(request)
    assert found == usual
    assert (found and found.kind) is kind


def test_a_body_of_another_type_is_none() -> None:
    for content in ("grant_type=refresh_token", 7, None, bytearray(b"grant_type=password"), ["x"]):
        request = httpx.Request("POST", "https://as.example.org/token", content=b"x")
        request._content = content
        assert classifier(Endpoints())(request) is None


@LIBRARIES
@pytest.mark.parametrize(
    "request_",
    [
        ("GET", "https://api.example.org/v1/customers/12345/orders?limit=10", {}),
        ("GET", "https://api.github.com/repos/a/b/issues", {}),
        ("POST", "https://api.example.org/v1/orders", {"json": {"grant_type": "password", "token": "t"}}),
        ("POST", "https://graph.facebook.com/v24.0/me/feed", {"data": {"message": "m"}}),
        ("PUT", "https://bucket.example.org/a", {"content": b"\x00" * 100_000}),
        ("PUT", "https://search.example.org/index/_doc/1", {"json": {"client_id": "c"}}),
    ],
    ids=lambda request: " ".join(request[:2]),
)
def test_other_requests_are_not_looked_at_closely(library: Any, request_: Any, monkeypatch: Any) -> None:
    closely: list[Any] = []
    monkeypatch.setattr(module, "examine", lambda *arguments: closely.append(arguments))
    method, url, body = request_
    assert classifier(Endpoints())(library.Request(method, url, **body)) is None
    assert closely == []


@pytest.mark.parametrize("size", [60_000, 70_000])
def test_a_request_larger_than_any_token_request_is_none(size: int) -> None:
    url, padding = "https://as.example.org/token", {"scope": "x" * size}
    requests = [
        httpx.Request("POST", url, data={**GRANT, **padding}),
        httpx.Request("POST", url, json={**GRANT, **padding}),
    ]
    assert {classifier(Endpoints())(request) is None for request in requests} == {size > 65536}


def test_the_first_of_two_values_counts() -> None:
    body = b"grant_type=refresh_token&refresh_token=first&refresh_token=second&client_id=a&client_id=b"
    found = classifier(Endpoints())(httpx.Request("POST", "https://as.example.org/token", content=body))
    assert found is not None
    assert (found.client_id, found.parameters["refresh_token"]) == ("a", "first")
    assert form("scope=first&%73cope=second&scope=+&%3D=&&=&state") == {"scope": "first"}


@pytest.mark.parametrize(
    ("url", "body"),
    [
        ("https://slack.com/api/chat.postMessage", {"data": {"token": "xoxb", "text": "hi"}}),
        ("https://app.example.org/settings", {"data": {"csrf_token": "t", "client_id": "c"}}),
        ("https://app.example.org/api/patients", {"json": {"grant_type": "password", "username": "u"}}),
    ],
)
def test_a_body_is_not_parsed_where_it_can_tell_nothing(url: str, body: Any, monkeypatch: Any) -> None:
    parsed: list[Any] = []
    monkeypatch.setattr(Wire, "parameters", lambda wire: parsed.append(wire) or {})
    assert classifier(Endpoints())(httpx.Request("POST", url, **body)) is None
    assert parsed == []


def test_the_origin_is_without_a_password() -> None:
    found = classifier(Endpoints())(httpx.Request("POST", "https://me:pass@[::1]:8443/token?a=b#c", data=GRANT))
    assert found is not None
    assert (found.origin, found.url) == ("https://[::1]:8443", "https://[::1]:8443/token")


@pytest.mark.parametrize("client_id", ["x" * 300, "line\nbreak", "\x00"])
def test_a_client_id_that_can_be_none_is_none(client_id: str) -> None:
    found = classifier(Endpoints())(
        httpx.Request("POST", "https://as.example.org/token", data={**GRANT, "client_id": client_id})
    )
    assert found is not None
    assert found.client_id == ""


@pytest.mark.parametrize(
    "credentials", ["Basic", "Basic !!!", "Basic /w==", "Basic " + "A" * 9000, "\udcff", "basic Og=="]
)
def test_broken_client_authentication_is_no_matter(credentials: str) -> None:
    headers = httpx.Headers({"authorization": credentials.encode("utf-8", "surrogateescape")})
    request = httpx.Request("POST", "https://as.example.org/token", data=GRANT, headers=headers)
    found = classifier(Endpoints())(request)
    assert found is not None
    assert found.client_id == "c"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("", None),
        ("Bearer", ("", "")),
        ('bearer realm="x"', ("", "")),
        ("Bearer, Basic realm=a", ("", "")),
        ("Negotiate, Bearer error=invalid_token", ("invalid_token", "")),
        ('Negotiate abc==, DPoP error="use_dpop_nonce"', ("use_dpop_nonce", "")),
        ('Basic realm="a \\" Bearer b", Digest nonce="Bearer"', None),
        (
            'Bearer error="invalid_token" , resource_metadata="https://a/b?c=1,2"',
            ("invalid_token", "https://a/b?c=1,2"),
        ),
        ('Bearer realm="x", DPoP error="y"', ("", "")),
        ('Bearer realm="never closed, error="x"', ("", "")),
        ('="x", Bearer error="y"', ("y", "")),
        ("Bearer " + "x" * 9000, None),
    ],
)
def test_challenges(header: Any, expected: Any) -> None:
    assert oauth_challenge(header) == expected


def test_several_headers_are_several_challenges() -> None:
    headers = httpx.Headers([("WWW-Authenticate", 'Basic realm="a"'), ("WWW-Authenticate", "Bearer")])
    request = httpx.Request("GET", "https://api.example.org/x?access_token=t")
    found = refused(Endpoints(), request, 401, headers)
    assert found is not None
    assert (found.kind, found.url, dict(found.parameters)) == (kinds.API, "https://api.example.org/x", {})
    assert refused(Endpoints(), request, 400, headers) is None
