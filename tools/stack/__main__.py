"""``make stack``: build or find the pipeline, start it, fill it, show it. ``python -m stack --help`` says more."""

from __future__ import annotations

import argparse
import fcntl
import os
import signal
import sys
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from stack import BUILD, StackError
from stack.binaries import ensure, require
from stack.page import Page, serve
from stack.panels import Sources
from stack.pipeline import HOST, USUAL, Stack, port
from stack.queries import Loki, Prometheus
from stack.sheets import sheets
from stack.traffic import Applications

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

INTERRUPTED = 130
DATA_SECONDS = 60.0
"""How long the panels may take to get data after the traffic."""

EVENTS = '{service_name=~"demo-.*"} | event_name=~"oauth_.*|pkce_.*"'
FIRST_LOOK = "sum by (job, event_type, severity) (oauth_security_events_total)"


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m stack", description="The telemetry pipeline on this machine.")
    parser.add_argument("--build-only", action="store_true", help="build what is missing, and end")
    parser.add_argument("--once", action="store_true", help="end when all panels have data, instead of serving")
    parser.add_argument("--pictures", type=Path, help="also write a picture of each dashboard into this directory")
    parser.add_argument("--page-port", type=int, default=0, help="where the page of panels is served")
    for name, usual in USUAL.items():
        parser.add_argument(f"--{name}-port", type=int, default=0, help=f"instead of {usual}, or a free one")
    return parser.parse_args(arguments)


def say(text: str) -> None:
    """Print one line at once."""
    print(text, flush=True)


def run(options: argparse.Namespace) -> int:
    """Run the stack and return the exit code.

    :raises StackError: if it cannot go on.
    """
    began = time.monotonic()
    ensure(say)
    if options.build_only:
        return 0
    require("java", "Zipkin")
    with ExitStack() as open_:
        _alone(open_)
        wanted = {name: getattr(options, f"{name.replace('-', '_')}_port") for name in USUAL}
        stack = Stack(BUILD / "data", wanted)
        page_port = port("the page", options.page_port)
        say(
            "starting Loki, Prometheus, Zipkin and the Collector" + (", Alertmanager" if stack.has_alertmanager else "")
        )
        if not stack.has_alertmanager:
            say("Alertmanager is left out: it is not installed here (package prometheus-alertmanager)")
        open_.enter_context(stack)
        say(f"ready after {time.monotonic() - began:.0f} s; now the demonstration's logins and attacks")
        applications = open_.enter_context(Applications(stack.collector.otlp, BUILD / "data" / "applications"))
        wrong = applications.play(say)
        sources = Sources(Prometheus(stack.prometheus_url), Loki(stack.loki_url))
        page = Page(BUILD / "page", sources, {"Zipkin": stack.zipkin_url, "Prometheus's API": stack.prometheus_url})
        _wait_for_data(page, stack)
        say(f"everything is there after {time.monotonic() - began:.0f} s")
        if options.pictures is not None:
            for picture in sheets(page.drawn, options.pictures):
                say(f"  {picture}")
        if options.once:
            return 1 if wrong or page.without_data else 0
        server = serve(BUILD / "page", HOST, page_port)
        open_.callback(server.shutdown)
        _links(stack, page_port)
        _go_on(stack, applications, page)
    return 0


def _alone(open_: ExitStack) -> None:
    """Make sure that no other stack uses the same data."""
    BUILD.mkdir(parents=True, exist_ok=True)
    lock = open_.enter_context((BUILD / "lock").open("w"))
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        message = f"another stack runs from this checkout already ({BUILD / 'lock'} is locked): stop it with Ctrl-C"
        raise StackError(message) from None


def _wait_for_data(page: Page, stack: Stack) -> None:
    """Render until every panel has data, and say which have none in the end."""
    deadline = time.monotonic() + DATA_SECONDS
    number = page.render()
    while page.without_data and time.monotonic() < deadline:
        stack.check()
        time.sleep(2)
        number = page.render()
    say(f"{number - len(page.without_data)} of {number} panels have data")
    for panel in page.without_data:
        say(f"  no data: {panel.dashboard}: {panel.title}")


def _links(stack: Stack, page_port: int) -> None:
    say(f"""
  panels      http://{HOST}:{page_port}/
  traces      {stack.zipkin_url}/zipkin/?lookback=1h&limit=50
  metrics     curl -sG {stack.prometheus_url}/api/v1/query --data-urlencode 'query={FIRST_LOOK}'
  alerts      curl -s {stack.prometheus_url}/api/v1/alerts
  events      curl -sG {stack.loki_url}/loki/api/v1/query_range --data-urlencode 'query={EVENTS}'
  your own    OTEL_EXPORTER_OTLP_ENDPOINT={stack.collector.otlp} OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf
  data, logs  {stack.place}

Ctrl-C stops all.""")


def _go_on(stack: Stack, applications: Applications, page: Page) -> None:
    """Serve until Ctrl-C, while people go on logging in."""
    ended = threading.Event()
    workers = [threading.Thread(target=work, args=(ended,)) for work in (applications.go_on, page.keep_fresh)]
    for worker in workers:
        worker.start()
    try:
        while True:
            time.sleep(1)
            stack.check()
            applications.check()
    finally:
        ended.set()
        for worker in workers:
            worker.join()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the stack and return the exit code; every way out of it stops the processes."""
    options = parse(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return run(options)
    except KeyboardInterrupt:
        say("stopped: nothing is left running")
        return 0 if not options.build_only else INTERRUPTED
    except StackError as error:
        print(f"the stack stops: {error}", file=sys.stderr)
    except OSError as error:
        print(f"the stack stops: {error.filename or ''}: {os.strerror(error.errno or 0)}", file=sys.stderr)
    return 1


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    with suppress(BrokenPipeError):
        sys.exit(main())
