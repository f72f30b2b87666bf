"""MCP tasks of both eras: whose they are, what opens them, what adds to them, what is written of them."""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hopward import Guard
from hopward_mcp.mcp_task_store import FILE

from .carrying import Program, Session
from .conversation import Conversation
from .installation import ENTRY, install, opened, rows, stdio_server

MODERN = {"io.modelcontextprotocol/protocolVersion": "2026-07-28"}
RESULT = {"content": [{"type": "text", "text": "done"}]}
BY_ID = ("tasks/get", "tasks/result", "tasks/cancel", "tasks/update")
QUESTION = {"a": {"method": "elicitation/create", "params": {"mode": "form", "message": "?"}}}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    elicitation = ENTRY.format(
        server="desk", group="server_requests", tool='"elicitation/create"', action="read"
    )
    return install(tmp_path, stdio_server(tmp_path / "record") + elicitation)


@pytest.fixture
def guard(config: Path) -> Iterator[Guard]:
    with opened(config) as opened_guard:
        yield opened_guard


@pytest.fixture
async def other(guard: Guard, conversation: Conversation) -> Conversation:
    """Another caller: the same person and agent, another task."""
    return Conversation(guard)


def made(conversation: Conversation, task_id: str = "t-1", tool: str = "echo", arguments: Any = None) -> None:
    """A call of 2025-11-25 that becomes a task."""
    number = len(conversation.to_server) + 1000
    conversation.call(tool, arguments, message_id=number, task={"ttl": 60_000})
    conversation.server_answers({"task": {"taskId": task_id, "status": "working"}})


def became(
    conversation: Conversation, task_id: str = "t-1", tool: str = "echo", arguments: Any = None
) -> None:
    """A call of 2026-07-28 that becomes a task."""
    number = len(conversation.to_server) + 1000
    conversation.call(tool, arguments, message_id=number, _meta=MODERN)
    conversation.server_answers({"resultType": "task", "taskId": task_id, "status": "working"})


def ask(conversation: Conversation, method: str, task_id: Any = "t-1", **params: Any) -> None:
    number = len(conversation.to_server) + len(conversation.to_client) + 5000
    conversation.client_says({"id": number, "method": method, "params": {"taskId": task_id, **params}})


def sent(conversation: Conversation) -> list[str]:
    """The methods of what the server has got, without calls."""
    return [
        one["method"] for one in conversation.to_server if one.get("method", "tools/call") != "tools/call"
    ]


def outcomes(guard: Guard) -> list[tuple[str, str]]:
    found = [row.record["outcome"] for row in rows(guard, "outcome")]
    return [(outcome["status"], outcome.get("error", "")) for outcome in found]


def decisions(guard: Guard) -> list[tuple[str, str]]:
    found = rows(guard, "decision")
    return [(row.tool, "permit" if row.verdict == "permit" else row.reason) for row in found]


@pytest.mark.parametrize("make", [made, became])
@pytest.mark.parametrize("method", BY_ID)
async def test_a_task_opens_to_whose_call_has_made_it(
    conversation: Conversation, make: Any, method: str
) -> None:
    make(conversation)
    ask(conversation, method)
    assert sent(conversation) == [method]
    conversation.server_answers({"taskId": "t-1", "status": "working", "vendor": 1})
    assert conversation.to_client[-1]["result"] == {"taskId": "t-1", "status": "working", "vendor": 1}


@pytest.mark.parametrize("make", [made, became])
@pytest.mark.parametrize("method", BY_ID)
async def test_a_task_of_another_is_as_if_it_were_not_there(
    conversation: Conversation, other: Conversation, make: Any, method: str
) -> None:
    make(conversation, "t-1")
    ask(other, method, "t-1")
    ask(other, method, "t-none")
    assert other.to_server == []
    foreign, absent = (answer["error"] for answer in other.to_client)
    assert foreign == absent
    assert foreign["code"] == -32602
    assert [row.reason for row in rows(other.guard, "refusal")] == ["mcp_task_unknown"] * 2


@pytest.mark.parametrize("task_id", [None, "", 1, ["t-1"], {"taskId": "t-1"}, "x" * 1025, "t-1\n", True])
async def test_an_odd_task_id_is_refused(conversation: Conversation, task_id: Any) -> None:
    made(conversation)
    ask(conversation, "tasks/get", task_id)
    assert sent(conversation) == []
    assert conversation.to_client[-1]["error"]["code"] == -32602


