"""Whose each MCP task of a server is: one table in the state folder, shared by every process there.

A table, and not ids with a MAC: `tasks/list` and notifications name tasks by the server's own ids, so whose
one is has to be looked up. Ids stand here as digests only. The arguments of the call stand here as they were,
because a task opens only while the call that made it would still be permitted. Once the task of Hopward that
it was made in has expired, a row is deleted with the next that is written.
"""

import hashlib
import os
import sqlite3
from collections.abc import Generator, Iterable
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from hopward import Chain, Decision, LedgerError, ToolCall

FILE: Final = "mcp_tasks.db"
_PATIENCE = 2.0
_TABLE = """
CREATE TABLE IF NOT EXISTS mcp_tasks (
    server TEXT NOT NULL, owner TEXT NOT NULL, id TEXT NOT NULL, until INTEGER NOT NULL,
    tool TEXT NOT NULL, arguments TEXT NOT NULL, decision TEXT NOT NULL, ended INTEGER NOT NULL,
    PRIMARY KEY (server, id, owner)
) WITHOUT ROWID
"""


@dataclass(frozen=True, slots=True)
class McpTask:
    """An MCP task, and the call that made it. `ended` says that its outcome is recorded."""

    server: str
    owner: str
    id: str
    tool: str
    arguments: dict[str, Any]
    decision: Decision
    ended: bool = False

    @property
    def call(self) -> ToolCall:
        """That call."""
        return ToolCall(server=self.server, tool=self.tool, arguments=self.arguments)


class McpTaskStore:
    """The table, opened for each look at it. All raise `LedgerError` where that cannot be done."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE

    def put(self, task: McpTask, now: int, until: int, *, apart: bool) -> bool:
        """Note whose a new task is; False for one that is another's, unless their servers are `apart`, and
        for one whose id is that of a task of the same owner that has not ended.

        `until` is when nobody can ask for it any more, in microseconds since 1970 as `now` is.
        """
        told = msgspec.json.encode
        row = (task.server, task.owner, task.id, until, task.tool)
        content = (told(task.arguments).decode(), told(task.decision).decode())
        others = "SELECT 1 FROM mcp_tasks WHERE server = ? AND id = ? AND owner <> ?"
        same = "SELECT 1 FROM mcp_tasks WHERE server = ? AND id = ? AND owner = ? AND NOT ended"
        with self._opened() as table:
            table.execute("BEGIN IMMEDIATE")
            table.execute("DELETE FROM mcp_tasks WHERE until < ?", (now,))
            key = (task.server, task.id, task.owner)
            if table.execute(same, key).fetchone() or (not apart and table.execute(others, key).fetchone()):
                return False
            table.execute("INSERT OR REPLACE INTO mcp_tasks VALUES (?, ?, ?, ?, ?, ?, ?, 0)", row + content)
            table.commit()
        return True

    def find(self, server: str, owner: str, ids: Iterable[str]) -> dict[str, McpTask]:
        """Those of these tasks that are this owner's, by their ids."""
        asked = "SELECT tool, arguments, decision, ended FROM mcp_tasks WHERE (server, owner, id) = (?, ?, ?)"
        found: dict[str, McpTask] = {}
        if not self._path.exists():
            return found
        with self._opened() as table:
            for task_id in ids:
                key = (server, owner, digested(task_id))
                row = table.execute(asked, key).fetchone()
                if row is not None:
                    arguments: dict[str, Any] = msgspec.json.decode(row[1])
                    decision = msgspec.json.decode(row[2], type=Decision)
                    found[task_id] = McpTask(*key, row[0], arguments, decision, bool(row[3]))
        return found

    def end(self, task: McpTask) -> None:
        """Note that the outcome of a task is recorded."""
        over = "UPDATE mcp_tasks SET ended = 1 WHERE (server, owner, id) = (?, ?, ?)"
        with self._opened() as table:
            table.execute(over, (task.server, task.owner, task.id))

    @contextmanager
    def _opened(self) -> Generator[sqlite3.Connection]:
        try:
            # Nobody else may read it, whatever the umask says.
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
            with closing(sqlite3.connect(self._path, timeout=_PATIENCE, isolation_level=None)) as table:
                table.execute(_TABLE)
                yield table
        except (sqlite3.Error, OSError, msgspec.MsgspecError) as error:
            told = f"The table of MCP tasks cannot be used: {type(error).__name__}."
            raise LedgerError(told) from error


def digested(task_id: str) -> str:
    """An id as the table has it."""
    return hashlib.sha256(task_id.encode()).hexdigest()


def owner_of(chain: Chain) -> str:
    """Who may reach what a chain has made: its subject, agents and task, and the hops between them."""
    told = msgspec.json.encode([chain.subject, chain.actors, chain.task, chain.hops])
    return hashlib.sha256(told).hexdigest()
