"""The corpus: documented requests and responses, and lookalikes, as data files of tests/plugins/httpx/classifier."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from otel_oauth.providers import WELL_KNOWN_PROVIDERS
from otel_oauth_httpx.classify import recognise, refused, sieve
from otel_oauth_httpx.endpoints import Endpoints
from otel_oauth_httpx.responses import outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_oauth_httpx.recognised import Recognised

DATA = Path(__file__).parents[1] / "plugins/httpx/classifier/corpus"
DOCUMENTED = [
    entry
    for path in sorted(DATA.glob("*.json"))
    if path.stem != "lookalikes"
    for entry in json.loads(path.read_text("utf-8"))
]
LOOKALIKES = json.loads((DATA / "lookalikes.json").read_text("utf-8"))

NOTHING = {
    "grant_type": "",
    "client_id": "",
    "discovery_method": "",
    "document": "",
    "manages": False,
    "parameters": [],
}


def request_of(library: Any, spoken: dict[str, Any]) -> Any:
    """Return a request as a client of ``library`` (httpx or httpx2) makes it."""
    body = {"data": spoken.get("form"), "json": spoken.get("json"), "content": spoken.get("body")}
    body = {name: value for name, value in body.items() if value is not None}
    return library.Request(spoken.get("method", "GET"), spoken["url"], headers=spoken.get("headers"), **body)


def answer_of(library: Any, spoken: dict[str, Any]) -> tuple[int, Any, bytes]:
    """Return status, headers and body of a response."""
    headers = dict(spoken.get("headers", {}))
    if "json" in spoken:
        body = json.dumps(spoken["json"]).encode()
        headers.setdefault("content-type", "application/json")
    elif "form" in spoken:
        body = urlencode(spoken["form"]).encode()
        headers.setdefault("content-type", "application/x-www-form-urlencoded; charset=utf-8")
    else:
        body = spoken.get("body", "").encode()
    return spoken.get("status", 200), library.Headers(headers), body


def classifier(endpoints: Endpoints) -> Callable[[Any], Recognised | None]:
    """Return what recognises a request as the plugin does it: through the sieve, then closely."""
    may_be_oauth = sieve(endpoints)
    return lambda request: recognise(endpoints, request) if may_be_oauth(request) else None


class Plugin:
    """The classifier as the plugin uses it: a request, its response, and what was learned before."""

    def __init__(self, library: Any) -> None:
        self.library = library
        self.endpoints = Endpoints(WELL_KNOWN_PROVIDERS)
        self.classify = classifier(self.endpoints)

    def recognise(self, entry: dict[str, Any]) -> Any:
        """Return what is recognised of an entry's request, by its response if not by itself."""
        request = request_of(self.library, entry["request"])
        found = self.classify(request)
        if found is None and "response" in entry:
            status, headers, _ = answer_of(self.library, entry["response"])
            found = refused(self.endpoints, request, status, headers)
        return found

    def answer(self, recognised: Any, spoken: dict[str, Any]) -> Any:
        """Return what the response of a recognised request came to."""
        return outcome(self.endpoints, recognised, *answer_of(self.library, spoken))

    def after(self, entry: dict[str, Any]) -> Plugin:
        """Let the requests that came before an entry pass by."""
        for earlier in entry.get("after", []):
            self._pass(earlier)
        return self

    def _pass(self, earlier: dict[str, Any]) -> None:
        posted = {"method": "POST", "json": earlier["request"]} if "request" in earlier else {}
        request = {"url": earlier["url"], **posted}
        response = {"status": earlier.get("status", 200), "headers": earlier.get("headers", {})}
        if "response" in earlier:
            response["json"] = earlier["response"]
        recognised = self.recognise({"request": request, "response": response})
        assert recognised is not None, earlier
        self.answer(recognised, response)


def described(recognised: Any) -> dict[str, Any]:
    """Return a recognised request in the words of the corpus."""
    return {
        "kind": recognised.kind.name,
        "grant_type": recognised.grant_type,
        "client_id": recognised.client_id,
        "discovery_method": recognised.discovery_method,
        "document": recognised.document,
        "manages": recognised.manages,
        "parameters": sorted(recognised.parameters),
    }
