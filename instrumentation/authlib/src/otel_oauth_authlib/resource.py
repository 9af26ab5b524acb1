"""The resource server: bearer tokens checked by a ``ResourceProtector`` (RFC 6750)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otel_oauth import kinds, vocabulary
from otel_oauth.hooks import Call, Hook, StoreHook
from otel_oauth.operation import current_operation

if TYPE_CHECKING:
    from otel_oauth.operation import Operation

_REFUSALS = {
    "missing_authorization": "missing",
    "unsupported_token_type": "malformed",
    "insufficient_scope": "insufficient_scope",
}
_CAUSES = {"expired_token": "expired", "bad_signature": "wrong_signature", "invalid_key_id": "wrong_signature"}
_CLAIMS = {"aud": "wrong_audience", "iss": "wrong_issuer"}


def _token_found(_call: Call, result: Any) -> None:  # noqa: ANN401 the application's token object
    operation = current_operation()
    check = None if operation is None else operation.within(kinds.VERIFY)
    if check is not None:
        check.local = result


def _token_read(call: Call, result: Any, error: BaseException | None) -> None:  # noqa: ANN401 Authlib's claims
    if error is None:
        _token_found(call, result)


VALIDATOR_CALLBACKS: dict[str, Hook] = {"authenticate_token": StoreHook("query_token", stored=_token_found)}
"""The callbacks of token validators, hooked where the application defines them."""

_READING_CALLBACKS: dict[str, Hook] = {"authenticate_token": Hook(after=_token_read)}
"""The same of Authlib's own validators, which read a JWT or ask another server: no call of the store."""


def _begin(call: Call) -> Operation:
    validators = getattr(call.instance, "_token_validators", {})
    for validator in validators.values():
        found = getattr(type(validator), "authenticate_token", None)
        reads = str(getattr(found, "__module__", "")).startswith("authlib.oauth2.")
        call.hooks.adopt(type(validator), _READING_CALLBACKS if reads else VALIDATOR_CALLBACKS)
    operation = call.telemetry.operation(kinds.VERIFY, {"token_type": "bearer" if "bearer" in validators else "other"})
    operation.facts["token_in_query"] = "access_token=" in str(getattr(call.argument(1, "request"), "uri", ""))
    return operation


def _after(call: Call, _result: Any, error: BaseException | None) -> None:  # noqa: ANN401 the application's token object
    operation = call.operation
    if operation is None:
        return
    code = getattr(error, "error", None)
    if code is not None:
        operation.facts["error"] = vocabulary.rfc_error(code)
    if error is None:
        operation.facts["verification"] = "accepted"
    elif code == "invalid_token":
        operation.facts["verification"] = _invalid(operation.local, error.__cause__ or error.__context__)
    else:
        # Before 1.7 Authlib lets the error of a wrong signature escape.
        verification = _REFUSALS.get(str(code)) or _CAUSES.get(str(code))
        if verification:
            operation.facts["verification"] = verification
    operation.local = None


def _invalid(token: Any, cause: BaseException | None) -> str:  # noqa: ANN401 the application's token object, or claims
    """Tell what is wrong with a token: the reading of the JWT says it, else the token itself."""
    reason = getattr(cause, "error", None)
    if reason is not None:
        claim = getattr(cause, "claim", None) or getattr(cause, "claim_name", None)
        return _CAUSES.get(reason) or _CLAIMS.get(str(claim), "malformed")
    if not token:
        return "unknown"
    if isinstance(token, dict) and not token.get("active", True):
        return "inactive"
    for state, name in (("is_expired", "expired"), ("is_revoked", "revoked")):
        tell = getattr(token, state, None)
        if callable(tell) and tell():
            return name
    return "refused"


RESOURCE_HOOKS: dict[str, Hook] = {
    "authlib.oauth2.rfc6749.resource_protector:ResourceProtector.validate_request": Hook(_begin, _after),
}
"""The check of a bearer token."""
