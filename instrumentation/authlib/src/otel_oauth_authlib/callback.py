"""The callback of a registered client: what came back from the provider, whether it was accepted, what that means."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from otel_oauth import cases, judge, kinds, vocabulary
from otel_oauth.hooks import Call, Hook
from otel_oauth.ledger import Status
from otel_oauth.operation import Operation, current_operation
from otel_oauth_authlib import framework
from otel_oauth_authlib.registered import registered_facts
from otel_oauth_authlib.states import StateLookup, refuse, time_flow

if TYPE_CHECKING:
    from otel_oauth.cases import Case

_ERROR_SECONDS = 3600.0


class Returned(NamedTuple):
    """What the user's browser brought back (RFC 6749 section 4.1.2, RFC 9207)."""

    method: str = "GET"
    error: str = ""
    state: str = ""
    code: str = ""
    issuer: str = ""


@dataclass
class Callback(StateLookup):
    """Notes of one callback, kept on its operation and never exported.

    :param code: the digest of the code.
    :param error: the error code that came instead of a code.
    :param issuer: the issuer that names itself in the response; empty if it does not.
    :param began: when the callback arrived.
    """

    code: bytes = b""
    error: str = ""
    issuer: str = ""
    began: float = 0.0


def _returned_to_flask(_call: Call) -> Returned | None:
    import flask  # noqa: PLC0415 only an application that uses Flask gets here

    if not flask.has_request_context():
        return None
    request = flask.request
    posted = request.method != "GET"
    values = request.form if posted else request.args
    error = "" if posted else values.get("error", "")
    return Returned(request.method, error, values.get("state", ""), values.get("code", ""), values.get("iss", ""))


def callback_hook(read: Callable[[Call], Returned | None]) -> Hook:
    """Return the hook of ``authorize_access_token`` of one framework, given how its request is read."""

    def begin(call: Call) -> Operation | None:
        returned = read(call)
        if returned is None:
            return None
        _count_http_request(call, returned.method)
        ledger = call.telemetry.ledger
        operation = call.telemetry.operation(kinds.CALLBACK, **registered_facts(call))
        operation.local = Callback(
            ledger.sight_state(returned.state),
            code=ledger.digest(b"code", returned.code),
            error=returned.error,
            issuer=returned.issuer,
            began=time.time(),
        )
        return operation

    return Hook(begin, _handled)


def _count_http_request(call: Call, method: str) -> None:
    """Count the HTTP request that this callback is, once however often it is handled, when its response is there."""
    if framework.pending_operation(call) is not None:
        return
    request = call.telemetry.operation(kinds.CALLBACK_ENDPOINT, endpoint="callback", method=method)
    request.start()
    request.suspend()
    framework.defer(call, request)


def _handled(call: Call, result: Any, error: BaseException | None) -> None:  # noqa: ANN401 the token
    operation = call.operation
    if operation is None or not isinstance(operation.local, Callback):
        return
    callback = operation.local
    operation.facts["handled"] = "true" if error is None else "false"
    if callback.found:
        _end_flow(call, operation, callback, result)
    elif callback.asked:
        cache = bool(getattr(getattr(call.instance, "framework", None), "cache", None))
        presented = judge.StatePresented(callback.state, callback.code, callback.session_empty)
        refuse(operation, presented, callback, cache=cache)
    elif callback.error:
        _answered_with_error(operation, callback)


def _end_flow(call: Call, operation: Operation, callback: Callback, result: Any) -> None:  # noqa: ANN401 the token
    facts, entry = operation.facts, callback.state.entry
    call.telemetry.ledger.consume_state(callback.state, callback.code)
    facts["pkce_ok"] = callback.verifier
    facts["flow"] = True
    began = time_flow(operation, entry, callback.started)
    if began:
        facts["user_seconds"] = max(0.0, callback.began - began)
    if not isinstance(result, Mapping) or not result.get("access_token"):
        facts["status"] = "failure"
    operation.judge(_issuer_case(call.instance, callback))


def _answered_with_error(operation: Operation, callback: Callback) -> None:
    operation.facts["error"] = vocabulary.rfc_error(callback.error)
    entry = callback.state.entry
    if callback.error in vocabulary.CANCELLED_ERRORS:
        operation.facts["outcome"] = "cancelled"
        operation.link(entry)
        operation.judge(cases.CALLBACK_CANCELLED)
        return
    now = time.time()
    pending = entry is not None and entry.status == Status.ISSUED and entry.expires_at > now
    # Authlib leaves the state where it is: a reload of the page is the same failure.
    if pending and operation.telemetry.ledger.first(f"error {callback.state.digest.hex()}", _ERROR_SECONDS):
        operation.judge(cases.CALLBACK_ERROR)
        time_flow(operation, entry)


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
    with call.telemetry.operation(kinds.VERDICT, case=case.name) as verdict:
        verdict.judge(case)


def _claim_case(call: Call, error: BaseException | None) -> Case | None:
    """Return what a refused claim means (OpenID Connect Core 3.1.3.7); of Authlib 1.7 and later, or before."""
    claim = getattr(error, "claim", None) or getattr(error, "claim_name", None)
    missing = type(error).__name__ == "MissingClaimError"
    if claim == "nonce":
        return cases.NONCE_MISSING if missing else cases.NONCE_MISMATCH
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


CALLBACK_HOOKS: dict[str, Hook] = {
    "authlib.integrations.flask_client.apps:FlaskOAuth2App.authorize_access_token": callback_hook(_returned_to_flask),
    "authlib.integrations.base_client.sync_openid:OpenIDMixin.parse_id_token": Hook(after=_id_token_parsed),
}
"""The callback of each framework's registry, and the validation of its ID token."""
