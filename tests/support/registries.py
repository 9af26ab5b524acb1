"""Applications that log users in with a registry of Authlib, under each web framework, and browsers that visit them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlencode

import httpx2
from authlib.integrations.base_client import OAuthError
from authlib_provider import CLIENT_ID, CLIENT_SECRET, Provider
from flask import Flask, session

if TYPE_CHECKING:
    from collections.abc import Iterator

CALLBACK = "https://client.example/callback"


class MemoryCache:
    """A cache as applications give one to the registry."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def get(self, key: str) -> Any:
        return self.values.get(key)

    def set(self, key: str, value: Any, _expires: float | None = None) -> None:
        self.values[key] = value

    def delete(self, key: str) -> None:
        self.values.pop(key, None)


class AsyncCache(MemoryCache):
    """The same, to be awaited."""

    async def get(self, key: str) -> Any:
        return super().get(key)

    async def set(self, key: str, value: Any, _expires: float | None = None) -> None:
        super().set(key, value)

    async def delete(self, key: str) -> None:
        super().delete(key)


class Party:
    """A relying party, driven the same whatever framework it runs under.

    :ivar raised: what its callbacks raised.
    :ivar catches: the callback answers an error with 403, instead of letting it escape.
    :ivar twice: the callback is handled, and then once more by mistake.
    """

    cache_type: type[MemoryCache] = MemoryCache
    tls: ClassVar[dict[str, Any]] = {}

    def __init__(self, provider: Provider, cache: Any = None, **registered: Any) -> None:
        self.provider = provider
        self.cache = self.cache_type() if cache is True else cache
        self.raised: list[BaseException] = []
        self.catches = self.twice = False
        self.oauth = self.make_registry()
        kwargs = {"scope": "openid profile", "code_challenge_method": "S256", **self.tls}
        self.client = self.oauth.register(
            "idp",
            client_id=CLIENT_ID,
            client_secret=CLIENT_SECRET,
            **{"server_metadata_url": f"{provider.url}/metadata", "client_kwargs": kwargs, **registered},
        )
        self.browser = self.new_browser()

    def make_registry(self) -> Any:
        raise NotImplementedError

    def new_browser(self) -> Any:
        raise NotImplementedError

    def send(self, browser: Any, method: str, path: str, parameters: dict[str, str]) -> Any:
        """Send a request to the application; give the response."""
        raise NotImplementedError

    def run(self, result: Any) -> Any:
        """Give the result of a method of the registry's client."""
        return result

    def close(self) -> None:
        """Give resources back."""

    def get(self, path: str, browser: Any = None, **parameters: str) -> Any:
        return self.send(browser or self.browser, "GET", path, parameters)

    def start(self, browser: Any = None) -> str:
        """Return the URL that a login sends the browser to."""
        response = self.get("/login", browser)
        assert response.status_code == 302, response.text
        return str(response.headers["Location"])

    def consent(self, browser: Any = None) -> dict[str, str]:
        """Start a login and return what the provider sends back with the browser."""
        return self.provider.authorize(self.start(browser))

    def callback(self, browser: Any = None, **parameters: str) -> int:
        """Come back with ``parameters``; return the HTTP status."""
        return int(self.get("/callback", browser, **parameters).status_code)

    def post(self, browser: Any = None, **parameters: str) -> int:
        """Come back with ``parameters`` in a form."""
        return int(self.send(browser or self.browser, "POST", "/callback", parameters).status_code)

    def visited(self) -> Any:
        """Return a browser whose session is not empty."""
        browser = self.new_browser()
        assert self.get("/visit", browser).status_code == 200
        return browser


class FlaskParty(Party):
    """Under Flask."""

    def make_registry(self) -> Any:
        from authlib.integrations.flask_client import OAuth  # noqa: PLC0415 a test attaches first

        self.app = Flask("client")
        self.app.secret_key = "of-a-test"
        self.app.config["PROPAGATE_EXCEPTIONS"] = False
        self.app.logger.setLevel(logging.CRITICAL)
        self.app.add_url_rule("/login", "login", lambda: self.client.authorize_redirect(CALLBACK))
        self.app.add_url_rule("/callback", "callback", self._callback, methods=["GET", "POST"])
        self.app.add_url_rule("/visit", "visit", self._visit)
        self.app.add_url_rule("/logout", "logout", lambda: self.client.logout_redirect("https://client.example/bye"))
        self.app.add_url_rule("/forget/<state>", "forget", self._forget)
        return OAuth(self.app, cache=self.cache)

    def new_browser(self) -> Any:
        return self.app.test_client()

    def send(self, browser: Any, method: str, path: str, parameters: dict[str, str]) -> Any:
        where = {"query_string": parameters} if method == "GET" else {"data": parameters}
        return browser.open(path, method=method, **where)

    def _callback(self) -> Any:
        try:
            token = self.client.authorize_access_token()
            if self.twice:
                with contextlib.suppress(OAuthError):
                    self.client.authorize_access_token()
        except Exception as error:
            self.raised.append(error)
            if self.catches:
                return "refused", 403
            raise
        return sorted(token)

    @staticmethod
    def _visit() -> str:
        session["basket"] = "full"
        return "seen"

    def _forget(self, state: str) -> str:
        self.client.framework.clear_state_data(session, state)
        return "forgotten"


