"""Attributes that are put straight into the SDK's containers: nobody can tell, whatever the SDK is like."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.context import Context
from opentelemetry.sdk import _logs as sdk_logs
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.trace import SpanLimits, TracerProvider

from otel_oauth import events
from otel_oauth._sdk_attributes import of_span, put, record_maker
from otel_oauth.client_label import ClientLabel
from otel_oauth.logs_pipeline import LogsPipeline

PLAIN = {"oauth.client_id": "shop", "http.response.status_code": 200, "oauth.duration": 0.25, "rotated": True}
OTHERS = {
    "a value that must be copied": {**PLAIN, "list": ["a", "b"]},
    "a value that must be cleaned": {**PLAIN, "object": ValueError},
    "text of a class of its own": {**PLAIN, "oauth.client_id": ClientLabel.of("other", "shop")},
}


def span_of(limits: SpanLimits | None = None) -> Any:
    provider = TracerProvider(shutdown_on_exit=False, span_limits=limits or SpanLimits())
    return provider.get_tracer("t").start_span("s")


def test_plain_attributes_of_a_span_are_those_that_the_sdk_makes_of_them() -> None:
    straight, public = span_of(), span_of()
    assert put(of_span(straight), PLAIN)
    public.set_attributes(PLAIN)
    assert list(straight.attributes.items()) == list(public.attributes.items()) == list(PLAIN.items())


@pytest.mark.parametrize("name", OTHERS)
def test_what_the_sdk_must_look_at_goes_the_public_way(name: str) -> None:
    span = span_of()
    assert not put(of_span(span), OTHERS[name])
    assert not span.attributes


@pytest.mark.parametrize("limits", [{"max_span_attributes": 3}, {"max_attribute_length": 3}])
def test_what_a_limit_would_change_goes_the_public_way(limits: dict[str, int]) -> None:
    span = span_of(SpanLimits(**limits))
    assert not put(of_span(span), PLAIN)
    assert not span.attributes


def test_a_limit_that_is_not_reached_changes_nothing() -> None:
    assert put(of_span(span_of(SpanLimits(max_span_attributes=len(PLAIN)))), PLAIN)


def test_a_span_that_has_attributes_keeps_them_in_the_sdks_order() -> None:
    span = span_of()
    span.set_attribute("of the application", 1)
    assert not put(of_span(span), PLAIN)
    assert dict(span.attributes) == {"of the application": 1}


@pytest.mark.parametrize("container", [None, {}, type("Own", (BoundedAttributes,), {})(immutable=False)])
def test_a_container_that_is_not_the_sdks_own_gets_nothing(container: Any) -> None:
    assert not put(container, PLAIN)
    assert not container


class Kept:
    """A processor of whichever SDK that keeps what it gets."""

    def __init__(self) -> None:
        self.records: list[Any] = []

    def on_emit(self, record: Any) -> None:
        self.records.append(record)

    emit = on_emit

    def enabled(self, **_: object) -> bool:
        return True


def emitted(attributes: dict[str, Any]) -> tuple[Any, bool]:
    """Emit an event with these attributes; return what a processor got, and whether they could be put straight."""
    provider, kept = LoggerProvider(shutdown_on_exit=False), Kept()
    provider.add_log_record_processor(kept)  # type: ignore[arg-type]  # has what is called of it
    pipeline = LogsPipeline(("s", "1"), provider)
    assert pipeline.available()
    pipeline.emit(events.TOKEN_REFRESHED, ("info", 9), 17, Context(), attributes, plain=False)
    (record,) = kept.records
    return record, record_maker(provider.get_logger("s", "1")) is not None


def comparable(record: Any) -> dict[str, Any]:
    told, names = record.log_record, ("timestamp", "severity_text", "severity_number", "body", "event_name", "trace_id")
    return {
        **{name: getattr(told, name, None) for name in names},
        "attributes": list(told.attributes.items()),
        "dropped": getattr(record, "dropped_attributes", None),
        "type": (type(record), type(told.attributes)),
        "scope": record.instrumentation_scope.name,
        "resource": getattr(record, "resource", None) or told.resource,
    }


@pytest.mark.parametrize("name", ["plain", *OTHERS])
@pytest.mark.parametrize("limit", ["", "OTEL_ATTRIBUTE_COUNT_LIMIT", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT"])
@pytest.mark.filterwarnings("ignore:Log record attributes were dropped")
def test_a_log_record_is_the_one_that_the_sdk_makes(monkeypatch: pytest.MonkeyPatch, name: str, limit: str) -> None:
    attributes = {"plain": PLAIN, **OTHERS}[name]
    if limit:
        monkeypatch.setenv(limit, "3")
    straight, _ = emitted(attributes)
    monkeypatch.setattr("otel_oauth.logs_pipeline.record_maker", lambda _logger: None)
    public, _ = emitted(attributes)
    assert comparable(straight) == comparable(public)
    if hasattr(sdk_logs, "ReadWriteLogRecord"):  # the SDK before that does not look at them all
        limited = limit == "OTEL_ATTRIBUTE_COUNT_LIMIT"
        assert len(comparable(public)["attributes"]) == (3 if limited else len(attributes))


def test_plain_attributes_of_a_record_are_put_straight(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[bool] = []
    monkeypatch.setattr(
        "otel_oauth.logs_pipeline.put",
        lambda held, attributes, **known: taken.append(put(held, attributes, **known)) or taken[-1],
    )
    for attributes in (PLAIN, *OTHERS.values()):
        _, possible = emitted(attributes)
    assert possible == hasattr(sdk_logs, "ReadWriteLogRecord")
    assert taken == ([True, False, False, False] if possible else [])


def test_the_loggers_of_others_get_the_parts_of_a_record() -> None:
    taken = {}

    class Own:
        def emit(self, *, event_name: str, **parts: Any) -> None:
            taken[event_name] = parts

        def get_logger(self, *_scope: str) -> Own:
            return self

    pipeline = LogsPipeline(("s", "1"), Own())  # type: ignore[arg-type]  # a provider that has what is called of it
    assert pipeline.available()
    pipeline.emit(events.TOKEN_REFRESHED, ("info", 9), 17, Context(), PLAIN, plain=True)
    assert taken[events.TOKEN_REFRESHED.name]["attributes"] == PLAIN
