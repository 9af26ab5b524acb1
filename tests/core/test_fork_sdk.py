"""A fork while the SDK collects or exports: the child's metrics arrive all the same, and it ends."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")

PROGRAM = textwrap.dedent("""
    import os, sys, threading, time, warnings
    from opentelemetry.metrics import Observation
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult, PeriodicExportingMetricReader
    from otel_oauth import kinds
    from otel_oauth.settings import Settings
    from otel_oauth.telemetry import Telemetry

    warnings.simplefilter("ignore", DeprecationWarning)  # fork in a process with threads is what is tested
    slow = sys.argv[1]
    parent, busy, go = os.getpid(), threading.Event(), threading.Event()

    def dawdle(where):
        if where == slow and os.getpid() == parent:
            busy.set()
            go.wait(0.4 if where == "collection" else 20)

    class Exporter(MetricExporter):
        exported = 0

        def export(self, metrics_data, timeout_millis=0, **_):
            dawdle("export")
            self.exported += 1
            return MetricExportResult.SUCCESS

        def force_flush(self, timeout_millis=0):
            return True

        def shutdown(self, timeout_millis=0, **_):
            pass

    def observe(_):
        dawdle("collection")
        return [Observation(1)]

    exporter = Exporter()
    provider = MeterProvider([PeriodicExportingMetricReader(exporter, 300)], shutdown_on_exit=False)
    telemetry = Telemetry(provider, settings=Settings(ledger="memory"))
    provider.get_meter("application").create_observable_gauge("slow", [observe])
    assert busy.wait(20)
    begin = time.monotonic()
    child = os.fork()
    if child == 0:
        with telemetry.operation(kinds.RATE_LIMITED, {"limiter": "ip"}):
            pass
        done = threading.Thread(target=lambda: (provider.force_flush(), provider.shutdown()), daemon=True)
        done.start()
        done.join(10)
        os._exit(0 if exporter.exported and not done.is_alive() else 1)
    took = time.monotonic() - begin
    go.set()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    provider.shutdown()
    print(status, took < 1.5, exporter.exported > 0)
""")


@pytest.mark.parametrize("slow", ["collection", "export"])
def test_a_child_that_is_forked_in_the_middle_of_it_exports_and_ends(slow: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, slow], capture_output=True, text=True, timeout=50, check=False
    )
    assert (done.stdout, done.stderr) == ("0 True True\n", "")
