"""Refresh tokens at a given rate, in process over WSGI, and print how many and how long."""

from __future__ import annotations

import argparse
import base64
import io
import json
import os
import sys
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode, urlsplit

from first_login import server

if TYPE_CHECKING:
    from collections.abc import Callable

BASIC = base64.b64encode(b"shop:shop-secret").decode()
VERIFIER = "v" * 43
KEPT = 4


class Visitor:
    """Sends requests to the application without a socket."""

    def __init__(self, application: Callable[..., Any]) -> None:
        self._application = application
        self.headers: dict[str, str] = {}
        self.status = ""

    def _start(self, status: str, headers: list[tuple[str, str]], _error: object = None) -> None:
        self.status, self.headers = status, dict(headers)

    def send(self, method: str, path: str, query: str = "", form: dict[str, str] | None = None) -> bytes:
        body = urlencode(form or {}).encode()
        environ = {
            "REQUEST_METHOD": method,
            "SCRIPT_NAME": "",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "HTTP_HOST": "127.0.0.1",
            "HTTP_AUTHORIZATION": f"Basic {BASIC}",
            "CONTENT_TYPE": "application/x-www-form-urlencoded",
            "CONTENT_LENGTH": str(len(body)),
            "REMOTE_ADDR": "127.0.0.1",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": False,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        answer = self._application(environ, self._start)
        content = b"".join(answer)
        if hasattr(answer, "close"):
            answer.close()
        return content


def log_in(visitor: Visitor) -> str:
    """Return a refresh token."""
    asked = {
        "response_type": "code",
        "client_id": "shop",
        "scope": "profile",
        "redirect_uri": server.Shop.redirect_uri,
        "code_challenge": VERIFIER,
        "code_challenge_method": "plain",
    }
    visitor.send("GET", "/authorize", urlencode(asked))
    code = parse_qs(urlsplit(visitor.headers["Location"]).query)["code"][0]
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": server.Shop.redirect_uri,
        "code_verifier": VERIFIER,
    }
    return str(json.loads(visitor.send("POST", "/token", form=form))["refresh_token"])


def main() -> None:
    """Refresh ``--rate`` times a second for ``--seconds``."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--rate", type=float, required=True)
    options = parser.parse_args()
    visitor = Visitor(server.create_app().wsgi_app)
    token = log_in(visitor)
    durations = []
    began = time.perf_counter()
    cpu = time.process_time()
    due = began
    while due - began < options.seconds:
        wait = due - time.perf_counter()
        if wait > 0:
            time.sleep(wait)
        start = time.perf_counter()
        answer = visitor.send("POST", "/token", form={"grant_type": "refresh_token", "refresh_token": token})
        durations.append(time.perf_counter() - start)
        token = json.loads(answer)["refresh_token"]
        del server.TOKENS[:-KEPT]
        due = max(due + 1 / options.rate, time.perf_counter() - 1)
    durations.sort()
    result = {
        "operations": len(durations),
        "seconds": time.perf_counter() - began,
        "cpu": time.process_time() - cpu,
        "p50": durations[len(durations) // 2],
        "p99": durations[len(durations) * 99 // 100],
        "max": durations[-1],
        "pid": os.getpid(),
    }
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
