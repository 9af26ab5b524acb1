"""States at the client."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from opentelemetry.trace import INVALID_SPAN_CONTEXT

from otel_oauth.ledger._base import MEMORY_SECONDS, NO_FAMILY, LedgerBase, Sighting, end_flow
from otel_oauth.ledger._entry import (
    CHANGED_AT,
    DROPPED,
    FLAG,
    FLOW,
    ISSUED,
    NO_DIGEST,
    REDEEMED,
    STATE,
    STATUS,
    new,
    turned,
)

if TYPE_CHECKING:
    from opentelemetry.trace import SpanContext

    from otel_oauth.ledger._entry import Entry, Record
    from otel_oauth.ledger._store import Transaction


class States(LedgerBase):
    """States that were handed out, came back, or were dropped."""

    # States (client) ----------------------------------------------------------------------------------------

    def issue_state(
        self, state: str, *, verifier: bool, lifetime: float = 3600.0, span: SpanContext = INVALID_SPAN_CONTEXT
    ) -> bytes:
        """Remember a state that was handed out, with or without a code verifier; return its digest."""
        now = time.time()
        digest = self.digest(b"state", state)
        until, none = now + lifetime, NO_DIGEST
        kept, trace, span_id = (
            until + MEMORY_SECONDS,
            span.trace_id.to_bytes(16, "big"),
            span.span_id.to_bytes(8, "big"),
        )
        entry = kept, ISSUED, 0.0, 0, int(verifier), 0, now, until, none, none, none, none, trace, span_id
        # A flow that runs out is looked up by its state: whether it ever came back.
        self._store.transact(_issue, (digest, entry, (until, verifier, digest)))
        return digest

    def sight_state(self, state: str | Sighting) -> Sighting:
        """Return what is known of a presented state, now if it was sighted before; changes nothing."""
        digest = self.digest(b"state", state) if isinstance(state, str) else state.digest
        return new(Sighting, (digest, self._get(STATE, digest), NO_FAMILY))

    def consume_state(self, state: str | Sighting, code: str | bytes = "") -> bool:
        """Mark a state as used, with the code (or its digest) that came with it; tell whether its PKCE was pending."""
        return self._end_state(state, REDEEMED, self.digest(b"code", code) if isinstance(code, str) else code)

    def drop_state(self, state: str | Sighting) -> bool:
        """Mark a state as dropped unused; tell whether its PKCE state was still pending."""
        return self._end_state(state, DROPPED, NO_DIGEST)

    def came_back(self, state: str | Sighting) -> None:
        """Remember that a pending state came back without being accepted: its login is not abandoned."""
        self._store.transact(_came_back, self.digest(b"state", state) if isinstance(state, str) else state.digest)

    def abandoned(self) -> list[Entry]:
        """Return the states that the last :meth:`purge` found run out and that never came back, once."""
        digests, self._ran_out = self._ran_out, []
        found = [self._get(STATE, digest) for digest in digests]
        return [entry for entry in found if entry is not None and entry.status == ISSUED and not entry.flag]

    def _end_state(self, state: str | Sighting, status: int, peer: bytes) -> bool:
        digest = self.digest(b"state", state) if isinstance(state, str) else state.digest
        return self._store.transact(_end, (digest, status, time.time(), peer))


def _issue(txn: Transaction, about: tuple[bytes, Record, Record]) -> None:
    digest, entry, flow = about
    txn.put(STATE, digest, entry)
    txn.put(FLOW, digest, flow)


def _came_back(txn: Transaction, digest: bytes) -> None:
    entry = txn.get(STATE, digest)
    if entry is not None and entry[STATUS] == ISSUED and not entry[FLAG]:
        txn.put(STATE, digest, turned(entry, ISSUED, entry[CHANGED_AT], flag=1))


def _end(txn: Transaction, about: tuple[bytes, int, float, bytes]) -> bool:
    digest, status, now, peer = about
    entry = txn.get(STATE, digest)
    if entry is not None and entry[STATUS] == ISSUED:
        txn.put(STATE, digest, turned(entry, status, now, peer=peer))
    return end_flow(txn, digest)
