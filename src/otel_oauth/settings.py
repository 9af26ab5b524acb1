"""The configuration: read from the environment or given as arguments, validated in this one place.

An invalid environment value is reported once and its default used, because a wrong variable must not stop an
application; an invalid argument raises ``ValueError``, because a programmer is there to read it.
"""

from __future__ import annotations

import logging
import os
import pathlib
import re
import sys
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from otel_oauth import environment_variables as env
from otel_oauth._patterns import pattern
from otel_oauth.catalogue import BY_NAME
from otel_oauth.events import EVENTS, SEVERITIES

_log = logging.getLogger("otel_oauth")

_PREFIX = "OTEL_OAUTH_"
_TEST_ONLY = "OTEL_OAUTH_RAISE_INTERNAL_ERRORS"
_HOST = pattern(r"[A-Za-z0-9.-]+(:\d+)?")
_LINK = pattern(r"[!-~]{1,256}")
_NAME = pattern(r"[A-Za-z0-9._-]{1,64}")
_BEGINNING = pattern(r"[A-Za-z0-9._-]{3,64}\*")


def _number(low: float, high: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not low <= value <= high:
            msg = f"must be a number from {low:g} to {high:g}"
            raise ValueError(msg)
        return value

    return parse


def _integer(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.strip().isdecimal() or not low <= int(text) <= high:
            msg = f"must be a whole number from {low} to {high}"
            raise ValueError(msg)
        return int(text)

    return parse


def _boolean(text: str) -> bool:
    lowered = text.strip().lower()
    if lowered not in ("true", "false", "1", "0"):
        msg = "must be true or false"
        raise ValueError(msg)
    return lowered in ("true", "1")


class Place(str):
    """Where the ledger is; whatever shows it shows an address without user, password and options."""

    __slots__ = ()

    def _shown(self) -> str:
        scheme, separator, rest = self.partition("://")
        return scheme + separator + rest.partition("?")[0].rpartition("@")[2]

    def __str__(self) -> str:
        return self._shown()

    def __repr__(self) -> str:
        return repr(self._shown())

    def __format__(self, spec: str) -> str:
        return format(self._shown(), spec)


def _ledger(text: str) -> Place:
    place = text.strip()
    if place in ("auto", "memory", "host") or (place.startswith("host:") and pathlib.Path(place[5:]).is_absolute()):
        return Place(place)
    if place.startswith(("redis://", "rediss://")) and _is_redis(place):
        return Place(place)
    msg = "must be auto, memory, host, host: followed by an absolute directory, or a redis:// or rediss:// address"
    raise ValueError(msg)


def _is_redis(address: str) -> bool:
    try:
        parts = urlsplit(address)
        good = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False
    # Other options of the client could undo the bound of a wait, or what its answers look like.
    names = (name for name, _ in parse_qsl(parts.query, keep_blank_values=True))
    return good and bool(re.fullmatch(r"(/\d*)?", parts.path)) and all(name.startswith("ssl_") for name in names)


def _pairs(text: str) -> list[tuple[str, str]]:
    found = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, separator, value = part.partition("=")
        if not separator or not name.strip() or not value.strip():
            msg = "must be a list of NAME=VALUE separated by commas"
            raise ValueError(msg)
        found.append((name.strip(), value.strip()))
    return found


def _providers(text: str) -> dict[str, str]:
    providers = dict(_pairs(text))
    for host, name in providers.items():
        if not _HOST.fullmatch(host) or not _NAME.fullmatch(name):
            msg = "must be a list of HOST=NAME; names have 1 to 64 letters, digits, dots, dashes or underscores"
            raise ValueError(msg)
    return {host.lower(): name for host, name in providers.items()}


def _buckets(text: str) -> dict[str, tuple[float, ...]]:
    buckets = {}
    for name, value in _pairs(text):
        try:
            bounds = tuple(float(part) for part in value.split("/"))
        except ValueError:
            bounds = ()
        if name not in BY_NAME or BY_NAME[name].kind != "histogram":
            msg = f"{name[:80]!r} is not one of the documented histograms"
            raise ValueError(msg)
        if not bounds or list(bounds) != sorted(set(bounds)) or not all(abs(b) < float("inf") for b in bounds):
            msg = f"the boundaries of {name} must be increasing numbers separated by /"
            raise ValueError(msg)
        buckets[name] = bounds
    return buckets


def _choice(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        chosen = text.strip().lower()
        if chosen not in choices:
            msg = f"must be one of {', '.join(choices)}"
            raise ValueError(msg)
        return chosen

    return parse


def _events(text: str) -> dict[str, str]:
    events = {name: value.lower() for name, value in _pairs(text)}
    for name, value in events.items():
        if name not in EVENTS:
            msg = f"{name[:80]!r} is not one of the documented events"
            raise ValueError(msg)
        if value not in ("on", "off", *SEVERITIES):
            msg = f"the value of {name} must be on, off, {', '.join(SEVERITIES)}"
            raise ValueError(msg)
    return events


def _json_place(text: str) -> str:
    place = text.strip()
    if place in ("stdout", "stderr") or pathlib.Path(place).is_absolute():
        return place
    msg = "must be stdout, stderr or the absolute path of a file"
    raise ValueError(msg)


def _runbook(text: str) -> str:
    if not _LINK.fullmatch(text.strip()):
        msg = "must be a link without spaces, at most 256 characters"
        raise ValueError(msg)
    return text.strip()


def _names(text: str) -> tuple[str, ...]:
    names = tuple(filter(None, (part.strip() for part in text.split(","))))
    if not all(_NAME.fullmatch(name) for name in names):
        msg = "must be a list of names separated by commas; they have letters, digits, dots, dashes and underscores"
        raise ValueError(msg)
    return names


def _prefixes(text: str) -> tuple[str, ...]:
    patterns = tuple(filter(None, (part.strip() for part in text.split(","))))
    if not all(_BEGINNING.fullmatch(pattern) for pattern in patterns):
        msg = "must be a list of beginnings of secrets, each of 3 to 64 letters, digits or ._- and a *, such as ghp_*"
        raise ValueError(msg)
    return patterns


class Setting:
    """One field of the settings.

    :param variable: the environment variable.
    :param parse: makes the value of a text, or raises ``ValueError`` that says what it must be.
    :param default: the value without either, or what makes one.
    """

    def __init__(self, variable: str, parse: Callable[[str], Any], default: Any) -> None:  # noqa: ANN401 a field's type
        self.variable: Final = variable
        self.parse: Final = parse
        self.default: Final = default


def _setting(variable: str, parse: Callable[[str], Any], default: Any) -> Any:  # noqa: ANN401 a field is seen as its value
    return Setting(variable, parse, default)


class Settings:
    """What can be configured; every field has a variable of its own (see :mod:`otel_oauth.environment_variables`).

    Made of good values by name, and never changed.
    """

    ledger: str = _setting(env.OTEL_OAUTH_LEDGER, _ledger, "auto")
    ledger_size: int = _setting(env.OTEL_OAUTH_LEDGER_SIZE, _integer(100, 10_000_000), 100_000)
    ledger_timeout: float = _setting(env.OTEL_OAUTH_LEDGER_TIMEOUT, _number(0.001, 5), 0.05)
    race_window: float = _setting(env.OTEL_OAUTH_RACE_WINDOW, _number(0, 60), 30.0)
    refresh_token_lifetime: float = _setting(
        env.OTEL_OAUTH_REFRESH_TOKEN_LIFETIME, _number(1, 10 * 365 * 86400), 30 * 86400.0
    )
    client_id_cap: int = _setting(env.OTEL_OAUTH_CLIENT_ID_CAP, _integer(0, 10_000), 100)
    provider_cap: int = _setting(env.OTEL_OAUTH_PROVIDER_CAP, _integer(1, 1_000), 50)
    providers: Mapping[str, str] = _setting(env.OTEL_OAUTH_PROVIDERS, _providers, dict)
    buckets: Mapping[str, tuple[float, ...]] = _setting(env.OTEL_OAUTH_BUCKETS, _buckets, dict)
    storage_spans: bool = _setting(env.OTEL_OAUTH_STORAGE_SPANS, _boolean, default=False)
    log_level: str = _setting(env.OTEL_OAUTH_LOG_LEVEL, _choice(*SEVERITIES, "off"), "info")
    events: Mapping[str, str] = _setting(env.OTEL_OAUTH_EVENTS, _events, dict)
    event_sampling: float = _setting(env.OTEL_OAUTH_EVENT_SAMPLING, _number(0, 1), 1.0)
    event_rate: int = _setting(env.OTEL_OAUTH_EVENT_RATE, _integer(0, 1_000_000), 600)
    source_address: str = _setting(env.OTEL_OAUTH_SOURCE_ADDRESS, _choice("truncated", "whole", "none"), "truncated")
    user_agent: bool = _setting(env.OTEL_OAUTH_USER_AGENT, _boolean, default=False)
    full_client_id: bool = _setting(env.OTEL_OAUTH_FULL_CLIENT_ID, _boolean, default=False)
    runbook: str = _setting(env.OTEL_OAUTH_RUNBOOK, _runbook, "docs/runbook.md")
    ocsf: bool = _setting(env.OTEL_OAUTH_OCSF, _boolean, default=False)
    log_json: str = _setting(env.OTEL_OAUTH_LOG_JSON, _json_place, "")
    log_json_size: int = _setting(env.OTEL_OAUTH_LOG_JSON_SIZE, _integer(10_000, 10_000_000_000), 50_000_000)
    redaction: str = _setting(env.OTEL_OAUTH_REDACTION, _choice("on", "off", "strict", "dry-run"), "on")
    redaction_keys: tuple[str, ...] = _setting(env.OTEL_OAUTH_REDACTION_KEYS, _names, ())
    redaction_patterns: tuple[str, ...] = _setting(env.OTEL_OAUTH_REDACTION_PATTERNS, _prefixes, ())
    disabled: bool = _setting(env.OTEL_OAUTH_DISABLED, _boolean, default=False)

    # No dataclass: making one of so many fields takes a twelfth of the time that attaching takes.
    def __init__(self, **values: Any) -> None:  # noqa: ANN401 each field's type
        for name in values:
            if name not in SETTINGS:
                msg = f"Settings() got an unexpected keyword argument {name!r}"
                raise TypeError(msg)
        for name, item in SETTINGS.items():
            default = item.default
            vars(self)[name] = values[name] if name in values else default() if callable(default) else default

    def __setattr__(self, name: str, value: object) -> None:
        msg = f"{name} cannot be set, settings are never changed"
        raise AttributeError(msg)

    def __repr__(self) -> str:
        return f"Settings({', '.join(f'{name}={value!r}' for name, value in vars(self).items())})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Settings) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]  # some of the values have none

    @property
    def caps(self) -> dict[str, int]:
        """The caps of the capped labels, by label name."""
        return {"provider": self.provider_cap, "client_id": self.client_id_cap}

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None, **arguments: object) -> Settings:
        """Read the settings: an argument goes before its variable, a variable before the default.

        :raises ValueError: if an argument is unknown or invalid. A bad variable is logged once and ignored.
        """
        environ = os.environ if environ is None else environ
        for name in arguments:
            if name not in SETTINGS:
                msg = f"there is no setting {name!r}; there are {', '.join(sorted(SETTINGS))}"
                raise ValueError(msg)
        values: dict[str, Any] = {}
        for name, item in SETTINGS.items():
            if name in arguments:
                values[name] = _checked(name, item.parse, arguments[name])
            elif environ.get(item.variable, "").strip():
                _from_variable(values, name, item, environ)
        _report_unknown(environ, {item.variable for item in SETTINGS.values()})
        return cls(**values)


SETTINGS: dict[str, Setting] = {name: item for name, item in vars(Settings).items() if isinstance(item, Setting)}
"""Every field of the settings by its name."""


def _from_variable(values: dict[str, Any], name: str, item: Setting, environ: Mapping[str, str]) -> None:
    try:
        values[name] = item.parse(environ[item.variable])
    except ValueError as error:
        _report(f"{item.variable} {error}; the default is used")


def _checked(name: str, parse: Callable[[str], Any], value: object) -> Any:  # noqa: ANN401 the parser's type
    if isinstance(value, Mapping):
        joined = {
            key: "/".join(map(str, part)) if isinstance(part, (tuple, list)) else part for key, part in value.items()
        }
        value = ",".join(f"{key}={part}" for key, part in joined.items())
    if isinstance(value, (tuple, list)):
        value = ",".join(map(str, value))
    try:
        return parse(value if isinstance(value, str) else str(value))
    except ValueError as error:
        msg = f"{name} {error}"
        raise ValueError(msg) from None


_reported: set[str] = set()


def _report(message: str) -> None:
    if message not in _reported:
        _reported.add(message)
        _log.warning("otel-oauth: %s", message)


def _report_unknown(environ: Mapping[str, str], known: set[str]) -> None:
    for name in sorted(environ):
        if name.startswith(_PREFIX) and name not in known and name != _TEST_ONLY:
            _report(f"{name[:80]} is not a variable of this version, it is ignored")


def service_name(environ: Mapping[str, str] | None = None) -> str:
    """Return the service's name as OpenTelemetry's variables give it, empty if they do not."""
    environ = os.environ if environ is None else environ
    name = environ.get("OTEL_SERVICE_NAME", "")
    if not name:
        attributes = (part.partition("=") for part in environ.get("OTEL_RESOURCE_ATTRIBUTES", "").split(","))
        name = next((value for key, _, value in attributes if key.strip() == "service.name"), "")
    return name


def service_key(environ: Mapping[str, str] | None = None) -> str:
    """Return a short directory name for the service: from its name if it has one, else from the program that runs."""
    name = service_name(environ) or os.path.abspath(sys.argv[0] if sys.argv else "")  # noqa: PTH100 resolve() follows links: a release may be one
    return sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:16]
