"""Where Authlib has lost an attribute, its hook is left out, which is said once, and all the others work."""

from __future__ import annotations

import logging
from functools import reduce
from importlib import import_module
from typing import Any

import pytest
from attached import attached
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.client import OAuth2Client
from authlib_provider import CLIENT_ID, CLIENT_SECRET
from client_rows import provider_call, refreshed

from otel_oauth.testing import Capture
from otel_oauth_authlib import AuthlibInstrumentor
from otel_oauth_authlib.client import CLIENT_HOOKS
from otel_oauth_authlib.registry import REGISTRY_HOOKS
from otel_oauth_authlib.resource import RESOURCE_HOOKS
from otel_oauth_authlib.server import SERVER_HOOKS

TABLES = {**CLIENT_HOOKS, **REGISTRY_HOOKS, **SERVER_HOOKS, **RESOURCE_HOOKS}


def defined(target: str) -> list[tuple[type, str]]:
    """Return the classes that define a target of the tables, the nearest first; import its module."""
    module, _, path = target.partition(":")
    owner_name, _, attribute = path.rpartition(".")
    owner = reduce(getattr, filter(None, owner_name.split(".")), import_module(module))
    return [(cls, attribute) for cls in owner.__mro__[:-1] if attribute in vars(cls)]


PRESENT = [target for target in TABLES if defined(target)]


def bound(target: str) -> Any:
    """Return what a target's name gives at the moment."""
    (cls, attribute), *_ = defined(target)
    return vars(cls)[attribute]


@pytest.mark.parametrize("gone", PRESENT)
def test_an_attribute_that_is_gone(
    gone: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for cls, attribute in defined(gone):
        monkeypatch.delattr(cls, attribute)
    left = [target for target in PRESENT if defined(target)]
    lost = [target for target in PRESENT if target not in left and not TABLES[target].optional]
    before = {target: bound(target) for target in left}
    with caplog.at_level(logging.WARNING, logger="otel_oauth"), Capture() as capture:
        instrumentor = AuthlibInstrumentor()
        instrumentor.instrument(telemetry=capture.telemetry)
        try:
            hooks = {p["attributes"]["state"]: p["value"] for p in capture.points() if p["name"] == "otel_oauth_hooks"}
            unhooked = [target for target in left if bound(target) is before[target]]
        finally:
            instrumentor.uninstrument()
    assert unhooked == [], "every other hook is in place"
    assert sorted(record.getMessage() for record in caplog.records) == sorted(
        f"otel-oauth: {target.replace(':', '.')} is not in this version of authlib; it is left out" for target in lost
    )
    assert hooks["missing"] == len(lost)
    assert all(bound(target) is before[target] for target in left), "and can be taken back"


def test_the_rest_works(provider: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("introspect_token", "revoke_token", "create_authorization_url"):
        monkeypatch.delattr(OAuth2Client, name)
    with Capture() as capture, OAuth2Session(CLIENT_ID, CLIENT_SECRET, scope="profile") as session:
        hooks = attached(capture.telemetry, CLIENT_HOOKS)
        session.fetch_token(f"{provider.url}/token", grant_type="client_credentials")
        assert capture.moved() == provider_call("token", "200", provider="127.0.0.1")
        with pytest.raises(OAuthError):
            session.refresh_token(f"{provider.url}/token", "of-nobody")
        refused = provider_call("refresh", "400", "client_error", provider="127.0.0.1")
        assert capture.moved() == {**refused, **refreshed("failure", "no_record")}
        hooks.detach()
