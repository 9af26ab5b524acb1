"""Serves tests/canary/handwritten.py three times: with Django, with WSGI alone, with Starlette on a port of its own.

One process, at DEBUG, with the stock instrumentation of each. It prints the port of Django (``/django``) and WSGI
(``/wsgi``), then that of Starlette.
"""

from __future__ import annotations

import logging
import signal
import socket
import sys
import threading
from typing import TYPE_CHECKING, Any

import uvicorn
from canary_logging import log_everything, say_ports
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import re_path
from handwritten import Answer, Asked, answer
from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.routing import Route
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.serving import make_server

if TYPE_CHECKING:
    from starlette.requests import Request


def with_django(request: HttpRequest, path: str) -> HttpResponse:
    headers = {name.lower(): value for name, value in request.headers.items()}
    base = f"http://{request.get_host()}{request.META['SCRIPT_NAME']}"
    query = request.META["QUERY_STRING"]
    found = answer(Asked(str(request.method), base, f"/{path}", query, request.body, headers))
    return HttpResponse(found.body, status=found.status, headers=found.headers)


urlpatterns = [re_path(r"^(?P<path>.*)$", with_django)]


def with_wsgi(environ: dict[str, Any], start: Any) -> list[bytes]:
    headers = {name[5:].replace("_", "-").lower(): text for name, text in environ.items() if name.startswith("HTTP_")}
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    base = f"http://{environ['HTTP_HOST']}{environ['SCRIPT_NAME']}"
    try:
        asked = Asked(environ["REQUEST_METHOD"], base, environ["PATH_INFO"], environ["QUERY_STRING"], body, headers)
        found = answer(asked)
    except LookupError:
        logging.getLogger("wsgi").exception("failed at %s", environ["PATH_INFO"])
        found = Answer(500, "", {})
    start(f"{found.status} said by hand", list(found.headers.items()))
    return [found.body.encode()]


async def with_starlette(request: Request) -> Response:
    base = f"http://{request.url.netloc}"
    asked = Asked(
        request.method, base, request.url.path, request.url.query, await request.body(), dict(request.headers)
    )
    found = await run_in_threadpool(answer, asked)
    return Response(found.body, found.status, found.headers)


def main() -> None:
    log_everything()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts jobs in the background without it
    apps = {"/django": get_wsgi_application(), "/wsgi": OpenTelemetryMiddleware(with_wsgi)}
    threaded = make_server("127.0.0.1", 0, DispatcherMiddleware(lambda _e, _s: [], apps), threaded=True)
    listening = socket.create_server(("127.0.0.1", 0))
    routes = [Route("/{path:path}", with_starlette, methods=["GET", "POST"])]
    config = uvicorn.Config(Starlette(routes=routes), log_level="debug")
    threading.Thread(target=uvicorn.Server(config).run, args=([listening],), daemon=True).start()
    say_ports(threaded.port, listening.getsockname()[1])
    try:
        threaded.serve_forever(poll_interval=0.05)
    except KeyboardInterrupt:
        sys.exit(0)


if __name__ == "__main__":
    sys.modules["by_hand"] = sys.modules["__main__"]  # where Django looks for the views
    main()
