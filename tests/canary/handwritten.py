"""An authorization server and a client of it as people write them by hand, without any OAuth library.

It knows no web framework either: tests/canary/by_hand.py serves it with three of them. It logs at DEBUG what it gets
and what it gives, with the names of the parameters beside it: else nobody in the process knows what the values are.
Only what its own client sends or gets through httpx stands without a name in the log.
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import os
import secrets
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote, urlencode

import httpx
from canaries import Canaries

canaries = Canaries(os.environ["CANARY_SEED"])
log = logging.getLogger("handwritten")
SECRETS = {"web": canaries.of("client_secret"), "other": canaries.of("other_secret")}
CODES: dict[str, dict[str, str]] = {}
TOKENS: dict[str, dict[str, str]] = {}
LOGINS: dict[str, dict[str, str]] = {}


class Asked(NamedTuple):
    """A request, whichever framework read it."""

    method: str
    base: str
    path: str
    query: str
    body: bytes
    headers: dict[str, str]

    @property
    def parameters(self) -> dict[str, str]:
        return dict(parse_qsl(self.query)) | dict(parse_qsl(self.body.decode("latin-1")))

    @property
    def bearer(self) -> str:
        scheme, _, value = self.headers.get("authorization", "").partition(" ")
        return value if scheme == "Bearer" else self.parameters.get("access_token", "")


class Answer(NamedTuple):
    """What goes back."""

    status: int
    body: str
    headers: dict[str, str]


def as_json(status: int, **members: Any) -> Answer:
    return Answer(status, json.dumps(members), {"Content-Type": "application/json"})


def redirect(url: str, cookie: str = "") -> Answer:
    log.info("redirecting to %s", url)
    return Answer(302, "", {"Location": url, **({"Set-Cookie": f"session={cookie}; Path=/"} if cookie else {})})


def answer(asked: Asked) -> Answer:
    """Answer a request to the server or to the client."""
    log.debug("%s %s with %s and %r", asked.method, asked.path, asked.parameters, asked.headers)
    page = PAGES.get(asked.path)
    return as_json(404, error="not_found") if page is None else page(asked)


# The server -----------------------------------------------------------------------------------------------------------


def authorize(asked: Asked) -> Answer:
    given = asked.parameters
    back = given.get("redirect_uri", "")
    if not back.startswith("http://127.0.0.1:") or given.get("client_id") not in SECRETS:
        return as_json(400, error="invalid_request", error_description=f"bad parameters: {given}")
    code = canaries.next("code")
    CODES[code] = given
    log.debug("saving code %s for %r", code, given)
    return redirect(back + "?" + urlencode({"code": code, "state": given.get("state", "")}))


def client_of(asked: Asked) -> str | None:
    scheme, _, credentials = asked.headers.get("authorization", "").partition(" ")
    if scheme == "Basic":
        name, _, secret = base64.b64decode(credentials).decode().partition(":")
    else:
        name, secret = asked.parameters.get("client_id", ""), asked.parameters.get("client_secret", "")
    return name if SECRETS.get(name) == unquote(secret) else None


def refused(asked: Asked, error: str) -> Answer:
    log.warning("refused with %s: %r", error, asked.parameters)
    return as_json(400, error=error)


def token(asked: Asked) -> Answer:
    given, client = asked.parameters, client_of(asked)
    if asked.headers.get("user-agent", "").startswith("python-httpx"):
        # A stranger's values nobody in this process has seen: these lines are about those that httpx sent from here.
        log.debug("looking for <%s> or <%s>", given.get("code"), given.get("refresh_token"))
    if "x-broken" in asked.headers:
        msg = f"the database refused refresh_token={given['refresh_token']}"
        raise RuntimeError(msg)
    if client is None:
        return refused(asked, "invalid_client")
    return GRANTS.get(given.get("grant_type", ""), lambda asked, _client: refused(asked, "unsupported"))(asked, client)


def of_code(asked: Asked, client: str) -> Answer:
    given = asked.parameters
    code = CODES.get(given.get("code", ""))
    verifier = given.get("code_verifier", "")
    if code is None or code["client_id"] != client or given.get("redirect_uri") != code["redirect_uri"]:
        return refused(asked, "invalid_grant")
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
    if code.get("code_challenge") not in (None, verifier, challenge):
        return refused(asked, "invalid_grant")
    del CODES[given["code"]]
    return issued(client)


def of_refresh_token(asked: Asked, client: str) -> Answer:
    found = TOKENS.pop(asked.parameters.get("refresh_token", ""), None)
    return refused(asked, "invalid_grant") if found is None or found["client"] != client else issued(client)


def of_password(asked: Asked, client: str) -> Answer:
    right = asked.parameters.get("password") == canaries.of("password")
    return issued(client) if right else refused(asked, "invalid_grant")


def issued(client: str) -> Answer:
    new = {"access_token": canaries.next("access_token"), "refresh_token": canaries.next("refresh_token")}
    TOKENS.update({value: {"client": client, **new} for value in new.values()})
    log.info("issued %s", json.dumps(new))
    return as_json(200, **new, token_type="Bearer", expires_in=3600)


GRANTS = {
    "authorization_code": of_code,
    "refresh_token": of_refresh_token,
    "password": of_password,
    "client_credentials": lambda _asked, client: issued(client),
}


def introspect(asked: Asked) -> Answer:
    return as_json(200, active=asked.parameters.get("token") in TOKENS)


def revoke(asked: Asked) -> Answer:
    TOKENS.pop(asked.parameters.get("token", ""), None)
    return as_json(200)


def me(asked: Asked) -> Answer:
    known = asked.bearer in TOKENS
    log.debug("bearer %s is %s", asked.bearer, "known" if known else "unknown")
    return as_json(200, sub="alice") if known else as_json(401, error="invalid_token")


# The client -----------------------------------------------------------------------------------------------------------


def login(asked: Asked) -> Answer:
    kept = {name: canaries.next(name) for name in ("cookie", "state", "verifier")}
    LOGINS[kept["cookie"]] = kept
    digest = hashlib.sha256(kept["verifier"].encode()).digest()
    challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
    sent = {"response_type": "code", "client_id": "web", "redirect_uri": asked.base + "/shop/callback"}
    sent |= {"state": kept["state"], "code_challenge": challenge, "code_challenge_method": "S256"}
    return redirect(f"{asked.base}/server/authorize?{urlencode(sent)}", kept["cookie"])


def login_of(asked: Asked) -> dict[str, str]:
    pairs = (pair.partition("=") for pair in asked.headers.get("cookie", "").split("; "))
    return LOGINS[next(value for name, _, value in pairs if name == "session")]


def callback(asked: Asked) -> Answer:
    given, kept = asked.parameters, login_of(asked)
    if "error" in given or not secrets.compare_digest(given.get("state", ""), kept["state"]):
        log.warning("refused the callback %s?%s", asked.path, asked.query)
        return Answer(400, "no", {})
    form = {"grant_type": "authorization_code", "code": given["code"], "code_verifier": kept["verifier"]}
    sent = {**form, "redirect_uri": asked.base + "/shop/callback"}
    answered = httpx.post(asked.base + "/server/token", data=sent, auth=("web", SECRETS["web"]), trust_env=False)
    log.debug("sent %s with %s, answered %s", given["code"], kept["verifier"], answered.text)
    if answered.status_code != httpx.codes.OK:
        return Answer(400, "no", {})
    kept.update(answered.json())
    log.info("logged in: <%s> and <%s>", kept["access_token"], kept["refresh_token"])
    return Answer(200, "welcome", {})


def renewed(asked: Asked) -> Answer:
    kept = login_of(asked)
    form = {"grant_type": "refresh_token", "refresh_token": kept["refresh_token"]}
    form |= {"client_id": "web", "client_secret": SECRETS["web"]}
    kept.update(httpx.post(asked.base + "/server/token", data=form, trust_env=False).json())
    log.info("renewed to <%s>", kept["access_token"])
    return Answer(200, "renewed", {})


def profile(asked: Asked) -> Answer:
    held = login_of(asked)["access_token"]
    found = httpx.get(asked.base + "/server/me", headers={"Authorization": "Bearer " + held}, trust_env=False)
    httpx.get(asked.base + "/server/me", params={"access_token": held}, trust_env=False)
    return as_json(200, **found.json())


def broken(asked: Asked) -> Answer:
    held = login_of(asked)
    log.warning("about to fail", extra={"held": held}, stack_info=True)
    msg = f"no such user for {held['access_token']}"
    raise LookupError(msg)


PAGES = {
    **{f"/server/{page.__name__}": page for page in (authorize, token, introspect, revoke, me)},
    **{f"/shop/{page.__name__}": page for page in (login, callback, broken)},
    "/shop/refresh": renewed,
    "/shop/me": profile,
}
