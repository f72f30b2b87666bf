"""A boss who may only look, and hands paying to `payer` and looking things up to `researcher`."""

from pathlib import Path

from langchain_core.tools import BaseTool

from hopward.clock import Clock
from hopward.project import create

from .till import SUBJECT, USER, Till, calls, says, scripted

__all__ = ["SUBJECT", "USER", "Office", "calls", "configured", "install", "says", "scripted"]

LOOKING = '{ tools = ["app/look"], actions = ["read"], sensitivity = "internal", destinations = ["archive"] }'
PAYING = '{ tools = ["app/pay"], actions = ["pay"], sensitivity = "internal", destinations = ["bank"] }'

CONFIG = f"""
[approvals.groups.operators]
members = ["local:carol"]

[authority]
issuer = "https://authority.example"

[agents.boss]
owner = "ana@example.com"
purpose = "Settles claims"
ceiling = [{LOOKING}]
delegable = [{LOOKING}, {PAYING}]

[agents.researcher]
owner = "ana@example.com"
purpose = "Looks things up"
ceiling = [{LOOKING}]
delegable = [{LOOKING}]

[agents.payer]
owner = "ana@example.com"
purpose = "Pays"
ceiling = [{LOOKING}, {PAYING}]

[servers.app]
in_process = true
resource = "urn:example:app"
credential = {{ by = "context" }}
workflow = "claims"

[servers.app.tools.look]
action = "read"
sensitivity = "internal"
integrity = "trusted"
destination = "archive"

[servers.app.tools.pay]
action = "pay"
sensitivity = "internal"
integrity = "trusted"
destination = "bank"
arguments = {{ amount = "integer" }}

[servers.app.tools.plain]
action = "read"
sensitivity = "internal"
integrity = "trusted"
destination = "archive"

[workflows.claims]
agent = "boss"
purpose = "Settle one claim"
expires_in = 3600
budget = {{ calls = 60, writes = 20 }}
capabilities = [
    {LOOKING},
]
delegable = [
    {LOOKING},
    {PAYING},
]
depth = 2
fan_out = 4
"""

HOP = """
[servers.app.hops.{name}]
agent = "{agent}"
{edge}
purpose = "{agent} does its part"
capabilities = [{capabilities}]
budget = {{ calls = 8, writes = 3 }}
expires_in = 600
shared = true
{more}
"""

POLICY = """
permit (principal, action in [Hopward::Action::"read", Hopward::Action::"pay"], resource);
permit (principal, action == Hopward::Action::"delegate", resource);
@reason("No more than 100 is paid at once.")
forbid (principal, action == Hopward::Action::"app/pay", resource)
unless { context.arguments has amount && context.arguments.amount <= 100 };
"""


def hop(name: str, agent: str, edge: str, more: str = "") -> str:
    """One `[servers.app.hops.NAME]`, over which the agent gets what it may ever do."""
    capabilities = LOOKING if agent == "researcher" else f"{LOOKING}, {PAYING}"
    return HOP.format(name=name, agent=agent, edge=edge, capabilities=capabilities, more=more)


def deep(agent: str, kind: str = "") -> str:
    """The hop of a deepagents sub-agent."""
    edge = f'tool = "task"\nwhen = {{ subagent_type = "{kind or agent}" }}'
    return hop(kind.replace("-", "_") or agent, agent, edge)


def asked(agent: str, more: str = "") -> str:
    """The hop of a tool `ask_AGENT`."""
    return hop(agent, agent, f'tool = "ask_{agent}"', more)


ASKED = asked("payer") + asked("researcher", f"delegable = [{LOOKING}]\ndepth = 1\nfan_out = 1")


def configured(hops: str) -> str:
    """The whole `hopward.toml`."""
    return CONFIG + hops


def install(folder: Path, hops: str) -> None:
    """Make a folder the installation that an office needs."""
    (folder / "hopward.toml").write_text(configured(hops))
    (folder / "policies").mkdir()
    (folder / "policies" / "office.cedar").write_text(POLICY)
    create(folder)


class Office(Till):
    """The same with agents that hand work on, and with `look` for a second tool."""

    def __init__(self, folder: Path, clock: Clock | None = None) -> None:
        super().__init__(folder, clock)
        self.folder = folder
        self.looked = 0

    def look(self) -> str:
        """Look something up."""
        self.looked += 1
        return "found"

    def tools(self) -> list[BaseTool]:
        """`pay` and `look`, protected."""
        return self.hopward.protect([self.pay, self.look])

    def story(self) -> list[tuple[str, str, str]]:
        """Every decision: path of the chain, tool, verdict or the reason of a refusal."""
        return [
            (
                ">".join(row.record["chain"]["actors"]),
                row.tool,
                row.verdict if row.verdict == "permit" else row.reason,
            )
            for row in self.rows("decision")
        ]

    def turned_away(self) -> list[str]:
        """The reasons of calls refused before any decision."""
        return [row.reason for row in self.rows("refusal")]

    def open_hops(self, task: str) -> int:
        return sum(hop.state == "open" for hop in self.guard.ledger.hops(task))

    def close(self) -> None:
        self.guard.close()
