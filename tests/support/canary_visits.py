"""Everything that a login can be, good and bad, done to the programs of tests/canary by a browser and by attackers."""

from __future__ import annotations

import base64
import hashlib
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import requests
from authlib.oauth2.rfc8628 import DeviceCodeGrant
from joserfc import jwt
from joserfc.jwk import OctKey

if TYPE_CHECKING:
    from canaries import Canaries

_COOKIE = "session"
_JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"


class Visits:
    """One visitor of a server and a shop.

    :param server: the address of the authorization server.
    :param shop: that of the client application, ``""`` if there is none.
    """

    def __init__(self, canaries: Canaries, server: str, shop: str) -> None:
        self.canaries, self.server, self.shop = canaries, server, shop
        self.browser = requests.Session()
        self.browser.trust_env = False
        self.browser.headers["Connection"] = "close"  # a slow machine must not meet a server's end of patience
        self.client = ("web", canaries.of("client_secret"))
        self.other = ("other", canaries.of("other_secret"))

    def everything(self) -> None:
        """Do all of it, and note the secrets that were made on the way."""
        self.direct_logins()
        self.passwords()
        self.other_grants()
        self.refused()
        self.devices()
        self.endpoints()
        if self.shop:
            self.shop_logins()
            self.shop_failures()
        for kind in ("code", "access_token", "refresh_token", "device_code", "new_client_secret"):
            self.canaries.expect(kind, 60)

    def of_every_server(self) -> None:
        """Do what a server without extensions can do as well."""
        self.direct_logins()
        self.passwords()
        self.refused()
        self.endpoints()
        self.shop_logins()
        self.shop_failures()

    # At the server ------------------------------------------------------------------------------------------

    def post(self, path: str, auth: tuple[str, str] | None, **form: str) -> requests.Response:
        headers = {name[2:].replace("_", "-"): form.pop(name) for name in list(form) if name.startswith("x_")}
        return self.browser.post(self.server + path, data=form, auth=auth, headers=headers, timeout=20)

    def authorize(self, response_type: str = "code", verifier: str = "", **more: str) -> dict[str, str]:
        """Return the parameters of the redirect, query and fragment."""
        asked = {"response_type": response_type, "client_id": "web", "redirect_uri": "http://127.0.0.1:1/cb"}
        asked |= {"state": self.canaries.next("state"), "nonce": self.canaries.next("nonce"), **more}
        if verifier:
            digest = hashlib.sha256(verifier.encode()).digest()
            challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
            asked |= {"code_challenge": challenge, "code_challenge_method": "S256"}
        answer = self.browser.get(self.server + "/authorize", params=asked, allow_redirects=False, timeout=20)
        parts = urlsplit(answer.headers.get("Location", ""))
        returned = {name: values[0] for name, values in parse_qs(f"{parts.query}&{parts.fragment}").items()}
        self._note_jwt(returned.get("id_token"))
        return returned

    def _note_jwt(self, token: str | None) -> None:
        if token:
            # Its head and its claims are the same in many; what makes it a credential is the signature.
            self.canaries.also("id_token signature", token.rpartition(".")[2])

    def exchange(self, code: str, verifier: str = "", auth: Any = None, **more: str) -> dict[str, Any]:
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": "http://127.0.0.1:1/cb", **more}
        if verifier:
            form["code_verifier"] = verifier
        answer = self.post("/token", auth or self.client, **form)
        found: dict[str, Any] = answer.json() if answer.headers["Content-Type"].startswith("application/json") else {}
        self._note_jwt(found.get("id_token"))
        return found

    def direct_logins(self) -> None:
        for scope in ("profile", "openid profile"):
            verifier = self.canaries.next("verifier")
            returned = self.authorize(verifier=verifier, scope=scope)
            token = self.exchange(returned["code"], verifier)
            assert token["access_token"], token
            refresh = {"grant_type": "refresh_token", "refresh_token": token["refresh_token"]}
            assert self.post("/token", self.client, **refresh).status_code == 200
            self.post("/token", self.client, **refresh)
            self.exchange(returned["code"], verifier)
            self.exchange(returned["code"], verifier, self.other)

    def passwords(self) -> None:
        password = {"grant_type": "password", "username": "alice", "password": self.canaries.of("password")}
        assert self.post("/token", self.client, **password).status_code == 200
        self.post("/token", None, **password, client_id="web", client_secret=self.client[1])
        self.post("/token", self.client, **{**password, "password": self.canaries.of("wrong_password")})
        assert self.post("/token", self.client, grant_type="client_credentials").status_code == 200

    def other_grants(self) -> None:
        claims = {"iss": "web", "sub": "alice", "aud": self.server + "/token", "exp": int(time.time()) + 600}
        assertion = jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(self.client[1]), ["HS256"])
        self._note_jwt(assertion)
        self.post("/token", self.client, grant_type=_JWT_BEARER, assertion=assertion)
        for response_type in ("id_token token", "id_token", "code id_token", "code token"):
            self.authorize(response_type, scope="openid profile")

    def refused(self) -> None:
        verifier = self.canaries.next("verifier")
        code = self.authorize(verifier=verifier)["code"]
        self.exchange(code, self.canaries.next("wrong_verifier"))
        self.exchange(code)
        self.exchange(code, verifier, self.other)
        self.exchange(code, verifier, redirect_uri="http://127.0.0.1:2/elsewhere")
        self.exchange(code, verifier, ("web", self.canaries.of("wrong_secret")))
        self.exchange(self.canaries.next("forged_code"), verifier)
        self.post("/token", self.client, grant_type="refresh_token", refresh_token=self.canaries.of("forged_refresh"))
        self.post("/token", None, grant_type="authorization_code", code=code)
        broken = {"grant_type": "refresh_token", "refresh_token": self.canaries.of("unlucky_refresh")}
        assert self.post("/token", self.client, **broken, x_X_Broken="1").status_code == 500
        token = self.exchange(code, verifier)
        self.post("/token", self.other, grant_type="refresh_token", refresh_token=token["refresh_token"])
        plain = self.canaries.next("plain_verifier")
        asked = {"code_challenge": plain, "code_challenge_method": "plain"}
        self.exchange(self.authorize(**asked).get("code", ""), plain)
        self.authorize(redirect_uri="https://evil.example/?code=1")

    def devices(self) -> None:
        device = self.post("/device", self.client, client_id="web").json()
        self.canaries.also("device_code", device["device_code"])
        poll = {"grant_type": DeviceCodeGrant.GRANT_TYPE, "device_code": device["device_code"]}
        self.post("/token", self.client, **poll)
        assert self.post("/token", self.client, **poll, x_X_Activated="1").status_code == 200

    def endpoints(self) -> None:
        token = self.post("/token", self.client, grant_type="client_credentials").json()["access_token"]
        for value in (token, self.canaries.of("unknown_token")):
            self.browser.get(self.server + "/me", headers={"Authorization": f"Bearer {value}"}, timeout=20)
            self.browser.get(self.server + "/me", params={"access_token": value}, timeout=20)
            self.post("/introspect", self.client, token=value)
            self.post("/revoke", self.client, token=value, token_type_hint="access_token")
        metadata = {"redirect_uris": ["http://127.0.0.1:3/cb"], "software_statement": self.canaries.of("statement")}
        headers = {"Authorization": "Bearer " + self.canaries.of("initial_access_token")}
        self.browser.post(self.server + "/register", json=metadata, headers=headers, timeout=20)

    # At the shop --------------------------------------------------------------------------------------------

    def to_server(self) -> str:
        """Begin a login; return the address of the server that the browser is sent to."""
        location = self.browser.get(self.shop + "/login", allow_redirects=False, timeout=20).headers["Location"]
        self.canaries.also("state", parse_qs(urlsplit(location).query)["state"][0])
        self._note_cookies()
        return location

    def _note_cookies(self) -> None:
        for cookie in self.browser.cookies:
            if cookie.name == _COOKIE and cookie.value:
                self.canaries.also("cookie", cookie.value)
                self._note_verifier(cookie.value)

    def _note_verifier(self, cookie: str) -> None:
        """Find what Authlib keeps of a pending login in the session, which Flask and Starlette only sign."""
        head = cookie.partition(".")[0]
        text = base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)).decode("latin-1")
        _, marker, rest = text.partition('"code_verifier":"')
        if marker:
            self.canaries.also("verifier in the session", rest.partition('"')[0])

    def shop_logins(self) -> None:
        callback = self.browser.get(self.to_server(), allow_redirects=False, timeout=20).headers["Location"]
        assert "welcome" in self.browser.get(callback, timeout=20).text
        self._note_cookies()
        for path in ("/me", "/refresh", "/me", "/broken", "/revoke"):
            self.browser.get(self.shop + path, timeout=20)
            self._note_cookies()
        self.browser.get(callback, timeout=20)

    def shop_failures(self) -> None:
        for bad in ("state", "code"):
            callback = self.browser.get(self.to_server(), allow_redirects=False, timeout=20).headers["Location"]
            values = {name: found[0] for name, found in parse_qs(urlsplit(callback).query).items()}
            values[bad] = self.canaries.next("forged_" + bad)
            self.browser.get(self.shop + "/callback", params=values, timeout=20)
        state = parse_qs(urlsplit(self.to_server()).query)["state"][0]
        self.browser.get(self.shop + "/callback", params={"error": "access_denied", "state": state}, timeout=20)
