"""The ledger on each of its stores: the life of codes, tokens and states, bounds, expiry, and no secret kept."""

from __future__ import annotations

import tempfile
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.trace import SpanContext

from otel_oauth.ledger import Entry, Kind, Ledger, MemoryStore, Sighting, Status
from otel_oauth.ledger._base import MEMORY_SECONDS
from otel_oauth.ledger._entry import Family, Mark, packed, turned, unpacked
from otel_oauth.ledger._host import HostStore
from otel_oauth.ledger._redis import RedisStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis_server import RedisServer

NOTHING = b"\0" * 16


def status(ledger: Ledger, code: Any) -> Any:
    entry = ledger.sight_code(code).entry
    return None if entry is None else entry.status


def refresh_status(ledger: Ledger, token: Any) -> Any:
    entry = ledger.look_again(ledger.sight_refresh(token)).entry
    return None if entry is None else entry.status


def live(ledger: Ledger) -> Any:
    ledger.purge()
    kinds = (Kind.ACCESS, Kind.LIVE_REFRESH, Kind.LIVE_FAMILY, Kind.FLOW, Kind.PKCE, Kind.CLIENT)
    return {kind.name: count for kind in kinds if (count := ledger.count(kind))}


# Codes ----------------------------------------------------------------------------------------------------------------


def test_an_issued_code_is_known_with_what_it_was_issued_for(ledger: Ledger, clock: Any) -> None:
    span = SpanContext(0xABC, 0xDEF, is_remote=False)
    ledger.issue_code("code", "client", method="S256", redirect_host="app.example", lifetime=60, span=span)
    entry = ledger.sight_code("code").entry
    assert entry is not None
    assert (entry.status, entry.method) == (Status.ISSUED, 2)
    assert (entry.issued_at, entry.expires_at) == (clock.now, clock.now + 60)
    assert entry.owner == ledger.digest(b"client", "client")
    assert entry.place == ledger.digest(b"host", "app.example")
    assert (int.from_bytes(entry.trace_id, "big"), int.from_bytes(entry.span_id, "big")) == span[:2]
    assert live(ledger) == {"FLOW": 1, "PKCE": 1}


def test_a_code_without_a_challenge_is_a_flow_but_no_pkce_state(ledger: Ledger) -> None:
    ledger.issue_code("code", "client")
    assert live(ledger) == {"FLOW": 1}


def test_an_unknown_code_has_no_entry(ledger: Ledger) -> None:
    assert ledger.sight_code("forged").entry is None
    ledger.redeeming(Kind.CODE, ledger.sight_code("forged"))
    ledger.granted("client", "access", code=ledger.sight_code("forged"))
    assert ledger.sight_code("forged").entry is None


def test_a_code_is_redeemed_by_the_grant_once(ledger: Ledger, clock: Any) -> None:
    ledger.issue_code("code", "client", method="plain")
    sighting = ledger.sight_code("code")
    ledger.redeeming(Kind.CODE, sighting)
    assert status(ledger, "code") == Status.REDEEMING
    clock.pass_(1)
    ledger.granted("client", "access", code=sighting)
    first = ledger.sight_code("code").entry
    assert (first.status, first.changed_at) == (Status.REDEEMED, clock.now)
    assert live(ledger) == {"ACCESS": 1}
    clock.pass_(5)
    ledger.granted("client", "second access", code=sighting)
    assert ledger.sight_code("code").entry == first


def test_a_redemption_that_failed_leaves_the_code_as_good_as_before(ledger: Ledger) -> None:
    ledger.issue_code("code", "client", method="S256")
    sighting = ledger.sight_code("code")
    ledger.redeeming(Kind.CODE, sighting)
    ledger.release(Kind.CODE, sighting)
    assert ledger.sight_code("code") == sighting
    assert live(ledger) == {"FLOW": 1, "PKCE": 1}
    ledger.granted("client", "access", code=sighting)
    ledger.release(Kind.CODE, sighting)
    assert status(ledger, "code") == Status.REDEEMED


