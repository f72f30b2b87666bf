"""Values that belong together, for tests: alice has opened task_1 for the agent helper."""

from typing import Any

from hopward.clock import SECOND
from hopward.model import Agent, Budget, Capability, Chain, Revocation, RevocationKind, Task
from hopward.record import Draft
from hopward.testing.clock import NOON


def a_task(task_id: str = "task_1", **changes: Any) -> Task:
    """An open task of agent `helper` for `alice`, ten calls of which three may write."""
    readable = Capability(
        tools=("desk/*",), actions=("read",), sensitivity="internal", destinations=("internal",)
    )
    fields: dict[str, Any] = {
        "id": task_id,
        "subject": "alice",
        "agent": "helper",
        "purpose": "answer ticket 7",
        "workflow": "support",
        "capabilities": (readable,),
        "budget": Budget(calls=10, writes=3),
        "opened_at": NOON,
        "expires_at": NOON + 3600 * SECOND,
        "state": "open",
    }
    return Task(**(fields | changes))


def an_agent(agent_id: str = "helper", **changes: Any) -> Agent:
    """An active agent with an empty ceiling."""
    fields: dict[str, Any] = {
        "id": agent_id,
        "owner": "support team",
        "purpose": "answers tickets",
        "state": "active",
        "ceiling": (),
    }
    return Agent(**(fields | changes))


def a_chain(**changes: Any) -> Chain:
    """The chain alice -> helper of `a_task`."""
    fields: dict[str, Any] = {
        "task": "task_1",
        "subject": "alice",
        "actors": ("helper",),
        "issued_at": NOON,
        "expires_at": NOON + 3600 * SECOND,
        "scope": ("desk/*",),
    }
    return Chain(**(fields | changes))


def a_revocation(kind: RevocationKind, identity: str) -> Revocation:
    """A revocation as of noon."""
    return Revocation(kind=kind, id=identity, at=NOON, by="bob", why="lost laptop")


def a_draft(**changes: Any) -> Draft:
    """A decision row: helper may read a ticket."""
    fields: dict[str, Any] = {
        "kind": "decision",
        "at": NOON,
        "record": {"call": {"arguments": {"id": 7}}},
        "task": "task_1",
        "agent": "helper",
        "server": "desk",
        "tool": "read_ticket",
        "verdict": "permit",
        "reason": "policy",
        "decision": "dec_1",
    }
    return Draft(**(fields | changes))


NOTE = Draft(kind="task", at=NOON, record={"note": "changed"})
"""The row of a change whose content does not matter."""
