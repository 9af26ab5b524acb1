"""The authorization server's side, told by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_oauth import judge, kinds, settle, vocabulary
from otel_oauth.catalogue import ENDPOINTS, OTHER, UNKNOWN
from otel_oauth.judge import CodePresented, RefreshPresented
from otel_oauth.ledger import Kind
from otel_oauth.manual._recorded import Request, choice
from otel_oauth.settle import IssuedTokens
from otel_oauth.vocabulary import CLIENT_ERROR, SERVER_ERROR

if TYPE_CHECKING:
    from otel_oauth.telemetry import Telemetry

_PKCE_OUTCOMES = ("unchecked", "matched", "mismatch", "malformed", "missing", "required", "downgrade")


class Endpoint(Request):
    """One HTTP request to an OAuth endpoint of an authorization server."""

    def __init__(self, name: str, method: str, grant_type: str, telemetry: Telemetry | None) -> None:
        choice("an endpoint", name, ENDPOINTS)
        super().__init__(kinds.ENDPOINT, telemetry, endpoint=name, method=method, client_id=UNKNOWN)
        facts = self._operation.facts
        if grant_type:
            facts["grant_type"] = vocabulary.grant_type(grant_type)
        facts["registration"] = name == "registration" and method == "POST"
        self._client_id = ""
        self._authenticated = False
        self._code: CodePresented | None = None
        self._refresh = RefreshPresented() if grant_type == "refresh_token" else None
        self._tokens = IssuedTokens()
        self._status: int | None = None
        self._error = ""

    # Who asks, and what is answered -------------------------------------------------------------------------

    def client(self, client_id: str, *, known: bool = True, authenticated: bool = False) -> None:
        """Say which client asks (RFC 6749 section 2.3); an id that is not known is recorded as ``unknown``.

        :param authenticated: it proved who it is, so not a public client.
        """
        self._tell(self._client, client_id, known=known, authenticated=authenticated)

    def _client(self, client_id: str, *, known: bool, authenticated: bool) -> None:
        self._operation.facts["client_id"] = self._telemetry.client(client_id, known=known)
        if known:
            self._client_id, self._authenticated = client_id, authenticated
            self._telemetry.ledger.know_client(client_id)

    def answered(self, status: int, error: str = "") -> None:
        """Say the HTTP status of the answer and its error code; unsaid it is 200, or 500 after an exception.

        429 also moves ``oauth_rate_limit_exceeded{endpoint}``, the error ``slow_down`` (RFC 8628)
        ``{device}``.
        """
        self._tell(self._answered, status, error)

    def _answered(self, status: int, error: str) -> None:
        self._status = int(status)
        if error:
            self._error = self._operation.facts["error"] = vocabulary.rfc_error(error)

    def rate_limited(self, limiter_type: str) -> None:
        """Say which limiter refused: ``ip``, ``user``, ``client_registration``, ``endpoint``, ``device``."""
        self._operation.facts["limiter"] = limiter_type

    # Authorization endpoint ---------------------------------------------------------------------------------

    def authorization_started(self, *, state: str = "", nonce: str = "", code_challenge: str = "") -> None:
        """Say that a valid authorization request came: ``oauth_authorization_started``.

        Consent page and answer of one authorization count once, told by the digest of client and parameters.
        """
        self._tell(self._authorization_started, state, nonce, code_challenge)

    def _authorization_started(self, state: str, nonce: str, challenge: str) -> None:
        settle.authorization_started(self._operation, self._client_id, state, nonce, challenge)

    def code_issued(
        self, code: str, *, challenge_method: str = "none", redirect_uri: str = "", lifetime: float = 600.0
    ) -> None:
        """Say that an authorization code was stored; its keyed digest is remembered.

        :param challenge_method: ``S256``, ``plain`` or ``none`` (RFC 7636 section 4.3).
        :param lifetime: seconds.
        """
        self._tell(self._code_issued, code, challenge_method, redirect_uri, lifetime)

    def _code_issued(self, code: str, method: str, redirect_uri: str, lifetime: float) -> None:
        settle.code_issued(
            self._operation, code, self._client_id, method=method, redirect_uri=redirect_uri, lifetime=lifetime
        )

    # Token endpoint -----------------------------------------------------------------------------------------

    def code_presented(
        self, code: str, *, found: bool, verifier: bool = False, pkce: str = "unchecked", redirect_refused: str = ""
    ) -> None:
        """Say that a code was presented (RFC 6749 section 4.1.3); the block's end makes the verdict.

        :param found: the store returned it as valid for this client.
        :param verifier: the request had a ``code_verifier``.
        :param pkce: how the check of RFC 7636 section 4.6 ended: ``unchecked``, ``matched``, ``mismatch``,
            ``malformed``, ``missing`` (no verifier for a challenge), ``required`` (neither), ``downgrade``
            (verifier without challenge).
        :param redirect_refused: the ``redirect_uri``, if it was refused because it differs from the
            authorization's.
        :raises ValueError: if ``pkce`` is none of these.
        """
        choice("an outcome of the PKCE check", pkce, _PKCE_OUTCOMES)
        self._tell(self._code_presented, code, found=found, verifier=verifier, pkce=pkce, refused=redirect_refused)

    def _code_presented(self, code: str, *, found: bool, verifier: bool, pkce: str, refused: str) -> None:
        ledger = self._telemetry.ledger
        sighting = ledger.sight_code(code)
        presented = CodePresented(sighting, self._client_id, authenticated=self._authenticated, found=found, pkce=pkce)
        if refused and sighting.entry is not None:
            differs = ledger.digest(b"host", settle.host_of(refused)) != sighting.entry.place
            presented.redirect = "host" if differs else "other"
        self._code = presented
        facts = self._operation.facts
        facts["verifier"] = verifier
        if found:
            ledger.redeeming(Kind.CODE, sighting)

    def refresh_presented(self, token: str, *, found: bool) -> None:
        """Say that a refresh token was presented (RFC 6749 section 6); the block's end makes the verdict.

        A refresh request without a token is told by ``grant_type="refresh_token"`` of the endpoint alone.

        :param found: the store returned it as valid.
        """
        self._tell(self._refresh_presented, token, found=found)

    def _refresh_presented(self, token: str, *, found: bool) -> None:
        ledger = self._telemetry.ledger
        sighting = ledger.sight_refresh(token)
        self._refresh = RefreshPresented(sighting, self._client_id, found=found)
        if found:
            ledger.redeeming(Kind.REFRESH, sighting)

    def tokens_issued(
        self, access_token: str, *, expires_in: float | None = None, refresh_token: str | None = None
    ) -> None:
        """Say which tokens go out: digested when the block ends, if the answer is no error, then forgotten.

        :param expires_in: the lifetime in seconds; without it a token counts as active for 24 hours.
        :param refresh_token: a new refresh token; after a refresh it means that the presented one was
            rotated.
        """
        self._tokens = IssuedTokens(self._client_id, access_token, expires_in, refresh_token)

    # Revocation and registration ----------------------------------------------------------------------------

    def token_revoked(self, token: str, *, reason: str = "manual") -> None:
        """Say that a token was really revoked (RFC 7009); an unknown one gets 200 too and is not told.

        :param reason: ``manual``, ``expired`` (its lifetime was over), ``security``, ``reuse_detected``.
        """
        self._tell(self._token_revoked, token, reason)

    def _token_revoked(self, token: str, reason: str) -> None:
        self._operation.facts["revoked"] = reason
        self._telemetry.ledger.revoke(token)

    def client_registered(self, client_id: str, *, public: bool = False) -> None:
        """Say that a client was registered (RFC 7591): ``oauth_client_registered``."""
        self._tell(self._client_registered, client_id, public=public)

    def _client_registered(self, client_id: str, *, public: bool) -> None:
        self._client(client_id, known=True, authenticated=False)
        self._operation.facts["client_type"] = "public" if public else "confidential"

    # What the request came to -------------------------------------------------------------------------------

    def _settle(self, error: BaseException | None) -> None:
        facts = self._operation.facts
        status = self._status
        if status is None:
            status = 200 if error is None else SERVER_ERROR
        nothing_sent = self._status is None and error is not None and not isinstance(error, Exception)
        settle.answered(self._operation, status)
        if nothing_sent:
            facts["http_status"] = OTHER
        if status >= CLIENT_ERROR:
            facts["revoked"] = facts["client_type"] = False
        tokens, self._tokens = self._tokens, IssuedTokens(self._client_id)
        if self._code is not None:
            settle.code(self._operation, self._code, tokens, status, judge.challenge_method(self._code.sighting))
        elif self._refresh is not None:
            self._refresh.error = self._error or ("invalid_request" if self._refresh.sighting is None else "")
            settle.refresh(self._operation, self._refresh, tokens, status, replaced=True)
        elif status < CLIENT_ERROR and tokens.access_token:
            redirected = facts.get("endpoint") == "authorization"
            (settle.issued_in_redirect if redirected else settle.issued)(self._operation, tokens)
