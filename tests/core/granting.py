"""An office whose people may say yes to several calls at once: to posts, mails and payments."""

from pathlib import Path

from hopward import Chain, Guard, ToolCall
from hopward.clock import Clock
from hopward.model import Decision

from .approving import office, told

LABELS = 'sensitivity = "internal", integrity = "trusted", ceiling = "restricted"'
ALL = (
    '{ tools = ["desk/*"], actions = ["read", "write", "send", "pay", "delete"], '
    'sensitivity = "confidential", destinations = ["*"] }'
)

CONFIG = f"""
[authority]
issuer = "http://127.0.0.1:8700"

[approvals]
expires_in = 900

[approvals.groups.editors]
members = ["carol", "dave", "ops"]
most_times = 5

[approvals.groups.finance]
members = ["carol", "dave", "erin"]
people = 2
most_times = 4

[approvals.groups.careful]
members = ["carol"]

[agents.assistant]
owner = "ops"
purpose = "notes"
ceiling = [{ALL}]
delegable = [{ALL}]

[agents.helper]
owner = "dave"
purpose = "helps"
ceiling = [{ALL}]

[workflows.notes]
agent = "assistant"
purpose = "keep the notes"
expires_in = 3600
budget = {{ calls = 40, writes = 30, money = {{ EUR = "1000", USD = "1000" }} }}
capabilities = [{ALL}]
delegable = [{ALL}]
depth = 1
fan_out = 3
parameters = {{ account = "string?" }}

[servers.desk]
command = ["desk"]
resource = "urn:example:desk"
credential = {{ by = "meta" }}

[servers.desk.tools]
page = {{ action = "read", sensitivity = "internal", integrity = "untrusted", destination = "desk" }}
secret = {{ action = "read", sensitivity = "confidential", integrity = "trusted", destination = "desk" }}
cash = {{ action = "pay", {LABELS}, destination = "till", arguments = {{ amount = "decimal" }} }}

[servers.desk.tools.delete]
action = "delete"
sensitivity = "internal"
integrity = "trusted"
ceiling = "restricted"
destination = "desk"
arguments = {{ id = "string" }}
names = ["id"]

[servers.desk.tools.letter]
action = "send"
sensitivity = "internal"
integrity = "trusted"
ceiling = "restricted"
destination = "post"
arguments = {{ to = "string", text = "string" }}

[servers.desk.tools.post]
action = "send"
sensitivity = "internal"
integrity = "trusted"
ceiling = "restricted"
destination = "channel:{{channel}}"
arguments = {{ channel = "string", text = "string", tags = "strings" }}
names = ["channel"]
carries = ["text"]

[servers.desk.tools.mail]
action = "send"
sensitivity = "internal"
integrity = "trusted"
ceiling = "restricted"
destination = "host:{{to}}"
arguments = {{ to = "string", text = "string" }}

[servers.desk.tools.pay]
action = "pay"
sensitivity = "internal"
integrity = "trusted"
ceiling = "restricted"
destination = "bank"
arguments = {{ account = "string", amount = "decimal", currency = "string", note = "string" }}
names = ["account"]
spends = {{ amount = "amount", currency = "{{currency|EUR}}" }}
"""

POLICY = """
@id("all") permit (principal, action, resource);
@id("hands-on") permit (principal, action == Hopward::Action::"delegate", resource);
@id("sends") @step_up("editors") forbid (principal, action in Hopward::Action::"send", resource);
@id("money") @step_up("finance") forbid (principal, action in Hopward::Action::"pay", resource);
@id("gone") @step_up("careful") forbid (principal, action in Hopward::Action::"delete", resource);
"""

ASKED = ("step-up", "approval_required")
GRANTED = ("permit", "granted")


def opened(folder: Path, clock: Clock, config: str = CONFIG, policy: str = POLICY) -> Guard:
    """A guard of a new office in a folder."""
    return Guard.open(office(folder, config, policy), clock=clock)


def post(text: str = "hello", channel: str = "general", **more: object) -> ToolCall:
    return _call("post", {"channel": channel, "text": text, **more})


def mail(to: str = "bob@shop.example", text: str = "hello", **more: object) -> ToolCall:
    return _call("mail", {"to": to, "text": text, **more})


def pay(amount: float = 50, account: str = "DE1", **more: object) -> ToolCall:
    return _call("pay", {"account": account, "amount": amount, **more})


def read(tool: str) -> ToolCall:
    return _call(tool, {})


def granted(
    guard: Guard, chain: Chain, call: ToolCall, times: int = 3, by: tuple[str, ...] = ("carol",)
) -> str:
    """The id of an approval of so many such calls."""
    asked = guard.authorize(call, chain)
    assert told(asked) == ASKED
    for person in by:
        guard.approvals.approve(asked.approval, by=person, times=times)
    assert guard.approvals.get(asked.approval).state == "approved"
    return asked.approval


def tried(guard: Guard, chain: Chain, call: ToolCall) -> tuple[str, str]:
    """Verdict and reason of a call."""
    return told(guard.authorize(call, chain))


def permitted(guard: Guard, chain: Chain, call: ToolCall) -> Decision:
    decision = guard.authorize(call, chain)
    assert decision.permitted, decision.verdict.sentence
    return decision


def _call(tool: str, arguments: dict[str, object]) -> ToolCall:
    return ToolCall(server="desk", tool=tool, arguments=arguments)  # type: ignore[arg-type]
