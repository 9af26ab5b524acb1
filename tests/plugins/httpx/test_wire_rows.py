"""A program that speaks OAuth with httpx or httpx2 itself: what each request moves, all of it."""

from __future__ import annotations

import asyncio
import copy
import gc
import json
import weakref
from typing import TYPE_CHECKING, Any

import pytest
from client_rows import flow, provider_call, refreshed, validated
from opentelemetry import trace
from wire_clients import KINDS, Sender, authorization, code_in, exchange

from otel_oauth.operation import current_operation
from otel_oauth_httpx import wire

if TYPE_CHECKING:
    from collections.abc import Callable

HOST = "127.0.0.1"
SECRET = ("web", "web-secret")
INITIATED = {f"oauth_flows_total{{provider={HOST},status=initiated}}": 1}
CREATED = {"oauth_pkce_states_created_total": 1}
PKCE_OK = validated("success", "valid")
TOKEN_ANSWER = {"access_token": "at-1", "token_type": "Bearer", "expires_in": 3600, "refresh_token": "rt-1"}
AS = "https://as.example"
AS_HOST = "as.example"


def call(operation: str, status: str, error: str = "", provider: str = HOST) -> dict[str, float]:
    return provider_call(operation, status, error, provider)


@pytest.fixture(params=KINDS)
def send(request: pytest.FixtureRequest) -> Sender:
    return Sender(*request.param)


def login(send: Sender, provider: Any, capture: Any) -> dict[str, Any]:
    back = send("GET", f"{provider.url}/authorize", params=authorization())
    answer = send("POST", f"{provider.url}/token", data=exchange(code_in(back)), auth=SECRET)
    capture.mark()
    return answer.json()


# A login --------------------------------------------------------------------------------------------------------------


def test_a_login_moves_what_it_moves_with_any_library(send: Sender, provider: Any, capture: Any) -> None:
    back = send("GET", f"{provider.url}/authorize", params=authorization())
    assert capture.moved() == {**INITIATED, **CREATED}
    assert capture.gauges()["oauth_active_pkce_states"] == 1
    answer = send("POST", f"{provider.url}/token", data=exchange(code_in(back)), auth=SECRET)
    assert answer.json()["access_token"]
    assert capture.moved() == {**call("token", "200"), **flow("success", HOST), **PKCE_OK}
    gauges = capture.gauges()
    assert (gauges["oauth_active_pkce_states"], gauges["oauth_active_tokens"], gauges["storage_flows_count"]) == (
        0,
        1,
        0,
    )


def test_the_spans_of_a_login_are_linked_and_tell_nothing_secret(send: Sender, provider: Any, capture: Any) -> None:
    login(send, provider, capture)
    authorize, exchanged = capture.spans()
    assert (authorize["name"], exchanged["name"]) == (f"oauth.authorize {HOST}", f"oauth.code_exchange {HOST}")
    assert [link["span_id"] for link in exchanged["links"]] == [authorize["span_id"]]
    assert (authorize["kind"], exchanged["kind"]) == ("internal", "client")
    attributes = exchanged["attributes"]
    times = [attributes.pop(f"oauth.flow.{name}") for name in ("duration", "user_time", "machine_time")]
    assert times[0] == pytest.approx(times[1] + times[2], abs=0.01)
    assert attributes == {
        "oauth.provider": HOST,
        "server.address": HOST,
        "oauth.client_id": "web",
        "oauth.grant_type": "authorization_code",
        "oauth.operation": "token",
        "oauth.outcome": "success",
        "http.response.status_code": 200,
    }


def test_an_authorization_request_that_is_sent_again_is_one_login(send: Sender, provider: Any, capture: Any) -> None:
    for _ in range(3):
        send("GET", f"{provider.url}/authorize", params=authorization())
    assert capture.moved() == {**INITIATED, **CREATED}


