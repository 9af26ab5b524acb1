"""Serves one application of this directory, or several in one process, at DEBUG, and prints its port."""

from __future__ import annotations

import os
import signal
import sys
from importlib import import_module

from canary_logging import log_everything, say_ports
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.serving import make_server


def main(names: list[str]) -> None:
    """Serve ``NAME`` at the root, or each of several names below a path of its own."""
    log_everything()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts jobs in the background without it
    placeholder = make_server("127.0.0.1", 0, lambda _environ, _start: [], threaded=True)
    here = f"http://127.0.0.1:{placeholder.port}"
    os.environ.setdefault("CANARY_ISSUER", here + "/server")
    apps = {f"/{name}": import_module(name).app for name in names}
    placeholder.app = apps.popitem()[1] if len(apps) == 1 else DispatcherMiddleware(lambda _e, _s: [], apps)
    say_ports(placeholder.port)
    try:
        placeholder.serve_forever(poll_interval=0.05)
    except KeyboardInterrupt:
        sys.exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
