"""An office whose researcher may read notes that stand behind the guarded proxy."""

import json
import os
import sys
from pathlib import Path
from typing import Any

from . import office
from .office import ASKED, LOOKING, PAYING

BIN = Path(os.environ.get("HOPWARD_BIN", str(Path(sys.executable).parent)))
"""Where the proxy and the server run: in the environment that has their packages."""

NOTES = '{ tools = ["notes/*"], actions = ["read"], sensitivity = "internal", destinations = ["archive"] }'
SERVER = """
[servers.notes]
resource = "urn:example:notes"
TRANSPORT

[servers.notes.tools.read_note]
action = "read"
sensitivity = "internal"
integrity = "trusted"
destination = "archive"
arguments = { note = "string" }
"""


def configured() -> str:
    """The configuration of the office, with notes for the researcher."""
    ours = office.CONFIG.replace(
        f"delegable = [{LOOKING}, {PAYING}]", f"delegable = [{LOOKING}, {PAYING}, {NOTES}]"
    )
    ours = ours.replace(f"    {PAYING},\n]", f"    {PAYING},\n    {NOTES},\n]")
    mine = f'purpose = "Looks things up"\nceiling = [{LOOKING}'
    return ours.replace(mine, f"{mine}, {NOTES}")


def server(transport: str) -> str:
    """The server and the hops of the office, where the researcher's carries the notes."""
    hops = ASKED.replace(
        f'purpose = "researcher does its part"\ncapabilities = [{LOOKING}]',
        f'purpose = "researcher does its part"\ncapabilities = [{LOOKING}, {NOTES}]',
    )
    return SERVER.replace("TRANSPORT", transport) + hops


def two_servers(first: str, second: str) -> str:
    """The same with a second server `papers`, which nobody may call."""
    papers = SERVER.replace("servers.notes", "servers.papers").replace("example:notes", "example:papers")
    return server(first) + papers.replace("TRANSPORT", second)


def command(received: Path, *more: str) -> list[str]:
    """The command of the server, which writes what it gets into `received`."""
    script = Path(__file__).with_name("notes_server.py")
    return [str(BIN / "python"), str(script), str(received), *more]


def on_stdio(received: Path) -> str:
    """The transport of a server that the proxy starts."""
    return f'command = {json.dumps(command(received))}\ncredential = {{ by = "meta" }}'


def at_server(received: Path) -> list[dict[str, Any]]:
    """What the server got, one entry for each call."""
    return [json.loads(line) for line in received.read_text().splitlines()] if received.exists() else []
