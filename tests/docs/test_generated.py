"""The generated pages of docs/ are what their sources say, byte for byte."""

from __future__ import annotations

from pathlib import Path

import pytest

import make_docs
from otel_oauth import catalogue, environment_variables

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", make_docs.PAGES)
def test_page_is_current(name: str) -> None:
    assert (ROOT / name).read_bytes() == make_docs.PAGES[name]().encode()


def test_every_metric_and_variable_is_described() -> None:
    metrics = make_docs.metrics_page()
    assert [name for name in catalogue.BY_NAME if f"### `{name}`\n" not in metrics] == []
    variables = [name for name in vars(environment_variables) if name.startswith("OTEL_OAUTH_")]
    assert len(variables) > 5
    assert [name for name in variables if f"| `{name}` |" not in make_docs.configuration_page()] == []


def test_stale_page_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(make_docs, "ROOT", tmp_path)
    assert make_docs.main(["--check"]) == 1
    assert "docs/metrics.md is out of date" in capsys.readouterr().out
    assert make_docs.main([]) == 0
    assert make_docs.main(["--check"]) == 0
    (tmp_path / "docs" / "metrics.md").write_text("edited by hand", encoding="utf-8")
    assert make_docs.main(["--check"]) == 1
