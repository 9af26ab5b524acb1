"""What a store holds for one digest: a fixed packed record, so that every store and every worker reads the same."""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import NamedTuple

_NO_DIGEST = b"\0" * 16
_RECORD = struct.Struct("<BBBxIddd16s16s16s16s16s8s")


class Kind(IntEnum):
    """The partitions. The first three remember for verdicts, the others count what is alive now."""

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


class Status(IntEnum):
    """The life of a code, a refresh token or a state."""

    ISSUED = 0
    REDEEMING = 1
    REDEEMED = 2
    ROTATED = 3
    REVOKED = 4
    DROPPED = 5


class Entry(NamedTuple):
    """The record of one digest. Times are seconds since the epoch; digests are 16 keyed bytes, zero where not known.

    ``method`` is 0 for no challenge, 1 plain, 2 S256 (for a state: 1 with a verifier). ``generation`` counts
    rotations within the family. For a state ``flag`` tells whether it came back without being accepted, for a
    refresh token whether it was accepted although it had been revoked. For a family's memory ``generation`` is
    the newest one, ``flag`` tells whether that one was presented yet, ``issued_at`` is the time of the last
    critical verdict and ``changed_at`` that of the last rotation. ``owner`` is the client (server side) or the
    session (client side), ``peer`` the other token of a pair or the code that a state was consumed with,
    ``place`` the host of the redirect URI.
    """

    status: int = Status.ISSUED
    method: int = 0
    flag: int = 0
    generation: int = 0
    issued_at: float = 0.0
    expires_at: float = 0.0
    changed_at: float = 0.0
    owner: bytes = _NO_DIGEST
    family: bytes = _NO_DIGEST
    peer: bytes = _NO_DIGEST
    place: bytes = _NO_DIGEST
    trace_id: bytes = _NO_DIGEST
    span_id: bytes = b"\0" * 8

    def pack(self) -> bytes:
        """Return the record's bytes."""
        return _RECORD.pack(*self)

    @classmethod
    def unpack(cls, data: bytes) -> Entry:
        """Read a record; raises ``struct.error`` if the bytes are not one."""
        return cls._make(_RECORD.unpack(data))
