"""A folder as somebody who uses Hopward has one: hopward.toml, policies, keys, the decision log."""

import json
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hopward.clock import SystemClock
from hopward.config import read_settings
from hopward.keys import KeyRing
from hopward.ledger import RowFilter, SqliteLedger
from hopward.project import create
from hopward.record import Row

from .running import PATIENCE, environment

HOPWARD = Path(sys.executable).with_name("hopward")
ROOT = Path(__file__).parents[2]
RECORDER = Path(__file__).with_name("recorder.py")

RECORDED = """\
[approvals.groups.operators]
members = ["local:carol"]

[authority]
issuer = "http://127.0.0.1:8700"

[proxy]
call_timeout_seconds = 50

[agents.tester]
owner = "ana@example.com"
purpose = "Tries everything"

[[agents.tester.ceiling]]
tools = ["recorder/*"]
actions = ["read", "write", "delete"]
sensitivity = "internal"
destinations = ["record"]

[workflows.trying]
agent = "tester"
purpose = "Write notes"
expires_in = 3600
budget = { calls = 1000000, writes = 1000000 }

[[workflows.trying.capabilities]]
tools = ["recorder/*"]
actions = ["read", "write"]
sensitivity = "internal"
destinations = ["record"]

[servers.recorder]
{reached}
resource = "urn:example:recorder"
workflow = "trying"

[servers.recorder.tools]
note = { action = "read", sensitivity = "internal", integrity = "trusted", destination = "record" }
change = { action = "write", sensitivity = "internal", integrity = "trusted", destination = "record" }
erase = { action = "delete", sensitivity = "internal", integrity = "trusted", destination = "record" }
gated = { action = "read", sensitivity = "internal", integrity = "trusted", destination = "record" }
silent = { action = "read", sensitivity = "internal", integrity = "trusted", destination = "record" }
die = { action = "read", sensitivity = "internal", integrity = "trusted", destination = "record" }
garble = { action = "read", sensitivity = "internal", integrity = "trusted", destination = "record" }
"""
"""Guards `recorder.py`; `erase` is in no task, `unclassified` is not classified."""


@dataclass(frozen=True)
class Project:
    """One project folder, and the commands that are run in it."""

    folder: Path

    @property
    def config(self) -> Path:
        return self.folder / "hopward.toml"

    @property
    def log(self) -> Path:
        return self.folder / ".hopward" / "decisions.db"

    def hopward(self, *arguments: str, status: int = 0) -> str:
        """What a `hopward` command prints, in a process of its own, which must end with this status."""
        done = subprocess.run(
            [str(HOPWARD), *arguments],
            cwd=self.folder,
            env=environment(),
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == status, f"hopward {' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done.stdout

    def change(self, old: str, new: str) -> None:
        """Replace a text that stands once in hopward.toml."""
        text = self.config.read_text("utf-8")
        assert text.count(old) == 1, old
        self.config.write_text(text.replace(old, new), "utf-8")

    def listen_at(self, port: int) -> None:
        """Have the HTTP proxy listen on a port."""
        address = f"127.0.0.1:{port}"
        self.change("[proxy]\n", f'[proxy]\nlisten = "{address}"\npublic_url = "http://{address}"\n')

    def endpoint(self, server: str = "recorder") -> str:
        """The URL at which the HTTP proxy guards a server."""
        return f"{read_settings(self.config).proxy.public_url}/{server}/mcp"

    def resource(self, server: str) -> str:
        """The resource indicator of a server."""
        return read_settings(self.config).servers[server].resource

    def last_task(self) -> str:
        """The task that was opened last."""
        return self.rows(kind="task")[-1].task

    def open_task(self, workflow: str = "trying") -> str:
        """A new task."""
        return json.loads(self.hopward("task", "open", "--workflow", workflow, "--json"))["id"]

    def token(self, task: str, server: str = "recorder") -> str:
        """What an agent presents at a server's endpoint."""
        return self.hopward("task", "token", task, "--server", server).strip()

    def rows(self, **conditions: Any) -> list[Row]:
        """Rows of the decision log, oldest first."""
        with closing(SqliteLedger.open(self.log, clock=SystemClock())) as ledger:
            return list(ledger.rows(RowFilter(oldest_first=True, **conditions)))

    def kinds(self, task: str) -> list[tuple[str, str]]:
        """Kind and verdict, reason or event of a task's rows, oldest first."""
        rows = self.rows(task=task)
        return [(row.kind, row.verdict or row.reason or row.record.get("event", "")) for row in rows]

    def decision(self, decision: str) -> dict[str, Row]:
        """The rows of one decision by their kind."""
        return {row.kind: row for row in self.rows(decision=decision)}

    def received(self) -> list[dict[str, Any]]:
        """What the recorder has been sent; see `recorder.py`."""
        record = self.folder / "received.jsonl"
        return (
            [json.loads(line) for line in record.read_text("utf-8").splitlines()] if record.exists() else []
        )

    def calls_received(self) -> list[dict[str, Any]]:
        """The claims of the credentials of the calls the recorder has been sent."""
        return [one["claims"] for one in self.received() if one["message"].get("method") == "tools/call"]

    def publish_keys(self) -> Path:
        """The authority's public keys as a JWKS file for servers."""
        path = self.folder / "jwks.json"
        path.write_text(json.dumps(KeyRing.open(self.folder / ".hopward" / "keys").jwks()), "utf-8")
        return path


def recorded(folder: Path) -> Project:
    """A new project that guards the recorder over stdio."""
    words = json.dumps([sys.executable, str(RECORDER), "received.jsonl", "--stdio"])
    return _made(folder, f'command = {words}\ncredential = {{ by = "meta" }}')


def recorded_at(folder: Path, url: str) -> Project:
    """A new project that guards a recorder over Streamable HTTP."""
    return _made(folder, f'url = "{url}"\ncredential = {{ by = "authorization" }}')


def _made(folder: Path, reached: str) -> Project:
    project = Project(folder)
    project.config.write_text(RECORDED.replace("{reached}", reached), "utf-8")
    create(folder)
    return project
