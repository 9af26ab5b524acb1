"""The authorization server and the resource protector of Authlib's Django integration."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
from authlib.integrations.django_oauth2 import (
    AuthorizationServer,
    BearerTokenValidator,
    ResourceProtector,
    RevocationEndpoint,
)
from authlib.oauth2.rfc6749 import grants
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib_django import ROUTES, Model, TokenMethods, routes
from authlib_rows import GRANTED, PKCE_OK, endpoint, exchanged, refresh, reuse, status, storage
from django.test import Client as PlainBrowser
from django.test import override_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

VERIFIER = "v" * 50
CHALLENGE = "CrlVwe1WSHWuTQYh3iczmx3aS-faRx6C92k9_hNxl4A"
QUERY = {
    "response_type": "code",
    "client_id": "web",
    "redirect_uri": "https://client.example/cb",
    "state": "s1",
    "code_challenge": CHALLENGE,
    "code_challenge_method": "S256",
}
STARTED = {"oauth_authorization_started{client_id=web}": 1, "oauth_pkce_states_created_total": 1}


class Browser(PlainBrowser):
    """Speaks https, as Authlib wants it."""

    def generic(self, *arguments: Any, **named: Any) -> Any:
        return super().generic(*arguments, **{**named, "secure": True})


class DjangoServer:
    """One application, and a browser and a client before it."""

    def __init__(self, client_class: type) -> None:
        self.codes: dict[str, Any] = {}
        self.tokens = type("Token", (TokenMethods, Model), {})
        clients = type("Client", (client_class, Model), {})
        web = clients("web", "web-secret")
        web.user_id = 1
        web.save()
        self.server = AuthorizationServer(clients, self.tokens)
        self.server.config["refresh_token_generator"] = True
        self.server.register_token_generator("default", self.server.create_bearer_token_generator())
        self._register()
        protect = ResourceProtector()
        protect.register_token_validator(BearerTokenValidator(self.tokens))
        routes(self.server, protect)
        self.browser = Browser(raise_request_exception=False)

    def _register(self) -> None:
        codes, tokens = self.codes, self.tokens

        class CodeGrant(grants.AuthorizationCodeGrant):
            def save_authorization_code(self, code: str, request: Any) -> None:
                data = getattr(request, "payload", request).data
                found = TokenMethods()
                vars(found).update(
                    code=code,
                    client_id="web",
                    scope="profile",
                    code_challenge=data.get("code_challenge"),
                    code_challenge_method=data.get("code_challenge_method"),
                    get_redirect_uri=lambda: data["redirect_uri"],
                )
                codes[code] = found

            def query_authorization_code(self, code: str, _client: Any) -> Any:
                return codes.get(code)

            def delete_authorization_code(self, code: Any) -> None:
                del codes[code.code]

            def authenticate_user(self, _code: Any) -> Any:
                return type("User", (), {"pk": 1})()

        class RefreshGrant(grants.RefreshTokenGrant):
            INCLUDE_NEW_REFRESH_TOKEN = True

            def authenticate_refresh_token(self, value: str) -> Any:
                try:
                    return tokens.objects.get(refresh_token=value, revoked=False)
                except tokens.DoesNotExist:
                    return None

            def authenticate_user(self, _token: Any) -> Any:
                return type("User", (), {"pk": 1})()

            def revoke_old_credential(self, token: Any) -> None:
                token.revoked = True

        self.server.register_grant(CodeGrant, [CodeChallenge()])
        self.server.register_grant(RefreshGrant)
        self.server.register_endpoint(RevocationEndpoint)

    def authorize(self, **form: str) -> Any:
        return self.browser.post("/authorize", form, query_params=QUERY)

    def post(self, url: str, **form: str) -> Any:
        secret = base64.b64encode(b"web:web-secret").decode()
        return self.browser.post(url, form, headers={"Authorization": f"Basic {secret}"})

    def exchange(self, code: str) -> Any:
        form = {"grant_type": "authorization_code", "code": code, "code_verifier": VERIFIER}
        return self.post("/token", redirect_uri=QUERY["redirect_uri"], **form)


@pytest.fixture
def site(server: Any, capture: Any) -> Iterator[DjangoServer]:
    with override_settings(ROOT_URLCONF=ROUTES, ALLOWED_HOSTS=["*"]):
        found = DjangoServer(type(server.store.clients["web"]))
        capture.mark()
        yield found


def _authorization(method: str, code: int) -> dict[str, float]:
    return {
        f"oauth_http_requests_total{{method={method},endpoint=authorization,status={code}}}": 1,
        "oauth_http_request_duration_milliseconds{endpoint=authorization}": 1,
    }


def test_consent_and_answer_in_one_request_count_once(site: DjangoServer, capture: Any) -> None:
    answer = site.authorize(allow="yes")
    assert answer.status_code == 302
    asked = storage("query_client", "query_client", "save_code")
    assert capture.moved() == {**_authorization("POST", 302), **asked, **STARTED}
    (span,) = capture.spans("oauth.endpoint authorization")
    assert span["attributes"]["http.response.status_code"] == 302


def test_consent_page_counts_at_the_next_collection(site: DjangoServer, capture: Any) -> None:
    assert site.browser.get("/authorize", QUERY).content == b"consent"
    assert capture.moved() == {**_authorization("GET", 200), **storage("query_client"), **_started_alone()}
    assert capture.moved() == {}
    assert site.browser.get("/authorize", {**QUERY, "client_id": "stranger"}).status_code == 500
    assert capture.moved() == {**_authorization("GET", 400), **storage("query_client")}


def _started_alone() -> dict[str, float]:
    return {"oauth_authorization_started{client_id=web}": 1}


def test_login_refresh_replay_and_revocation(site: DjangoServer, capture: Any) -> None:
    location = site.authorize(allow="yes")["Location"]
    code = parse_qs(urlsplit(location).query)["code"][0]
    capture.mark()
    tokens = site.exchange(code).json()
    assert capture.moved() == {**status(200), **GRANTED, **PKCE_OK, **exchanged("web", "S256")}
    assert site.exchange(code).status_code == 400
    assert capture.moved() == {**status(400), **storage("query_client", "query_code"), **reuse("low")}
    api = {"Authorization": f"Bearer {tokens['access_token']}"}
    assert site.browser.get("/api", headers=api).content == b"web"
    assert capture.moved() == storage("query_token")
    newer = site.post("/token", grant_type="refresh_token", refresh_token=tokens["refresh_token"]).json()
    called = storage("query_client", "query_token", "query_user", "save_token", "revoke_token")
    rotated = {"oauth_token_refreshed{client_id=web,rotated=true}": 1}
    assert capture.moved() == {**status(200), **called, **refresh("success", "normal"), **rotated}
    assert site.post("/revoke", token=newer["refresh_token"]).status_code == 200
    assert capture.moved() == {
        **endpoint("revocation", 200),
        **storage("query_client", "query_token", "revoke_token"),
        "oauth_token_revoked{client_id=web}": 1,
        "oauth_token_revocations_total{reason=manual}": 1,
    }
    said = repr(capture.spans()) + repr(capture.points())
    assert not any(secret in said for secret in (code, *(tokens[name] for name in ("access_token", "refresh_token"))))


def test_verification(site: DjangoServer, capture: Any) -> None:
    assert site.browser.get("/api").status_code == 401
    assert site.browser.get("/api", headers={"Authorization": "Bearer forged"}).status_code == 401
    found = [span["attributes"]["oauth.token.verification"] for span in capture.spans("oauth.verify_token")]
    assert found == ["missing", "unknown"]


def test_an_error_after_the_consent_is_one_request(site: DjangoServer, capture: Any) -> None:
    site.codes = None  # type: ignore[assignment]  # the store is gone
    site.server._authorization_grants[0][0].save_authorization_code = lambda *_: 1 / 0
    assert site.authorize(allow="yes").status_code == 500
    moved = capture.moved()
    assert {name: count for name, count in moved.items() if name.startswith("oauth_http")} == _authorization(
        "POST", 500
    )
