"""`hopward task`"""

from typing import Any

import pytest

from hopward.clock import SystemClock, iso
from hopward.errors import TokenError
from hopward.model import ToolCall
from hopward.wiring import Guard

from .shell import Shell


def opened(desk: Shell, subject: str = "ana") -> str:
    return str(desk(f"task open --workflow tickets --subject {subject} --json").json["id"])


def test_opening_a_task_says_for_whom_by_whom_and_until_when(desk: Shell) -> None:
    printed = desk("task open --workflow tickets --subject ana")
    assert "for assistant, on behalf of ana, until 20" in printed.out
    assert "hopward task complete task_" in printed.err


def test_the_subject_is_the_local_user_unless_one_is_named(desk: Shell) -> None:
    assert desk("task open --workflow tickets --json").json["subject"].startswith("local:")


def test_an_unknown_workflow_is_refused_and_the_known_ones_are_named(desk: Shell) -> None:
    printed = desk.fails("task open --workflow ticket")
    assert "no workflow 'ticket'" in printed.err
    assert "tickets" in printed.err


def test_show_tells_what_the_task_may_do_and_what_it_has_used(desk: Shell, guard: Guard) -> None:
    task = opened(desk)
    guard.authorize(
        ToolCall(server="desk", tool="read_ticket", arguments={"ticket": "T1"}), guard.enter(task)
    )
    printed = desk(f"task show {task}")
    assert "calls     1 of 5\n" in printed.out
    assert "writes    0 of 1\n" in printed.out
    assert "read/pay; with desk/*; up to internal; at desk" in printed.out
    assert desk(f"task show {task} --json").json["usage"] == {"calls": 1, "writes": 0}


def test_list_shows_the_newest_first_and_can_be_cut_to_one_state(desk: Shell) -> None:
    first, second = opened(desk, "ana"), opened(desk, "bo")
    assert [task["id"] for task in desk("task list --json").json_lines] == [second, first]
    desk(f"task complete {first}")
    assert [task["id"] for task in desk("task list --state open --json").json_lines] == [second]
    assert [task["id"] for task in desk("task list -n 1 --json").json_lines] == [second]
    lines = desk("task list").out.splitlines()
    assert lines[0].split() == ["task", "state", "agent", "subject", "workflow", "expires"]
    assert lines[2].split()[:3] == [first, "completed", "assistant"]


def test_list_says_so_when_there_are_none(desk: Shell) -> None:
    printed = desk("task list")
    assert printed.out == ""
    assert "No tasks." in printed.err
    assert desk("task list --json").out == ""


def test_a_task_whose_time_is_over_is_listed_as_expired(desk: Shell) -> None:
    class Yesterday:
        def now(self) -> int:
            return SystemClock().now() - 24 * 60 * 60 * 1_000_000

    with_past = Guard.open(desk.folder / "hopward.toml", clock=Yesterday())
    task = with_past.open_task("tickets", "ana")
    with_past.close()
    assert iso(task.expires_at) < iso(SystemClock().now())
    assert [found["id"] for found in desk("task list --state expired --json").json_lines] == [task.id]
    assert desk("task list --state open --json").json_lines == []
    assert "state     expired" in desk(f"task show {task.id}").out


def test_a_completed_task_refuses_its_next_call(desk: Shell, guard: Guard) -> None:
    task = opened(desk)
    chain = guard.enter(task)
    call = ToolCall(server="desk", tool="read_ticket", arguments={"ticket": "T1"})
    assert guard.authorize(call, chain).permitted
    assert "Its next call is refused" in desk(f"task complete {task}").out
    assert guard.authorize(call, chain).verdict.reason == "task_completed"


def test_completing_a_task_twice_is_refused(desk: Shell) -> None:
    task = opened(desk)
    desk(f"task complete {task}")
    assert "already completed" in desk.fails(f"task complete {task}").err


@pytest.mark.parametrize("line", ["task show", "task complete", "task token --server desk", "log chain"])
def test_an_unknown_task_is_named_as_unknown(desk: Shell, line: str) -> None:
    assert "no task" in desk.fails(f"{line} task_404").err


def test_a_token_is_printed_alone_and_the_guard_takes_it_at_that_endpoint_only(
    desk: Shell, guard: Guard
) -> None:
    task = opened(desk)
    printed = desk(f"task token {task} --server desk")
    token = printed.out.removesuffix("\n")
    assert "\n" not in token
    assert "This is a secret." in printed.err
    chain = guard.identify(token, "http://127.0.0.1:8701/desk/mcp")
    assert (chain.task, chain.subject, chain.actors) == (task, "ana", ("assistant",))
    call = ToolCall(server="desk", tool="read_ticket", arguments={"ticket": "T1"})
    assert guard.authorize(call, chain).permitted


def test_a_token_as_json_is_a_token_response(desk: Shell) -> None:
    found = desk(f"task token {opened(desk)} --server desk --json").json
    assert found["token_type"] == "Bearer"
    assert 0 < found["expires_in"] <= 900
    assert found["resource"] == "http://127.0.0.1:8701/desk/mcp"


def test_without_a_server_the_token_is_the_tasks_own_and_opens_no_endpoint(desk: Shell, guard: Guard) -> None:
    task = opened(desk)
    printed = desk(f"task token {task}")
    presented = guard.issuer.verify(printed.out.strip())
    assert (presented.task, presented.audience) == (task, "http://127.0.0.1:8700")
    assert presented.may_act is not None
    assert presented.may_act.subject == "agent:assistant"
    assert "assistant can exchange it at http://127.0.0.1:8700/token" in printed.err
    with pytest.raises(TokenError):
        guard.identify(printed.out.strip(), "http://127.0.0.1:8700")