def test_a_code_is_remembered_a_day_so_that_a_replay_is_told_from_a_forgery(ledger: Ledger, clock: Any) -> None:
    ledger.issue_code("code", "client", lifetime=60)
    clock.pass_(MEMORY_SECONDS - 1)
    ledger.purge()
    assert status(ledger, "code") == Status.ISSUED
    clock.pass_(2)
    ledger.purge()
    assert status(ledger, "code") is None


def test_redeeming_does_not_lengthen_the_memory_of_a_code(ledger: Ledger, clock: Any) -> None:
    ledger.issue_code("code", "client")
    clock.pass_(MEMORY_SECONDS - 1)
    ledger.granted("client", "access", code=ledger.sight_code("code"))
    clock.pass_(2)
    ledger.purge()
    assert status(ledger, "code") is None


def test_a_discarded_code_is_no_longer_pending_and_says_so_once(ledger: Ledger) -> None:
    ledger.issue_code("code", "client", method="S256")
    ledger.issue_code("without", "client")
    assert [ledger.discard_code("code"), ledger.discard_code("code"), ledger.discard_code("without")] == [
        True,
        False,
        False,
    ]
    assert live(ledger) == {}
    assert status(ledger, "code") == Status.ISSUED


# Tokens ---------------------------------------------------------------------------------------------------------------


def test_a_family_begins_at_the_code_and_grows_with_each_rotation(ledger: Ledger, clock: Any) -> None:
    ledger.issue_code("code", "client")
    code = ledger.sight_code("code")
    ledger.granted("client", "a0", refresh_token="r0", code=code)
    first = ledger.sight_refresh("r0")
    assert (first.entry.generation, first.entry.family, first.family[2:]) == (0, code.digest, (0, False, 0.0))
    clock.pass_(10)
    ledger.granted("client", "a1", refresh_token="r1", parent=first, rotated=True)
    old, new = ledger.sight_refresh("r0"), ledger.sight_refresh("r1")
    assert (old.entry.status, old.entry.changed_at) == (Status.ROTATED, clock.now)
    assert (new.entry.status, new.entry.generation, new.entry.family) == (Status.ISSUED, 1, code.digest)
    assert new.entry.owner == ledger.digest(b"client", "client")
    assert live(ledger) == {"ACCESS": 2, "LIVE_REFRESH": 1, "LIVE_FAMILY": 1}


def test_a_second_rotation_of_the_same_token_is_the_same_generation_and_keeps_the_first_time(
    ledger: Ledger, clock: Any
) -> None:
    ledger.granted("client", "a0", refresh_token="r0")
    parent = ledger.sight_refresh("r0")
    first = clock.now
    ledger.granted("client", "a1", refresh_token="r1", parent=parent, rotated=True)
    clock.pass_(5)
    ledger.granted("client", "a1b", refresh_token="r1b", parent=parent, rotated=True)
    assert ledger.sight_refresh("r0").entry.changed_at == first
    assert ledger.sight_refresh("r1").entry.generation == ledger.sight_refresh("r1b").entry.generation == 1
    assert ledger.sight_refresh("r0").family.newest == 1


PRESENTED: dict[str, Callable[[Ledger, Sighting], None]] = {
    "found": lambda ledger, sighting: ledger.redeeming(Kind.REFRESH, sighting),
    "not found": Ledger.presented,
}


@pytest.mark.parametrize("tell", PRESENTED.values(), ids=PRESENTED)
def test_that_a_successor_was_presented_is_remembered_from_then_on(ledger: Ledger, tell: Any) -> None:
    ledger.granted("client", "a0", refresh_token="r0")
    parent = ledger.sight_refresh("r0")
    ledger.granted("client", "a1", refresh_token="r1", parent=parent, rotated=True)
    assert ledger.sight_refresh("r0").family.newest_presented is False
    first = ledger.sight_refresh("r1")
    assert ledger.sight_refresh("r0").family.newest_presented is False
    tell(ledger, first)
    assert first.family.newest_presented is False
    assert ledger.sight_refresh("r0").family.newest_presented is True
    ledger.release(Kind.REFRESH, first)
    assert ledger.sight_refresh("r0").family.newest_presented is True
    ledger.granted("client", "a2", refresh_token="r2", parent=first, rotated=True)
    assert ledger.sight_refresh("r0").family[2:] == (2, False, 0.0)


