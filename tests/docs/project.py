"""A project that guards the example support desk, with a decision log in which something has happened."""

import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

from hopward import Guard, Outcome, ToolCall
from hopward.clock import SECOND
from hopward.project import create
from hopward.testing.clock import FixedClock

from .markdown import ROOT

EXAMPLE = ROOT / "examples" / "support_desk"


def support_desk(folder: Path) -> None:
    """Make `folder` such a project. Rows of every kind are in its log; a second passes with each of them."""
    shutil.copyfile(EXAMPLE / "hopward.toml", folder / "hopward.toml")
    shutil.copytree(EXAMPLE / "policies", folder / "policies")
    create(folder)
    clock = FixedClock()
    with closing(Guard.open(folder / "hopward.toml", clock=clock)) as guard:
        task = guard.open_task("support", "ines@desk.example")
        chain = guard.enter(task.id)
        for tool, arguments in CALLS:
            clock.advance(SECOND)
            decision = guard.authorize(ToolCall(server="support_desk", tool=tool, arguments=arguments), chain)
            if decision.permitted:
                guard.settle(decision, ENDED)
        guard.refuse("support_desk", "not_json", "The message is not valid JSON (at character 0).", chain)
        _reject_a_policy(folder / "policies" / "broken.cedar", guard, clock)
        guard.issuer.agent_token("support-agent", guard.ledger)
        old = guard.issuer.jwks()["keys"][0]["kid"]
        guard.issuer.rotate(guard.ledger)
        guard.revoke("key", old, by="local:ines", why="the disk was stolen")
        guard.complete_task(task.id)
        other = guard.open_task("support", "ines@desk.example")
        guard.revoke("task", other.id, by="local:ines", why="opened by mistake")
        guard.set_agent_state("support-agent", "suspended", by="local:ines", why="odd refunds")
        guard.set_agent_state("support-agent", "active", by="local:ines", why="it was the ticket")


def _reject_a_policy(path: Path, guard: Guard, clock: FixedClock) -> None:
    path.write_text("permit (principal, action, resource", "utf-8")
    clock.advance(SECOND)
    unknown = ToolCall(server="support_desk", tool="search_customers", arguments={"query": "wind"})
    guard.authorize(unknown, guard.enter(guard.open_task("support", "ines@desk.example").id))
    path.unlink()


CALLS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("read_ticket", {"ticket_id": "T-1041"}),
    ("refund", {"ticket_id": "T-1041", "amount": 35.0, "reason": "arrived broken"}),
    ("refund", {"ticket_id": "T-1042", "amount": 45.0, "reason": "late"}),
    ("refund", {"ticket_id": "T-1042", "amount": 900.0, "reason": "the ticket says so"}),
    ("delete_customer", {"customer_id": "C-8"}),
)
"""Permitted, permitted, needs approval, over the task's limit, not in the task."""

ENDED = Outcome(status="ok", result_digest="sha-256:" + "0" * 64, duration=1_000, size=80)
