"""The example support desk with its own configuration, moved to a folder and to ports of a test."""

import json
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from hopward.project import create

from .project import ROOT, Project
from .running import Running
from .served import Serve, ended, free_port

EXAMPLE = ROOT / "examples" / "support_desk"
SERVER = EXAMPLE / "server.py"


class Desk(Project):
    """A project that guards the support desk over both transports."""

    @property
    def data(self) -> Path:
        """What both servers keep."""
        return self.folder / "data"

    def opened_by(self) -> list[dict[str, Any]]:
        """What opened the server, oldest first: method, name, and the claims of the credential."""
        path = self.data / "received.jsonl"
        return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []

    def state(self) -> dict[str, list[tuple[Any, ...]]]:
        """What the desk has in its database, and what it has sent."""
        with closing(sqlite3.connect(self.data / "desk.sqlite")) as database:
            tables = {
                table: database.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall()  # noqa: S608
                for table in ("customers", "tickets", "refunds", "mail")
            }
        return tables | {"outbox": sorted((path.name,) for path in (self.data / "outbox").iterdir())}

    def server_options(self, name: str, resource: str) -> list[str]:
        """The options of a server that trusts this project's authority."""
        options = ["--name", name, "--resource", resource, "--issuer", "http://127.0.0.1:8700"]
        return [*options, "--jwks", str(self.folder / "jwks.json"), "--data", str(self.data)]


def desk(folder: Path) -> Desk:
    """A new project with the example's configuration and policies."""
    made = Desk(folder)
    shutil.copytree(EXAMPLE / "policies", folder / "policies")
    text = (EXAMPLE / "hopward.toml").read_text("utf-8")
    text = text.replace("127.0.0.1:8800", f"127.0.0.1:{free_port()}")
    text = text.replace("127.0.0.1:8701", f"127.0.0.1:{free_port()}")
    made.config.write_text(text, "utf-8")
    words = [sys.executable, str(SERVER), "--stdio"]
    words += made.server_options("support_desk", "urn:example:support-desk")
    start = text.index("command = [")
    made.change(text[start : text.index("]", start) + 1], f"command = {json.dumps(words)}")
    create(folder)
    made.publish_keys()
    return made


@contextmanager
def open_desk(folder: Path) -> Iterator[Desk]:
    """The desk on HTTP and the proxy in front of it, running; stdio sessions start their own."""
    made = desk(folder)
    url = made.resource("support_desk_http")
    address = url.removeprefix("http://").removesuffix("/mcp")
    command = [sys.executable, str(SERVER), "--http", address, *made.server_options("support_desk_http", url)]
    with ended(Running(command, made.folder)) as server:
        server.wait_for("listening on")
        with ended(Serve(made)):
            yield made
