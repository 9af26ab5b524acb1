"""The distributions, their metadata and the lock agree with each other."""

from __future__ import annotations

import re
import sys
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import otel_oauth._version
import otel_oauth_authlib.version
import otel_oauth_httpx.version

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
LOCK = (ROOT / "requirements" / "dev.lock").read_text(encoding="utf-8")
PROJECTS = {
    "otel-oauth": ROOT / "pyproject.toml",
    "otel-oauth-authlib": ROOT / "instrumentation" / "authlib" / "pyproject.toml",
    "otel-oauth-httpx": ROOT / "instrumentation" / "httpx" / "pyproject.toml",
}
PINS = [Requirement(line.removesuffix("\\")) for line in LOCK.splitlines() if "==" in line]
MATRIX = sorted((ROOT / "requirements" / "matrix").glob("authlib-*.txt"))
SUPPORTED = ("3.10", "3.11", "3.12", "3.13")


def project(name: str) -> dict:
    return tomllib.loads(PROJECTS[name].read_text(encoding="utf-8"))["project"]


def pinned(name: str) -> list[str]:
    """Return every version of `name` in the lock: there is one for each range of Pythons."""
    return [str(pin.specifier).removeprefix("==") for pin in PINS if pin.name == name]


def test_versions_are_in_lockstep() -> None:
    version = otel_oauth._version.__version__
    assert otel_oauth_authlib.version.__version__ == otel_oauth_httpx.version.__version__ == version
    assert {name: distribution(name).version for name in PROJECTS} == dict.fromkeys(PROJECTS, version)
    for plugin in list(PROJECTS)[1:]:
        assert f"otel-oauth == {version}" in project(plugin)["dependencies"]
    assert re.search(rf"^## {re.escape(version)}\b", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)


def test_python_ranges_agree() -> None:
    ranges = {name: project(name)["requires-python"] for name in PROJECTS}
    assert len(set(ranges.values())) == 1
    allowed = SpecifierSet(ranges["otel-oauth"])
    assert all(version in allowed for version in SUPPORTED)
    assert "3.9" not in allowed
    for name in PROJECTS:
        classified = [c.rsplit(" ", 1)[1] for c in project(name)["classifiers"] if re.search(r":: 3\.\d+$", c)]
        assert classified == list(SUPPORTED)


def test_lock_names_no_registry() -> None:
    assert "://" not in LOCK
    assert not re.search(r"^\s*(-i|-f|--(extra-)?index-url|--find-links|--trusted-host)\b", LOCK, re.MULTILINE)


def test_every_pin_has_a_hash() -> None:
    unhashed = re.findall(r"^(\S+==\S+)(?![^\n]*\\\n\s+--hash=sha256:[0-9a-f]{64})", LOCK, re.MULTILINE)
    assert len(PINS) > 50
    assert unhashed == []


def test_opentelemetry_set_matches() -> None:
    versions = {str(pin.specifier) for pin in PINS if pin.name.startswith("opentelemetry-")}
    stable = {version for version in versions if not re.search(r"b\d+$", version)}
    assert len(stable) == 1
    assert len(versions - stable) == 1


@pytest.mark.parametrize("name", PROJECTS)
def test_locked_versions_are_in_the_declared_ranges(name: str) -> None:
    extras = project(name).get("optional-dependencies", {})
    declared = [*project(name)["dependencies"], *(item for items in extras.values() for item in items)]
    for requirement in map(Requirement, declared):
        if requirement.name in PROJECTS:
            continue
        versions = pinned(requirement.name)
        assert versions, f"{requirement} is not in the lock"
        for version in versions:
            assert requirement.specifier.contains(version, prereleases=True), f"{version} is not {requirement}"


@pytest.mark.parametrize("name", PROJECTS)
def test_entry_points_resolve(name: str) -> None:
    declared = {
        (group, key, value) for group, points in project(name)["entry-points"].items() for key, value in points.items()
    }
    installed = distribution(name).entry_points
    assert {(point.group, point.name, point.value) for point in installed} == declared
    for point in installed:
        assert point.load() is not None


@pytest.mark.parametrize("name", PROJECTS)
def test_packages_are_typed(name: str) -> None:
    assert (PROJECTS[name].parent / "src" / name.replace("-", "_") / "py.typed").is_file()


def test_each_distribution_carries_the_licence() -> None:
    text = (ROOT / "LICENSE").read_bytes()
    assert b"Apache License" in text
    for path in PROJECTS.values():
        assert (path.parent / "LICENSE").read_bytes() == text


def test_the_matrix_tests_the_oldest_versions_that_are_declared() -> None:
    tested: dict[str, list[SpecifierSet]] = {}
    for path in (ROOT / "requirements" / "matrix").glob("floors*.txt"):
        for pin in map(Requirement, re.findall(r"^\S+==\S+$", path.read_text(encoding="utf-8"), re.MULTILINE)):
            tested.setdefault(pin.name, []).append(pin.specifier)
    for name in PROJECTS:
        extras = project(name).get("optional-dependencies", {})
        declared = [*project(name)["dependencies"], *(item for items in extras.values() for item in items)]
        for requirement in map(Requirement, declared):
            if requirement.name not in {*PROJECTS, "pytest"}:  # the tests themselves are written for one pytest
                oldest = str(requirement.specifier).removeprefix(">=")
                assert any(pins.contains(oldest, prereleases=True) for pins in tested[requirement.name]), requirement


def test_the_matrix_ends_with_the_locked_authlib() -> None:
    series = {path.stem.removeprefix("authlib-"): path.read_text(encoding="utf-8").strip() for path in MATRIX}
    assert list(series) == [f"1.{minor}" for minor in range(3, 10)]
    for minor, pin in series.items():
        assert pin.startswith(f"authlib=={minor}.")
    assert pinned("authlib") == [series["1.9"].removeprefix("authlib==")]
