"""A span of a stock instrumentation as it was exported, beside what it would have been without redaction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from demo.evidence import Span

_ATTRIBUTES = ("url.query", "http.target", "url.full", "http.url")


@dataclass(frozen=True)
class Redacted:
    """One attribute of a span of the stock Flask instrumentation: the callback of the first login.

    :param exported: what it was exported as.
    :param visited: what the visitor's browser asked for, and the attribute would have held.
    """

    span: str
    attribute: str
    exported: str
    visited: str


def first_callback(spans: Iterable[Span], visited: Sequence[str]) -> Redacted | None:
    """Return the span of the first callback with a code; ``visited`` is where browsers went, in order."""
    callbacks = [url for url in visited if "code=" in url and "callback" in urlsplit(url).path]
    for span in sorted(spans, key=lambda span: span["start"]):
        for name in _ATTRIBUTES if "flask" in span["scope"]["name"] else ():
            text = str(span["attributes"].get(name, ""))
            if callbacks and "[redacted:code:" in text:
                parts = urlsplit(callbacks[0])
                whole = {"url.query": parts.query, "http.target": f"{parts.path}?{parts.query}"}
                return Redacted(span["name"], name, text, whole.get(name, callbacks[0]))
    return None


def table(found: Redacted) -> Table:
    """Return it as a table."""
    title = f"A span of the stock instrumentation of Flask, {found.span}: {found.attribute}"
    made = Table(title=title, title_justify="left")
    made.add_column("")
    made.add_column("value", overflow="fold")
    # As text: the brackets of a mark are no markup.
    made.add_row("exported", Text(found.exported), style="bold green")
    made.add_row("without redaction", Text(found.visited), style="dim")
    return made
