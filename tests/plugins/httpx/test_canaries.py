"""Every secret that a request can hold is a canary of its own: none of them is in any signal, whatever happens."""

from __future__ import annotations

import asyncio
import base64
import gc
import json
import logging
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from httpx_oauth.oauth2 import OAuth2
from wire_clients import EVERY, Sender

from otel_oauth import kinds, redaction
from otel_oauth.flows import challenge_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

AS = "https://as.example"
KINDS = (
    "code", "state", "verifier", "client_secret", "refresh_token", "access_token", "new_refresh", "id_token",
    "assertion", "device_code", "cookie", "nonce", "description", "exception", "userinfo", "fragment", "basic",
    "password", "registration_token", "subject_token", "body", "header", "path",
)  # fmt: skip


def as_json(value: Any) -> str:
    """Return a value as the text that a canary would be found in."""
    return json.dumps(value, default=str)


class Canaries(dict[str, str]):
    """A secret of each kind."""

    def __init__(self) -> None:
        super().__init__({kind: f"canary{secrets.token_hex(12)}" for kind in KINDS})

    def found_in(self, text: str) -> list[str]:
        """Return the kinds that a text holds, whole or a piece of them, in whatever form."""
        forms = {
            kind: {
                value,
                value[8:24],
                quote(value),
                value.encode().hex(),
                base64.b64encode(value.encode()).decode()[:24],
            }
            for kind, value in self.items()
        }
        return [kind for kind, values in forms.items() if any(value in text for value in values)]


def requests_with(c: Canaries) -> list[tuple[str, str, dict[str, Any]]]:
    """Return requests of every kind that hold all the canaries."""
    host = f"https://user:{c['userinfo']}@as.example"
    basic = {"authorization": "Basic " + base64.b64encode(f"web:{c['basic']}".encode()).decode()}
    common = {"client_id": "web", "client_secret": c["client_secret"]}
    bearer = {"authorization": f"Bearer {c['access_token']}", "cookie": f"session={c['cookie']}", "x": c["header"]}
    asked = {"response_type": "code", "client_id": "web", "state": c["state"], "nonce": c["nonce"]}
    asked |= {"code_challenge": challenge_of(c["verifier"]), "code_challenge_method": "S256"}
    forms = [
        {"grant_type": "authorization_code", "code": c["code"], "code_verifier": c["verifier"], **common},
        {"grant_type": "refresh_token", "refresh_token": c["refresh_token"], **common},
        {"grant_type": "password", "username": "u", "password": c["password"], **common},
        {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": c["assertion"]},
        {"grant_type": "urn:ietf:params:oauth:grant-type:device_code", "device_code": c["device_code"], **common},
        {"grant_type": "urn:ietf:params:oauth:grant-type:token-exchange", "subject_token": c["subject_token"]},
        {"grant_type": c["body"], "scope": c["body"]},
    ]
    return [
        ("GET", f"{host}/authorize", {"params": asked}),
        *(("POST", f"{host}/token", {"data": form, "headers": basic}) for form in forms),
        ("POST", f"{AS}/token?{c['path']}=1#{c['fragment']}", {"data": forms[1]}),
        ("POST", f"{AS}/revoke", {"data": {"token": c["refresh_token"], "token_type_hint": "refresh_token"}}),
        ("POST", f"{AS}/introspect", {"data": {"token": c["access_token"]}, "headers": basic}),
        ("POST", f"{AS}/par", {"data": {**asked, **common}}),
        ("POST", f"{AS}/register", {"json": {"redirect_uris": [f"{AS}/{c['path']}"], "client_name": c["body"]}}),
        ("GET", f"{AS}/{c['path']}/.well-known/openid-configuration", {"headers": bearer}),
        ("GET", f"{AS}/api/{c['path']}", {"headers": bearer, "params": {"q": c["code"]}}),
    ]


def answers_with(c: Canaries, library: Any) -> list[Callable[[Any], Any]]:
    """Return what a server may answer, good, bad and hostile."""
    token = {"access_token": c["access_token"], "refresh_token": c["new_refresh"], "id_token": c["id_token"]}
    challenge = f'Bearer realm="{c["header"]}", error="{c["description"]}", resource_metadata="{AS}/{c["path"]}"'

    away = library.ConnectError(f"failed for {c['exception']}")

    def raises(_request: Any) -> Any:
        raise away

    def answer(status: int, value: Any, **headers: str) -> Callable[[Any], Any]:
        return lambda _request: library.Response(status, content=json.dumps(value), headers=headers)

    registered = {"client_id": "new", "registration_access_token": c["registration_token"], "client_secret": c["basic"]}
    location = f"https://client.example/callback?code={c['code']}&state={c['state']}"
    return [
        answer(200, {**token, "expires_in": 60, "scope": c["body"]}, **{"set-cookie": c["cookie"]}),
        answer(400, {"error": c["description"], "error_description": c["description"]}),
        answer(400, {"error": "invalid_grant", "error_description": c["description"]}),
        answer(401, {}, **{"www-authenticate": challenge}),
        answer(201, registered),
        answer(302, {}, location=location),
        answer(200, {"issuer": f"{AS}/{c['path']}", "token_endpoint": f"{AS}/{c['path']}"}),
        answer(200, c["body"]),
        raises,
    ]


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=pytest.mark.slow) for kind in list(EVERY)[1:]] + ["httpx-sync"]
)
def test_no_secret_is_in_any_signal(kind: str, capture: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "otel_oauth")
    canaries, send = Canaries(), Sender(*EVERY[kind])
    for handler in answers_with(canaries, send.library):
        send.options["transport"] = send.transport(handler)
        for method, url, kwargs in requests_with(canaries):
            with suppress(send.library.ConnectError):
                send(method, url, **kwargs)
    assert len(capture.spans()) > 80
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("otel_oauth")]
    points = [{name: value for name, value in point.items() if name != "exemplars"} for point in capture.points()]
    signals = as_json([capture.spans(), points, ours])
    assert canaries.found_in(signals) == []


