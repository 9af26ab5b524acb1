"""The handwritten pages agree with the code: no broken link, no case, name, setting or method that is missing."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from pages import NAMES, PAGES, ROOT, page, rows

import make_docs
import otel_oauth
from otel_oauth import cases, catalogue, kinds, manual, vocabulary
from otel_oauth_authlib.client import CLIENT_HOOKS
from otel_oauth_authlib.configuration import CONFIGURATION_CALLBACKS
from otel_oauth_authlib.endpoints import ENDPOINT_CALLBACKS
from otel_oauth_authlib.grants import CHALLENGE_CALLBACKS, CLIENT_AUTH_CALLBACKS, GRANT_CALLBACKS
from otel_oauth_authlib.registry import REGISTRY_HOOKS
from otel_oauth_authlib.resource import RESOURCE_HOOKS, VALIDATOR_CALLBACKS
from otel_oauth_authlib.server import SERVER_HOOKS
from otel_oauth_authlib.server_callbacks import AUTHENTICATION_CALLBACKS, OWN_SERVER_CALLBACKS, SERVER_CALLBACKS

if TYPE_CHECKING:
    from pathlib import Path


def _anchors(path: Path) -> set[str]:
    outside_of_blocks = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", outside_of_blocks, re.MULTILINE)
    plain = (re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading) for heading in headings)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name: str) -> None:
    here = ROOT / name
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", here.read_text(encoding="utf-8")):
        if link.startswith("https://"):
            continue
        target, _, anchor = link.partition("#")
        path = (here.parent / target).resolve() if target else here
        if not path.exists() or (anchor and anchor not in _anchors(path)):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("name", NAMES)
def test_no_path_of_a_machine(name: str) -> None:
    assert str(ROOT) not in page(name)
    assert not re.search(r"(?<![\w.])/(home|root|work|Users)/", page(name))


def test_every_page_is_in_the_index() -> None:
    index = page("docs/README.md")
    pages = [path.name for path in PAGES if path.parent.name == "docs" and path.name != "README.md"]
    assert len(pages) > 5
    assert [name for name in pages if f"({name})" not in index] == []


def test_readme_has_every_documented_metric_with_its_labels() -> None:
    found = {cells[0]: cells[1] for cells in rows("README.md") if cells[0].startswith("[")}
    documented = catalogue.DOCUMENTED
    wanted = {f"[{each.name}](docs/metrics.md#{each.name})": ", ".join(each.label_names) for each in documented}
    assert found == wanted
    assert len(wanted) == 39


def test_readme_has_every_setting_with_its_default() -> None:
    generated = re.findall(r"^\| (`OTEL_OAUTH_\w+`) \| (\S+) \|", make_docs.configuration_page(), re.MULTILINE)
    found = [tuple(cells[:2]) for cells in rows("README.md") if cells[0].startswith("`OTEL_OAUTH_")]
    assert found == generated


# What the other pages promise -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", cases.CASES.values(), ids=lambda case: case.name)
def test_decision_table_has_the_case_and_all_that_it_moves(case: cases.Case) -> None:
    (cells,) = [cells for cells in rows("docs/decisions.md") if cells[0] == f"`{case.name}`"]
    assert cells[2] == ("" if case.security is None else " ".join(case.security))
    written = set(re.findall(r"`(oauth_\w+)", cells[3]))
    moved = {move.metric.name for move in case.moves} - {catalogue.SECURITY_EVENTS.name}
    assert written == moved
    for move in case.moves:
        if move.metric.name in moved and all(type(part) is str for part in move.labels) and move.labels:
            assert f"`{move.metric.name}{{{','.join(move.labels)}}}`" in cells[3]
    assert ("a failed flow" in cells[3]) == bool(case.facts.get("flow"))
    if "refresh" in case.facts:
        assert cells[3].startswith(f"{case.facts['refresh']}, {case.facts['reason']}")


def test_decision_table_has_no_other_case() -> None:
    named = {cells[0].strip("`") for cells in rows("docs/decisions.md") if re.fullmatch(r"`\w+`", cells[0])}
    assert named == set(cases.CASES)


SHARED = {
    "provider_api_": "the provider's three",
    "oauth_http_": "the request's two",
    "oauth_rate_": "the request's two",
}
RECORDED = [kind for kind in kinds.KINDS.values() if kind.span and kind is not kinds.VERDICT]


@pytest.mark.parametrize("kind", RECORDED, ids=lambda kind: kind.name)
def test_authlib_page_has_every_operation_and_its_metrics(kind: kinds.OperationKind) -> None:
    operations = [cells for cells in rows("docs/authlib.md") if len(cells) == 4]
    found = [cells for cells in operations if re.match(rf"`oauth\.{kind.name}\b", cells[2])]
    assert found, f"no row has the span oauth.{kind.name}"
    text = " ".join(cells[3] for cells in (operations if kind.side == "server" else found))
    for name in {move.metric.name for move in kind.moves}:
        phrase = next((phrase for prefix, phrase in SHARED.items() if name.startswith(prefix)), f"`{name}")
        assert phrase in text, name
        assert f"`{name}" in page("docs/authlib.md")


def test_authlib_page_has_every_hooked_method() -> None:
    targets = [*CLIENT_HOOKS, *REGISTRY_HOOKS, *SERVER_HOOKS, *RESOURCE_HOOKS]
    names = {target.rpartition(".")[2] for target in targets}
    names |= {*SERVER_CALLBACKS, *OWN_SERVER_CALLBACKS, *AUTHENTICATION_CALLBACKS}
    names |= {*GRANT_CALLBACKS, *CHALLENGE_CALLBACKS, *CLIENT_AUTH_CALLBACKS}
    names |= {*ENDPOINT_CALLBACKS, *CONFIGURATION_CALLBACKS, *VALIDATOR_CALLBACKS}
    text = page("docs/authlib.md")
    assert [name for name in sorted(names) if not re.search(rf"[`.]{name}\b", text)] == []


def test_authlib_page_has_every_outcome_of_a_verification() -> None:
    text = page("docs/authlib.md")
    assert [value for value in vocabulary.VERIFICATIONS if f"`{value}`" not in text] == []


def test_manual_page_has_every_function_and_records_all_39() -> None:
    text = page("docs/manual-api.md")
    functions = [name for name in otel_oauth.__all__ if not name.startswith("_")]
    assert [name for name in functions if f"otel_oauth.{name}(" not in text and f"`{name}(" not in text] == []
    methods = {
        name
        for cls in (manual.Endpoint, manual.Callback, manual.FlowStart, manual.ProviderCall)
        for name in vars(cls)
        if not name.startswith("_")
    }
    assert [name for name in sorted(methods) if f".{name}(" not in text] == []
    assert [metric.name for metric in catalogue.DOCUMENTED if metric.name not in text] == []
