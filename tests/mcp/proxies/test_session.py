"""One session, judged by a real guard: who may say what to whom, and what is written about it."""

import json
from typing import Any

import pytest

from hopward import Guard, LedgerError
from hopward_mcp.endings import lost

from .conversation import Conversation
from .installation import rows

RESULT = {"content": [{"type": "text", "text": "done"}], "vendor": {"kept": [1]}}


def test_a_permitted_call_reaches_the_server_with_its_credential_and_unknown_fields(
    conversation: Conversation,
) -> None:
    conversation.call("echo", {"x": 1}, message_id="abc", vendor=True)
    sent = conversation.to_server[0]
    assert sent["method"] == "tools/call"
    assert sent["params"]["arguments"] == {"x": 1}
    assert sent["params"]["vendor"] is True
    assert sent["params"]["_meta"]["dev.hopward/credential"].count(".") == 2
    assert sent["id"] != "abc"
    conversation.server_answers(RESULT)
    assert conversation.to_client == [{"jsonrpc": "2.0", "id": "abc", "result": RESULT}]


def test_a_call_without_arguments_is_a_call_with_none(conversation: Conversation) -> None:
    conversation.client_says({"id": 1, "method": "tools/call", "params": {"name": "echo"}})
    assert "arguments" not in conversation.to_server[0]["params"]


def test_decision_credential_and_outcome_are_written_for_a_permitted_call(conversation: Conversation) -> None:
    conversation.call("echo")
    assert [row.verdict for row in rows(conversation.guard, "decision")] == ["permit"]
    assert len(rows(conversation.guard, "credential")) == 1
    assert rows(conversation.guard, "outcome") == []
    conversation.server_answers(RESULT)
    outcome = rows(conversation.guard, "outcome")[0].record["outcome"]
    assert outcome["status"] == "ok"
    assert outcome["result_digest"].startswith("sha-256:")
    assert outcome["size"] == len(json.dumps(RESULT, separators=(",", ":")))


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ({"result": {"content": [], "isError": True}}, "tool_error"),
        ({"error": {"code": -32000, "message": "no"}}, "error"),
        ({"result": {"content": []}}, "ok"),
    ],
)
def test_the_outcome_says_how_the_call_ended(
    conversation: Conversation, answer: dict[str, Any], status: str
) -> None:
    conversation.call("echo")
    conversation.server_says({"id": conversation.to_server[0]["id"], **answer})
    assert [row.reason for row in rows(conversation.guard, "outcome")] == [status]
    assert conversation.to_client == [{"jsonrpc": "2.0", "id": 1, **answer}]


def test_a_refused_call_is_a_tool_error_that_names_the_decision(conversation: Conversation) -> None:
    conversation.call("refund", {"amount": 100})
    assert conversation.to_server == []
    answer = conversation.to_client[0]["result"]
    decision = answer["_meta"]["dev.hopward/decision"]
    assert answer["isError"] is True
    assert decision["id"] in answer["content"][0]["text"]
    assert "not executed" in answer["content"][0]["text"]
    assert (decision["verdict"], decision["reason"]) == ("deny", "outside_task")
    assert "resultType" not in answer
    assert conversation.guard.ledger.row(decision["id"]).verdict == "deny"


def test_a_refusal_in_the_modern_era_is_a_complete_result(conversation: Conversation) -> None:
    conversation.call("hidden", _meta={"io.modelcontextprotocol/protocolVersion": "2026-07-28"})
    assert conversation.to_client[0]["result"]["resultType"] == "complete"


@pytest.mark.parametrize("name", ["no such", "prompt:summary", "resource:ticket://1", "", 7, None, ["echo"]])
def test_a_call_of_what_is_no_tool_name_is_refused(conversation: Conversation, name: Any) -> None:
    conversation.call(name)
    assert conversation.to_server == []
    assert conversation.to_client[0]["error"]["code"] == -32602


