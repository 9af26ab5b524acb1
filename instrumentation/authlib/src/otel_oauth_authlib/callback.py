"""The callback of a registered client: what came back from the provider, whether it was accepted, what that means."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from otel_oauth import cases, judge, kinds, settle
from otel_oauth.flows import answered_with_error, refuse, time_flow
from otel_oauth.hooks import Call, Hook
from otel_oauth.operation import Operation, current_operation
from otel_oauth.own_tokens import text
from otel_oauth_authlib import framework
from otel_oauth_authlib.arrivals import Arrived, arrived_at_django, arrived_at_flask, arrived_at_starlette
from otel_oauth_authlib.registered import registered_facts
from otel_oauth_authlib.states import StateLookup, adopt_integration

if TYPE_CHECKING:
    from otel_oauth.cases import Case

_MISSING_NONCE = ("Missing 'nonce' claim", 'Missing "nonce" claim')
"""How Authlib before 1.7 says which claim is missing: in no other way."""


class Callback(StateLookup):
    """Notes of one callback, kept on its operation and never exported.

    :param arrived: the HTTP request.
    :param request: the operation that counts the HTTP request, if it ends with this callback.
    :ivar code: the digest of the code; ``None`` if it could not be read.
    :ivar error: the error code that came instead of a code.
    :ivar issuer: the issuer that names itself in the response; empty if it does not.
    :ivar began: when the user came back, in seconds since the epoch.
    """

    code: bytes | None = None
    error: str = ""
    issuer: str = ""

    def __init__(self, arrived: Arrived, request: Operation | None) -> None:
        self.arrived = arrived
        self.request = request
        self.began = time.time()


def callback_hook(read: Callable[[Call], Arrived | None]) -> Hook:
    """Return the hook of ``authorize_access_token`` of one framework, given how its request is read."""

    def begin(call: Call) -> Operation | None:
        arrived = read(call)
        if arrived is None:
            return None
        adopt_integration(call)
        request = _count_http_request(call, arrived)
        operation = call.telemetry.operation(kinds.CALLBACK, registered_facts(call))
        operation.request = framework.itself(framework.flask_request() if arrived.request is None else arrived.request)
        callback = operation.local = Callback(arrived, request)
        if not arrived.posted:
            _read(operation, callback, arrived.query)
            callback.error = text(arrived.query.get("error"))
        return operation

    return Hook(begin, _handled)


def _read(operation: Operation, callback: Callback, values: Mapping[str, Any]) -> None:
    """Read what the user's browser brought back (RFC 6749 section 4.1.2, RFC 9207)."""
    ledger = operation.telemetry.ledger
    if callback.state is None:
        callback.sight(ledger, text(values.get("state")))
    callback.code = ledger.digest(b"code", text(values.get("code")))
    callback.issuer = text(values.get("iss"))


def _count_http_request(call: Call, arrived: Arrived) -> Operation | None:
    """Count the HTTP request that this callback is, once however often it is handled.

    Flask tells the status of its response; elsewhere the request counts as answered when the callback is handled,
    and the operation that counts it is returned.
    """
    if arrived.request is None:
        if framework.pending_operation(call) is not None:
            return None
    elif _seen_before(call, arrived.request):
        return None
    request = call.telemetry.operation(kinds.CALLBACK_ENDPOINT, {"endpoint": "callback", "method": arrived.method})
    request.start()
    request.suspend()
    if arrived.request is None:
        framework.defer(call, request)
        return None
    return request


def _seen_before(call: Call, request: object) -> bool:
    notes = call.hooks.notes
    try:
        seen = request in notes
        notes[request] = True
    except TypeError:
        # A stand-in of the application's that cannot be noted: each callback is a request then.
        return False
    return seen


def _handled(call: Call, result: Any, error: BaseException | None) -> None:  # noqa: ANN401 the token
    operation = call.operation
    if operation is None or not isinstance(operation.local, Callback):
        return
    callback = operation.local
    operation.facts["handled"] = "true" if error is None else "false"
    if callback.arrived.posted and callback.asked:
        # Authlib has read the form by now: to read it first could change what the application sees of a bad one.
        form = callback.arrived.form()
        if form is not None:
            _read(operation, callback, form)
    if callback.found:
        _end_flow(call, operation, callback, result)
    elif callback.asked:
        _refuse(call, operation, callback)
    elif callback.error:
        answered_with_error(operation, callback.state, callback.error, callback.began)
    if callback.request is not None:
        settle.handled(callback.request, error)


def _refuse(call: Call, operation: Operation, callback: Callback) -> None:
    state = callback.state
    if state is None:
        return
    cache = bool(getattr(getattr(call.instance, "framework", None), "cache", None))
    code = callback.code
    if code is None:
        # Nothing says that it is another one: the benign twin.
        code = b"" if state.entry is None else state.entry.peer
    presented = judge.StatePresented(state, code, session_empty=callback.session_empty)
    refuse(operation, presented, marked=callback.marked, cache=cache)


