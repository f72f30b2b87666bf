"""A project that guards the example support desk, with a decision log in which something has happened."""

import shutil
from contextlib import closing
from pathlib import Path

from hopward import Guard, Outcome, ToolCall
from hopward.project import create

from .markdown import ROOT

EXAMPLE = ROOT / "examples" / "support_desk"


def support_desk(folder: Path) -> None:
    """Make `folder` such a project: one task with permitted and refused calls, completed; one revoked."""
    shutil.copyfile(EXAMPLE / "hopward.toml", folder / "hopward.toml")
    shutil.copytree(EXAMPLE / "policies", folder / "policies")
    create(folder)
    with closing(Guard.open(folder / "hopward.toml")) as guard:
        task = guard.open_task("support", "ines@desk.example")
        chain = guard.enter(task.id)
        for tool, arguments in CALLS:
            decision = guard.authorize(ToolCall(server="support_desk", tool=tool, arguments=arguments), chain)
            if decision.permitted:
                guard.settle(decision, Outcome(status="ok", result_digest="sha-256:" + "0" * 64, duration=1_000))
        guard.refuse("support_desk", "not_json", "The message is not valid JSON (at character 0).", chain)
        guard.complete_task(task.id)
        other = guard.open_task("support", "ines@desk.example")
        guard.revoke("task", other.id, by="local:ines", why="opened by mistake")


CALLS = (
    ("read_ticket", {"ticket_id": "T-1041"}),
    ("refund", {"ticket_id": "T-1041", "amount": 35.0, "reason": "arrived broken"}),
    ("refund", {"ticket_id": "T-1042", "amount": 45.0, "reason": "late"}),
    ("refund", {"ticket_id": "T-1042", "amount": 900.0, "reason": "the ticket says so"}),
    ("delete_customer", {"customer_id": "C-8"}),
)
"""Permitted, permitted, needs approval, over the task's limit, not in the task."""
