"""Resolve requirements/dev.in into requirements/dev.lock, with hashes, for every supported Python at once.

Pins that are in the lock stay unless dev.in rules them out; `--upgrade` or `--upgrade-package NAME` moves
them. The lock names no registry: whoever installs from it uses the one that is configured there.
"""

from __future__ import annotations

import subprocess
import sys

from workspace import LOCK

OPTIONS = (
    "--universal",
    "--python-version=3.10",
    "--generate-hashes",
    "--no-emit-index-url",
    "--no-emit-find-links",
    "--no-header",
    "--no-annotate",
    "--quiet",
)


def main(arguments: list[str]) -> int:
    """Write the lock with uv; `arguments` are passed on to it. Return the exit status of uv."""
    command = [
        sys.executable,
        "-m",
        "uv",
        "pip",
        "compile",
        *OPTIONS,
        *arguments,
        "dev.in",
        "--output-file=dev.lock",
    ]
    return subprocess.run(command, check=False, cwd=LOCK.parent).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
