"""What people read, and what programs read. Text from outside is made harmless before a terminal sees it."""

import json
import sys
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

import click
import msgspec
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hopward.harmless import harmless, harmless_lines

_PIPED_WIDTH = 100_000
"""Columns when the output is no terminal: wide enough that nothing is ever cut or folded."""

_LONG_NAME = 28
"""Columns of a name in front of its value."""

STYLES = {
    "permit": "green",
    "deny": "red",
    "step-up": "yellow",
    "deny (observed)": "bold yellow",
    "step-up (observed)": "bold yellow",
    "open": "green",
    "active": "green",
    "completed": "dim",
    "expired": "yellow",
    "revoked": "red",
    "suspended": "yellow",
    "retired": "dim",
    "pending": "yellow",
    "approved": "green",
    "rejected": "red",
    "consumed": "dim",
    "void": "dim",
    "ok": "green",
    "note": "yellow",
    "broken": "red",
    "tool_error": "yellow",
    "error": "red",
}
"""The colour of a state, verdict or finding; every one of them is also a word."""


def console() -> Console:
    """A console on standard output; colours only on a terminal and without `NO_COLOR`."""
    width = None if sys.stdout.isatty() else _PIPED_WIDTH
    return Console(file=sys.stdout, highlight=False, markup=False, emoji=False, soft_wrap=True, width=width)


def styled(text: str, style: str = "") -> Text:
    """Harmless text in a style; without one, states and verdicts get their own colour."""
    return Text(harmless(text), style=style or STYLES.get(text, ""))


def show_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A plain table: a header, then one line per row."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, column in enumerate(columns):
        # The first column holds the name or id that the next command takes: it stays in one piece.
        table.add_column(column, overflow="fold", no_wrap=number == 0)
    for row in rows:
        table.add_row(*(styled(cell) for cell in row))
    _show(table)


def show_fields(fields: Iterable[tuple[str, str]]) -> None:
    """Names and values, one pair per line; fields without a value are left out.

    A name that is longer than most stands on a line of its own, so that it is not cut, and moves no value.
    """
    told = [(harmless(name), value) for name, value in fields if value]
    wide = max((cell_len(name) for name, _ in told if not _is_long(name)), default=0)
    for long, some in groupby(told, key=lambda field: _is_long(field[0])):
        if not long:
            _show(_fields(some, wide))
            continue
        for name, value in some:
            console().print(Text(name, style="bold"))
            _show(_fields([("", value)], wide))


def _is_long(name: str) -> bool:
    return cell_len(name) > _LONG_NAME


def _fields(fields: Iterable[tuple[str, str]], wide: int) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", width=wide)
    table.add_column(overflow="fold")
    for name, value in fields:
        table.add_row(Text(name), styled(value))
    return table


def _show(table: Table) -> None:
    """A table without the spaces that rich puts at the end of lines."""
    where = console()
    with where.capture() as captured:
        where.print(table)
    click.echo("\n".join(line.rstrip() for line in captured.get().splitlines()), color=True)


def show_json(value: Any) -> None:
    """One value as JSON on one line (JSON Lines)."""
    click.echo(json.dumps(msgspec.to_builtins(value), ensure_ascii=True, separators=(",", ":")))


def tell(text: str) -> None:
    """A sentence to the person, on standard output."""
    click.echo(harmless_lines(text))


def hint(text: str) -> None:
    """What can be done next, or a warning: on standard error, so that it never mixes with data."""
    click.echo(harmless_lines(text), err=True)