def test_a_refused_code_fails_the_flow(send: Sender, provider: Any, capture: Any) -> None:
    send("GET", f"{provider.url}/authorize", params=authorization())
    capture.mark()
    answer = send("POST", f"{provider.url}/token", data=exchange("forged"), auth=SECRET)
    assert answer.status_code == 400
    assert capture.moved() == {**call("token", "400", "client_error"), **flow("failure", HOST), **PKCE_OK}
    assert capture.spans("oauth.code_exchange")[0]["attributes"]["oauth.error"] == "invalid_grant"


def test_a_login_whose_initiation_nobody_saw_has_no_duration(send: Sender, capture: Any) -> None:
    send.options["transport"] = send.answering(200, json=TOKEN_ANSWER)
    send("POST", f"{AS}/token", data=exchange("code", client_id="web"))
    ended = {f"oauth_flows_total{{provider={AS_HOST},status=success}}": 1}
    assert capture.moved() == {**call("token", "200", provider=AS_HOST), **ended}


def test_a_pushed_authorization_request_begins_a_login(send: Sender, capture: Any) -> None:
    send.options["transport"] = send.answering(201, json={"request_uri": "urn:x", "expires_in": 60})
    send("POST", f"{AS}/par", data=authorization())
    started = {f"oauth_flows_total{{provider={AS_HOST},status=initiated}}": 1}
    assert capture.moved() == {**call("api", "201", provider=AS_HOST), **started, **CREATED}
    send.options["transport"] = send.answering(200, json=TOKEN_ANSWER)
    send("POST", f"{AS}/token", data=exchange("code", client_id="web"))
    assert capture.moved() == {**call("token", "200", provider=AS_HOST), **flow("success", AS_HOST), **PKCE_OK}


def test_plain_challenges_find_their_login_as_well(send: Sender, capture: Any) -> None:
    send.options["transport"] = send.answering(302, headers={"location": "https://client.example/callback?code=c"})
    asked = {**authorization(), "code_challenge": "v" * 43, "code_challenge_method": "plain"}
    send("GET", f"{AS}/authorize", params=asked)
    send.options["transport"] = send.answering(200, json=TOKEN_ANSWER)
    capture.mark()
    send("POST", f"{AS}/token", data=exchange("c", client_id="web"))
    assert capture.moved() == {**call("token", "200", provider=AS_HOST), **flow("success", AS_HOST), **PKCE_OK}


# Refreshes ------------------------------------------------------------------------------------------------------------


def refresh(send: Sender, url: str, token: str) -> Any:
    return send("POST", url, data={"grant_type": "refresh_token", "refresh_token": token}, auth=SECRET)


def test_a_refresh_and_the_same_token_again(send: Sender, provider: Any, capture: Any) -> None:
    token = login(send, provider, capture)
    assert refresh(send, f"{provider.url}/token", token["refresh_token"]).status_code == 200
    assert capture.moved() == {**call("refresh", "200"), **refreshed("success", "normal")}
    assert capture.gauges()["oauth_active_tokens"] == 1, "the new access token takes the place of the old one"
    assert refresh(send, f"{provider.url}/token", token["refresh_token"]).status_code == 400
    assert capture.moved() == {**call("refresh", "400", "client_error"), **refreshed("failure", "reuse_detected")}


def test_a_refresh_token_that_the_provider_does_not_know(send: Sender, provider: Any, capture: Any) -> None:
    refresh(send, f"{provider.url}/token", "never-issued")
    assert capture.moved() == {**call("refresh", "400", "client_error"), **refreshed("failure", "no_record")}