def _end_flow(call: Call, operation: Operation, callback: Callback, result: Any) -> None:  # noqa: ANN401 the token
    facts, state = operation.facts, callback.state
    entry = None if state is None else state.entry
    if state is not None:
        call.telemetry.ledger.consume_state(state, callback.code or b"\0" * 16)
        facts["state"], facts["code"] = state.digest, callback.code
    facts["pkce_ok"] = callback.verifier
    facts["flow"] = True
    time_flow(operation, entry, callback.began, callback.started)
    if not isinstance(result, Mapping) or not result.get("access_token"):
        facts["status"] = "failure"
    else:
        _note_user(operation, result.get("userinfo"))
    operation.judge(_issuer_case(call.instance, callback))


def _note_user(operation: Operation, claims: object) -> None:
    """Note the subject of the ID token, which Authlib has validated, as a digest (OpenID Connect Core section 2)."""
    subject = claims.get("sub") if isinstance(claims, Mapping) else None
    if isinstance(subject, str) and subject:
        operation.facts["user"] = operation.telemetry.ledger.digest(b"user", subject)


def _issuer_case(app: Any, callback: Callback) -> Case | None:  # noqa: ANN401 Authlib's registered client
    """Compare the issuer in the response with the configured one (RFC 9207 section 2.4); Authlib itself does not."""
    known = getattr(app, "server_metadata", None) or {}
    issuer = known.get("issuer")
    if not isinstance(issuer, str) or "{" in issuer:
        return None
    announced = bool(known.get("authorization_response_iss_parameter_supported"))
    if callback.issuer == issuer or (not callback.issuer and not announced):
        return None
    return cases.ISSUER_MISMATCH


# The ID token ---------------------------------------------------------------------------------------------------------


def _id_token_parsed(call: Call, _result: Any, error: BaseException | None) -> None:  # noqa: ANN401 the claims
    case = _claim_case(call, error)
    if case is None:
        return
    operation = current_operation()
    callback = None if operation is None else operation.within(kinds.CALLBACK)
    if callback is not None:
        callback.judge(case)
        return
    with call.telemetry.operation(kinds.VERDICT, {"case": case.name}) as verdict:
        verdict.judge(case)


def _claim_case(call: Call, error: BaseException | None) -> Case | None:
    """Return what a refused claim means (OpenID Connect Core 3.1.3.7); of Authlib 1.7 and later, or before."""
    claim = getattr(error, "claim", None) or getattr(error, "claim_name", None)
    missing = type(error).__name__ == "MissingClaimError"
    if missing and (claim == "nonce" or getattr(error, "description", None) in _MISSING_NONCE):
        return cases.NONCE_MISSING
    if claim == "nonce":
        return cases.NONCE_MISMATCH
    if missing:
        return None
    if claim == "at_hash":
        token = call.argument(0, "token")
        return cases.AT_HASH_MISMATCH if _has_half_hash(token) else None
    if claim == "iss":
        issuer = (getattr(call.instance, "server_metadata", None) or {}).get("issuer")
        return None if "{" in str(issuer) else cases.ISSUER_MISMATCH
    return cases.ISSUER_MISMATCH if claim == "azp" else None


def _has_half_hash(token: Any) -> bool:  # noqa: ANN401 the token response
    """Tell whether Authlib can compute ``at_hash`` for the algorithm of an ID token; where not, it always differs."""
    from authlib.oidc.core.util import create_half_hash  # noqa: PLC0415 Authlib is loaded when this runs

    header = str(token.get("id_token", "")).partition(".")[0]
    try:
        algorithm = json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))["alg"]
        return create_half_hash("", algorithm) is not None
    except (ValueError, KeyError, TypeError):
        return False


_INTEGRATIONS = "authlib.integrations"
_PARSED = Hook(after=_id_token_parsed)

CALLBACK_HOOKS: dict[str, Hook] = {
    f"{_INTEGRATIONS}.flask_client.apps:FlaskOAuth2App.authorize_access_token": callback_hook(arrived_at_flask),
    f"{_INTEGRATIONS}.django_client.apps:DjangoOAuth2App.authorize_access_token": callback_hook(arrived_at_django),
    f"{_INTEGRATIONS}.starlette_client.apps:StarletteOAuth2App.authorize_access_token": callback_hook(
        arrived_at_starlette
    ),
    f"{_INTEGRATIONS}.base_client.sync_openid:OpenIDMixin.parse_id_token": _PARSED,
    f"{_INTEGRATIONS}.base_client.async_openid:AsyncOpenIDMixin.parse_id_token": _PARSED,
}
"""The callback of each framework's registry, and the validation of its ID token."""
