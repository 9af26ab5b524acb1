"""The ledger: its verbs are issue, look up, redeem, rotate, revoke, drop; on whichever store is in force."""

from __future__ import annotations

from otel_oauth.ledger._grants import Grants
from otel_oauth.ledger._states import States


class Ledger(Grants, States):
    """What this service issued, and what became of it.

    :param store: where records live; memory takes its place, with a line in the log, when it fails.
    :param refresh_lifetime: seconds that a refresh token is taken to live, as servers rarely say it.
    :param on_loss: called each time that memory takes the place of the store.
    """
