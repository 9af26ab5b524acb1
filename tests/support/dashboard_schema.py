"""Read the dashboards with one version of Grafana's SDK, and print as JSON what of them that version does not know.

Started as a program of its own, `python dashboard_schema.py SDK DASHBOARDS`: several versions of the SDK have one name.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


def lost(written: Any, read: Any, place: str = "") -> Iterator[str]:
    """Yield where `read` lacks what `written` says, or says something else."""
    if isinstance(written, dict) and isinstance(read, dict):
        for key, value in written.items():
            if value not in (None, [], {}, False, "", 0):
                yield from lost(value, read.get(key), f"{place}.{key}")
    elif isinstance(written, list) and isinstance(read, list) and len(written) == len(read):
        for one, other in zip(written, read, strict=True):
            yield from lost(one, other, f"{place}[]")
    elif written != read:
        yield place


def main(sdk: str, dashboards: str) -> None:
    """Compare each dashboard with what the SDK in the directory `sdk` makes of it."""
    warnings.simplefilter("ignore")
    sys.path.insert(0, sdk)
    from grafana_foundation_sdk.cog.encoder import JSONEncoder  # noqa: PLC0415 the one in the directory
    from grafana_foundation_sdk.cog.plugins import register_default_plugins  # noqa: PLC0415 likewise
    from grafana_foundation_sdk.models.dashboard import Dashboard  # noqa: PLC0415 likewise

    register_default_plugins()
    places: set[str] = set()
    files = sorted(Path(dashboards).glob("*.json"))
    for file in files:
        written = json.loads(file.read_text(encoding="utf-8"))
        places.update(lost(written, json.loads(JSONEncoder().encode(Dashboard.from_json(written)))))
    sys.stdout.write(json.dumps({"files": len(files), "lost": sorted(places)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
