"""Every common question is answered from an index, in row order, without sorting or reading the whole log."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from hopward.ledger import RowFilter
from hopward.ledger.rows import query

from .conftest import Open


@pytest.mark.parametrize("oldest_first", [True, False], ids=["oldest first", "newest first"])
@pytest.mark.parametrize(
    ("asked", "index"),
    [
        ({}, "INTEGER PRIMARY KEY"),
        ({"after": 7}, "INTEGER PRIMARY KEY"),
        ({"task": "task_1"}, "log_by_task"),
        ({"agent": "helper"}, "log_by_agent"),
        ({"tool": "read_ticket"}, "log_by_tool"),
        ({"tool": "read_ticket", "server": "desk"}, "log_by_tool"),
        ({"decision": "dec_1"}, "log_by_decision"),
        ({"decision": "dec_1", "kind": "decision"}, "log_by_decision"),
        ({"verdict": "deny"}, "log_by_refusal"),
        ({"verdict": "step-up"}, "log_by_refusal"),
        ({"kind": "revocation"}, "log_by_kind"),
    ],
)
def test_a_question_is_answered_from_its_index(
    open_ledger: Open, path: Path, asked: dict[str, Any], index: str, oldest_first: bool
) -> None:
    open_ledger()
    sql, parameters = query(RowFilter(**asked, oldest_first=oldest_first), 2**63 - 1, 50)
    with closing(sqlite3.connect(path)) as connection:
        plan = [row[-1] for row in connection.execute("EXPLAIN QUERY PLAN " + sql, parameters)]
    if asked == {"tool": "read_ticket"}:
        # Rows of one tool name at several servers lie apart in the index and are put in order.
        assert plan[0].startswith("SEARCH")
    else:
        assert len(plan) == 1
    assert index in plan[0]