@pytest.mark.parametrize("tell", PRESENTED.values(), ids=PRESENTED)
def test_the_mark_of_a_presentation_does_not_fall_on_a_generation_that_came_in_between(
    ledger: Ledger, tell: Any
) -> None:
    """Between reading the token and marking its family, another worker may have rotated on."""
    ledger.granted("client", "a0", refresh_token="r0")
    ledger.granted("client", "a1", refresh_token="r1", parent=ledger.sight_refresh("r0"), rotated=True)
    parent = ledger.look_again(ledger.sight_refresh("r0"))
    one = ledger.look_again(parent._replace(digest=ledger.digest(b"token", "r1")))
    read = ledger.sight_refresh("r1")
    ledger.granted("client", "a2", refresh_token="r2", parent=one, rotated=True)
    tell(ledger, read)
    assert ledger.sight_refresh("r1").family[2:4] == (2, False)


def test_a_server_that_does_not_rotate_leaves_the_token_as_it_was(ledger: Ledger) -> None:
    ledger.granted("client", "a0", refresh_token="r0")
    sighting = ledger.sight_refresh("r0")
    ledger.redeeming(Kind.REFRESH, sighting)
    ledger.granted("client", "a1", parent=sighting)
    assert refresh_status(ledger, "r0") == Status.ISSUED
    assert live(ledger) == {"ACCESS": 2, "LIVE_REFRESH": 1, "LIVE_FAMILY": 1}
    ledger.redeeming(Kind.REFRESH, sighting)
    ledger.granted("client", "a2", refresh_token="r0", parent=sighting)
    assert refresh_status(ledger, "r0") == Status.ISSUED
    assert ledger.sight_refresh("r0").family.newest == 0


def test_a_token_of_an_unknown_parent_begins_a_family_of_its_own(ledger: Ledger) -> None:
    ledger.granted("client", "a1", refresh_token="r1", parent=ledger.sight_refresh("from before"), rotated=True)
    entry = ledger.sight_refresh("r1").entry
    assert (entry.generation, entry.family) == (0, ledger.digest(b"token", "r1"))


def test_a_critical_verdict_is_remembered_by_the_family(ledger: Ledger, clock: Any) -> None:
    ledger.granted("client", "a0", refresh_token="r0")
    ledger.granted("client", "a1", refresh_token="r1", parent=ledger.sight_refresh("r0"), rotated=True)
    ledger.critical(ledger.sight_refresh("r0"))
    ledger.critical(ledger.sight_refresh("unknown"))
    assert ledger.sight_refresh("r1").family.critical_at == clock.now
    ledger.granted("client", "a2", refresh_token="r2", parent=ledger.sight_refresh("r1"), rotated=True)
    assert ledger.sight_refresh("r2").family.critical_at == clock.now


def test_revoking_tells_what_was_alive_and_takes_the_pair(ledger: Ledger) -> None:
    ledger.granted("client", "access", refresh_token="refresh")
    ledger.granted("client", "other access")
    assert ledger.revoke("unknown") is None
    assert ledger.revoke("other access") == "access_token"
    assert ledger.revoke("other access") is None
    assert ledger.revoke("refresh") == "refresh_token"
    assert live(ledger) == {}
    assert ledger.revoke("refresh") is None
    assert refresh_status(ledger, "refresh") == Status.REVOKED


def test_revoking_the_access_token_leaves_the_refresh_token(ledger: Ledger) -> None:
    ledger.granted("client", "access", refresh_token="refresh")
    assert ledger.revoke("access") == "access_token"
    assert live(ledger) == {"LIVE_REFRESH": 1, "LIVE_FAMILY": 1}
    assert refresh_status(ledger, "refresh") == Status.ISSUED


def test_a_rotated_token_cannot_be_revoked_into_something_else(ledger: Ledger) -> None:
    ledger.granted("client", "a0", refresh_token="r0")
    ledger.granted("client", "a1", refresh_token="r1", parent=ledger.sight_refresh("r0"), rotated=True)
    assert ledger.revoke("r0") is None
    assert refresh_status(ledger, "r0") == Status.ROTATED


