"""A call that waits for a person: from the client's refusal over the terminal to the server, and once."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from hopward.osuser import os_user

from .project import Project, recorded
from .wire import Wire, refusal, told

HELD = """
@id("changes-need-a-person") @reason("A change is a person's decision.") @step_up("operators")
forbid (principal, action == Hopward::Action::"recorder/change", resource);
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = recorded(tmp_path)
    project.change('members = ["local:carol"]', f'members = ["{os_user()}"]')
    (tmp_path / "policies" / "held.cedar").write_text(HELD, "utf-8")
    return project


@pytest.fixture
def wire(project: Project) -> Iterator[Wire]:
    """A session on behalf of wendy, who is not at this terminal."""
    wire = Wire(project, before=["env", "LOGNAME=wendy"])
    wire.greet()
    yield wire
    wire.end()


def test_after_the_approval_the_retry_passes_exactly_once(project: Project, wire: Wire) -> None:
    refused = refusal(wire.call("change", note="a", times=2))
    assert (refused["verdict"], refused["reason"]) == ("step-up", "approval_required")
    approval = refused["approval"]
    assert f"`hopward approve {approval}`" in refused["text"]
    assert project.calls_received() == []
    assert json.loads(project.hopward("approve", "--json"))["id"] == approval
    shown = project.hopward("approve", approval)
    assert "on behalf of local:wendy" in shown
    assert "A change is a person's decision." in shown
    project.hopward("approve", approval, "--yes", "--why", "it is Tuesday")
    # The same arguments in another order are the same call.
    passed = told(wire.call("change", times=2, note="a"))
    again = refusal(wire.call("change", note="a", times=2))
    assert again["approval"] != approval
    assert [claims["decision"] for claims in project.calls_received()] == [passed["decision"]]
    permit = project.decision(passed["decision"])["decision"]
    assert (permit.reason, permit.record["verdict"]["approval"]) == ("approved", approval)
    project.hopward("log", "verify")


def test_another_argument_after_the_approval_is_not_what_was_approved(project: Project, wire: Wire) -> None:
    approval = refusal(wire.call("change", note="a"))["approval"]
    project.hopward("approve", approval, "--yes")
    assert refusal(wire.call("change", note="b"))["approval"] != approval
    assert project.calls_received() == []
    told(wire.call("change", note="a"))


def test_a_rejection_tells_the_model_why(project: Project, wire: Wire) -> None:
    approval = refusal(wire.call("change", note="a"))["approval"]
    project.hopward("approve", approval, "--reject", "--why", "not on a Tuesday")
    refused = refusal(wire.call("change", note="a"))
    assert refused["reason"] == "approval_rejected"
    assert "not on a Tuesday" in refused["text"]


def test_a_changed_argument_is_told_and_then_passes(project: Project, wire: Wire) -> None:
    approval = refusal(wire.call("change", note="a", times=9))["approval"]
    project.hopward("approve", approval, "--yes", "--set", "times=1")
    refused = refusal(wire.call("change", note="a", times=9))
    assert refused["reason"] == "approval_edited"
    assert '{"note":"a","times":1}' in refused["text"]
    told(wire.call("change", note="a", times=1))
    assert len(project.calls_received()) == 1


def test_who_works_at_the_terminal_of_the_session_cannot_approve_it(project: Project) -> None:
    name = os_user().removeprefix("local:")
    wire = Wire(project, before=["env", f"LOGNAME={name}"])
    try:
        wire.greet()
        approval = refusal(wire.call("change", note="a"))["approval"]
        project.hopward("approve", approval, "--yes", status=1)
        assert refusal(wire.call("change", note="a"))["approval"] == approval
    finally:
        wire.end()
    assert project.calls_received() == []
