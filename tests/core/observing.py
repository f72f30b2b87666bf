"""A project with two servers, `desk` and `mail`, of which `desk` may be observed."""

from pathlib import Path

from hopward import ToolCall
from hopward.clock import DAY
from hopward.project import create
from hopward.testing.clock import NOON

HEAD = """
state = ".hopward"
policies = "policies"
[authority]
issuer = "http://127.0.0.1:8700"
[log]
[proxy]
[approvals.groups.support]
members = ["local:carol"]
"""
AGENT = """
[agents.{name}]
owner = "ops"
purpose = "tickets"
[[agents.{name}.ceiling]]
tools = ["desk/*", "mail/send"]
actions = ["read", "send"]
sensitivity = "internal"
destinations = ["*"]
[[agents.{name}.delegable]]
tools = ["desk/*"]
actions = ["read"]
sensitivity = "internal"
destinations = ["*"]
"""
WORKFLOW = """
[workflows.tickets]
agent = "assistant"
purpose = "answer a ticket"
expires_in = 600
budget = { calls = 3, writes = 0 }
depth = 1
fan_out = 1
[[workflows.tickets.capabilities]]
tools = ["desk/read_ticket", "desk/list_tickets"]
actions = ["read"]
sensitivity = "internal"
destinations = ["desk"]
[[workflows.tickets.delegable]]
tools = ["desk/read_ticket"]
actions = ["read"]
sensitivity = "internal"
destinations = ["desk"]
"""
SERVER = """
[servers.{name}]
command = ["{name}"]
resource = "urn:example:{name}"
credential = {{ by = "meta" }}
{observed}
"""
TOOL = """
[servers.{server}.tools.{name}]
action = "{action}"
sensitivity = "internal"
integrity = "trusted"
destination = "{server}"
arguments = {{ ticket = "string" }}
"""
OBSERVED = 'mode = "observe"\nobserve_until = 2026-11-30'
UNTIL = NOON + 5 * DAY + DAY // 2
"""The first instant of 2026-12-01, UTC."""

POLICIES = """
@id("reads") permit (principal, action in Hopward::Action::"read", resource);
@id("hands-on") permit (principal, action == Hopward::Action::"delegate", resource);
@id("closed") @reason("ticket T-13 is closed") forbid (principal, action, resource)
  when { context.arguments has ticket && context.arguments.ticket == "T-13" };
@id("asked") @step_up("support") forbid (principal, action, resource)
  when { context.arguments has ticket && context.arguments.ticket == "T-14" };
"""


def config_text(desk: str = OBSERVED, mail: str = "") -> str:
    tools = [
        TOOL.format(server="desk", name=name, action=action)
        for name, action in (
            ("read_ticket", "read"),
            ("list_tickets", "read"),
            ("other", "read"),
            ("close", "delete"),
        )
    ]
    return "".join(
        [
            HEAD,
            *(AGENT.format(name=name) for name in ("assistant", "helper")),
            WORKFLOW,
            SERVER.format(name="desk", observed=desk),
            *tools,
            SERVER.format(name="mail", observed=mail),
            TOOL.format(server="mail", name="send", action="send"),
        ]
    )


def call(tool: str, server: str = "desk", **arguments: str) -> ToolCall:
    return ToolCall(server=server, tool=tool, arguments={**arguments})


READ = call("read_ticket", ticket="T-1")
REFUSED = {
    "tool_unclassified": call("unheard_of"),
    "argument_type": ToolCall(server="desk", tool="read_ticket", arguments={"ticket": 1}),
    "outside_task": call("other"),
    "forbidden": call("read_ticket", ticket="T-13"),
    "approval_required": call("read_ticket", ticket="T-14"),
}


def project(folder: Path, text: str) -> Path:
    path = folder / "hopward.toml"
    path.write_text(text)
    create(folder)
    for one in (folder / "policies").glob("*.cedar"):
        one.unlink()
    (folder / "policies" / "own.cedar").write_text(POLICIES)
    return path