@pytest.mark.parametrize(
    ("status", "body", "error", "reason"),
    [
        (500, {}, "server_error", "exception"),
        (401, {"error": "invalid_client"}, "client_error", "normal"),
        (200, {"error": "bad_refresh_token"}, "client_error", "no_record"),
        (200, {"no": "token"}, "invalid_response", "exception"),
    ],
)
def test_a_refresh_that_fails(  # noqa: PLR0913, PLR0917 the fixtures, and the columns of a row
    send: Sender, capture: Any, status: int, body: Any, error: str, reason: str
) -> None:
    send.options["transport"] = send.answering(status, json=body)
    refresh(send, f"{AS}/token", "rt")
    failed = call("refresh", str(status), error, AS_HOST)
    assert capture.moved() == {**failed, **refreshed("failure", reason)}


# What goes wrong on the way -------------------------------------------------------------------------------------------


def raising(make: Callable[[Any], BaseException], send: Sender) -> Any:
    def handler(_request: Any) -> Any:
        raise make(send.library)

    return send.transport(handler)


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda library: library.ConnectTimeout("secret-4711"), "timeout"),
        (lambda library: library.PoolTimeout("secret-4711"), "timeout"),
        (lambda library: library.ConnectError("secret-4711"), "network"),
        (lambda library: library.RemoteProtocolError("secret-4711"), "network"),
    ],
)
def test_no_response(send: Sender, capture: Any, make: Any, error: str) -> None:
    send.options["transport"] = raising(make, send)
    with pytest.raises(send.library.TransportError) as caught:
        refresh(send, f"{AS}/token", "rt")
    assert type(caught.value) is type(make(send.library))
    assert capture.moved() == {**call("refresh", "0", error, AS_HOST), **refreshed("failure", "exception")}
    assert "secret-4711" not in str(capture.spans())


def test_a_connection_that_cannot_be_made(send: Sender, capture: Any) -> None:
    with pytest.raises(send.library.ConnectError):
        refresh(send, "http://127.0.0.1:1/token", "rt")
    assert capture.moved() == {**call("refresh", "0", "network"), **refreshed("failure", "exception")}


def test_a_certificate_that_is_not_trusted_is_a_network_error(send: Sender, provider: Any, capture: Any) -> None:
    with pytest.raises(send.library.ConnectError):
        refresh(send, provider.url.replace("http:", "https:") + "/token", "rt")
    assert capture.moved() == {**call("refresh", "0", "network"), **refreshed("failure", "exception")}


def test_a_body_that_does_not_come(send: Sender, provider: Any, capture: Any) -> None:
    provider.answer("/token", 200, "{}", 0.3)
    send.options["timeout"] = send.library.Timeout(20, read=0.05)
    with pytest.raises(send.library.ReadTimeout):
        refresh(send, f"{provider.url}/token", "rt")
    assert capture.moved() == {**call("refresh", "0", "timeout"), **refreshed("failure", "exception")}


def test_a_body_that_breaks_off(send: Sender, capture: Any) -> None:
    library = send.library
    reset = library.ReadError("reset")

    class Broken(library.SyncByteStream, library.AsyncByteStream):
        def __iter__(self) -> Any:
            yield b'{"access'
            raise reset

        async def __aiter__(self) -> Any:
            for part in self:
                yield part

    send.options["transport"] = send.transport(lambda _request: library.Response(200, stream=Broken()))
    with pytest.raises(library.ReadError):
        refresh(send, f"{AS}/token", "rt")
    assert capture.moved() == {**call("refresh", "0", "network", AS_HOST), **refreshed("failure", "exception")}


@pytest.mark.parametrize("name", ["httpx", "httpx2"])
@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_a_cancelled_exchange_is_no_failure_of_the_flow(name: str, loop: str, capture: Any) -> None:
    import anyio  # noqa: PLC0415 needed here only

    library = Sender(name, asynchronous=True).library

    async def never(_request: Any) -> Any:
        await anyio.sleep(60)

    async def main() -> None:
        async with library.AsyncClient(transport=library.MockTransport(never)) as client:
            with anyio.move_on_after(0.02):
                await client.post(f"{AS}/token", data=exchange("code", client_id="web"))

    anyio.run(main, backend=loop)
    assert capture.moved() == call("token", "0", provider=AS_HOST)
    assert capture.spans("oauth.code_exchange")[0]["attributes"]["oauth.outcome"] == "cancelled"


