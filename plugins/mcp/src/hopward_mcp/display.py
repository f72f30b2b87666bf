"""Tables for people, and text from servers made harmless before a terminal sees it."""

import sys
import unicodedata
from collections.abc import Iterable, Sequence

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

_PIPED_WIDTH = 100_000
"""Columns when the output is no terminal: wide enough that nothing is ever cut or folded."""

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})


def harmless(text: str) -> str:
    """A server's own text on one line, without anything that a terminal would obey or hide."""
    return "".join(
        c.encode("unicode_escape").decode() if unicodedata.category(c) in _HIDDEN else c for c in text
    )


def harmless_lines(text: str) -> str:
    """The text with its line breaks, everything else as in `harmless`."""
    return "\n".join(map(harmless, text.split("\n")))


def show_table(columns: Sequence[str], rows: Iterable[Sequence[str]], whole: int = 1) -> None:
    """A plain table: a header, then one line per row; the first `whole` columns stay in one piece."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, column in enumerate(columns):
        table.add_column(column, overflow="fold", no_wrap=number < whole)
    for row in rows:
        table.add_row(*(Text(harmless(cell)) for cell in row))
    _print(table)


def show_fields(fields: Iterable[tuple[str, str]]) -> None:
    """Names and values, one pair per line; fields without a value are left out."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in fields:
        if value:
            table.add_row(name, Text(harmless(value)))
    _print(table)


def _print(table: Table) -> None:
    """A table without the spaces that rich puts at the end of lines."""
    width = None if sys.stdout.isatty() else _PIPED_WIDTH
    where = Console(file=sys.stdout, highlight=False, markup=False, emoji=False, width=width)
    with where.capture() as captured:
        where.print(table)
    click.echo("\n".join(line.rstrip() for line in captured.get().splitlines()), color=True)
