"""The parts of a run: each measures something and says which budgets it is for, so that it can be measured again."""

from __future__ import annotations

import statistics
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial, reduce
from typing import TYPE_CHECKING

from benchmarks import instructions
from benchmarks.attach import measure_attach
from benchmarks.budgets import BY_KEY
from benchmarks.growth import curves
from benchmarks.load import RATES, measure_load, measure_paced
from benchmarks.memory import measure_memory
from benchmarks.micro import measure_steps
from benchmarks.results import Results, Row
from benchmarks.rounds import Effort, Estimate, Measured, measure
from benchmarks.steps import instruments, oauth, records
from benchmarks.workers import shares, workers
from benchmarks.workloads import WORKLOADS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from benchmarks.steps import Step

QUICK = (
    "server_client_credentials",
    "server_code",
    "server_refresh",
    "httpx_refresh",
    "requests_refresh",
    "wire_refresh",
    "httpx_plain",
    "login",
)
"""The workloads of the short run."""
_PROFILED = tuple(name for name in WORKLOADS if name != "server_plain")
_COUNTED = ("bare", "stock", "floor", "ours")
UNSAMPLED = {"server_client_credentials": "server_unsampled", "httpx_refresh": "httpx_unsampled"}
"""The workloads that are measured with our spans not sampled as well, and their budgets."""
MORE_VARIANTS = {"httpx_plain": ("again",), **dict.fromkeys(UNSAMPLED, ("unsampled floor", "unsampled"))}
"""What some workloads are measured with beyond the usual: the bare one again shows the noise."""
_ESSENTIAL = ("bare", "stock", "ours")
_ALL = ("bare", "stock", "floor", "ours", "both")
FLOWS, ALL_FLOWS = 40_000, 1_000_000
"""The memory is measured after so many flows in the whole run, and after so many in one of its own."""
_LOOKS = 5_000
"""So many looks at a request make a measurement: each is a fraction of a microsecond."""
_MEMORIES = {"host": "memory", "memory": "memory_process"}
_FULL = {"host": "memory", "memory": "memory_full"}
"""The budget for each ledger, and once it holds as many records as it may."""


@dataclass(frozen=True)
class Part:
    """One part.

    :param title: what is said when it begins.
    :param keys: the budgets that it measures.
    :param run: measures, and adds to the results.
    :param again: whether a second measurement may come out otherwise.
    """

    title: str
    keys: tuple[str, ...]
    run: Callable[[Results], None]
    again: bool = True


def _micro(seconds: float, sign: str = "") -> str:
    micro = 1e6 * seconds
    return f"{micro:{sign},.0f}" if abs(micro) > 100 else f"{micro:{sign}.3g}"  # noqa: PLR2004 three digits tell enough


# Workloads and steps --------------------------------------------------------------------------------------------------


def _measured(name: str, variants: Sequence[str], effort: Effort) -> Measured:
    with workers(name, variants) as started:
        return measure(started, effort, operations=WORKLOADS[name].operations)


def _workload(name: str, variants: Sequence[str], effort: Effort, times: int, results: Results) -> None:
    chosen = [each for each in (*variants, *MORE_VARIANTS.get(name, ())) if "floor" not in each or "floor" in variants]
    found = reduce(Measured.joined, [_measured(name, chosen, effort) for _ in range(times)])
    results.measured[name] = found
    if name in BY_KEY:
        ratio = found.beyond("ours", "again") if "again" in found.seconds else found.ratio("ours", "stock")
        results.add(Row(name, ratio, _beside(found), floor=_floor(found, "floor"), workload=name))
    if name in UNSAMPLED:
        ratio, floor = found.ratio("unsampled", "stock"), _floor(found, "unsampled floor")
        results.add(Row(UNSAMPLED[name], ratio, _beside(found), floor=floor, workload=name))


def _floor(found: Measured, name: str) -> Estimate | None:
    return found.ratio(name, "stock") if name in found.seconds and "again" not in found.seconds else None


def _beside(found: Measured) -> str:
    told = (each for each in found.seconds if each not in ("bare", "both"))
    added = ", ".join(f"{each} {_micro(found.overhead(each).value, '+')}" for each in told)
    return f"bare {_micro(found.median('bare').value)} us; {added}"


@dataclass(frozen=True)
class _Single:
    """A single step that has a budget.

    :param make: makes it and its peers; ``ratio`` is the value, ``floor`` what it cannot be below.
    """

    make: Callable[[], dict[str, Step]]
    ratio: Callable[[Measured], Estimate]
    floor: Callable[[Measured], Estimate] | None = None
    operations: int = 200


_STEPS = {
    "counter": _Single(instruments.counters, lambda found: found.times("counter ours", "counter sdk")),
    "event": _Single(records.event, lambda found: found.times("event ours, in the request", "event sdk")),
    "redaction_span": _Single(
        records.redacted_span,
        lambda found: found.share("span of a request, redacted", "span of a request"),
    ),
    "redaction_log": _Single(records.redacted_record, lambda found: found.share("log record, redacted", "log record")),
    "classifier_get": _Single(
        oauth.looks,
        lambda found: found.times("classifier: GET", "empty call"),
        lambda found: found.times("reading the URL", "empty call"),
        _LOOKS,
    ),
    "classifier_json": _Single(
        oauth.looks,
        lambda found: found.times("classifier: JSON POST", "empty call"),
        lambda found: found.times("reading the URL", "empty call"),
        _LOOKS,
    ),
}