@pytest.mark.parametrize("grant", ["exchange", "refresh"])
def test_a_nonce_that_is_asked_for_is_no_end_of_the_attempt(grant: str, send: Sender, capture: Any) -> None:
    """RFC 9449 section 8: the server gives its nonce in a refusal, and the client asks again with it."""
    answers = [(400, {"error": "use_dpop_nonce"}), (200, {**TOKEN_ANSWER, "token_type": "DPoP"})]

    def handler(_request: Any) -> Any:
        status, body = answers.pop(0)
        return send.library.Response(status, json=body, headers={"DPoP-Nonce": "n"})

    send.options["transport"] = send.transport(handler)
    form = {"grant_type": "refresh_token", "refresh_token": "rt"} if grant == "refresh" else exchange("code")
    for _ in range(2):
        send("POST", f"{AS}/token", data=form)
    moved = capture.moved()
    ended = {name: count for name, count in moved.items() if "flows_total" in name or "token_refresh_total" in name}
    success = refreshed("success", "normal") if grant == "refresh" else flow("success", AS_HOST)
    assert ended == {name: count for name, count in success.items() if "seconds" not in name}
    assert moved[f"provider_api_calls_total{{provider={AS_HOST},operation={OPERATIONS[grant]},status=400}}"] == 1


OPERATIONS = {"exchange": "token", "refresh": "refresh"}


def test_a_cancelled_refresh_or_registration_is_neither_success_nor_failure(capture: Any) -> None:
    import httpx  # noqa: PLC0415 needed here only

    async def never(_request: Any) -> Any:
        await asyncio.sleep(60)

    async def main() -> None:
        async with httpx.AsyncClient(transport=httpx.MockTransport(never)) as client:
            for url, sent in (
                ("token", {"data": {"grant_type": "refresh_token", "refresh_token": "rt"}}),
                ("register", {"json": {"redirect_uris": ["https://shop.example/cb"], "client_name": "Shop"}}),
            ):
                with pytest.raises(asyncio.TimeoutError):
                    await asyncio.wait_for(client.post(f"{AS}/{url}", **sent), 0.05)

    asyncio.run(main())
    moved = capture.moved()
    assert not any("token_refresh" in name or "client_registrations" in name for name in moved)
    assert moved[f"provider_api_calls_total{{provider={AS_HOST},operation=refresh,status=0}}"] == 1


def test_concurrent_requests_are_each_their_own(capture: Any) -> None:
    import httpx  # noqa: PLC0415 needed here only

    async def answer(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0.01)
        return httpx.Response(200, json={**TOKEN_ANSWER, "refresh_token": request.content.decode()[-3:]})

    async def main() -> None:
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
            form = {"grant_type": "client_credentials", "client_id": "web", "client_secret": "x"}
            await asyncio.gather(*(client.post(f"{AS}/token", data=form) for _ in range(10)))

    asyncio.run(main())
    assert capture.moved() == dict.fromkeys(call("token", "200", provider=AS_HOST), 10)
    assert {span["parent_id"] for span in capture.spans()} == {""}


# Redirects ------------------------------------------------------------------------------------------------------------


def hops(send: Sender, status: int) -> Any:
    def handler(request: Any) -> Any:
        if request.url.path == "/token":
            return send.library.Response(status, headers={"location": f"{AS}/v2/token"})
        return send.library.Response(200, json=TOKEN_ANSWER)

    return send.transport(handler)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_hop_is_no_outcome(send: Sender, capture: Any, status: int) -> None:
    send.options |= {"transport": hops(send, status), "follow_redirects": True}
    assert refresh(send, f"{AS}/token", "rt").status_code == 200
    assert capture.moved() == {**call("refresh", "200", provider=AS_HOST), **refreshed("success", "normal")}
    assert len(capture.spans("oauth.refresh")) == 1


