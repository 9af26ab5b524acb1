"""Grants: what their callbacks tell, and what a token request came to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otel_oauth import cases, judge, kinds, settle, vocabulary
from otel_oauth.hooks import Call, Hook, StoreHook
from otel_oauth.judge import CodePresented, RefreshPresented
from otel_oauth.ledger import Kind, Status
from otel_oauth.settle import IssuedTokens
from otel_oauth_authlib.requests import (
    EndpointRequest,
    client_known,
    endpoint_request,
    id_of,
    parameter,
)

if TYPE_CHECKING:
    from otel_oauth.ledger import Ledger
    from otel_oauth.operation import Operation

_CODE, _REFRESH = Kind.CODE, Kind.REFRESH  # to look a member up there is a call in Python


def _in_grant(call: Call) -> EndpointRequest | None:
    """Return the notes of the request that a callback of a grant belongs to, for what follows the callback too.

    The grant is noted, and the client that Authlib authenticated before it asks for what that client presents. Where
    the application's own means do that, the client is noted already.
    """
    notes = call.note = endpoint_request(call)
    if notes is not None:
        notes.grant = grant = call.instance
        method = getattr(getattr(grant, "request", None), "auth_method", None)
        if method is not None and not notes.client_id:
            notes.client_id, notes.authenticated = notes.queried_client, method != "none"
    return notes


# Authorization codes --------------------------------------------------------------------------------------------------


def _code_presented(call: Call) -> None:
    notes = _in_grant(call)
    code = call.argument(0, "code")
    if notes is not None and isinstance(code, str):
        sighting = call.telemetry.ledger.sight_code(code)
        notes.code = CodePresented(sighting, notes.client_id, authenticated=notes.authenticated)
        notes.presented = code


def _code_queried(call: Call, result: Any) -> None:  # noqa: ANN401 the application's code object
    notes = call.note
    if isinstance(notes, EndpointRequest) and notes.code is not None and result:
        notes.code.found = True
        call.telemetry.ledger.redeeming(_CODE, notes.code.sighting)


def _code_saved(call: Call, _result: Any) -> None:  # noqa: ANN401 the application's
    code, request = call.argument(0, "code"), call.argument(1, "request")
    operation = call.enclosing(kinds.ENDPOINT)
    if operation is None or not isinstance(code, str):
        return
    notes = operation.local if isinstance(operation.local, EndpointRequest) else EndpointRequest()
    values = notes.values(request)
    method = "none"
    if parameter(values, "code_challenge"):
        method = parameter(values, "code_challenge_method") or "plain"
    client_id = notes.queried_client or parameter(values, "client_id") or ""
    redirect_uri = parameter(values, "redirect_uri") or ""
    settle.code_issued(operation, code, client_id, method=method, redirect_uri=redirect_uri)


def _code_deleted(call: Call, _result: Any) -> None:  # noqa: ANN401 the application's
    """Count a code that goes unused: the one that is being exchanged is that exchange's matter."""
    code, notes = getattr(call.argument(0, "authorization_code"), "code", None), endpoint_request(call)
    if not isinstance(code, str) or (notes is not None and notes.presented == code):
        return
    if call.telemetry.ledger.discard_code(code):
        with call.telemetry.operation(kinds.STATE_CLEANED, {"cleaned": "manual"}):
            pass


def _verifier_checked(call: Call, _result: Any, error: BaseException | None) -> None:  # noqa: ANN401 Authlib's
    """Note how the check of PKCE ended; what it compared is asked once, when the request is settled."""
    notes = endpoint_request(call)
    if notes is not None:
        notes.compared = "matched" if error is None else str(getattr(error, "error", None) or "unchecked")


def _pkce_outcome(compared: str, *, challenge: bool, verifier: bool) -> str:
    """Return what the decision table calls the outcome.

    :param compared: ``matched``, ``unchecked`` if it never came to an end, or Authlib's error code.
    """
    ended = compared in ("matched", "unchecked")
    if not verifier:
        return "unchecked" if ended else "missing" if challenge else "required"
    if not challenge:
        return "downgrade"
    return compared if ended else "mismatch" if compared == "invalid_grant" else "malformed"


