"""What a server asks of its client: decided before it goes out, on behalf of whoever it is asked for."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hopward import Guard, LedgerError
from hopward_mcp.endings import lost

from .carrying import Program, Session
from .conversation import Conversation
from .installation import install, opened, rows, stdio_server

MODERN = {"io.modelcontextprotocol/protocolVersion": "2026-07-28"}

ASKING = """
[servers.desk.server_requests."elicitation/create"]
action = "send"
sensitivity = "internal"
integrity = "trusted"
destination = "desk"
arguments = { mode = "string", url = "string" }
"""

SENDING = """
[[workflows.tickets.capabilities]]
tools = ["desk/request:elicitation/create"]
actions = ["send"]
sensitivity = "internal"
destinations = ["desk"]
"""

ONLY_OURS = """
@id("asking")
permit (
  principal,
  action == Hopward::Action::"desk/request:elicitation/create",
  resource
);

@id("only-our-pages")
forbid (
  principal,
  action == Hopward::Action::"desk/request:elicitation/create",
  resource
)
when
{
  context.arguments has mode && context.arguments.mode == "url" &&
  !(context.arguments has url && context.arguments.url like "https://desk.example/*")
};
"""

FORM: dict[str, Any] = {"mode": "form", "message": "How many?", "requestedSchema": {"type": "object"}}
PAGE: dict[str, Any] = {"mode": "url", "message": "Sign in", "url": "https://desk.example/login"}
TRAP: dict[str, Any] = {"mode": "url", "message": "Sign in", "url": "https://desk.example.evil/login"}


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[Guard]:
    """The guard of `desk`, which may elicit, but send a person only to pages of its own."""
    config = install(tmp_path, stdio_server(tmp_path / "record") + ASKING + SENDING)
    text = config.read_text().replace('actions = ["read", "pay"]', 'actions = ["read", "pay", "send"]', 1)
    config.write_text(text)
    (tmp_path / "policies" / "asking.cedar").write_text(ONLY_OURS)
    with opened(config) as opened_guard:
        yield opened_guard


def decided(guard: Guard) -> list[tuple[str, str]]:
    """Tool, and `permit` or why not, of each decision."""
    found = rows(guard, "decision")
    return [(row.tool, "permit" if row.verdict == "permit" else row.reason) for row in found]


def outcomes(guard: Guard) -> list[tuple[str, str]]:
    """Tool and status of each outcome."""
    return [(row.tool, row.record["outcome"]["status"]) for row in rows(guard, "outcome")]


def elicit(conversation: Conversation, params: dict[str, Any], message_id: Any = "s-1") -> None:
    conversation.server_says({"id": message_id, "method": "elicitation/create", "params": params})


def unwritable(*_: object) -> None:
    raise LedgerError("disk full")


def test_a_question_is_decided_before_it_goes_out_and_its_answer_is_the_outcome(
    conversation: Conversation,
) -> None:
    conversation.call("echo")
    elicit(conversation, FORM)
    (asked,) = conversation.to_client
    assert asked["params"] == FORM
    assert decided(conversation.guard)[1:] == [("request:elicitation/create", "permit")]
    (row,) = [row for row in rows(conversation.guard, "decision") if row.tool.startswith("request:")]
    assert row.record["call"]["arguments"] == FORM
    assert [row.tool for row in rows(conversation.guard, "credential")] == ["echo"]
    assert outcomes(conversation.guard) == []
    conversation.client_says({"id": asked["id"], "result": {"action": "accept", "content": {"n": 1}}})
    assert conversation.to_server[-1] == {
        "jsonrpc": "2.0",
        "id": "s-1",
        "result": {"action": "accept", "content": {"n": 1}},
    }
    assert outcomes(conversation.guard) == [("request:elicitation/create", "ok")]


def test_a_question_takes_out_of_the_budget_of_the_task(conversation: Conversation) -> None:
    for number in range(100):
        elicit(conversation, FORM, number)
    assert len(conversation.to_client) == 100
    elicit(conversation, FORM, "one too many")
    assert len(conversation.to_client) == 100
    error = conversation.to_server[-1]["error"]
    assert (error["code"], error["data"]["reason"]) == (-32000, "budget_exhausted")


@pytest.mark.parametrize("params", [TRAP, {"mode": "url", "message": "?"}])
def test_policy_sees_where_an_elicitation_sends_a_person(
    conversation: Conversation, params: dict[str, Any]
) -> None:
    elicit(conversation, PAGE)
    assert [asked["params"] for asked in conversation.to_client] == [PAGE]
    elicit(conversation, params, "trap")
    assert len(conversation.to_client) == 1
    (refusal,) = conversation.to_server
    assert refusal["id"] == "trap"
    assert refusal["error"]["data"]["decision"].startswith("dec_")
    assert decided(conversation.guard)[-1] == ("request:elicitation/create", "forbidden")


@pytest.mark.parametrize("params", [{"MODE": "form", **TRAP}, {**PAGE, "URL": TRAP["url"]}])
def test_an_argument_that_could_be_taken_for_the_url_is_refused(
    conversation: Conversation, params: dict[str, Any]
) -> None:
    elicit(conversation, params)
    assert conversation.to_client == []
    assert decided(conversation.guard) == [("request:elicitation/create", "argument_lookalike")]


@pytest.mark.parametrize("url", [["https://desk.example/a"], {"__entity": {"type": "X", "id": "y"}}, None, 1])
def test_a_url_of_another_type_is_refused(conversation: Conversation, url: Any) -> None:
    elicit(conversation, {**PAGE, "url": url})
    assert conversation.to_client == []
    assert [row.verdict for row in rows(conversation.guard, "decision")] == ["deny"]


@pytest.mark.parametrize("method", ["sampling/createMessage", "tools/call", "vendor/ask", "Roots/List"])
def test_a_question_that_nobody_has_classified_is_not_there(conversation: Conversation, method: str) -> None:
    conversation.server_says({"id": 5, "method": method, "params": {"name": "echo"}})
    assert conversation.to_client == []
    (refusal,) = conversation.to_server
    assert (refusal["id"], refusal["error"]["code"]) == (5, -32601)
    assert decided(conversation.guard) == [(f"request:{method}", "tool_unclassified")]


@pytest.mark.parametrize("method", ["", "a b", "roots/list\n", "x" * 129, "*", "é"])
def test_a_question_that_is_no_method_is_refused_and_logged(conversation: Conversation, method: str) -> None:
    conversation.server_says({"id": 5, "method": method})
    assert conversation.to_client == []
    assert conversation.to_server[0]["error"]["code"] == -32601
    assert [row.reason for row in rows(conversation.guard, "refusal")] == ["server_request"]


def test_a_question_after_its_task_has_ended_is_refused(conversation: Conversation) -> None:
    conversation.call("echo")
    conversation.guard.complete_task(conversation.task.id)
    elicit(conversation, FORM)
    assert conversation.to_client == []
    assert conversation.to_server[-1]["error"]["data"]["reason"] == "task_completed"


def test_a_question_that_cannot_be_written_down_is_not_asked(
    conversation: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversation.guard.ledger, "record", unwritable)
    elicit(conversation, FORM)
    assert conversation.to_client == []
    assert conversation.to_server[0]["error"]["code"] == -32000
    assert "disk full" not in json.dumps(conversation.to_server)


def test_an_answer_that_cannot_be_written_down_is_withheld(
    conversation: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    elicit(conversation, FORM)
    monkeypatch.setattr(conversation.guard.ledger, "record", unwritable)
    conversation.client_says({"id": conversation.to_client[0]["id"], "result": {"content": "my answer"}})
    assert "my answer" not in json.dumps(conversation.to_server)
    assert conversation.to_server[0]["id"] == "s-1"
    assert "withheld" in conversation.to_server[0]["error"]["message"]


def test_a_question_is_answered_once_and_never_before_it_was_asked(conversation: Conversation) -> None:
    following = next(conversation.gate.keys) + 1
    conversation.client_says({"id": following, "result": {"action": "accept"}})
    elicit(conversation, FORM)
    assert conversation.to_client[0]["id"] == following
    for answer in ({"action": "decline"}, {"action": "accept"}):
        conversation.client_says({"id": following, "result": answer})
    assert [sent["result"] for sent in conversation.to_server] == [{"action": "decline"}]
    assert [row.reason for row in rows(conversation.guard, "refusal")] == ["unasked_answer"] * 2
    assert outcomes(conversation.guard) == [("request:elicitation/create", "ok")]


def test_a_question_that_the_server_gives_up_is_cancelled_and_a_late_answer_dropped(
    conversation: Conversation,
) -> None:
    elicit(conversation, FORM)
    key = conversation.to_client[0]["id"]
    for _ in range(2):
        conversation.server_says({"method": "notifications/cancelled", "params": {"requestId": "s-1"}})
    assert [told["params"] for told in conversation.to_client[1:]] == [{"requestId": key}]
    conversation.client_says({"id": key, "result": {"action": "accept"}})
    assert conversation.to_server == []
    assert outcomes(conversation.guard) == [("request:elicitation/create", "cancelled")]
    assert rows(conversation.guard, "refusal") == []


def test_a_question_that_is_never_answered_has_an_outcome_once_the_session_ends(
    conversation: Conversation,
) -> None:
    elicit(conversation, FORM)
    conversation.session.endings.fail_all(lost("The server is gone."), conversation.from_endings)
    conversation.turn.flush()
    assert outcomes(conversation.guard) == [("request:elicitation/create", "unknown")]
    conversation.client_says({"id": conversation.to_client[0]["id"], "result": {}})
    assert conversation.to_server == []


def test_what_the_server_sends_next_does_not_overtake_what_it_asks(conversation: Conversation) -> None:
    conversation.call("echo", message_id="call")
    answered = conversation.to_server[0]["id"]
    sent: list[dict[str, Any]] = [
        {"id": 1, "method": "roots/list"},
        {"method": "notifications/message", "params": {}},
        {"id": answered, "result": {"content": []}},
    ]
    came: list[Any] = []
    for message in sent:
        raw = json.dumps({"jsonrpc": "2.0", **message}).encode()
        conversation.session.server.judge(raw, lambda route: came.append(route))
    conversation.turn.flush()
    assert [route.message.method for route in came] == ["roots/list", "notifications/message", ""]


# On whose behalf.


def asked_by(guard: Guard) -> list[tuple[str, str]]:
    """The agents on whose behalf each question was decided, and the verdict."""
    return [
        (">".join(row.record["chain"]["actors"]), "permit" if row.verdict == "permit" else row.reason)
        for row in rows(guard, "decision")
        if row.tool.startswith("request:")
    ]


async def test_a_question_stands_on_the_chain_that_the_only_call_under_way_carries(
    program: Program, session: Session
) -> None:
    session.call("echo", chain=program.handed(program.boss))
    session.server_says({"id": 7, "method": "roots/list"})
    assert session.to_client[-1]["method"] == "roots/list"
    assert asked_by(session.guard) == [("boss>reader", "permit")]


async def test_a_question_of_nobody_knows_whose_call_is_refused(program: Program, session: Session) -> None:
    session.server_says({"id": 6, "method": "roots/list"})
    session.call("echo", chain=program.handed(program.boss), message_id=1)
    session.call("echo", chain=program.boss, message_id=2)
    session.server_says({"id": 7, "method": "roots/list"})
    assert session.to_client == []
    assert [(sent["id"], sent["error"]["code"]) for sent in session.to_server if "error" in sent] == [
        (6, -32000),
        (7, -32000),
    ]
    assert [row.reason for row in rows(session.guard, "refusal")] == ["behalf_unknown"] * 2
    assert asked_by(session.guard) == []


async def test_a_question_on_the_stream_of_a_call_stands_on_its_chain(
    program: Program, session: Session
) -> None:
    reader = program.handed(program.boss)
    session.call("echo", chain=reader, message_id=1)
    session.call("echo", chain=program.boss, message_id=2)
    routes: list[Any] = []
    for sent in session.to_server[:2]:
        raw = json.dumps({"jsonrpc": "2.0", "id": sent["id"], "method": "roots/list"}).encode()
        session.session.server.judge(raw, routes.append, sent["id"])
    assert asked_by(session.guard) == [("boss>reader", "permit"), ("boss", "permit")]
    program.guard.revoke("hop", reader.hops[0], by="ana", why="enough")
    raw = b'{"jsonrpc":"2.0","id":9,"method":"roots/list"}'
    session.session.server.judge(raw, routes.append, session.to_server[0]["id"])
    assert asked_by(session.guard)[-1] == ("boss>reader", "hop_revoked")


async def test_in_the_era_without_questions_a_server_asks_none(conversation: Conversation) -> None:
    conversation.call("echo", _meta=MODERN)
    elicit(conversation, FORM)
    assert conversation.to_client == []
    assert conversation.to_server[-1]["error"]["code"] == -32601
    assert [row.reason for row in rows(conversation.guard, "refusal")] == ["server_request"]


# In results (2026-07-28).


def needs(**requests: Any) -> dict[str, Any]:
    return {"resultType": "input_required", "inputRequests": requests, "requestState": "opaque"}


def ask(params: Any, method: str = "elicitation/create") -> dict[str, Any]:
    return {"method": method, "params": params}


def test_a_result_goes_out_with_what_it_asks_when_all_of_it_is_permitted(conversation: Conversation) -> None:
    conversation.call("echo")
    meta = {"dev.hopward/decision": "forged", "vendor": 1}
    asked = needs(a=ask({**PAGE, "_meta": meta}), b={"method": "roots/list"}, c={**ask(FORM), "vendor": 2})
    conversation.server_answers(asked)
    shown = conversation.to_client[0]["result"]
    assert shown["inputRequests"]["a"]["params"] == {**PAGE, "_meta": {"vendor": 1}}
    assert shown["inputRequests"]["b"] == {"method": "roots/list"}
    assert shown["inputRequests"]["c"] == {**ask(FORM), "vendor": 2}
    assert shown["requestState"] == "opaque"
    assert decided(conversation.guard) == [
        ("echo", "permit"),
        ("request:elicitation/create", "permit"),
        ("request:roots/list", "permit"),
        ("request:elicitation/create", "permit"),
    ]
    assert [status for _, status in outcomes(conversation.guard)] == ["ok"] * 4


def test_a_result_that_asks_one_thing_too_many_is_replaced_and_names_the_decision(
    conversation: Conversation,
) -> None:
    conversation.call("echo")
    conversation.server_answers(needs(a=ask(FORM), b=ask(TRAP)))
    (answer,) = conversation.to_client
    assert "desk.example.evil" not in json.dumps(answer)
    decision = answer["error"]["data"]["decision"]
    assert decision in answer["error"]["message"]
    assert [row.decision for row in rows(conversation.guard, "decision") if row.verdict == "deny"] == [
        decision
    ]
    assert sorted(outcomes(conversation.guard)) == [
        ("echo", "error"),
        ("request:elicitation/create", "cancelled"),
    ]


@pytest.mark.parametrize(
    "inputs",
    [
        [],
        "roots/list",
        {"a": None},
        {"a": []},
        {"a": {"method": 1}},
        {"a": {"method": "roots/list", "params": []}},
        {"a": {"method": "roots/list", "Params": {"mode": "url"}}},
        {"a": {"method": "roots/list", "params": {"_META": {}}}},
        {"a": {"method": "roots/list", "params": {"_meta": []}}},
        {"a": {"method": "roots list"}},
        {str(number): {"method": "roots/list"} for number in range(65)},
    ],
)
def test_input_requests_of_an_odd_shape_end_the_call(conversation: Conversation, inputs: Any) -> None:
    conversation.call("echo")
    conversation.server_answers({"resultType": "input_required", "inputRequests": inputs})
    assert "two ways" in conversation.to_client[0]["error"]["message"]
    assert outcomes(conversation.guard) == [("echo", "error")]
    assert len(conversation.session.requests) == 0


def test_input_that_cannot_be_decided_ends_the_call(
    conversation: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    conversation.call("echo")
    monkeypatch.setattr(conversation.guard.ledger, "record", unwritable)
    conversation.server_answers(needs(a=ask(FORM)))
    assert "elicit" not in json.dumps(conversation.to_client)
    assert "error" in conversation.to_client[0]


def test_input_is_not_asked_for_once_the_chain_has_ended(conversation: Conversation) -> None:
    conversation.call("echo")
    conversation.guard.complete_task(conversation.task.id)
    conversation.server_answers(needs(a=ask(FORM)))
    assert conversation.to_client[0]["error"]["data"]["reason"] == "task_completed"


def test_a_result_that_asks_is_answered_once_however_often_it_comes(conversation: Conversation) -> None:
    conversation.call("echo")
    raw = json.dumps(
        {"jsonrpc": "2.0", "id": conversation.to_server[0]["id"], "result": needs(a=ask(FORM))}
    ).encode()
    came: list[Any] = []
    for _ in range(2):
        conversation.session.server.judge(raw, came.append)
    for _ in range(2):
        conversation.turn.flush()
    assert [route is None for route in came] == [True, False]
    assert len(rows(conversation.guard, "decision")) == 2
