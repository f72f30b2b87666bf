"""A workflow with a path: a clerk looks a claim up, checks it, and hands it to the payer, who pays it."""

from pathlib import Path
from typing import Any

from hopward import Budget, Capability, Chain, Guard, Narrowing, ToolCall
from hopward.project import create
from hopward.testing.clock import NOON, FixedClock

STEPS = """
[workflows.claims.steps.look_up]
tool = "desk/read_claim"
times = 2
arguments = { claim = "{claim}" }
[workflows.claims.steps.research]
tool = "desk/*"
after = ["look_up"]
times = 3
[workflows.claims.steps.check]
tool = "desk/check"
after = ["look_up"]
arguments = { strict = true }
[workflows.claims.steps.refuse]
tool = "desk/refuse"
after = ["check"]
unless = ["pay"]
[workflows.claims.steps.hand_over]
delegate = "payer"
after = ["check"]
[workflows.claims.steps.pay]
agent = "payer"
tool = "bank/pay"
after = ["hand_over"]
unless = ["refuse"]
arguments = { amount = "{amount}", currency = [{ kind = "one_of", values = ["EUR", "CHF"] }] }
"""

TOOL = """
[servers.{server}.tools.{tool}]
action = "{action}"
sensitivity = "internal"
integrity = "trusted"
destination = "{destination}"
"""


def _tool(name: str, action: str, destination: str = "internal") -> str:
    server, _, tool = name.partition("/")
    return TOOL.format(server=server, tool=tool, action=action, destination=destination)


CONFIG = (
    """
state = ".hopward"
policies = "policies"
[authority]
issuer = "http://127.0.0.1:8700"
[agents.clerk]
owner = "ops"
purpose = "settles claims"
ceiling = [
    { tools = ["desk/*"], actions = ["read", "write"], sensitivity = "internal", destinations = ["*"] },
    { tools = ["bank/*"], actions = ["pay"], sensitivity = "internal", destinations = ["*"] },
]
delegable = [
    { tools = ["bank/*"], actions = ["pay"], sensitivity = "internal", destinations = ["*"] },
]
[agents.payer]
owner = "ops"
purpose = "pays"
ceiling = [
    { tools = ["desk/*"], actions = ["read", "write"], sensitivity = "internal", destinations = ["*"] },
    { tools = ["bank/*"], actions = ["pay"], sensitivity = "internal", destinations = ["*"] },
]
[workflows.claims]
agent = "clerk"
purpose = "settle a claim"
expires_in = 600
budget = { calls = 50, writes = 50 }
parameters = { claim = "string", amount = "decimal", note = "string?" }
capabilities = [
    { tools = ["desk/*"], actions = ["read", "write"], sensitivity = "internal", destinations = ["*"] },
    { tools = ["bank/*"], actions = ["pay"], sensitivity = "internal", destinations = ["*"] },
]
delegable = [
    { tools = ["bank/*"], actions = ["pay"], sensitivity = "internal", destinations = ["*"] },
]
depth = 1
fan_out = 4
[servers.desk]
in_process = true
resource = "urn:example:desk"
credential = { by = "context" }
[servers.bank]
in_process = true
resource = "urn:example:bank"
credential = { by = "context" }
"""
    + _tool("desk/read_claim", "read")
    + _tool("desk/read_history", "read")
    + _tool("desk/check", "read")
    + _tool("desk/refuse", "write")
    + _tool("bank/pay", "pay", "bank")
    + STEPS
)

APPROVED = (
    CONFIG.replace('tool = "bank/pay"\n', 'tool = "bank/pay"\napproval = "finance"\n')
    + '[approvals.groups.finance]\nmembers = ["carol"]\n'
)
"""The same where a person of finance approves each payment."""

PERMIT_ALL = '@id("all") permit (principal, action, resource);' + (
    '@id("hops") permit (principal, action == Hopward::Action::"delegate", resource);'
)

GIVEN = {"claim": "C-7", "amount": "20.50"}
LOOK_UP = ToolCall(server="desk", tool="read_claim", arguments={"claim": "C-7"})
RESEARCH = ToolCall(server="desk", tool="read_history")
CHECK = ToolCall(server="desk", tool="check", arguments={"strict": True})
REFUSE = ToolCall(server="desk", tool="refuse")
PAY = ToolCall(server="bank", tool="pay", arguments={"amount": 20.5, "currency": "EUR"})
PAYING = Narrowing(
    purpose="pay C-7",
    capabilities=(
        Capability(tools=("bank/*",), actions=("pay",), sensitivity="internal", destinations=("*",)),
    ),
    budget=Budget(calls=5, writes=5),
    expires_in=300,
)


def installed(folder: Path, config: str = CONFIG, policies: str = PERMIT_ALL) -> Path:
    """The project in an empty folder, where policies permit all."""
    path = folder / "hopward.toml"
    path.write_text(config)
    create(folder)
    (folder / "policies" / "baseline.cedar").write_text(policies)
    return path


def opened(path: Path) -> Guard:
    """A guard, as a process of its own would have it."""
    return Guard.open(path, clock=FixedClock(NOON))


def claim(guard: Guard, **changes: Any) -> Chain:
    """The clerk's chain of a new task."""
    return guard.enter(guard.open_task("claims", "alice", parameters=GIVEN | changes).id)


def handed(guard: Guard, chain: Chain) -> Chain:
    """The payer's chain, once the claim has been looked up and checked."""
    for call in (LOOK_UP, CHECK):
        assert guard.authorize(call, chain).permitted
    received = guard.delegate(chain, "payer", PAYING).chain
    assert received is not None
    return received