def test_an_expired_token_was_not_alive_whether_it_was_purged_or_not(
    make_ledger: Callable[..., Ledger], clock: Any
) -> None:
    ledger = make_ledger(refresh_lifetime=50)
    for purge in (False, True):
        ledger.granted("client", "access", expires_in=10, refresh_token="refresh")
        clock.pass_(51)
        if purge:
            ledger.purge()
        assert ledger.revoke("access") is None
        assert ledger.revoke("refresh") is None


def test_an_access_token_counts_until_it_expires_a_day_if_nobody_says(ledger: Ledger, clock: Any) -> None:
    ledger.granted("client", "short", expires_in=10)
    ledger.granted("client", "unknown")
    clock.pass_(11)
    assert live(ledger) == {"ACCESS": 1}
    clock.pass_(86400)
    assert live(ledger) == {}


@pytest.mark.parametrize("expires_in", [float("inf"), float("nan"), 1e300])
def test_a_lifetime_that_is_no_time_is_a_long_one(ledger: Ledger, expires_in: Any, clock: Any) -> None:
    ledger.granted("client", "access", expires_in=expires_in, refresh_token="refresh")
    clock.pass_(86400)
    assert live(ledger) == {"ACCESS": 1, "LIVE_REFRESH": 1, "LIVE_FAMILY": 1}


def test_a_negative_lifetime_is_over(ledger: Ledger) -> None:
    ledger.granted("client", "access", expires_in=-1e300)
    assert live(ledger) == {}


def test_a_retired_access_token_no_longer_counts(ledger: Ledger) -> None:
    ledger.granted("client", "access")
    ledger.retire("access")
    ledger.retire("never issued")
    assert live(ledger) == {}


def test_the_owner_of_a_refresh_token(ledger: Ledger) -> None:
    ledger.granted("client", "access", refresh_token="refresh")
    assert ledger.owner_differs("refresh", "thief") is True
    assert ledger.owner_differs("refresh", "client") is False
    assert ledger.owner_differs("unknown", "thief") is False


def test_the_owner_of_an_access_token(ledger: Ledger) -> None:
    ledger.granted("client", "access")
    assert ledger.owner_differs("access", "thief") is True
    assert ledger.owner_differs("access", "client") is False


def test_a_revoked_refresh_token_that_is_accepted_is_in_use(ledger: Ledger) -> None:
    ledger.granted("client", "access", refresh_token="refresh")
    ledger.revoke("refresh")
    assert live(ledger) == {}
    ledger.granted("client", "access 2", parent=ledger.sight_refresh("refresh"))
    assert live(ledger) == {"ACCESS": 1, "LIVE_REFRESH": 1, "LIVE_FAMILY": 1}
    entry = ledger.sight_refresh("refresh").entry
    assert entry is not None
    assert (entry.status, entry.flag) == (Status.ISSUED, 1)


# States, clients, authorizations --------------------------------------------------------------------------------------


def test_a_state_is_consumed_once_with_its_code(ledger: Ledger, clock: Any) -> None:
    ledger.issue_state("state", verifier=True, span=SpanContext(1, 2, is_remote=False))
    assert live(ledger) == {"FLOW": 1, "PKCE": 1}
    clock.pass_(3)
    assert ledger.consume_state("state", "code") is True
    entry = ledger.sight_state("state").entry
    assert (entry.status, entry.peer, entry.changed_at) == (Status.REDEEMED, ledger.digest(b"code", "code"), clock.now)
    assert ledger.consume_state("state", "another code") is False
    assert ledger.drop_state("state") is False
    assert ledger.sight_state("state").entry == entry
    assert live(ledger) == {}


@pytest.mark.parametrize("verifier", [True, False])
def test_a_dropped_state_says_whether_its_verifier_was_pending(ledger: Ledger, verifier: Any) -> None:
    ledger.issue_state("state", verifier=verifier)
    assert ledger.drop_state("state") is verifier
    entry = ledger.sight_state("state").entry
    assert (entry.status, entry.peer, entry.method) == (Status.DROPPED, NOTHING, int(verifier))


def test_a_state_that_was_never_issued_stays_unknown(ledger: Ledger) -> None:
    assert ledger.consume_state("forged", "code") is False
    assert ledger.drop_state("forged") is False
    assert ledger.sight_state("forged").entry is None


