"""What the terminal shows: a table of the counters while they move, and at the end what there is to know."""

from __future__ import annotations

import re
from io import StringIO
from typing import TYPE_CHECKING

from rich.console import CONSOLE_SVG_FORMAT, Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from demo.feed import SHOWN
from demo.traffic import SCENARIOS
from demo.wording import PROGRAMS, Movement, families, milliseconds, movements, total
from otel_oauth.catalogue import DOCUMENTED

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from demo.evidence import Event, Summary, Verdict
    from demo.feed import Feed
    from demo.logins import Login
    from demo.performance import Outcome, Performance
    from demo.scenario import Scenario

COLOURS = {"server": "cyan", "client": "magenta"}
KINDS = {"everyday": "green", "failure": "yellow", "benign": "blue", "attack": "red"}
SEVERITIES = {"low": "blue", "medium": "yellow", "high": "red", "critical": "bold red"}
BLOCKS = " ▁▂▃▄▅▆▇"
HISTORY = 24
BAR = 28
PICTURE_WIDTH = 123
WIDE = 110
"""Columns from which on there is room for bars and means."""

NUMBERS = 33
"""Columns of the login's table beside its first one."""

FRAME = 8
"""Lines of the live table that are not its rows."""


class Board:
    """The live table over the newest events; without a terminal a line for each scenario and for each warning.

    :param feed: the events; they arrive some tenths of a second after what they tell of.
    """

    def __init__(self, console: Console, feed: Feed) -> None:
        self._console = console
        self._feed = feed
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None

    def __enter__(self) -> Board:  # noqa: PYI034 Self is not in Python 3.10
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, performance: Performance, scenario: Scenario) -> None:
        """Show the state after the newest reading."""
        done = performance.outcomes and performance.outcomes[-1].scenario is scenario
        told = self._feed.newest()
        if self._live is not None:
            table = counters(performance, scenario, self._console.height - FRAME - SHOWN)
            self._live.update(Group(table, *(event.line for event in self._feed.last)), refresh=True)
            return
        if done:
            self._console.print(outcome_line(performance.outcomes[-1]), soft_wrap=True)
        for event in told:
            if event.level in {"WARN", "ERROR"}:
                self._console.print(Text("          ").append_text(event.line), soft_wrap=True)


def counters(performance: Performance, scenario: Scenario, height: int) -> Table:
    """Return the table of the documented counters that moved so far."""
    done = len(performance.outcomes)
    table = Table(
        title=Text.assemble(
            (f"{done}/{len(SCENARIOS)}  ", "dim"),
            (f"{scenario.kind} ", KINDS[scenario.kind]),
            (scenario.name, "bold"),
        ),
        caption=Text(scenario.description, style="dim"),
        title_justify="left",
        caption_justify="left",
        expand=True,
    )
    table.add_column("counter", no_wrap=True)
    for program in PROGRAMS:
        table.add_column(program, justify="right", style=COLOURS[program])
    table.add_column("last", justify="right", no_wrap=True)
    table.add_column("over time", no_wrap=True)
    rows = [row for metric in DOCUMENTED if metric.kind == "counter" and (row := _counter(performance, metric.name))]
    for row in rows[: max(1, height)]:
        table.add_row(*row)
    if len(rows) > height:
        table.add_row(Text(f"and {len(rows) - height} more: make the terminal higher", style="dim"))
    return table