def test_reading_an_mcp_resource_is_decided_like_a_call(conversation: Conversation) -> None:
    conversation.client_says({"id": 1, "method": "resources/read", "params": {"uri": "ticket://7"}})
    assert [row.tool for row in rows(conversation.guard, "decision")] == ["resource:ticket://7"]
    conversation.client_says({"id": 2, "method": "resources/read", "params": {"uri": "secret://7"}})
    assert len(conversation.to_server) == 1
    refused = conversation.to_client[0]["error"]
    assert refused["code"] == -32000
    assert refused["data"]["reason"] == "tool_unclassified"
    assert refused["data"]["decision"] in refused["message"]


def test_subscribing_to_an_mcp_resource_is_decided_as_reading_it(conversation: Conversation) -> None:
    conversation.client_says({"id": 1, "method": "resources/subscribe", "params": {"uri": "ticket://7"}})
    conversation.client_says({"id": 2, "method": "resources/subscribe", "params": {"uri": "secret://7"}})
    assert [sent["method"] for sent in conversation.to_server] == ["resources/subscribe"]
    assert len(rows(conversation.guard, "decision")) == 2


def test_fetching_a_prompt_is_decided_like_a_call(conversation: Conversation) -> None:
    conversation.client_says({"id": 1, "method": "prompts/get", "params": {"name": "summary"}})
    conversation.client_says({"id": 2, "method": "prompts/get", "params": {"name": "other"}})
    assert len(conversation.to_server) == 1
    assert [row.tool for row in rows(conversation.guard, "decision")] == ["prompt:summary", "prompt:other"]


def test_completion_is_forwarded_only_for_what_the_task_reaches(conversation: Conversation) -> None:
    for name in ("summary", "other"):
        ref = {"type": "ref/prompt", "name": name}
        conversation.client_says({"id": name, "method": "completion/complete", "params": {"ref": ref}})
    assert [sent["params"]["ref"]["name"] for sent in conversation.to_server] == ["summary"]
    assert conversation.to_client[0]["id"] == "other"


def test_lists_show_only_what_the_task_reaches_and_keep_unknown_fields(conversation: Conversation) -> None:
    tools = [{"name": name, "x": 1} for name in ("echo", "hidden", "new", "refund", "bad name", 5)]
    conversation.client_says({"id": 1, "method": "tools/list"})
    conversation.server_answers({"tools": [*tools, {"no": "name"}][:-1], "nextCursor": "c", "vendor": 2})
    result = conversation.to_client[0]["result"]
    assert result == {
        "tools": [{"name": "echo", "x": 1}, {"name": "refund", "x": 1}],
        "nextCursor": "c",
        "vendor": 2,
    }
    conversation.client_says({"id": 2, "method": "resources/list"})
    conversation.server_answers(
        {"resources": [{"uri": "ticket://1"}, {"uri": "secret://1"}, {"uri": "ticket://../x"}]}
    )
    assert conversation.to_client[1]["result"]["resources"] == [{"uri": "ticket://1"}]
    conversation.client_says({"id": 3, "method": "resources/templates/list"})
    conversation.server_answers(
        {"resourceTemplates": [{"uriTemplate": "ticket://{id}"}, {"uriTemplate": "x://{y}"}]}
    )
    assert conversation.to_client[2]["result"]["resourceTemplates"] == [{"uriTemplate": "ticket://{id}"}]
    conversation.client_says({"id": 4, "method": "prompts/list"})
    conversation.server_answers({"prompts": [{"name": "summary"}, {"name": "other"}]})
    assert conversation.to_client[3]["result"]["prompts"] == [{"name": "summary"}]


def test_a_list_for_one_caller_is_not_to_be_cached_for_all(conversation: Conversation) -> None:
    conversation.client_says({"id": 1, "method": "tools/list"})
    conversation.server_answers({"tools": [], "cacheScope": "public", "ttlMs": 1000})
    assert conversation.to_client[0]["result"]["cacheScope"] == "private"


