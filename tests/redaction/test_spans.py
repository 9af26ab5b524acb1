"""Spans: every part of them, for every processor, whenever it was attached and whichever way."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, SynchronousMultiSpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link, SpanContext, StatusCode, TraceState

from otel_oauth import redaction

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable

SECRET = "aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC1dF3hJ5kL7nP9r"
URL = f"https://shop.example/cb?code={SECRET}&state=s3cr3tst4te&scope=openid"


def everywhere(provider: TracerProvider) -> None:
    """Make a span with a secret in each part that it has."""
    redaction.seen("code", SECRET)
    state = TraceState([("vendor", SECRET)])
    link = Link(SpanContext(1, 2, is_remote=True, trace_state=state), {"access_token": SECRET})
    tracer = provider.get_tracer("stock", attributes={"client_secret": SECRET})
    with tracer.start_as_current_span(f"GET /cb?code={SECRET}", attributes={"url.full": URL}, links=[link]) as span:
        span.set_attribute("http.request.header.authorization", [f"Bearer {SECRET}"])
        span.set_attributes({"http.request.header.cookie": f"session={SECRET}", "n": 1, "oauth.client_id": "shop"})
        span.add_event(f"got token={SECRET}x", {"body": f"id_token={SECRET}"})
        span.record_exception(ValueError(f"refresh_token={SECRET} is unknown"))
        span.set_status(StatusCode.ERROR, f"code={SECRET}&state=1")


def exported(exporter: InMemorySpanExporter) -> str:
    (span,) = exporter.get_finished_spans()
    text: str = span.to_json()
    assert span.instrumentation_scope is not None
    links = [link.context.trace_state for link in span.links]
    return f"{text} {span.instrumentation_scope.attributes} {links}"


def with_exporter(**arguments: Any) -> tuple[TracerProvider, InMemorySpanExporter]:
    provider, exporter = TracerProvider(**arguments), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider, exporter


def test_every_part_of_a_span_is_redacted(install: Callable[..., None], counted: Counter[tuple[str, str]]) -> None:
    install()
    provider, exporter = with_exporter(
        resource=Resource({"process.command_args": ["run", f"--client-secret={SECRET}"]})
    )
    everywhere(provider)
    text = exported(exporter)
    assert SECRET not in text
    for part in (
        "shop.example/cb?code=[redacted:code:",
        "scope=openid",
        "Bearer [redacted:",
        '"oauth.client_id": "shop"',
    ):
        assert part in text
    assert counted["span", "code"] >= 3
    assert counted["span", "cookie"] == 1


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("processor", [SimpleSpanProcessor, BatchSpanProcessor])
def test_processors_of_providers_made_before_and_after(install: Callable[..., None], when: str, processor: Any) -> None:
    if when == "after":
        install()
    provider, written = TracerProvider(), io.StringIO()
    provider.add_span_processor(processor(ConsoleSpanExporter(out=written)))
    if when == "before":
        install()
    everywhere(provider)
    provider.shutdown()
    assert SECRET not in written.getvalue()
    assert "[redacted:code:" in written.getvalue()


class Watching(SpanProcessor):
    """A processor that looks at spans from their beginning on."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def on_start(self, span: Span, parent_context: Any = None) -> None:  # noqa: ARG002 the SDK's signature
        self.seen.append(f"start {dict(span.attributes or {})} {span.name}")

    def _on_ending(self, span: Span) -> None:
        self.seen.append(f"ending {dict(span.attributes or {})}")

    def on_end(self, span: ReadableSpan) -> None:
        self.seen.append(f"end {span.to_json()}")


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("active", [False, True], ids=["added", "instead of the SDK's"])
def test_a_processor_that_reads_early_gets_no_secret(install: Callable[..., None], when: str, *, active: bool) -> None:
    if when == "after":
        install()
    watching = Watching()
    provider = TracerProvider(active_span_processor=watching) if active else TracerProvider()  # type: ignore[arg-type]
    if not active:
        provider.add_span_processor(watching)
    if when == "before":
        install()
    everywhere(provider)
    assert [line.partition(" ")[0] for line in watching.seen][::2] == ["start", "end"]
    assert SECRET not in "".join(watching.seen)


def test_a_processor_that_was_added_between_two_spans(install: Callable[..., None]) -> None:
    install()
    provider, watching = TracerProvider(), Watching()
    everywhere(provider)
    provider.add_span_processor(watching)
    everywhere(provider)
    assert len(watching.seen) >= 3
    assert SECRET not in "".join(watching.seen)


def test_a_span_that_began_before(install: Callable[..., None]) -> None:
    """Attaching within a span, as an application may do at its start."""
    provider, watching = TracerProvider(), Watching()
    provider.add_span_processor(watching)
    with provider.get_tracer("stock").start_as_current_span("start of the application") as span:
        install()
        span.set_attribute("url.full", URL)
    assert len(watching.seen) >= 2
    assert SECRET not in "".join(watching.seen)


def test_another_installation_looks_at_the_processors_again(install: Callable[..., None]) -> None:
    install()
    provider, watching = TracerProvider(), Watching()
    provider.add_span_processor(watching)
    everywhere(provider)
    redaction.uninstall()
    everywhere(provider)
    assert SECRET in "".join(watching.seen)
    watching.seen.clear()
    install()
    everywhere(provider)
    assert watching.seen
    assert SECRET not in "".join(watching.seen)


def test_a_processor_of_processors_is_covered(install: Callable[..., None]) -> None:
    install()
    inner, watching = SynchronousMultiSpanProcessor(), Watching()
    inner.add_span_processor(watching)
    provider = TracerProvider()
    provider.add_span_processor(inner)
    everywhere(provider)
    assert SECRET not in "".join(watching.seen)


def test_what_cannot_be_inspected_is_not_exported(install: Callable[..., None]) -> None:
    install()
    provider, exporter = with_exporter()

    class Broken(str):  # noqa: SLOT000 a value that fails
        def __str__(self) -> str:
            msg = "no"
            raise RuntimeError(msg)

        lower = __str__

    assert redaction._sources is not None
    redaction._sources.guard.reraise = False
    with provider.get_tracer("stock").start_as_current_span(f"code={SECRET}") as span:
        span.add_event("code=abc&x=1")
        span._attributes._dict.update(url=Broken("https://x/?code=abc"))  # type: ignore[attr-defined]
    (left,) = [json.loads(found.to_json()) for found in exporter.get_finished_spans()]
    assert (left["name"], left["attributes"], left["events"]) == ("[redacted:uninspected]", {}, [])


def test_a_dry_run_exports_the_span_as_it_is(install: Callable[..., None], counted: Counter[tuple[str, str]]) -> None:
    install(redaction="dry-run")
    provider, exporter = with_exporter()
    everywhere(provider)
    assert exported(exporter).count(SECRET) >= 8
    assert counted["span", "code"] >= 3


def test_uninstall_gives_every_method_back(install: Callable[..., None]) -> None:
    before = {
        (owner, name): vars(owner)[name]
        for owner, name in (
            (Span, "_readable_span"),
            (Span, "start"),
        )
    }
    install()
    assert all(vars(owner)[name] is not original for (owner, name), original in before.items())
    redaction.uninstall()
    assert all(vars(owner)[name] is original for (owner, name), original in before.items())
    provider, exporter = with_exporter()
    everywhere(provider)
    assert SECRET in exported(exporter)
