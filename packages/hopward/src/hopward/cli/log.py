"""`hopward log`: read, follow and verify the decision log."""

import contextlib
import sys
import threading
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, get_args

import click

from hopward.cli.guarded import pass_ledger
from hopward.cli.output import hint, show_json, show_table, tell
from hopward.cli.rows import show_line, show_lines_header, show_row
from hopward.cli.session import Session
from hopward.cli.tree import Known, show_chain
from hopward.cli.wording import hop_state
from hopward.clock import SystemClock
from hopward.errors import NotFoundError
from hopward.ledger import RowFilter, SqliteLedger
from hopward.record import Row, RowKind

_POLL_SECONDS = 0.2
_KIND = click.Choice(get_args(RowKind))


@click.group()
@click.option(
    "--file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Read this decision log, such as a copy, instead of the one hopward.toml names.",
)
@click.pass_obj
def log(session: Session, file: Path | None) -> None:
    """Read, follow and verify the decision log."""
    session.log_file = file


@log.command("tail")
@click.option(
    "-n", "--lines", type=click.IntRange(min=0), default=20, show_default=True, help="How many rows."
)
@click.option("-f", "--follow", is_flag=True, help="Go on and show rows as they are written; Ctrl-C ends it.")
@click.option("--task", default="", help="Only rows of this task.")
@click.option("--agent", default="", help="Only rows of this agent.")
@click.option("--server", default="", help="Only rows about this server.")
@click.option("--tool", default="", help="Only rows about this tool.")
@click.option("--kind", type=_KIND, help="Only rows of this kind.")
@click.option("--denied", is_flag=True, help="Only what was refused: decisions and callers turned away.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per row.")
@pass_ledger
def tail(
    ledger: SqliteLedger,
    lines: int,
    follow: bool,
    denied: bool,
    as_json: bool,
    **columns: Any,
) -> None:
    """Show the last rows, the newest at the bottom."""
    given: dict[str, Any] = {name: value for name, value in columns.items() if value}
    asked = RowFilter(verdict="deny" if denied else "", **given)
    last, _ = ledger.head()
    rows = list(ledger.rows(replace(asked, limit=lines)))[::-1] if lines else []
    show = show_json_row if as_json else show_line
    if not as_json and (rows or follow):
        show_lines_header()
    for row in rows:
        show(row)
    if not rows and not follow:
        hint("No rows.")
    if follow:
        with contextlib.suppress(KeyboardInterrupt):
            for row in _following(ledger, replace(asked, after=max(last, *(row.seq for row in rows), 0))):
                show(row)
                sys.stdout.flush()


@log.command("show")
@click.argument("name", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per row.")
@pass_ledger
def show(ledger: SqliteLedger, name: str, as_json: bool) -> None:
    """Show everything about one decision (dec_...), or one row by its number."""
    numbered = name.isascii() and name.isdecimal() and len(name) < 20
    rows = [ledger.row(int(name))] if numbered else _decision_rows(ledger, name)
    for row in rows:
        if as_json:
            show_json_row(row)
        else:
            show_row(row)


@log.command("chain")
@click.argument("task_id", metavar="TASK")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per row, oldest first.")
@pass_ledger
def chain(ledger: SqliteLedger, task_id: str, as_json: bool) -> None:
    """Show a task as a tree: what each of its agents asked for, and what followed.

    Work handed on is a branch: the hop, its state, what it has used, and all that was done with it.
    """
    found = ledger.task(task_id)
    rows = ledger.rows(RowFilter(task=task_id, oldest_first=True))
    if as_json:
        for row in rows:
            show_json_row(row)
    else:
        show_chain(found, list(rows), _hops(ledger, task_id))


@log.command("verify")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@pass_ledger
def verify(ledger: SqliteLedger, as_json: bool) -> None:
    """Compute every row's hash again. Exit status 1, naming the rows at fault, if the log was changed."""
    found = ledger.verify(_progress if sys.stderr.isatty() else None)
    if sys.stderr.isatty():
        click.echo("\r\x1b[K", err=True, nl=False)
    if as_json:
        show_json({**asdict(found), "ok": found.ok})
    elif found.ok:
        tell(f"The decision log verifies: {found.rows} rows, head {found.head_seq} {found.head_hash}")
        hint("Keep that head somewhere else; a later check against it shows a log that was rewritten whole.")
    else:
        tell(f"The decision log does NOT verify. The first bad row is {found.problems[0].seq}.")
        show_table(["row", "what is wrong"], [(str(bad.seq), bad.what) for bad in found.problems])
        hint("Keep the file as it is: copy it before you do anything else. Someone or something changed it.")
    if not found.ok:
        click.get_current_context().exit(1)


def show_json_row(row: Row) -> None:
    """A row as one line of JSON."""
    show_json(asdict(row))


def _hops(ledger: SqliteLedger, task_id: str) -> dict[str, Known]:
    now = SystemClock().now()
    return {
        hop.id: (hop, ledger.usage(hop.id), hop_state(hop, ledger.revocations("hop", hop.id), now))
        for hop in ledger.hops(task_id)
    }


def _decision_rows(ledger: SqliteLedger, name: str) -> list[Row]:
    rows = list(ledger.rows(RowFilter(decision=name, oldest_first=True)))
    if not rows:
        told = f"The decision log has no decision {name!r}."
        raise NotFoundError(told, advice="hopward log tail lists decisions; a row's number works too.")
    return rows


def _following(ledger: SqliteLedger, asked: RowFilter) -> Iterator[Row]:
    """Rows as they are written, by number. Waits between looks, and never ends."""
    wait = threading.Event().wait
    asked = replace(asked, oldest_first=True, limit=None)
    while True:
        rows: Iterable[Row] = ledger.rows(asked)
        for row in rows:
            asked = replace(asked, after=row.seq)
            yield row
        wait(_POLL_SECONDS)


def _progress(done: int, total: int) -> None:
    click.echo(f"\rverified {done} of {total} rows", err=True, nl=False)