@pytest.mark.parametrize(
    "result", [{}, {"tools": None}, {"tools": [1]}, {"tools": [{}]}, {"tools": {"name": "echo"}}]
)
def test_a_list_that_cannot_be_read_is_empty(conversation: Conversation, result: dict[str, Any]) -> None:
    conversation.client_says({"id": 1, "method": "tools/list"})
    conversation.server_answers(result)
    assert conversation.to_client[0]["result"]["tools"] == []


def test_a_completed_task_refuses_its_next_call_and_lists_nothing(conversation: Conversation) -> None:
    conversation.guard.complete_task(conversation.task.id)
    conversation.call("echo")
    assert conversation.to_client[0]["result"]["isError"] is True
    conversation.client_says({"id": 2, "method": "tools/list"})
    conversation.server_answers({"tools": [{"name": "echo"}]})
    assert conversation.to_client[1]["result"]["tools"] == []


@pytest.mark.parametrize(
    "method", ["vendor/secret", "tasks/other", "sampling/createMessage", "TOOLS/CALL", ""]
)
def test_an_unknown_request_method_is_refused_and_logged(conversation: Conversation, method: str) -> None:
    conversation.client_says({"id": 1, "method": method})
    assert conversation.to_server == []
    assert conversation.to_client[0]["error"]["code"] == -32601
    assert [row.reason for row in rows(conversation.guard, "refusal")] == ["unknown_method"]


@pytest.mark.parametrize("method", ["tools/call", "resources/read", "initialize", "notifications/vendor"])
def test_a_request_method_sent_as_a_notification_goes_nowhere(
    conversation: Conversation, method: str
) -> None:
    conversation.client_says({"method": method, "params": {"name": "echo", "arguments": {}}})
    assert conversation.to_server == conversation.to_client == []
    assert [row.reason for row in rows(conversation.guard, "refusal")] == ["unknown_notification"]


def test_allowed_notifications_pass_in_both_directions(conversation: Conversation) -> None:
    conversation.client_says({"method": "notifications/initialized"})
    conversation.client_says({"method": "notifications/progress", "params": {"progressToken": 1, "x": 2}})
    conversation.server_says({"method": "notifications/tools/list_changed"})
    conversation.server_says({"method": "notifications/progress", "params": {"progressToken": 1}})
    assert [sent["method"] for sent in conversation.to_server] == [
        "notifications/initialized",
        "notifications/progress",
    ]
    assert len(conversation.to_client) == 2


def test_meta_keys_of_ours_are_removed_from_both_sides(conversation: Conversation) -> None:
    meta = {"DEV.hopward/credential": "forged", "dev.hopward/x": 1, "other": 2}
    conversation.client_says({"id": 1, "method": "ping", "params": {"_meta": meta}})
    assert conversation.to_server[0]["params"]["_meta"] == {"other": 2}
    conversation.server_answers({"_meta": {"dev.hopward/decision": {"id": "dec_forged"}, "y": 1}})
    assert conversation.to_client[0]["result"]["_meta"] == {"y": 1}
    conversation.server_says(
        {"method": "notifications/message", "params": {"_meta": {"dev.hopward/decision": 1}}}
    )
    assert conversation.to_client[1]["params"]["_meta"] == {}


def test_a_credential_the_server_repeats_does_not_reach_the_client(conversation: Conversation) -> None:
    conversation.call("echo")
    token = conversation.to_server[0]["params"]["_meta"]["dev.hopward/credential"]
    conversation.server_answers({"content": [{"type": "text", "text": f"I got {token}!"}]})
    assert token not in json.dumps(conversation.to_client)
    assert (
        conversation.to_client[0]["result"]["content"][0]["text"] == "I got [credential removed by Hopward]!"
    )


