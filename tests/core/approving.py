"""An office whose assistant needs a person's yes: to write a note carol's, to pay two of finance."""

from pathlib import Path

from hopward import Chain, Guard, Narrowing, ToolCall
from hopward.clock import Clock
from hopward.model import Budget, Decision
from hopward.project import create

LABELS = 'sensitivity = "internal", integrity = "trusted", destination = "desk"'
ALL = (
    '{ tools = ["desk/*"], actions = ["read", "write", "pay", "delete"], '
    'sensitivity = "internal", destinations = ["*"] }'
)
WRITING = ALL.replace(', "pay", "delete"', "")

CONFIG = f"""
[authority]
issuer = "http://127.0.0.1:8700"

[approvals]
expires_in = 900

[approvals.groups.editors]
members = ["carol", "alice", "ops"]

[approvals.groups.finance]
members = ["carol", "dave", "erin"]
people = 2

[approvals.groups.own]
members = ["alice"]
subject_may_approve = true

[agents.assistant]
owner = "ops"
purpose = "notes"
ceiling = [{ALL}]
delegable = [{ALL}]

[agents.helper]
owner = "dave"
purpose = "helps"
ceiling = [{WRITING}]

[workflows.notes]
agent = "assistant"
purpose = "keep the notes"
expires_in = 3600
budget = {{ calls = 40, writes = 30 }}
capabilities = [{ALL}]
delegable = [{WRITING}]
depth = 1
fan_out = 3

[servers.desk]
command = ["desk"]
resource = "urn:example:desk"
credential = {{ by = "meta" }}

[servers.desk.tools]
read = {{ action = "read", {LABELS} }}
write = {{ action = "write", {LABELS}, arguments = {{ text = "string" }} }}
pay = {{ action = "pay", {LABELS.replace("desk", "bank")}, arguments = {{ amount = "decimal" }} }}
delete = {{ action = "delete", {LABELS} }}
"""

POLICY = """
@id("all") permit (principal, action, resource);
@id("hands-on") permit (principal, action == Hopward::Action::"delegate", resource);
@id("no-secrets") forbid (principal, action in Hopward::Action::"write", resource)
when { context.arguments has text && context.arguments.text == "secret" };
@id("free") @step_up("editors") @reason("An editor reads every note.")
forbid (principal, action in Hopward::Action::"write", resource)
unless { context.arguments has text && context.arguments.text == "free" };
@id("money") @step_up("finance") forbid (principal, action in Hopward::Action::"pay", resource);
@id("gone") @step_up("own") forbid (principal, action in Hopward::Action::"delete", resource);
"""


def office(folder: Path, config: str = CONFIG, policy: str = POLICY) -> Path:
    """Write such an installation into a folder; the path of its hopward.toml."""
    path = folder / "hopward.toml"
    path.write_text(config, "utf-8")
    (folder / "policies").mkdir()
    (folder / "policies" / "office.cedar").write_text(policy, "utf-8")
    create(folder)
    for unused in folder.glob("policies/baseline.cedar"):
        unused.unlink()
    return path


def opened(config: Path, clock: Clock) -> Guard:
    return Guard.open(config, clock=clock)


def write(text: str = "hello", **more: object) -> ToolCall:
    return ToolCall(server="desk", tool="write", arguments={"text": text, **more})  # type: ignore[dict-item]


PAY = ToolCall(server="desk", tool="pay", arguments={"amount": 5})
DELETE = ToolCall(server="desk", tool="delete")


def task_of(guard: Guard, subject: str = "alice") -> Chain:
    """The chain of a new task."""
    return guard.enter(guard.open_task("notes", subject).id)


def handed(guard: Guard, chain: Chain) -> Chain:
    """The chain with the helper at its end."""
    asked = Narrowing(
        purpose="write it down",
        capabilities=guard.settings.agents["helper"].ceiling,
        budget=Budget(calls=5, writes=5),
        expires_in=600,
    )
    found = guard.delegate(chain, "helper", asked).chain
    assert found is not None
    return found


def told(decision: Decision) -> tuple[str, str]:
    """Verdict and reason."""
    return (decision.verdict.name, decision.verdict.reason)