@pytest.mark.parametrize("params", [{"TaskId": "t-2"}, {"taskid": "t-2"}])
async def test_a_task_id_that_could_be_read_as_another_is_refused(
    conversation: Conversation, params: dict[str, Any]
) -> None:
    made(conversation)
    ask(conversation, "tasks/get", "t-1", **params)
    assert sent(conversation) == []
    assert conversation.to_client[-1]["error"]["code"] == -32600


async def test_a_list_of_tasks_shows_only_ones_own(conversation: Conversation, other: Conversation) -> None:
    made(conversation, "t-1")
    made(other, "t-2")
    given = [
        {"taskId": "t-1", "vendor": 1},
        {"taskId": "t-2"},
        {"taskId": "t-3"},
        {},
        "t-1",
        {"taskId": ["t-1"]},
    ]
    for caller, shown in ((conversation, [given[0]]), (other, [given[1]])):
        caller.client_says({"id": 1, "method": "tasks/list"})
        caller.server_answers({"tasks": given, "nextCursor": "c"})
        assert caller.to_client[-1]["result"] == {"tasks": shown, "nextCursor": "c"}
    conversation.client_says({"id": 2, "method": "tasks/list"})
    conversation.server_answers({"tasks": {"taskId": "t-1"}})
    assert conversation.to_client[-1]["result"] == {"tasks": []}


@pytest.mark.parametrize("method", [*BY_ID, "tasks/list"])
async def test_a_task_is_shut_once_the_chain_that_made_it_has_ended(
    conversation: Conversation, method: str
) -> None:
    made(conversation)
    conversation.guard.complete_task(conversation.task.id)
    ask(conversation, method)
    if method == "tasks/list":
        conversation.server_answers({"tasks": [{"taskId": "t-1"}]})
        assert conversation.to_client[-1]["result"] == {"tasks": []}
    else:
        assert sent(conversation) == []
        assert conversation.to_client[-1]["error"]["message"] == "There is no such task."


async def test_a_task_is_shut_once_its_tool_may_not_be_called_any_more(
    conversation: Conversation, config: Path
) -> None:
    made(conversation)
    forbid = '@id("no-more")\nforbid (principal, action == Hopward::Action::"desk/echo", resource);\n'
    (config.parent / "policies" / "later.cedar").write_text(forbid)
    conversation.guard.policies.refresh()
    ask(conversation, "tasks/result")
    assert sent(conversation) == []


async def test_a_result_that_is_waited_for_is_not_shown_once_the_task_is_revoked(
    conversation: Conversation,
) -> None:
    made(conversation)
    ask(conversation, "tasks/result")
    conversation.guard.revoke("task", conversation.task.id, by="ana", why="enough")
    conversation.server_answers(RESULT)
    assert "done" not in json.dumps(conversation.to_client)
    assert conversation.to_client[-1]["error"]["message"] == "There is no such task."


async def test_what_a_client_adds_is_decided_as_the_call_once_more(conversation: Conversation) -> None:
    became(conversation, "t-1", "refund", {"amount": 20})
    ask(conversation, "tasks/update", inputResponses={"a": {"action": "accept"}})
    assert decisions(conversation.guard) == [("refund", "permit"), ("refund", "permit")]
    first, second = rows(conversation.guard, "decision")
    assert first.record["call"] == second.record["call"]
    update = conversation.to_server[-1]
    assert update["params"]["inputResponses"] == {"a": {"action": "accept"}}
    assert update["params"]["_meta"]["dev.hopward/credential"].count(".") == 2
    conversation.server_answers({"resultType": "complete"})
    assert outcomes(conversation.guard) == [("unknown", "mcp_task_made"), ("ok", "")]


async def test_adding_to_a_task_takes_out_of_the_budget_and_ends_with_it(conversation: Conversation) -> None:
    became(conversation, "t-1", "refund", {"amount": 20})
    for _ in range(100):
        ask(conversation, "tasks/update", inputResponses={})
        if sent(conversation)[-1:] == ["tasks/update"] and "error" not in conversation.to_client[-1]:
            conversation.server_answers({"resultType": "complete"})
    assert sent(conversation) == ["tasks/update"] * 99
    assert conversation.to_client[-1]["error"]["data"]["reason"] == "budget_exhausted"


