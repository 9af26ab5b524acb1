"""The classifier of HTTP requests, and the ledger in each of its stores."""

from __future__ import annotations

import atexit
import itertools
import shutil
import socket
import subprocess
import tempfile
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from benchmarks.steps import Step
from otel_oauth.ledger import Kind, Ledger, MemoryStore, store_at

if TYPE_CHECKING:
    from collections.abc import Callable

_ISSUER = "https://login.example"
_FORMS: dict[str, tuple[str, dict[str, str]]] = {
    "code for tokens": ("/token", {"grant_type": "authorization_code", "code": "c" * 40, "code_verifier": "v" * 50}),
    "refresh": ("/token", {"grant_type": "refresh_token", "refresh_token": "r" * 48, "client_id": "web"}),
    "client credentials": ("/token", {"grant_type": "client_credentials", "scope": "read"}),
    "device polling": (
        "/token",
        {"grant_type": "urn:ietf:params:oauth:grant-type:device_code", "device_code": "d" * 40},
    ),
    "revocation": ("/revoke", {"token": "r" * 48, "token_type_hint": "refresh_token"}),
    "introspection": ("/introspect", {"token": "a" * 40, "token_type_hint": "access_token"}),
    "device authorization": ("/device_authorization", {"client_id": "web", "scope": "read"}),
    "pushed authorization request": (
        "/par",
        {"client_id": "web", "response_type": "code", "redirect_uri": "https://a"},
    ),
}
_SIZE = 100_000
_STARTED_SECONDS = 20


def _others() -> dict[str, Any]:
    """Return requests that are not OAuth."""
    import httpx2  # noqa: PLC0415 slow to import, and each of pyperf's processes measures one step

    api = "https://api.example/orders"
    return {
        "GET": httpx2.Request("GET", f"{api}?page=2"),
        "form POST": httpx2.Request("POST", api, data={"item": "17", "amount": "2"}),
        "JSON POST": httpx2.Request("POST", api, json={"item": 17, "amount": 2}),
    }


class _Look(Step):
    """A look at one request, called as the hook of the HTTP client does, without a function in between."""

    def __init__(self, look: Callable[[Any], object], request: Any) -> None:  # noqa: ANN401 a request of httpx2
        super().__init__(partial(look, request))
        self._look, self._request = look, request

    def run(self, operations: int) -> None:
        """Look at it so many times."""
        look, request = self._look, self._request
        for _ in range(operations):
            look(request)


def looks() -> dict[str, Step]:
    """Return the look at requests that are not OAuth, beside a call that does nothing with one.

    The floor reads what tells one from the other, and asks nothing: host, path and query of the URL.
    """
    from otel_oauth.providers import WELL_KNOWN_PROVIDERS  # noqa: PLC0415 slow to import
    from otel_oauth_httpx.classify import sieve  # noqa: PLC0415 as above
    from otel_oauth_httpx.endpoints import Endpoints  # noqa: PLC0415 as above

    def empty(_request: Any) -> None:  # noqa: ANN401 a request of httpx2
        pass

    def read(request: Any) -> None:  # noqa: ANN401 as above
        uri = request.url._uri_reference  # noqa: SLF001 as the classifier does
        uri.host, uri.path, uri.query  # noqa: B018 it is measured

    others, may_be_oauth = _others(), sieve(Endpoints(WELL_KNOWN_PROVIDERS))
    return {
        "empty call": _Look(empty, others["GET"]),
        "reading the URL": _Look(read, others["GET"]),
        "classifier: GET": _Look(may_be_oauth, others["GET"]),
        "classifier: JSON POST": _Look(may_be_oauth, others["JSON POST"]),
    }


