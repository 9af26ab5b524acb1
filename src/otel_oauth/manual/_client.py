"""The client's side, told by hand."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from otel_oauth import cases, flows, judge, kinds, vocabulary
from otel_oauth.judge import StatePresented
from otel_oauth.ledger import OWN, Status
from otel_oauth.manual._recorded import Recorded, Request, choice, provider_label
from otel_oauth.vocabulary import CLIENT_ERROR, SERVER_ERROR

if TYPE_CHECKING:
    from otel_oauth.ledger import Entry, Sighting
    from otel_oauth.telemetry import Telemetry

CALLS = {
    "token": kinds.TOKEN,
    "refresh": kinds.REFRESH,
    "revoke": kinds.REVOKE,
    "introspect": kinds.INTROSPECT,
    "userinfo": kinds.USERINFO,
    "discovery": kinds.DISCOVER,
    "jwks": kinds.JWKS,
    "registration": kinds.REGISTER,
    "api": kinds.API,
}
_POLLING = frozenset(("authorization_pending", "slow_down", "expired_token"))
_API_REFUSALS = frozenset((401, 403))


class FlowStart(Recorded):
    """The start of a login: a user is sent to the provider (RFC 6749 section 4.1.1)."""

    def __init__(self, provider: str, telemetry: Telemetry | None) -> None:
        super().__init__(kinds.AUTHORIZE, telemetry)
        self._operation.facts["provider"] = provider_label(self._telemetry, provider)

    def state_stored(self, state: str, *, verifier: bool = False, lifetime: float = 3600.0) -> None:
        """Say that a state was stored for the callback; only its keyed digest is remembered.

        With a code ``verifier`` (RFC 7636) ``oauth_pkce_states_created_total`` moves, and the state is
        pending in ``oauth_active_pkce_states`` until the callback or for ``lifetime`` seconds.
        """
        self._tell(self._state_stored, state, verifier=verifier, lifetime=lifetime)

    def _state_stored(self, state: str, *, verifier: bool, lifetime: float) -> None:
        flows.initiated(self._operation, state, verifier=verifier, seconds=lifetime)


class Callback(Request):
    """The redirect back from the provider, until its tokens are stored (RFC 6749 section 4.1.2)."""

    def __init__(self, provider: str, client_id: str, telemetry: Telemetry | None) -> None:
        super().__init__(kinds.CALLBACK, telemetry)
        self._operation.facts["provider"] = provider_label(self._telemetry, provider)
        label = self._telemetry.guard.run("manual", self._telemetry.client, client_id)
        self._operation.facts["client_id"] = label
        self._refused = False

    def state_accepted(self, state: str, *, code: str = "") -> None:
        """Say that the session held this state: the flow's start is found by it, and the spans linked.

        A state stored with a verifier moves ``oauth_pkce_validations_total{success,valid}``.
        """
        self._tell(self._state_accepted, state, code)

    def _state_accepted(self, state: str, code: str) -> None:
        ledger = self._telemetry.ledger
        sighting = ledger.sight_state(state)
        entry = sighting.entry
        self._note(sighting, ledger.digest(b"code", code) if code else b"")
        ledger.consume_state(state, code)
        if entry is not None:
            self._operation.facts["pkce_ok"] = bool(entry.method)
            self._time(entry)

    def state_refused(self, state: str, *, code: str = "", session_empty: bool = False) -> None:
        """Say that the session did not hold this state, or held it too long: the ledger gives the verdict.

        :param code: the code that came with it, to tell a reload from a replay.
        :param session_empty: the session holds nothing at all (a lost cookie, not a foreign login).
        """
        self._tell(self._state_refused, state, code, session_empty=session_empty)

    def _state_refused(self, state: str, code: str, *, session_empty: bool) -> None:
        ledger = self._telemetry.ledger
        sighting = ledger.sight_state(state)
        presented = StatePresented(sighting, ledger.digest(b"code", code), session_empty=session_empty)
        self._note(sighting, presented.code if code else b"")
        case = judge.state(presented)
        self._refuse(case, sighting.entry)
        ledger.came_back(state)
        if case is cases.STATE_EXPIRED:
            self._operation.facts["pending"] = ledger.drop_state(state)

    def provider_refused(self, error: str, *, state: str = "") -> None:
        """Say that the provider answered with an error (RFC 6749 section 4.1.2.1).

        ``access_denied`` and the like are the user's choice and no failure of the flow.
        """
        self._tell(self._provider_refused, error, state)

    def _provider_refused(self, error: str, state: str) -> None:
        self._operation.facts["error"] = vocabulary.rfc_error(error)
        entry = self._telemetry.ledger.sight_state(state).entry if state else None
        self._telemetry.ledger.came_back(state)
        if error in vocabulary.CANCELLED_ERRORS:
            self._refuse(cases.CALLBACK_CANCELLED, entry)
            self._operation.facts["outcome"] = "cancelled"
        else:
            self._refuse(cases.CALLBACK_ERROR, entry)

    def _refuse(self, case: cases.Case, entry: Entry | None) -> None:
        self._refused = True
        self._operation.judge(case)
        if entry is None:
            return
        self._operation.facts["verifier"] = bool(entry.method)
        if case.facts.get("flow"):
            self._time(entry)

    def _note(self, state: Sighting, code: bytes) -> None:
        self._operation.facts["state"], self._operation.facts["code"] = state.digest, code

    def _time(self, entry: Entry) -> None:
        self._operation.link(entry)
        if entry.status == Status.ISSUED:
            facts = self._operation.facts
            facts["flow_timed"] = True
            facts["flow_seconds"] = facts["user_seconds"] = max(0.0, time.time() - entry.issued_at)
            self._operation.local = time.perf_counter()

    def _settle(self, error: BaseException | None) -> None:
        facts, case = self._operation.facts, self._operation.case
        failed = self._refused or error is not None or (case is not None and case.facts.get("status") == "failure")
        facts["status"] = "failure" if failed else "success"
        facts["handled"] = "false" if failed else "true"
        facts["flow"] = not self._refused
        began, waited = self._operation.local, facts.get("flow_seconds")
        if isinstance(began, float) and isinstance(waited, float):
            machine = facts["machine_seconds"] = time.perf_counter() - began
            facts["flow_seconds"] = waited + machine


class ProviderCall(Recorded):
    """A request of the client to its provider."""

    def __init__(self, provider: str, operation: str, telemetry: Telemetry | None, **facts: object) -> None:
        kind = CALLS[choice("an operation of a provider", operation, CALLS)]
        super().__init__(kind, telemetry, called=bool(provider), **facts)
        if provider:
            self._operation.facts["provider"] = provider_label(self._telemetry, provider)
        self._status: int | None = None
        self._error = ""
        self._reason = ""
        self._parent: Sighting | None = None

    def answered(self, status: int, error: str = "") -> None:
        """Say which HTTP status came, and the error code of an OAuth error response (RFC 6749 section 5.2).

        Without this a block that ends normally counts as 200, and one that an exception leaves as ``0``: no
        response.
        """
        self._tell(self._answered, status, error)

    def _answered(self, status: int, error: str) -> None:
        self._status = int(status)
        if error:
            self._error = self._operation.facts["error"] = vocabulary.rfc_error(error)

    def invalid_response(self) -> None:
        """Say that the body could not be understood: the error type is ``invalid_response``."""
        self._operation.facts["provider_error"] = "invalid_response"

    def tokens_received(
        self, access_token: str, *, expires_in: float | None = None, refresh_token: str | None = None
    ) -> None:
        """Say which tokens came: they count as active until they expire. Their keyed digests are remembered.

        :param expires_in: the lifetime in seconds; without it a token counts for 24 hours.
        """
        self._tell(self._tokens_received, access_token, expires_in, refresh_token)

    def _tokens_received(self, access_token: str, expires_in: float | None, refresh_token: str | None) -> None:
        self._telemetry.ledger.granted(
            "",
            access_token,
            expires_in=expires_in,
            refresh_token=refresh_token,
            parent=self._parent,
            rotated=refresh_token is not None,
            space=OWN,
        )

    def token_presented(self, refresh_token: str) -> None:
        """Say which refresh token goes out: one that was exchanged before is told when it is refused."""
        self._tell(self._token_presented, refresh_token)

    def _token_presented(self, refresh_token: str) -> None:
        self._parent = self._telemetry.ledger.sight_refresh(refresh_token, OWN)
        self._operation.facts["family"] = self._parent.grant

    def token_replaced(self, access_token: str, *, refresh_token: str | None = None) -> None:
        """Say which tokens are out of use now, after a refresh or a revocation."""
        self._tell(self._token_replaced, access_token, refresh_token)

    def _token_replaced(self, access_token: str, refresh_token: str | None) -> None:
        self._telemetry.ledger.retire(access_token)
        if refresh_token is not None:
            self._telemetry.ledger.revoke(refresh_token, OWN)

    def no_refresh_token(self) -> None:
        """Say that there was nothing to refresh with: no request went out, the refresh failed."""
        self._operation.facts["called"] = False
        self._reason = "no_refresh_token"

    def _settle(self, error: BaseException | None) -> None:
        facts = self._operation.facts
        if facts["called"] or self._status is not None:
            facts["http_status"] = self._http_status(error)
            kind_of_error = self._provider_error(error)
            if kind_of_error:
                facts.setdefault("provider_error", kind_of_error)
        refused = self._status is not None and self._status >= CLIENT_ERROR
        failed = bool(error is not None or refused or facts.get("provider_error") or self._reason)
        facts["status"] = "failure" if failed else "success"
        if self._operation.kind is kinds.REFRESH:
            facts["refresh"] = "failure" if failed else "success"
            facts["reason"] = self._refresh_reason(failed=failed)
            facts["reauthorize"] = facts["reason"] in ("no_record", "no_refresh_token", "reuse_detected")
        if self._operation.kind is kinds.REVOKE and not failed:
            facts["revoked"] = "manual"
        if not facts["called"]:
            facts["provider_error"] = False

    def _http_status(self, error: BaseException | None) -> str:
        if self._status is not None:
            return str(self._status)
        return "200" if error is None else "0"

    def _provider_error(self, error: BaseException | None) -> str:
        status = self._status
        if status is None:
            if error is None:
                return ""
            timed_out = isinstance(error, TimeoutError) or "timeout" in type(error).__name__.lower()
            return "timeout" if timed_out else "network"
        if status >= SERVER_ERROR:
            return "server_error"
        if self._operation.kind is kinds.API:
            return "client_error" if status in _API_REFUSALS else ""
        refused = status >= CLIENT_ERROR or bool(self._error)
        return "client_error" if refused and self._error not in _POLLING else ""

    def _refresh_reason(self, *, failed: bool) -> str:
        if self._reason or not failed:
            return self._reason or "normal"
        if self._error == "invalid_grant":
            entry = None if self._parent is None else self._parent.entry
            return "reuse_detected" if entry is not None and entry.status == Status.ROTATED else "no_record"
        oauth_refusal = self._error and self._operation.facts.get("provider_error") == "client_error"
        return "normal" if oauth_refusal else "exception"