class DjangoParty(Party):
    """Under Django: its own WSGI handler, with sessions in signed cookies."""

    def make_registry(self) -> Any:
        from authlib.integrations.django_client import OAuth  # noqa: PLC0415 a test attaches first
        from django.core.handlers.wsgi import WSGIHandler  # noqa: PLC0415 only under Django's settings
        from django.http import HttpResponse  # noqa: PLC0415 as above
        from django.urls import path  # noqa: PLC0415 as above

        logging.getLogger("django.request").setLevel(logging.CRITICAL)
        self.answer = HttpResponse
        URLS.urlpatterns = [
            path("login", lambda request: self.client.authorize_redirect(request, CALLBACK)),
            path("callback", self._callback),
            path("visit", self._visit),
            path("logout", lambda request: self.client.logout_redirect(request, "https://client.example/bye")),
        ]
        self.app = WSGIHandler()
        return OAuth(cache=self.cache)

    def new_browser(self) -> Any:
        from werkzeug.test import Client  # noqa: PLC0415 as above

        return Client(self.app)

    def send(self, browser: Any, method: str, path: str, parameters: dict[str, str]) -> Any:
        where = {"query_string": parameters} if method == "GET" else {"data": parameters}
        return browser.open(path, method=method, **where)

    def _callback(self, request: Any) -> Any:
        try:
            token = self.client.authorize_access_token(request)
            if self.twice:
                with contextlib.suppress(OAuthError):
                    self.client.authorize_access_token(request)
        except Exception as error:
            self.raised.append(error)
            if self.catches:
                return self.answer("refused", status=403)
            raise
        return self.answer(json.dumps(sorted(token)))

    def _visit(self, request: Any) -> Any:
        request.session["basket"] = "full"
        return self.answer("seen")


URLS = ModuleType("client_urls")


@contextlib.contextmanager
def django_settings() -> Iterator[None]:
    """Give Django settings for a while; nothing of the process stays configured."""
    from django.conf import UserSettingsHolder, global_settings, settings  # noqa: PLC0415 only where Django is used
    from django.urls import clear_url_caches  # noqa: PLC0415 as above

    holder = UserSettingsHolder(global_settings)
    holder.SECRET_KEY = "of-a-test"
    holder.ALLOWED_HOSTS = ["*"]
    holder.ROOT_URLCONF = URLS
    holder.MIDDLEWARE = ["django.contrib.sessions.middleware.SessionMiddleware"]
    holder.SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
    before, settings._wrapped = settings._wrapped, holder
    clear_url_caches()
    try:
        yield
    finally:
        settings._wrapped = before
        clear_url_caches()


class StarletteParty(Party):
    """Under Starlette, in process, with its session in a signed cookie."""

    cache_type = AsyncCache
    # Reading the certificates of the machine takes longer than a test.
    tls: ClassVar[dict[str, Any]] = {"verify": False}

    def make_registry(self) -> Any:
        from authlib.integrations.starlette_client import OAuth  # noqa: PLC0415 a test attaches first
        from starlette.applications import Starlette  # noqa: PLC0415 only where Starlette is used
        from starlette.middleware import Middleware  # noqa: PLC0415 as above
        from starlette.middleware.sessions import SessionMiddleware  # noqa: PLC0415 as above
        from starlette.responses import JSONResponse  # noqa: PLC0415 as above
        from starlette.routing import Route  # noqa: PLC0415 as above

        self.answer = JSONResponse
        self.loop = asyncio.new_event_loop()
        self.browsers: list[Any] = []
        routes = [
            Route("/login", self._login),
            Route("/callback", self._callback, methods=["GET", "POST"]),
            Route("/visit", self._visit),
            Route("/logout", self._logout),
        ]
        self.app = Starlette(routes=routes, middleware=[Middleware(SessionMiddleware, secret_key="of-a-test")])
        return OAuth(cache=self.cache)

    def new_browser(self) -> Any:
        transport = httpx2.ASGITransport(app=self.app, raise_app_exceptions=False)
        self.browsers.append(httpx2.AsyncClient(transport=transport, base_url="http://client.example"))
        return self.browsers[-1]

    def send(self, browser: Any, method: str, path: str, parameters: dict[str, str]) -> Any:
        if method == "GET":
            query = f"?{urlencode(parameters)}" if parameters else ""
            return self.run(browser.get(path + query))
        return self.run(browser.post(path, data=parameters))

    def run(self, result: Any) -> Any:
        return self.loop.run_until_complete(result)

    def close(self) -> None:
        for browser in self.browsers:
            self.run(browser.aclose())
        self.loop.close()

    async def _login(self, request: Any) -> Any:
        return await self.client.authorize_redirect(request, CALLBACK)

    async def _logout(self, request: Any) -> Any:
        return await self.client.logout_redirect(request, "https://client.example/bye")

    async def _callback(self, request: Any) -> Any:
        try:
            token = await self.client.authorize_access_token(request)
            if self.twice:
                with contextlib.suppress(OAuthError):
                    await self.client.authorize_access_token(request)
        except Exception as error:
            self.raised.append(error)
            if self.catches:
                return self.answer("refused", 403)
            raise
        return self.answer(sorted(token))

    async def _visit(self, request: Any) -> Any:
        request.session["basket"] = "full"
        return self.answer("seen")


PARTIES: dict[str, type[Party]] = {"flask": FlaskParty, "django": DjangoParty, "starlette": StarletteParty}