def classifier() -> dict[str, Step]:
    """Return the look at a request, whether it is OAuth: at those that are not, and at each kind of those that are."""
    import httpx2  # noqa: PLC0415 slow to import, and each of pyperf's processes measures one step

    from otel_oauth.providers import WELL_KNOWN_PROVIDERS  # noqa: PLC0415 as above
    from otel_oauth_httpx.classify import recognise, sieve  # noqa: PLC0415 as above
    from otel_oauth_httpx.endpoints import Endpoints  # noqa: PLC0415 as above

    endpoints = Endpoints(WELL_KNOWN_PROVIDERS)
    may_be_oauth, others = sieve(endpoints), _others()
    known = {name: httpx2.Request("POST", _ISSUER + path, data=form) for name, (path, form) in _FORMS.items()}
    known["registration"] = httpx2.Request("POST", f"{_ISSUER}/register", json={"redirect_uris": ["https://a"]})
    known["discovery"] = httpx2.Request("GET", f"{_ISSUER}/.well-known/openid-configuration")
    known["authorization"] = httpx2.Request("GET", f"{_ISSUER}/authorize?response_type=code&client_id=web&state=s")

    def looked(name: str, request: Any, *, oauth: bool) -> tuple[str, Step]:  # noqa: ANN401 a request of httpx2
        if may_be_oauth(request) != oauth or (oauth and recognise(endpoints, request) is None):
            msg = f"{name} is {'not ' * oauth}taken for OAuth"
            raise AssertionError(msg)
        if not oauth:
            return name, Step(lambda: may_be_oauth(request))
        return name, Step(lambda: may_be_oauth(request) and recognise(endpoints, request))

    return dict(
        [looked(f"classifier: {name}", request, oauth=False) for name, request in others.items()]
        + [looked(f"classifier: {name} (OAuth)", request, oauth=True) for name, request in known.items()]
    )


def _life(ledger: Ledger) -> Callable[[], None]:
    numbers = itertools.count()

    def life() -> None:
        code = f"code-{next(numbers)}"
        ledger.issue_code(code, "web", method="S256")
        sighting = ledger.sight_code(code)
        ledger.redeeming(Kind.CODE, sighting)
        ledger.granted("web", f"a-{code}", refresh_token=f"r-{code}", code=sighting)

    return life


def _issued(ledger: Ledger) -> Callable[[], object]:
    numbers = itertools.count()
    return lambda: ledger.issue_code(f"only-{next(numbers)}", "web", method="S256")


def _steps(name: str, ledger: Ledger, clock: Callable[[], float] = time.process_time) -> dict[str, Step]:
    atexit.register(ledger.close)
    return {
        f"ledger {name}: a code is issued": Step(_issued(ledger), clock=clock),
        f"ledger {name}: issued, looked up, redeemed for a pair": Step(_life(ledger), clock=clock),
    }


def ledgers() -> dict[str, Step]:
    """Return a code's life in the stores of one process and of one host."""
    directory = tempfile.TemporaryDirectory()
    atexit.register(directory.cleanup)
    host = store_at(f"host:{directory.name}/ledger", "benchmarks", size=_SIZE, wait=1.0)
    return {**_steps("memory", Ledger(MemoryStore())), **_steps("host", Ledger(host))}


def redis_ledger() -> dict[str, Step]:
    """Return the same in a Redis on this machine, started for it: the time on the clock, most of it is waiting.

    Nothing where ``redis-server`` is not installed.
    """
    binary = shutil.which("redis-server")
    if binary is None:
        return {}
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    directory = tempfile.TemporaryDirectory()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", directory.name]
    server = subprocess.Popen([binary, *options], stdout=subprocess.DEVNULL)
    for stop in (directory.cleanup, server.wait, server.kill):  # run in reverse order
        atexit.register(stop)
    _wait_for(port)
    ledger = Ledger(store_at(f"redis://127.0.0.1:{port}/0", "benchmarks", size=_SIZE, wait=1.0))
    return _steps("redis", ledger, time.perf_counter)


def _wait_for(port: int) -> None:
    pause = 0.02
    retry = Retry(ConstantBackoff(pause), int(_STARTED_SECONDS / pause))
    with redis.Redis(port=port, retry=retry) as client:
        client.ping()
