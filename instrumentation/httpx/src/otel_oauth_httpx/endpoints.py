"""The endpoints that are known by their URL: documented ones of providers, and learned ones.

Learned ones come from discovery documents, from the challenges of refusals and from registrations. Whoever serves those
may be hostile. What they say is therefore believed of their own origin only, or of a host that stands for the same
provider (:data:`otel_oauth.providers.WELL_KNOWN_PROVIDERS`, ``OTEL_OAUTH_PROVIDERS``): nobody gives a name to requests
that go elsewhere. The table is bounded: if it is full, an entry goes that nothing was sent to, else the one that was
used least recently; an entry that nothing was sent to for a day is not believed any more.
"""

from __future__ import annotations

import re
import threading
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from otel_oauth import kinds
from otel_oauth_httpx.providers import DOCUMENTED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from otel_oauth.kinds import OperationKind
    from otel_oauth_httpx.recognised import DiscoveryMethod

MOST_ENDPOINTS = 512
"""The most endpoints that are learned."""

MOST_OF_HOST = 64
"""The most endpoints that are learned of one host, so that no host drives out the others."""

MOST_ISSUERS = 64
"""The most authorization servers that are remembered as named by a protected resource."""

LIFETIME = 86400.0
"""Seconds until a learned endpoint that nothing is sent to is forgotten."""

ATTEMPT = 600.0
"""Seconds within which metadata that was pointed to is asked for, so that it belongs to the same discovery."""

TAIL = 5
"""By how many characters at its end a path is told first: to cut them off and look them up costs least."""

_LONGEST_URL = 2048
_MOST_NAMED = 8
_PORTS = {"http": 80, "https": 443}
_MANAGEMENT = ("GET", "PUT", "DELETE")
_METADATA: tuple[tuple[str, OperationKind, tuple[str, ...]], ...] = (
    ("token_endpoint", kinds.TOKEN, ("POST",)),
    ("userinfo_endpoint", kinds.USERINFO, ("GET", "POST")),
    ("jwks_uri", kinds.JWKS, ("GET",)),
    ("revocation_endpoint", kinds.REVOKE, ("POST",)),
    ("introspection_endpoint", kinds.INTROSPECT, ("POST",)),
    ("registration_endpoint", kinds.REGISTER, ("POST",)),
    ("device_authorization_endpoint", kinds.DEVICE_AUTHORIZATION, ("POST",)),
    ("pushed_authorization_request_endpoint", kinds.PUSHED_AUTHORIZATION, ("POST",)),
)


class Place(NamedTuple):
    """Where a request goes, as httpx writes it: lower case, without userinfo, default port, query and fragment."""

    scheme: str
    host: str
    port: int | None
    path: str


def origin_of(scheme: str, host: str, port: int | None) -> str:
    """Return ``scheme://authority``, without a port if it is the default one."""
    if ":" in host:
        host = f"[{host}]"
    return f"{scheme}://{host}" if port is None else f"{scheme}://{host}:{port}"


def place_of(url: object) -> Place | None:
    """Return the place of an absolute URL of HTTP from a document or a header; ``None`` if it is none."""
    if not isinstance(url, str) or len(url) > _LONGEST_URL or not url.isascii():
        return None
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in _PORTS or not parts.hostname:
        return None
    return Place(parts.scheme, parts.hostname, None if port == _PORTS[parts.scheme] else port, parts.path or "/")


@dataclass(frozen=True, eq=False, repr=False)
class Endpoint:
    """What is known of a URL.

    :param kind: the operation of a request to it; ``TOKEN`` for a token endpoint, whatever the grant.
    :param standard: it answers as the RFC of its kind says; some documented endpoints of providers do not.
    :param manages: it manages registrations (RFC 7592).
    :param discovery_method: for metadata, how its URL came to be known.
    :param seen: when it was learned or last used, in seconds of the table's clock; ``None`` if it is documented.
    :param used: a request was sent to it since it was learned.
    """

    kind: OperationKind
    standard: bool = True
    manages: bool = False
    discovery_method: DiscoveryMethod = ""
    seen: float | None = None
    used: bool = False