def test_a_state_is_remembered_a_day_beyond_its_lifetime(ledger: Ledger, clock: Any) -> None:
    ledger.issue_state("state", verifier=True, lifetime=100)
    clock.pass_(100 + MEMORY_SECONDS - 1)
    assert ledger.purge() == 1
    assert ledger.sight_state("state").entry is not None
    clock.pass_(2)
    assert ledger.purge() == 0
    assert ledger.sight_state("state").entry is None


def test_only_pending_states_with_a_verifier_are_counted_as_expired(ledger: Ledger, clock: Any) -> None:
    ledger.issue_state("with", verifier=True, lifetime=10)
    ledger.issue_state("without", verifier=False, lifetime=10)
    ledger.issue_state("used", verifier=True, lifetime=10)
    ledger.issue_code("code", "client", method="S256", lifetime=10)
    ledger.consume_state("used")
    clock.pass_(11)
    assert [ledger.purge(), ledger.purge()] == [2, 0]


def test_a_client_is_known_until_it_is_forgotten_and_as_long_as_it_is_seen(ledger: Ledger, clock: Any) -> None:
    for _ in range(3):
        ledger.know_client("client")
    ledger.know_client("gone")
    ledger.forget_client("gone")
    assert live(ledger) == {"CLIENT": 1}
    for _ in range(40):
        clock.pass_(86400)
        ledger.know_client("client")
    assert live(ledger) == {"CLIENT": 1}
    clock.pass_(31 * 86400)
    assert live(ledger) == {}


def test_the_first_of_equal_authorizations_within_ten_minutes(ledger: Ledger, clock: Any) -> None:
    assert [ledger.first("a", 600), ledger.first("a", 600), ledger.first("b", 600)] == [True, False, True]
    clock.pass_(599)
    assert ledger.first("a", 600) is False
    clock.pass_(1)
    assert [ledger.first("a", 600), ledger.first("a", 600)] == [True, False]


# Stores ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Kind.CODE, Kind.REFRESH])
def test_values_of_different_kinds_do_not_meet(ledger: Ledger, kind: Any) -> None:
    ledger.issue_code("same", "client")
    ledger.issue_state("same", verifier=False)
    ledger.granted("client", "access", refresh_token="same")
    entry = {Kind.CODE: ledger.sight_code, Kind.REFRESH: ledger.sight_refresh}[kind]("same").entry
    assert entry.status == Status.ISSUED
    ledger.consume_state("same")
    assert {Kind.CODE: ledger.sight_code, Kind.REFRESH: ledger.sight_refresh}[kind]("same").entry == entry


@pytest.mark.parametrize("value", ["", "x" * 100_000, "\0", "é漢", "\ud800"])
def test_any_text_can_be_presented(ledger: Ledger, value: str) -> None:
    assert ledger.sight_code(value).entry is None
    ledger.issue_state(value, verifier=True)
    assert ledger.consume_state(value, value) is True


def test_the_number_of_records_of_each_kind_is_bounded_and_evictions_are_counted(
    make_ledger: Callable[..., Ledger],
) -> None:
    ledger = make_ledger(size=50)
    for number in range(70):
        ledger.issue_state(f"state{number}", verifier=True)
    assert {kind: ledger.count(kind) for kind in (Kind.STATE, Kind.FLOW, Kind.PKCE)} == {
        Kind.STATE: 50,
        Kind.FLOW: 50,
        Kind.PKCE: 50,
    }
    assert ledger.evictions() == {"state": 20, "flow": 20, "pkce": 20}
    assert ledger.evictions() == {}
    assert ledger.sight_state("state69").entry is not None
    assert ledger.sight_state("state0").entry is None
    ledger.issue_state("state69", verifier=True)
    assert ledger.evictions() == {}


def test_with_an_evicted_record_goes_what_it_counts_as(make_ledger: Callable[..., Ledger]) -> None:
    ledger = make_ledger(size=4)
    for number in range(6):
        ledger.issue_state(f"state{number}", verifier=number < 3)
    assert (ledger.count(Kind.FLOW), ledger.count(Kind.PKCE)) == (4, 1)
    assert ledger.evictions() == {"state": 2, "flow": 2, "pkce": 2}
    for number in range(6):
        ledger.consume_state(f"state{number}", "code")
    assert (ledger.count(Kind.FLOW), ledger.count(Kind.PKCE)) == (0, 0)


