"""One recognised request: its operation begins before it is sent, and ends when the body of its response was read."""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field
from functools import lru_cache, partial
from itertools import count
from time import perf_counter
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from opentelemetry.context import get_current
from opentelemetry.instrumentation.utils import is_instrumentation_enabled, suppress_instrumentation

from otel_oauth import kinds, provider_errors, redaction
from otel_oauth.operation import Operation, current_operation
from otel_oauth.providers import WELL_KNOWN_PROVIDERS, provider_name
from otel_oauth_httpx import bodies
from otel_oauth_httpx.classify import recognise, refused, sieve
from otel_oauth_httpx.discovery import Attempts
from otel_oauth_httpx.endpoints import Endpoints
from otel_oauth_httpx.exchanges import Expected, WireNote, known_login, present, redirected, settle, tried_again
from otel_oauth_httpx.recognised import TOKEN_KINDS
from otel_oauth_httpx.registered import registered
from otel_oauth_httpx.responses import outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from otel_oauth.hooks import HookSet
    from otel_oauth_httpx.bodies import Reading
    from otel_oauth_httpx.recognised import Outcome, Recognised

HOP = "otel_oauth_hop"
"""Where a redirected request carries the number of its call, in the extensions that httpx copies from hop to hop.

A plain number: the application may serialise the extensions, copy them, or keep them.
"""
_NUMBERS = count(1)
_MOST_HOPS = 256
_REDIRECTS = frozenset((301, 302, 303, 307, 308))
_MOST_ORIGINS = 256
with suppress_instrumentation():
    _SUPPRESSING = frozenset(get_current())
"""What of a context may suppress: hardly any has it, and without it there is nothing to ask."""