async def test_nothing_is_added_to_a_task_that_has_ended(conversation: Conversation) -> None:
    became(conversation, "t-1", "refund", {"amount": 20})
    ask(conversation, "tasks/get")
    conversation.server_answers({"taskId": "t-1", "status": "completed", "result": RESULT})
    ask(conversation, "tasks/update", inputResponses={})
    assert sent(conversation) == ["tasks/get"]
    assert [row.reason for row in rows(conversation.guard, "refusal")] == ["mcp_task_ended"]


# What is written.


async def test_the_outcome_says_that_a_task_was_made_and_a_second_how_it_ended(
    conversation: Conversation,
) -> None:
    made(conversation)
    assert outcomes(conversation.guard) == [("unknown", "mcp_task_made")]
    ask(conversation, "tasks/get")
    conversation.server_answers({"taskId": "t-1", "status": "completed"})
    for _ in range(2):
        ask(conversation, "tasks/result")
        conversation.server_answers(RESULT)
        assert conversation.to_client[-1]["result"] == RESULT
    assert outcomes(conversation.guard) == [("unknown", "mcp_task_made"), ("ok", "")]
    first, second = rows(conversation.guard, "outcome")
    assert first.decision == second.decision == rows(conversation.guard, "decision")[0].decision
    assert second.record["outcome"]["size"] == len(json.dumps(RESULT, separators=(",", ":")))


@pytest.mark.parametrize(
    ("state", "ended"),
    [
        ({"status": "completed", "result": {**RESULT, "isError": True}}, ("tool_error", "")),
        ({"status": "failed", "error": {"code": -32603, "message": "secret"}}, ("error", "json-rpc -32603")),
        ({"status": "failed"}, ("error", "json-rpc ?")),
        ({"status": "cancelled"}, ("cancelled", "mcp_task_cancelled")),
    ],
)
async def test_how_a_task_has_ended_is_recorded_from_what_it_says_of_itself(
    conversation: Conversation, state: dict[str, Any], ended: tuple[str, str]
) -> None:
    became(conversation)
    for _ in range(2):
        ask(conversation, "tasks/get")
        conversation.server_answers({"resultType": "complete", "taskId": "t-1", **state})
        assert conversation.to_client[-1]["result"]["status"] == state["status"]
    assert outcomes(conversation.guard) == [("unknown", "mcp_task_made"), ended]