def test_entries_by_partition(ledger: Ledger) -> None:
    ledger.issue_code("code", "client", method="S256")
    ledger.granted("client", "access", refresh_token="refresh")
    ledger.know_client("client")
    ledger.first("authorization", 600)
    assert {partition: count for partition, count in ledger.entries().items() if count} == {
        "code": 1,
        "flow": 1,
        "pkce": 1,
        "access": 1,
        "refresh": 2,
        "family": 2,
        "client": 1,
        "authorization": 1,
    }


def test_many_updates_of_one_record_do_not_fill_the_store(make_ledger: Callable[..., Ledger], clock: Any) -> None:
    ledger = make_ledger(size=100)
    for number in range(300 if ledger.shared > 1 else 3000):
        clock.pass_(1)
        ledger.issue_state("state", verifier=True, lifetime=100 + number % 7)
    store = ledger._store.current
    if isinstance(store, MemoryStore):
        assert sum(len(partition.expiry) + len(partition.fresh) for partition in store._partitions) < 4000
    elif isinstance(store, HostStore):
        with store._env.begin() as txn:
            assert txn.stat(store._expiry)["entries"] == 2
    else:
        assert [store.count(kind) for kind in (Kind.STATE, Kind.FLOW, Kind.PKCE)] == [1, 1, 1]
    assert live(ledger) == {"FLOW": 1, "PKCE": 1}


ENTRY = Entry(2.5, 1, 3.5, 1, 2, 7, 1.5, 2.25, b"a" * 16, b"b" * 16, b"c" * 16, b"d" * 16, b"e" * 16, b"f" * 8)
RECORDS: dict[Kind, Any] = {
    **dict.fromkeys((Kind.CODE, Kind.REFRESH, Kind.STATE), ENTRY),
    Kind.FAMILY_MEMORY: Family(2.5, 4, 7, newest_presented=True, critical_at=1.5),
}


@pytest.mark.parametrize("kind", Kind)
def test_a_record_is_read_as_it_was_written(kind: Any) -> None:
    record = RECORDS.get(kind, Mark(2.5, verifier=True, digest=b"a" * 16))
    assert unpacked(kind, packed(kind, record)) == record
    assert (
        packed(kind, record)
        < packed(kind, record._replace(kept_until=2.75))
        < packed(kind, record._replace(kept_until=1e9))
    )


def test_a_grant_that_lives_on_is_kept_and_looked_at_again_when_its_time_comes(
    make_ledger: Callable[..., Ledger], clock: Any
) -> None:
    ledger = make_ledger(refresh_lifetime=100)
    ledger.granted("client", "a0", expires_in=1, refresh_token="r0")
    for number in range(5):
        clock.pass_(60)
        parent = ledger.sight_refresh(f"r{number}")
        ledger.granted("client", "a", expires_in=1, refresh_token=f"r{number + 1}", parent=parent, rotated=True)
        assert live(ledger) == {"ACCESS": 1, "LIVE_REFRESH": 1, "LIVE_FAMILY": 1}
        assert (ledger.count(Kind.REFRESH), ledger.count(Kind.FAMILY_MEMORY)) == (2, 1)
    clock.pass_(100)
    assert live(ledger) == {}
    assert [ledger.count(kind) for kind in Kind] == [0] * len(Kind)


def test_what_was_known_of_a_refresh_token_is_told_when_it_is_exchanged(ledger: Ledger) -> None:
    ledger.granted("client", "a0", refresh_token="r0")
    one, other = ledger.sight_refresh("r0"), ledger.sight_refresh("r0")
    ledger.redeeming(Kind.REFRESH, one)
    first = ledger.granted("client", "a1", refresh_token="r1", parent=one, rotated=True)
    second = ledger.granted("client", "a2", refresh_token="r2", parent=other, rotated=True)
    assert first is not None
    assert second is not None
    assert first == one
    assert (second.entry.status, second.family.newest) == (Status.ROTATED, 1)
    unknown = ledger.sight_refresh("unknown")
    assert ledger.granted("client", "a3", refresh_token="r3", parent=unknown, rotated=True) == unknown
    assert ledger.granted("client", "a4", refresh_token="r4") is None


