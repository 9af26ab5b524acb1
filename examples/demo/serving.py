"""Serve a WSGI application on loopback until the program is told to stop."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
import sys
import threading
from typing import TYPE_CHECKING, NoReturn

from werkzeug.serving import make_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType
    from wsgiref.types import WSGIApplication

HOST = "127.0.0.1"
HIGHEST_PORT = 65535
BACKLOG = 128


def port_number(text: str) -> int:
    """Return ``text`` as a port; 0 lets the system choose. For ``argparse``."""
    if not text.isascii() or not text.isdigit() or int(text) > HIGHEST_PORT:
        message = f"not a port between 0 and {HIGHEST_PORT}: {text!r}"
        raise argparse.ArgumentTypeError(message)
    return int(text)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what every program of the demonstration takes: its port, and whether it stops with its parent."""
    parser.add_argument("--port", type=port_number, default=0, help="0, the default, takes a free one")
    parser.add_argument(
        "--with-parent",
        action="store_true",
        help="stop when standard input closes, as it does when its writer ends",
    )


def listen(port: int) -> socket.socket:
    """Return a listening socket on loopback, or end the program with a clear word if ``port`` is taken."""
    try:
        return socket.create_server((HOST, port), backlog=BACKLOG)
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        sys.exit(f"cannot listen on {HOST}:{port}: {reason}; choose another with --port, or leave it out")


def address(listener: socket.socket) -> str:
    """Return the URL at which ``listener`` is reached."""
    return f"http://{HOST}:{listener.getsockname()[1]}"


def serve(app: WSGIApplication, listener: socket.socket, *, with_parent: bool) -> None:
    """Serve ``app`` in threads until SIGTERM, SIGINT or, ``with_parent``, the end of standard input.

    Prints one line, ``ready URL``, when requests are accepted.
    """
    # Its lines hold whole URLs, and with them authorization codes and states.
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    # SIGTERM would end the process at once; leaving by SystemExit runs what was registered with atexit.
    signal.signal(signal.SIGTERM, _leave)
    if with_parent:
        threading.Thread(target=_follow_parent, daemon=True).start()
    server = make_server(HOST, listener.getsockname()[1], app, threaded=True, fd=listener.fileno())
    print(f"ready {address(listener)}", flush=True)
    try:
        server.serve_forever()
    finally:
        server.server_close()
        listener.close()


def _leave(_number: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(0)


def _follow_parent() -> None:
    for _line in _lines():
        pass
    signal.raise_signal(signal.SIGTERM)


def _lines() -> Iterator[bytes]:
    yield from sys.stdin.buffer
