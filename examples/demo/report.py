"""The report: one HTML page that needs no other file and no network."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from demo import plots
from demo.evidence import logged, security_events, summaries, verdicts
from demo.readings import Series
from demo.wording import PROGRAMS, Movement, families, milliseconds, movements, sentence, total

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterable, Sequence

    from demo.evidence import Export, Summary
    from demo.logins import Login, Row
    from demo.performance import Outcome, Performance

STYLE = Path(__file__).with_name("report.css")
TOKEN_DURATION = Series("server", "oauth_http_request_duration_milliseconds", ("token",))


def page(performance: Performance, export: Export, login: Login | None, wrong: Sequence[str]) -> str:
    """Return the report as HTML."""
    metrics = summaries(export)
    sections = (
        _head(performance, metrics, wrong),
        _plots(performance, export),
        _login(login) if login is not None else "",
        _twins(performance),
        _security(export),
        _metrics(metrics, performance),
        _others(performance),
    )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>otel-oauth: the demonstration</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE.read_text(encoding='utf-8')}</style><main>{''.join(sections)}</main></html>\n"
    )


def _section(title: str, text: str, body: str) -> str:
    return f"<section><h2>{title}</h2><p>{text}</p>{body}</section>"


def _table(heads: Sequence[str], rows: Iterable[str], kind: str = "") -> str:
    cells = "".join(f'<th class="{"n" if head in _NUMBERS else ""}">{head}</th>' for head in heads)
    head = f"<thead><tr>{cells}</tr></thead>" if heads else ""
    return f'<div class="card"><table class="{kind}">{head}<tbody>{"".join(rows)}</tbody></table></div>'


_NUMBERS = ("series", "server", "client", "counted")


def _head(performance: Performance, metrics: Sequence[Summary], wrong: Sequence[str]) -> str:
    by_name = {summary.metric.name: summary for summary in metrics}
    exported = sum(summary.series > 0 for summary in metrics)
    kinds = [outcome.scenario.kind for outcome in performance.outcomes]
    tiles = (
        (f"{exported}/{len(metrics)}", "documented metrics"),
        (f"{sum(summary.series for summary in metrics):,}", "series"),
        (f"{by_name['oauth_callback_processed'].totals['client']:.0f}", "callbacks of logins"),
        (f"{by_name['oauth_token_refresh_total'].totals['server']:.0f}", "token refreshes"),
        (f"{kinds.count('attack')}", "attacks"),
        (f"{kinds.count('benign')}", "benign twins"),
    )
    listed = "".join(f"<li><b>{number}</b>{escape(name)}</li>" for number, name in tiles)
    problems = "".join(f"<li>{escape(problem)}</li>" for problem in wrong)
    return (
        "<h1>OAuth telemetry, without a line of it in the applications</h1>"
        "<p>An Authlib authorization server and a web application that logs people in there, two processes under "
        "<code>opentelemetry-instrument</code>, and their visitors.</p>"
        f'<div class="result{" bad" if wrong else ""}">{escape(sentence(performance, exported, len(wrong)))}</div>'
        f'<ul class="problems">{problems}</ul><ul class="tiles">{listed}</ul>'
    ).replace('<ul class="problems"></ul>', "")


def _plots(performance: Performance, export: Export) -> str:
    figures = [plots.figure(panel, performance) for panel in plots.PANELS]
    figures.append(plots.durations("Duration of a token request", TOKEN_DURATION, export))
    return _section(
        "Counters over time",
        "Read at <code>/metrics</code> of both programs after each scenario.",
        f'<div class="plots">{"".join(figures)}</div>',
    )


def _login(login: Login) -> str:
    return _section(
        "One login across both programs",
        f"{login.traces} traces, joined by span links: the visitor is sent to the server, decides there, and comes "
        f"back with a code; {milliseconds(login.milliseconds)} in all. Bold: the spans of otel-oauth; the others are "
        f'those of the stock instrumentations. <b class="server">server</b> <b class="client">client</b>',
        _table((), (_span(row, login) for row in login.rows), "waterfall"),
    )


def _span(row: Row, login: Login) -> str:
    kind = "ours" if row.ours else "stock"
    left, width = 100 * row.start / login.milliseconds, 100 * row.duration / login.milliseconds
    told = "\n".join(f"{name} = {value}" for name, value in row.attributes.items())
    library = "" if row.ours else f" ({escape(row.library)})"
    return (
        f'<tr class="{"" if row.depth else "root"}" title="{escape(told)}">'
        f'<td class="mono"><span class="guide">{row.guide}</span>'
        f'<span class="{kind}">{escape(row.name)}{library}</span></td>'
        f'<td class="{row.program}">{row.program}</td><td class="n">{milliseconds(row.start)}</td>'
        f'<td class="n">{milliseconds(row.duration)}</td>'
        f'<td class="time"><div class="lane"><i class="{row.program} {kind}" '
        f'style="left:{left:.2f}%;width:{width:.2f}%"></i></div></td></tr>'
    )


def _moved(found: Sequence[Movement]) -> str:
    if not found:
        return '<ul class="moved mono"><li class="none">nothing but requests</li></ul>'
    listed = "".join(f'<li class="{"new" if movement.new else ""}">{escape(movement.text)}</li>' for movement in found)
    return f'<ul class="moved mono">{listed}</ul>'


def _outcome(outcome: Outcome, twin: Counter[str] | None = None) -> str:
    scenario = outcome.scenario
    problems = "".join(f'<div class="problems">{escape(complaint)}</div>' for complaint in outcome.complaints)
    return (
        f'<div class="{scenario.kind}"><span class="tag {scenario.kind}">{scenario.kind}</span>'
        f"<b>{escape(scenario.name.replace('_', ' '))}</b><small>{escape(scenario.description)}</small>"
        f"{_moved(movements(outcome.moved, twin))}{problems}</div>"
    )


def _twins(performance: Performance) -> str:
    rows = (
        f"<tr><td>{_outcome(family.benign)}</td>"
        f"<td>{''.join(_outcome(attack, family.benign.moved) for attack in family.attacks)}</td></tr>"
        for family in families(performance)
    )
    return _section(
        "Attacks beside their benign twins",
        "What each moved, every series of it checked. Red is what the benign twin does not move. "
        "<code>oauth_</code> and <code>_total</code> are left out, and the counters that every request moves.",
        _table(("benign twin", "attacks"), rows, "twins"),
    )


def _security(export: Export) -> str:
    told, written = verdicts(export), logged(export)
    rows = []
    for event, number in sorted(security_events(export).items()):
        event_type, severity, program = event
        own = [verdict for verdict in told if verdict.event == event]
        cases = ", ".join(sorted({verdict.case for verdict in own}))
        trace = own[0].trace_id if own else ""
        rows.append(
            f'<tr><td class="mono">{event_type}</td><td class="{severity}">{severity}</td>'
            f'<td class="{program}">{program}</td><td class="n">{number}</td>'
            f'<td class="mono">{", ".join(sorted(written.get(event, ())))}</td>'
            f'<td class="mono">{escape(cases)}</td><td class="mono">{trace}</td></tr>'
        )
    return _section(
        "Security events",
        "Counted in <code>oauth_security_events_total</code>; each is an event in the log, and has a span that names "
        "its case and leads to its trace. Severity low is the benign twin of an attack and fires no alert.",
        _table(("event_type", "severity", "program", "counted", "in the log", "cases", "a trace"), rows),
    )


def _metrics(metrics: Sequence[Summary], performance: Performance) -> str:
    rows = []
    for summary in metrics:
        metric = summary.metric
        history = [sum(reading.total(metric.name, name) for name in PROGRAMS) for reading in performance.readings]
        labels = ", ".join(metric.label_names)
        totals = "".join(f'<td class="n {name}">{total(summary, name)}</td>' for name in PROGRAMS)
        rows.append(
            f"<tr><td><code>{metric.name}</code><small>{escape(metric.description)}</small></td><td>{metric.kind}</td>"
            f'<td class="mono">{labels}</td><td class="n">{summary.series}</td>{totals}'
            f"<td>{plots.spark(history)}</td></tr>"
        )
    return _section(
        "The 39 documented metrics",
        "As they were exported over OTLP: the sum of a counter, the value of a gauge, count and mean of a histogram.",
        _table(("metric", "kind", "labels", "series", "server", "client", "over time"), rows),
    )


def _others(performance: Performance) -> str:
    rows = (
        f"<tr><td>{_outcome(outcome)}</td></tr>"
        for outcome in performance.outcomes
        if outcome.scenario.kind in ("everyday", "failure")
    )
    return _section(
        "Everyday life and failures",
        "The other scenarios, checked like the attacks.",
        f"<details><summary>what each of them moved</summary>{_table((), rows)}</details>",
    )
