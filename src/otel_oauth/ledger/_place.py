"""Where the ledger of a service lives, by the setting ``ledger``."""

from __future__ import annotations

import logging
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from otel_oauth.ledger._directory import private_directory, sweep
from otel_oauth.ledger._memory import MemoryStore
from otel_oauth.ledger._store import StoreError

if TYPE_CHECKING:
    from otel_oauth.ledger._store import Store

_log = logging.getLogger("otel_oauth")


def store_at(place: str, service: str, *, size: int, wait: float) -> Store:
    """Return the store at ``place``, or memory, said in the log, if it cannot be used.

    :param place: ``auto``, ``memory``, ``host``, ``host:DIRECTORY``, or the address of a Redis.
    :param service: keeps services apart that share a host or a Redis.
    :param size: the highest number of records of each kind.
    :param wait: seconds that an access to a Redis may wait.
    """
    if place == "memory":
        return MemoryStore(size)
    try:
        if place.startswith(("redis://", "rediss://")):
            return _redis(place, service, size, wait)
        return _host(Path(place[5:]) if place.startswith("host:") else service_directory(service), size)
    except (StoreError, OSError) as error:
        _log.warning("otel-oauth: %s; this process remembers codes, tokens and states only for itself", error)
        return MemoryStore(size)


def _host(path: Path, size: int) -> Store:
    from otel_oauth.ledger._host import HostStore  # noqa: PLC0415 the package lmdb is needed for nothing else

    return HostStore.at(path, size)


def _redis(address: str, service: str, size: int, wait: float) -> Store:
    try:
        from otel_oauth.ledger._redis import RedisStore  # noqa: PLC0415 the package redis is needed for nothing else
    except ImportError:
        msg = "the ledger in Redis needs the package redis (pip install 'otel-oauth[redis]')"
        raise StoreError(msg) from None
    return RedisStore(address, service, size=size, wait=wait)


def service_directory(service: str) -> Path:
    """Return this user's directory for a service on this host, and sweep what lies unused beside it.

    :raises StoreError: if it cannot be made, or what it is made in is not private to this user.
    """
    name = f"otel-oauth-{os.getuid()}"
    runtime = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir())
    root = private_directory((runtime if os.access(runtime, os.W_OK) else Path(tempfile.gettempdir())) / name)
    path = root / service
    sweep(root, path)
    return path
