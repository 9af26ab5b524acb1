"""The client of the MCP SDK: its login, within one authentication flow of httpx. Its requests are seen on the wire.

The resource answers 401 (or 403, another scope is needed); the client discovers, registers itself, sends the user to
the authorization server, exchanges the code, and sends the first request again. Two operations stand for that: one
until the user is sent off, one from the user's return until the token is stored.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from otel_oauth import cases, flows, kinds, own_tokens, redaction
from otel_oauth.hooks import Call, Hook
from otel_oauth.operation import Operation, current_operation
from otel_oauth_httpx.exchanges import Surrounding
from otel_oauth_httpx.registered import registered

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from otel_oauth.ledger import Sighting

_UNAUTHORIZED = 401
_FORBIDDEN = 403

_OTHER_STATE = "State parameter mismatch"
"""How the MCP client's error for a state that is not the one of its login begins; what follows is the state."""


class Login(Surrounding):
    """One authentication flow, and the login in it if there is one.

    :ivar operation: what is under way: the initiation, the return, or nothing.
    :ivar accepted: the client took what came back for its answer, and asks for the token.
    """

    def __init__(self, call: Call) -> None:
        self._telemetry = call.telemetry
        self._registered = registered(call.hooks)
        self._provider = call.instance
        self._request = call.argument(0, "request")
        self._state: Sighting | None = None
        self._returned = 0.0
        self.accepted = False
        self.operation: Operation | None = None

    # What the flow does ---------------------------------------------------------------------------------------

    def sends(self, outgoing: Any) -> None:  # noqa: ANN401 a request of httpx or httpx2
        """See the next request of the flow: the original one again means that the token is stored."""
        self._note_client()
        if outgoing is self._request:
            self._leave(None)
        elif self._state is not None and self.operation is None:
            self.accepted = True
            self._come_back()

    def receives(self, outgoing: Any, response: Any) -> None:  # noqa: ANN401 messages of httpx or httpx2
        """See the response to a request of the flow: a refusal of the original one begins a login."""
        if outgoing is self._request and _refused(response) and self._asks_a_user():
            self._begin()

    def goes_out(self, challenge: str) -> None:
        """See that the user is about to be sent to the authorization server."""
        operation = self.operation
        if operation is None or operation.kind is not kinds.AUTHORIZE:
            return
        self._note_client()
        operation.facts["provider"] = self._label()
        operation.become(kinds.AUTHORIZE)
        flows.initiated(operation, challenge, verifier=True)
        self._state = self._telemetry.ledger.sight_state(challenge)
        self.operation = None
        operation.end()

    def ends(self, error: BaseException | None) -> None:
        """See the end of the flow, by a return, an exception, or because nobody goes on with it."""
        if isinstance(error, GeneratorExit) and self.failed is not None:
            # A request within the login failed: httpx closes the flow and raises.
            error = self.failed
        if self.operation is None and self._state is not None:
            self._come_back()
        self._leave(error)

    # The two operations ---------------------------------------------------------------------------------------

    def _begin(self) -> None:
        operation = self._telemetry.operation(kinds.AUTHORIZE, {"provider": self._label()})
        operation.local = self
        operation.facts["initiated"] = True
        self.accepted = False
        self.operation = operation.start()

    def _come_back(self) -> None:
        client_id = self._registered.label(self._client_id)
        operation = self._telemetry.operation(kinds.CALLBACK, {"provider": self._label(), "client_id": client_id})
        operation.local = self
        self._returned = time.time()
        self.operation = operation.start()

    def _leave(self, error: BaseException | None) -> None:
        operation, state = self.operation, self._state
        self.operation = self._state = None
        if operation is None:
            return
        facts = operation.facts
        if operation.kind is kinds.AUTHORIZE:
            facts["initiated"] = facts["flow"] = error is not None
            facts["provider"] = self._label()
        elif error is None or isinstance(error, Exception):
            facts["handled"] = "true" if error is None else "false"
            self._end_flow(operation, state, error)
        elif state is not None and self._telemetry.ledger.drop_state(state):
            # The verifier goes with the flow: nobody can come back with this state.
            facts["cleaned"] = "manual"
        operation.end(error)

    def _end_flow(self, operation: Operation, state: Sighting | None, error: BaseException | None) -> None:
        if self.accepted or state is None:
            exchange = own_tokens.Exchange(self._returned)
            exchange.state = state
            flows.end(operation, exchange)
            return
        # Nobody came back, or somebody with another state; the verifier goes with the flow.
        facts = operation.facts
        facts["flow"], facts["state"] = True, state.digest
        if self._telemetry.ledger.drop_state(state):
            facts["cleaned"] = "manual"
        flows.time_flow(operation, state.entry, self._returned)
        # What the application raises is not asked for its text.
        if type(error).__module__.startswith("mcp.") and str(error).startswith(_OTHER_STATE):
            operation.judge(cases.STATE_UNKNOWN)

    # What the client knows ------------------------------------------------------------------------------------

    @property
    def _context(self) -> Any:  # noqa: ANN401 the MCP SDK's
        return getattr(self._provider, "context", None)

    @property
    def _client_id(self) -> str | None:
        found = getattr(getattr(self._context, "client_info", None), "client_id", None)
        return None if found is None else str(found)

    def _note_client(self) -> None:
        """Note the client's id as registered, now or in an earlier process, unless it is the URL of its metadata."""
        if self._client_id != getattr(self._context, "client_metadata_url", None):
            self._registered.note(self._client_id)

    def _asks_a_user(self) -> bool:
        return self.operation is None and getattr(self._context, "redirect_handler", None) is not None

    def _label(self) -> str:
        """Return the provider: the authorization server once it is known, before that the resource."""
        context = self._context
        metadata = getattr(context, "oauth_metadata", None)
        urls = (
            getattr(metadata, "authorization_endpoint", None),
            getattr(context, "auth_server_url", None),
            getattr(context, "server_url", None),
        )
        return self._telemetry.provider(url=next((str(url) for url in urls if url), None))