_Key = tuple[str, str, "int | None", str]


@dataclass(eq=False, repr=False)
class Host:
    """The endpoints of one host: by method, scheme, port and path, and documented ones by a pattern of the path."""

    endpoints: dict[_Key, Endpoint] = field(default_factory=dict)
    patterns: list[tuple[str, re.Pattern[str], Endpoint]] = field(default_factory=list)
    tails: dict[str, set[str]] = field(default_factory=dict)

    def index(self) -> None:
        """Note how the paths end that are worth being looked at, by method; empty for any end."""
        tails: dict[str, set[str]] = {}
        for (method, _, _, path), endpoint in self.endpoints.items():
            tails.setdefault(method, set()).add(path[-TAIL:])
            if endpoint.kind is kinds.REGISTER:
                for below in _MANAGEMENT:
                    tails.setdefault(below, set()).add("")
        for method, pattern, _ in self.patterns:
            tails.setdefault(method, set()).add(pattern.pattern.rpartition("*")[2].replace("\\", "")[-TAIL:])
        self.tails = tails


def _documented() -> dict[str, Host]:
    hosts: dict[str, Host] = {}
    for host, path, methods, kind, standard in DOCUMENTED:
        known, endpoint = hosts.setdefault(host, Host()), Endpoint(kind, standard=standard)
        for method in methods.split():
            if "*" in path:
                pattern = re.compile("[^/]*".join(map(re.escape, path.split("*"))))
                known.patterns.append((method, pattern, endpoint))
            else:
                known.endpoints[method, "https", None, path] = endpoint
    for known in hosts.values():
        known.index()
    return hosts


_DOCUMENTED = _documented()


