"""A client of a few lines: login with PKCE, refresh, revocation, registration, discovery."""

from __future__ import annotations

import json
import secrets
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import otel_oauth
from manual_api.server import challenge_of

if TYPE_CHECKING:
    from otel_oauth.manual import ProviderCall

PROVIDER = "example"
REDIRECT_URI = "http://127.0.0.1/callback"


class RefusedError(Exception):
    """The provider answered with an OAuth error."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_args: object) -> None:
        return None


_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect)


def send(url: str, form: dict[str, str] | None = None) -> tuple[int, dict[str, Any]]:
    """Send a GET, or a POST with a form; return the status and the JSON body."""
    data = None if form is None else urlencode(form).encode()
    try:
        with _opener.open(url, data, timeout=5) as response:  # plain http on loopback
            return response.status, json.load(response)
    except urllib.error.HTTPError as response:
        with response:
            return response.code, json.load(response)


@dataclass
class Login:
    """A login under way: what a web application keeps in the session."""

    state: str
    verifier: str


class OAuthClient:
    """One registered client of the authorization server at ``base``."""

    def __init__(self, base: str) -> None:
        self._base = base
        self.client_id = ""
        self._secret = ""
        self.tokens: dict[str, Any] = {}

    def _call(self, call: ProviderCall, path: str, form: dict[str, str] | None = None) -> dict[str, Any]:
        credentials = {"client_id": self.client_id, "client_secret": self._secret}
        status, body = send(self._base + path, None if form is None else {**form, **credentials})
        error = body.get("error", "")
        call.answered(status, error)
        if error:
            raise RefusedError(error)
        return body

    def discover(self) -> None:
        """RFC 8414."""
        with otel_oauth.discovery("manual", PROVIDER) as call:
            self._call(call, "/.well-known/oauth-authorization-server")

    def register(self, *, public: bool = False) -> None:
        """RFC 7591."""
        method = "none" if public else "client_secret_post"
        with otel_oauth.registration(PROVIDER) as call:
            form = {"redirect_uri": REDIRECT_URI, "token_endpoint_auth_method": method}
            body = self._call(call, "/register", form)
        self.client_id, self._secret = body["client_id"], body["client_secret"]

    def start(self) -> tuple[Login, str]:
        """Begin a login; return what the session keeps and where the browser goes."""
        login = Login(secrets.token_urlsafe(), secrets.token_urlsafe(48))
        with otel_oauth.flow_started(PROVIDER) as flow:
            flow.state_stored(login.state, verifier=True, lifetime=600)
        query = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": REDIRECT_URI,
            "state": login.state,
            "code_challenge": challenge_of(login.verifier),
            "code_challenge_method": "S256",
        }
        return login, f"{self._base}/authorize?{urlencode(query)}"

    def finish(self, login: Login, location: str) -> str:
        """Handle the callback; return the code, which an honest client would forget."""
        answer = dict(parse_qsl(urlsplit(location).query))
        with otel_oauth.callback(PROVIDER, client_id=self.client_id) as callback:
            if answer["state"] != login.state:
                callback.state_refused(answer["state"], code=answer["code"])
                error = "state"
                raise RefusedError(error)
            callback.state_accepted(login.state, code=answer["code"])
            self.redeem(answer["code"], login.verifier)
        return answer["code"]

    def redeem(self, code: str, verifier: str) -> None:
        """Exchange a code for tokens (RFC 6749 section 4.1.3)."""
        with otel_oauth.provider_call(PROVIDER, "token") as call:
            form = {"grant_type": "authorization_code", "code": code, "code_verifier": verifier}
            self._take(call, self._call(call, "/token", form))

    def refresh(self, refresh_token: str | None = None) -> None:
        """RFC 6749 section 6."""
        token = refresh_token or self.tokens["refresh_token"]
        with otel_oauth.refresh(PROVIDER) as call:
            call.token_presented(token)
            self._take(call, self._call(call, "/token", {"grant_type": "refresh_token", "refresh_token": token}))

    def _take(self, call: ProviderCall, tokens: dict[str, Any]) -> None:
        if self.tokens:
            call.token_replaced(self.tokens["access_token"])
        self.tokens = tokens
        access, refresh = tokens["access_token"], tokens["refresh_token"]
        call.tokens_received(access, expires_in=tokens["expires_in"], refresh_token=refresh)

    def revoke(self) -> None:
        """RFC 7009."""
        with otel_oauth.provider_call(PROVIDER, "revoke") as call:
            self._call(call, "/revoke", {"token": self.tokens["refresh_token"]})
            call.token_replaced(self.tokens["access_token"], refresh_token=self.tokens["refresh_token"])
        self.tokens = {}
