"""Requests from a process of its own, with nothing but the standard library: ``python -m benchmarks.generator JSON``.

Each thread has a connection of its own, logs in once, and then asks for tokens: a refresh and client credentials in
turn. It prints, as JSON, the seconds that each request took.

Closed (``seconds``): each asks again as soon as it is answered. Paced (``rate``): so many a second in all, whatever
the answers take.
"""

from __future__ import annotations

import http.client
import json
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from benchmarks.requested import AUTHORIZATION, BASIC, CLIENT_CREDENTIALS, FORM, code_in, exchange, refresh

_TIMEOUT_SECONDS = 60.0


class Client:
    """One client of the server at ``host:port``."""

    def __init__(self, address: str) -> None:
        self._connection = http.client.HTTPConnection(address, timeout=_TIMEOUT_SECONDS)
        self._connection.connect()
        self._refresh = self._login()
        self._asked = 0

    def _post(self, path: str, body: bytes) -> http.client.HTTPResponse:
        self._connection.request("POST", path, body, {"Authorization": BASIC, "Content-Type": FORM})
        return self._connection.getresponse()

    def _login(self) -> str:
        response = self._post(f"/authorize?{AUTHORIZATION}", b"")
        response.read()
        return str(self._token(exchange(code_in(response.headers["Location"])))["refresh_token"])

    def _token(self, form: bytes) -> dict[str, Any]:
        response = self._post("/token", form)
        body = response.read()
        if response.status != 200:  # noqa: PLR2004 HTTP's
            msg = f"the server answered {response.status}: {body.decode()}"
            raise RuntimeError(msg)
        return dict(json.loads(body))

    def ask(self) -> float:
        """Ask for a token; return the seconds until it came."""
        self._asked += 1
        began = time.perf_counter()
        if self._asked % 2:
            self._refresh = str(self._token(refresh(self._refresh))["refresh_token"])
        else:
            self._token(CLIENT_CREDENTIALS)
        return time.perf_counter() - began


def _work(client: Client, job: dict[str, Any], start: threading.Barrier) -> list[float]:
    took: list[float] = []
    start.wait()
    due = time.monotonic()
    until = due + job["seconds"]
    pause = job["threads"] / job["rate"] if job.get("rate") else 0.0
    while time.monotonic() < until:
        took.append(client.ask())
        if pause:
            due += pause
            time.sleep(max(0.0, due - time.monotonic()))
    return took


def main() -> None:
    """Do the job that the argument describes: ``address``, ``threads``, ``seconds``, perhaps ``rate``."""
    job = json.loads(sys.argv[1])
    start = threading.Barrier(job["threads"])
    clients = [Client(job["address"]) for _ in range(job["threads"])]
    with ThreadPoolExecutor(job["threads"]) as pool:
        working = [pool.submit(_work, client, job, start) for client in clients]
    print(json.dumps([seconds for each in working for seconds in each.result()]))


if __name__ == "__main__":
    main()