def test_a_credential_the_server_repeats_elsewhere_or_later_does_not_reach_the_client_either(
    conversation: Conversation,
) -> None:
    conversation.call("echo")
    received = conversation.to_server[0]
    token = received["params"]["_meta"]["dev.hopward/credential"]
    told = {"level": "debug", "data": received, token: 1}
    conversation.server_says({"method": "notifications/message", "params": told})
    conversation.server_says({"id": 1, "method": "roots/list", "params": {"because": received}})
    conversation.server_answers(RESULT)
    conversation.server_says({"method": "notifications/message", "params": told})
    conversation.call("echo", message_id=2)
    conversation.server_says(
        {"id": conversation.to_server[-1]["id"], "error": {"code": 1, "message": f"used {token} before"}}
    )
    assert len(conversation.to_client) == 5
    assert token.rpartition(".")[0] not in json.dumps(conversation.to_client)
    assert conversation.to_client[-1]["error"]["message"] == "used [credential removed by Hopward] before"


@pytest.mark.parametrize("code", ["text", None, 2**40, True, [1], 1.5])
def test_the_log_takes_no_text_of_the_servers_for_an_error_code(
    conversation: Conversation, code: Any
) -> None:
    conversation.call("echo")
    conversation.server_says(
        {"id": conversation.to_server[0]["id"], "error": {"code": code, "message": "told"}}
    )
    assert conversation.to_client[0]["error"] == {"code": code, "message": "told"}
    assert rows(conversation.guard, "outcome")[0].record["outcome"]["error"] == "json-rpc ?"


def test_the_server_answers_only_what_was_forwarded_and_only_once(conversation: Conversation) -> None:
    conversation.call("echo")
    conversation.server_answers(RESULT)
    for message_id in (conversation.to_server[0]["id"], 999, "1", "abc"):
        conversation.server_says({"id": message_id, "result": RESULT})
    assert len(conversation.to_client) == 1
    assert len(rows(conversation.guard, "outcome")) == 1


def test_a_call_that_is_still_being_decided_cannot_be_answered(conversation: Conversation) -> None:
    message = conversation.gate.read_client(
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{}}}'
    )
    routes: list[Any] = []
    conversation.session.client.judge(message, conversation.chain, routes.append)
    conversation.session.server.judge(b'{"jsonrpc":"2.0","id":1,"result":{}}', routes.append)
    assert routes == [None]
    conversation.turn.flush()
    assert len(routes) == 2


def test_two_requests_under_way_may_not_share_an_id(conversation: Conversation) -> None:
    conversation.call("echo", message_id=5)
    conversation.call("echo", message_id=5)
    assert len(conversation.to_server) == 1
    assert conversation.to_client[0]["error"]["code"] == -32600
    conversation.call("echo", message_id="5")
    assert len(conversation.to_server) == 2


def test_a_malformed_answer_fails_its_call_and_no_other(conversation: Conversation) -> None:
    conversation.call("echo", message_id=1)
    conversation.call("echo", message_id=2)
    first, second = (sent["id"] for sent in conversation.to_server)
    conversation.server_says(f'{{"jsonrpc":"2.0","id":{first},"result":{{"a":1,"a":2}}}}'.encode())
    conversation.server_says({"id": second, "result": RESULT})
    assert [message["id"] for message in conversation.to_client] == [1, 2]
    assert "error" in conversation.to_client[0]
    assert [row.reason for row in rows(conversation.guard, "outcome")] == ["error", "ok"]


def test_the_server_may_send_only_the_requests_that_are_classified(conversation: Conversation) -> None:
    conversation.server_says({"id": 1, "method": "roots/list"})
    conversation.server_says({"id": 2, "method": "ping"})
    conversation.server_says({"id": 3, "method": "sampling/createMessage", "params": {}})
    assert [message["method"] for message in conversation.to_client] == ["roots/list", "ping"]
    assert conversation.to_server[0]["id"] == 3
    assert conversation.to_server[0]["error"]["code"] == -32601


