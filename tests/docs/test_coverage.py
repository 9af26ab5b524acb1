"""docs/coverage.md leaves nothing out: each label value of each documented metric has a test, or a reason.

That the named test really moves the series is checked whenever it runs: tests/support/claims.py.
"""

from __future__ import annotations

from collections import Counter

import pytest
from pages import ROOT

import label_coverage
from label_coverage import Reached
from otel_oauth.catalogue import DOCUMENTED, FLOWS, Metric

ROWS = label_coverage.load()

pytestmark = pytest.mark.timeout(180)  # to collect the tests of a part of a run takes a while


@pytest.mark.parametrize("metric", DOCUMENTED, ids=lambda metric: metric.name)
def test_every_value_has_a_row(metric: Metric) -> None:
    rows = [reached for reached in ROWS if reached.metric is metric]
    tested = {reached.series for reached in rows if reached.test}
    assert [series for series in label_coverage.combinations(metric) if series not in tested] == []
    named = {pair for reached in rows for pair in reached.labels}
    assert label_coverage.values(metric) - named == set()
    assert named - label_coverage.values(metric) == set(), "a value that the catalogue does not have"


def test_no_value_has_two_rows_or_a_row_and_a_reason() -> None:
    assert [series for series, count in Counter(reached.series for reached in ROWS).items() if count > 1] == []
    reached = {pair for row in ROWS if row.test for pair in ((row.metric, label) for label in row.labels)}
    excused = {(row.metric, label) for row in ROWS if not row.test for label in row.labels}
    assert reached & excused == set()
    assert all(row.how for row in ROWS)


def test_every_named_test_exists(collected: frozenset[str]) -> None:
    assert [row.test for row in ROWS if row.test and row.test not in collected] == []


def test_a_plugin_or_the_manual_api_records_it() -> None:
    plugins = {path.parent.name for path in ROOT.glob("tests/plugins/*/*")}
    assert {row.by for row in ROWS if row.test} <= {*plugins, "manual API"}
    by_plugins = {row.metric for row in ROWS if row.test and row.by in plugins}
    assert by_plugins == set(DOCUMENTED), "no metric as a whole is out of a hook's reach"


@pytest.mark.parametrize(
    ("series", "words"),
    [
        ("oauth_flow_total{provider=known,status=success}", "no metric"),
        ("oauth_flows_total{provider=known}", "has the labels provider, status"),
        ("oauth_flows_total{provider=known,status=success,mood=good}", "has the labels provider, status"),
    ],
)
def test_a_row_that_is_none_is_refused(series: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        list(label_coverage.expanded({"series": series, "how": "it does", "test": "t"}))


def test_patterns_of_a_row() -> None:
    row = {"series": "oauth_flows_total{provider=known|other,status=*}", "how": "h", "test": "t[{status}-{provider}]"}
    found = list(label_coverage.expanded(row))
    assert len(found) == 6
    assert found[0] == Reached(FLOWS, (("provider", "known"), ("status", "initiated")), "h", "t[initiated-known]")
    assert found[-1].series == "oauth_flows_total{provider=other,status=failure}"