class Wire:
    """What the hooks of the HTTP clients call.

    :param hooks: the hook set of the plugin; nothing is recorded once it is detached.
    """

    def __init__(self, hooks: HookSet) -> None:
        self.hooks = hooks
        self.telemetry = hooks.telemetry
        self.endpoints = Endpoints({**WELL_KNOWN_PROVIDERS, **self.telemetry.settings.providers})
        self.may_be_oauth = sieve(self.endpoints)
        self.attempts = Attempts(self.telemetry)
        self.registered = registered(hooks)
        self._origins: dict[str, tuple[str, str | None]] = {}
        self._redirected: dict[int, Sent] = {}

    def begin(self, request: Any, reading: type[Reading], *, closely: bool) -> Sent | None:  # noqa: ANN401 a request of httpx or httpx2
        """Return what is going to be sent, entered; ``None`` if it is nothing of ours. It never raises.

        :param closely: the request may be OAuth; if not, it can only be part of something that is.
        """
        return self.telemetry.guard.run("hook", self._begun, request, reading, closely)

    def _begun(self, request: Any, reading: type[Reading], closely: bool) -> Sent | None:  # noqa: ANN401, FBT001 as above; the guard hands it on
        if not self._records():
            return None
        around = current_operation()
        recognised = recognise(self.endpoints, request) if closely and not self._overlooks(around, request) else None
        gone_on = self._next_hop(request) if HOP in request.extensions else None
        if gone_on is not None:
            return gone_on
        if around is not None:
            note = around.local
            found = note.fits(around, request, recognised) if isinstance(note, Expected) and not note.sent else None
            if found is not None and isinstance(note, Expected):
                return self._expected(around, note, request, found, reading)
        if recognised is None or (around is not None and _is_its_call(around, recognised, request)):
            return None
        if recognised.kind is kinds.AUTHORIZE and known_login(self.telemetry.ledger, recognised):
            return None
        facts = self._facts(recognised)
        if around is not None and isinstance(around.local, Expected) and around.kind is recognised.kind:
            tried_again(around)
            facts["provider"] = around.facts.get("provider", facts["provider"])
        operation = self.telemetry.operation(recognised.kind, facts)
        presents = operation.local = WireNote()
        presents.request = id(request)
        operation.start()
        try:
            if recognised.kind is kinds.DISCOVER:
                presents.clock = perf_counter()
            present(operation, presents, recognised)
        except Exception:
            operation.suspend()  # nobody else would: the application must not go on within it
            raise
        return Sent(self, operation, recognised, request, reading)

    def wait(self, sent: Sent) -> int:
        """Keep a redirected call until its next hop is sent, or nobody is expected to send it; return its number."""
        waiting = self._redirected
        if len(waiting) >= _MOST_HOPS:
            for number, each in list(waiting.items()):
                if each.operation.ended or len(waiting) >= _MOST_HOPS:
                    waiting.pop(number, None)
        number = next(_NUMBERS)
        waiting[number] = sent
        return number

    def _next_hop(self, request: Any) -> Sent | None:  # noqa: ANN401 as above
        """Return the call that a request goes on with; ``None`` if it was given up for lost, or is sent once more."""
        sent = self._redirected.pop(request.extensions[HOP], None)
        _unmark(request)
        return None if sent is None else sent.goes_on(request)

    def _overlooks(self, around: Operation | None, request: Any) -> bool:  # noqa: ANN401 as above
        """Tell whether somebody else records a request whatever it is, and there is nothing to note of it besides.

        To recognise it would note the use of a learned endpoint, and its secrets for redaction.
        """
        return (
            around is not None
            and not isinstance(around.local, Expected)
            and _tells(around)
            and not redaction.installed()
            and request.url.raw_host.decode("ascii", "replace") not in self.endpoints.hosts
        )

    def _records(self) -> bool:
        """Tell whether anything is to be recorded here: attached, and not within a block that suppresses it."""
        return self.hooks.active and (_SUPPRESSING.isdisjoint(get_current()) or is_instrumentation_enabled())

    def _expected(
        self,
        around: Operation,
        note: Expected,
        request: Any,  # noqa: ANN401 as above
        recognised: Recognised,
        reading: type[Reading],
    ) -> Sent:
        """Return the request that a library's call around it is about: the call's own operation tells of both."""
        note.sent = True
        around.facts.setdefault("server_address", _host(recognised.origin))
        if recognised.grant_type:
            around.facts["grant_type"] = recognised.grant_type
        present(around, note, recognised)
        return Sent(self, around, recognised, request, reading, owned=False)

    def _facts(self, recognised: Recognised) -> dict[str, object]:
        provider, host = self._origins.get(recognised.origin) or self._named(recognised.origin)
        facts: dict[str, object] = {"provider": provider, "server_address": host}
        if recognised.client_id:
            facts["client_id"] = self.registered.label(recognised.client_id)
        if recognised.grant_type:
            facts["grant_type"] = recognised.grant_type
        if recognised.kind is kinds.REGISTER and not recognised.manages:
            facts["registration"] = True
        return facts

    def _named(self, origin: str) -> tuple[str, str | None]:
        """Return the label value of the provider at an origin, and the host: both stay what they are."""
        name = provider_name(origin, self.telemetry.settings.providers) or None
        found = self.telemetry.provider(name), _host(origin)
        if found[0] == name and len(self._origins) < _MOST_ORIGINS:  # beyond the cap each one counts as such
            self._origins[origin] = found
        return found

    def refused(self, request: Any, response: Any, began: float, *, closely: bool) -> None:  # noqa: ANN401 as above
        """Record a call of an API that was answered 401 or 403 with an OAuth challenge. It never raises.

        :param closely: the request may be OAuth by itself.
        """
        if not closely or self.telemetry.guard.run("hook", recognise, self.endpoints, request) is None:
            self.telemetry.guard.run("hook", self._refused, request, response, began)

    def _refused(self, request: Any, response: Any, began: float) -> None:  # noqa: ANN401 as above
        if not self._records():
            return
        recognised = refused(self.endpoints, request, response.status_code, response.headers)
        around = current_operation()
        if recognised is None or (around is not None and _is_its_call(around, recognised, request)):
            return
        found = outcome(self.endpoints, recognised, response.status_code, response.headers, None)
        operation = self.telemetry.operation(
            recognised.kind, {**self._facts(recognised), "called": True, **found.facts}
        )
        operation.ago = perf_counter() - began
        operation.start()
        operation.end()


def _is_its_call(around: Operation, recognised: Recognised, request: Any) -> bool:  # noqa: ANN401 as above
    """Tell whether somebody else records this request: a library's call to its provider that is under way.

    Or the client whose transport hands the request on to this one.
    """
    if isinstance(around.local, Expected):
        again = around.local.sent and around.kind in TOKEN_KINDS
        return recognised.kind.operation == around.kind.operation and not again
    if isinstance(around.local, WireNote):
        return around.local.request == id(request)
    return _tells(around)


def _tells(around: Operation) -> bool:
    """Tell whether an operation around a request records all that is sent within it."""
    return bool(around.kind.operation) and not isinstance(around.local, WireNote)


def _unmark(request: Any) -> None:  # noqa: ANN401 a request of httpx or httpx2
    """Take the number of a call off a request: neither the transport nor the application needs to see it any more."""
    # Not changed in place: the application may use the same dictionary for other requests.
    request.extensions = {name: value for name, value in request.extensions.items() if name != HOP}


@lru_cache(maxsize=256)
def _host(origin: str) -> str | None:
    try:
        return urlsplit(origin).hostname
    except ValueError:
        return None