def _refused(response: Any) -> bool:  # noqa: ANN401 a response of httpx or httpx2
    """Tell whether a response asks for a login (RFC 6750 section 3.1), by the rules of the MCP client."""
    if response.status_code == _UNAUTHORIZED:
        return True
    challenge = response.headers.get("www-authenticate", "")
    return response.status_code == _FORBIDDEN and "insufficient_scope" in challenge


async def _watched(call: Call, inner: AsyncGenerator[Any, Any]) -> AsyncGenerator[Any, Any]:
    """Pass requests out of and responses into the client's own flow, and see both."""
    login, run = Login(call), call.telemetry.guard.run
    try:
        outgoing = await inner.__anext__()
        while True:
            run("hook", login.sends, outgoing)
            try:
                response = yield outgoing
            except GeneratorExit:
                raise
            except BaseException as error:  # noqa: BLE001 it is the client's to handle
                outgoing = await inner.athrow(error)
                continue
            run("hook", login.receives, outgoing, response)
            outgoing = await inner.asend(response)
    except StopAsyncIteration:
        run("hook", login.ends, None)
    except BaseException as error:
        run("hook", login.ends, error)
        raise
    finally:
        await inner.aclose()


def _generated(_call: Call, result: Any, error: BaseException | None) -> None:  # noqa: ANN401 verifier and challenge
    around = current_operation()
    redaction.seen("code_verifier", own_tokens.text(getattr(result, "code_verifier", None)))
    if error is None and around is not None and isinstance(around.local, Login):
        around.local.goes_out(str(getattr(result, "code_challenge", "")))


def _issuer_checked(call: Call, _result: Any, error: BaseException | None) -> None:  # noqa: ANN401 None
    """See that the authorization response names another issuer than the metadata (RFC 9207 section 2.4)."""
    if isinstance(error, Exception):
        with call.telemetry.operation(kinds.VERDICT, {"case": cases.ISSUER_MISMATCH.name}) as verdict:
            verdict.judge(cases.ISSUER_MISMATCH)


MCP_HOOKS: dict[str, Hook] = {
    "mcp.client.auth:OAuthClientProvider.async_auth_flow": Hook(drive=_watched),
    "mcp.client.auth:PKCEParameters.generate": Hook(after=_generated, optional=True),
    "mcp.client.auth.oauth2:validate_authorization_response_iss": Hook(after=_issuer_checked, optional=True),
}
"""What is hooked of the MCP SDK's client."""