def test_no_token_is_written_to_the_decision_log(desk: Shell) -> None:
    token = desk(f"task token {opened(desk)} --server desk").out.strip()
    log = desk("log tail --json").out
    assert '"kind":"credential"' in log
    for part in token.split("."):
        assert part not in log


def test_no_token_is_given_for_an_ended_task_or_an_unknown_server(desk: Shell) -> None:
    task = opened(desk)
    assert "no server 'dsk'" in desk.fails(f"task token {task} --server dsk").err
    desk(f"task complete {task}")
    assert "completed" in desk.fails(f"task token {task} --server desk").err


def test_no_token_is_minted_here_when_the_authority_is_elsewhere(desk: Shell) -> None:
    task = opened(desk)
    path = desk.folder / "hopward.toml"
    remote = 'mode = "remote"\ntoken_endpoint = "https://auth.example.com/token"\nissuer ='
    path.write_text(path.read_text().replace("issuer =", remote))
    assert "https://auth.example.com/token" in desk.fails(f"task token {task} --server desk", 2).err


def test_a_task_from_a_prompt_has_the_tools_that_the_prompt_asks_for(desk: Shell, guard: Guard) -> None:
    reading = desk("task open --workflow tickets --from-prompt 'What does T1 say?' --yes --json").json
    assert (reading["request"], _tools(reading)) == ("What does T1 say?", {"desk/read_ticket"})
    paying = desk("task open --workflow tickets --from-prompt 'Refund T1' --yes --json").json
    assert _tools(paying) == {"desk/read_ticket", "desk/refund"}
    chain = guard.enter(reading["id"])
    assert guard.authorize(ToolCall(server="desk", tool="read_ticket"), chain).permitted
    refused = guard.authorize(ToolCall(server="desk", tool="refund", arguments={"amount": 1}), chain)
    assert refused.verdict.reason == "outside_task"


def test_the_proposed_tools_are_shown_and_nothing_is_opened_where_nobody_can_agree(desk: Shell) -> None:
    printed = desk.fails("task open --workflow tickets --from-prompt 'Refund T1'", status=2)
    assert "+  desk/refund       pay     the request says 'refund'" in printed.out
    assert "--tools desk/read_ticket,desk/refund" in printed.err
    assert desk("task list").out == ""


def test_a_task_from_a_prompt_says_which_tools_it_has(desk: Shell) -> None:
    printed = desk("task open --workflow tickets --from-prompt 'What does T1 say?' --yes")
    assert "it may call desk/read_ticket, and no other." in printed.out
    (task,) = desk("task list --json").json_lines
    assert "with desk/read_ticket" in desk(f"task show {task['id']}").out


@pytest.mark.parametrize("options", ["--yes", "--yes --json", ""])
def test_a_prompt_that_asks_for_no_tool_opens_nothing_and_says_so(
    desk: Shell, monkeypatch: pytest.MonkeyPatch, options: str
) -> None:
    monkeypatch.setattr("hopward.cli.task.at_terminal", lambda: True)
    path = desk.folder / "hopward.toml"
    head, workflow = path.read_text().split("[[workflows.tickets.capabilities]]")
    path.write_text(f"{head}[[workflows.tickets.capabilities]]{workflow.replace('desk/*', 'desk/refund')}")
    line = f"task open --workflow tickets --from-prompt 'Please do not refund T-1' {options}"
    printed = desk.run(line, typed="\n")
    assert printed.status == 2
    assert "asks for none of the workflow's tools" in printed.err
    assert "It reaches: desk/refund" in printed.err
    assert desk("task list").out == ""


def test_a_task_that_may_call_nothing_says_so(desk: Shell, guard: Guard) -> None:
    task = guard.open_task("tickets", "ana", tools=["other/tool"])
    assert "call nothing" in desk(f"task show {task.id}").out


@pytest.mark.parametrize(
    ("typed", "tools"), [("\n", {"desk/read_ticket"}), ("desk/refund\n", {"desk/refund"})]
)
def test_a_person_agrees_to_the_proposed_tools_or_says_which(
    desk: Shell, monkeypatch: pytest.MonkeyPatch, typed: str, tools: set[str]
) -> None:
    monkeypatch.setattr("hopward.cli.task.at_terminal", lambda: True)
    printed = desk("task open --workflow tickets --from-prompt 'Read T1'", typed=typed)
    assert "-  desk/refund       pay     nothing asks to pay with it" in printed.out
    (task,) = desk("task list --json").json_lines
    assert _tools(task) == tools


def test_the_prompt_may_come_from_standard_input(desk: Shell) -> None:
    line = "task open --workflow tickets --from-prompt - --yes --json"
    assert desk(line, typed="Refund 'T1', please\n").json["request"] == "Refund 'T1', please"
    assert "The request is empty." in desk.fails(line, status=2).err


def test_a_person_may_say_which_tools_without_a_prompt(desk: Shell) -> None:
    task = desk("task open --workflow tickets --tools desk/read* --json").json
    assert _tools(task) == {"desk/read*"}
    printed = desk.fails("task open --workflow tickets --tools desk/refund,desk/erase", status=2)
    assert "The workflow reaches no desk/erase." in printed.err
    assert "It reaches: desk/read_ticket, desk/refund" in printed.err
    assert "No tool is listed." in desk.fails("task open --workflow tickets --tools ,", status=2).err


def test_a_prompt_is_the_request(desk: Shell) -> None:
    printed = desk.fails("task open --workflow tickets --from-prompt a --request b --yes", status=2)
    assert "leave out --request" in printed.err


def _tools(task: dict[str, Any]) -> set[str]:
    return {tool for one in task["capabilities"] for tool in one["tools"]}
