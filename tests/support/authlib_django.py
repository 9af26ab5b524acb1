"""An authorization server on Django, with models in memory instead of a database."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any, ClassVar

import django
from authlib_versions import authorization_response
from django.conf import settings
from django.http import HttpResponse
from django.urls import clear_url_caches, path

ROUTES = "authlib_django_routes"


sys.modules.setdefault(ROUTES, ModuleType(ROUTES))
if not settings.configured:
    settings.configure(ALLOWED_HOSTS=["*"], SECRET_KEY="made up", DEBUG=False, USE_TZ=True)
    django.setup()


class Model:
    """What Authlib's integration asks of a model: `objects.get`, `save`, `DoesNotExist`."""

    rows: ClassVar[list[Any]]

    class DoesNotExist(Exception):  # noqa: N818 Django's name
        """No such row."""

    def __init_subclass__(cls) -> None:
        cls.rows = []
        cls.objects = type("Manager", (), {"get": staticmethod(cls.find)})

    def __init__(self, **columns: Any) -> None:
        self.revoked = False
        vars(self).update(columns)

    @classmethod
    def find(cls, **wanted: Any) -> Any:
        for row in cls.rows:
            if all(getattr(row, name, None) == value for name, value in wanted.items()):
                return row
        raise cls.DoesNotExist

    def save(self) -> None:
        if self not in type(self).rows:
            type(self).rows.append(self)


class TokenMethods:
    """What Authlib asks of a token."""

    def check_client(self, client: Any) -> bool:
        return bool(self.client_id == client.client_id)

    def get_scope(self) -> str:
        return self.scope

    def is_expired(self) -> bool:
        return False

    def is_revoked(self) -> bool:
        return self.revoked


def routes(server: Any, protect: Any) -> None:
    """Set the views of a test."""

    def authorize(request: Any) -> Any:
        grant = server.get_consent_grant(request, end_user=None)
        if request.method == "GET":
            return HttpResponse("consent")
        user = type("User", (), {"pk": 1})() if request.POST.get("allow") else None
        return authorization_response(server, user, grant, request)

    clear_url_caches()
    sys.modules[ROUTES].urlpatterns = [
        path("authorize", authorize),
        path("token", server.create_token_response),
        path("revoke", lambda request: server.create_endpoint_response("revocation", request)),
        path("api", protect("profile")(lambda request: HttpResponse(request.oauth_token.client_id))),
    ]
