"""One login as its spans tell it: the traces of both programs, joined by their links."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from demo.evidence import Export, Span

TRACES = 3
"""A login has three: the visitor is sent away, decides at the server, and comes back."""

OURS = "otel_oauth"
ENOUGH = ("http.request.method", "http.response.status_code", "http.route", "http.status_code")
"""What may be shown of a span of others: an ``http.target`` has the authorization code in it."""


@dataclass(frozen=True)
class Row:
    """A span at its place in the tree; times in milliseconds since the login began.

    ``guide`` is the drawing of the tree to its left, ``depth`` 0 begins a trace.
    """

    name: str
    program: str
    library: str
    guide: str
    depth: int
    start: float
    duration: float
    failed: bool
    attributes: Mapping[str, object]
    trace_id: str

    @property
    def ours(self) -> bool:
        """Whether the span is this product's and not one of the stock instrumentations'."""
        return self.library == OURS


@dataclass(frozen=True)
class Login:
    """The spans of one login, in the order of the tree; ``seconds`` from the first to the last."""

    rows: Sequence[Row]
    milliseconds: float

    @property
    def traces(self) -> int:
        """The number of traces that the links joined."""
        return len({row.trace_id for row in self.rows})


def find_login(export: Export) -> Login | None:
    """Return the completest login there is: one of both programs and three traces, with the most spans."""
    traces: dict[str, list[Span]] = defaultdict(list)
    for span in export.spans:
        traces[span["trace_id"]].append(span)
    best: list[Span] = []
    for span in export.spans:
        if span["name"].startswith("oauth.callback ") and span["attributes"].get("oauth.outcome") == "success":
            joined = [found for trace_id in _joined(traces, span["trace_id"]) for found in traces[trace_id]]
            if _complete(joined) and len(joined) > len(best):
                best = joined
    return _drawn(best) if best else None


def _joined(traces: Mapping[str, Sequence[Span]], first: str) -> set[str]:
    found, to_do = {first}, [first]
    while to_do:
        for span in traces[to_do.pop()]:
            new = {link["trace_id"] for link in span["links"] if link["trace_id"] in traces} - found
            found |= new
            to_do.extend(new)
    return found


def _complete(spans: Sequence[Span]) -> bool:
    programs = {span["program"] for span in spans}
    return len(programs) > 1 and len({span["trace_id"] for span in spans}) >= TRACES


def _drawn(spans: list[Span]) -> Login:
    begin = min(span["start"] for span in spans)
    children: dict[str, list[Span]] = defaultdict(list)
    known = {span["span_id"] for span in spans}
    for span in sorted(spans, key=lambda span: span["start"]):
        children[span["parent_id"] if span["parent_id"] in known else ""].append(span)
    rows = list(_rows(children, "", "", 0, begin))
    return Login(rows, (max(span["end"] for span in spans) - begin) / 1e6)


def _rows(children: Mapping[str, Sequence[Span]], parent: str, guide: str, depth: int, begin: int) -> Iterator[Row]:
    below = children.get(parent, ())
    for span in below:
        last = span is below[-1]
        branch = ("└─ " if last else "├─ ") if depth else ""
        yield Row(
            span["name"],
            span["program"],
            span["scope"]["name"].removeprefix("opentelemetry.instrumentation."),
            guide + branch,
            depth,
            (span["start"] - begin) / 1e6,
            (span["end"] - span["start"]) / 1e6,
            span["status"]["code"] == "error",
            {name: value for name, value in span["attributes"].items() if name.startswith("oauth.") or name in ENOUGH},
            span["trace_id"],
        )
        deeper = guide + (("   " if last else "│  ") if depth else "")
        yield from _rows(children, span["span_id"], deeper, depth + 1, begin)
