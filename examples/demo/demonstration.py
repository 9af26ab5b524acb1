"""The demonstration: both programs instrumented, their visitors, and what the telemetry shows of them.

Starts ``demo.server`` and ``demo.client`` under ``opentelemetry-instrument``, lets visitors come, attackers among them,
and shows what the metrics and traces tell. Exit codes: 0 all as expected, 1 not, 2 wrong arguments, 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from rich.console import Console

from demo import evidence, logins, redacted, report, terminal, visitors
from demo.feed import Feed
from demo.performance import perform
from demo.programs import DemoError, InstrumentedProgram, free_ports
from demo.readings import Meters
from demo.scenario import World
from demo.serving import port_number
from demo.wording import sentence
from otel_oauth.testing import OtlpReceiver

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import FrameType

    from demo.performance import Performance

RACE_WINDOW = 2.0
"""Seconds in which a second presentation is a race: 30 by default, too long to wait for."""

EXPORT_SECONDS = 10.0
WIDTH = 120
PORTS = ("--server-port", "--client-port", "--server-metrics-port", "--client-metrics-port")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m demo", description="otel-oauth at work.")
    parser.add_argument("--keep", action="store_true", help="go on serving until Ctrl-C, and say where /metrics is")
    parser.add_argument("--output", type=Path, default=Path("build/demo"), help="the directory of the report")
    parser.add_argument("--picture", type=Path, help="also save a picture of the terminal (SVG)")
    for option in PORTS:
        parser.add_argument(option, type=port_number, default=0, help="0, the default, takes a free one")
    return parser.parse_args(arguments)


@contextmanager
def running(options: argparse.Namespace, endpoint: str, place: Path) -> Iterator[list[InstrumentedProgram]]:
    """Run both programs, with their databases and logs, until the ``with`` block ends."""
    wanted = {option: getattr(options, option[2:].replace("-", "_")) for option in PORTS}
    server_port, client_port, server_metrics, client_metrics = free_ports(wanted)
    settings = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_OAUTH_RACE_WINDOW": f"{RACE_WINDOW:g}",
    }

    def program(name: str, port: int, metrics_port: int, *arguments: str) -> InstrumentedProgram:
        own = {"OTEL_EXPORTER_PROMETHEUS_PORT": str(metrics_port), "OTEL_OAUTH_LEDGER": f"host:{place / name}"}
        return InstrumentedProgram(name, port, arguments, {**settings, **own}, options.output / f"{name}.log")

    with ExitStack() as stack:
        server = stack.enter_context(program("server", server_port, server_metrics, "--database", str(place / "db")))
        client = stack.enter_context(program("client", client_port, client_metrics, "--issuer", server.url))
        for each in (server, client):
            each.wait_until_ready()
        yield [server, client]


def wait_for_export(receiver: OtlpReceiver, programs: Sequence[InstrumentedProgram]) -> None:
    """Wait until both programs exported what they count now.

    :raises DemoError: if that takes too long.
    """
    now = time.time_ns()
    services = {program.service for program in programs}

    def exported(receiver: OtlpReceiver) -> bool:
        newer = (point for point in receiver.metrics() if point["time"] > now)
        return services <= {point["resource"]["service.name"] for point in newer}

    try:
        receiver.wait_for(exported, EXPORT_SECONDS)
    except TimeoutError as error:
        raise DemoError(str(error)) from None


def run(options: argparse.Namespace, console: Console) -> int:
    """Run the demonstration and return its exit code."""
    began = time.monotonic()
    with ExitStack() as stack:
        receiver = stack.enter_context(OtlpReceiver())
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="otel-oauth-demo-")))
        with running(options, receiver.endpoint, place) as programs:
            server, client = programs
            console.print(f"authorization server {server.url}, web application {client.url}", style="dim")
            with terminal.Board(console, Feed(receiver.logs)) as board:
                world = World(server.url, client.url, RACE_WINDOW)
                performance = perform(world, Meters(programs), programs, board.show)
            if options.keep:
                wait_for_export(receiver, programs)
                export = evidence.collect(receiver, programs)
                status = present(performance, export, options, console)
                show_output(status, programs, console)
                keep(receiver, programs, console)
                return status
        # Both have ended here, and sent the last of what they had.
        export = evidence.collect(receiver, programs)
    status = present(performance, export, options, console)
    show_output(status, programs, console)
    console.print(f"{time.monotonic() - began:.1f} s", style="dim")
    return status


def present(performance: Performance, export: evidence.Export, options: argparse.Namespace, console: Console) -> int:
    """Show everything in the terminal, write the report, and return the exit code."""
    wrong = list(evidence.problems(performance, export))
    login = logins.find_login(export)
    if login is None:
        wrong.append("no login was found whose traces of both programs are joined")
    summaries, verdicts = evidence.summaries(export), evidence.verdicts(export)
    console.print(terminal.metrics_table(summaries, console.width))
    if login is not None:
        console.print(terminal.login_table(login, console.width))
    console.print(terminal.attacks_table(performance))
    stock = redacted.first_callback(export.spans, visitors.callbacks)
    if stock is None:
        wrong.append("no span of a stock instrumentation was redacted")
    else:
        console.print(redacted.table(stock))
    events, logged = evidence.security_events(export), evidence.logged(export)
    console.print(terminal.security_table(events, verdicts, logged, console.width))
    exported = sum(summary.series > 0 for summary in summaries)
    result = sentence(performance, exported, len(wrong))
    for problem in wrong:
        console.print(f"wrong: {problem}", style="bold red", soft_wrap=True, markup=False, highlight=False)
    console.print(result, style="bold red" if wrong else "bold green", highlight=False)
    page = options.output / "report.html"
    page.write_text(report.page(performance, export, login, wrong), encoding="utf-8")
    console.print(f"report: {page}", highlight=False, soft_wrap=True)
    if options.picture is not None:
        terminal.save_picture(options.picture, performance, login)
    return 1 if wrong else 0


def show_output(status: int, programs: Sequence[InstrumentedProgram], console: Console) -> None:
    """Show what the programs said, if something is wrong."""
    for program in programs if status else ():
        for line in program.said():
            console.print(f"demo.{program.name}: {line}", style="dim", soft_wrap=True, markup=False, highlight=False)


def keep(receiver: OtlpReceiver, programs: Sequence[InstrumentedProgram], console: Console) -> None:
    """Serve until Ctrl-C."""
    for program in programs:
        console.print(f"demo.{program.name}: {program.url}, metrics at {program.metrics_url}", highlight=False)
    console.print("Ctrl-C stops both.")
    with suppress(KeyboardInterrupt):
        while True:
            time.sleep(1)
            receiver.clear()
            for program in programs:
                program.check()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demonstration and return its exit code; every way out of it stops the programs.

    :raises KeyboardInterrupt: at SIGINT and SIGTERM.
    """
    options = parse(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    width = None if sys.stdout.isatty() else WIDTH
    console = Console(width=width)
    try:
        options.output.mkdir(parents=True, exist_ok=True)
        return run(options, console)
    except DemoError as error:
        print(f"the demonstration stops: {error}", file=sys.stderr)
    except OSError as error:
        print(f"the demonstration stops: {error.filename or ''}: {os.strerror(error.errno or 0)}", file=sys.stderr)
    return 1


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
