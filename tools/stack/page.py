"""The page of rendered panels: what Grafana would show, drawn here, served on loopback, and drawn anew."""

from __future__ import annotations

import html
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import groupby
from typing import TYPE_CHECKING

from stack.drawing import draw
from stack.panels import DASHBOARDS, Sources, dashboards, panels, read, variables

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from stack.panels import Panel

REFRESH_SECONDS = 20
STYLE = """
body { font: 14px/1.5 system-ui, sans-serif; margin: 1.5rem; background: #f4f5f7; color: #222 }
section { display: flex; flex-wrap: wrap; gap: .6rem } img { background: #fff; border: 1px solid #ddd; width: 520px }
code { background: #e8eaee; padding: 0 .3em } h2 { margin: 1.2rem 0 .4rem }
"""


class Page:
    """The pictures and the page around them.

    :param place: the directory that is served.
    :param sources: where the panels' data comes from.
    :param links: what else is shown: words and the URL behind them.
    :param dashboards_in: where the dashboards are.
    """

    def __init__(
        self, place: Path, sources: Sources, links: Mapping[str, str], dashboards_in: Path = DASHBOARDS
    ) -> None:
        self._place = place
        self._sources = sources
        self._links = links
        self._dashboards_in = dashboards_in
        self.without_data: list[Panel] = []
        self.drawn: list[tuple[str, Path]] = []

    def render(self) -> int:
        """Draw every panel and write the page; return how many panels there are."""
        self._place.mkdir(parents=True, exist_ok=True)
        shown: list[tuple[Panel, str]] = []
        missing = []
        for dashboard in dashboards(self._dashboards_in):
            values = variables(dashboard)
            for panel in panels(dashboard):
                name = f"panel-{len(shown)}.png"
                data = read(panel, values, self._sources)
                if not data:
                    missing.append(panel)
                draw(panel, data, self._place / name)
                shown.append((panel, name))
        self.without_data = missing
        self.drawn = [(panel.dashboard, self._place / name) for panel, name in shown]
        (self._place / "index.html").write_text(self._html(shown), encoding="utf-8")
        return len(shown)

    def keep_fresh(self, ended: threading.Event) -> None:
        """Draw anew again and again until ``ended`` is set."""
        while not ended.wait(REFRESH_SECONDS):
            self.render()

    def _html(self, shown: list[tuple[Panel, str]]) -> str:
        at = time.strftime("%H:%M:%S")
        links = " · ".join(
            f'<a href="{html.escape(url)}">{html.escape(words)}</a>' for words, url in self._links.items()
        )
        parts = [
            '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>otel-oauth: the pipeline</title>',
            f'<meta http-equiv="refresh" content="{REFRESH_SECONDS}"><style>{STYLE}</style></head><body>',
            f"<h1>otel-oauth: the pipeline</h1><p>{links}</p>",
            f"<p>Drawn at {at}, and every {REFRESH_SECONDS} s, with the queries of the dashboards.</p>",
        ]
        for title, group in groupby(shown, lambda item: item[0].dashboard):
            parts.append(f"<h2>{html.escape(title)}</h2><section>")
            parts += [
                f'<img src="{name}?{at}" alt="{html.escape(panel.title)}" title="{html.escape(panel.description)}">'
                for panel, name in group
            ]
            parts.append("</section>")
        return "\n".join([*parts, "</body></html>"])


class _Handler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 http.server's parameter
        """Say nothing: the terminal shows what matters."""


def serve(place: Path, host: str, number: int) -> ThreadingHTTPServer:
    """Serve a directory in a thread of its own; the caller shuts it down."""
    server = ThreadingHTTPServer((host, number), partial(_Handler, directory=str(place)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
