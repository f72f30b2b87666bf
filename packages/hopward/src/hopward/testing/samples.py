"""Values that belong together, for tests: alice has opened task_1 for the agent helper."""

from itertools import pairwise
from typing import Any

from hopward.approval import Approval, ApproverNeed
from hopward.clock import SECOND
from hopward.model import Agent, Budget, Capability, Chain, Hop, Revocation, RevocationKind, Task
from hopward.record import Asking, Draft
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


def a_hop(hop_id: str = "hop_1", **changes: Any) -> Hop:
    """An open hop of `a_task` from `helper` to `other`, three calls of which none may write."""
    readable = Capability(
        tools=("desk/read_ticket",), actions=("read",), sensitivity="internal", destinations=("internal",)
    )
    fields: dict[str, Any] = {
        "id": hop_id,
        "task": "task_1",
        "parent": "",
        "parent_digest": "",
        "delegator": "helper",
        "agent": "other",
        "purpose": "read ticket 7",
        "capabilities": (readable,),
        "delegable": (),
        "depth": 0,
        "fan_out": 0,
        "budget": Budget(calls=3, writes=0),
        "shared": False,
        "key": "",
        "opened_at": NOON,
        "expires_at": NOON + 600 * SECOND,
        "state": "open",
    }
    return Hop(**(fields | changes))


def hops_along(*actors: str, **changes: Any) -> tuple[Hop, ...]:
    """The hops `hop_1`, `hop_2` ... of `a_task` that lead from each of these agents to the next."""
    return tuple(
        a_hop(
            f"hop_{number}",
            parent=f"hop_{number - 1}" if number > 1 else "",
            delegator=delegator,
            agent=agent,
            **changes,
        )
        for number, (delegator, agent) in enumerate(pairwise(actors), 1)
    )


def a_revocation(kind: RevocationKind, identity: str) -> Revocation:
    """A revocation as of noon."""
    return Revocation(kind=kind, id=identity, at=NOON, by="bob", why="lost laptop")


def an_approval(approval_id: str = "apr_1", **changes: Any) -> Approval:
    """A pending approval of `a_chain` to delete ticket 7, asked for at noon, for a quarter of an hour."""
    fields: dict[str, Any] = {
        "id": approval_id,
        "state": "pending",
        "binding": "sha256:1",
        "decision": "dec_1",
        "chain": a_chain(),
        "server": "desk",
        "tool": "delete_ticket",
        "arguments": {"id": 7},
        "call_digest": "sha256:2",
        "policy_set": "sha256:3",
        "policies": ("ask",),
        "sentence": "Needs approval by operators first, says policy ask.",
        "purposes": ("answer ticket 7",),
        "needed": (ApproverNeed(group="operators", people=1),),
        "requested_at": NOON,
        "expires_at": NOON + 900 * SECOND,
    }
    return Approval(**(fields | changes))


def an_asking(approval: Approval, **changes: Any) -> Asking:
    """That approval asked for, where ten may wait at a time, and ten be asked for within an hour."""
    fields: dict[str, Any] = {
        "most_pending": 10,
        "most": 10,
        "since": approval.requested_at - 3600 * SECOND,
        "most_of_subject": 10,
    }
    return Asking(approval, **(fields | changes))


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
