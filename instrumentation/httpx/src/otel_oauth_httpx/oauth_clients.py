"""The clients of httpx-oauth: what its calls mean for the login. Their requests are seen on the wire.

httpx-oauth leaves state and verifier to the application. So the login is found again by the verifier that the exchange
sends, or by the state that FastAPI's dependency receives with the code.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from otel_oauth import flows, judge, kinds, own_tokens, redaction, settle
from otel_oauth.hooks import Call, Hook
from otel_oauth.ledger import Status
from otel_oauth.operation import Operation, current_operation
from otel_oauth_httpx.exchanges import Expected, login_of, tried_again

if TYPE_CHECKING:
    from otel_oauth.kinds import OperationKind
    from otel_oauth.ledger import Sighting

_UNNAMED = frozenset(("oauth2", "openid"))
"""The names of clients that were given none: their host says more."""


def _facts(call: Call, client: Any) -> dict[str, object]:  # noqa: ANN401 httpx-oauth's client
    """Return the facts that every call of a client shares; its id is known, because it is the configuration's."""
    telemetry, name = call.telemetry, getattr(client, "name", None)
    url = str(getattr(client, "access_token_endpoint", ""))
    named = isinstance(name, str) and name and name not in _UNNAMED
    return {
        "provider": telemetry.provider(name=name) if named else telemetry.provider(url=url),
        "client_id": telemetry.client(getattr(client, "client_id", None)),
    }


def _made(call: Call, _result: Any, error: BaseException | None) -> None:  # noqa: ANN401 None
    """See a client, whose class may override what it inherits; its provider has its zero series from now on."""
    if error is None:
        call.hooks.adopt(type(call.instance), _METHODS)
        _facts(call, call.instance)


# Initiation -----------------------------------------------------------------------------------------------------------


def _begin_authorization(call: Call) -> Operation | None:
    around = current_operation()
    if not _is_client(call.instance) or (around is not None and around.kind is kinds.AUTHORIZE):
        return None
    return call.telemetry.operation(kinds.AUTHORIZE, _facts(call, call.instance))


def _authorization_created(call: Call, result: Any, error: BaseException | None) -> None:  # noqa: ANN401 the URL
    if call.operation is None or error is not None or not isinstance(result, str):
        return
    sent = dict(parse_qsl(urlsplit(result).query))
    redaction.seen_parameters(sent)
    login = login_of(sent)
    if login:
        flows.initiated(call.operation, login, verifier="code_challenge" in sent)


# Calls of the provider ------------------------------------------------------------------------------------------------


_ENDPOINTS = {
    kinds.CODE_EXCHANGE: "access_token_endpoint",
    kinds.REFRESH: "refresh_token_endpoint",
    kinds.REVOKE: "revoke_token_endpoint",
}


def _is_client(instance: object) -> bool:
    """Tell whether a method was called on a client of httpx-oauth: others may inherit it, too."""
    return any(
        base.__name__ == "BaseOAuth2" and base.__module__ == "httpx_oauth.oauth2" for base in type(instance).__mro__
    )


def _call_hook(kind: OperationKind) -> Hook:
    """Return the hook of a method that sends one request to the provider."""

    def begin(call: Call) -> Operation | None:
        around = current_operation()
        if not _is_client(call.instance):
            return None
        if around is not None and around.kind is kind and isinstance(around.local, Expected):
            if not around.local.sent:
                return None
            tried_again(around)
        call.hooks.adopt(type(call.instance), _METHODS)
        facts = _facts(call, call.instance)
        operation = call.telemetry.operation(kind, facts)
        operation.local = note = Expected()
        note.client_id = str(getattr(call.instance, "client_id", ""))
        note.endpoint = str(getattr(call.instance, _ENDPOINTS.get(kind, ""), ""))
        return operation

    return Hook(begin, _called)


