"""Asking the decision log for rows."""

import json
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, cast

from hopward.clock import Instant, iso
from hopward.errors import LedgerCorruptError
from hopward.ledger.failure import KEEP
from hopward.ledger.schema import FREQUENT
from hopward.record import Row

_COLUMNS = "seq, kind, at, task, agent, server, tool, verdict, reason, decision, record, hash"
_PAGE = 500
_ALL = 2**63 - 1

# The second halves repeat the conditions of the partial indices (hopward.ledger.migrations).
_CONDITIONS = {
    "task": "task = :task AND task <> ''",
    "agent": "agent = :agent AND agent <> ''",
    "server": "server = :server",
    "tool": "tool = :tool AND tool <> ''",
    "decision": "decision = :decision AND decision <> ''",
}


@dataclass(frozen=True, slots=True)
class RowFilter:
    """Which rows, in which order. An empty text and a None ask for no condition.

    `since` (inclusive) and `before` (exclusive) bound the time of the row; `after` its number, so that a
    reader can go on where it stopped. Newest first unless `oldest_first`.
    """

    kind: str = ""
    task: str = ""
    agent: str = ""
    server: str = ""
    tool: str = ""
    verdict: str = ""
    decision: str = ""
    since: Instant | None = None
    before: Instant | None = None
    after: int = 0
    limit: int | None = None
    oldest_first: bool = False


def stream(
    asked: RowFilter, read: Callable[[Callable[[sqlite3.Connection], list[Row]]], list[Row]]
) -> Iterator[Row]:
    """The rows asked for, a page at a time.

    No read transaction stays open between pages, so an iterator left half used holds nothing back.
    """
    left = _ALL if asked.limit is None else asked.limit
    end = _ALL
    while left > 0:
        size = min(left, _PAGE)
        rows = read(_page_reader(asked, end, size))
        yield from rows
        if len(rows) < size:
            return
        left -= size
        if asked.oldest_first:
            asked = replace(asked, after=rows[-1].seq)
        else:
            end = rows[-1].seq


def query(asked: RowFilter, end: int, size: int) -> tuple[str, dict[str, Any]]:
    """The SQL and parameters of one page: rows numbered below `end`, at most `size`."""
    parameters: dict[str, Any] = {"after": asked.after, "end": end, "size": size}
    conditions = ["seq > :after", "seq < :end"]
    for column, condition in _CONDITIONS.items():
        value = getattr(asked, column)
        if value:
            conditions.append(condition)
            parameters[column] = value
    if asked.kind:
        conditions.append(
            "kind = :kind" if _frequent(asked.kind) else f"kind = :kind AND kind NOT IN {FREQUENT}"
        )
        parameters["kind"] = asked.kind
    if asked.verdict:
        permit = asked.verdict == "permit"
        conditions.append("verdict = :verdict" + ("" if permit else " AND verdict NOT IN ('', 'permit')"))
        parameters["verdict"] = asked.verdict
    for name, instant, comparison in (("since", asked.since, ">="), ("before", asked.before, "<")):
        if instant is not None:
            conditions.append(f"at {comparison} :{name}")
            parameters[name] = iso(instant)
    order = "ASC" if asked.oldest_first else "DESC"
    sql = f"SELECT {_COLUMNS} FROM log WHERE {' AND '.join(conditions)} ORDER BY seq {order} LIMIT :size"  # noqa: S608 - constants only, values are parameters
    return sql, parameters


def decoded(values: tuple[Any, ...]) -> Row:
    """A row from its twelve column values.

    Raises `LedgerCorruptError` if a column is not text, or the record no JSON object.
    """
    seq, kind, at, task, agent, server, tool, verdict, reason, decision, text, digest = values
    if not all(type(value) is str for value in values[1:]):
        raise _unreadable(seq, "a column is not text")
    try:
        record = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _unreadable(seq, str(error)) from error
    if not isinstance(record, dict):
        raise _unreadable(seq, "its record is no JSON object")
    record = cast("dict[str, Any]", record)
    return Row(seq, kind, at, task, agent, server, tool, verdict, reason, decision, record, digest)


def _unreadable(seq: int, why: str) -> LedgerCorruptError:
    return LedgerCorruptError(f"Row {seq} of the decision log is not readable: {why}.", advice=KEEP)


def _page_reader(asked: RowFilter, end: int, size: int) -> Callable[[sqlite3.Connection], list[Row]]:
    sql, parameters = query(asked, end, size)

    def page(connection: sqlite3.Connection) -> list[Row]:
        return [decoded(values) for values in connection.execute(sql, parameters).fetchall()]

    return page


def _frequent(kind: str) -> bool:
    return f"'{kind}'" in FREQUENT
