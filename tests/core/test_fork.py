"""A forked child starts from zero and exports its own; the parent goes on; the host's ledger stays shared."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")

COMMON = textwrap.dedent("""
    import json, logging, os, sys, threading, warnings
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from otel_oauth import catalogue as c, kinds
    from otel_oauth.ledger import Kind
    from otel_oauth.settings import Settings
    from otel_oauth.telemetry import Telemetry

    warnings.simplefilter("ignore", DeprecationWarning)  # fork in a process with threads is what is tested
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    place = sys.argv[1]

    def make():
        reader = InMemoryMetricReader()
        return Telemetry(MeterProvider([reader]), settings=Settings(ledger=place)), reader

    def limited(telemetry, times):
        for _ in range(times):
            with telemetry.operation(kinds.RATE_LIMITED, {"limiter": "ip"}):
                pass

    def export(reader):
        return {
            metric.name: sum(getattr(point, "value", 0) for point in metric.data.data_points)
            for resource in reader.get_metrics_data().resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }

    def in_child(work):
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(write, json.dumps(work()).encode())
            os._exit(0)
        os.close(write)
        with os.fdopen(read) as file:
            found = json.loads(file.read() or "null")
        os.waitpid(child, 0)
        return found

    telemetry, reader = make()
""")


def run(script: str, place: str = "memory") -> Any:
    done = subprocess.run(
        [sys.executable, "-c", COMMON + textwrap.dedent(script), str(place)],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return json.loads(done.stdout)


@pytest.fixture(params=["memory", "host"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Where the ledger is."""
    return "memory" if request.param == "memory" else f"host:{tmp_path / 'ledger'}"


def test_a_child_starts_from_zero_and_exports_its_own_and_the_parent_goes_on(place: Any) -> None:
    parent, first, second = run(
        """
        limited(telemetry, 5)

        def work(times):
            before = export(reader)["oauth_rate_limit_exceeded"]
            limited(telemetry, times)
            return [before, export(reader)["oauth_rate_limit_exceeded"]]

        children = [in_child(lambda: work(3)), in_child(lambda: work(4))]
        limited(telemetry, 1)
        print(json.dumps([export(reader)["oauth_rate_limit_exceeded"], *children]))
        """,
        place,
    )
    assert (parent, first, second) == (6, [0, 3], [0, 4])


def test_on_the_host_store_parent_and_children_know_each_others_codes(place: Any) -> None:
    shared = place != "memory"
    found = run(
        """
        telemetry.ledger.issue_code("parent", "client")

        def work():
            ledger = telemetry.ledger
            ledger.issue_code("child", "client")
            known = ledger.sight_code("parent").entry is not None
            ledger.granted("client", "access", code=ledger.sight_code("parent"))
            return [known, ledger.shared, in_child(lambda: telemetry.ledger.sight_code("child").entry is not None)]

        child = in_child(work)
        ledger = telemetry.ledger
        parent = [ledger.sight_code("child").entry is not None, int(ledger.sight_code("parent").entry.status)]
        ledger.issue_code("afterwards", "client")
        print(json.dumps([child, parent, ledger.shared, ledger.sight_code("afterwards").entry is not None]))
        """,
        place,
    )
    redeemed = 2
    assert found == [[shared, int(shared), shared], [shared, redeemed if shared else 0], int(shared), True]


def test_two_telemetries_on_one_directory_both_work_in_the_child(tmp_path: Path) -> None:
    found = run(
        """
        other, _ = make()

        def work():
            telemetry.ledger.issue_code("code", "client")
            return [telemetry.ledger.shared, other.ledger.shared, other.ledger.sight_code("code").entry is not None]

        print(json.dumps(in_child(work)))
        """,
        f"host:{tmp_path / 'ledger'}",
    )
    assert found == [1, 1, True]