@dataclass(eq=False, repr=False)
class Sent:
    """A recognised request on its way.

    :param owned: the operation is this request's own, and ends with it.
    :ivar lost: nobody read or closed the response while it lived.
    """

    wire: Wire
    operation: Operation
    recognised: Recognised
    request: Any
    reading: type[Reading]
    owned: bool = True
    lost: bool = field(default=False, init=False)
    _before: tuple[dict[str, object], Any] | None = field(default=None, init=False)
    _first: Callable[[], Any] | None = field(default=None, init=False)

    def goes_on(self, request: Any) -> Sent | None:  # noqa: ANN401 a request of httpx or httpx2
        """Take the next hop of a redirect as the same call.

        ``None`` if it was given up for lost since, or if this is the same request once more: nobody followed.
        """
        operation, first = self.operation, None if self._first is None else self._first()
        if first is not None:
            _unmark(first)
        if self.owned:
            waited = self.wire.telemetry.postponed.back(self)
            if waited is not operation or request is first:
                if waited is not None:
                    waited.complete_as_left()
                return None
            operation.deferred = False
            operation.resume()
        if self._before is not None:
            operation.facts.clear()
            operation.facts.update(self._before[0])
            operation.case = self._before[1]
        self.request = request
        return self

    def failed(self, error: BaseException) -> None:
        """See that no response came. It never raises."""
        self.wire.telemetry.guard.run("hook", self._failed, error)

    def _failed(self, error: BaseException, status: int | None = None) -> None:
        """See that there is no answer.

        :param status: that of the response, if the application's reading of it failed.
        """
        facts, failed = self.operation.facts, provider_errors.transport_error(error)
        if failed is not None or not isinstance(error, Exception):
            facts.update(called=True, http_status="0", provider_error=failed)
        elif status is not None:
            facts["http_status"] = str(status)
        if self.owned:
            self.operation.suspend()
        self._settled(None, error)

    def _settled(self, found: Outcome | None, error: BaseException | None) -> None:
        operation = self.operation
        settle(operation, self.recognised, found, error)
        waits = operation.kind is kinds.DISCOVER and self.wire.attempts.settle(operation, self.recognised, found)
        if self.owned and not waits:
            if self.lost:
                operation.complete_as_left()
            else:
                operation.complete(error)

    def answered(self, response: Any) -> None:  # noqa: ANN401 a response of httpx or httpx2
        """See the head of the response. It never raises."""
        self.wire.telemetry.guard.run("hook", self._answered, response)

    def _answered(self, response: Any) -> None:  # noqa: ANN401 as above
        operation = self.operation
        operation.facts["called"] = True
        if self.owned:
            operation.suspend()
        headers, status = response.headers, response.status_code
        if status in _REDIRECTS and "location" in headers and self.recognised.kind is not kinds.AUTHORIZE:
            self._redirected(response)
            return
        body = bodies.buffered(response)
        if body is not None:
            self._settled(self._read(status, headers, body), None)
        else:
            self._observe(response, status, headers)

    def _observe(self, response: Any, status: int, headers: Mapping[str, str]) -> None:  # noqa: ANN401 as above
        """Wait for the application to read or close the response."""
        telemetry = self.wire.telemetry

        def ended(body: bytes | None, error: BaseException | None) -> None:
            telemetry.guard.run("hook", self._ended, status, headers, body, error)

        def lost() -> None:
            self.lost = True
            self.operation.leave()
            telemetry.postponed.make_later(partial(ended, None, None))

        bodies.observe(response, ended, lost, self.reading)

    def _redirected(self, response: Any) -> None:  # noqa: ANN401 as above
        """Wait for the next hop; if nobody follows, the redirect was the answer."""
        request, operation = self.request, self.operation
        request.extensions = {**request.extensions, HOP: self.wire.wait(self)}
        self._first, self.request = weakref.ref(request), None  # it lives no longer for having been redirected
        self._before = operation.facts.copy(), operation.case
        self._read(response.status_code, response.headers, None)
        redirected(operation)
        if operation.kind is kinds.DISCOVER:
            operation.facts["discovery_method"] = self.recognised.discovery_method
        if self.owned:
            operation.deferred = True
            operation.end()
            self.wire.telemetry.postponed.wait(operation, self)

    def _ended(self, status: int, headers: Mapping[str, str], body: bytes | None, error: BaseException | None) -> None:
        if error is not None:
            self._failed(error, status)
            return
        self._settled(self._read(status, headers, body), None)

    def _read(self, status: int, headers: Mapping[str, str], body: bytes | None) -> Outcome:
        found = outcome(self.wire.endpoints, self.recognised, status, headers, body)
        self.operation.facts.update(found.facts)
        if found.client_id:
            self.wire.registered.note(found.client_id)
        return found
