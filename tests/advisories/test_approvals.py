"""Advisories about consent that counts for somebody else than who asked for it."""

import shutil
from contextlib import closing
from pathlib import Path

from hopward import Guard, ToolCall
from hopward.project import create

from .shipped import ROOT

LARGE = ToolCall(
    server="support_desk", tool="refund", arguments={"ticket_id": "T-1041", "amount": 45, "reason": "late"}
)


def test_an_approval_counts_only_where_it_was_given(tmp_path: Path) -> None:
    """Row 20 (CVE-2026-27124, GHSA-rww4-4w9c-7733, GHSA-5h2m-4q8j-pqpj): a yes given in one session is found
    from no other: not of another task, another subject or another server, and once in its own."""
    example = ROOT / "examples" / "support_desk"
    shutil.copy(example / "hopward.toml", tmp_path)
    shutil.copytree(example / "policies", tmp_path / "policies")
    create(tmp_path)
    with closing(Guard.open(tmp_path / "hopward.toml")) as guard:
        own, other, stranger = (
            guard.enter(guard.open_task("support", subject).id) for subject in ("ines", "ines", "mallory")
        )
        asked = guard.authorize(LARGE, own)
        guard.approvals.approve(asked.approval, by="lena@desk.example")
        elsewhere = ToolCall(server="support_desk_http", tool="refund", arguments=LARGE.arguments)
        for call, chain in ((LARGE, other), (LARGE, stranger), (elsewhere, own)):
            decision = guard.authorize(call, chain)
            assert (decision.verdict.name, decision.approval != asked.approval) == ("step-up", True)
        assert [guard.authorize(LARGE, own).permitted for _ in range(2)] == [True, False]
