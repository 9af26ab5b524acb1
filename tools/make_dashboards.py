"""Write the Grafana dashboards of tools/dashboards to collector/dashboards; with `--check` only compare.

The Kubernetes manifests that carry them are made from these files.
"""

from __future__ import annotations

import argparse
import sys

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from dashboards import client, health, overview, security, server, storage
from workspace import ROOT

PLACE = ROOT / "collector" / "dashboards"
BOARDS = tuple(module.BOARD for module in (overview, security, server, client, storage, health))


def rendered() -> dict[str, str]:
    """Return the text of each file by its name."""
    return {
        f"{board.uid.removeprefix('otel-oauth-')}.json": JSONEncoder(sort_keys=True, indent=2).encode(board.build())
        + "\n"
        for board in BOARDS
    }


def main(arguments: list[str]) -> int:
    """Write or compare; return the exit status: 1 if `--check` finds that a file is not what would be written."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="compare only")
    check = parser.parse_args(arguments).check
    PLACE.mkdir(exist_ok=True)
    stale = []
    for name, text in rendered().items():
        path = PLACE / name
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if not check:
            path.write_text(text, encoding="utf-8")
    for name in stale:
        print(f"{name}: {'is not what tools/dashboards make of it' if check else 'written'}")
    return 1 if stale and check else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
