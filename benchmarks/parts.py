"""The parts of a run: each measures something and says which budgets it is for, so that it can be measured again."""

from __future__ import annotations

import statistics
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
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
from benchmarks.steps import instruments, records
from benchmarks.variants import variants
from benchmarks.workloads import WORKLOADS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.steps import Step

QUICK = (
    "server_client_credentials",
    "server_code",
    "server_refresh",
    "httpx_refresh",
    "requests_refresh",
    "httpx_plain",
    "login",
)
"""The workloads of the short run."""
COUNTED = ("server_client_credentials", "server_code", "httpx_refresh")
"""The workloads whose instructions are counted."""
UNSAMPLED = {"server_client_credentials": "server_unsampled", "httpx_refresh": "httpx_unsampled"}
_STEP_OPERATIONS = 200
_MEMORIES = {"memory": "host", "memory_process": "memory"}


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


def _micro(seconds: float) -> str:
    return f"{1e6 * seconds:,.0f}" if seconds > 1e-4 else f"{1e6 * seconds:.3g}"  # noqa: PLR2004 three digits tell enough


# Workloads and steps --------------------------------------------------------------------------------------------------


def _workload(name: str, effort: Effort, results: Results) -> None:
    workload = WORKLOADS[name]
    unsampled = UNSAMPLED.get(name)
    found = measure(variants(workload, unsampled=unsampled is not None), effort, operations=workload.operations)
    results.measured[name] = found
    added = ", ".join(
        f"{each} {1e6 * found.overhead(each).value:+,.0f}" for each in found.seconds if each not in ("bare", "both")
    )
    beside = f"bare {_micro(found.median('bare').value)} us; {added}"
    if name in BY_KEY:
        ratio = found.share("ours") if name == "httpx_plain" else found.ratio("ours", "stock")
        results.add(Row(name, ratio, beside))
    if unsampled is not None:
        results.add(Row(unsampled, found.ratio("unsampled", "stock"), beside))


_STEPS: dict[str, tuple[Callable[[], dict[str, Step]], Callable[[Measured], Estimate]]] = {
    "counter": (instruments.counters, lambda found: found.times("counter ours", "counter sdk")),
    "event": (records.event, lambda found: found.times("event ours, in the request", "event sdk")),
    "redaction_span": (
        records.redacted_span,
        lambda found: found.share("span of a request, redacted", "span of a request"),
    ),
    "redaction_log": (records.redacted_record, lambda found: found.share("log record, redacted", "log record")),
}


def _step(key: str, effort: Effort, results: Results) -> None:
    make, ratio = _STEPS[key]
    found = results.steps[key] = measure(make(), effort, operations=_STEP_OPERATIONS)
    beside = "; ".join(f"{name} {_micro(found.median(name).value)} us" for name in found.seconds)
    results.add(Row(key, ratio(found), beside))


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
        results.add(Row(f"cpu_{rate}", found.share(rate, "ours"), beside, pace=bare))


def _memory(flows: int, results: Results) -> None:
    with ThreadPoolExecutor() as pool:  # each in a process of its own, and no time is measured
        found = dict(zip(_MEMORIES, pool.map(partial(measure_memory, flows), _MEMORIES.values()), strict=True))
    for key, left in found.items():
        results.memory[_MEMORIES[key]] = left
        results.add(Row(key, Estimate(*[left["megabytes"]] * 3), f"after {flows:,} flows"))
    series = max(left["series"] for left in found.values())
    results.add(Row("series", Estimate(series, series, series), f"after {flows:,} flows"))


def _growth(results: Results) -> None:
    results.growth = curves()


def _instructions(results: Results) -> None:
    if not instructions.available():
        results.left_out.append("instructions: valgrind is not installed")
        return
    wanted = [(name, variant) for name in COUNTED for variant in ("bare", "stock", "ours")]
    with ThreadPoolExecutor(2) as pool:
        for (name, variant), found in zip(
            wanted, pool.map(lambda each: instructions.count(*each), wanted), strict=True
        ):
            results.instructions.setdefault(name, {})[variant] = found


# The runs -------------------------------------------------------------------------------------------------------------


def _ratios(names: tuple[str, ...], workload: Effort, step: Effort) -> list[Part]:
    found = [
        Part(
            name, tuple(key for key in (name, UNSAMPLED.get(name)) if key in BY_KEY), partial(_workload, name, workload)
        )
        for name in names
    ]
    found += [Part(f"step: {key}", (key,), partial(_step, key, step)) for key in _STEPS]
    return found


def quick() -> list[Part]:
    """Return the parts of the short run: the ratios that must not grow, in less than 90 seconds."""
    attach = partial(_attach, Effort(10, least=4), stock=False)
    return [*_ratios(QUICK, Effort(5, least=8), Effort(1.5, least=12)), Part("attaching", ("attach",), attach)]


def whole(out: Path, *, flows: int, counted: bool) -> list[Part]:
    """Return the parts of the whole run.

    :param out: where pyperf writes.
    :param flows: how many the memory is measured after.
    :param counted: count instructions.
    """
    found = [
        *_ratios(tuple(WORKLOADS), Effort(11, least=16), Effort(3, least=20)),
        Part("attaching", ("attach",), partial(_attach, Effort(25, least=6), stock=True)),
        Part("a collection", (), partial(_collection, Effort(6, least=6))),
        Part("load", (), partial(_load, 4, 2.5)),
        Part("a steady pace", tuple(f"cpu_{rate}" for rate in RATES), partial(_paced, 3)),
        Part(f"memory after {flows:,} flows", (*_MEMORIES, "series"), partial(_memory, flows), again=False),
        Part("growth", (), _growth),
        Part("single steps (pyperf)", (), partial(_alone, out)),
    ]
    return [*found, Part("instructions (callgrind)", (), _instructions)] if counted else found
