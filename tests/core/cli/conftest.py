"""Two folders to run commands in: an empty one, and one where a support desk is guarded."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from hopward.wiring import Guard

from .shell import Shell

DESK = """\
[approvals.groups.operators]
members = ["local:carol"]

[authority]
issuer = "http://127.0.0.1:8700"

[agents.assistant]
owner = "ana@example.com"
purpose = "Answers support tickets"
ceiling = [
    { tools = ["desk/*"], actions = ["read", "pay"], sensitivity = "internal", destinations = ["desk"] },
]

[servers.desk]
command = ["python", "server.py"]
resource = "urn:example:desk"
credential = { by = "meta" }
workflow = "tickets"

[servers.desk.tools.read_ticket]
action = "read"
sensitivity = "internal"
integrity = "untrusted"
destination = "desk"
arguments = { ticket = "string" }

[servers.desk.tools.refund]
action = "pay"
sensitivity = "internal"
integrity = "trusted"
destination = "desk"
arguments = { amount = "decimal" }

[workflows.tickets]
agent = "assistant"
purpose = "Answer one ticket"
expires_in = 3600
budget = { calls = 5, writes = 1 }

[[workflows.tickets.capabilities]]
tools = ["desk/*"]
actions = ["read", "pay"]
sensitivity = "internal"
destinations = ["desk"]
constraints = {}
"""


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """A shell in an empty folder."""
    monkeypatch.chdir(tmp_path)
    for variable in ("HOPWARD_CONFIG", "FORCE_COLOR", "COLUMNS"):
        monkeypatch.delenv(variable, raising=False)
    return Shell(tmp_path)


@pytest.fixture
def desk(shell: Shell) -> Shell:
    """A shell where a support desk is guarded: configuration, policies, keys, decision log."""
    shell.write("hopward.toml", DESK)
    shell("init")
    return shell


@pytest.fixture
def guard(desk: Shell) -> Iterator[Guard]:
    """The guard of the support desk, open beside the commands, as a proxy would have it."""
    with closing(Guard.open(desk.folder / "hopward.toml")) as opened:
        yield opened
