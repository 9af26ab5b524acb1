"""The one guard between our code and the application.

Whatever goes wrong inside the instrumentation ends here: it is counted, said once per component, and never seen by the
application. The message of the exception is never logged, it may hold what a request carried.
"""

from __future__ import annotations

import logging
import os
import threading
import traceback
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
R = TypeVar("R")

_log = logging.getLogger("otel_oauth")


class Guard:
    """Runs our code so that no exception of ours escapes.

    :param count: called with the component's name for each error that was stopped.
    :param reraise: raise instead of stopping; on in this project's own tests.
    """

    def __init__(self, count: Callable[[str], None], *, reraise: bool | None = None) -> None:
        self._count = count
        self._said: set[str] = set()
        self._lock = threading.Lock()
        self.reraise = os.environ.get("OTEL_OAUTH_RAISE_INTERNAL_ERRORS") == "1" if reraise is None else reraise

    def run(self, component: str, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R | None:
        """Call ``function`` and return its result, or ``None`` if it raised."""
        try:
            return function(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 the guard's purpose
            self.stopped(component, error)
            return None

    def stopped(self, component: str, error: Exception) -> None:
        """Count and log an error of ours that the caller stops by itself, where a call more would be felt.

        :raises Exception: ``error`` itself in this project's own tests.
        """
        self.failed(component, error)
        if self.reraise:
            raise error

    def after_fork(self) -> None:
        """Make the guard usable in a forked child: another thread of the parent may have held its lock."""
        self._lock = threading.Lock()

    def failed(self, component: str, error: BaseException) -> None:
        """Count an error of ours and log its type and place, the first time for each component."""
        self._count(component)
        with self._lock:
            if component in self._said:
                return
            self._said.add(component)
        frame = traceback.extract_tb(error.__traceback__)[-1:]
        place = f"{Path(frame[0].filename).name}:{frame[0].lineno}" if frame else "unknown"
        with suppress(Exception):  # of a filter or handler of the application's
            _log.warning(
                "otel-oauth: %s at %s in %s; the application is not affected, further errors are only counted",
                type(error).__qualname__,
                place,
                component,
            )