@pytest.fixture
def redacting() -> Iterator[None]:
    redaction.uninstall()
    gc.freeze()  # installing looks for span processors among all objects: not among those of all other tests
    redaction.install()
    yield
    redaction.uninstall()
    gc.unfreeze()


@pytest.mark.usefixtures("capture", "redacting")
def test_what_went_over_the_wire_is_known_by_its_value() -> None:
    """An application may log it in any words: what stands beside a value says nothing then."""
    canaries, send = Canaries(), Sender("httpx", asynchronous=False)
    device = {name: canaries[name] for name in ("device_code", "registration_token")}
    answers = [*answers_with(canaries, send.library)[:5], lambda _request: send.library.Response(200, json=device)]
    for handler in answers:
        send.options["transport"] = send.transport(handler)
        for method, url, kwargs in requests_with(canaries):
            send(method, url, **kwargs)
    known = {kind for kind, value in canaries.items() if value not in redaction.redact(f"it was <{value}>")}
    assert known == {
        *("code", "state", "verifier", "nonce", "client_secret", "basic", "password", "assertion", "device_code"),
        *(
            "access_token",
            "refresh_token",
            "new_refresh",
            "id_token",
            "subject_token",
            "registration_token",
            "userinfo",
        ),
    }


@pytest.mark.usefixtures("redacting")
def test_what_a_library_sends_is_known_by_its_value_too(capture: Any) -> None:
    """Its own operation tells of the request, and nobody but the wire sees all that it carries."""
    canaries, send = Canaries(), Sender("httpx", asynchronous=False)
    send.options["transport"] = send.transport(lambda _request: send.library.Response(200, json={}))
    form = {"grant_type": "refresh_token", "refresh_token": canaries["refresh_token"], "client_id": "web"}
    with capture.telemetry.operation(kinds.REFRESH, {"provider": "idp"}):
        send("POST", "https://as.example/token", data=form)
    assert canaries["refresh_token"] not in redaction.redact(f"it was <{canaries['refresh_token']}>")
    assert len(capture.spans()) == 1


def test_the_search_finds_what_is_there() -> None:
    canaries = Canaries()
    assert canaries.found_in(as_json({"url": f"https://x/?code={canaries['code']}"})) == ["code"]
    assert canaries.found_in(canaries["state"].encode().hex()) == ["state"]


def test_no_secret_of_httpx_oauth(capture: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import httpx  # noqa: PLC0415 needed here only

    canaries = Canaries()
    handler = answers_with(canaries, httpx)[2]
    plain = httpx.AsyncClient.__init__
    monkeypatch.setattr(
        httpx.AsyncClient, "__init__", lambda self, **more: plain(self, **more, transport=httpx.MockTransport(handler))
    )
    client = OAuth2("web", canaries["client_secret"], f"{AS}/authorize", f"{AS}/token", f"{AS}/token", name="idp")

    async def main() -> None:
        await client.get_authorization_url(f"{AS}/back", state=canaries["state"])
        for call in (
            client.get_access_token(canaries["code"], f"{AS}/back"),
            client.refresh_token(canaries["refresh_token"]),
        ):
            with pytest.raises(Exception, match=r"."):
                await call

    asyncio.run(main())
    assert len(capture.spans()) == 3
    assert canaries.found_in(as_json([capture.spans(), capture.moved()])) == []
