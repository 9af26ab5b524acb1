"""The resource server: bearer tokens checked by a ``ResourceProtector`` (RFC 6750)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otel_oauth import kinds, vocabulary
from otel_oauth.hooks import Call, Hook
from otel_oauth_authlib.storage import storage_hook

if TYPE_CHECKING:
    from otel_oauth.operation import Operation

VALIDATOR_CALLBACKS: dict[str, Hook] = {"authenticate_token": storage_hook("query_token")}
"""The callbacks of token validators, hooked where the application defines them."""


def _begin(call: Call) -> Operation:
    validators = getattr(call.instance, "_token_validators", {})
    for validator in validators.values():
        call.hooks.adopt(type(validator), VALIDATOR_CALLBACKS)
    return call.telemetry.operation(kinds.VERIFY, token_type="bearer" if "bearer" in validators else "other")


def _after(call: Call, _result: Any, error: BaseException | None) -> None:  # noqa: ANN401 the application's token object
    operation = call.operation
    code = getattr(error, "error", None)
    if operation is not None and code is not None:
        operation.facts["error"] = vocabulary.rfc_error(code)


RESOURCE_HOOKS: dict[str, Hook] = {
    "authlib.oauth2.rfc6749.resource_protector:ResourceProtector.validate_request": Hook(_begin, _after),
}
"""The check of a bearer token."""
