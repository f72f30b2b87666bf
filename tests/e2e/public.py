"""Servers that other people wrote, guarded as `hopward init` and `hopward mcp classify` set them up."""

import base64
import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from .clients import Answer, Kind, over_stdio
from .project import ROOT, Project

RECORDED = ("sh", "-c", 'tee -a sent.jsonl | "$0" "$@"')
"""In front of a server's command: the same server, and a copy of every line that it is sent."""

CREDENTIAL = "dev.hopward/credential"


def installed(script: str) -> list[str]:
    """The command of a public server; skips the test where it is not installed."""
    path = ROOT / "tests" / "servers" / script
    found = subprocess.run([path, "--if-present"], capture_output=True, text=True, check=False)
    if found.returncode:
        pytest.skip(f"the server is not installed; to install it: tests/servers/{script}")
    return found.stdout.split()


def guarded(folder: Path, server: str, command: list[str]) -> Project:
    """A new project that guards a server: its tools classified as Hopward proposes, but its answers trusted.

    They would be untrusted, and the starter policies would want a person for whatever follows the first.
    """
    project = Project(folder)
    project.hopward("init", "--agent", "coder", "--server", server, "--", *RECORDED, *command)
    project.hopward("mcp", "classify", server, "--accept-all")
    settings = folder / "hopward.toml"
    written = settings.read_text("utf-8")
    settings.write_text(written.replace('integrity = "untrusted"', 'integrity = "trusted"'), "utf-8")
    (folder / "sent.jsonl").unlink()
    return project


@dataclass
class Session:
    """What one client saw in one session, and what the server was sent."""

    project: Project
    server: str
    kind: Kind
    version: str = ""
    task: str = ""
    shown: set[str] = field(default_factory=set)
    answers: dict[str, Answer] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    unknown: int = 0
    sent: list[dict[str, Any]] = field(default_factory=list)

    async def run(
        self,
        calls: dict[str, tuple[str, dict[str, Any]]],
        uris: Sequence[str] = (),
        prompts: Mapping[str, dict[str, str]] = MappingProxyType({}),
    ) -> "Session":
        """List, make the calls, read the MCP resources, get the prompts, and make the first call again after
        the task has been revoked elsewhere."""
        async with over_stdio(self.kind, self.project.folder, self.server) as agent:
            self.version = agent.version
            self.shown = await agent.tools()
            self.task = self.project.last_task()
            for name, (tool, arguments) in calls.items():
                self.answers[name] = await agent.call(tool, **arguments)
            for uri in uris:
                self.texts[uri] = await agent.read(uri)
            for name, values in prompts.items():
                self.texts[name] = await agent.prompt(name, **values)
            self.unknown = await agent.unknown("tools/erase")
            self.project.hopward("revoke", "task", self.task, "--why", "a test")
            tool, arguments = next(iter(calls.values()))
            self.answers["revoked"] = await agent.call(tool, **arguments)
        record = self.project.folder / "sent.jsonl"
        self.sent = [json.loads(line) for line in record.read_text("utf-8").splitlines()]
        record.unlink()
        return self

    @property
    def calls(self) -> list[tuple[str, dict[str, Any]]]:
        """The calls the server was sent: the tool, and the claims of the credential."""
        params = [message["params"] for message in self.sent if message.get("method") == "tools/call"]
        return [(one["name"], _claims(one["_meta"][CREDENTIAL])) for one in params]

    def methods(self, *names: str) -> list[str]:
        """What the server was sent of these methods, by what each names."""
        sent = [message for message in self.sent if message.get("method") in names]
        return [message["params"].get("uri") or message["params"]["name"] for message in sent]

    def refused(self, name: str) -> str:
        """The reason of a refusal, which names its decision in the log."""
        answer = self.answers[name]
        assert answer.is_error is True
        assert answer.decision["id"] in answer.text
        (row,) = self.project.rows(decision=answer.decision["id"])
        assert (row.verdict, row.task, row.reason) == ("deny", self.task, answer.decision["reason"])
        return row.reason


def _claims(token: str) -> dict[str, Any]:
    return json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
