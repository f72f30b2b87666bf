"""No row of the advisories page is forgotten: each has its tests here, or says what it waits for."""

import ast
import tomllib
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parent
ROWS: dict[str, dict[str, Any]] = tomllib.loads((FOLDER / "rows.toml").read_text("utf-8"))


def documented() -> dict[str, str]:
    """Name -> docstring of every test in this folder."""
    found: dict[str, str] = {}
    for path in FOLDER.glob("test_*.py"):
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                assert node.name not in found, node.name
                found[node.name] = " ".join((ast.get_docstring(node) or "").split())
    return found


def test_every_row_is_there_and_has_a_test_or_waits() -> None:
    assert list(ROWS) == [str(number) for number in range(1, 27)]
    assert [number for number, row in ROWS.items() if not (row.get("tests") or row.get("waits"))] == []


@pytest.mark.parametrize("number", ROWS)
def test_the_tests_of_a_row_exist_and_name_it(number: str) -> None:
    found, row = documented(), ROWS[number]
    for name in row.get("tests", ()):
        assert f"Row {number}" in found.get(name, ""), name
    told = " ".join(found[name] for name in row.get("tests", ()))
    if row.get("tests"):
        assert [one for one in row["ids"] if one not in told] == []


@pytest.mark.parametrize("number", [number for number, row in ROWS.items() if "waits" in row])
def test_a_row_that_waits_says_for_what_and_its_test_is_not_there_yet(number: str) -> None:
    found = documented()
    for name, reason in ROWS[number]["waits"].items():
        assert reason["issue"] in (4, 5, 6)
        assert len(reason["why"].split()) > 5
        assert name not in found, f"{name} waits no longer: move it to tests"