def test_a_record_that_turned_is_the_same_otherwise() -> None:
    assert turned(ENTRY, Status.ROTATED, 4.5) == ENTRY._replace(status=Status.ROTATED, changed_at=4.5)
    assert turned(ENTRY, Status.ISSUED, 4.5, flag=0) == ENTRY._replace(status=Status.ISSUED, changed_at=4.5, flag=0)
    assert turned(ENTRY, Status.ISSUED, 4.5, peer=NOTHING) == ENTRY._replace(status=0, changed_at=4.5, peer=NOTHING)


def test_a_change_within_a_change_is_refused_instead_of_blocking(tmp_path: Path) -> None:
    ledger = Ledger(HostStore(tmp_path / "ledger"))
    with pytest.raises(RuntimeError, match="within another one"):
        ledger._store.current.transact(lambda _, client: ledger.know_client(client), "client")
    ledger.know_client("another")
    assert (ledger.shared, ledger.count(Kind.CLIENT)) == (1, 1)
    ledger.close()


SECRETS = {name: f"raw-{name}-value-4711" for name in ("code", "client", "access", "refresh", "state", "host", "new")}


def test_no_raw_value_is_in_the_files_of_the_host_store(tmp_path: Path) -> None:
    ledger = Ledger(HostStore(tmp_path / "ledger"))
    s = SECRETS
    ledger.know_client(s["client"])
    ledger.issue_code(s["code"], s["client"], method="S256", redirect_host=s["host"])
    ledger.granted(s["client"], s["access"], refresh_token=s["refresh"], code=ledger.sight_code(s["code"]))
    ledger.granted(
        s["client"], s["new"], refresh_token=s["new"], parent=ledger.sight_refresh(s["refresh"]), rotated=True
    )
    ledger.issue_state(s["state"], verifier=True)
    ledger.consume_state(s["state"], s["code"])
    ledger.first(s["client"] + s["state"], 60)
    digest = ledger.digest(b"code", s["code"])
    ledger.close()
    files = {path.name: path.read_bytes() for path in (tmp_path / "ledger").iterdir()}
    assert set(files) == {"data.mdb", "lock.mdb", "key"}
    assert digest in files["data.mdb"]
    for content in files.values():
        for secret in s.values():
            assert secret.encode() not in content
            assert secret.encode()[:12] not in content


def test_digests_need_the_key() -> None:
    one, two = Ledger(MemoryStore()), Ledger(MemoryStore())
    assert one.digest(b"code", "value") == one.digest(b"code", "value")
    assert one.digest(b"code", "value") != two.digest(b"code", "value")
    assert one.digest(b"code", "value") != one.digest(b"token", "value")
    assert len(one.digest(b"code", "value")) == 16


# Both stores and a model ----------------------------------------------------------------------------------------------

TOKENS = st.sampled_from(["t1", "t2", "t3"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("issue"), TOKENS, st.integers(1, 50)),
        st.tuples(st.just("redeem"), TOKENS),
        st.tuples(st.just("provisional"), TOKENS),
        st.tuples(st.just("release"), TOKENS),
        st.tuples(st.just("rotate"), TOKENS, TOKENS),
        st.tuples(st.just("revoke"), TOKENS),
        st.tuples(st.just("state"), TOKENS, st.integers(1, 50)),
        st.tuples(st.just("consume"), TOKENS, TOKENS),
        st.tuples(st.just("drop"), TOKENS),
        st.tuples(st.just("wait"), st.integers(1, 40)),
        st.tuples(st.just("purge")),
    ),
    max_size=25,
)


def redeem(ledger: Ledger, token: str) -> None:
    code = ledger.sight_code(token)
    ledger.granted("client", "a" + token, expires_in=30, refresh_token=token, code=code)


def rotate(ledger: Ledger, old: str, new: str) -> Sighting:
    parent = ledger.sight_refresh(old)
    ledger.granted("client", "b" + new, refresh_token=new, parent=parent, rotated=True)
    return parent


