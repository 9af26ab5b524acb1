"""Print the interpreters of this machine that can run the tests: `version path`, one for each minor version.

Looked for are python3.10 to python3.13 on PATH and in the version managers' usual directories below the home
directory. A name that does not start, such as a shim without its version, is left out.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MINORS = (10, 11, 12, 13)
MANAGERS = (".pyenv/versions", ".local/share/uv/python", ".asdf/installs/python")
PROBE = "import ensurepip, sys; print('%d.%d.%d' % sys.version_info[:3]); print(sys.executable)"


def candidates() -> Iterator[str]:
    """Yield paths that may be interpreters, the ones on PATH first."""
    names = [f"python3.{minor}" for minor in MINORS]
    yield from (found for name in names if (found := shutil.which(name)))
    for manager in MANAGERS:
        for directory in sorted((Path.home() / manager).glob("*/bin")):
            yield from (str(directory / name) for name in names if (directory / name).exists())


def probe(path: str) -> tuple[str, str] | None:
    """Return (full version, real path) of the interpreter at `path`; None if it does not work."""
    try:
        result = subprocess.run(
            [path, "-I", "-c", PROBE],
            capture_output=True,
            check=True,
            text=True,
            timeout=20,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    version, executable = result.stdout.split("\n", 1)
    return version, executable.strip()


def find() -> dict[str, tuple[str, str]]:
    """Return the first interpreter of each minor version, such as `3.12`: (full version, path)."""
    found: dict[str, tuple[str, str]] = {}
    for path in candidates():
        answer = probe(path)
        if answer and answer[0].rsplit(".", 1)[0] in {f"3.{minor}" for minor in MINORS}:
            found.setdefault(answer[0].rsplit(".", 1)[0], answer)
    return dict(sorted(found.items(), key=lambda item: int(item[0].split(".")[1])))


def main() -> int:
    """Print what was found."""
    for version, path in find().values():
        print(version, path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
