"""Precision and recall of the classifier over the corpus, and what each response of it comes to."""

from __future__ import annotations

import sys
from functools import cache
from typing import Any

import httpx
import httpx2
import pytest
from oauth_corpus import DOCUMENTED, LOOKALIKES, NOTHING, Plugin, described

from otel_oauth import kinds, vocabulary
from otel_oauth.catalogue import PROVIDER_ERRORS

LIBRARIES = pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])


@cache
def documented(library: Any) -> dict[str, tuple[Any, Any]]:
    """Return what is recognised of each documented request, and what its response came to, by name."""
    found = {}
    for entry in DOCUMENTED:
        plugin = Plugin(library).after(entry)
        recognised = plugin.recognise(entry)
        answered = recognised is not None and "response" in entry
        found[entry["name"]] = recognised, plugin.answer(recognised, entry["response"]) if answered else None
    return found


@LIBRARIES
def test_precision_and_recall(library: Any, capsys: pytest.CaptureFixture[str]) -> None:
    kinds_of = {name: recognised and recognised.kind.name for name, (recognised, _) in documented(library).items()}
    expected = {entry["name"]: entry["recognised"]["kind"] for entry in DOCUMENTED}
    wrong = {name: kind for name, kind in kinds_of.items() if kind != expected[name]}
    taken = [entry["name"] for entry in LOOKALIKES if Plugin(library).recognise(entry) is not None]
    right = len(expected) - len(wrong)
    named = right + len(taken) + sum(kind is not None for kind in wrong.values())
    precision, recall = right / named, right / len(expected)
    with capsys.disabled():
        counted = f"{len(DOCUMENTED)} documented requests, {len(LOOKALIKES)} lookalikes"
        sys.stdout.write(f"\n{library.__name__}: {counted}: precision {precision}, recall {recall}\n")
    assert (wrong, taken) == ({}, [])
    assert precision == recall == 1.0


@LIBRARIES
def test_what_is_recognised_of_each_request(library: Any) -> None:
    found = {name: described(recognised) for name, (recognised, _) in documented(library).items()}
    assert found == {entry["name"]: {**NOTHING, **entry["recognised"]} for entry in DOCUMENTED}


@LIBRARIES
def test_what_each_response_came_to(library: Any) -> None:
    results = documented(library)
    found, expected = {}, {}
    for entry in DOCUMENTED:
        recognised, result = results[entry["name"]]
        if result is None:
            continue
        said = {} if recognised.kind is kinds.AUTHORIZE else {"http_status": str(entry["response"]["status"])}
        come = entry["outcome"]
        tokens = come.get("token", [])
        found[entry["name"]] = result.kind.name, result.facts, sorted(result.token), result.granted, [*result.issuers]
        expected[entry["name"]] = (
            come.get("kind", recognised.kind.name),
            {**said, **come["facts"]},
            tokens,
            "access_token" in tokens,
            come.get("issuers", []),
        )
        assert result.facts.get("error") in (None, "other", *vocabulary.RFC_ERRORS)
        assert result.facts.get("provider_error") in (None, *PROVIDER_ERRORS)
    assert found == expected


def test_only_what_a_refusal_says_is_left_to_the_refusal() -> None:
    for entry in DOCUMENTED:
        if entry.get("refused"):
            assert Plugin(httpx).after(entry).recognise({"request": entry["request"]}) is None, entry["name"]


def test_no_secret_is_in_what_may_be_printed() -> None:
    for name, (recognised, result) in documented(httpx).items():
        printed = repr(recognised).partition(", method=")[2] + repr(result).partition(", facts=")[2]
        secrets = {*recognised.parameters.values(), *(result.token.values() if result is not None else ())}
        long = {value for value in secrets if isinstance(value, str) and len(value) > 9}
        assert [value for value in long if value in printed and value != recognised.client_id] == [], name


def test_the_corpus_is_large_and_no_entry_is_there_twice() -> None:
    assert len(DOCUMENTED) >= 150
    assert len(LOOKALIKES) >= 100
    entries = [*DOCUMENTED, *LOOKALIKES]
    assert len({entry["name"] for entry in entries}) == len(entries)
    assert len({repr((entry["request"], entry.get("after"), entry.get("response"))) for entry in entries}) == len(
        entries
    )
    assert all(entry["source"].startswith("https://") for entry in DOCUMENTED)
    assert all(entry["source"].startswith(("https://", "made up: ")) for entry in LOOKALIKES)
    assert all("response" in entry for entry in DOCUMENTED if entry.get("refused"))
