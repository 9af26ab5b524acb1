"""The tests that this project has, by their ids, as pytest itself collects them."""

from __future__ import annotations

import subprocess
import sys

import pytest
from claims import COLLECTED
from pages import ROOT

import label_coverage


@pytest.fixture(scope="session")
def collected(request: pytest.FixtureRequest) -> frozenset[str]:
    """The ids of the tests of Authlib's plugin and of the manual API, whatever part of them this run is about."""
    here = request.config.stash[COLLECTED]
    named = {reached.test.partition("::")[0] for reached in label_coverage.load() if reached.test}
    named |= {path.relative_to(ROOT).as_posix() for path in ROOT.glob("tests/plugins/authlib/*/test_*.py")}
    if named <= {test.partition("::")[0] for test in here}:
        return here
    collect = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *sorted(named)]
    done = subprocess.run(collect, cwd=ROOT, capture_output=True, text=True, check=False, timeout=150)
    assert done.returncode == 0, done.stdout + done.stderr
    return frozenset(line for line in done.stdout.splitlines() if "::" in line)
