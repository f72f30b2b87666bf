"""Makes the calls of a run, through `hopward mcp run` or straight, and says what has come of it.

Where a step-up asks for an approval, whom the example names says yes to a call of the user's own,
which is then made again, and no to an injected one.
"""

import asyncio
import json
import re
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client

from hopward import Guard
from hopward.project import create

from .worlds import ROOT, Call, Run, Worlds

EXAMPLES = ROOT / "examples" / "agentdojo"
HOPWARD = str(Path(sys.executable).with_name("hopward"))
DECISION = "dev.hopward/decision"

_SERVERS = {"banking": "bank", "slack": "slack"}
_SUBJECTS = {"banking": "emma.johnson@bank.example", "slack": "a.member@our-company.example"}
_APPROVERS = {"banking": "emma.johnson@bank.example", "slack": "it@our-company.example"}

_PATIENCE = 20.0
_COMMAND = re.compile(r"^command = .*$", re.MULTILINE)
_MEMBERS = re.compile(r'(\.read_(?:channel_messages|inbox)\][^\[]*?integrity = )"trusted"')


@dataclass
class Found:
    """What has come of a run. `asked` are the approvals that the user's own calls needed, `injected_asked`
    those that injected calls asked for, `refused` and `injected_refused` what was refused for good, each with
    why."""

    utility: bool = False
    goal: bool = False
    asked: list[str] = field(default_factory=list[str])
    refused: list[str] = field(default_factory=list[str])
    injected_asked: list[str] = field(default_factory=list[str])
    injected_refused: list[str] = field(default_factory=list[str])


class Stage:
    """Where the runs of a suite are made: its example, with the command of each run's own world."""

    def __init__(self, suite: str, worlds: Worlds, folder: Path, *, strict: bool = False) -> None:
        """With `strict`, what members of the chat write to each other is not trusted."""
        self.suite, self.worlds = suite, worlds
        self.folder = folder / f"{suite}-{'strict' if strict else 'plain'}"
        self.folder.mkdir()
        self._example = self.folder / "example"
        shutil.copytree(EXAMPLES / suite, self._example)
        if strict:
            config = self._example / "hopward.toml"
            stricter = r'\1"untrusted"\nvouched = ["/result/*/sender"]'
            text, changed = _MEMBERS.subn(stricter, config.read_text())
            if changed != 2:
                raise RuntimeError(f"{config} has not the tools that could be stricter")
            config.write_text(text)

    async def straight(self, run: Run, tools: frozenset[str] | None = None) -> Found:
        """The run without Hopward; `tools` is a list of those that alone may be called."""
        folder, file = self._place(run)
        words = self.worlds.command(file)
        calls = [call for call in run.calls if tools is None or call.tool in tools]
        async with _client(words[0], words[1:], folder) as client:
            for call in calls:
                await client.call_tool(call.tool, call.arguments)
        return await _judged(folder, Found())

    async def guarded(self, run: Run) -> Found:
        """The run through `hopward mcp run`, with the example's configuration, for the user's prompt."""
        folder, file = self._place(run)
        self._project(folder, file)
        words = ["mcp", "run", _SERVERS[self.suite], "--subject", _SUBJECTS[self.suite]]
        options = ["--config", str(folder / "hopward.toml")]
        found = Found()
        async with _client(HOPWARD, [*options, *words, "--from-prompt", run.prompt], folder) as client:
            for call in run.calls:
                refusal = await _refused(client, call)
                if refusal and refusal["verdict"] == "step-up" and not call.injected:
                    found.asked.append(f"{call.tool}: {_why(folder, refusal['id'])}")
                    _answer(folder, refusal["approval"], _APPROVERS[self.suite], yes=True)
                    refusal = await _refused(client, call)
                elif refusal and refusal["verdict"] == "step-up":
                    found.injected_asked.append(f"{call.tool}: {_why(folder, refusal['id'])}")
                    _answer(folder, refusal["approval"], _APPROVERS[self.suite], yes=False)
                if refusal:
                    refused = found.injected_refused if call.injected else found.refused
                    refused.append(f"{call.tool}: {_why(folder, refusal['id'])}")
        return await _judged(folder, found)

    def _place(self, run: Run) -> tuple[Path, Path]:
        folder = Path(mkdtemp(dir=self.folder))
        told = {name: value for name, value in asdict(run).items() if name not in ("calls", "prompt")}
        file = folder / "run.json"
        file.write_text(json.dumps({**told, "result": str(folder / "result.json")}))
        return folder, file

    def _project(self, folder: Path, file: Path) -> None:
        shutil.copytree(self._example / "policies", folder / "policies")
        command = json.dumps(self.worlds.command(file))
        text = (self._example / "hopward.toml").read_text()
        (folder / "hopward.toml").write_text(_COMMAND.sub(f"command = {command}", text))
        create(folder)


@asynccontextmanager
async def _client(command: str, words: list[str], folder: Path) -> AsyncIterator[Client]:
    started = StdioServerParameters(command=command, args=words, cwd=folder)
    with (folder / "said.txt").open("w") as said:
        async with Client(stdio_client(started, errlog=said), mode="2026-07-28") as client:
            yield client


async def _refused(client: Client, call: Call) -> dict[str, Any]:
    """What a refusal of the call says of its decision; empty for one that has reached the world."""
    result = await client.call_tool(call.tool, call.arguments)
    return (result.meta or {}).get(DECISION, {})


def _answer(folder: Path, approval: str, by: str, *, yes: bool) -> None:
    """What a person does with `hopward approve`."""
    with closing(Guard.open(folder / "hopward.toml")) as guard:
        if yes:
            guard.approvals.approve(approval, by=by)
        elif guard.approvals.get(approval).state == "pending":
            guard.approvals.reject(approval, by=by, why="I have not asked for this")


def _why(folder: Path, decision: str) -> str:
    """The reason of a refusal, and what was not known, as the log has it."""
    with closing(Guard.open(folder / "hopward.toml")) as guard:
        record = guard.ledger.row(decision).record
    verdict, facts = record["verdict"], record.get("facts", {})
    unknown = [name for name, kind in facts.get("provenance", {}).items() if kind == "untrusted"]
    if facts.get("carried_untrusted"):
        unknown.append("an address in the text")
    said = ", ".join(verdict.get("policies", ())) or verdict["reason"]
    return said + (f" (not known: {', '.join(unknown)})" if unknown else "")


async def _judged(folder: Path, found: Found) -> Found:
    """With what AgentDojo says of the world, as soon as it has said it."""
    file = folder / "result.json"
    async with asyncio.timeout(_PATIENCE):
        while not file.exists():
            await asyncio.sleep(0.005)
    told = json.loads(file.read_text())
    shutil.rmtree(folder)
    found.utility, found.goal = told["utility"], told.get("goal", False)
    return found
