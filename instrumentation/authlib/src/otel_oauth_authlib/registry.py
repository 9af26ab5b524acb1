"""The client registries of the web frameworks: initiation, discovery, key sets, userinfo. See also ``callback``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from otel_oauth import kinds
from otel_oauth.flows import initiated
from otel_oauth.hooks import Call, Hook
from otel_oauth.operation import Operation, current_operation
from otel_oauth_authlib.callback import CALLBACK_HOOKS
from otel_oauth_authlib.registered import registered_facts, registered_provider
from otel_oauth_authlib.states import STATE_HOOKS, adopt_integration
from otel_oauth_authlib.transport import session_note, settle


def _registered(call: Call, _result: Any, error: BaseException | None) -> None:  # noqa: ANN401 None
    """Give a provider and a client their zero series before their first failure."""
    if error is None:
        registered_facts(call)
        adopt_integration(call)


def _session_made(call: Call, result: Any, error: BaseException | None) -> None:  # noqa: ANN401 a session
    if error is None:
        session_note(call, result).provider = registered_provider(call)


# Initiation -----------------------------------------------------------------------------------------------------------


def _begin_authorization(call: Call) -> Operation | None:
    around = current_operation()
    if around is not None and around.kind is kinds.AUTHORIZE:
        return None
    adopt_integration(call)
    return call.telemetry.operation(kinds.AUTHORIZE, registered_facts(call))


def _authorization_created(call: Call, result: Any, error: BaseException | None) -> None:  # noqa: ANN401 Authlib's dict
    if call.operation is None or error is not None or not isinstance(result, Mapping):
        return
    seconds = float(getattr(getattr(call.instance, "framework", None), "expires_in", 3600))
    verifier = bool(result.get("code_verifier"))
    initiated(call.operation, result.get("state"), verifier=verifier, seconds=seconds)


# What a registry fetches ----------------------------------------------------------------------------------------------


def _begin_discovery(call: Call) -> Operation | None:
    known = getattr(call.instance, "server_metadata", None) or {}
    url = getattr(call.instance, "_server_metadata_url", None)
    if not url or "_loaded_at" in known:
        return None
    return call.telemetry.operation(kinds.DISCOVER, {**registered_facts(call, url), "discovery_method": "manual"})


def _begin_key_set(call: Call) -> Operation | None:
    known = getattr(call.instance, "server_metadata", None) or {}
    if known.get("jwks") and not call.argument(0, "force"):
        return None
    return call.telemetry.operation(kinds.JWKS, registered_facts(call, known.get("jwks_uri")))


def _begin_userinfo(call: Call) -> Operation:
    known = getattr(call.instance, "server_metadata", None) or {}
    return call.telemetry.operation(kinds.USERINFO, registered_facts(call, known.get("userinfo_endpoint")))


def _fetched(call: Call, _result: Any, error: BaseException | None) -> None:  # noqa: ANN401 the document
    if call.operation is not None:
        settle(call.operation, error, read=True)


def _key_set_fetched(call: Call, result: Any, error: BaseException | None) -> None:  # noqa: ANN401 the key set
    if call.operation is None:
        return
    settle(call.operation, error, read=True)
    keys = result.get("keys") if isinstance(result, Mapping) else None
    if error is None and not isinstance(keys, list):
        call.operation.facts.update(provider_error="invalid_response", status="failure")


_BASE = "authlib.integrations.base_client"
_APP: dict[str, Hook] = {
    "create_authorization_url": Hook(_begin_authorization, _authorization_created),
    "load_server_metadata": Hook(_begin_discovery, _fetched),
}
_OPENID: dict[str, Hook] = {
    "fetch_jwk_set": Hook(_begin_key_set, _key_set_fetched),
    "userinfo": Hook(_begin_userinfo, _fetched),
}
_TABLES = {
    "sync_app:OAuth2Mixin": _APP,
    "async_app:AsyncOAuth2Mixin": _APP,
    "sync_openid:OpenIDMixin": _OPENID,
    "async_openid:AsyncOpenIDMixin": _OPENID,
}

REGISTRY_HOOKS: dict[str, Hook] = {
    f"{_BASE}.sync_app:OAuth2Base.__init__": Hook(after=_registered),
    f"{_BASE}.sync_app:OAuth2Base._get_oauth_client": Hook(after=_session_made),
    **{f"{_BASE}.{mixin}.{name}": hook for mixin, table in _TABLES.items() for name, hook in table.items()},
    **STATE_HOOKS,
    **CALLBACK_HOOKS,
}
"""What is hooked of the client registries: the sync one of Flask and Django, the async one of Starlette."""
