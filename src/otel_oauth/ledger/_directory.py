"""The private directories of this user that hold ledgers, and what becomes of those that nobody uses."""

from __future__ import annotations

import os
import shutil
import stat
import time
from typing import TYPE_CHECKING

from otel_oauth._patterns import pattern
from otel_oauth.ledger._store import StoreError

if TYPE_CHECKING:
    from pathlib import Path

_STALE_SECONDS = 30 * 24 * 3600.0
_OWN_NAME = pattern("[0-9a-f]{16}")


def private_directory(path: Path) -> Path:
    """Create ``path`` with mode 0700, or check that it is a directory of this user that nobody else can enter.

    :raises StoreError: if it is a link, belongs to somebody else or is open to others.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
        found = path.lstat()
    except OSError as error:
        msg = f"the ledger's directory cannot be made ({error.strerror})"
        raise StoreError(msg) from None
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        msg = "the ledger's directory is not private to this user (it must be a directory of mode 0700)"
        raise StoreError(msg)
    return path


def sweep(root: Path, keep: Path) -> None:
    """Remove the ledgers below this product's own ``root`` that no process has written to for 30 days."""
    try:
        for directory in root.iterdir():
            files = [directory / "data.mdb", directory / "key"]
            if directory != keep and _OWN_NAME.fullmatch(directory.name) and all(file.exists() for file in files):
                used = max(file.stat().st_mtime for file in files)
                if time.time() - used > _STALE_SECONDS:
                    shutil.rmtree(directory, ignore_errors=True)
    except OSError:
        # Another worker sweeps at the same time; what it leaves goes at the next start.
        return