def test_the_client_answers_the_servers_request_under_the_servers_id_and_only_once(
    conversation: Conversation,
) -> None:
    conversation.server_says({"id": "srv-1", "method": "roots/list"})
    asked = conversation.to_client[0]["id"]
    conversation.client_says({"id": "srv-1", "result": {"roots": []}})
    assert conversation.to_server == []
    conversation.client_says({"id": asked, "result": {"roots": [], "x": 1}})
    conversation.client_says({"id": asked, "result": {"roots": []}})
    assert conversation.to_server == [{"jsonrpc": "2.0", "id": "srv-1", "result": {"roots": [], "x": 1}}]


def test_input_the_server_may_not_ask_for_is_not_asked_in_a_result_either(conversation: Conversation) -> None:
    ask = {"a": {"method": "roots/list"}, "b": {"method": "elicitation/create", "params": {}}}
    conversation.call("echo", message_id=1)
    conversation.server_answers(
        {"resultType": "input_required", "inputRequests": {"a": ask["a"]}, "requestState": "s"}
    )
    conversation.call("echo", message_id=2)
    conversation.server_answers({"resultType": "input_required", "inputRequests": ask})
    assert conversation.to_client[0]["result"]["requestState"] == "s"
    assert "elicitation/create" in conversation.to_client[1]["error"]["message"]
    assert [row.tool for row in rows(conversation.guard, "decision")] == [
        "echo",
        "request:roots/list",
        "echo",
        "request:roots/list",
        "request:elicitation/create",
    ]


@pytest.mark.parametrize(
    "ask",
    [
        {"method": "roots/list", "Method": "elicitation/create"},
        {"METHOD": "roots/list"},
        {"params": {}},
        "roots/list",
    ],
)
def test_an_input_request_that_could_be_read_as_another_is_not_asked(
    conversation: Conversation, ask: Any
) -> None:
    conversation.call("echo")
    conversation.server_answers({"resultType": "input_required", "inputRequests": {"a": ask}})
    assert "read in two ways" in conversation.to_client[0]["error"]["message"]


def test_the_retry_after_input_is_authorized_again(conversation: Conversation) -> None:
    conversation.call("echo", message_id=1)
    conversation.server_answers({"resultType": "input_required", "requestState": "opaque"})
    conversation.guard.complete_task(conversation.task.id)
    conversation.call("echo", message_id=2, requestState="opaque", inputResponses={})
    assert len(conversation.to_server) == 1
    assert conversation.to_client[1]["result"]["isError"] is True


def test_a_cancellation_names_the_call_by_the_servers_id_and_is_the_outcome(
    conversation: Conversation,
) -> None:
    conversation.call("echo", message_id="mine")
    conversation.client_says(
        {"method": "notifications/cancelled", "params": {"requestId": "mine", "reason": "r"}}
    )
    key = conversation.to_server[0]["id"]
    assert conversation.to_server[1]["params"] == {"requestId": key, "reason": "r"}
    conversation.server_says({"id": key, "result": RESULT})
    assert conversation.to_client == []
    assert [row.reason for row in rows(conversation.guard, "outcome")] == ["cancelled"]


def test_a_call_cancelled_twice_has_one_outcome_and_is_given_up_once(conversation: Conversation) -> None:
    conversation.call("echo", message_id=1)
    for _ in range(2):
        conversation.client_says({"method": "notifications/cancelled", "params": {"requestId": 1}})
    assert len(conversation.to_server) == 2
    assert [row.reason for row in rows(conversation.guard, "outcome")] == ["cancelled"]


def test_a_cancelled_call_whose_server_is_lost_has_one_outcome_and_no_answer(
    conversation: Conversation,
) -> None:
    conversation.call("echo", message_id=1)
    conversation.client_says({"method": "notifications/cancelled", "params": {"requestId": 1}})
    conversation.session.endings.fail_all(lost("The server is gone."), conversation.from_endings)
    conversation.turn.flush()
    assert conversation.to_client == []
    assert [row.reason for row in rows(conversation.guard, "outcome")] == ["cancelled"]


def test_a_refused_call_that_was_cancelled_before_gets_no_answer(conversation: Conversation) -> None:
    read = conversation.gate.read_client
    routes: list[Any] = []
    for raw in (
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"hidden"}}',
        b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}',
    ):
        conversation.session.client.judge(read(raw), conversation.chain, routes.append)
    conversation.turn.flush()
    assert routes == [None, None]