def _counter(performance: Performance, name: str) -> list[Text] | None:
    readings = performance.readings
    step = max(1, len(readings) // HISTORY)
    shown = [*readings[-2::-step][::-1], readings[-1]]
    history = [sum(reading.total(name, program) for program in PROGRAMS) for reading in shown]
    if not history[-1]:
        return None
    last = int(history[-1] - history[-2]) if len(history) > 1 else 0
    style = "bold" if last else ""
    now = performance.readings[-1]
    totals = (now.total(name, program) for program in PROGRAMS)
    return [
        Text(name, style=style),
        *(Text(f"{value:g}" if value else "", style=style) for value in totals),
        Text(f"+{last}" if last else "", style="bold green"),
        Text(sparkline(history), style="green" if last else "dim"),
    ]


def sparkline(values: Sequence[float]) -> str:
    """Draw ``values`` with one character each, from their lowest to their highest."""
    low, high = min(values), max(values)
    scale = (len(BLOCKS) - 2) / (high - low) if high > low else 0
    return "".join(BLOCKS[1 + round((value - low) * scale)] for value in values)


def outcome_line(outcome: Outcome) -> Text:
    """Return a scenario and what it moved, in a line."""
    line = Text.assemble(
        (f"{outcome.scenario.kind:9}", KINDS[outcome.scenario.kind]),
        f"{outcome.scenario.name:33}",
        joined(movements(outcome.moved)),
    )
    for complaint in outcome.complaints:
        line.append(f"\n  wrong: {complaint}", style="bold red")
    return line


def joined(found: Sequence[Movement]) -> Text:
    """Return movements as a text; what the benign twin does not move is marked."""
    if not found:
        return Text("nothing but requests", style="dim")
    return Text("  ").join(Text(movement.text, "bold red" if movement.new else "") for movement in found)


def save_picture(path: Path, performance: Performance, login: Login | None) -> None:
    """Save the last live table and the login as a picture (SVG) of a terminal."""
    console = Console(record=True, file=StringIO(), force_terminal=True, width=PICTURE_WIDTH)
    console.print(counters(performance, performance.outcomes[-1].scenario, len(DOCUMENTED)))
    if login is not None:
        console.print(login_table(login, PICTURE_WIDTH))
    # Rich's own template fetches its font from the network.
    template = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    console.save_svg(str(path), title="make demo", code_format=template)


def metrics_table(summaries: Sequence[Summary], width: int) -> Table:
    """Return the documented metrics with their series and totals, for a terminal of ``width`` columns."""
    table = Table(title="The 39 documented metrics", title_justify="left")
    table.add_column("metric", no_wrap=True)
    table.add_column("series", justify="right", min_width=6)
    for program in PROGRAMS:
        table.add_column(program, justify="right", style=COLOURS[program], no_wrap=True)
    if width >= WIDE:
        table.add_column("kind", style="dim", no_wrap=True)
    for summary in summaries:
        totals = (total(summary, program, mean=width >= WIDE) for program in PROGRAMS)
        cells = [summary.metric.name, str(summary.series), *totals, summary.metric.kind]
        table.add_row(*cells[: len(table.columns)])
    return table


def login_table(login: Login, width: int) -> Table:
    """Return the trace tree of one login, for a terminal of ``width`` columns."""
    title = f"One login: {login.traces} traces of both programs, joined by links, {milliseconds(login.milliseconds)}"
    table = Table(title=title, title_justify="left")
    others = NUMBERS + (BAR + 3 if width >= WIDE else 0)
    table.add_column("span", no_wrap=True, max_width=max(20, width - others))
    table.add_column("of", min_width=6)
    table.add_column("begins", justify="right", min_width=7)
    table.add_column("lasts", justify="right", min_width=7)
    if width >= WIDE:
        table.add_column("", no_wrap=True, min_width=BAR)
    for number, row in enumerate(login.rows):
        if number and not row.depth:
            table.add_section()
        style = "bold" if row.ours else "dim"
        cells = [
            Text.assemble((row.guide, "dim"), (row.name, style), "" if row.ours else (f" ({row.library})", "dim")),
            Text(row.program, style=COLOURS[row.program]),
            milliseconds(row.start),
            milliseconds(row.duration),
            Text(bar(row.start, row.duration, login.milliseconds), style=COLOURS[row.program]),
        ]
        table.add_row(*cells[: len(table.columns)])
    return table


def bar(start: float, duration: float, whole: float) -> str:
    """Draw where a span lies in the whole."""
    before = min(BAR - 1, int(start / whole * BAR))
    return " " * before + "━" * max(1, min(BAR - before, round(duration / whole * BAR)))


def attacks_table(performance: Performance) -> Table:
    """Return what each attack moved under what its benign twin moved."""
    table = Table(
        title="Attacks under their benign twins: what the metrics moved",
        title_justify="left",
        caption="oauth_ and _total left out; red: the benign twin does not move it",
        caption_justify="left",
    )
    table.add_column("")
    table.add_column("scenario", no_wrap=True)
    table.add_column("moved", overflow="fold")
    for family in families(performance):
        table.add_section()
        _add(table, family.benign, None)
        for attack in family.attacks:
            _add(table, attack, family.benign.moved)
    return table


def _add(table: Table, outcome: Outcome, twin: Counter[str] | None) -> None:
    kind = outcome.scenario.kind
    mark = Text("wrong", style="bold red") if outcome.complaints else Text(kind, style=KINDS[kind])
    table.add_row(mark, outcome.scenario.name, joined(movements(outcome.moved, twin)))


def security_table(
    events: Counter[Event], verdicts: Sequence[Verdict], logged: Mapping[Event, Counter[str]], width: int
) -> Table:
    """Return the security events that were counted, their names in the log, their cases, and one of the traces."""
    table = Table(title="Security events", title_justify="left")
    for name in ("event_type", "severity", "program"):
        table.add_column(name, no_wrap=True)
    table.add_column("counted", justify="right", min_width=7)
    table.add_column("in the log", overflow="fold")
    table.add_column("cases, as their spans tell", overflow="fold")
    if width >= WIDE:
        table.add_column("a trace", no_wrap=True, style="dim")
    for event, number in sorted(events.items()):
        event_type, severity, program = event
        told = [verdict for verdict in verdicts if verdict.event == event]
        cells = [
            event_type,
            Text(severity, style=SEVERITIES.get(severity, "")),
            Text(program, style=COLOURS[program]),
            str(number),
            ", ".join(sorted(logged.get(event, ()))),
            ", ".join(sorted({verdict.case for verdict in told})),
            told[0].trace_id[:16] if told else "",
        ]
        table.add_row(*cells[: len(table.columns)])
    return table
