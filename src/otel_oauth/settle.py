"""What a request to the server came to: the verdict, the facts that follow from it, what the ledger is told.

Plugins and the manual API note what was presented (:class:`~otel_oauth.judge.CodePresented`,
:class:`~otel_oauth.judge.RefreshPresented`) and what was issued; the rest is here. Redeemed and rotated mean
that an answer without an error went out: a refusal undoes what was provisional.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from otel_oauth import cases, judge
from otel_oauth._patterns import pattern
from otel_oauth.catalogue import OTHER
from otel_oauth.ledger import Kind
from otel_oauth.vocabulary import CLIENT_ERROR, SERVER_ERROR, TOO_MANY_REQUESTS

if TYPE_CHECKING:
    from otel_oauth.judge import CodePresented, RefreshPresented
    from otel_oauth.ledger import Sighting
    from otel_oauth.operation import Operation

_AGAIN_SECONDS = 600.0
_LOOPBACK = pattern(r"(127\.0\.0\.1|\[::1]|localhost)(:\d*)?")
"""The authority of a native application's redirect URI (RFC 8252 section 7.3)."""


def host_of(uri: str | None) -> str:
    """Return the authority of a URI, empty if it has none or is malformed."""
    try:
        return urlsplit(uri or "").netloc.lower()
    except ValueError:
        return ""


def _is_insecure(uri: str) -> bool:
    """Tell whether a redirect URI sends a code over http to another host (RFC 9700 section 2.6)."""
    return uri[:7].lower() == "http://" and _LOOPBACK.fullmatch(host_of(uri)) is None


def _closed(method: str) -> str:
    """Return a challenge method as a label and attribute; one that is no standard's came in a request."""
    return method if method in ("S256", "plain", "none") else OTHER


def answered(operation: Operation, status: int) -> None:
    """Settle the HTTP status that a request to an endpoint was answered with, and which limit it says was exceeded.

    ``slow_down`` (RFC 8628 section 3.5) is a device's matter whatever the status, any other 429 the endpoint's; a
    limiter that the application named stands. Called again when the web framework tells the whole response's status.
    """
    facts = operation.facts
    facts["http_status"] = f"{status}"
    facts["status"] = "failure" if status >= CLIENT_ERROR else "success"
    if facts.get("error") == "slow_down":
        facts.setdefault("limiter", "device")
    elif status == TOO_MANY_REQUESTS:
        facts.setdefault("limiter", "endpoint")


_RAISED = {"PermissionDenied": 403, "Http404": 404, "SuspiciousOperation": 400, "BadRequest": 400}
"""What Django answers its exceptions with."""


def raised(error: BaseException) -> int:
    """Return the status that a web framework answers an exception with: what the framework's own name, else 500."""
    bases = {base.__name__: base.__module__.partition(".")[0] for base in type(error).__mro__}
    if bases.get("HTTPException") in ("werkzeug", "starlette"):
        holder = getattr(error, "response", None) or error
        named = getattr(holder, "status_code", None) or getattr(holder, "code", None)
        return named if isinstance(named, int) else SERVER_ERROR
    django = (status for name, status in _RAISED.items() if bases.get(name) == "django")
    return next(django, SERVER_ERROR)


def handled(request: Operation, error: BaseException | None) -> None:
    """Complete the HTTP request of a callback where the framework does not tell its status.

    An OAuth error is what applications are told to catch: a refusal. A framework's exception may name its status.
    Anything else is taken for a failure.
    """
    named = getattr(error, "status_code", None)
    refused = isinstance(getattr(error, "error", None), str)
    answered(request, 200 if error is None else named if isinstance(named, int) else 400 if refused else 500)
    request.complete()


def authorization_started(operation: Operation, client_id: str, state: str, nonce: str, challenge: str) -> None:
    """Count an authorization once in ten minutes, whichever of its consent page and its answer comes first."""
    identity = f"{client_id}\0{state}\0{nonce}\0{challenge}"
    if operation.telemetry.ledger.first(identity, _AGAIN_SECONDS):
        operation.facts["started"] = True


