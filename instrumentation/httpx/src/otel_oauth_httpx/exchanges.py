"""What is noted of a recognised request while it runs, and what its outcome means for login, tokens and ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otel_oauth import cases, flows, kinds, own_tokens
from otel_oauth_httpx.recognised import TOKEN_KINDS, Recognised

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_oauth.ledger import Ledger
    from otel_oauth.operation import Operation
    from otel_oauth_httpx.recognised import Outcome

_LOGINS = (kinds.CALLBACK, kinds.AUTHORIZE)


class Note(own_tokens.Exchange):
    """Notes of one request, kept on its operation and never exported.

    :ivar clock: when an attempt of discovery began, on the clock of ``perf_counter``.
    """

    clock: float | None = None


_NONCE = "use_dpop_nonce"
"""The error of a server that asks for its nonce first (RFC 9449 section 8)."""


class WireNote(Note):
    """Notes of an operation that is the request itself.

    :ivar request: the identity of the request, which lives as long as it is sent.
    """

    request: int = 0


class Expected(Note):
    """Notes of a call of a library that is going to send one request: both are one operation.

    :ivar sent: that request was seen; whatever else the call sends is something of its own.
    :ivar endpoint: the URL that it is sent to, where the request does not say by itself what it is.
    """

    sent: bool = False
    endpoint: str = ""

    @staticmethod
    def fits(around: Operation, request: Any, recognised: Recognised | None) -> Recognised | None:  # noqa: ANN401 a request of httpx or httpx2
        """Return what a request is, if it is the one that the library's call around it is about, else ``None``."""
        if recognised is not None:
            return recognised if recognised.kind.operation == around.kind.operation else None
        url, note = request.url, around.local
        expected = isinstance(note, Expected) and str(url).partition("?")[0] == note.endpoint.partition("?")[0]
        if around.kind is kinds.USERINFO or (request.method == "POST" and expected):
            return Recognised(around.kind, request.method, f"{url.scheme}://{url.netloc.decode('ascii', 'replace')}")
        return None


def tried_again(around: Operation) -> None:
    """Leave the end of the flow to the next request of a library's call: the one that it has sent was not the last."""
    around.facts["flow"] = around.facts["flow_timed"] = False


class Surrounding:
    """Notes of an operation that requests are part of.

    :ivar failed: what the HTTP client raised for one of them.
    """

    failed: Exception | None = None


def present(operation: Operation, note: Note, recognised: Recognised) -> None:
    """Note what a request presents: its code, its verifier, its refresh token."""
    sent, ledger = recognised.parameters, operation.telemetry.ledger
    if not note.client_id:
        note.client_id = recognised.client_id
    if not note.scope and "scope" in sent:
        note.scope = sent["scope"]
    if operation.kind is kinds.REFRESH:
        if "refresh_token" in sent:
            note.presented = presented = sent["refresh_token"]
            note.refresh = ledger.sight_own(presented)
    elif operation.kind is kinds.CODE_EXCHANGE:
        note.code = ledger.digest(b"code", sent.get("code", ""))
        note.ends_flow = operation.parent is None or operation.parent.within(*_LOGINS) is None
        if note.state is None and "code_verifier" in sent:
            note.state = ledger.sight_state(flows.challenge_of(sent["code_verifier"]))


def login_of(sent: Mapping[str, str]) -> str:
    """Return the ledger's name of the login that an authorization request with these parameters begins, or nothing."""
    challenge = sent.get("code_challenge")
    if not challenge:
        return sent.get("state", "")
    # With the method «plain», which is the default, the challenge is the verifier itself (RFC 7636 section 4.3).
    return challenge if sent.get("code_challenge_method") == "S256" else flows.challenge_of(challenge)


def known_login(ledger: Ledger, recognised: Recognised) -> bool:
    """Tell whether the login of an authorization request was initiated before: by a library, or by an earlier hop."""
    names = (login_of(recognised.parameters), recognised.parameters.get("state", ""))
    return any(ledger.sight_state(name).entry is not None for name in names if name)


def redirected(operation: Operation) -> None:
    """Settle a redirect as the answer that it is if nobody follows it."""
    operation.facts["status"] = "failure"
    note = operation.local
    if operation.kind is kinds.REFRESH:
        operation.judge(cases.REFRESH_ERROR)
    elif isinstance(note, Note) and note.ends_flow:
        operation.facts["flow"] = True


def settle(operation: Operation, recognised: Recognised, found: Outcome | None, error: BaseException | None) -> None:
    """Settle what a request came to, beyond the facts that its response states.

    :param found: what the response said; ``None`` if none came.
    :param error: what the HTTP client raised instead.
    """
    facts, note = operation.facts, operation.local
    if not isinstance(note, Note):
        return
    if found is not None and found.kind is not operation.kind:
        operation.become(found.kind)
    if isinstance(error, Exception) and operation.parent is not None:
        around = operation.parent.local
        if isinstance(around, Surrounding):
            around.failed = error
    failed = error is not None or bool(facts.get("provider_error") or facts.get("error"))
    if failed and facts.get("outcome") != "pending":
        facts["status"] = "failure"
    if operation.kind in TOKEN_KINDS:
        _tokens(operation, note, found, failed=failed)
    elif operation.kind is kinds.REVOKE and facts.get("revoked"):
        own_tokens.forget(operation, recognised.parameters.get("token", ""))
    elif operation.kind in (kinds.AUTHORIZE, kinds.PUSHED_AUTHORIZATION) and not failed:
        _initiated(operation, recognised)


def _tokens(operation: Operation, note: Note, found: Outcome | None, *, failed: bool) -> None:
    if found is not None and found.granted:
        own_tokens.remember(operation, note, found.token)
    elif not failed:
        # Answered without an error, and nobody read the body here: the application got its token.
        note.granted = True
    if operation.facts.get("error") == _NONCE:
        return  # what follows is the same attempt with the nonce
    if operation.kind is kinds.REFRESH:
        operation.judge(own_tokens.judge_refresh(operation, note, failed=failed))
    elif note.ends_flow and "called" in operation.facts:
        flows.end(operation, note)


def _initiated(operation: Operation, recognised: Recognised) -> None:
    login, pkce = login_of(recognised.parameters), "code_challenge" in recognised.parameters
    if operation.kind is kinds.AUTHORIZE:
        if login:
            flows.initiated(operation, login, verifier=pkce)
        return
    # A pushed authorization request (RFC 9126) begins a login; the user follows with a reference to it.
    facts: dict[str, object] = {
        name: operation.facts[name] for name in ("provider", "client_id") if name in operation.facts
    }
    with operation.telemetry.operation(kinds.AUTHORIZE, facts) as authorization:
        if login:
            flows.initiated(authorization, login, verifier=pkce)
