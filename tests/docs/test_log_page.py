"""docs/reference/decision-log.md describes the tables, the kinds of rows and the records that there are."""

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, cast, get_args

import pytest

from hopward.record import RowKind

from .markdown import page
from .project import support_desk

PAGE = page("docs/reference/decision-log.md")
ROWS = PAGE.table("kind")


@pytest.fixture
def log(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """The decision log of the project that the page's examples run in."""
    support_desk(tmp_path)
    with closing(sqlite3.connect(tmp_path / ".hopward" / "decisions.db")) as connection:
        yield connection


def test_the_page_names_every_table_and_column_with_its_type(log: sqlite3.Connection) -> None:
    tables = log.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    there = {
        (f"`{table}`", f"`{name}`", kind.lower())
        for (table,) in tables
        for _, name, kind, *_ in log.execute(f"PRAGMA table_info({table})")
        if not table.startswith(("sqlite_", "_sqlite"))
    }
    assert {(row[0], row[1], row[2]) for row in PAGE.table("table")} == there


def test_the_page_names_every_kind_of_row() -> None:
    assert {row[0].strip("`") for row in ROWS} == set(get_args(RowKind))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0].strip("`"))
def test_records_have_the_members_that_the_page_names(row: list[str], log: sqlite3.Connection) -> None:
    always, _, sometimes = row[1].partition(";")
    required, allowed = set(re.findall("`(.*?)`", always)), set(re.findall("`(.*?)`", sometimes))
    found = log.execute("SELECT record FROM log WHERE kind = ?", (row[0].strip("`"),)).fetchall()
    members = [set(json.loads(record)) for (record,) in found]
    assert members
    assert all(required <= record <= required | allowed for record in members), members
    assert set().union(*members) >= allowed, "the page names members that no row has"


def test_the_decision_shown_on_the_page_has_the_shape_of_one_that_was_written(
    log: sqlite3.Connection,
) -> None:
    shown = next(json.loads(block.text) for block in PAGE.blocks if block.language == "json")
    query = "SELECT record FROM log WHERE kind = 'decision' AND reason = 'outside_task'"
    written = json.loads(log.execute(query).fetchone()[0])
    assert _shape(shown) == _shape(written)
    assert shown["verdict"]["sentence"] == written["verdict"]["sentence"]


def test_the_delegation_shown_on_the_page_is_of_the_shape_of_the_one_that_was_written(
    log: sqlite3.Connection,
) -> None:
    shown = [json.loads(block.text) for block in PAGE.blocks if block.language == "json"][1]
    query = "SELECT record FROM log WHERE kind = 'decision' AND tool = 'delegate:archivist'"
    written = json.loads(log.execute(query).fetchone()[0])
    assert _shape(shown["delegation"]) == _shape(written["delegation"])
    assert shown["delegation"]["asked"] == written["delegation"]["asked"]


def _shape(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _shape(inner) for name, inner in cast("dict[str, Any]", value).items()}
    return type(value).__name__
