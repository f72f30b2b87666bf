"""How the demo tells its story on a terminal."""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.panel import Panel
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

console = Console(highlight=False)
INDENT = (0, 0, 0, 3)
WIDE = 100


class Chapters:
    """Numbered headings."""

    def __init__(self) -> None:
        self._number = 0

    def begin(self, title: str) -> None:
        """Start the next chapter."""
        self._number += 1
        console.print()
        console.print(Rule(f"[bold]{self._number}. {title}", align="left", style="blue"))


def say(text: str) -> None:
    """One paragraph."""
    console.print(Padding(Text(text), INDENT))


def asked(tool: str, arguments: Mapping[str, Any]) -> None:
    """What the agent calls."""
    line = Text.assemble(("-> ", "bold"), (tool, "bold"), " ", json.dumps(arguments, ensure_ascii=False))
    console.print(Padding(line, INDENT))


def permitted(answer: str) -> None:
    """What a call that went through came back with."""
    first = answer if len(answer) < 90 else answer[:90] + "..."
    console.print(Padding(Text.assemble(("<- permitted ", "bold green"), first), INDENT))


def refused(answer: str) -> None:
    """What a call that did not go through came back with."""
    console.print(Padding(Text.assemble(("<- refused   ", "bold red"), answer), INDENT))


def fields(title: str, rows: Mapping[str, str]) -> None:
    """Names and values in a frame."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="cyan")
    table.add_column(overflow="fold")
    for name, value in rows.items():
        table.add_row(name, Text(value))
    console.print(
        Padding(Panel(table, title=title, title_align="left", expand=False, border_style="dim"), INDENT)
    )


def quoted(title: str, text: str) -> None:
    """Text from elsewhere, in a frame."""
    console.print(Padding(Panel(Text(text), title=title, title_align="left", border_style="yellow"), INDENT))


def token(claims: Mapping[str, Any]) -> None:
    """The claims of a credential that a server received."""
    seconds = claims["exp"] - claims["iat"]
    until = datetime.fromtimestamp(claims["exp"], UTC).strftime("%H:%M:%S UTC")
    rows = {
        "aud": f"{claims['aud']}   this server and no other",
        "scope": f"{claims['scope']}   this tool and no other",
        "sub": f"{claims['sub']}   on whose behalf",
        "act": f"{json.dumps(claims['act'])}   who acts",
        "exp": f"{seconds} s after iat, at {until}; its jti opens the server once",
        "txn": f"{claims['txn']}   the task",
        "decision": f"{claims['decision']}   the row of the decision log that permitted it",
        "arguments": claims["authorization_details"][0]["arguments_digest"],
    }
    fields("the token the server received", rows)


def output(text: str) -> None:
    """What a command printed."""
    for line in text.rstrip().splitlines():
        console.print(Padding(Text(line), INDENT))


def command(line: str) -> None:
    """A command as typed."""
    console.print(Padding(Text.assemble(("$ ", "dim"), (line, "bold")), INDENT))


def log_table(rows: Iterable[Mapping[str, Any]]) -> None:
    """Rows of the decision log, a line each; a narrow terminal does without their ids."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for column in ("row", "time", "kind", "verdict"):
        table.add_column(column, no_wrap=True)
    table.add_column("call", overflow="fold")
    table.add_column("reason", no_wrap=True)
    if console.width >= WIDE:
        table.add_column("decision", no_wrap=True)
    for row in rows:
        call = f"{row['server']}/{row['tool']}" if row["tool"] else row["server"]
        if row["kind"] == "credential" and not call:
            call = "(for the authority)"
        reason = row["reason"] or row["record"].get("event", "")
        style = {"permit": "green", "deny": "red", "step-up": "yellow"}.get(row["verdict"], "")
        verdict = Text(row["verdict"], style=style)
        cells = (str(row["seq"]), row["at"][11:19], row["kind"], verdict, call, reason, row["decision"][:12])
        table.add_row(*cells[: len(table.columns)])
    console.print(Padding(table, (0, 0, 0, 1)))
