"""The same program twice, with nothing left to chance, and all of it that an application or its user could see."""

from __future__ import annotations

import copy
import inspect
import logging
import pickle
import random
import threading
import time
import traceback
import types
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

if TYPE_CHECKING:
    from collections.abc import Iterator

START = 1_800_000_000.0
_OURS = ("otel_oauth", "opentelemetry")
_FRAMES_OF_OURS = ("/otel_oauth", "/wrapt/", "/opentelemetry/", "/tests/support/compared")


class Clock:
    """The time of both programs, which passes only when a step says so."""

    now = START

    def __call__(self) -> float:
        return self.now


@contextmanager
def determined() -> Iterator[Clock]:
    """Stop the time, and make the secrets of the same program the same each time."""
    source, clock = random.Random(7), Clock()  # noqa: S311 the point is that they can be foretold
    with (
        mock.patch.object(time, "time", clock),
        mock.patch.object(random.SystemRandom, "random", lambda _self: source.random()),  # noqa: PT008 the same method of another generator
        mock.patch.object(random.SystemRandom, "getrandbits", lambda _self, bits: source.getrandbits(bits)),
        mock.patch.object(random.SystemRandom, "randbytes", lambda _self, number: source.randbytes(number)),
    ):
        yield clock


class Transcript(logging.Handler):
    """Everything observable, in its order: responses, exceptions, log records, warnings, calls of the store.

    Log records of other threads, which are those of a server at the other end, come when they come and are left out.
    """

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[tuple[Any, ...]] = []
        self._thread = threading.get_ident()

    def note(self, *what: Any) -> None:
        self.lines.append(what)

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread and not record.name.startswith(_OURS):
            error = record.exc_info[1] if record.exc_info else None
            where = Path(record.pathname).name, record.funcName, record.lineno
            self.note("log", record.name, record.levelname, record.getMessage(), *where, raised(error))

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Listen to the loggers and warnings of the process."""
        root = logging.getLogger()
        level = root.level
        root.addHandler(self)
        root.setLevel(logging.DEBUG)
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.showwarning = self._warned
            try:
                yield
            finally:
                root.removeHandler(self)
                root.setLevel(level)

    def _warned(self, message: Any, category: type, filename: str, lineno: int, *_where: Any) -> None:
        self.note("warning", category.__name__, str(message), Path(filename).name, lineno)


def raised(error: BaseException | None) -> tuple[Any, ...]:
    """Return what can be told of an exception: its text, where it passed, what it came from."""
    if error is None:
        return ()
    frames = [
        (Path(frame.filename).name, frame.name, frame.lineno)
        for frame in traceback.extract_tb(error.__traceback__)
        if not any(part in frame.filename for part in _FRAMES_OF_OURS)
    ]
    notes = list(getattr(error, "__notes__", ()))
    return type(error).__qualname__, str(error), frames, notes, raised(error.__cause__), raised(error.__context__)


def fingerprint(found: Any) -> dict[str, Any]:
    """Return how an object looks to whoever inspects, compares, copies or pickles it."""
    cls = type(found)
    names = sorted({*dir(found)} - {"__slotnames__"})  # what `copy` leaves behind
    return {
        "type": (cls.__module__, cls.__qualname__, [base.__qualname__ for base in cls.__mro__]),
        "dir": names,
        "vars": sorted({*vars(found)} - {"__slotnames__"}) if hasattr(found, "__dict__") else None,
        "class": sorted({*vars(cls)} - {"__slotnames__"}),
        "members": {name: _member(found, name) for name in names if not name.startswith("__")},
        "copy": _tried(lambda: _shape(copy.copy(found))),
        "deepcopy": _tried(lambda: _shape(copy.deepcopy(found))),
        "pickle": _tried(lambda: _shape(pickle.loads(pickle.dumps(found)))),  # noqa: S301 our own bytes
    }


def _shape(found: Any) -> tuple[Any, ...]:
    return type(found).__qualname__, sorted({*vars(found)} - {"__slotnames__"}) if hasattr(found, "__dict__") else None


def _tried(action: Any) -> Any:
    # Whatever it raises is what the application would get.
    try:
        return action()
    except Exception as error:  # noqa: BLE001 see above
        return type(error).__name__, str(error).split(" at 0x")[0]


def _member(found: Any, name: str) -> Any:
    value = inspect.getattr_static(found, name)
    got = _tried(lambda: getattr(found, name))
    told: list[Any] = [
        isinstance(value, (types.FunctionType, staticmethod, classmethod, property)),
        callable(got),
        _tried(lambda: got == getattr(found, name)),
    ]
    if isinstance(got, (types.MethodType, types.FunctionType)):
        told += [
            got.__name__,
            got.__qualname__,
            got.__module__,
            got.__doc__,
            inspect.isfunction(got),
            inspect.ismethod(got),
            inspect.iscoroutinefunction(got),
            _tried(lambda: str(inspect.signature(got))),
            _tried(lambda: inspect.getsource(got)),
            _tried(lambda: inspect.getsourcefile(inspect.unwrap(got))),
            _tried(lambda: hash(got) == hash(getattr(found, name))),
            _tried(lambda: getattr(got, "__self__", None) is found),
            sorted({*vars(got)} - {"__wrapped__"}) if hasattr(got, "__dict__") else None,  # what `functools.wraps` adds
        ]
    return told


def difference(one: list[Any], other: list[Any]) -> str:
    """Return where two transcripts part, or nothing."""
    for number, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return f"line {number}:\n  plain:        {left}\n  instrumented: {right}"
    return (
        ""
        if len(one) == len(other)
        else f"{len(one)} and {len(other)} lines: {(one[len(other) :] or other[len(one) :])[0]}"
    )


def unlike(one: Any, other: Any, path: str = "") -> list[str]:
    """Return where two nested values differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        names = sorted({*one, *other})
        return [each for name in names for each in unlike(one.get(name), other.get(name), f"{path}/{name}")]
    return [] if one == other else [f"{path}: {one} is now {other}"]
