"""Who uses the two programs: browsers of people, and programs that speak OAuth themselves."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlencode, urlsplit

import requests

if TYPE_CHECKING:
    from demo.seeds import Client

TIMEOUT = 15.0
OK, FOUND, BAD_REQUEST = 200, 302, 400
contacted: set[str] = set()
"""The addresses that visitors sent a request to, until somebody empties it."""
callbacks: list[str] = []
"""The URLs with a code that their browsers were sent to, in order."""

HIDDEN_FIELD = re.compile(r'<input type="hidden" name="(\w+)" value="([^"]*)">')


class ScenarioError(Exception):
    """A scenario went otherwise than it should."""


class UnexpectedAnswerError(ScenarioError):
    """A program answered otherwise than the scenario says; the message never holds a query or a body."""

    def __init__(self, answer: requests.Response, got: object, wanted: str) -> None:
        path = urlsplit(answer.url).path
        super().__init__(f"{answer.request.method} {path}: {got} instead of {wanted}")


def expect(answer: requests.Response, *statuses: int) -> requests.Response:
    """Return ``answer`` if its status is one of ``statuses``."""
    if answer.status_code not in statuses:
        raise UnexpectedAnswerError(answer, answer.status_code, " or ".join(map(str, statuses)))
    return answer


def refused(answer: requests.Response, error: str, status: int = BAD_REQUEST) -> None:
    """Check that ``answer`` refuses with the code ``error``; another refusal would prove nothing."""
    says(expect(answer, status), error=error)


def says(answer: requests.Response, **members: object) -> None:
    """Check that the JSON of ``answer`` has these members."""
    body = answer.json()
    got = {name: body.get(name) for name in members}
    if got != members:
        raise UnexpectedAnswerError(answer, got, str(members))


def http() -> requests.Session:
    """Return a session with a cookie jar; a proxy of the environment would not reach loopback."""
    session = requests.Session()
    session.trust_env = False
    session.hooks["response"].append(_note)
    return session


def _note(answer: requests.Response, **_options: object) -> None:
    contacted.add(urlsplit(answer.url).netloc)
    if "code=" in answer.url:
        callbacks.append(answer.url)


def query_of(url: str) -> dict[str, str]:
    """Return the query of ``url``, the first value of each name."""
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


class Browser:
    """A person's browser: it keeps cookies, follows redirects step by step and fills in the consent form."""

    def __init__(self, application: str, person: str) -> None:
        self.application = application
        self.person = person
        self.http = http()

    def get(self, path: str) -> requests.Response:
        """Get a page of the web application."""
        return self.http.get(self.application + path, timeout=TIMEOUT, allow_redirects=False)

    def post(self, path: str, **form: str) -> requests.Response:
        """Post a form to the web application."""
        return self.http.post(self.application + path, data=form, timeout=TIMEOUT, allow_redirects=False)

    def start(self, provider: str = "demo") -> str:
        """Click on "log in"; return the URL of the authorization request."""
        path = "/login" if provider == "demo" else f"/login/{provider}"
        return expect(self.get(path), FOUND).headers["Location"]

    def decide(self, authorization_url: str, *, allow: bool = True) -> str:
        """Open the consent page and answer it; return the URL of the callback, which is not opened."""
        page = self.http.get(authorization_url, timeout=TIMEOUT, allow_redirects=False)
        if expect(page, OK, FOUND).status_code == FOUND:
            return page.headers["Location"]
        form = dict(HIDDEN_FIELD.findall(page.text))
        form |= {"username": self.person, "decision": "allow" if allow else "deny"}
        answer = self.http.post(authorization_url, data=form, timeout=TIMEOUT, allow_redirects=False)
        return expect(answer, FOUND).headers["Location"]

    def open(self, url: str) -> requests.Response:
        """Open a URL, such as the callback's."""
        return self.http.get(url, timeout=TIMEOUT, allow_redirects=False)

    def log_in(self, provider: str = "demo") -> str:
        """Log in; return the URL of the callback that was opened."""
        callback = self.decide(self.start(provider))
        expect(self.open(callback), OK)
        return callback


@dataclass(frozen=True)
class Code:
    """An authorization code with what its rightful owner presents beside it."""

    value: str = field(repr=False)
    redirect_uri: str
    verifier: str | None = field(repr=False)

    def redirected_to(self, redirect_uri: str) -> Code:
        """Return the code as it is presented with another redirect URI."""
        return replace(self, redirect_uri=redirect_uri)

    def verified_by(self, verifier: str | None) -> Code:
        """Return the code as it is presented with another verifier, or without one."""
        return replace(self, verifier=verifier)


def new_verifier() -> str:
    """Return a PKCE verifier (RFC 7636, section 4.1)."""
    return secrets.token_urlsafe(48)


def challenge_of(verifier: str, method: str) -> str:
    """Return the challenge of ``verifier`` (RFC 7636, section 4.2)."""
    if method == "plain":
        return verifier
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


class Program:
    """A program that speaks OAuth to the server itself: a partner's, or that of a thief with credentials."""

    def __init__(self, server: str, client: Client) -> None:
        self.server = server
        self.client = client
        self.http = http()

    def authorize(self, method: str | None = "S256", person: str = "ada") -> Code:
        """Have ``person`` consent in a browser; return the code. ``method`` None leaves PKCE out."""
        verifier = new_verifier() if method else None
        query = {
            "response_type": "code",
            "client_id": self.client.client_id,
            "redirect_uri": self.client.redirect_uri,
            "scope": "orders",
            "state": secrets.token_urlsafe(16),
        }
        if verifier and method:
            query |= {"code_challenge": challenge_of(verifier, method), "code_challenge_method": method}
        callback = Browser("", person).decide(f"{self.server}/authorize?{urlencode(query)}")
        return Code(query_of(callback)["code"], self.client.redirect_uri, verifier)

    def redeem(self, code: Code) -> requests.Response:
        """Present an authorization code."""
        form = {"grant_type": "authorization_code", "code": code.value, "redirect_uri": code.redirect_uri}
        return self.post("/token", **form, **({"code_verifier": code.verifier} if code.verifier else {}))

    def tokens(self) -> dict[str, str]:
        """Return the tokens of a new authorization."""
        tokens: dict[str, str] = expect(self.redeem(self.authorize()), OK).json()
        return tokens

    def refresh(self, refresh_token: str) -> requests.Response:
        """Present a refresh token."""
        return self.post("/token", grant_type="refresh_token", refresh_token=refresh_token)

    def post(self, path: str, **form: str) -> requests.Response:
        """Post to an endpoint of the server, as this client."""
        if self.client.secret:
            auth = (self.client.client_id, self.client.secret)
        else:
            auth, form = None, form | {"client_id": self.client.client_id}
        return self.http.post(self.server + path, data=form, auth=auth, timeout=TIMEOUT)

    def call(self, path: str, access_token: str) -> requests.Response:
        """Call an API of the server."""
        headers = {"Authorization": f"Bearer {access_token}"}
        return self.http.get(self.server + path, headers=headers, timeout=TIMEOUT)
