"""Rows of the decision log for people: a line each, or one in full (`hopward.cli.tree`: a task as a tree)."""

import json
from collections.abc import Iterable, Iterator
from typing import Any, cast

from rich.text import Text

from hopward.cli.output import console, show_fields, styled
from hopward.cli.wording import is_instant, moment, short
from hopward.clock import iso
from hopward.harmless import harmless
from hopward.record import Row

_WIDTHS = (6, 20, 10, 10, 16, 32, 20)
_COLUMNS = ("row", "time", "kind", "verdict", "agent", "call", "reason", "decision or task")


def show_lines_header() -> None:
    """The names of the columns of `show_line`."""
    console().print(Text(_padded(_COLUMNS), style="bold"))


def show_line(row: Row) -> None:
    """A row on one line, in columns that fit what usually stands in them."""
    cells = (str(row.seq), short(row.at), row.kind, verdict(row), row.agent, _call(row), _reason(row))
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
            ("verdict", verdict(row)),
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


def verdict(row: Row) -> str:
    """The verdict of a row, marked where the call went on all the same: `deny (observed)`."""
    return f"{row.verdict} (observed)" if row.record.get("observed") is True else row.verdict


def _call(row: Row) -> str:
    """The call a row is about, or its server; what was revoked, contained or paired; a hop's two agents."""
    if row.kind in ("revocation", "containment"):
        return f"{_text(row.record, 'kind')} {_text(row.record, 'id')}"
    if row.kind == "device":
        return f"{_text(row.record, 'device')} of {_text(row.record, 'person')}"
    if row.kind == "event":
        return f"{_text(row.record, 'type').rpartition('/')[2]} of {_text(row.record, 'source')}"
    if row.kind == "login":
        return f"{_text(row.record, 'client')} of {_text(row.record, 'person')}"
    if row.kind == "hop":
        return f"{_text(row.record, 'hop', 'delegator')} -> {_text(row.record, 'hop', 'agent')}"
    return "/".join(part for part in (row.server, row.tool) if part)


def _reason(row: Row) -> str:
    """The reason, or for rows that have none what happened: opened, registered, revoked."""
    return row.reason or _text(row.record, "event")


def call_text(row: Row) -> Text:
    """A decision on one line: verdict, call, arguments, who, why not, and its id."""
    text = Text.assemble(styled(verdict(row)), " ", styled(_call(row), "bold"))
    arguments = inner(row.record, "call", "arguments")
    text.append_text(styled(f" {json.dumps(arguments, ensure_ascii=False)}" if arguments else ""))
    sentence = _text(row.record, "verdict", "sentence")
    text.append_text(styled(f" {sentence}" if row.verdict != "permit" else "", "dim"))
    text.append_text(styled(f" {row.decision}", "dim"))
    return text


def consequence(row: Row) -> Text:
    """What followed from a decision, on one line."""
    return Text.assemble(styled(row.kind, "bold"), " ", styled(_told(row)))


def _told(row: Row) -> str:
    match row.kind:
        case "credential":
            until = inner(row.record, "credential", "expires_at")
            expiry = f", until {moment(until)}" if is_instant(until) else ""
            kind, audience = (_text(row.record, "credential", name) for name in ("kind", "audience"))
            return f"{kind} for {audience}{expiry}"
        case "outcome":
            error, took = _text(row.record, "outcome", "error"), inner(row.record, "outcome", "duration")
            after = f" after {took / 1000:.1f} ms" if is_instant(took) else ""
            return f"{_text(row.record, 'outcome', 'status')}{after}{error and f': {error}'}"
        case "approval":
            by, why = _text(row.record, "by"), _text(row.record, "why")
            times = inner(row.record, "approval", "times")
            if _reason(row) in ("agreed", "approved") and is_instant(times) and times > 1:
                by += f" to {times} calls"
            said = f"{_reason(row)} {_text(row.record, 'approval', 'id')}"
            return f"{said}{by and f' by {by}'}{why and f': {why}'}"
        case "refusal":
            return f"{row.reason}: {_text(row.record, 'sentence')}"
        case _:
            return f"{_reason(row)} {short(row.at)} {_text(row.record, 'why')}".strip()


def inner(record: Any, *names: str) -> Any:
    """What stands at `outer.inner`, or None. A row that was tampered with may hold anything anywhere."""
    for name in names:
        record = cast("dict[str, Any]", record).get(name) if isinstance(record, dict) else None
    return record


def _text(record: Any, *names: str) -> str:
    found = inner(record, *names)
    return "" if found is None else str(found)


def _flat(record: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested objects as `outer.inner`; arguments stay one JSON text, as they were sent."""
    for name, value in record.items():
        path = f"{prefix}{name}"
        if isinstance(value, dict) and value and path != "call.arguments":
            yield from _flat(cast("dict[str, Any]", value), f"{path}.")
        elif name.endswith("_at") and is_instant(instant := cast("object", value)):
            yield path, iso(instant)
        elif value not in ("", None, [], {}):
            yield path, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _padded(cells: Iterable[str]) -> str:
    return " ".join(f"{cell:<{width}}" for cell, width in zip(cells, (*_WIDTHS, 0), strict=True))
