"""The sessions of Authlib's clients: requests, httpx and httpx2, sync and async."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

from otel_oauth import cases, flows, judge, kinds, provider_errors, redaction, vocabulary
from otel_oauth.hooks import Call, Hook
from otel_oauth.ledger import Sighting
from otel_oauth.own_tokens import forget, judge_refresh, remaining_lifetime, remember, text
from otel_oauth_authlib.own_tokens import Exchange, error_code
from otel_oauth_authlib.transport import REQUEST_HOOKS, endpoint_operation, metadata, session_note, settle

if TYPE_CHECKING:
    from otel_oauth.operation import Operation

_GRANTS = {"authorization_code": kinds.CODE_EXCHANGE, "refresh_token": kinds.REFRESH}
_RETURNED = re.compile("&(code|state)=([^&]+)")

# Initiation -----------------------------------------------------------------------------------------------------------


def _begin_authorization(call: Call) -> Operation | None:
    if call.around is not None and call.around.kind is kinds.AUTHORIZE:
        return None
    redaction.seen("code_verifier", text(call.argument(2, "code_verifier")))
    return endpoint_operation(call, kinds.AUTHORIZE, call.argument(0, "url"))


def _authorization_created(call: Call, result: Any, error: BaseException | None) -> None:  # noqa: ANN401 (url, state)
    if call.operation is None or error is not None:
        return
    facts = call.operation.facts
    flows.initiated(call.operation, str(result[1]), verifier=bool(call.argument(2, "code_verifier")))
    note, digest = session_note(call, call.instance), facts["state"]
    note.state, note.initiated = digest if isinstance(digest, bytes) else None, str(facts["provider"])


# The token endpoint ---------------------------------------------------------------------------------------------------


def _grant_type(call: Call, response: str) -> str:
    """Return the grant type that Authlib will send, by its own rules."""
    if "code=" in response:
        return "authorization_code"
    named = call.argument(5, "grant_type") or metadata(call.instance).get("grant_type")
    if named:
        return str(named)
    if "code" in call.kwargs:
        return "authorization_code"
    return "password" if {"username", "password"} <= call.kwargs.keys() else "client_credentials"


def _open_exchange(call: Call, exchange: Exchange, url: object, grant_type: str) -> Operation:
    session = call.instance
    kind, url = _GRANTS.get(grant_type, kinds.TOKEN), url or metadata(session).get("token_endpoint")
    operation = endpoint_operation(call, kind, url, grant_type)
    if redaction.installed():
        redaction.seen_parameters(call.kwargs)
        redaction.seen("client_secret", text(getattr(session, "client_secret", None)))
    operation.local = exchange
    exchange.client_id = text(getattr(session, "client_id", None))
    scope = call.kwargs.get("scope") or getattr(session, "scope", None)
    if scope:
        exchange.scope = scope if isinstance(scope, str) else " ".join(map(str, scope))
    before = getattr(session, "token", None)
    if before and isinstance(before, (dict, Mapping)):  # the class first that it is: to ask the other one costs more
        exchange.before = before
    return operation


def _begin_fetch(call: Call) -> Operation:
    response = text(call.kwargs.get("authorization_response"))
    implicit = "#" in response
    grant_type = "implicit" if implicit else _grant_type(call, response)
    exchange = Exchange()
    operation = _open_exchange(call, exchange, call.argument(0, "url"), grant_type)
    if implicit:
        operation.kind = kinds.CODE_EXCHANGE
    if operation.kind is kinds.REFRESH:
        _present(operation, exchange, text(call.kwargs.get("refresh_token")))
    elif operation.kind is kinds.CODE_EXCHANGE and call.enclosing(kinds.CALLBACK) is None:
        _note_flow(call, exchange, response)
    return operation


def _note_flow(call: Call, exchange: Exchange, response: str) -> None:
    """Find the flow that this exchange ends; no callback around it does."""
    exchange.ends_flow = True
    ledger = call.telemetry.ledger
    returned = code_and_state(response) if response else {}
    came = returned.get("state")
    expected = text(call.argument(6, "state")) or text(getattr(call.instance, "state", None)) or came
    exchange.code = ledger.digest(b"code", text(call.kwargs.get("code")) or returned.get("code", ""))
    if expected:
        exchange.state = ledger.sight_state(expected)
        if came:
            exchange.mismatched = exchange.state if came == expected else ledger.sight_state(came)
    else:
        remembered = session_note(call, call.instance).state
        exchange.state = None if remembered is None else ledger.sight_state(Sighting(remembered))


def code_and_state(response: str) -> dict[str, str]:
    """Return code and state of an authorization response (RFC 6749 section 4.1.2), from its query and its fragment.

    In one pass over what Authlib takes apart and decodes as a whole.
    """
    before, _, fragment = response.partition("#")
    found = _RETURNED.findall(f"&{before.partition('?')[2]}&{fragment}")
    return {name: unquote_plus(value) if "%" in value or "+" in value else value for name, value in found}


def _present(operation: Operation, exchange: Exchange, refresh_token: str) -> None:
    if refresh_token:
        exchange.presented = refresh_token
        exchange.refresh = operation.telemetry.ledger.sight_own(refresh_token)
    operation.facts["remaining_lifetime"] = remaining_lifetime(exchange.before)


def _begin_refresh(call: Call) -> Operation:
    exchange = Exchange()
    operation = _open_exchange(call, exchange, call.argument(0, "url"), "refresh_token")
    _present(operation, exchange, text(call.argument(1, "refresh_token") or exchange.before.get("refresh_token")))
    return operation


def _begin_assertion(call: Call) -> Operation:
    """See the grant that a client asserts its own identity with (RFC 7521): Authlib calls that a refresh."""
    session = call.instance
    url, grant_type = getattr(session, "token_endpoint", None), text(getattr(session, "grant_type", None))
    return _open_exchange(call, Exchange(), url, grant_type)


def _response_parsed(call: Call, result: Any, error: BaseException | None) -> None:  # noqa: ANN401 the token
    """See the response itself: an application's callback may still fail after it, and lose the rotated token."""
    operation = call.around
    if operation is None or not isinstance(operation.local, Exchange):
        return
    operation.local.parsed = True
    if error is None:
        remember(operation, operation.local, result if isinstance(result, (dict, Mapping)) else {})
        return
    operation.facts["error"] = error_code(error)
    if operation.facts.get("called"):
        status, code = operation.local.status, operation.facts["error"]
        operation.facts["provider_error"] = provider_errors.response_error(status, code, unread=True)