def test_a_redirect_that_nobody_follows_is_the_answer(send: Sender, capture: Any) -> None:
    send.options["transport"] = hops(send, 307)
    assert refresh(send, f"{AS}/token", "rt").status_code == 307
    moved = capture.moved()
    assert moved.pop(f"provider_api_calls_total{{provider={AS_HOST},operation=refresh,status=307}}") == 1
    assert {**refreshed("failure", "exception")}.items() <= moved.items()


def test_a_redirect_that_the_application_follows_itself(send: Sender, capture: Any) -> None:
    send.options["transport"] = hops(send, 307)

    def do(client: Any) -> Any:
        form = {"grant_type": "refresh_token", "refresh_token": "rt"}
        if not send.asynchronous:
            return client.send(client.post(f"{AS}/token", data=form).next_request)

        async def both() -> Any:
            return await client.send((await client.post(f"{AS}/token", data=form)).next_request)

        return both()

    assert send.drive(do).status_code == 200
    assert capture.moved() == {**call("refresh", "200", provider=AS_HOST), **refreshed("success", "normal")}


@pytest.mark.parametrize("collected", [False, True])
def test_a_request_that_is_sent_again_after_a_redirect_is_a_call_of_its_own(
    send: Sender, capture: Any, *, collected: bool
) -> None:
    answers = iter([302, 200, 200])
    headers = {"location": f"{AS}/v2/token"}
    send.options["transport"] = send.transport(
        lambda _: send.library.Response(next(answers), headers=headers, json=TOKEN_ANSWER)
    )

    def do(client: Any) -> Any:
        request = client.build_request("POST", f"{AS}/token", data={"grant_type": "client_credentials"})

        async def times() -> None:
            for _ in range(3):
                await client.send(request)
                if collected:
                    capture.telemetry.postponed.flush()
            assert "otel_oauth_hop" not in request.extensions

        if send.asynchronous:
            return times()
        for _ in range(3):
            client.send(request)
            if collected:
                capture.telemetry.postponed.flush()
        assert "otel_oauth_hop" not in request.extensions
        return None

    send.drive(do)
    moved = capture.moved()
    assert moved[f"provider_api_calls_total{{provider={AS_HOST},operation=token,status=200}}"] == 2
    assert moved[f"provider_api_calls_total{{provider={AS_HOST},operation=token,status=302}}"] == 1


def test_an_answer_with_a_location_that_is_no_redirect_is_the_answer(send: Sender, capture: Any) -> None:
    send.options["transport"] = send.answering(304, headers={"location": f"{AS}/v2/token"})
    for _ in range(2):
        send("POST", f"{AS}/token", data={"grant_type": "client_credentials"})
    spans = capture.spans("oauth.token")
    assert [span["attributes"]["http.response.status_code"] for span in spans] == [304, 304], "not held back for a hop"


@pytest.mark.parametrize("follow", [False, True])
def test_what_a_redirected_request_carries_can_be_kept_and_serialised(
    send: Sender, capture: Any, *, follow: bool
) -> None:
    seen = []

    def see(request: Any) -> None:
        seen.append(json.dumps(copy.deepcopy(request.extensions)))

    async def also(request: Any) -> None:
        see(request)

    hooks = {"request": [also if send.asynchronous else see]}
    send.options |= {"transport": hops(send, 307), "follow_redirects": follow, "event_hooks": hooks}
    response = refresh(send, f"{AS}/token", "rt")
    assert len(seen) == 1 + follow
    json.dumps([copy.deepcopy(response.request.extensions)])
    assert capture.moved()