def test_a_child_of_a_process_whose_threads_are_busy_does_not_block(place: Any) -> None:
    found = run(
        """
        stop = threading.Event()

        def busy():
            number = 0
            while not stop.is_set():
                number += 1
                limited(telemetry, 1)
                telemetry.ledger.issue_state(f"state{number % 500}", verifier=True)
                telemetry.guard.reraise = False

        threads = [threading.Thread(target=busy) for _ in range(3)]
        for thread in threads:
            thread.start()

        def work():
            limited(telemetry, 2)
            telemetry.ledger.issue_code("child", "client")
            return [export(reader)["oauth_rate_limit_exceeded"], telemetry.ledger.sight_code("child").entry is not None]

        children = [in_child(work) for _ in range(10)]
        stop.set()
        for thread in threads:
            thread.join()
        print(json.dumps(children))
        """,
        place,
    )
    assert found == [[2, True]] * 10


@pytest.mark.parametrize("lock", ["telemetry.table._lock", "telemetry.guard._lock", "module._lock"])
def test_a_lock_that_another_thread_held_is_free_in_the_child(lock: str) -> None:
    found = run(
        f"""
        from otel_oauth import telemetry as module

        held, go = threading.Event(), threading.Event()

        def hold():
            with {lock}:
                held.set()
                go.wait()

        thread = threading.Thread(target=hold)
        thread.start()
        held.wait()

        def work():
            telemetry.guard.reraise = False
            logging.disable()
            telemetry.guard.run("hook", lambda: 1 / 0)
            module.get_telemetry(ledger="memory")
            return export(reader)["otel_oauth_errors_total"]

        found = in_child(work)
        go.set()
        thread.join()
        print(json.dumps(found))
        """
    )
    assert found == 1


def test_the_gauges_of_a_child_in_memory_do_not_count_the_parents(place: Any) -> None:
    parent, child = run(
        """
        telemetry.ledger.granted("client", "access")
        child = in_child(lambda: export(reader)["oauth_active_tokens"])
        print(json.dumps([export(reader)["oauth_active_tokens"], child]))
        """,
        place,
    )
    assert (parent, child) == (1, 0 if place == "memory" else 1)


@pytest.mark.parametrize("collected", [True, False], ids=["collected", "pending"])
@pytest.mark.parametrize("temporality", ["CUMULATIVE", "DELTA"])
def test_a_child_does_not_export_what_the_parent_had_measured(temporality: str, *, collected: bool) -> None:
    before, child, parent = run(
        f"""
        from opentelemetry.sdk.metrics import Counter, Histogram, ObservableCounter
        from opentelemetry.sdk.metrics.export import AggregationTemporality

        chosen = AggregationTemporality.{temporality}
        reader = InMemoryMetricReader({{Counter: chosen, Histogram: chosen, ObservableCounter: chosen}})
        provider = MeterProvider([reader])
        telemetry = Telemetry(provider, settings=Settings(ledger="memory"))
        others = provider.get_meter("application").create_counter("others")

        def record(times):
            for _ in range(times):
                facts = {{"provider": "shop", "refresh": "success", "reason": "normal"}}
                with telemetry.operation(kinds.REFRESH, facts):
                    others.add(1)

        def exported():
            found = {{}}
            for resource in reader.get_metrics_data().resource_metrics:
                for scope in resource.scope_metrics:
                    for metric in scope.metrics:
                        points = metric.data.data_points
                        found[metric.name] = sum(getattr(p, "count", getattr(p, "value", 0)) for p in points)
            return [found.get(name, 0) for name in (c.TOKEN_REFRESH.name, c.TOKEN_REFRESH_DURATION.name, "others")]

        def work():
            record(2)
            return [exported(), exported()]

        record(5)
        before = exported() if {collected} else None
        child = in_child(work)
        record(1)
        print(json.dumps([before, child, exported()]))
        """
    )
    assert before == ([5, 5, 5] if collected else None)
    # What the application's own instrument has stays as the SDK leaves it.
    if temporality == "CUMULATIVE":
        assert (child, parent) == ([[2, 2, 7], [2, 2, 7]], [6, 6, 6])
    elif collected:
        assert (child, parent) == ([[2, 2, 2], [0, 0, 0]], [1, 1, 1])
    else:
        assert (child, parent) == ([[2, 2, 7], [0, 0, 0]], [6, 6, 6])
