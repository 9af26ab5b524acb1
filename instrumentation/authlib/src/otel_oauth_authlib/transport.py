"""The HTTP calls of a session: the request of an OAuth operation around it, or an operation of its own.

Whatever a session sends goes through its ``request`` method. If the innermost operation is a call to the provider that
has no response yet, this is its response. If not, a request with the token is a call of the API, or of one of the
endpoints that the session knows by its metadata.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from otel_oauth import kinds, provider_errors, vocabulary
from otel_oauth.catalogue import UNKNOWN
from otel_oauth.hooks import Call, Hook

if TYPE_CHECKING:
    from otel_oauth.kinds import OperationKind
    from otel_oauth.operation import Operation

_METADATA_ENDPOINTS = (
    ("userinfo_endpoint", kinds.USERINFO, ("GET", "POST")),
    ("jwks_uri", kinds.JWKS, ("GET",)),
    ("introspection_endpoint", kinds.INTROSPECT, ("POST",)),
    ("registration_endpoint", kinds.REGISTER, ("POST",)),
    ("pushed_authorization_request_endpoint", kinds.PUSHED_AUTHORIZATION, ("POST",)),
    ("device_authorization_endpoint", kinds.DEVICE_AUTHORIZATION, ("POST",)),
)
_MANAGEMENT = ("GET", "PUT", "DELETE")
_API_ERRORS = frozenset((401, 403))
_MOST_ORIGINS = 16


class SessionNote:
    """What is remembered of a session object while it lives.

    :ivar provider: the label value of the registry that made it; empty for a session of the application's own.
    :ivar state: the digest of the state that it handed out last.
    :ivar initiated: the label value of the provider that this state was for.
    :ivar facts: what its calls have in common, by origin and client id.
    :ivar endpoints: the same for the endpoints whose URL is the same each time, by that, client id and grant type.
    """

    provider: str = ""
    initiated: str = ""
    state: bytes | None = None

    def __init__(self) -> None:
        self.facts: dict[tuple[str, Any], Mapping[str, object]] = {}
        self.endpoints: dict[tuple[object, Any, str], dict[str, object]] = {}


class RequestNote:
    """What is noted of a request that is under way.

    :ivar sending: the session was asked to send it.
    :ivar status: the HTTP status of its response, 0 without one.
    :ivar refused: the exception of an operation within it, an automatic refresh: because of that it was never sent.
    """

    sending: bool = False
    status: int = 0
    refused: BaseException | None = None


def session_note(call: Call, session: object) -> SessionNote:
    """Return the notes of a session."""
    found = call.hooks.notes.get(session)
    if not isinstance(found, SessionNote):
        found = call.hooks.notes[session] = SessionNote()
    return found


def provider_facts(call: Call, url: object) -> Mapping[str, object]:
    """Return the facts that every call of a session shares, not to be changed: provider, client id, server address."""
    session = call.instance
    text = str(url or "")
    if "://" not in text:
        text = urljoin(str(getattr(session, "base_url", "")), text)
    origin, client_id = "/".join(text.split("/", 3)[:3]), getattr(session, "client_id", None)
    note = session_note(call, session)
    facts = note.facts.get((origin, client_id))
    if facts is None:
        facts = {
            "provider": note.provider or (call.telemetry.provider(url=origin) if origin else note.initiated or UNKNOWN),
            "client_id": call.telemetry.client(client_id),
            "server_address": host_name(origin),
        }
        if origin and len(note.facts) < _MOST_ORIGINS:
            note.facts[origin, client_id] = facts
    return facts


def endpoint_operation(call: Call, kind: OperationKind, url: object, grant_type: str = "") -> Operation:
    """Return the operation of a call to an endpoint whose URL is the same each time, with :func:`provider_facts`."""
    key = url, getattr(call.instance, "client_id", None), grant_type
    known, lasting = session_note(call, call.instance).endpoints, isinstance(url, str) and "://" in url
    facts = known.get(key) if lasting else None
    if facts is None:
        facts = dict(provider_facts(call, url))
        if grant_type:
            facts["grant_type"] = vocabulary.grant_type(grant_type)
        if lasting and len(known) < _MOST_ORIGINS:
            known[key] = facts
    return call.telemetry.operation(kind, facts.copy())


@lru_cache(maxsize=256)
def host_name(origin: str) -> str | None:
    """Return the host of an origin (``scheme://authority``), ``None`` if there is none."""
    try:
        return urlsplit(origin).hostname
    except ValueError:
        return None


def metadata(session: object) -> Mapping[str, Any]:
    """Return what the session knows of its provider."""
    found = getattr(session, "metadata", None)
    return (
        found if isinstance(found, (dict, Mapping)) else {}
    )  # the class first that it is: to ask the other costs more


# The response ---------------------------------------------------------------------------------------------------------


def settle(operation: Operation, error: BaseException | None = None, *, read: bool = False) -> None:
    """Classify the outcome of a call to a provider, as far as nothing closer to the response did.

    :param read: the error, if any, comes from reading the response, so that it is the response's fault.
    """
    facts = operation.facts
    if error is not None:
        _tell_around(operation, error)
    note = operation.local
    if "called" in facts and "provider_error" not in facts and isinstance(note, RequestNote):
        unread = read and error is not None
        facts["provider_error"] = provider_errors.response_error(note.status, facts.get("error"), unread=unread)
    if facts.get("provider_error"):
        facts["status"] = "failure"


def _tell_around(operation: Operation, error: BaseException) -> None:
    """Let the request around an automatic refresh know that this error is not its own: it was never sent."""
    around = operation.parent
    if around is not None and isinstance(around.local, RequestNote):
        around.local.refused = error


def _sends(operation: Operation, call: Call) -> bool:
    """Take a request of the session as the one that this operation is about, if that is still to be sent."""
    if not operation.kind.operation or "called" in operation.facts:
        return False
    note = operation.local
    if not isinstance(note, RequestNote):
        note = operation.local = RequestNote()
    if note.sending:
        return False
    note.sending = call.watched = True
    return True


def _requested(call: Call, result: Any, error: BaseException | None) -> None:  # noqa: ANN401 a response of any HTTP client
    operation = call.operation or call.around
    if operation is None:
        return
    note = operation.local
    if not isinstance(note, RequestNote):
        return
    if error is None:
        status, failed = getattr(result, "status_code", None), None
        if status is None:
            return
    elif error is note.refused:
        note.refused = None  # it holds the application's frames
        return
    else:
        status = getattr(getattr(error, "response", None), "status_code", None)
        failed = provider_errors.transport_error(error)
        if status is None and failed is None and isinstance(error, Exception):
            return
    facts, note.status = operation.facts, status or 0
    facts["called"] = True
    facts["http_status"] = str(note.status)
    if failed is not None:
        facts["provider_error"] = failed
    elif operation.kind is kinds.API:
        serious = status is not None and (status in _API_ERRORS or status >= vocabulary.SERVER_ERROR)
        facts["provider_error"] = provider_errors.status_error(status) if serious and status is not None else None
    if call.operation is not None:
        settle(operation)


# The request ----------------------------------------------------------------------------------------------------------


def _own_kind(session: object, method: str, url: str, *, with_token: bool) -> OperationKind | None:
    target = url.partition("?")[0]
    known = metadata(session)
    for name, kind, methods in _METADATA_ENDPOINTS:
        if known.get(name) == target and method in methods and (with_token or kind is not kinds.USERINFO):
            return kind
    registration = known.get("registration_endpoint")
    if registration and method in _MANAGEMENT and f"{target}/".startswith(f"{registration}/"):
        return kinds.REGISTER
    return kinds.API if with_token else None


def _request_hook(*, none_is_default: bool) -> Hook:
    """Return the hook of a session's ``request(method, url, withhold_token, auth)``.

    :param none_is_default: ``auth=None`` means the session's token (requests) and not no authentication at all (httpx).
    """

    def begin(call: Call) -> Operation | None:
        if call.around is not None and _sends(call.around, call):
            return None
        auth = call.argument(3, "auth", Ellipsis)
        default = auth is Ellipsis or type(auth).__name__ == "UseClientDefault" or (auth is None and none_is_default)
        with_token = default and not call.argument(2, "withhold_token")
        method, url = str(call.argument(0, "method", "")).upper(), call.argument(1, "url", "")
        kind = _own_kind(call.instance, method, str(url), with_token=with_token)
        if kind is None:
            return None
        operation = call.telemetry.operation(kind, {**provider_facts(call, url), "method": method})
        operation.local = note = RequestNote()
        note.sending = True
        if kind is kinds.API and with_token:
            placement = getattr(getattr(call.instance, "token_auth", None), "token_placement", None)
            operation.facts["token_in_query"] = placement == "uri"
        if kind is kinds.REGISTER and method == "POST":
            operation.facts["registration"] = True
        return operation

    return Hook(begin, _requested)


_REQUESTS = "authlib.integrations.requests_client"
_HTTPX = "authlib.integrations.httpx_client"
_REQUESTS_HOOK = _request_hook(none_is_default=True)
_HTTPX_HOOK = _request_hook(none_is_default=False)

REQUEST_HOOKS: dict[str, Hook] = {
    f"{_REQUESTS}.oauth2_session:OAuth2Session.request": _REQUESTS_HOOK,
    f"{_REQUESTS}.assertion_session:AssertionSession.request": _REQUESTS_HOOK,
    f"{_HTTPX}.oauth2_client:OAuth2Client.request": _HTTPX_HOOK,
    f"{_HTTPX}.oauth2_client:OAuth2Client.stream": _HTTPX_HOOK,
    f"{_HTTPX}.oauth2_client:AsyncOAuth2Client.request": _HTTPX_HOOK,
    f"{_HTTPX}.oauth2_client:AsyncOAuth2Client.stream": _HTTPX_HOOK,
    f"{_HTTPX}.assertion_client:AssertionClient.request": _HTTPX_HOOK,
    f"{_HTTPX}.assertion_client:AsyncAssertionClient.request": _HTTPX_HOOK,
}
"""The methods of Authlib's sessions that send a request; ``stream`` is observed until the response's head is there."""