def _step(key: str, effort: Effort, results: Results) -> None:
    step = _STEPS[key]
    found = results.steps[key] = measure(step.make(), effort, operations=step.operations)
    beside = "; ".join(f"{name} {_micro(found.median(name).value)} us" for name in found.seconds)
    results.add(Row(key, step.ratio(found), beside, floor=None if step.floor is None else step.floor(found)))


def _collection(effort: Effort, results: Results) -> None:
    results.steps["collection"] = measure(instruments.collections(), effort, operations=1)


def _alone(out: Path, results: Results) -> None:
    results.alone = measure_steps(out)
    if not any(name.startswith("ledger redis") for name in results.alone):
        results.left_out.append("the ledger in Redis: redis-server is not installed")


def _attach(effort: Effort, results: Results, *, stock: bool) -> None:
    found, imports = measure_attach(effort, stock=stock)
    results.attach = found
    beside = "; ".join(f"{name} {found.overhead(name).value:.3f} s" for name in found.seconds if name != "bare")
    results.add(Row("attach", found.overhead("ours"), beside, pace=imports))


# The server, memory, growth, instructions -----------------------------------------------------------------------------


def _load(rounds: int, seconds: float, results: Results) -> None:
    results.load = measure_load(rounds=rounds, seconds=seconds)


def _paced(windows: int, results: Results) -> None:
    found = results.paced = measure_paced(windows=windows)
    for rate in RATES:
        beside = f"stock {found.share(rate, 'stock').value:.2f} %"
        bare = statistics.median(found.found[rate]["bare"])
        floor = found.share(rate, "floor")
        results.add(Row(f"cpu_{rate}", found.share(rate, "ours"), beside, bare, floor, workload="server_refresh"))


def _memory(flows: int, keys: dict[str, str], results: Results) -> None:
    with ThreadPoolExecutor() as pool:  # each in a process of its own, and no time is measured
        found = dict(zip(keys, pool.map(partial(measure_memory, flows), keys), strict=True))
    results.memory = found
    for ledger, left in found.items():
        results.add(Row(keys[ledger], Estimate(*[left["megabytes"]] * 3), f"after {flows:,} flows"))
    series = max(left["series"] for left in found.values())
    results.add(Row("series", Estimate(series, series, series), f"after {flows:,} flows"))


def _growth(results: Results) -> None:
    results.growth = curves()


def _profile(results: Results) -> None:
    with ThreadPoolExecutor(2) as pool:
        results.shares = dict(zip(_PROFILED, pool.map(shares, _PROFILED), strict=True))


def _instructions(results: Results) -> None:
    wanted = [
        (name, variant)
        for name in _PROFILED
        for variant in (*_COUNTED, *(("unsampled floor", "unsampled") if name in UNSAMPLED else ()))
    ]
    with ThreadPoolExecutor(2) as pool:
        for (name, variant), found in zip(
            wanted, pool.map(lambda each: instructions.count(*each), wanted), strict=True
        ):
            results.instructions.setdefault(name, {})[variant] = found


# The runs -------------------------------------------------------------------------------------------------------------


def _ratios(
    names: Sequence[str], variants: Sequence[str], workload: Effort, step: Effort, *, times: int = 1
) -> list[Part]:
    """Return the parts of workloads and steps; each workload is measured so many times, with new processes."""
    found = [
        Part(
            name,
            tuple(key for key in (name, UNSAMPLED.get(name)) if key in BY_KEY),
            partial(_workload, name, variants, workload, times),
        )
        for name in names
    ]
    found += [Part(f"step: {key}", (key,), partial(_step, key, step)) for key in _STEPS]
    return found


def quick() -> list[Part]:
    """Return the parts of the short run: the ratios that must not grow, in less than 90 seconds."""
    attach = partial(_attach, Effort(10, least=4), stock=False)
    ratios = _ratios(QUICK, _ESSENTIAL, Effort(3, least=6), Effort(1.5, least=12))
    return [*ratios, Part("attaching", ("attach",), attach)]


def whole(out: Path) -> list[Part]:
    """Return the parts of the whole run.

    :param out: where pyperf writes.
    """
    return [
        *_ratios(tuple(WORKLOADS), _ALL, Effort(5, least=5), Effort(3, least=20), times=3),
        Part("the profile", (), _profile),
        Part("attaching", ("attach",), partial(_attach, Effort(20, least=6), stock=True)),
        Part("a collection", (), partial(_collection, Effort(6, least=6))),
        Part("load", (), partial(_load, 4, 2.5)),
        Part("a steady pace", tuple(f"cpu_{rate}" for rate in RATES), partial(_paced, 3)),
        _remembered(FLOWS, _MEMORIES),
        Part("growth", (), _growth),
        Part("single steps (pyperf)", (), partial(_alone, out)),
    ]


def _remembered(flows: int, keys: dict[str, str]) -> Part:
    return Part(f"memory after {flows:,} flows", (*keys.values(), "series"), partial(_memory, flows, keys), again=False)


def full() -> list[Part]:
    """Return what measures the memory after as many flows as fill the ledger."""
    return [_remembered(ALL_FLOWS, _FULL)]


def counted() -> list[Part]:
    """Return what counts instructions."""
    return [Part("instructions (callgrind)", (), _instructions)]