def _exchanged(call: Call, result: Any, error: BaseException | None) -> None:  # noqa: ANN401 the token
    operation = call.operation
    if operation is None or not isinstance(operation.local, Exchange):
        return
    exchange, facts = operation.local, operation.facts
    if not exchange.parsed:
        facts["error"] = error_code(error) if facts.get("called") else None
        if error is None:
            remember(operation, exchange, result if isinstance(result, Mapping) else {})
    accepted = exchange.granted and exchange.status < vocabulary.CLIENT_ERROR
    if error is not None or not accepted or "error" in facts or "provider_error" in facts:
        settle(operation, error, read=facts.get("error") is not None)
        if facts.get("error") in ("authorization_pending", "slow_down"):
            facts["outcome"] = "pending"
    if operation.kind is kinds.REFRESH:
        operation.judge(judge_refresh(operation, exchange, failed=error is not None))
    elif exchange.ends_flow:
        _end_flow(operation, exchange, error)


def _end_flow(operation: Operation, exchange: Exchange, error: BaseException | None) -> None:
    if error is not None and type(error).__name__.startswith("MismatchingState"):
        flows.refuse(operation, judge.StatePresented(exchange.mismatched or Sighting(b""), exchange.code))
        return
    if error is None or "called" in operation.facts:
        flows.end(operation, exchange)


# A token that has expired and cannot be refreshed ---------------------------------------------------------------------


def _not_refreshed(call: Call, result: Any, error: BaseException | None) -> None:  # noqa: ANN401 true, or None
    """See a sync client that has nothing to refresh with: it gives ``None``."""
    if error is None and result is None:
        _nothing_to_refresh_with(call)


def _not_refreshed_async(call: Call, _result: Any, error: BaseException | None) -> None:  # noqa: ANN401 None
    """See the async client that has nothing to refresh with: it raises."""
    if type(error).__name__ == "InvalidTokenError":
        _nothing_to_refresh_with(call)


def _nothing_to_refresh_with(call: Call) -> None:
    token, url = getattr(call.instance, "token", None), metadata(call.instance).get("token_endpoint")
    if not isinstance(token, Mapping) or (token.get("refresh_token") and url):
        return
    with endpoint_operation(call, kinds.REFRESH, url) as operation:
        operation.facts.update(status="failure", reauthorize=True, remaining_lifetime=remaining_lifetime(token))
        operation.judge(cases.REFRESH_MISSING)


# Revocation and introspection -----------------------------------------------------------------------------------------


def _begin_revocation(call: Call) -> Operation:
    return endpoint_operation(call, kinds.REVOKE, call.argument(0, "url"))


def _revoked(call: Call, _result: Any, error: BaseException | None) -> None:  # noqa: ANN401 the response
    operation = call.operation
    if operation is None:
        return
    settle(operation, error)
    if not str(operation.facts.get("http_status", "")).startswith("2"):
        return
    operation.facts["revoked"] = "manual"
    token = getattr(call.instance, "token", None)
    held = token if isinstance(token, Mapping) else {}
    forget(operation, text(call.argument(1, "token") or held.get("refresh_token") or held.get("access_token")))


def _begin_introspection(call: Call) -> Operation:
    return endpoint_operation(call, kinds.INTROSPECT, call.argument(0, "url"))


def _introspected(call: Call, _result: Any, error: BaseException | None) -> None:  # noqa: ANN401 the response
    if call.operation is not None:
        settle(call.operation, error)


_ASYNC_SESSION = "authlib.integrations.httpx_client.oauth2_client:AsyncOAuth2Client"
_SESSION = "authlib.oauth2.client:OAuth2Client"
_ASSERTION = "authlib.oauth2.rfc7521.client:AssertionClient"

CLIENT_HOOKS: dict[str, Hook] = {
    f"{_SESSION}.create_authorization_url": Hook(_begin_authorization, _authorization_created),
    f"{_SESSION}.fetch_token": Hook(_begin_fetch, _exchanged),
    f"{_SESSION}.refresh_token": Hook(_begin_refresh, _exchanged),
    f"{_SESSION}.parse_response_token": Hook(after=_response_parsed),
    f"{_SESSION}.ensure_active_token": Hook(after=_not_refreshed),
    f"{_ASYNC_SESSION}.ensure_active_token": Hook(after=_not_refreshed_async),
    f"{_ASSERTION}.refresh_token": Hook(_begin_assertion, _exchanged),
    f"{_ASSERTION}.parse_response_token": Hook(after=_response_parsed),
    f"{_SESSION}.revoke_token": Hook(_begin_revocation, _revoked),
    f"{_SESSION}.introspect_token": Hook(_begin_introspection, _introspected),
    **REQUEST_HOOKS,
}
"""What is hooked of Authlib's sessions."""
