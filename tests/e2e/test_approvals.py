"""A call that waits for a person: from the client's refusal over the terminal to the server, and once."""

import asyncio
import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.types import ElicitRequestURLParams, ElicitResult

from hopward.osuser import os_user

from .project import HOPWARD, Project, environment, recorded
from .running import Running
from .served import free_port
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
    wire = Wire(project, options=["--subject", "local:wendy"])
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
    wire = Wire(project, before=["env", "LOGNAME=wendy", "USER=wendy"])
    try:
        wire.greet()
        approval = refusal(wire.call("change", note="a"))["approval"]
        project.hopward("approve", approval, "--yes", status=1)
        assert refusal(wire.call("change", note="a"))["approval"] == approval
    finally:
        wire.end()
    assert project.calls_received() == []


class Lena:
    """Who approves, at her browser."""

    def __init__(self, code: str, page: str) -> None:
        self._http = httpx2.Client(base_url=page, headers={"Origin": page, "Sec-Fetch-Site": "same-origin"})
        assert self._http.post("/pair", data={"code": code, "label": "phone"}).status_code == 303

    def approve(self, url: str) -> None:
        """Open an address, and say yes to what is there."""
        shown = self._http.get(url).text
        assert "local:wendy" in shown
        token = re.search(r'name="token" value="([0-9a-f]{64})"', shown)
        assert token is not None
        answered = self._http.post(url, data={"token": token[1], "answer": "yes", "why": "it is Tuesday"})
        assert answered.status_code in (200, 303), answered.text

    def __enter__(self) -> "Lena":
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()


@pytest.mark.parametrize("era", ["legacy", "2026-07-28"])
async def test_the_page_that_the_client_opens_is_where_the_call_is_approved(
    project: Project, era: Any
) -> None:
    address = f"127.0.0.1:{free_port()}"
    page = f"http://{address}"
    project.change('issuer = "http://127.0.0.1:8700"', f'issuer = "{page}"\nlisten = "{address}"')
    groups = f'[approvals]\npage = "{page}"\n\n[approvals.groups'
    project.change("[approvals.groups", groups)
    shown: list[str] = []
    with ExitStack() as stack:
        authority = Running([str(HOPWARD), "authority", "serve"], project.folder)
        stack.callback(authority.end)
        await asyncio.to_thread(authority.wait_for, "People answer at")
        code = project.hopward("authority", "pair", os_user()).split()[0]
        lena = stack.enter_context(Lena(code, page))

        async def elicit(_ctx: Any, params: Any) -> ElicitResult:
            shown.append(params.url)
            await asyncio.to_thread(lena.approve, params.url)
            return ElicitResult(action="accept")

        words = ["mcp", "run", "recorder", "--subject", "local:wendy"]
        started = StdioServerParameters(
            command=str(HOPWARD), args=words, env=environment(), cwd=project.folder
        )
        async with Client(stdio_client(started), mode=era, elicitation_callback=elicit) as client:
            assert (await client.call_tool("change", {"note": "a"})).is_error is not True
    assert (len(shown), len(project.calls_received())) == (1, 1)


@pytest.mark.parametrize("era", ["legacy", "2026-07-28"])
async def test_a_client_that_is_led_to_the_page_waits_while_somebody_approves_at_the_terminal(
    project: Project, era: Any
) -> None:
    project.change("[approvals.groups", '[approvals]\npage = "https://approve.example"\n\n[approvals.groups')
    shown: list[ElicitRequestURLParams] = []
    answering: list[asyncio.Task[str]] = []

    async def elicit(_ctx: Any, params: Any) -> ElicitResult:
        shown.append(params)
        found = re.fullmatch(r"https://approve\.example/approvals/(apr_\w+)", params.url)
        assert found is not None
        saying_yes = asyncio.to_thread(project.hopward, "approve", found[1], "--yes")
        answering.append(asyncio.create_task(saying_yes))
        return ElicitResult(action="accept")

    words = ["mcp", "run", "recorder", "--subject", "local:wendy"]
    started = StdioServerParameters(command=str(HOPWARD), args=words, env=environment(), cwd=project.folder)
    async with Client(stdio_client(started), mode=era, elicitation_callback=elicit) as client:
        called = await client.call_tool("change", {"note": "a", "times": 2})
        assert called.is_error is not True
        await answering[0]
    assert "on behalf of local:wendy" in shown[0].message
    assert "A change is a person's decision." in shown[0].message
    (received,) = project.calls_received()
    permit = project.decision(received["decision"])["decision"]
    assert (permit.reason, len(shown)) == ("approved", 1)
    project.hopward("log", "verify")