def code_issued(  # noqa: PLR0913 one argument for each fact that is kept of a code
    operation: Operation, code: str, client_id: str, *, method: str, redirect_uri: str, lifetime: float = 600.0
) -> None:
    """Settle that an authorization code was stored.

    :param method: the method of the challenge that is stored with it, ``none`` without one.
    """
    facts = operation.facts
    facts["pkce"] = method != "none"
    facts["pkce_plain"] = method == "plain"
    facts["redirect_insecure"] = _is_insecure(redirect_uri)
    facts["challenge_method"] = _closed(method)
    facts["code"] = facts["family"] = operation.telemetry.ledger.issue_code(
        code,
        client_id,
        method=method,
        redirect_host=host_of(redirect_uri),
        lifetime=lifetime,
        span=operation.span.get_span_context(),
    )


class IssuedTokens:
    """The tokens of an answer; digested when they are settled, never kept.

    :param expires_in: the lifetime of the access token in seconds; ``None`` if the answer does not say it.
    """

    def __init__(
        self,
        client_id: str = "",
        access_token: str = "",
        expires_in: float | None = 0.0,
        refresh_token: str | None = None,
    ) -> None:
        self.client_id = client_id
        self.access_token = access_token
        self.expires_in = expires_in
        self.refresh_token = refresh_token


def issued(
    operation: Operation,
    tokens: IssuedTokens,
    *,
    code: Sighting | None = None,
    parent: Sighting | None = None,
    rotated: bool = False,
) -> Sighting | None:
    """Tell the ledger which tokens went out, and for which code or refresh token; return what it knew of that one."""
    return operation.telemetry.ledger.granted(
        tokens.client_id,
        tokens.access_token,
        expires_in=tokens.expires_in,
        refresh_token=tokens.refresh_token,
        code=code,
        parent=parent,
        rotated=rotated,
    )


def issued_in_redirect(operation: Operation, tokens: IssuedTokens) -> None:
    """Settle tokens that went out with an authorization response (RFC 6749 section 4.2; the hybrid flow)."""
    if tokens.access_token:
        operation.facts["grant_type"] = "implicit"
    issued(operation, tokens)


def code(operation: Operation, presented: CodePresented, tokens: IssuedTokens, status: int, method: str) -> None:
    """Settle a request that presented an authorization code and was answered with ``status``.

    :param method: the PKCE method of the stored challenge; it is recorded only if the verifier was compared
        and matched.
    """
    telemetry, facts = operation.telemetry, operation.facts
    presented.accepted = status < CLIENT_ERROR
    matched = presented.pkce == "matched"
    facts["challenge_method"] = method = _closed(method)
    facts["pkce_ok"] = matched
    facts["code"], facts["family"] = presented.sighting.digest, presented.sighting.grant
    operation.link(presented.sighting.entry)
    if status < SERVER_ERROR:
        operation.judge(judge.code(telemetry.ledger, presented, telemetry.settings.race_window))
    if presented.accepted:
        facts["exchanged"] = True
        facts["pkce_method"] = method if matched else "none"
        issued(operation, tokens, code=presented.sighting)
    elif presented.found:
        telemetry.ledger.release(Kind.CODE, presented.sighting)


def refresh(
    operation: Operation, presented: RefreshPresented, tokens: IssuedTokens, status: int, *, replaced: bool
) -> None:
    """Settle a refresh that was answered with ``status``.

    :param replaced: the server took the presented token out of use; with a new one in the answer it was
        rotated.
    """
    telemetry, facts, sighting = operation.telemetry, operation.facts, presented.sighting
    presented.status = status
    if status < CLIENT_ERROR:
        rotated = replaced and bool(tokens.refresh_token)
        presented.settled = issued(operation, tokens, parent=sighting, rotated=rotated)
    if sighting is not None and not presented.found:
        telemetry.ledger.presented(sighting)
    case = judge.refresh(telemetry.ledger, presented, telemetry.settings.race_window)
    operation.judge(case)
    if sighting is not None:
        facts["family"] = sighting.grant
    if case is cases.REFRESH_REUSED and sighting is not None:
        telemetry.ledger.critical(sighting)
    facts["reauthorize"] = status < SERVER_ERROR and presented.error == "invalid_grant"
    if status < CLIENT_ERROR:
        facts["refreshed"] = True
        facts["rotated"] = "true" if tokens.refresh_token else "false"
    elif presented.found and sighting is not None:
        telemetry.ledger.release(Kind.REFRESH, sighting)
