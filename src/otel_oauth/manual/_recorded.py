"""What every operation told by hand has in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, ParamSpec, TypeVar

from otel_oauth.catalogue import OTHER
from otel_oauth.sources import Source
from otel_oauth.telemetry import Telemetry, get_telemetry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

    from otel_oauth.kinds import OperationKind

P = ParamSpec("P")
S = TypeVar("S", bound="Recorded")


def choice(what: str, name: str, choices: Iterable[str]) -> str:
    """Return ``name`` if it is one of ``choices``.

    :raises ValueError: if not; it lists the choices.
    """
    names = tuple(choices)
    if name not in names:
        msg = f"{name!r} is not {what}; there are {', '.join(names)}"
        raise ValueError(msg)
    return name


def provider_label(telemetry: Telemetry, provider: str) -> str:
    """Return the label value of a provider given by its name or by a URL."""
    admit = telemetry.provider
    if "://" in str(provider):
        return telemetry.guard.run("manual", admit, url=provider) or OTHER
    return telemetry.guard.run("manual", admit, name=str(provider)) or OTHER


class Recorded:
    """An operation that is recorded once when its ``with`` block ends, also by an exception.

    The block may stand in a plain or in an ``async`` function, in any thread. What it is told goes through
    the guard: an error of this product is counted and logged, and the application never sees it.
    """

    def __init__(self, kind: OperationKind, telemetry: Telemetry | None, **facts: object) -> None:
        self._telemetry = get_telemetry() if telemetry is None else telemetry
        self._operation = self._telemetry.operation(kind, facts)
        self._on = not self._telemetry.settings.disabled

    def __enter__(self: S) -> S:  # noqa: PYI019 Self is not in Python 3.10
        if self._on:
            self._telemetry.guard.run("manual", self._operation.start)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._on:
            self._telemetry.guard.run("manual", self._settle, error)
            self._telemetry.guard.run("manual", self._operation.end, error)

    def _settle(self, error: BaseException | None) -> None:
        """Turn what was told into the operation's facts."""

    def _tell(self, note: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
        if self._on:
            self._telemetry.guard.run("manual", note, *args, **kwargs)


class Request(Recorded):
    """An HTTP request that the application answers: it has a source, and maybe a user."""

    def came_from(self, address: str, *, user_agent: str = "") -> None:
        """Say which address the request came from, for security events; see ``OTEL_OAUTH_SOURCE_ADDRESS``.

        :param address: the peer's IP address, or what a proxy that you trust says it is.
        :param user_agent: the header ``User-Agent``; told only with ``OTEL_OAUTH_USER_AGENT``.
        """
        self._operation.request = Source(address, user_agent)

    def user(self, user_id: str) -> None:
        """Say whose request it is: events carry a keyed digest of the id (``user.hash``), never the id."""
        self._tell(self._user, user_id)

    def _user(self, user_id: str) -> None:
        self._operation.facts["user"] = self._telemetry.ledger.digest(b"user", str(user_id))