def _stored_method(presented: CodePresented, grant: Any) -> str:  # noqa: ANN401 Authlib's grant
    if presented.sighting.entry is not None:
        return judge.challenge_method(presented.sighting)
    # The ledger does not know the code (it was issued before a restart): Authlib's mixin has the challenge on it.
    stored = getattr(grant.request, "authorization_code", None)
    if not getattr(stored, "code_challenge", None):
        return "none"
    return str(getattr(stored, "code_challenge_method", None) or "plain")


# Refresh tokens -------------------------------------------------------------------------------------------------------


def _refresh_presented(call: Call) -> None:
    notes = _in_grant(call)
    token = call.argument(0, "refresh_token")
    if notes is not None and isinstance(token, str):
        notes.refresh = RefreshPresented(call.telemetry.ledger.sight_refresh(token), notes.client_id)


def _refresh_queried(call: Call, result: Any) -> None:  # noqa: ANN401 the application's token object
    notes = call.note
    presented = notes.refresh if isinstance(notes, EndpointRequest) else None
    if presented is None or presented.sighting is None:
        return
    presented.found = bool(result)
    if result:
        call.telemetry.ledger.redeeming(_REFRESH, presented.sighting)


def _old_credential_revoked(call: Call, _result: Any) -> None:  # noqa: ANN401 the application's
    notes = endpoint_request(call)
    if notes is not None:
        notes.old_credential_revoked = True


# Tokens and users -----------------------------------------------------------------------------------------------------


def token_saved(call: Call, _result: Any) -> None:  # noqa: ANN401 the application's
    """Note the token that the application stored."""
    notes = endpoint_request(call)
    token = call.argument(0, "token")
    if notes is not None and isinstance(token, dict):
        notes.token = token


# Device codes, assertions, nonces -------------------------------------------------------------------------------------


def _device_code_queried(call: Call, result: Any) -> None:  # noqa: ANN401 the application's credential
    notes = _in_grant(call)
    if notes is not None:
        notes.device_found = bool(result)


def _issuer_resolved(call: Call, result: Any) -> None:  # noqa: ANN401 the application's client object
    notes = _in_grant(call)
    if result:
        client_known(call, notes, id_of(result))


def _jti_checked(call: Call, result: Any) -> None:  # noqa: ANN401 the application's answer
    operation = call.enclosing(kinds.ENDPOINT)
    if operation is not None and not result:
        operation.judge(cases.ASSERTION_REPLAYED)


def _nonce_queried(call: Call, result: Any) -> None:  # noqa: ANN401 the application's answer
    operation = call.enclosing(kinds.ENDPOINT)
    if operation is not None and result:
        operation.judge(cases.NONCE_REPLAYED)


_NONCE_HOOK = StoreHook("query_nonce", stored=_nonce_queried)

GRANT_CALLBACKS: dict[str, Hook] = {
    "query_authorization_code": StoreHook("query_code", before=_code_presented, stored=_code_queried),
    "save_authorization_code": StoreHook("save_code", stored=_code_saved),
    "delete_authorization_code": StoreHook("delete_code", stored=_code_deleted),
    "authenticate_refresh_token": StoreHook("query_token", before=_refresh_presented, stored=_refresh_queried),
    "revoke_old_credential": StoreHook("revoke_token", stored=_old_credential_revoked),
    "authenticate_user": StoreHook("query_user"),
    "query_device_credential": StoreHook("query_device_code", stored=_device_code_queried),
    "query_user_grant": StoreHook("query_user"),
    "resolve_issuer_client": StoreHook("query_client", stored=_issuer_resolved),
    "check_jti": StoreHook("query_jti", stored=_jti_checked),
    "exists_nonce": _NONCE_HOOK,
}
"""The callbacks of grant classes, hooked where the application defines them."""

