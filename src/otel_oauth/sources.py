"""Where a request came from: the address and the user agent of a security event.

A framework's request is asked in the way in which that framework keeps them: a WSGI environment, Django's ``META``, an
ASGI scope. The address is the peer's as the framework knows it; headers such as ``X-Forwarded-For`` are for the
application's own middleware to judge, anybody can send them.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any, NamedTuple

_LONGEST_AGENT = 256
_PREFIX = {4: 24, 6: 48}


class Source(NamedTuple):
    """Who sent a request.

    :param address: the peer's IP address as text; empty if it is not known.
    :param user_agent: the header ``User-Agent``; empty if there is none.
    """

    address: str = ""
    user_agent: str = ""


def source_of(request: object) -> Source:
    """Return the source of a framework's request; what is no such request has none."""
    if isinstance(request, Source):
        return request
    environ = getattr(request, "environ", None) or getattr(request, "META", None)
    if isinstance(environ, Mapping):
        return Source(_text(environ.get("REMOTE_ADDR")), _text(environ.get("HTTP_USER_AGENT")))
    scope = getattr(request, "scope", None)
    if isinstance(scope, Mapping):
        return _from_scope(scope)
    return Source()


def _from_scope(scope: Mapping[str, Any]) -> Source:
    client = scope.get("client")
    agents = [value for name, value in scope.get("headers") or () if name == b"user-agent"]
    return Source(_text(client[0]) if client else "", agents[0].decode("latin-1") if agents else "")


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def told_address(address: str, manner: str) -> str:
    """Return an address as it may be told.

    :param manner: ``whole``, ``truncated`` (the network: /24 of IPv4, /48 of IPv6) or ``none``; what is no address
        is not told.
    """
    if manner == "none" or not address:
        return ""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return str(found) if manner == "whole" else str(ip_network((found, _PREFIX[found.version]), strict=False))


def told_agent(user_agent: str) -> str:
    """Return the beginning of a user agent, without characters that are not printed."""
    return "".join(character for character in user_agent[:_LONGEST_AGENT] if character.isprintable())