def _called(call: Call, result: Any, error: BaseException | None) -> None:  # noqa: ANN401 what the method returns
    operation = call.operation
    if operation is None or not isinstance(operation.local, Expected) or operation.local.sent:
        return
    # A provider of the application's own, which does not ask through httpx: the result is all there is.
    if error is None and operation.kind is kinds.CODE_EXCHANGE and isinstance(result, Mapping):
        own_tokens.remember(operation, operation.local, result)
        around = operation.parent
        if around is None or around.within(kinds.CALLBACK) is None:
            operation.facts["flow"] = True


# FastAPI's dependency -------------------------------------------------------------------------------------------------


@dataclass(eq=False, repr=False)
class _Callback:
    """Notes of one callback, kept on its operation and never exported."""

    request: Operation
    state: Sighting | None
    code: bytes
    error: str
    began: float = field(default_factory=time.time)


def _begin_callback(call: Call) -> Operation:
    request, client = call.argument(0, "request"), getattr(call.instance, "client", None)
    call.hooks.adopt(type(client), _METHODS)
    method = str(getattr(request, "method", "GET"))
    counted = call.telemetry.operation(kinds.CALLBACK_ENDPOINT, {"endpoint": "callback", "method": method})
    counted.start()
    counted.suspend()
    operation = call.telemetry.operation(kinds.CALLBACK, _facts(call, client))
    operation.request = request
    ledger = call.telemetry.ledger
    code, verifier, state, error = (
        own_tokens.text(call.argument(position, name))
        for position, name in enumerate(("code", "code_verifier", "state", "error"), start=1)
    )
    redaction.seen("code_verifier", verifier)
    redaction.seen("state", state)
    # The verifier may come from the URL here: one that belongs to no login must not hide which state came back.
    names = ([flows.challenge_of(verifier)] if verifier else []) + ([state] if state else [])
    found = [ledger.sight_state(name) for name in names]
    sighting = next((each for each in found if each.entry is not None), found[0] if found else None)
    operation.local = _Callback(counted, sighting, ledger.digest(b"code", code) if code else b"", error)
    return operation


def _handled(call: Call, _result: Any, error: BaseException | None) -> None:  # noqa: ANN401 the token and the state
    operation = call.operation
    if operation is None or not isinstance(operation.local, _Callback):
        return
    callback = operation.local
    operation.facts["handled"] = "true" if error is None else "false"
    if callback.error:
        flows.answered_with_error(operation, callback.state, callback.error, callback.began)
    elif callback.code:
        _end_flow(operation, callback, error)
    settle.handled(callback.request, error)


def _end_flow(operation: Operation, callback: _Callback, error: BaseException | None) -> None:
    """End the flow. httpx-oauth does not compare states: one that was used before is what the ledger alone can tell."""
    entry = None if callback.state is None else callback.state.entry
    if callback.state is not None and entry is not None and entry.status == Status.REDEEMED:
        operation.judge(judge.state(judge.StatePresented(callback.state, callback.code)))
        operation.facts["flow"] = error is None
        return
    exchange = own_tokens.Exchange(callback.began)
    exchange.state, exchange.code = callback.state, callback.code
    flows.end(operation, exchange)


_METHODS: dict[str, Hook] = {
    "get_authorization_url": Hook(_begin_authorization, _authorization_created),
    "get_access_token": _call_hook(kinds.CODE_EXCHANGE),
    "refresh_token": _call_hook(kinds.REFRESH),
    "revoke_token": _call_hook(kinds.REVOKE),
    "get_profile": _call_hook(kinds.USERINFO),
    "get_id_email": _call_hook(kinds.USERINFO),
}
_BASE = "httpx_oauth.oauth2:BaseOAuth2"
_INHERITED = ("get_authorization_url", "get_access_token", "refresh_token", "revoke_token")

OAUTH_CLIENT_HOOKS: dict[str, Hook] = {
    f"{_BASE}.__init__": Hook(after=_made),
    **{f"{_BASE}.{name}": _METHODS[name] for name in _INHERITED},
    "httpx_oauth.integrations.fastapi:OAuth2AuthorizeCallback.__call__": Hook(_begin_callback, _handled),
}
"""What is hooked of httpx-oauth."""
