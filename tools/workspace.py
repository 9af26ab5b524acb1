"""Where things are in this checkout, for the scripts beside this file."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements" / "dev.lock"
DISTRIBUTIONS = (ROOT, *sorted(path.parent for path in ROOT.glob("instrumentation/*/pyproject.toml")))
"""The directories of all distributions, the core first."""