OWN_GRANT_CALLBACKS: dict[str, Hook] = {"save_token": StoreHook("save_token", stored=token_saved)}
"""The same where the application defines it: Authlib's own calls ``save_token`` of the server, which is hooked."""

CHALLENGE_CALLBACKS: dict[str, Hook] = {
    "validate_code_verifier": Hook(after=_verifier_checked),
    "exists_nonce": _NONCE_HOOK,
}
"""The checks of a grant's extensions: PKCE (RFC 7636), the nonce of OpenID Connect."""

CLIENT_AUTH_CALLBACKS: dict[str, Hook] = {"validate_jti": StoreHook("query_jti", stored=_jti_checked)}
"""The check of client assertions (RFC 7523)."""


# What the request came to ---------------------------------------------------------------------------------------------


def settle_token_request(operation: Operation, notes: EndpointRequest, status: int) -> None:
    """Judge a token request that was answered with ``status``, and tell the ledger what became of it."""
    grant_type = getattr(notes.grant, "GRANT_TYPE", None) or parameter(notes.values(), "grant_type")
    operation.facts["grant_type"] = vocabulary.grant_type(grant_type)
    tokens = issued_tokens(notes)
    if notes.code is not None:
        operation.facts["verifier"] = verifier = bool(notes.posted("code_verifier"))
        method = _stored_method(notes.code, notes.grant)
        if notes.compared:
            notes.code.pkce = _pkce_outcome(notes.compared, challenge=method != "none", verifier=verifier)
        _compare_redirect(operation.telemetry.ledger, notes, notes.code, accepted=status < vocabulary.CLIENT_ERROR)
        settle.code(operation, notes.code, tokens, status, method)
    elif grant_type == "refresh_token":
        _settle_refresh(operation, notes, tokens, status)
    elif status < vocabulary.CLIENT_ERROR:
        settle.issued(operation, tokens)
    elif notes.device_found and notes.error == "unauthorized_client":
        operation.judge(cases.TOKEN_OF_OTHER_CLIENT)


def _settle_refresh(operation: Operation, notes: EndpointRequest, tokens: IssuedTokens, status: int) -> None:
    presented = notes.refresh or RefreshPresented()
    presented.error = notes.error
    settle.refresh(operation, presented, tokens, status, replaced=notes.old_credential_revoked)
    if status < vocabulary.CLIENT_ERROR and notes.old_credential_revoked and not tokens.refresh_token:
        entry = presented.sighting.entry if presented.sighting is not None else None
        # It was accepted after it had been revoked once: revoke_old_credential of this server does nothing.
        if entry is None or not (entry.flag or entry.status == Status.REVOKED):
            operation.telemetry.ledger.revoke(notes.posted("refresh_token") or "")


def _compare_redirect(ledger: Ledger, notes: EndpointRequest, presented: CodePresented, *, accepted: bool) -> None:
    """Authlib compares the redirect URI right after the look-up; where it stopped tells that they differed."""
    entry = presented.sighting.entry
    stopped = presented.found and not accepted and notes.error == "invalid_grant"
    compared = getattr(notes.grant.request, "authorization_code", None) is not None  # Authlib keeps it then
    if not stopped or presented.pkce != "unchecked" or compared or entry is None:
        return
    host = settle.host_of(parameter(notes.values(), "redirect_uri"))
    differs = bool(host) and ledger.digest(b"host", host) != entry.place
    presented.redirect = "host" if differs else "other"


def issued_tokens(notes: EndpointRequest) -> IssuedTokens:
    """Return the tokens that were saved in this request, as they are settled."""
    client_id, token = notes.client_id or notes.queried_client, notes.token
    access = token.get("access_token")
    if not isinstance(access, str):
        return IssuedTokens(client_id)
    expires_in, refresh = token.get("expires_in"), token.get("refresh_token")
    return IssuedTokens(
        client_id,
        access,
        float(expires_in) if isinstance(expires_in, (int, float)) else None,
        refresh if isinstance(refresh, str) else None,
    )
