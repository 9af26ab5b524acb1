"""An attacker cannot make a series: a flood reaches each entry's stated number of series and does not pass it."""

from __future__ import annotations

import random
import string
import tracemalloc
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from otel_oauth import catalogue as c
from otel_oauth import cells
from otel_oauth.cases import CASES
from otel_oauth.cells import Table
from otel_oauth.kinds import KINDS
from otel_oauth.moves import Fact

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_oauth.catalogue import Metric

CAPS = {"provider": 3, "client_id": 4}
FLOOD = 100_000
LABELLED = [metric for metric in c.BY_NAME.values() if metric.labels and metric.kind != "gauge"]


def flood_values(count: Any) -> Any:
    """Random label values, some long, some with what a client must not send."""
    rng = random.Random(2026)  # noqa: S311 not for secrets: the flood is the same each time
    alphabet = string.printable + "\0\ud800é漢"
    return ["".join(rng.choices(alphabet, k=rng.randrange(1, 40))) for _ in range(count)]


VALUES = flood_values(5_000)


@pytest.mark.parametrize("metric", LABELLED, ids=lambda metric: metric.name)
def test_a_flood_reaches_the_stated_number_of_series_and_does_not_pass_it(metric: Metric) -> None:
    table = Table((metric, c.LABEL_OVERFLOW), CAPS)
    for value in VALUES:
        for label in metric.labels:
            if label.cap:
                table.admit(label, value)
    legal = [
        (*(table._admitted[label.cap] if label.cap else label.values), "unknown" if label.cap else VALUES[0], "other")
        for label in metric.labels
    ]
    feed = table.add if metric.kind == "counter" else table.durations
    for key in product(*legal):
        feed(metric, key)
    width = len(metric.labels)
    # A capped label takes what comes from outside; a closed one is as closed for the first value as for the last.
    values = FLOOD if any(label.cap for label in metric.labels) else FLOOD // 5
    for number in range(values // width // len(VALUES) + 1):
        shifted = VALUES[number:] + VALUES[:number]
        for key in zip(*(VALUES, shifted, VALUES)[:width], strict=True):
            feed(metric, key)
    series = {tuple(d.attributes.values()) for d in table._histograms.get(metric, {}).values()} or set(
        table._counters[metric]
    )
    assert len(series) == metric.max_series(CAPS)


def _held_by_the_table() -> int:
    """Bytes that the module of the cells holds; threads of other tests allocate too."""
    ours = tracemalloc.take_snapshot().filter_traces(
        [tracemalloc.Filter(inclusive=True, filename_pattern=cells.__file__)]
    )
    return sum(trace.size for trace in ours.traces)


def test_a_flood_takes_no_memory() -> None:
    table = Table((*c.DOCUMENTED, *c.OWN), CAPS)
    values = [f"value{number}" for number in range(FLOOD // 5)]
    tracemalloc.start()
    for value in values[:10]:
        table.admit(c.CLIENT_ID, value)
    table.durations(c.PROVIDER_DURATION, ("x", "x"))
    before = _held_by_the_table()
    for value in values:
        table.add(c.AUTHORIZATION_STARTED, (value,))
        table.admit(c.CLIENT_ID, value)
    for value in values[::10]:
        table.durations(c.PROVIDER_DURATION, (value, value))
    grown = _held_by_the_table() - before
    tracemalloc.stop()
    # Some freed tuples stay with the interpreter; a series for each value would be twenty times as much.
    assert grown < 300_000
    assert table.value(c.AUTHORIZATION_STARTED, ("other",)) == FLOOD // 5 - CAPS["client_id"]
    assert table.value(c.LABEL_OVERFLOW, ("client_id",)) >= FLOOD // 5


def test_a_flood_through_the_telemetry_is_bounded_at_the_exporter(record: Callable[..., Any]) -> None:
    recording = record(provider_cap=5, client_id_cap=5)
    telemetry = recording.telemetry
    for value in VALUES:
        provider = telemetry.provider(url=f"https://{value}/token")
        telemetry.table.add(c.PROVIDER_CALLS, (provider, "token", "200"))
        telemetry.table.add(c.TOKEN_REVOKED, (telemetry.client(value),))
        telemetry.table.add(c.AUTHORIZATION_STARTED, (telemetry.client(value, known=False),))
    assert len({provider for provider, *_ in recording.values("provider_api_calls_total")}) <= 7
    assert len(recording.values("oauth_token_revoked")) == 6
    started = {key: value for key, value in recording.values("oauth_authorization_started").items() if value}
    assert started == {("unknown",): len(VALUES)}
    assert recording.values("otel_oauth_label_overflow_total")["client_id",] >= len(VALUES) - 5


FACTS = sorted(
    {
        fact
        for owner in (*KINDS.values(), *CASES.values())
        for move in owner.moves
        for fact in (*(part for part in move.labels if isinstance(part, Fact)), move.when)
        if fact
    }
)


def _flood_of_operations(recording: Any, count: int) -> None:
    rng = random.Random(2026)  # noqa: S311 not for secrets: the flood is the same each time
    owners, judged = list(KINDS.values()), [None, *CASES.values()]
    for number in range(count):
        facts = {fact: rng.choice(VALUES) for fact in FACTS}
        facts |= {"flow_seconds": rng.choice([-1.0, 1e9]), "client_id": recording.telemetry.client(rng.choice(VALUES))}
        facts["provider"] = recording.telemetry.provider(name=rng.choice(VALUES))
        with recording.telemetry.operation(owners[number % len(owners)], {**facts}) as operation:
            operation.judge(rng.choice(judged))
        if number % 1000 == 0:
            recording.metrics()
    found = {name: metric.data.data_points for name, metric in recording.metrics().items()}
    assert {name for name, points in found.items() if len(points) > c.BY_NAME[name].max_series(CAPS)} == set()
    moves = [move for owner in owners for move in owner.moves]
    flooded = {move.metric for move in moves if any(type(part) is Fact for part in move.labels)}
    assert len(flooded) > 15
    for metric in flooded:
        assert any("other" in point.attributes.values() for point in found[metric.name]), metric.name


def test_a_flood_of_operations(record: Callable[..., Any]) -> None:
    _flood_of_operations(record(sampler=ALWAYS_OFF, provider_cap=3, client_id_cap=4, ledger_size=100), 300)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_hundred_thousand_operations(record: Callable[..., Any]) -> None:
    _flood_of_operations(record(sampler=ALWAYS_OFF, provider_cap=3, client_id_cap=4, ledger_size=100), FLOOD)


def test_the_default_bound_of_all_metrics_together_is_stated() -> None:
    """With the default caps every zero series and every label value at once stay below what a scrape can carry."""
    caps = {"provider": 50, "client_id": 100}
    born = sum(
        len(metric.zero_series()) for metric in c.BY_NAME.values() if not any(label.cap for label in metric.labels)
    )
    assert 66 < born < 300
    for metric in c.BY_NAME.values():
        assert metric.max_series(caps) <= 15_000
