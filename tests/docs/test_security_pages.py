"""What the security pages promise is held by tests that exist."""

import ast
import re

import pytest

from .markdown import ROOT, Page, page

GUARANTEES = page("docs/security/guarantees.md")
FAILURES = page("docs/security/failure-table.md")

NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
SECTION = re.compile(r"^### (.+)\n((?:(?!^##).*\n)*)", re.MULTILINE)


def functions_of(path: str) -> set[str]:
    file = ROOT / path
    if not file.exists():
        return set()
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(node, functions)}


@pytest.mark.parametrize("shown", [GUARANTEES, FAILURES], ids=lambda one: one.name)
def test_every_test_named_on_a_security_page_exists(shown: Page) -> None:
    named = NAMED.findall(shown.text)
    assert named
    assert [f"{path}::{test}" for path, test in named if test not in functions_of(path)] == []


@pytest.mark.parametrize("section", SECTION.findall(GUARANTEES.text), ids=lambda section: section[0])
def test_every_guarantee_names_a_test_and_its_limits(section: tuple[str, str]) -> None:
    _, text = section
    assert NAMED.findall(text)
    assert "\nLimits: " in text


def test_every_row_of_the_failure_table_names_a_test() -> None:
    rows = FAILURES.table("part")
    assert len(rows) > 30
    assert [row[0] for row in rows if not NAMED.fullmatch(row[2])] == []
