"""The profile: how what ours adds to an operation is divided among the SDK's calls and the parts of ours.

cProfile takes each function's own time, in the process of a worker that is warm. What a thread of ours records beside
the request is recorded in line here, so that it is in the profile. The time of a built-in function, or of one of the
standard library, belongs to whoever called it. What is left is the application's own code: what it takes beyond the
bare run is what ours calls in the libraries, and what its presence slows down.

A profile lengthens all calls of functions alike, so that shares are right and times are not.
"""

from __future__ import annotations

import cProfile
import gc
import pstats
import sysconfig
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.floor import Emitted
from benchmarks.variants import VARIANTS
from benchmarks.workloads import WORKLOADS
from otel_oauth import recorder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.variants import Run

Function = tuple[str, int, str]


class Profiled(NamedTuple):
    """What a profile says of one function: its calls, its own seconds, and those by who called it."""

    calls: int
    own: float
    callers: dict[Function, float]


Stats = dict[Function, Profiled]

SDK = ("SDK: span", "SDK: log record", "SDK: histogram", "SDK: context")
"""The groups that are the SDK's; the others are ours."""
GROUPS: Mapping[str, tuple[str, ...]] = {
    "SDK: span": ("/opentelemetry/sdk/trace/", "/opentelemetry/trace/"),
    "SDK: log record": ("/opentelemetry/sdk/_logs/", "/opentelemetry/_logs/"),
    "SDK: histogram": ("/opentelemetry/sdk/metrics/", "/opentelemetry/metrics/"),
    "SDK: context": ("/opentelemetry/context/",),
    "hooks, plugin": (
        "/otel_oauth_authlib/",
        "/otel_oauth_httpx/",
        "/otel_oauth/hooks.py",
        "/otel_oauth/_calls.py",
        "/otel_oauth/_hooked.py",
        "/otel_oauth/step.py",
        "/otel_oauth/_entered.py",
        "/wrapt/",
    ),
    "ledger, verdict": (
        "/otel_oauth/ledger/",
        "/otel_oauth/own_tokens.py",
        "/otel_oauth/judge.py",
        "/otel_oauth/settle.py",
    ),
    "events": (
        "/otel_oauth/emission.py",
        "/otel_oauth/events.py",
        "/otel_oauth/logs_pipeline.py",
        "/otel_oauth/sources.py",
    ),
    "operation": ("/otel_oauth/",),
}
"""The files of each group, by a part of their path: the first that fits."""
REST = "libraries that ours calls"
_FOR_CALLERS = ("/benchmarks/signals.py", "/otel_oauth/_guard.py")
"""Files whose functions work for their callers, beside the standard library and the SDK's common ones."""
_LIBRARY = sysconfig.get_path("stdlib")
_APPLICATION = "application"
_PASSES = 60
_ROUNDS = 8
_MOST_OPERATIONS = 40
_SECONDS = 600
_LEAST = 1e-9


def profile(workload: str) -> dict[str, float]:
    """Return the share of each group in what ours adds to an operation of a workload; their sum is 1.

    To be called in a process of its own: ours stays attached.
    """
    recorder._DELAY_SECONDS = _SECONDS  # noqa: SLF001 no setting; our threads wait, and the work is done in line
    bare, ours = (_profiled(VARIANTS[variant](WORKLOADS[workload], Emitted())) for variant in ("bare", "ours"))
    return divided(bare, ours)


def divided(bare: Stats, ours: Stats) -> dict[str, float]:
    """Return what is in ``ours`` and not in ``bare`` as shares of the groups."""
    added = dict.fromkeys((*GROUPS, REST), 0.0)
    for function, seconds in own_times(ours).items():
        group = group_of(function[0]) or _APPLICATION
        if group != _APPLICATION:
            added[group] += seconds
        elif function in bare:  # as many more calls of it there are; that all is a little slower is no call of ours
            added[REST] += seconds * max(0.0, 1 - bare[function].calls / ours[function].calls)
        else:
            added[REST] += seconds
    whole = sum(added.values())
    return {group: seconds / whole for group, seconds in added.items()}


def own_times(stats: Stats) -> dict[Function, float]:
    """Return the seconds of each function that is in a group or the application, with what works for it."""
    found: dict[Function, float] = {}
    left = {function: profiled.own for function, profiled in stats.items()}
    for _ in range(_PASSES):
        handed: dict[Function, float] = {}
        for function, seconds in left.items():
            callers = stats[function].callers
            if group_of(function[0]) is not None or not callers:
                found[function] = found.get(function, 0.0) + seconds
                continue
            whole = sum(callers.values())
            for caller, weight in callers.items():
                handed[caller] = handed.get(caller, 0.0) + seconds * weight / whole
        left = handed
    return found


def group_of(path: str) -> str | None:
    """Return the group of a file, ``None`` if what is in it works for its callers."""
    standard = path[:1] in "~<" or (path.startswith(_LIBRARY) and "/site-packages/" not in path)
    if standard or any(part in path for part in _FOR_CALLERS):
        return None
    for group, parts in GROUPS.items():
        if any(part in path for part in parts):
            return group
    return None if "/opentelemetry/" in path else _APPLICATION


def _profiled(run: Run) -> Stats:
    """Return the shortest own time of each function in some rounds: what interrupts a round hits few functions."""
    run.warm()
    found = _one_round(run)
    for _ in range(_ROUNDS - 1):
        for function, now in _one_round(run).items():
            before = found.get(function)
            if before is not None:
                # Of what is not called in each round (a question asked once a second) no share is told.
                both = before.callers.keys() & now.callers.keys()
                fewest = {caller: min(now.callers[caller], before.callers[caller]) for caller in both}
                found[function] = Profiled(now.calls, min(now.own, before.own), fewest)
    return found


def _one_round(run: Run) -> Stats:
    profiler, operations = cProfile.Profile(), min(run.workload.operations, _MOST_OPERATIONS)
    run.prepare(operations)
    gc.collect()
    gc.disable()
    profiler.enable()
    run.run_in_line(operations)
    profiler.disable()
    gc.enable()
    run.check(operations)
    stats = pstats.Stats(profiler).stats  # type: ignore[attr-defined]  # typeshed leaves it out
    return {
        function: Profiled(calls, own, {caller: seconds or _LEAST for caller, (_, _, seconds, _) in callers.items()})
        for function, (_, calls, own, _, callers) in stats.items()
    }
