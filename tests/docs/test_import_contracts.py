"""The contract of our own for import-linter finds a plugin's import of a private module, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONFIGURATION = """\
[importlinter]
root_packages =
    made_core
    made_plugin
contract_types =
    public_only: tools.import_contracts.PublicOnlyContract

[importlinter:contract:public]
name = public only
type = public_only
importers =
    made_plugin
imported = made_core
"""


@pytest.mark.parametrize(
    ("statement", "broken"),
    [
        ("from made_core.public import hook", None),
        ("from made_core._private import thing", "made_plugin.client -> made_core._private"),
        ("import made_core._private", "made_plugin.client -> made_core._private"),
        ("from made_core.ledger._store import Store", "made_plugin.client -> made_core.ledger._store"),
        ("from made_plugin._own import helper", None),
    ],
)
def test_private_imports_are_found(tmp_path: Path, statement: str, broken: str | None) -> None:
    files = {
        "made_core/public.py": "from made_core._private import thing as hook",
        "made_core/_private.py": "thing = 1",
        "made_core/ledger/_store.py": "Store = 1",
        "made_plugin/_own.py": "helper = 1",
        "made_plugin/client.py": statement,
        "made_core/__init__.py": "",
        "made_core/ledger/__init__.py": "",
        "made_plugin/__init__.py": "",
        ".importlinter": CONFIGURATION,
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text + "\n", encoding="utf-8")
    program = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == (0 if broken is None else 1), done.stdout + done.stderr
    if broken is not None:
        assert broken in done.stdout
