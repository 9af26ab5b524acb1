"""The judge, row by row of the decision table, on each store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from otel_oauth import judge
from otel_oauth.cases import CASES
from otel_oauth.judge import CodePresented, RefreshPresented, StatePresented
from otel_oauth.ledger import Kind, Sighting

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_oauth.ledger import Ledger

WINDOW = 30.0


def name(case: str) -> Any:
    return None if case is None else case.name


# Codes ----------------------------------------------------------------------------------------------------------------


def issue(ledger: Ledger, method: str = "S256") -> None:
    ledger.issue_code("code", "client", method=method, redirect_host="app.example", lifetime=60)


def redeem(ledger: Ledger) -> None:
    issue(ledger)
    ledger.granted("client", "access", code=ledger.sight_code("code"))


def judged_code(
    ledger: Ledger, client: str = "client", *, authenticated: bool = True, window: float = WINDOW, **presented: Any
) -> Any:
    sighting = ledger.sight_code("code")
    return name(judge.code(ledger, CodePresented(sighting, client, authenticated=authenticated, **presented), window))


FOUND = {"found": True}
REDEEMED = [
    # client, authenticated, seconds since, answered 200 -> case
    ("client", True, 0, False, "code_double_submit"),
    ("client", True, 30, False, "code_double_submit"),
    ("client", True, 0, True, "code_double_submit"),
    ("client", True, 31, False, "code_replayed"),
    ("client", True, -1, False, "code_double_submit"),  # the clock was set back, or another host's is behind
    ("client", True, -31, False, "code_replayed"),
    ("client", False, 0, False, "code_replayed"),
    ("client", False, 3600, True, "code_replayed"),
    ("thief", True, 0, False, "code_replayed_by_other_client"),
    ("thief", False, 3600, True, "code_replayed_by_other_client"),
]


@pytest.mark.parametrize(("client", "authenticated", "later", "accepted", "case"), REDEEMED)
def test_a_redeemed_code_presented_again(  # noqa: PLR0913, PLR0917 one argument for each column of the table
    ledger: Ledger, clock: Any, client: str, authenticated: Any, later: float, accepted: Any, case: str
) -> None:
    redeem(ledger)
    clock.pass_(later)
    assert judged_code(ledger, client, authenticated=authenticated, found=accepted, accepted=accepted) == case


def test_a_window_of_zero_has_no_benign_replay_but_within_the_same_moment(ledger: Ledger, clock: Any) -> None:
    redeem(ledger)
    clock.pass_(0.001)
    assert judged_code(ledger, window=0) == "code_replayed"


NOT_REDEEMED = [
    # client, what the server did -> case
    ("client", {"found": True, "accepted": True, "pkce": "matched"}, None),
    ("client", {"found": True, "accepted": True}, None),
    ("client", {"found": True}, None),
    ("thief", {"found": True}, "code_of_other_client"),
    ("thief", {"found": False}, "code_of_other_client"),
    ("thief", {"found": True, "accepted": True}, "code_of_other_client"),
    ("thief", {"found": True, "redirect": "host", "pkce": "mismatch"}, "code_of_other_client"),
    ("client", {"found": True, "redirect": "host"}, "code_redirect_host_differs"),
    ("client", {"found": True, "redirect": "other"}, "code_redirect_uri_differs"),
    ("client", {"found": False}, "code_expired"),
    ("client", {"found": True, "pkce": "mismatch"}, "pkce_mismatch"),
    ("client", {"found": True, "pkce": "malformed"}, "pkce_malformed"),
    ("client", {"found": True, "pkce": "missing"}, "pkce_verifier_missing"),
    ("client", {"found": True, "pkce": "required"}, "pkce_required"),
    ("client", {"found": True, "pkce": "downgrade"}, "pkce_downgrade"),
    ("client", {"found": True, "accepted": True, "pkce": "downgrade"}, "pkce_downgrade"),
    ("", {"found": False}, None),
]


@pytest.mark.parametrize(("client", "presented", "case"), NOT_REDEEMED)
@pytest.mark.parametrize("later", [0, 61])
def test_an_unredeemed_code(ledger: Ledger, clock: Any, client: str, presented: Any, case: str, later: float) -> None:  # noqa: PLR0913, PLR0917 one argument for each column of the table
    issue(ledger)
    clock.pass_(later)
    assert judged_code(ledger, client, **presented) == case


def test_a_code_that_was_never_issued(ledger: Ledger) -> None:
    assert judged_code(ledger, found=False) == "code_unknown"
    assert judged_code(ledger, "", found=False) is None
    assert judged_code(ledger, found=True, accepted=True) is None


def test_a_code_in_flight_is_a_double_submit_at_any_age_and_good_again_after_a_failure(
    ledger: Ledger, clock: Any
) -> None:
    issue(ledger)
    first = ledger.sight_code("code")
    ledger.redeeming(Kind.CODE, first)
    clock.pass_(40)
    assert judged_code(ledger, found=False) == "code_double_submit"
    assert judged_code(ledger, authenticated=False) == "code_replayed"
    assert judged_code(ledger, "thief", found=True) == "code_of_other_client"
    clock.pass_(-3600)
    assert judged_code(ledger, found=True, accepted=True) is None
    clock.pass_(3600)
    ledger.release(Kind.CODE, first)
    assert judged_code(ledger, found=True, accepted=True, pkce="matched") is None


def test_a_code_that_is_redeemed_between_the_sighting_and_the_answer_is_a_double_submit(ledger: Ledger) -> None:
    issue(ledger)
    sighting = ledger.sight_code("code")
    ledger.granted("client", "access", code=sighting)
    presented = CodePresented(sighting, "client", authenticated=True, found=False)
    assert name(judge.code(ledger, presented, WINDOW)) == "code_double_submit"
    stolen = CodePresented(presented.sighting, "thief", authenticated=True)
    assert name(judge.code(ledger, stolen, WINDOW)) == "code_replayed_by_other_client"
    presented.found = presented.accepted = True
    assert judge.code(ledger, presented, WINDOW) is None


@pytest.mark.parametrize("method", ["S256", "plain", "none"])
def test_the_method_is_that_of_the_stored_challenge(ledger: Ledger, method: Any) -> None:
    issue(ledger, method)
    assert judge.challenge_method(ledger.sight_code("code")) == method
    assert judge.challenge_method(ledger.sight_code("forged")) == "none"


# Refresh tokens -------------------------------------------------------------------------------------------------------


def rotate(ledger: Ledger, old: str = "r0", new: str = "r1", client: str = "client") -> None:
    ledger.granted(client, "a" + new, refresh_token=new, parent=ledger.sight_refresh(old), rotated=True)


def grant(ledger: Ledger) -> None:
    ledger.granted("client", "a0", refresh_token="r0")


def judged_refresh(
    ledger: Ledger, token: str = "r0", client: str = "client", *, window: float = WINDOW, **answer: Any
) -> Any:
    presented = RefreshPresented(
        ledger.sight_refresh(token), client, **{"found": False, "status": 400, "error": "invalid_grant", **answer}
    )
    return name(judge.refresh(ledger, presented, window))


ACCEPTED = {"found": True, "status": 200, "error": ""}
LIVE = [
    ("client", ACCEPTED, "refresh_ok"),
    ("client", {"found": True, "error": "invalid_scope"}, "refresh_refused"),
    ("client", {"found": True, "error": "invalid_grant"}, "refresh_of_other_client"),
    ("client", {"found": None, "error": "invalid_client", "status": 401}, "refresh_refused"),
    ("client", {"found": None, "error": "unauthorized_client"}, "refresh_refused"),
    ("client", {"found": True, "status": 500}, "refresh_error"),
    ("client", {"found": None, "status": 503}, "refresh_error"),
    ("client", {"found": False}, "refresh_unknown"),
    ("thief", {"found": True}, "refresh_of_other_client"),
    ("thief", {"found": False}, "refresh_of_other_client"),
    ("thief", ACCEPTED, "refresh_of_other_client"),
]


@pytest.mark.parametrize(("client", "answer", "case"), LIVE)
@pytest.mark.parametrize("in_flight", [False, True])
def test_a_live_refresh_token(ledger: Ledger, client: str, answer: Any, case: str, in_flight: Any) -> None:
    grant(ledger)
    if in_flight and answer.get("found"):
        # The request itself has marked it when the application's look-up returned it.
        ledger.redeeming(Kind.REFRESH, ledger.sight_refresh("r0"))
    assert judged_refresh(ledger, client=client, **answer) == case


@pytest.mark.parametrize("client", ["client", "thief"])
def test_an_unknown_a_revoked_and_an_expired_refresh_token_are_no_record(
    make_ledger: Callable[..., Ledger], clock: Any, client: str
) -> None:
    ledger = make_ledger(refresh_lifetime=100)
    assert judged_refresh(ledger, "forged", client) == "refresh_unknown"
    grant(ledger)
    ledger.revoke("r0")
    assert judged_refresh(ledger, client=client) == "refresh_unknown"
    ledger.granted("client", "access", refresh_token="expired")
    clock.pass_(101)
    assert judged_refresh(ledger, "expired", client) == "refresh_unknown"


def test_a_missing_parameter(ledger: Ledger) -> None:
    missing = RefreshPresented(None, "client", status=400, error="invalid_request")
    assert name(judge.refresh(ledger, missing, WINDOW)) == "refresh_missing"
    missing.error = "invalid_client"
    assert name(judge.refresh(ledger, missing, WINDOW)) == "refresh_refused"
    missing.status = 500
    assert name(judge.refresh(ledger, missing, WINDOW)) == "refresh_error"


# The benign race: all conditions hold, then each one is violated alone -----------------------------------------------


def nothing(_ledger: Any, _clock: Any) -> None:
    pass


def window_over(_ledger: Any, clock: Any) -> None:
    clock.pass_(31)


def successor_presented(ledger: Ledger, _clock: Any) -> None:
    ledger.presented(ledger.sight_refresh("r1"))


def successor_in_flight(ledger: Ledger, _clock: Any) -> None:
    ledger.redeeming(Kind.REFRESH, ledger.sight_refresh("r1"))


def successor_rotated(ledger: Ledger, _clock: Any) -> None:
    rotate(ledger, "r1", "r2")


def just_within(_ledger: Any, clock: Any) -> None:
    clock.pass_(30)


def another_loser(ledger: Ledger, _clock: Any) -> None:
    rotate(ledger, "r0", "r1b")


RACES = [
    (nothing, "client", {}, WINDOW, "refresh_race"),
    (nothing, "client", ACCEPTED, WINDOW, "refresh_race_accepted"),
    (just_within, "client", {}, WINDOW, "refresh_race"),
    (another_loser, "client", {}, WINDOW, "refresh_race"),
    (nothing, "thief", {}, WINDOW, "refresh_reused"),
    (nothing, "thief", ACCEPTED, WINDOW, "refresh_reused"),
    (window_over, "client", {}, WINDOW, "refresh_reused"),
    (window_over, "client", ACCEPTED, WINDOW, "refresh_reused"),
    (successor_presented, "client", {}, WINDOW, "refresh_reused"),
    (successor_in_flight, "client", {}, WINDOW, "refresh_reused"),
    (successor_rotated, "client", {}, WINDOW, "refresh_reused"),
    (nothing, "client", {"found": True, "error": "invalid_scope"}, WINDOW, "refresh_race"),
    (just_within, "client", {}, 29.0, "refresh_reused"),
]


@pytest.mark.parametrize(("meanwhile", "client", "answer", "window", "case"), RACES)
def test_a_rotated_token_is_a_race_only_if_every_condition_holds(  # noqa: PLR0913, PLR0917 one argument for each column of the table
    ledger: Ledger, clock: Any, meanwhile: Any, client: str, answer: Any, window: float, case: str
) -> None:
    grant(ledger)
    rotate(ledger)
    meanwhile(ledger, clock)
    assert judged_refresh(ledger, client=client, window=window, **answer) == case


def test_a_window_of_zero_knows_no_race(ledger: Ledger, clock: Any) -> None:
    grant(ledger)
    rotate(ledger)
    clock.pass_(0.001)
    assert judged_refresh(ledger, window=0.0) == "refresh_reused"


def test_of_two_refreshes_that_are_answered_at_once_the_second_is_a_race(ledger: Ledger) -> None:
    """Both were found, both are judged after their answer: by what was known when the ledger was told of it."""
    grant(ledger)
    verdicts = []
    for sighting in [ledger.sight_refresh("r0") for _ in range(2)]:
        ledger.redeeming(Kind.REFRESH, sighting)
        settled = ledger.granted("client", "a", refresh_token="r1", parent=sighting, rotated=True)
        presented = RefreshPresented(sighting, "client", found=True, settled=settled)
        verdicts.append(judge.refresh(ledger, presented, WINDOW).name)
    assert verdicts == ["refresh_ok", "refresh_race_accepted"]


def test_a_grandparent_is_no_race_even_if_nothing_newer_was_presented(ledger: Ledger) -> None:
    grant(ledger)
    first = ledger.look_again(ledger.sight_refresh("r0"))
    rotate(ledger)
    one = Sighting(ledger.digest(b"token", "r1"), first.entry._replace(generation=1), first.family)
    ledger.granted("client", "a2", refresh_token="r2", parent=one, rotated=True)
    assert ledger.sight_refresh("r0").family[2:] == (2, False, 0.0)
    assert judged_refresh(ledger, "r0") == "refresh_reused"
    assert judged_refresh(ledger, "r1") == "refresh_race"


def test_the_window_is_counted_from_the_first_rotation(ledger: Ledger, clock: Any) -> None:
    grant(ledger)
    rotate(ledger)
    clock.pass_(20)
    rotate(ledger, "r0", "r1b")
    clock.pass_(20)
    assert judged_refresh(ledger) == "refresh_reused"


def test_a_loser_that_comes_while_the_winner_is_in_flight_is_a_race(ledger: Ledger) -> None:
    grant(ledger)
    winner = ledger.sight_refresh("r0")
    ledger.redeeming(Kind.REFRESH, winner)
    assert judged_refresh(ledger) == "refresh_race"
    assert judged_refresh(ledger, client="thief") == "refresh_of_other_client"


def test_a_rotation_that_failed_is_undone(ledger: Ledger) -> None:
    grant(ledger)
    first = ledger.sight_refresh("r0")
    ledger.redeeming(Kind.REFRESH, first)
    ledger.release(Kind.REFRESH, first)
    assert judged_refresh(ledger, **ACCEPTED) == "refresh_ok"


def test_a_loser_that_was_presented_before_the_rotation_is_a_race_even_if_the_successor_is_used_since(
    ledger: Ledger,
) -> None:
    grant(ledger)
    before = ledger.sight_refresh("r0")
    rotate(ledger)
    ledger.redeeming(Kind.REFRESH, ledger.sight_refresh("r1"))
    loser = RefreshPresented(before, "client", found=False, status=400, error="invalid_grant")
    assert name(judge.refresh(ledger, loser, WINDOW)) == "refresh_race"
    assert judged_refresh(ledger) == "refresh_reused"


def test_after_a_critical_verdict_the_family_is_quiet_for_an_hour_and_only_that_family(
    ledger: Ledger, clock: Any
) -> None:
    grant(ledger)
    rotate(ledger)
    clock.pass_(60)
    ledger.granted("client", "b0", refresh_token="other0")
    rotate(ledger, "other0", "other1")
    clock.pass_(60)
    assert judged_refresh(ledger) == "refresh_reused"
    ledger.critical(ledger.sight_refresh("r0"))
    for _ in range(3):
        clock.pass_(1199.9)
        assert judged_refresh(ledger, client="thief") == "refresh_reused_again"
    assert judged_refresh(ledger, "other0") == "refresh_reused"
    clock.pass_(0.4)
    assert judged_refresh(ledger) == "refresh_reused"


def test_a_server_that_does_not_rotate_has_no_reuse(ledger: Ledger) -> None:
    grant(ledger)
    for _ in range(3):
        sighting = ledger.sight_refresh("r0")
        ledger.redeeming(Kind.REFRESH, sighting)
        assert judged_refresh(ledger, **ACCEPTED) == "refresh_ok"
        ledger.granted("client", "access", parent=sighting)
    ledger.revoke("r0")
    assert judged_refresh(ledger) == "refresh_unknown"


# States ---------------------------------------------------------------------------------------------------------------


def consumed(ledger: Ledger, _clock: Any) -> None:
    ledger.consume_state("state", "code")


def dropped(ledger: Ledger, _clock: Any) -> None:
    ledger.drop_state("state")


def expired(_ledger: Any, clock: Any) -> None:
    clock.pass_(100)


def dropped_and_expired(ledger: Ledger, clock: Any) -> None:
    dropped(ledger, clock)
    clock.pass_(200)


STATES = [
    (consumed, "code", False, "state_reloaded"),
    (consumed, "code", True, "state_reloaded"),
    (consumed, "other code", False, "state_replayed"),
    (consumed, "other code", True, "state_replayed"),
    (dropped, "code", False, "state_dropped"),
    (dropped_and_expired, "code", False, "state_dropped"),
    (expired, "code", False, "state_expired"),
    (expired, "code", True, "state_expired"),
    (nothing, "code", False, "state_of_other_session"),
    (nothing, "code", True, "state_session_lost"),
]


@pytest.mark.parametrize(("before", "code", "empty", "case"), STATES)
def test_a_state_that_was_refused(ledger: Ledger, clock: Any, before: Any, code: Any, empty: Any, case: str) -> None:  # noqa: PLR0913, PLR0917 one argument for each column of the table
    ledger.issue_state("state", verifier=True, lifetime=100)
    before(ledger, clock)
    presented = StatePresented(ledger.sight_state("state"), ledger.digest(b"code", code), session_empty=empty)
    assert name(judge.state(presented)) == case


def test_a_state_that_was_never_issued(ledger: Ledger) -> None:
    assert name(judge.state(StatePresented(ledger.sight_state("forged")))) == "state_unknown"


def test_the_judge_knows_every_case_of_codes_tokens_and_states() -> None:
    """What plugins decide themselves is the rest; a new case must be put on one side."""
    tested = {row[-1] for table in (REDEEMED, NOT_REDEEMED, LIVE, RACES, STATES) for row in table} - {None}
    tested |= {"code_unknown", "refresh_missing", "refresh_reused_again", "state_unknown"}
    assert set(CASES) - tested == {
        "refresh_known_rotated",
        "token_of_other_client",
        "assertion_replayed",
        "nonce_replayed",
        "callback_cancelled",
        "callback_error",
        "nonce_mismatch",
        "nonce_missing",
        "at_hash_mismatch",
        "c_hash_mismatch",
        "issuer_mismatch",
    }
