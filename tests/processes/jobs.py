"""A plain program whose jobs refresh a token at $ISSUER in processes of their own, with no line of telemetry.

Its argument is how it makes them: ``fork`` or ``spawn`` of multiprocessing, or ``os.fork``. It goes on
to make them when the pipe $EXPORTED is closed, and they end when $UNTIL is, so that whoever started the program sees
to it that there was time for an export.
"""

from __future__ import annotations

import multiprocessing
import os
import sys

from authlib.integrations.requests_client import OAuth2Session


def refresh(times: int, start_token: str) -> None:
    session = OAuth2Session("web", "web-secret", token={"refresh_token": start_token}, trust_env=False)
    for _ in range(times):
        session.token = session.refresh_token(os.environ["ISSUER"] + "/token")


def job(times: int, start_token: str) -> None:
    refresh(times, start_token)
    wait_for("UNTIL")


def wait_for(pipe: str) -> None:
    with open(os.environ[pipe], "rb") as file:  # noqa: PTH123 a pipe: this waits for its end
        file.read()


def in_forks(jobs: list[tuple[int, str]]) -> None:
    children = []
    for arguments in jobs:
        child = os.fork()
        if child == 0:
            job(*arguments)
            sys.exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)


def in_processes(method: str, jobs: list[tuple[int, str]]) -> None:
    context = multiprocessing.get_context(method)
    processes = [context.Process(target=job, args=arguments) for arguments in jobs]
    for process in processes:
        process.start()
    for process in processes:
        process.join()


if __name__ == "__main__":
    method, own, *tokens = sys.argv[1:]
    refresh(1, own)  # attached, and with telemetry of its own, before the others are made
    wait_for("EXPORTED")
    made = [(number + 2, token) for number, token in enumerate(tokens)]
    if method == "os.fork":
        in_forks(made)
    else:
        in_processes(method, made)