def test_redirects_that_nobody_follows_are_not_kept(send: Sender, capture: Any) -> None:
    send.options["transport"] = hops(send, 307)

    def do(client: Any) -> Any:
        form = {"grant_type": "refresh_token", "refresh_token": "rt"}
        if not send.asynchronous:
            return [weakref.ref(client.post(f"{AS}/token", data=form).request) for _ in range(300)]

        async def times() -> Any:
            return [weakref.ref((await client.post(f"{AS}/token", data=form)).request) for _ in range(300)]

        return times()

    requests = send.drive(do)
    gc.collect()
    assert [each for each in requests if each() is not None] == []
    status = f"provider_api_calls_total{{provider={AS_HOST},operation=refresh,status=307}}"
    assert capture.moved()[status] == len(requests)


def test_a_transport_that_hands_the_request_to_another_client_is_one_call(send: Sender, capture: Any) -> None:
    library = send.library

    class Handing(library.BaseTransport, library.AsyncBaseTransport):
        def __init__(self) -> None:
            answering = send.answering(200, json=TOKEN_ANSWER)
            self.inner = (library.AsyncClient if send.asynchronous else library.Client)(transport=answering)

        def handle_request(self, request: Any) -> Any:
            return self.inner.send(request)

        async def handle_async_request(self, request: Any) -> Any:
            return await self.inner.send(request)

    send.options["transport"] = Handing()
    assert refresh(send, f"{AS}/token", "rt").status_code == 200
    assert capture.moved() == {**call("refresh", "200", provider=AS_HOST), **refreshed("success", "normal")}
    assert len(capture.spans()) == 1


# Our own errors -------------------------------------------------------------------------------------------------------


def test_a_verifier_that_is_no_text_is_one_exchange(send: Sender, capture: Any) -> None:
    body = json.dumps({"grant_type": "authorization_code", "code": "c", "client_id": "web", "code_verifier": "\ud800"})
    send.options["transport"] = send.answering(200, json=TOKEN_ANSWER)
    send("POST", f"{AS}/token", content=body.encode(), headers={"content-type": "application/json"})
    assert len(capture.spans("oauth.code_exchange")) == 1
    assert not trace.get_current_span().get_span_context().is_valid


def test_an_error_of_ours_at_the_beginning_leaves_no_span_around_the_application(
    send: Sender, capture: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_arguments: Any) -> None:
        raise ArithmeticError

    monkeypatch.setattr(wire, "present", failing)
    capture.telemetry.guard.reraise = False
    send.options["transport"] = send.answering(200, json=TOKEN_ANSWER)

    def do(client: Any) -> Any:
        form = {"grant_type": "refresh_token", "refresh_token": "rt"}
        if not send.asynchronous:
            client.post(f"{AS}/token", data=form)
            return trace.get_current_span(), current_operation()

        async def main() -> Any:
            await client.post(f"{AS}/token", data=form)
            return trace.get_current_span(), current_operation()

        return main()

    span, operation = send.drive(do)
    assert (span.get_span_context().is_valid, operation) == (False, None)
    assert capture.moved(own=True)["otel_oauth_errors_total{component=hook}"] == 1


# Other operations -----------------------------------------------------------------------------------------------------


def test_revocation_and_introspection(send: Sender, provider: Any, capture: Any) -> None:
    token = login(send, provider, capture)
    send("POST", f"{provider.url}/introspect", data={"token": token["access_token"]}, auth=SECRET)
    assert capture.moved() == call("introspect", "200")
    assert capture.spans("oauth.introspect")[0]["attributes"]["oauth.token.active"] is True
    send("POST", f"{provider.url}/revoke", data={"token": token["refresh_token"]}, auth=SECRET)
    assert capture.moved() == {**call("revoke", "200"), "oauth_token_revocations_total{reason=manual}": 1}
    gauges = capture.gauges()
    assert (gauges["oauth_active_tokens"], gauges["storage_refresh_tokens_count"]) == (0, 0)


