"""The decision table as data: each row moves what the specification says, and its sums agree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from otel_oauth import catalogue as c
from otel_oauth import kinds
from otel_oauth.cases import CASES
from otel_oauth.moves import Fact, Move

if TYPE_CHECKING:
    from otel_oauth.catalogue import Metric

PV, PF, IV, SE = (
    "oauth_pkce_validations_total",
    "oauth_pkce_validation_failed",
    "oauth_integrity_violations_total",
    "oauth_security_events_total",
)
CR, TR, CI = "oauth_code_reuse_detected", "oauth_token_reuse_detected", "oauth_code_injection_attempts_total"
CLEANED, RT = "oauth_pkce_states_cleaned_total", "oauth_token_refresh_total"
GONE, INVALID = (PV, "failure", "not_found"), (PV, "failure", "invalid_hash")
REUSE, INTEGRITY, INJECTION = "token_reuse", "integrity_violation", "code_injection"

# Case -> what it moves beyond the operation's own rows, with a verifier and a stored S256 challenge.
TABLE: dict[str, set[tuple[str, ...]]] = {
    "code_double_submit": {(CR,), (SE, REUSE, "low")},
    "code_replayed": {(CR,), (SE, REUSE, "high")},
    "code_replayed_by_other_client": {(CR,), (CI,), (SE, INJECTION, "critical")},
    "code_of_other_client": {(CI,), (SE, INJECTION, "critical")},
    "code_redirect_host_differs": {(CI,), (SE, INJECTION, "critical")},
    "code_redirect_uri_differs": set(),
    "code_expired": {(PV, "failure", "expired")},
    "code_unknown": {GONE},
    "pkce_mismatch": {INVALID, (PF, "S256"), (IV, "hash_mismatch"), (SE, INTEGRITY, "high")},
    "pkce_malformed": {INVALID, (PF, "S256")},
    "pkce_verifier_missing": {INVALID, (PF, "S256"), (IV, "hash_mismatch"), (SE, INTEGRITY, "medium")},
    "pkce_required": {INVALID, (PF, "none")},
    "pkce_downgrade": {INVALID, (PF, "none"), (IV, "hash_mismatch"), (SE, INTEGRITY, "high")},
    "refresh_race": {(RT, "failure", "reuse_detected"), (SE, REUSE, "low")},
    "refresh_race_accepted": {(RT, "success", "normal"), (SE, REUSE, "low")},
    "refresh_reused": {(RT, "reuse_detected", "reuse_detected"), (TR,), (SE, REUSE, "critical")},
    "refresh_reused_again": {(RT, "failure", "reuse_detected")},
    "refresh_of_other_client": {
        (RT, "failure", "ownership_failed"),
        (IV, "user_mismatch"),
        (SE, INTEGRITY, "high"),
    },
    "refresh_unknown": {(RT, "failure", "no_record")},
    "refresh_missing": {(RT, "failure", "no_refresh_token")},
    "refresh_refused": {(RT, "failure", "normal")},
    "refresh_error": {(RT, "failure", "exception")},
    "refresh_known_rotated": {(RT, "failure", "reuse_detected")},
    "refresh_ok": {(RT, "success", "normal")},
    "token_of_other_client": {(IV, "user_mismatch"), (SE, INTEGRITY, "high")},
    "assertion_replayed": {(IV, "state_reuse"), (SE, INTEGRITY, "high")},
    "nonce_replayed": {(SE, INTEGRITY, "low")},
    "state_reloaded": {GONE, (SE, INTEGRITY, "low")},
    "state_replayed": {GONE, (IV, "state_reuse"), (SE, INTEGRITY, "high")},
    "state_expired": {(PV, "failure", "expired"), (CLEANED, "expired")},
    "state_unknown": {GONE},
    "state_of_other_session": {GONE, (CI,), (SE, INJECTION, "critical")},
    "state_session_lost": {GONE, (SE, INTEGRITY, "low")},
    "state_dropped": {GONE},
    "callback_cancelled": set(),
    "callback_error": set(),
    "nonce_mismatch": {(CI,), (SE, INJECTION, "critical")},
    "nonce_missing": set(),
    "at_hash_mismatch": {(IV, "hash_mismatch"), (SE, INTEGRITY, "high")},
    "c_hash_mismatch": {(IV, "hash_mismatch"), (SE, INTEGRITY, "high")},
    "issuer_mismatch": {(IV, "user_mismatch"), (SE, INTEGRITY, "high")},
}
FLOW_FAILS = {
    "state_expired",
    "state_session_lost",
    "callback_error",
    "nonce_mismatch",
    "nonce_missing",
    "at_hash_mismatch",
}
EVENTS = {
    "refresh_reused": "oauth_refresh_token_reuse_detected",
    "code_replayed": "oauth_code_reuse_detected",
    "code_double_submit": "oauth_code_double_submit",
    "refresh_race": "oauth_refresh_race",
    "state_reloaded": "oauth_state_reloaded",
    "code_of_other_client": "oauth_code_injection_attempt",
    "nonce_mismatch": "oauth_code_injection_attempt",
    "pkce_mismatch": "oauth_integrity_violation",
    "at_hash_mismatch": "oauth_integrity_violation",
    "refresh_of_other_client": "oauth_ownership_violation",
    "issuer_mismatch": "oauth_ownership_violation",
    "state_replayed": "pkce_replay_detected",
    "assertion_replayed": "pkce_replay_detected",
}


def test_the_table_names_every_case() -> None:
    assert set(TABLE) == set(CASES)


@pytest.mark.parametrize("name", TABLE)
def test_a_case_moves_its_row_of_the_table(recording: Any, name: str) -> None:
    kind = kinds.CALLBACK if name.startswith(("state", "callback", "nonce_m", "at_hash")) else kinds.ENDPOINT
    facts = {"provider": "other", "verifier": True, "pending": True, "challenge_method": "S256"}
    if kind is kinds.ENDPOINT:
        facts |= {"method": "POST", "endpoint": "token", "http_status": "400"}
    with recording.telemetry.operation(kind, {**facts}) as operation:
        operation.judge(CASES[name])
    moved = recording.moved()
    assert set(moved.values()) <= {1}
    own_rows = {"oauth_http_requests_total", "oauth_http_request_duration_milliseconds", "oauth_flows_total"}
    durations = {"oauth_token_refresh_duration_seconds"}
    assert {key for key in moved if key[0] not in own_rows | durations} == TABLE[name]
    assert (("oauth_flows_total", "other", "failure") in moved) is (name in FLOW_FAILS)
    assert any(key[0] in durations for key in moved) is name.startswith("refresh_")


@pytest.mark.parametrize("case", CASES.values(), ids=lambda case: case.name)
def test_the_sums_of_a_case_agree(case: str) -> None:
    moves = [(move.metric, move.labels) for move in case.moves]

    def count(metric: Metric, *labels: Any) -> Any:
        return sum(found is metric and values[: len(labels)] == labels for found, values in moves)

    assert count(c.SECURITY_EVENTS) == (case.security is not None)
    assert bool(case.event) is (case.security is not None)
    if case.security is None or case.security[1] == "low":
        assert not count(c.INTEGRITY_VIOLATIONS) + count(c.CODE_INJECTIONS) + count(c.TOKEN_REUSE)
    else:
        assert count(c.CODE_INJECTIONS) == (case.security[0] == "code_injection")
        assert count(c.INTEGRITY_VIOLATIONS) == (case.security[0] == "integrity_violation")
    assert count(c.PKCE_FAILED) == count(c.PKCE_VALIDATIONS, "failure", "invalid_hash")


@pytest.mark.parametrize(("name", "event"), EVENTS.items())
def test_a_verdict_has_the_documented_event(name: str, event: Any) -> None:
    assert CASES[name].event.name == event


def test_of_two_verdicts_the_higher_one_stands_in_either_order(recording: Any) -> None:
    order = ["code_of_other_client", "code_replayed", "pkce_mismatch", "state_reloaded", "code_expired"]
    assert [CASES[name].rank for name in order] == sorted((CASES[name].rank for name in order), reverse=True)
    for first in order:
        for second in order:
            operation = recording.telemetry.operation(kinds.VERDICT, {})
            operation.judge(CASES[first])
            operation.judge(CASES[second])
            assert operation.case is CASES[min(first, second, key=order.index)]
            operation.judge(None)
            assert operation.case is not None


def test_a_benign_twin_does_not_hide_an_attack_of_the_same_type(recording: Any) -> None:
    operation = recording.telemetry.operation(kinds.VERDICT, {})
    operation.judge(CASES["code_replayed"])
    operation.judge(CASES["code_double_submit"])
    assert operation.case is CASES["code_replayed"]


def test_a_move_with_the_wrong_number_of_labels_cannot_be_written() -> None:
    with pytest.raises(ValueError, match="oauth_flows_total has 2 labels, the move gives 1"):
        Move(c.FLOWS, ("x",))


def test_a_fact_that_is_missing_is_other() -> None:
    move = Move(c.FLOWS, (Fact("provider"), "initiated"))
    assert move.key({"provider": "google"}) == ("google", "initiated")
    assert move.key({}) == ("other", "initiated")


@pytest.mark.parametrize(
    "move",
    [move for owner in (*kinds.KINDS.values(), *CASES.values()) for move in owner.moves],
    ids=lambda move: f"{move.metric.name}-{'-'.join(move.labels)}",
)
def test_a_literal_label_of_a_move_is_one_of_the_catalogue(move: Any) -> None:
    for label, value in zip(move.metric.labels, move.labels, strict=True):
        assert isinstance(value, Fact) or value in label.closed
    assert move.metric.kind != "gauge"


def test_every_documented_counter_and_histogram_is_moved_by_some_kind_or_case() -> None:
    fed = {move.metric for owner in (*kinds.KINDS.values(), *CASES.values()) for move in owner.moves}
    assert {metric.name for metric in c.DOCUMENTED if metric.kind != "gauge"} == {metric.name for metric in fed}