class Endpoints:
    """Which URLs are which endpoints: one table for an instrumentor, to be used from any thread.

    :param named: host -> provider name; hosts with the same name belong together.
    :param clock: seconds that only grow.
    """

    def __init__(self, named: Mapping[str, str] | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._named = dict(named or {})
        self._clock = clock
        self._lock = threading.Lock()
        self._learned: dict[tuple[str, _Key], None] = {}  # in the order of their last use
        self._issuers: dict[str, tuple[DiscoveryMethod, float]] = {}
        self.hosts = {
            name: Host(known.endpoints.copy(), known.patterns, known.tails) for name, known in _DOCUMENTED.items()
        }
        """What is known, by host: the classifier looks here whether it is worth looking closer."""

    def near(self, method: str, host: str, path: str) -> bool:
        """Tell, in some look-ups, whether a request may be one to a known endpoint."""
        known = self.hosts.get(host)
        tails = None if known is None else known.tails.get(method)
        return tails is not None and (path[-TAIL:] in tails or "" in tails)

    def find(self, method: str, place: Place) -> Endpoint | None:
        """Return what is known of a request's place, and note that it was used."""
        host = self.hosts.get(place.host)
        if host is None:
            return None
        key: _Key = (method, place.scheme, place.port, place.path)
        found = host.endpoints.get(key)
        if found is not None:
            return found if found.seen is None else self._use(host, place.host, key, found)
        if place.scheme == "https" and place.port is None:
            for of_method, pattern, endpoint in host.patterns:
                if of_method == method and pattern.fullmatch(place.path):
                    return endpoint
        if method in _MANAGEMENT and self._registers(host, place):
            return Endpoint(kinds.REGISTER, manages=True)
        return None

    def _use(self, host: Host, name: str, key: _Key, found: Endpoint) -> Endpoint | None:
        now = self._clock()
        lasts = ATTEMPT if found.discovery_method else LIFETIME
        with self._lock:
            if now - (found.seen or 0.0) > lasts:
                self._forget(name, key)
                return None
            if (name, key) in self._learned:
                host.endpoints[key] = replace(found, seen=now, used=True)
                self._learned[name, key] = self._learned.pop((name, key))
        return found

    def _registers(self, host: Host, place: Place) -> bool:
        """Tell whether a path is one below a registration endpoint: usually that of one client (RFC 7592 section 2)."""
        parent = place.path.rpartition("/")[0]
        above = host.endpoints.get(("POST", place.scheme, place.port, parent))
        return above is not None and above.kind is kinds.REGISTER

    # Learning ---------------------------------------------------------------------------------------------------------

    def learn_metadata(self, source: Place, document: Mapping[str, Any]) -> None:
        """Learn the endpoints of an authorization server from its metadata (RFC 8414, OpenID Connect Discovery)."""
        aliases = document.get("mtls_endpoint_aliases")  # RFC 8705 section 5
        for members in (document, aliases if isinstance(aliases, dict) else {}):
            for name, kind, methods in _METADATA:
                place = place_of(members.get(name))
                if place is not None and self._belongs(source, place):
                    for method in methods:
                        self._learn(method, place, Endpoint(kind))

    def learn_resource(self, document: Mapping[str, Any], method: DiscoveryMethod) -> tuple[str, ...]:
        """Learn from the metadata of a protected resource who its authorization servers are (RFC 9728 section 2).

        Returns their origins. Anyone may be named: all that follows is to which discovery a later one belongs.
        """
        servers = document.get("authorization_servers")
        named = [place_of(url) for url in (servers if isinstance(servers, list) else [])[:_MOST_NAMED]]
        places = [place for place in named if place is not None]
        with self._lock:
            for place in places:
                self._issuers.pop(place.host, None)
                if len(self._issuers) >= MOST_ISSUERS:
                    del self._issuers[next(iter(self._issuers))]
                self._issuers[place.host] = (method, self._clock())
        return tuple(origin_of(*place[:3]) for place in places)

    def learn_challenge(self, source: Place, url: object) -> None:
        """Learn from a refusal where the metadata of the protected resource is (RFC 9728 section 5.1)."""
        place = place_of(url)
        if place is not None and self._belongs(source, place):
            self._learn("GET", place, Endpoint(kinds.DISCOVER, discovery_method="www-authenticate"))

    def learn_registration(self, source: Place, url: object) -> None:
        """Learn from a registration where it is managed (RFC 7592 section 3)."""
        place = place_of(url)
        if place is not None and self._belongs(source, place):
            for method in _MANAGEMENT:
                self._learn(method, place, Endpoint(kinds.REGISTER, manages=True))

    def issuer_method(self, host: str) -> DiscoveryMethod:
        """Return how the protected resource was discovered that named this authorization server, else ``manual``."""
        found = self._issuers.get(host)
        return found[0] if found is not None and self._clock() - found[1] <= ATTEMPT else "manual"

    def _belongs(self, source: Place, place: Place) -> bool:
        if place[:3] == source[:3]:
            return True
        name = self._named.get(source.host)
        return name is not None and place.scheme == "https" and self._named.get(place.host) == name

    def _learn(self, method: str, place: Place, endpoint: Endpoint) -> None:
        key: _Key = (method, place.scheme, place.port, place.path)
        with self._lock:
            host = self.hosts.get(place.host) or Host()
            known = host.endpoints.get(key)
            if known is not None and known.seen is None:
                return
            if known is None:
                self._make_room(place.host)
            used = known is not None and known.used
            host.endpoints[key] = replace(endpoint, seen=self._clock(), used=used)
            host.index()
            self.hosts[place.host] = host
            self._learned[place.host, key] = None

    def _make_room(self, host: str) -> None:
        candidates = [entry for entry in self._learned if entry[0] == host]
        if len(candidates) < MOST_OF_HOST:
            candidates = list(self._learned) if len(self._learned) >= MOST_ENDPOINTS else []
        if candidates:
            unused = (entry for entry in candidates if not self.hosts[entry[0]].endpoints[entry[1]].used)
            self._forget(*next(unused, candidates[0]))

    def _forget(self, name: str, key: _Key) -> None:
        if (name, key) not in self._learned:
            return
        del self._learned[name, key]
        host = self.hosts[name]
        del host.endpoints[key]
        host.index()
        if not host.endpoints and not host.patterns:
            del self.hosts[name]
