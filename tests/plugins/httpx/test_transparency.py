"""With and without the plugin, over generated requests and answers: the application cannot tell the difference."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from wire_clients import EVERY, TLS, Sender

from otel_oauth.testing import Capture
from otel_oauth_httpx import HttpxOAuthInstrumentor

if TYPE_CHECKING:
    from collections.abc import Iterator

PATHS = (
    "/token",
    "/oauth/access_token",
    "/revoke",
    "/introspect",
    "/register",
    "/par",
    "/.well-known/openid-configuration",
    "/.well-known/oauth-protected-resource/mcp",
    "/authorize?response_type=code&client_id=web&state=s",
    "/api/things",
)
FORMS = (
    {"grant_type": "refresh_token", "refresh_token": "r"},
    {"grant_type": "authorization_code", "code": "c", "code_verifier": "v" * 43},
    {"client_id": "web", "client_secret": "s", "code": "c"},
    {"token": "t", "token_type_hint": "access_token"},
    {"q": "x"},
)
ANSWERS = (
    b'{"access_token": "a", "refresh_token": "b", "expires_in": 3600}',
    b'{"error": "invalid_grant"}',
    b'{"issuer": "https://as.example", "token_endpoint": "https://as.example/token"}',
    b"access_token=a&scope=b",
    b"[" * 300,
    b"",
    b"\xff\xfe{",
)
WENT_WRONG = "it went wrong"
ERRORS = ("", "ConnectError", "ReadTimeout", "RemoteProtocolError", "UnsupportedProtocol", "RuntimeError")


@dataclass(frozen=True)
class Plan:
    """A request, what answers it, and what the application does with it."""

    client: str
    path: str
    method: str
    body: Any
    headers: dict[str, str]
    streamed_request: bool
    status: int
    answer: bytes
    chunk: int
    buffered: bool
    challenge: bool
    error: str
    error_in_body: bool
    redirects: int
    follow: bool
    reading: str
    hook: str
    auth: bool


PLANS = st.builds(
    Plan,
    client=st.sampled_from(sorted(EVERY)),
    path=st.sampled_from(PATHS),
    method=st.sampled_from(("GET", "POST", "PUT", "DELETE")),
    body=st.one_of(st.none(), st.sampled_from(FORMS), st.binary(max_size=40)),
    headers=st.dictionaries(
        st.sampled_from(("x-a", "authorization", "content-type")), st.sampled_from(("a", "Basic !"))
    ),
    streamed_request=st.booleans(),
    status=st.sampled_from((200, 201, 204, 400, 401, 403, 404, 500)),
    answer=st.one_of(st.sampled_from(ANSWERS), st.binary(max_size=60)),
    chunk=st.integers(1, 40),
    buffered=st.booleans(),
    challenge=st.booleans(),
    error=st.sampled_from(ERRORS),
    error_in_body=st.booleans(),
    redirects=st.integers(0, 2),
    follow=st.booleans(),
    reading=st.sampled_from(("request", "read", "iter_bytes", "iter_raw", "iter_lines", "close", "part")),
    hook=st.sampled_from(("", "note", "read", "raise")),
    auth=st.booleans(),
)


@dataclass
class Run:
    """One run of a plan, and everything that the application could see of it, in order."""

    plan: Plan
    seen: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.send = Sender(*EVERY[self.plan.client])
        self.library = self.send.library
        self.hops = 0

    def transport(self) -> Any:
        plan, library, run = self.plan, self.library, self

        class Answer(library.SyncByteStream, library.AsyncByteStream):
            def __iter__(self) -> Iterator[bytes]:
                for place in range(0, len(plan.answer), plan.chunk):
                    run.seen.append("chunk")
                    yield plan.answer[place : place + plan.chunk]
                if plan.error and plan.error_in_body:
                    run.fail()

            async def __aiter__(self) -> Any:
                for part in self:
                    yield part

            def close(self) -> None:
                run.seen.append("stream closed")

            async def aclose(self) -> None:
                run.seen.append("stream closed")

        class Transport(library.BaseTransport, library.AsyncBaseTransport):
            def handle_request(self, request: Any) -> Any:
                return run.answer(request, b"".join(request.stream), Answer())

            async def handle_async_request(self, request: Any) -> Any:
                return run.answer(request, b"".join([part async for part in request.stream]), Answer())

        return Transport()

    def fail(self) -> None:
        kind = getattr(self.library, self.plan.error, RuntimeError)
        raise kind(WENT_WRONG)

    def answer(self, request: Any, body: bytes, stream: Any) -> Any:
        plan, library = self.plan, self.library
        headers = sorted((name, value) for name, value in request.headers.items() if name != "user-agent")
        self.seen.append((request.method, str(request.url), headers, body, sorted(request.extensions)))
        if self.hops < plan.redirects:
            self.hops += 1
            return library.Response(307, headers={"location": f"/token?hop={self.hops}"}, content=b"moved")
        if plan.error and not plan.error_in_body:
            self.fail()
        headers = {"content-type": "application/json"}
        if plan.challenge:
            headers["www-authenticate"] = 'Bearer resource_metadata="https://as.example/meta"'
        content = {"content": plan.answer} if plan.buffered else {"stream": stream}
        return library.Response(plan.status, headers=headers, **content)

    # The application ---------------------------------------------------------------------------------------

    def options(self) -> dict[str, Any]:
        hooks: dict[str, list[Any]] = {"request": [self.on_request], "response": [self.on_response]}
        if self.send.asynchronous:
            hooks = {"request": [self.on_request_async], "response": [self.on_response_async]}
        auth = (lambda request: self.seen.append("auth") or request) if self.plan.auth else None
        plain = {"trust_env": False, "verify": TLS, "follow_redirects": self.plan.follow}
        return {"transport": self.transport(), "event_hooks": hooks, "auth": auth, **plain}

    def on_request(self, request: Any) -> None:
        self.seen.append(("request hook", str(request.url)))

    async def on_request_async(self, request: Any) -> None:
        self.on_request(request)

    def on_response(self, response: Any) -> None:
        self.seen.append(("response hook", response.status_code, "_content" in vars(response)))
        if self.plan.hook == "read":
            self.seen.append(response.read())
        elif self.plan.hook == "raise":
            raise LookupError(WENT_WRONG)

    async def on_response_async(self, response: Any) -> None:
        if self.plan.hook == "read":
            self.seen.append(("response hook", response.status_code, "_content" in vars(response)))
            self.seen.append(await response.aread())
        else:
            self.on_response(response)

    def arguments(self) -> dict[str, Any]:
        plan = self.plan
        found: dict[str, Any] = {"headers": plan.headers}
        if isinstance(plan.body, dict):
            found["data"] = plan.body
        elif plan.body is not None and plan.streamed_request:
            found["content"] = self.streamed() if self.send.asynchronous else iter([plan.body])
        elif plan.body is not None:
            found["content"] = plan.body
        return found

    async def streamed(self) -> Any:
        yield self.plan.body

    def end(self, response: Any) -> None:
        self.seen.append(("status", response.status_code, str(response.url), len(response.history)))
        self.seen.append((response.is_closed, response.is_stream_consumed, response.num_bytes_downloaded))
        self.seen.append((response.next_request is not None, dict(response.headers), vars(response).get("_content")))
        try:
            self.seen.append(response.elapsed.total_seconds() >= 0)
        except RuntimeError as error:
            self.seen.append(str(error))

    def sync(self) -> None:
        plan = self.plan
        with self.library.Client(**self.options()) as client:
            if plan.reading == "request":
                self.end(client.request(plan.method, f"https://as.example{plan.path}", **self.arguments()))
                return
            with client.stream(plan.method, f"https://as.example{plan.path}", **self.arguments()) as response:
                self.end(response)
                if plan.reading == "part":
                    self.seen.append(next(response.iter_bytes(), None))
                else:
                    found = getattr(response, plan.reading)()
                    self.seen.append(found if plan.reading in ("read", "close") else list(found))
            self.end(response)

    async def asynchronous(self) -> None:
        plan = self.plan
        async with self.library.AsyncClient(**self.options()) as client:
            if plan.reading == "request":
                self.end(await client.request(plan.method, f"https://as.example{plan.path}", **self.arguments()))
                return
            async with client.stream(plan.method, f"https://as.example{plan.path}", **self.arguments()) as response:
                self.end(response)
                if plan.reading == "part":
                    async for part in response.aiter_bytes():
                        self.seen.append(part)
                        break
                elif plan.reading in ("read", "close"):
                    self.seen.append(await getattr(response, f"a{plan.reading}")())
                else:
                    self.seen.append([part async for part in getattr(response, f"a{plan.reading}")()])
            self.end(response)

    def run(self) -> list[Any]:
        """Return everything in the order in which the application saw it; the last entry is how it ended."""
        try:
            if self.send.asynchronous:
                asyncio.run(self.asynchronous())
            else:
                self.sync()
        except Exception as error:  # noqa: BLE001 whatever it is, it must be the same
            request = getattr(error, "_request", None)
            self.seen.append((type(error).__qualname__, error.args, None if request is None else str(request.url)))
        return self.seen


@pytest.fixture(scope="module")
def recording() -> Iterator[Capture]:
    with Capture() as found:
        yield found


def compared(plan: Plan, recording: Capture) -> None:
    without = Run(plan).run()
    instrumentor = HttpxOAuthInstrumentor()
    instrumentor.instrument(telemetry=recording.telemetry)
    try:
        instrumented = Run(plan).run()
    finally:
        instrumentor.uninstrument()
    assert instrumented == without
    assert Run(plan).run() == without, "detached"


CHECKS = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@settings(max_examples=40, deadline=None, suppress_health_check=CHECKS, derandomize=True)
@given(plan=PLANS)
def test_the_application_sees_the_same_in_the_same_order(plan: Plan, recording: Capture) -> None:
    compared(plan, recording)


@pytest.mark.slow
@pytest.mark.timeout(300)  # some eleven seconds alone, a minute beside other work
@settings(max_examples=1500, deadline=None, suppress_health_check=CHECKS)
@given(plan=PLANS)
def test_the_application_sees_the_same_in_the_same_order_over_many(plan: Plan, recording: Capture) -> None:
    compared(plan, recording)


def test_the_plans_reach_what_the_plugin_does(recording: Capture) -> None:
    """The comparison above would be worth nothing if the plugin recorded nothing of these requests."""
    plan = Plan(
        **{
            **dict.fromkeys(Plan.__dataclass_fields__),
            "client": "httpx-sync", "path": "/token", "method": "POST", "body": FORMS[0], "headers": {},
            "streamed_request": False, "status": 200, "answer": ANSWERS[0], "chunk": 7, "error": "", "redirects": 1,
            "follow": True, "reading": "read", "hook": "",
        }
    )  # fmt: skip
    recording.mark()
    compared(plan, recording)
    assert recording.moved()["oauth_token_refresh_total{status=success,reason=normal}"] == 1
