"""What an application writes differently for older versions of Authlib, in one place for the tests."""

from __future__ import annotations

from typing import Any

import authlib

try:
    from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
except ImportError:
    BasicOAuth2Payload = None  # before Authlib 1.6

AUTHLIB = tuple(int(part) for part in authlib.__version__.split(".")[:3])


def payload(request: Any) -> Any:
    """Return what has the parameters of an OAuth request: the request itself before Authlib 1.6."""
    return getattr(request, "payload", request)


def authorization_response(server: Any, grant_user: Any, grant: Any, request: Any = None) -> Any:
    """Answer an authorization request; Authlib takes the grant that was validated before from 1.6 on."""
    validated = {"grant": grant} if AUTHLIB >= (1, 6) else {}
    return server.create_authorization_response(request, grant_user=grant_user, **validated)


def with_parameters(request: Any, parameters: dict[str, str]) -> Any:
    """Give an OAuth request its parameters, as an integration of one's own does."""
    if AUTHLIB >= (1, 6):
        request.payload = BasicOAuth2Payload(parameters)
    else:
        request.body = parameters
    return request