VERBS: dict[str, Callable[..., object]] = {
    "issue": lambda ledger, token, seconds: ledger.issue_code(token, "client", method="S256", lifetime=seconds),
    "redeem": redeem,
    "provisional": lambda ledger, token: ledger.redeeming(Kind.CODE, ledger.sight_code(token)),
    "release": lambda ledger, token: ledger.release(Kind.CODE, ledger.sight_code(token)),
    "rotate": rotate,
    "revoke": Ledger.revoke,
    "state": lambda ledger, token, seconds: ledger.issue_state(token, verifier=True, lifetime=seconds),
    "consume": Ledger.consume_state,
    "drop": Ledger.drop_state,
    "purge": Ledger.purge,
}


def take(ledger: Ledger, step: Any) -> object:
    verb, *args = step
    return VERBS[verb](ledger, *args)


class Model:
    """What must be pending: states and codes with a verifier by expiry."""

    def __init__(self) -> None:
        self.pending = {}

    def take(self, step: Any, now: Any) -> Any:
        verb, *args = step
        if verb in ("issue", "state"):
            self.pending[verb, args[0]] = now + args[1]
        elif verb == "redeem":
            self.pending.pop(("issue", args[0]), None)
        elif verb in ("consume", "drop"):
            return self.pending.pop(("state", args[0]), None) is not None
        elif verb == "purge":
            gone = [key for key, until in self.pending.items() if until <= now]
            for key in gone:
                del self.pending[key]
            return len(gone)
        return NotImplemented


@settings(max_examples=40, deadline=None)
@given(STEPS)
def test_both_stores_and_the_model_agree_on_every_sequence_of_steps(steps: Any) -> None:
    now = 1_800_000_000.0
    with tempfile.TemporaryDirectory() as root, pytest.MonkeyPatch.context() as patch:
        patch.setattr("time.time", lambda: now)
        host, memory = HostStore(Path(root) / "ledger", 100), MemoryStore(100)
        memory.key = host.key
        ledgers, model = [Ledger(host), Ledger(memory)], Model()
        for step in steps:
            if step[0] == "wait":
                now += step[1]
                continue
            first, second = (take(ledger, step) for ledger in ledgers)
            assert first == second
            expected = model.take(step, now)
            assert expected is NotImplemented or first == expected
            for token in ("t1", "t2", "t3"):
                views = [
                    (ledger.sight_code(token), ledger.look_again(ledger.sight_code(token)), ledger.sight_state(token))
                    for ledger in ledgers
                ]
                assert views[0] == views[1]
            for kind in Kind:
                assert host.count(kind) == memory.count(kind)
            assert host.count(Kind.PKCE) == len(model.pending)
        host.close()


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_redis_and_memory_agree_on_every_sequence_of_steps(redis_server: RedisServer, steps: Any) -> None:
    now = 1_800_000_000.0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("time.time", lambda: now)
        service = str(uuid.uuid4())
        stores = [RedisStore(redis_server.address, service, size=100, wait=5) for _ in range(2)]
        counts = [store.count(Kind.CLIENT) for store in stores]
        memory = MemoryStore(100)
        memory.key = stores[0].key
        hosts, reference = [Ledger(store) for store in stores], Ledger(memory)
        for number, step in enumerate(steps):
            if step[0] == "wait":
                now += step[1]
                continue
            assert take(hosts[number % 2], step) == take(reference, step)
            for token in ("t1", "t2", "t3"):
                expected = reference.sight_code(token), reference.sight_state(token)
                assert [(ledger.sight_code(token), ledger.sight_state(token)) for ledger in hosts] == [expected] * 2
                assert hosts[number % 2].sight_refresh(token) == reference.sight_refresh(token)
            assert [stores[0].count(kind) for kind in Kind] == [memory.count(kind) for kind in Kind]
        assert counts == [0, 0]
        for ledger in hosts:
            ledger.close()


def test_a_redemption_that_never_ended_is_given_up_after_a_minute(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.issue_code("code", "client")
    ledger.redeeming(Kind.CODE, ledger.sight_code("code"))
    assert ledger.sight_code("code").entry.status == Status.REDEEMING
    later = time.time() + 61
    monkeypatch.setattr(time, "time", lambda: later)
    assert ledger.sight_code("code").entry.status == Status.ISSUED
    ledger.redeeming(Kind.CODE, ledger.sight_code("code"))
    assert ledger.sight_code("code").entry.status == Status.REDEEMING
