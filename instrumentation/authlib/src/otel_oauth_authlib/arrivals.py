"""The HTTP request in which a callback arrives, as each web framework gives it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

from otel_oauth_authlib.framework import flask_request

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from otel_oauth.hooks import Call


class Arrived:
    """The HTTP request of a callback.

    :param method: its HTTP method.
    :param query: the parameters of its URL.
    :param form: gives its form as it was parsed; asked only after Authlib itself has read the form. ``None`` if
        that cannot be told.
    :param request: the framework's object, where the end of the request cannot be seen otherwise.
    """

    def __init__(
        self,
        method: str,
        query: Mapping[str, Any],
        form: Callable[[], Mapping[str, Any] | None],
        request: Any = None,  # noqa: ANN401 whatever the framework has
    ) -> None:
        self.method: Final = method
        self.query: Final = query
        self.form: Final = form
        self.request: Final = request
        self.posted: Final = method != "GET"
        """Whether the parameters are in a form (``response_mode=form_post``): all but GET, as Authlib has it."""


def arrived_at_flask(_call: Call) -> Arrived | None:
    """Read the request of Flask's context."""
    request = flask_request()
    if request is None:
        return None
    # A plain dictionary: each name that Werkzeug's does not have costs an exception of Werkzeug's.
    return Arrived(request.method, dict(request.args.items()), lambda: request.form)


def arrived_at_django(call: Call) -> Arrived | None:
    """Read the request that a Django view passes on."""
    request = call.argument(0, "request")
    if request is None:
        return None
    # Not `request.GET`: with too many parameters that raises, which is for Authlib to find.
    query = dict(parse_qsl(request.META.get("QUERY_STRING", "")))
    return Arrived(request.method, query, lambda: request.POST, request)


def arrived_at_starlette(call: Call) -> Arrived | None:
    """Read the request that a Starlette endpoint passes on."""
    request = call.argument(0, "request")
    if request is None:
        return None
    method = str(request.scope.get("method", "GET"))
    return Arrived(method, request.query_params, lambda: _parsed_by_starlette(request), request)


def _parsed_by_starlette(request: Any) -> Mapping[str, Any] | None:  # noqa: ANN401 Starlette's request
    """Return the form as Starlette keeps it: to parse it again would wait for the body."""
    form: Mapping[str, Any] | None = getattr(request, "_form", None)
    if form is None and "state" in request.query_params:
        # Authlib before 1.6 reads the query whatever the method.
        query: Mapping[str, Any] = request.query_params
        return query
    return form
