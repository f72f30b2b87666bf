"""An installation whose agents are watched, for tests of behaviour through a guard and in other processes."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from hopward import Chain, Guard, ToolCall
from hopward.clock import Clock
from hopward.project import create

CONFIG = """
state = ".hopward"
policies = "policies"
[authority]
issuer = "http://127.0.0.1:8700"
[log]
[proxy]
[approvals.groups.duty]
members = ["dana"]
[workflows.desk]
agent = "helper"
purpose = "answer tickets"
expires_in = 86400
budget = { calls = 100000, writes = 100000 }
depth = 2
fan_out = 20
capabilities = [{ tools = ["desk/*"], actions = ["read"], sensitivity = "internal", destinations = ["*"] }]
delegable = [{ tools = ["desk/*"], actions = ["read"], sensitivity = "internal", destinations = ["*"] }]
[workflows.lookup]
agent = "other"
purpose = "answer tickets"
expires_in = 86400
budget = { calls = 100000, writes = 100000 }
capabilities = [{ tools = ["desk/*"], actions = ["read"], sensitivity = "internal", destinations = ["*"] }]
[servers.desk]
in_process = true
resource = "urn:example:desk"
credential = { by = "context" }
"""
AGENT = """
[agents.NAME]
owner = "ops"
purpose = "answers tickets"
ceiling = [{ tools = ["desk/*"], actions = ["read"], sensitivity = "internal", destinations = ["*"] }]
delegable = [{ tools = ["desk/*"], actions = ["read"], sensitivity = "internal", destinations = ["*"] }]
"""
TOOL = """
[servers.desk.tools.NAME]
action = "read"
sensitivity = "internal"
integrity = "trusted"
destination = "internal"
arguments = { id = "integer" }
"""
TOOLS = ("read", "search", "list")
FORBIDDEN = ToolCall(server="desk", tool="unheard_of")

Make: TypeAlias = Callable[..., Guard]


def made(folder: Path, risk: str = "", policy: str = "") -> Path:
    """The configuration of a new installation, with this `[risk]` and these policies beside the permit."""
    path = folder / "hopward.toml"
    agents = "".join(AGENT.replace("NAME", name) for name in ("helper", "other"))
    tools = "".join(TOOL.replace("NAME", name) for name in TOOLS)
    path.write_text(CONFIG + agents + tools + risk)
    create(folder)
    for file in (folder / "policies").glob("*.cedar"):
        file.unlink()
    (folder / "policies" / "all.cedar").write_text(
        'permit (principal, action == Hopward::Action::"delegate", resource);\n'
        f'permit (principal, action in Hopward::Action::"read", resource);\n{policy}'
    )
    return path


def opened(path: Path, clock: Clock) -> Guard:
    return Guard.open(path, clock=clock)


def chain_of(guard: Guard, workflow: str = "desk") -> Chain:
    return guard.enter(guard.open_task(workflow, "alice").id)


def read(number: int = 1, tool: str = "read") -> ToolCall:
    return ToolCall(server="desk", tool=tool, arguments={"id": number})


def refused(guard: Guard, chain: Chain, times: int) -> None:
    """So many calls of what nobody has classified."""
    for _ in range(times):
        assert not guard.authorize(FORBIDDEN, chain).permitted
