"""What a store holds for one digest: a small record, the same for every store, with one packed form of each kind.

Each record begins with the time until which it is kept. Where the records of a kind are counted a second time, while
something is true of them (:data:`COUNTED`), what tells it comes next.

The stores hold plain tuples, whose places have names here; :class:`Entry`, :class:`Family` and :class:`Mark` are the
same tuples with names of their own. To make one of those takes several times as long, so it is done where a record
leaves the ledger.
"""

from __future__ import annotations

from enum import IntEnum
from struct import Struct
from typing import Any, NamedTuple

Record = tuple[Any, ...]
"""What a store holds: the fields of an :class:`Entry`, a :class:`Family` or a :class:`Mark`."""

NO_DIGEST = b"\0" * 16
NO_SPAN_ID = b"\0" * 8


class Kind(IntEnum):
    """The partitions. The first four remember for verdicts; ``LIVE_`` and ``PKCE`` only count records of another."""

    CODE = 0
    REFRESH = 1
    STATE = 2
    FAMILY_MEMORY = 3
    AUTHORIZATION = 4
    ACCESS = 5
    LIVE_REFRESH = 6
    LIVE_FAMILY = 7
    FLOW = 8
    PKCE = 9
    CLIENT = 10


PARTITION = {
    Kind.CODE: "code",
    Kind.REFRESH: "refresh",
    Kind.STATE: "state",
    Kind.FAMILY_MEMORY: "family",
    Kind.AUTHORIZATION: "authorization",
    Kind.ACCESS: "access",
    Kind.LIVE_REFRESH: "refresh",
    Kind.LIVE_FAMILY: "family",
    Kind.FLOW: "flow",
    Kind.PKCE: "pkce",
    Kind.CLIENT: "client",
}
"""The ``partition`` label of each kind."""


class Status:
    """The life of a code, a refresh token or a state, as the plain numbers that come back from any store."""

    ISSUED = 0
    REDEEMING = 1
    REDEEMED = 2
    ROTATED = 3
    REVOKED = 4
    DROPPED = 5


# To look a member up in its enumeration is a call in Python, and takes as long as a look-up in the store.
CODE, REFRESH, STATE, FAMILY, AUTHORIZATION, ACCESS, LIVE_REFRESH, LIVE_FAMILY, FLOW, PKCE, CLIENT = Kind

ISSUED, REDEEMING, REDEEMED = Status.ISSUED, Status.REDEEMING, Status.REDEEMED
ROTATED, REVOKED, DROPPED = Status.ROTATED, Status.REVOKED, Status.DROPPED
ALIVE = (ISSUED, REDEEMING)

UNTIL, STATUS, CHANGED_AT, FLAG, METHOD, GENERATION, ISSUED_AT, EXPIRES_AT, OWNER, GRANT, PEER = range(11)
"""The places of an :class:`Entry`; the first two are the same in each record that has a status."""

NEWEST, PRESENTED, CRITICAL_AT = range(2, 5)
"""The places of a :class:`Family` behind its status."""

VERIFIER, DIGEST = 1, 2
"""The places of a :class:`Mark` behind its time."""

new = tuple.__new__
"""Gives the fields of a record their names: in half of the time that its class takes."""


class Entry(NamedTuple):
    """The record of a code, a refresh token or a state. Times are seconds since the epoch.

    Digests are 16 keyed bytes, zero where not known. ``method`` is 0 for no challenge, 1 plain, 2 S256 (for a state:
    1 with a verifier). ``generation`` counts rotations within the family. For a state ``flag`` tells whether it came
    back without being accepted, for a refresh token whether it was accepted although it had been revoked. ``owner``
    is the client (server side) or the session (client side), ``peer`` the other token of a pair or the code that a
    state was consumed with, ``place`` the host of the redirect URI.
    """

    kept_until: float = 0.0
    status: int = ISSUED
    changed_at: float = 0.0
    flag: int = 0
    method: int = 0
    generation: int = 0
    issued_at: float = 0.0
    expires_at: float = 0.0
    owner: bytes = NO_DIGEST
    family: bytes = NO_DIGEST
    peer: bytes = NO_DIGEST
    place: bytes = NO_DIGEST
    trace_id: bytes = NO_DIGEST
    span_id: bytes = NO_SPAN_ID


class Family(NamedTuple):
    """What is remembered of a grant: its newest generation, whether that was presented, the last critical verdict.

    ``status`` is revoked while none of its refresh tokens is alive.
    """

    kept_until: float = 0.0
    status: int = ISSUED
    newest: int = 0
    newest_presented: bool = False
    critical_at: float = 0.0


class Mark(NamedTuple):
    """The record of what only has to be there: an access token, a login that did not come back yet, a client.

    Of an access token ``digest`` is its client's, of a login that of its state, zero if it is known by its code.
    ``verifier`` tells whether a login has one.
    """

    kept_until: float
    verifier: bool = False
    digest: bytes = NO_DIGEST


_ENTRY = Struct(">dBdBBIdd16s16s16s16s16s8s")
_MARK = Struct(">d?16s")
_FORMS: dict[Kind, Struct] = {
    CODE: _ENTRY,
    REFRESH: _ENTRY,
    STATE: _ENTRY,
    FAMILY: Struct(">dBI?d"),
    AUTHORIZATION: _MARK,
    ACCESS: _MARK,
    LIVE_REFRESH: _MARK,
    LIVE_FAMILY: _MARK,
    FLOW: _MARK,
    PKCE: _MARK,
    CLIENT: _MARK,
}
"""The packed form of the records of each kind: its first eight bytes order records by the time they are kept until."""

_ALIVE = tuple(int(status in ALIVE) for status in range(DROPPED + 1))

COUNTED: dict[Kind, tuple[Kind, tuple[int, ...]]] = {
    REFRESH: (LIVE_REFRESH, _ALIVE),
    FAMILY: (LIVE_FAMILY, _ALIVE),
    FLOW: (PKCE, (0, 1)),
}
"""As which kind the records of a kind are counted besides, and for which values of their second field."""


def turned(entry: Record, status: int, changed_at: float, flag: int | None = None, peer: bytes = b"") -> Record:
    """Return the record of an entry with another status, and perhaps another flag or peer."""
    # On the way of each request: field by field takes half as long as slices, a fifth of what ``_replace`` takes.
    until, _, _, flagged, method, number, issued, expires, owner, grant, paired, place, trace, span = entry
    if flag is not None:
        flagged = flag
    if peer:
        paired = peer
    return until, status, changed_at, flagged, method, number, issued, expires, owner, grant, paired, place, trace, span


def packed(kind: Kind, record: Record) -> bytes:
    """Return the bytes of a record."""
    return _FORMS[kind].pack(*record)


def unpacked(kind: Kind, data: bytes | memoryview) -> Record:
    """Read a record; raises ``struct.error`` if the bytes are not one."""
    return _FORMS[kind].unpack(data)


def counted_as(kind: Kind, record: Record) -> tuple[Kind, ...]:
    """Return the kinds that a record counts as: its own, and perhaps another."""
    besides, values = COUNTED.get(kind, (kind, ()))
    return (kind, besides) if values and values[record[1]] else (kind,)