def test_a_cancellation_of_somebody_elses_request_goes_nowhere(conversation: Conversation) -> None:
    conversation.call("echo", message_id="mine")
    for other in (1, "1", None, [], conversation.to_server[0]["id"]):
        conversation.client_says({"method": "notifications/cancelled", "params": {"requestId": other}})
    assert len(conversation.to_server) == 1


def test_a_call_cancelled_before_its_decision_is_not_forwarded(conversation: Conversation) -> None:
    read = conversation.gate.read_client
    call = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo"}}'
    cancel = b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}'
    routes: list[Any] = []
    for raw in (call, cancel):
        conversation.session.client.judge(read(raw), conversation.chain, routes.append)
    conversation.turn.flush()
    conversation.turn.flush()
    assert routes == [None, None]
    assert [row.reason for row in rows(conversation.guard, "outcome")] == ["cancelled"]


def test_the_server_gives_up_its_own_request_under_the_clients_id(conversation: Conversation) -> None:
    conversation.server_says({"id": 40, "method": "roots/list"})
    conversation.server_says({"method": "notifications/cancelled", "params": {"requestId": 40}})
    conversation.server_says({"method": "notifications/cancelled", "params": {"requestId": 41}})
    assert len(conversation.to_client) == 2
    assert conversation.to_client[1]["params"]["requestId"] == conversation.to_client[0]["id"]


def test_a_subscription_is_tagged_with_the_clients_own_id(conversation: Conversation) -> None:
    conversation.client_says({"id": "sub", "method": "subscriptions/listen", "params": {"notifications": {}}})
    tag = {"_meta": {"io.modelcontextprotocol/subscriptionId": conversation.to_server[0]["id"]}}
    conversation.server_says({"method": "notifications/tools/list_changed", "params": tag})
    assert conversation.to_client[0]["params"]["_meta"] == {"io.modelcontextprotocol/subscriptionId": "sub"}


def test_what_never_gets_an_answer_is_answered_in_the_servers_place(conversation: Conversation) -> None:
    conversation.call("echo", message_id=1)
    conversation.client_says({"id": 2, "method": "ping"})
    conversation.session.endings.fail_all(lost("The server is gone."), conversation.from_endings)
    conversation.turn.flush()
    assert sorted(message["id"] for message in conversation.to_client) == [1, 2]
    assert [row.reason for row in rows(conversation.guard, "outcome")] == ["unknown"]


def test_a_decision_that_cannot_be_written_forwards_nothing(
    conversation: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unwritable(*_: object) -> None:
        raise LedgerError("disk full")

    monkeypatch.setattr(conversation.guard.ledger, "record", unwritable)
    conversation.call("echo")
    assert conversation.to_server == []
    assert conversation.to_client[0]["result"]["isError"] is True


def test_a_result_whose_outcome_cannot_be_written_is_withheld(
    conversation: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unwritable(*_: object) -> None:
        raise LedgerError("disk full")

    conversation.call("echo")
    monkeypatch.setattr(conversation.guard.ledger, "record", unwritable)
    conversation.server_answers(RESULT)
    assert "done" not in json.dumps(conversation.to_client)
    assert "withheld" in conversation.to_client[0]["error"]["message"]


def test_a_token_that_cannot_be_minted_forwards_nothing_and_is_the_outcome(
    conversation: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> str:
        raise RuntimeError("no key: secret detail")

    monkeypatch.setattr(Guard, "mint", broken)
    conversation.call("echo")
    assert conversation.to_server == []
    assert conversation.to_client[0]["error"]["code"] == -32603
    assert "secret detail" not in json.dumps(conversation.to_client)
    conversation.turn.flush()
    assert [row.reason for row in rows(conversation.guard, "outcome")] == ["error"]
    assert len(conversation.session.requests) == 0
