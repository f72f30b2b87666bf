"""Installations of servers that offer tools, one behaviour per name: see `offering_stdio.py`."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from .installation import ENTRY, SERVER, environment, hopward, install

OFFERING = Path(__file__).with_name("offering_stdio.py")
TOOLS = ("read_note", "write_note")


def words(behaviour: str, *tools: str) -> list[str]:
    """The command of such a server."""
    return [sys.executable, str(OFFERING), behaviour, *(tools or TOOLS)]


def offering(name: str, transport: str, credential: str = '{ by = "meta" }') -> str:
    """A `[servers.NAME]` of which nothing is classified."""
    return SERVER.format(name=name, transport=transport, credential=credential)


def stdio(name: str, behaviour: str, *tools: str) -> str:
    """Such a server over stdio."""
    return offering(name, f"command = {json.dumps(words(behaviour, *tools))}")


def entry(server: str, tool: str, action: str = "read", arguments: str = "") -> str:
    """A classification."""
    return ENTRY.format(server=server, group="tools", tool=tool, action=action) + arguments


def installed(folder: Path, *servers: str) -> Path:
    """The hopward.toml of an installation with these servers."""
    return install(folder, "".join(servers))


def run(
    config: Path, *line: str, typed: str = "", variables: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """What a `hopward` command prints, with `typed` on its standard input, which is no terminal."""
    return subprocess.run(
        hopward(config, *line),
        capture_output=True,
        text=True,
        input=typed,
        env=environment(**(variables or {})),
        cwd=config.parent,
        check=False,
        timeout=60,
    )