async def test_the_end_of_a_task_that_cannot_be_written_down_is_withheld(
    conversation: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(conversation)
    ask(conversation, "tasks/result")
    with monkeypatch.context() as patched:
        patched.setattr(conversation.guard.ledger, "record", _unwritable)
        conversation.server_answers(RESULT)
    assert "done" not in json.dumps(conversation.to_client)
    ask(conversation, "tasks/result")
    conversation.server_answers(RESULT)
    assert conversation.to_client[-1]["result"] == RESULT
    assert outcomes(conversation.guard)[-1] == ("ok", "")


def _unwritable(*_: object) -> None:
    raise RuntimeError("disk full")


async def test_a_task_whose_owner_cannot_be_noted_is_withheld(
    conversation: Conversation, config: Path
) -> None:
    (config.parent / ".hopward" / FILE).mkdir()
    made(conversation)
    assert "t-1" not in json.dumps(conversation.to_client)
    assert outcomes(conversation.guard) == [("unknown", "mcp_task_unrecorded")]


async def test_a_table_that_cannot_be_read_opens_no_task(conversation: Conversation, config: Path) -> None:
    made(conversation)
    (config.parent / ".hopward" / FILE).write_bytes(b"no database" * 1000)
    for method in (*BY_ID, "tasks/list"):
        ask(conversation, method)
        if method == "tasks/list":
            conversation.server_answers({"tasks": [{"taskId": "t-1"}]})
        assert "error" in conversation.to_client[-1]
    assert sent(conversation) == ["tasks/list"]


async def test_the_table_is_ours_alone_holds_no_id_and_nothing_of_chains_that_have_expired(
    conversation: Conversation, config: Path
) -> None:
    file = config.parent / ".hopward" / FILE
    ask(conversation, "tasks/get", "t-none")
    assert not file.exists()
    became(conversation, "an-id-that-opens", "refund", {"amount": 20})
    assert file.stat().st_mode & 0o077 == 0
    assert b"an-id-that-opens" not in file.read_bytes()
    with sqlite3.connect(file) as table:
        table.execute("UPDATE mcp_tasks SET until = 1")
    became(conversation, "t-2")
    with sqlite3.connect(file) as table:
        assert table.execute("SELECT tool FROM mcp_tasks").fetchall() == [("echo",)]


async def test_whose_a_task_is_survives_the_process(conversation: Conversation, config: Path) -> None:
    made(conversation)
    with opened(config) as elsewhere:
        again, stranger = Conversation(elsewhere), Conversation(elsewhere)
        again.chain = elsewhere.enter(conversation.task.id)
        for caller in (again, stranger):
            ask(caller, "tasks/result")
        assert sent(again) == ["tasks/result"]
        assert sent(stranger) == []
        again.server_answers(RESULT)
        assert outcomes(elsewhere)[-1] == ("ok", "")


# Odd servers.


async def test_a_task_that_nobody_asked_for_is_none(conversation: Conversation) -> None:
    conversation.call("echo")
    conversation.server_answers({**RESULT, "task": {"taskId": "t-1"}})
    assert conversation.to_client[0]["result"]["task"] == {"taskId": "t-1"}
    ask(conversation, "tasks/get")
    assert sent(conversation) == []
    assert outcomes(conversation.guard) == [("ok", "")]


@pytest.mark.parametrize("task", [{}, {"taskId": None}, {"taskId": 1}, {"taskId": ""}, {"taskid": "t-1"}])
async def test_a_task_without_a_proper_id_ends_the_call(conversation: Conversation, task: Any) -> None:
    conversation.call("echo", message_id=1, task={})
    conversation.server_answers({"task": task})
    conversation.call("echo", message_id=2, _meta=MODERN)
    conversation.server_answers({"resultType": "task", **task})
    assert len(conversation.to_client) == 2
    assert all("error" in answer for answer in conversation.to_client)


async def test_two_callers_of_one_process_each_may_have_tasks_of_one_name(
    conversation: Conversation, other: Conversation
) -> None:
    """Processes count from one; a process is of one caller."""
    made(conversation, "task-1", "refund", {"amount": 20})
    made(other, "task-1", "echo", {"x": 1})
    ask(conversation, "tasks/update", "task-1", inputResponses={})
    assert decisions(conversation.guard)[-1] == ("refund", "permit")


async def test_a_task_does_not_take_the_place_of_one_that_goes_on(conversation: Conversation) -> None:
    made(conversation, "task-1", "refund", {"amount": 20})
    made(conversation, "task-1", "echo", {"x": 1})
    assert "task-1" not in json.dumps(conversation.to_client[-1])
    ask(conversation, "tasks/update", "task-1", inputResponses={})
    assert decisions(conversation.guard)[-1] == ("refund", "permit")


# What a task asks and tells.


async def test_what_a_task_asks_is_decided_each_time_it_is_shown(conversation: Conversation) -> None:
    became(conversation)
    state = {"taskId": "t-1", "status": "input_required", "inputRequests": QUESTION}
    ask(conversation, "tasks/get")
    conversation.server_answers(state)
    assert conversation.to_client[-1]["result"] == state
    assert decisions(conversation.guard)[1:] == [("request:elicitation/create", "permit")]
    ask(conversation, "tasks/get")
    conversation.server_answers({**state, "inputRequests": {"a": {"method": "sampling/createMessage"}}})
    assert "sampling" not in json.dumps(conversation.to_client[-1].get("result", ""))
    assert conversation.to_client[-1]["error"]["data"]["reason"] == "tool_unclassified"


@pytest.mark.parametrize("method", ["notifications/tasks/status", "notifications/tasks"])
async def test_how_a_task_stands_is_told_only_to_whose_it_is(
    conversation: Conversation, other: Conversation, method: str
) -> None:
    made(conversation)
    told = {"method": method, "params": {"taskId": "t-1", "status": "working"}}
    for caller in (conversation, other):
        caller.server_says(told)
    assert conversation.to_client[-1]["method"] == method
    assert other.to_client == []
    conversation.guard.complete_task(conversation.task.id)
    before = len(conversation.to_client)
    conversation.server_says(told)
    assert len(conversation.to_client) == before
    assert [row.reason for row in rows(conversation.guard, "refusal")] == ["mcp_task_unknown"] * 2


async def test_a_notification_of_a_tasks_end_is_its_outcome_and_of_a_question_a_decision(
    conversation: Conversation,
) -> None:
    became(conversation)
    told = {"method": "notifications/tasks", "params": {"taskId": "t-1", "status": "input_required"}}
    for questions in ({"a": {"method": "sampling/createMessage"}}, QUESTION):
        conversation.server_says({**told, "params": {**told["params"], "inputRequests": questions}})
    assert [one["params"]["inputRequests"] for one in conversation.to_client[1:]] == [QUESTION]
    done = {"taskId": "t-1", "status": "completed", "result": RESULT}
    conversation.server_says({"method": "notifications/tasks", "params": done})
    assert conversation.to_client[-1]["params"]["result"] == RESULT
    assert outcomes(conversation.guard)[-1] == ("ok", "")


@pytest.mark.parametrize("ids", [["t-1", "t-2"], ["t-2"], "t-1", [None], [["t-1"]]])
async def test_a_subscription_reaches_only_tasks_of_ones_own(
    conversation: Conversation, other: Conversation, ids: Any
) -> None:
    became(conversation, "t-1")
    became(other, "t-2")
    params = {"notifications": {"taskIds": ids}}
    conversation.client_says({"id": "sub", "method": "subscriptions/listen", "params": params})
    assert sent(conversation) == []
    assert conversation.to_client[-1]["error"]["code"] == -32602
    params = {"notifications": {"taskIds": ["t-1"]}}
    conversation.client_says({"id": "sub", "method": "subscriptions/listen", "params": params})
    assert sent(conversation) == ["subscriptions/listen"]


TASKED = {"name": "echo", "arguments": {}, "task": {}}


async def test_tasks_of_a_hop_are_not_the_delegators_nor_the_other_way_round(
    program: Program, session: Session
) -> None:
    reader = program.handed(program.boss)
    for number, (chain, task_id) in enumerate(((program.boss, "t-boss"), (reader, "t-reader"))):
        params = {**TASKED, "_meta": {"dev.hopward/chain": program.presentation(chain, "tools/call", TASKED)}}
        session.client_says({"id": number, "method": "tools/call", "params": params})
        session.server_answers({"task": {"taskId": task_id}})
    found: list[bool] = []
    for number, (chain, task_id) in enumerate(
        (
            (program.boss, "t-boss"),
            (program.boss, "t-reader"),
            (reader, "t-reader"),
            (reader, "t-boss"),
            (program.handed(program.boss), "t-reader"),
        ),
        10,
    ):
        params = {"taskId": task_id}
        carried = {"dev.hopward/chain": program.presentation(chain, "tasks/get", params)}
        before = len(session.to_server)
        session.client_says({"id": number, "method": "tasks/get", "params": {**params, "_meta": carried}})
        found.append(len(session.to_server) > before)
    assert found == [True, False, True, False, False]
    session.client_says({"id": 99, "method": "tasks/get", "params": {"taskId": "t-boss"}})
    assert session.to_client[-1]["error"]["code"] == -32000


async def test_a_question_about_a_task_stands_on_the_chain_that_made_it(
    program: Program, session: Session
) -> None:
    """Two chains are under way; the task tells which of them is meant."""
    reader = program.handed(program.boss)
    carried = {"dev.hopward/chain": program.presentation(reader, "tools/call", TASKED)}
    session.client_says({"id": 1, "method": "tools/call", "params": {**TASKED, "_meta": carried}})
    session.server_answers({"task": {"taskId": "t-1"}})
    params = {"taskId": "t-1"}
    carried = {"dev.hopward/chain": program.presentation(reader, "tasks/result", params)}
    session.client_says({"id": 2, "method": "tasks/result", "params": {**params, "_meta": carried}})
    session.call("echo", chain=program.boss, message_id=3)
    session.server_says({"id": 8, "method": "roots/list"})
    related = {"_meta": {"io.modelcontextprotocol/related-task": params}}
    session.server_says({"id": 9, "method": "roots/list", "params": related})
    assert [one["error"]["code"] for one in session.to_server if one.get("id") == 8] == [-32000]
    assert session.to_client[-1]["method"] == "roots/list"
    (row,) = [row for row in rows(session.guard, "decision") if row.tool == "request:roots/list"]
    assert row.record["chain"]["actors"] == ["boss", "reader"]


async def test_a_question_about_a_task_of_nobody_here_is_refused(conversation: Conversation) -> None:
    made(conversation)
    for number, task_id in enumerate(("t-2", None, "t-1")):
        related = {"io.modelcontextprotocol/related-task": {"taskId": task_id}}
        params = {"mode": "form", "message": "?", "_meta": related}
        conversation.server_says({"id": number, "method": "elicitation/create", "params": params})
    assert [one["error"]["code"] for one in conversation.to_server if "error" in one] == [-32000] * 2
    assert conversation.to_client[-1]["params"]["_meta"] == related


async def test_what_a_server_says_of_its_tasks_when_it_introduces_itself_is_kept(
    conversation: Conversation,
) -> None:
    conversation.client_says({"id": 1, "method": "initialize", "params": {}})
    told = {"capabilities": {"tasks": {"list": {}}, "extensions": {"io.modelcontextprotocol/tasks": {}}}}
    conversation.server_answers(told)
    assert conversation.to_client[0]["result"] == told


# Tasks that the client makes of what the server asks (2025-11-25).

ASKED: dict[str, Any] = {"mode": "form", "message": "?", "task": {"ttl": 1000}}


def question(conversation: Conversation, method: str, message_id: Any, **params: Any) -> dict[str, Any]:
    """What comes of a request of the server: at the client, or back to it."""
    before = len(conversation.to_client)
    conversation.server_says({"id": message_id, "method": method, "params": params})
    return (conversation.to_client[before:] or conversation.to_server[-1:])[0]


def put_off(conversation: Conversation, task_id: Any = "c-1") -> None:
    """The client makes a task of an elicitation."""
    asked = question(conversation, "elicitation/create", 1, **ASKED)
    conversation.client_says({"id": asked["id"], "result": {"task": {"taskId": task_id}}})


@pytest.mark.parametrize("method", ["tasks/get", "tasks/result", "tasks/cancel"])
async def test_a_server_may_ask_for_what_a_client_has_made_of_its_question(
    conversation: Conversation, method: str
) -> None:
    for params in ({"taskId": "c-1"}, {}):
        assert question(conversation, method, 0, **params)["error"]["code"] == -32601
    put_off(conversation)
    assert question(conversation, method, 2, taskId="c-1")["params"] == {"taskId": "c-1"}
    for number, task_id in enumerate(("c-2", None, ["c-1"]), 3):
        assert question(conversation, method, number, taskId=task_id)["error"]["code"] == -32601
    conversation.guard.complete_task(conversation.task.id)
    assert "error" in question(conversation, method, 9, taskId="c-1")


async def test_the_end_of_a_clients_task_is_the_second_outcome_of_the_question(
    conversation: Conversation,
) -> None:
    put_off(conversation)
    assert outcomes(conversation.guard) == [("unknown", "mcp_task_made")]
    for number in (2, 3):
        asked = question(conversation, "tasks/result", number, taskId="c-1")
        conversation.client_says({"id": asked["id"], "result": {"action": "accept"}})
        assert conversation.to_server[-1]["result"] == {"action": "accept"}
    assert outcomes(conversation.guard) == [("unknown", "mcp_task_made"), ("ok", "")]
    assert [row.tool for row in rows(conversation.guard, "outcome")] == ["request:elicitation/create"] * 2


async def test_a_server_hears_of_no_other_task_of_the_client(conversation: Conversation) -> None:
    assert question(conversation, "tasks/list", 0)["error"]["code"] == -32601
    put_off(conversation)
    asked = question(conversation, "tasks/list", 2)
    tasks = [{"taskId": "c-1", "vendor": 1}, {"taskId": "of another server"}, "c-1", {}]
    conversation.client_says({"id": asked["id"], "result": {"tasks": tasks}})
    assert conversation.to_server[-1]["result"] == {"tasks": [tasks[0]]}
    before = len(conversation.to_server)
    for task_id in ("c-1", "of another server", None):
        params = {"taskId": task_id, "status": "working"}
        conversation.client_says({"method": "notifications/tasks/status", "params": params})
    assert [sent["params"]["taskId"] for sent in conversation.to_server[before:]] == ["c-1"]


async def test_an_answer_that_makes_no_task_is_an_answer(conversation: Conversation) -> None:
    for number, (params, result) in enumerate(
        (
            ({"mode": "form", "message": "?"}, {"task": {"taskId": "c-1"}}),
            (ASKED, {"task": {"taskId": 1}}),
            (ASKED, {"task": "c-1"}),
            (ASKED, {"action": "decline"}),
        )
    ):
        asked = question(conversation, "elicitation/create", number, **params)
        conversation.client_says({"id": asked["id"], "result": result})
    assert outcomes(conversation.guard) == [("ok", "")] * 4
    assert question(conversation, "tasks/get", 9, taskId="c-1")["error"]["code"] == -32601
