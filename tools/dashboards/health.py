"""Instrumentation health: what the instrumentation itself could not do, and whether its data arrive."""

from __future__ import annotations

from dashboards.parts import Board, Panel, Row, increase, selected

_SHARED = ((None, "orange"), (1, "green"))
_WRONG = ((None, "green"), (1, "red"))
# One rate for each name: rate() drops the name, and would leave several series that are alike.
_RECEIVED = " or ".join(
    f'label_replace(sum(rate({{__name__=~"otelcol_receiver_accepted_{signal}(_total)?"}}[$__rate_interval])),'
    f' "signal", "{signal}", "", "")'
    for signal in ("spans", "log_records", "metric_points")
)

BOARD = Board(
    "otel-oauth-health",
    "Instrumentation health",
    "What the instrumentation itself could not do, its ledger, and the Collector on the way.",
    (
        Row(
            "The instrumentation",
            (
                Panel(
                    "Its own errors",
                    "bars",
                    ((increase("otel_oauth_errors_total", "component"), "{{component}}"),),
                    "Errors that were stopped before the application could see them, in five minutes.",
                ),
                Panel(
                    "Hooks",
                    "bargauge",
                    ((f"max by (library, state) ({selected('otel_oauth_hooks')})", "{{library}} {{state}}"),),
                    "What is instrumented; missing is what the installed version of the library lacks.",
                ),
                Panel(
                    "How far the ledger is shared",
                    "stat",
                    ((f"max by (job) ({selected('otel_oauth_ledger_shared')})", "{{job}}"),),
                    "0: this process, 1: the workers of a host, 2: several hosts. Replays are found as far as that.",
                    thresholds=_SHARED,
                ),
                Panel(
                    "Entries of the ledger",
                    "lines",
                    ((f"max by (job, partition) ({selected('otel_oauth_ledger_entries')})", "{{job}} {{partition}}"),),
                    "What is remembered.",
                ),
                Panel(
                    "Entries dropped before their time",
                    "bars",
                    ((increase("otel_oauth_ledger_evictions_total", "partition"), "{{partition}}"),),
                    "In five minutes; replays of those are not found.",
                    thresholds=_WRONG,
                ),
                Panel(
                    "Label values counted as other",
                    "bars",
                    ((increase("otel_oauth_label_overflow_total", "label"), "{{label}}"),),
                    "In five minutes: a cap is reached, or a value is not in the standard.",
                ),
                Panel(
                    "Log events that did not leave",
                    "bars",
                    ((increase("otel_oauth_events_dropped_total", "reason"), "{{reason}}"),),
                    "In five minutes.",
                ),
                Panel(
                    "Redactions",
                    "bars",
                    ((increase("otel_oauth_redactions_total", "signal, kind"), "{{signal}} {{kind}}"),),
                    "Secrets taken out of spans, logs and metrics before they left, in five minutes.",
                ),
                Panel(
                    "Series",
                    "lines",
                    (('count by (job) ({__name__=~"oauth_.+|storage_.+|provider_api_.+",job=~"$job"})', "{{job}}"),),
                    "Series of the documented metrics, as Prometheus has them.",
                ),
            ),
        ),
        Row(
            "The Collector",
            (
                Panel(
                    "Queues",
                    "lines",
                    (
                        (
                            "max by (exporter) (otelcol_exporter_queue_size / otelcol_exporter_queue_capacity)",
                            "{{exporter}}",
                        ),
                    ),
                    "How full they are.",
                    unit="percentunit",
                    limits=(0, 1),
                ),
                Panel(
                    "Received",
                    "lines",
                    (
                        (
                            _RECEIVED,
                            "{{signal}}",
                        ),
                    ),
                    "Spans, log records and metric points a second.",
                ),
                Panel(
                    "Memory",
                    "lines",
                    (('max by (job) ({__name__=~"otelcol_process_memory_rss(_bytes)?"})', "{{job}}"),),
                    "Resident memory of the Collector.",
                    unit="bytes",
                ),
            ),
        ),
    ),
)