def test_a_revocation_turns_out_to_be_an_introspection(send: Sender, capture: Any) -> None:
    send.options["transport"] = send.answering(200, json={"active": False})
    send("POST", f"{AS}/token-check", data={"token": "t", "token_type_hint": "access_token"}, auth=SECRET)
    assert capture.moved() == call("introspect", "200", provider=AS_HOST)
    (span,) = capture.spans()
    assert (span["name"], span["attributes"]["oauth.token.active"]) == (f"oauth.introspect {AS_HOST}", False)


def test_client_credentials_and_password_are_no_flows(send: Sender, provider: Any, capture: Any) -> None:
    for form in (
        {"grant_type": "client_credentials"},
        {"grant_type": "password", "username": "u", "password": "p"},
    ):
        assert send("POST", f"{provider.url}/token", data=form, auth=SECRET).status_code == 200
        assert capture.moved() == call("token", "200")


@pytest.mark.parametrize("error", ["authorization_pending", "slow_down"])
def test_the_polling_of_a_device_is_no_error(send: Sender, capture: Any, error: str) -> None:
    send.options["transport"] = send.answering(400, json={"error": error})
    form = {"grant_type": "urn:ietf:params:oauth:grant-type:device_code", "device_code": "d", "client_id": "tv"}
    send("POST", f"{AS}/token", data=form)
    assert capture.moved() == call("token", "400", provider=AS_HOST)
    assert capture.spans()[0]["attributes"]["oauth.outcome"] == "pending"


def test_a_registration(send: Sender, capture: Any) -> None:
    send.options["transport"] = send.answering(201, json={"client_id": "c-4711", "client_secret": "s"})
    send("POST", f"{AS}/register", json={"redirect_uris": ["https://client.example/callback"], "client_name": "x"})
    rows = {"oauth_client_registrations_total{status=success}": 1}
    rows["oauth_client_registration_duration_seconds{status=success}"] = 1
    assert capture.moved() == {**call("registration", "201", provider=AS_HOST), **rows}
    send.options["transport"] = send.answering(400, json={"error": "invalid_redirect_uri"})
    send("POST", f"{AS}/register", json={"redirect_uris": ["https://client.example/callback"], "client_name": "x"})
    rows = {name.replace("success", "failure"): value for name, value in rows.items()}
    assert capture.moved() == {**call("registration", "400", "client_error", AS_HOST), **rows}


def test_an_api_that_refuses_the_token(send: Sender, capture: Any) -> None:
    challenge = {"www-authenticate": 'Bearer error="invalid_token", error_description="secret-4711 expired"'}
    send.options["transport"] = send.answering(401, headers=challenge)
    send("GET", "https://api.example/things?secret=secret-4711")
    assert capture.moved() == call("api", "401", "client_error", "api.example")
    (span,) = capture.spans()
    assert span["attributes"]["oauth.error"] == "invalid_token"
    assert span["start"] < span["end"]
    assert "secret-4711" not in str(span)
    send.options["transport"] = send.answering(401, headers={"www-authenticate": 'Basic realm="x"'})
    send("GET", "https://api.example/things")
    assert capture.moved() == {}


def test_the_provider_of_a_known_host_has_its_name(send: Sender, capture: Any) -> None:
    send.options["transport"] = send.answering(200, json={"error": "bad_verification_code"})
    form = {"client_id": "gh", "client_secret": "s", "code": "c"}
    send("POST", "https://github.com/login/oauth/access_token", data=form)
    ended = {"oauth_flows_total{provider=github,status=failure}": 1}
    assert capture.moved() == {**call("token", "200", "client_error", "github"), **ended}


def test_what_is_not_oauth_moves_nothing(send: Sender, capture: Any) -> None:
    send.options["transport"] = send.answering(200, json={"access_token": "x"})
    send("GET", f"{AS}/token?code=1")
    send("POST", f"{AS}/search", json={"q": "grant_type"})
    send("POST", f"{AS}/form", data={"token": "csrf", "q": "x"})
    assert capture.moved(own=True) == {}
    assert capture.spans() == []
