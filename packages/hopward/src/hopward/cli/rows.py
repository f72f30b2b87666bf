"""Rows of the decision log for people: a line each, one in full, or a task as a tree."""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, cast

from rich.text import Text
from rich.tree import Tree

from hopward.cli.output import console, harmless, show_fields, styled
from hopward.cli.wording import moment, short
from hopward.clock import iso
from hopward.model import Task
from hopward.record import Row

_WIDTHS = (6, 20, 10, 10, 16, 32, 20)
_COLUMNS = ("row", "time", "kind", "verdict", "agent", "call", "reason", "decision or task")


def show_lines_header() -> None:
    """The names of the columns of `show_line`."""
    console().print(Text(_padded(_COLUMNS), style="bold"))


def show_line(row: Row) -> None:
    """A row on one line, in columns that fit what usually stands in them."""
    call = f"{row.server}/{row.tool}" if row.tool else row.server
    cells = (str(row.seq), short(row.at), row.kind, row.verdict, row.agent, call, _reason(row))
    line = Text()
    for cell, width in zip(cells, _WIDTHS, strict=True):
        line.append_text(styled(cell))
        line.append(" " * max(1, width + 1 - len(harmless(cell))))
    line.append_text(styled(row.decision or row.task))
    console().print(line)


def show_row(row: Row) -> None:
    """Everything one row says."""
    show_fields(
        [
            ("row", str(row.seq)),
            ("time", row.at),
            ("kind", row.kind),
            ("decision", row.decision),
            ("verdict", row.verdict),
            ("reason", row.reason),
            ("task", row.task),
            ("agent", row.agent),
            ("server", row.server),
            ("tool", row.tool),
            *_flat(row.record),
            ("hash", row.hash),
        ]
    )
    console().print()


def show_chain(task: Task, rows: Sequence[Row]) -> None:
    """A task, its decisions in order, and under each what followed from it."""
    top = styled(f"{task.id} {task.state}: {task.purpose} ({task.subject} -> {task.agent})", "bold")
    tree = Tree(top)
    decisions: dict[str, Tree] = {}
    for row in rows:
        if row.kind == "decision":
            decisions[row.decision] = tree.add(_decision(row))
        else:
            decisions.get(row.decision, tree).add(_line(row))
    console().print(tree)


def _reason(row: Row) -> str:
    """The reason, or for rows that have none what happened: opened, registered, revoked."""
    return row.reason or str(row.record.get("event", ""))


def _decision(row: Row) -> Text:
    text = Text.assemble(styled(row.verdict), " ", styled(f"{row.server}/{row.tool}", "bold"))
    arguments = row.record.get("call", {}).get("arguments")
    text.append_text(styled(f" {json.dumps(arguments, ensure_ascii=False)}" if arguments else ""))
    actors = row.record.get("chain", {}).get("actors", [])
    if len(actors) > 1:
        text.append_text(styled(" by " + " -> ".join(map(str, actors))))
    sentence = row.record.get("verdict", {}).get("sentence", "")
    text.append_text(styled(f" {sentence}" if row.verdict != "permit" else "", "dim"))
    text.append_text(styled(f" {row.decision}", "dim"))
    return text


def _line(row: Row) -> Text:
    return Text.assemble(styled(row.kind, "bold"), " ", styled(_told(row)))


def _told(row: Row) -> str:
    match row.kind:
        case "credential":
            credential = row.record.get("credential", {})
            until = credential.get("expires_at")
            expiry = f", until {moment(until)}" if isinstance(until, int) else ""
            return f"{credential.get('kind', '')} for {credential.get('audience', '')}{expiry}"
        case "outcome":
            outcome = row.record.get("outcome", {})
            error = f": {outcome['error']}" if outcome.get("error") else ""
            return f"{outcome.get('status', '')} after {outcome.get('duration', 0) / 1000:.1f} ms{error}"
        case _:
            return f"{_reason(row)} {short(row.at)} {row.record.get('why', '')}".strip()


def _flat(record: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested objects as `outer.inner`; arguments stay one JSON text, as they were sent."""
    for name, value in record.items():
        path = f"{prefix}{name}"
        if isinstance(value, dict) and value and path != "call.arguments":
            yield from _flat(cast("dict[str, Any]", value), f"{path}.")
        elif name.endswith("_at") and isinstance(value, int):
            yield path, iso(value)
        elif value not in ("", None, [], {}):
            yield path, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _padded(cells: Iterable[str]) -> str:
    return " ".join(f"{cell:<{width}}" for cell, width in zip(cells, (*_WIDTHS, 0), strict=True))
