"""A process for each variant: it attaches once, runs warm, and measures whenever it is told to.

In production a process attaches once and then serves for days. Python specialises its bytecode after some calls, and
whatever attaches anew throws that away: so each variant of a workload has a worker of its own, in which its
instrumentation stays. All workers are forked from one process that has imported everything and attached nothing, so
that they do not differ in how their memory happens to lie.
"""

from __future__ import annotations

import gc
import multiprocessing
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from benchmarks.floor import Emitted, Kept
from benchmarks.shares import profile
from benchmarks.variants import VARIANTS, WARM, Run
from benchmarks.workloads import WORKLOADS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from multiprocessing.connection import Connection
    from typing import Any

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["benchmarks.workers"])
_TIMEOUT_SECONDS = 120
_FEW = 3
_READY = "ready"


class Worker:
    """One process, and what it is told to do.

    :param work: runs in the process, with its end of the connection and the arguments.
    """

    def __init__(self, work: Callable[..., None], *arguments: object) -> None:
        self._connection, theirs = _FORKS.Pipe()
        self._process = _FORKS.Process(target=work, args=(theirs, *arguments))
        self._process.start()
        theirs.close()

    def receive(self) -> Any:  # noqa: ANN401 whatever the work sends
        """Return what the process says next.

        :raises AssertionError: if that is that something was not recorded.
        :raises RuntimeError: if it says nothing, or ended with an error, which it has printed.
        """
        said = None
        with suppress(EOFError):
            said = self._connection.recv() if self._connection.poll(_TIMEOUT_SECONDS) else None
        if said is None:
            msg = "a worker ended, or says nothing"
            raise RuntimeError(msg)
        if isinstance(said, AssertionError):
            raise said
        return said

    def seconds(self, operations: int) -> float:
        """Return the CPU seconds that so many operations take there."""
        self._connection.send(operations)
        return float(self.receive())

    def stop(self) -> None:
        """End the process."""
        self._connection.close()
        self._process.join(_TIMEOUT_SECONDS)


def _measure(connection: Connection, workload: str, variant: str, emitted: Emitted, warm: int) -> None:
    """Do in a worker what it is for: say that it is ready, then measure until nobody asks."""
    try:
        run = VARIANTS[variant](WORKLOADS[workload], emitted)
        run.warm(warm)
        gc.collect()
        gc.freeze()
        connection.send(_READY)
        while True:
            connection.send(run.seconds(connection.recv()))
    except EOFError:
        return
    except AssertionError as error:
        connection.send(error)


def _told(work: Callable[..., None], *arguments: object) -> Any:  # noqa: ANN401 whatever the work sends
    """Return the one thing that some work in a process of its own says."""
    worker = Worker(work, *arguments)
    try:
        return worker.receive()
    finally:
        worker.stop()


def _take(connection: Connection, workload: str) -> None:
    """Say what ours emits for one operation of a workload."""
    kept = Kept()
    connection.send(kept.of_one_operation(Run(WORKLOADS[workload], ours=kept), warm=_FEW))


def emitted(workload: str) -> Emitted:
    """Return what ours emits for one operation of a workload."""
    found: Emitted = _told(_take, workload)
    return found


def _profile(connection: Connection, workload: str) -> None:
    connection.send(profile(workload))


def shares(workload: str) -> dict[str, float]:
    """Return the share of each group of functions in what ours adds to an operation of a workload."""
    return dict(_told(_profile, workload))


@contextmanager
def workers(workload: str, variants: Sequence[str], *, warm: int = WARM) -> Iterator[dict[str, Worker]]:
    """Have a worker for each variant while the block lasts; all are ready by then."""
    floor = emitted(workload) if any("floor" in variant for variant in variants) else Emitted()
    started = {variant: Worker(_measure, workload, variant, floor, warm) for variant in variants}
    try:
        for worker in started.values():
            worker.receive()
        yield started
    finally:
        for worker in started.values():
            worker.stop()
