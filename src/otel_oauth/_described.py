"""What the span of an operation says, worked out once for all operations with the same facts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.trace import StatusCode

from otel_oauth import vocabulary as v
from otel_oauth._sdk_attributes import PLAIN, of_span, put
from otel_oauth.client_label import ClientLabel

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from opentelemetry.trace import Span

    from otel_oauth.cases import Case
    from otel_oauth.kinds import OperationKind

_ERROR = StatusCode.ERROR


class Description:
    """The attributes, the status and the verdict of a span.

    :param facts: those of the operation, with what follows from how it ended.
    :param varying: the facts of which each operation tells another value.
    :param raised: whether an exception left the operation.
    """

    __slots__ = ("_are_plain", "_attributes", "_fails", "_names_error", "_varying", "_verdict")

    def __init__(
        self,
        facts: Mapping[str, object],
        kind: OperationKind,
        case: Case | None,
        *,
        varying: Collection[str],
        raised: bool,
    ) -> None:
        names = v.SPAN_ATTRIBUTES
        told = [fact for fact in facts if fact in names]
        self._varying = tuple((fact, names[fact]) for fact in told if fact in varying)
        # Those that vary have their place among the others.
        found = {names[fact]: None if fact in varying else _plain(facts[fact]) for fact in told}
        changing = {name for _, name in self._varying}
        attributes: dict[str, object] = {
            name: value for name, value in found.items() if value is not None or name in changing
        }
        status, answered = facts.get("http_status"), 0
        if isinstance(status, str) and status.isdecimal() and status != "0":
            attributes[v.HTTP_STATUS_CODE] = answered = int(status)
        self._verdict: tuple[str, dict[str, str]] | None = None
        if case is not None and case.security is not None:
            verdict: dict[str, str] = {v.EVENT_TYPE: case.security[0], v.SEVERITY: case.security[1]}
            attributes.update(verdict)
            if case.event is not None:
                self._verdict = case.event.name, verdict
        failed = facts["status"] == "failure" and facts["outcome"] == "failure"
        known = facts.get("error") or facts.get("provider_error")
        known = str(known) if known and known != "other" else None
        self._names_error = raised and known is None
        if (failed or raised) and not self._names_error:
            attributes[v.ERROR_TYPE] = known or v.UNKNOWN
        self._fails = failed and (kind.side != "server" or answered >= v.SERVER_ERROR)
        self._attributes = attributes
        self._are_plain = all(type(value) in PLAIN for name, value in attributes.items() if name not in changing)

    def put(self, span: Span, facts: Mapping[str, object], error: BaseException | None) -> None:
        """Say it of a span that is recording; of an exception its class is told where no code of its is known."""
        if self._verdict is not None:
            span.add_event(*self._verdict)
        if self._fails:
            span.set_status(_ERROR)
        attributes, plain = self._attributes, self._are_plain
        if self._varying or self._names_error:
            attributes = attributes.copy()
            for fact, name in self._varying:
                value = facts[fact]
                if value is None:
                    del attributes[name]
                else:
                    attributes[name] = value
                    plain = plain and type(value) in PLAIN
            if self._names_error:
                attributes[v.ERROR_TYPE] = f"{type(error).__module__}.{type(error).__qualname__}"
        if not put(of_span(span), attributes, plain=plain):
            span.set_attributes(attributes)  # type: ignore[arg-type]  # facts that are attributes are text, numbers or booleans


def _plain(value: object) -> object:
    """Return a label of a client without the id that it stands for: that is for events."""
    return str(value) if isinstance(value, ClientLabel) else value
