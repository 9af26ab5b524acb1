"""States at the client."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from otel_oauth.ledger._base import MEMORY_SECONDS, NO_SPAN, LedgerBase, Sighting, SpanIds, end_flow
from otel_oauth.ledger._entry import DROPPED, FLOW, ISSUED, NO_DIGEST, REDEEMED, STATE, Entry, Mark, new

if TYPE_CHECKING:
    from otel_oauth.ledger._entry import Status
    from otel_oauth.ledger._store import Transaction


class States(LedgerBase):
    """States that were handed out, came back, or were dropped."""

    # States (client) ----------------------------------------------------------------------------------------

    def issue_state(self, state: str, *, verifier: bool, lifetime: float = 3600.0, span: SpanIds = NO_SPAN) -> None:
        """Remember a state that was handed out, with or without a code verifier."""
        now = time.time()
        digest = self.digest(b"state", state)
        until = now + lifetime
        entry = Entry(
            kept_until=until + MEMORY_SECONDS,
            method=int(verifier),
            issued_at=now,
            expires_at=until,
            trace_id=span.trace_id.to_bytes(16, "big"),
            span_id=span.span_id.to_bytes(8, "big"),
        )

        def change(txn: Transaction) -> None:
            txn.put(STATE, digest, entry)
            # A flow that runs out is looked up by its state: whether it ever came back.
            txn.put(FLOW, digest, new(Mark, (until, verifier, digest)))

        self._store.transact(change)

    def sight_state(self, state: str | Sighting) -> Sighting:
        """Return what is known of a presented state, now if it was sighted before; changes nothing."""
        digest = self.digest(b"state", state) if isinstance(state, str) else state.digest
        return Sighting(digest, self._get(STATE, digest))

    def consume_state(self, state: str | Sighting, code: str | bytes = "") -> bool:
        """Mark a state as used, with the code (or its digest) that came with it; tell whether its PKCE was pending."""
        return self._end_state(state, REDEEMED, self.digest(b"code", code) if isinstance(code, str) else code)

    def drop_state(self, state: str | Sighting) -> bool:
        """Mark a state as dropped unused; tell whether its PKCE state was still pending."""
        return self._end_state(state, DROPPED, NO_DIGEST)

    def came_back(self, state: str | Sighting) -> None:
        """Remember that a pending state came back without being accepted: its login is not abandoned."""
        digest = self.digest(b"state", state) if isinstance(state, str) else state.digest

        def change(txn: Transaction) -> None:
            entry = txn.get(STATE, digest)
            if entry is not None and entry.status == ISSUED and not entry.flag:
                txn.put(STATE, digest, entry._replace(flag=1))

        self._store.transact(change)

    def abandoned(self) -> list[Entry]:
        """Return the states that the last :meth:`purge` found run out and that never came back, once."""
        digests, self._ran_out = self._ran_out, []
        found = [self._get(STATE, digest) for digest in digests]
        return [entry for entry in found if entry is not None and entry.status == ISSUED and not entry.flag]

    def _end_state(self, state: str | Sighting, status: Status, peer: bytes) -> bool:
        digest = self.digest(b"state", state) if isinstance(state, str) else state.digest
        now = time.time()

        def change(txn: Transaction) -> bool:
            entry = txn.get(STATE, digest)
            if entry is not None and entry.status == ISSUED:
                txn.put(STATE, digest, entry._replace(status=status, changed_at=now, peer=peer))
            return end_flow(txn, digest)

        return self._store.transact(change)
