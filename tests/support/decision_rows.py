"""The rows of the decision table, docs/decisions.md: each is a test that is named after it."""

from __future__ import annotations

import re
from typing import NamedTuple

from pages import page

from otel_oauth.cases import CASES


class Row(NamedTuple):
    """One row.

    :param name: ``test_{name}`` and ``test_{name}__{variant}`` are its tests.
    :param case: the case, if it is one; empty for a row that says what ordinary requests move.
    :param server: there is something to test at the server; ``client`` likewise.
    """

    name: str
    case: str
    server: bool
    client: bool


def _parse() -> dict[str, Row]:
    found, heading = {}, ""
    for line in page("docs/decisions.md").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("|"):
            heading = ""
        elif not heading:
            heading = cells[0]
        elif not set(cells[0]) <= set("-: "):
            name = re.sub(r"\W+", "_", cells[0].strip("`").lower())
            if heading == "case":
                found[name] = Row(name, name if name in CASES else "?", server=False, client=False)
            elif heading == "request":
                found[name] = Row(name, "", server=bool(cells[1]), client=bool(cells[2]))
    return found


ROWS = _parse()
"""The rows by their names."""


def row_of(test: str) -> Row | None:
    """Return the row that a test of this name (without its parameters) is the test of."""
    return ROWS.get(test.removeprefix("test_").partition("__")[0])
