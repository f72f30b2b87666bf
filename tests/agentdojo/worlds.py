"""AgentDojo as far as a replay needs it: its plan, and a process whose forks are its worlds."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
INSTALL = ROOT / "tests" / "servers" / "agentdojo.sh"


@dataclass(frozen=True)
class Call:
    """One call of a replay; `injected` is one that the injected text asks for."""

    tool: str
    arguments: dict[str, Any]
    injected: bool = False


@dataclass(frozen=True)
class Run:
    """One user task, alone or with one injection: the prompt, and the calls in order."""

    suite: str
    user: str
    injection: str
    prompt: str
    injections: dict[str, str]
    calls: tuple[Call, ...]


@dataclass(frozen=True)
class Plan:
    """All user tasks and all pairs of one suite."""

    suite: str
    goals: dict[str, str]
    users: tuple[Run, ...]
    pairs: tuple[Run, ...]

    def user(self, name: str) -> Run:
        return next(run for run in self.users if run.user == name)


def interpreter() -> str:
    """The interpreter of AgentDojo's environment, or empty where it is not installed."""
    found = subprocess.run([INSTALL, "--if-present"], capture_output=True, text=True, check=False)
    return found.stdout.strip()


def plans(python: str) -> dict[str, Plan]:
    """Every suite's plan, asked of AgentDojo."""
    told = subprocess.run([python, HERE / "world.py", "plan"], capture_output=True, text=True, check=True)
    return {suite: _plan(suite, found) for suite, found in json.loads(told.stdout).items()}


def _plan(suite: str, found: dict[str, Any]) -> Plan:
    users: list[Run] = []
    pairs: list[Run] = []
    for user, task in found["users"].items():
        own = tuple(Call(**call) for call in task["calls"])
        users.append(Run(suite, user, "", task["prompt"], {}, own))
        for injection, pair in task["pairs"].items():
            calls = [Call(**call) for call in pair["calls"]]
            at = pair["after"]
            injected = [Call(**call, injected=True) for call in pair["injected"]]
            run = (*calls[:at], *injected, *calls[at:])
            pairs.append(Run(suite, user, injection, task["prompt"], pair["injections"], run))
    return Plan(suite, found["goals"], tuple(users), tuple(pairs))


@dataclass(frozen=True)
class Worlds:
    """Where worlds come from."""

    socket: Path

    def command(self, file: Path) -> list[str]:
        """The command of the MCP server over the world of the run that a file describes."""
        return [sys.executable, "-I", "-S", str(HERE / "relay.py"), str(self.socket), str(file)]


@contextmanager
def worlds(python: str, folder: Path) -> Iterator[Worlds]:
    """A process that makes a world for each connection, until the end."""
    path = folder / "worlds"
    command = [python, str(HERE / "world.py"), "fork", str(path)]
    with (
        (folder / "worlds.txt").open("w") as said,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, text=True) as process,
    ):
        try:
            assert process.stdout is not None
            if process.stdout.readline() != "ready\n":
                raise RuntimeError((folder / "worlds.txt").read_text())
            yield Worlds(path)
        finally:
            process.terminate()
