"""A client of a registry: its provider's name, its own id."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_oauth_authlib.transport import host_name

if TYPE_CHECKING:
    from otel_oauth.hooks import Call

_URLS = ("_server_metadata_url", "authorize_url", "access_token_url", "api_base_url")


def registered_provider(call: Call) -> str:
    """Return the label value of the provider of the registered client that a method was called on."""
    app = call.instance
    name = getattr(app, "name", None)
    if name:
        return call.telemetry.provider(name=str(name))
    return call.telemetry.provider(url=next((url for url in (getattr(app, name, None) for name in _URLS) if url), None))


def registered_facts(call: Call, url: object = None) -> dict[str, object]:
    """Return the facts of an operation of a registered client; its id is known, because it is the configuration's."""
    facts: dict[str, object] = {
        "provider": registered_provider(call),
        "client_id": call.telemetry.client(getattr(call.instance, "client_id", None)),
    }
    if url:
        facts["server_address"] = host_name("/".join(str(url).split("/", 3)[:3]))
    return facts
