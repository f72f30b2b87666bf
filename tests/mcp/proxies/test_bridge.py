"""The era bridge in memory: who gets one, and what each side is told, message by message."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hopward import Guard
from hopward_mcp import rounds, subscription
from hopward_mcp.carried import NOBODY
from hopward_mcp.endings import timed_out
from hopward_mcp.inquiry import Inquiry
from hopward_mcp.older_form import Envelope, request

from .bridged import LISTENS, NOT_MINE, Bridged
from .installation import ENTRY, install, opened, rows, stdio_server

INITIALIZE = {
    "id": 0,
    "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "x": {"b": 1, "a": 2}},
}
FORM = {"method": "elicitation/create", "params": {"message": "?", "requestedSchema": {}}}
ROOTS = {"method": "roots/list"}


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[Guard]:
    """The guard of one server `desk`, which may ask for what a person types as well."""
    elicitation = ENTRY.format(
        server="desk", group="server_requests", tool='"elicitation/create"', action="read"
    )
    with opened(install(tmp_path, stdio_server(tmp_path / "record") + elicitation)) as opened_guard:
        yield opened_guard


@pytest.fixture
async def bridge(guard: Guard) -> Bridged:
    return Bridged(guard)


def wanted(requests: Any = None, state: Any = None, **more: Any) -> dict[str, Any]:
    given = {"inputRequests": requests, "requestState": state}
    return {
        "resultType": "input_required",
        **{key: one for key, one in given.items() if one is not None},
        **more,
    }


def listens(bridge: Bridged) -> list[dict[str, Any]]:
    return [one for one in bridge.to_server if one.get("method") == "subscriptions/listen"]


def cancelled(bridge: Bridged) -> list[Any]:
    return [
        one["params"]["requestId"] for one in bridge.to_server if one.get("method", "").endswith("/cancelled")
    ]


async def test_a_server_of_the_clients_era_sees_and_says_what_it_did_without_a_bridge(
    bridge: Bridged,
) -> None:
    bridge.client_says(INITIALIZE)
    (seen,) = bridge.to_server
    assert json.dumps({**seen, "id": 0}) == json.dumps({"jsonrpc": "2.0", **INITIALIZE})
    result = {"protocolVersion": "2025-06-18", "capabilities": {}, "resultType": "complete"}
    bridge.server_answers(result)
    assert bridge.to_client == [{"jsonrpc": "2.0", "id": 0, "result": result}]
    bridge.client_says({"method": "notifications/initialized"})
    assert bridge.to_server[-1]["method"] == "notifications/initialized"


async def test_a_server_that_speaks_neither_era_is_refused_with_its_first_word(bridge: Bridged) -> None:
    bridge.client_says(INITIALIZE)
    bridge.server_says({"id": bridge.to_server[-1]["id"], "error": NOT_MINE})
    bridge.server_answers({"supportedVersions": ["2027-01-01"]})
    assert bridge.to_client == [{"jsonrpc": "2.0", "id": 0, "error": NOT_MINE}]
    bridge.client_says(INITIALIZE)
    assert bridge.to_server[-1]["method"] == "initialize"


async def test_a_server_that_does_not_answer_in_time_is_not_asked_again(bridge: Bridged) -> None:
    bridge.client_says(INITIALIZE)
    key = bridge.to_server[-1]["id"]
    bridge.session.endings.fail(key, timed_out(1), bridge._from_the_server)
    assert bridge.to_client[-1]["error"]["code"] == -32001
    assert len(bridge.to_server) == 1


async def test_what_the_server_says_of_itself_is_told_in_the_older_form(bridge: Bridged) -> None:
    told = bridge.greet("2024-11-05")
    assert told == {
        "protocolVersion": "2024-11-05",
        "capabilities": {**LISTENS, "extensions": {"a/b": {}}},
        "serverInfo": {"name": "modern", "version": "7"},
        "instructions": "Be brief.",
        "vendor": {"kept": True},
    }


async def test_a_version_that_nobody_knows_is_answered_with_the_newest_of_the_older(bridge: Bridged) -> None:
    assert bridge.greet("2026-07-28")["protocolVersion"] == "2025-11-25"


@pytest.mark.parametrize(
    ("announced", "said"),
    [
        ({"elicitation": {}}, {"elicitation": {"form": {}}}),
        ({"elicitation": {"url": {}}}, {"elicitation": {"url": {}}}),
        ({"roots": {"listChanged": True}, "tasks": {"list": {}}}, {"roots": {}}),
        (
            {"sampling": {"tools": {}}, "experimental": {"x": {}}},
            {"sampling": {"tools": {}}, "experimental": {"x": {}}},
        ),
        ({"extensions": {"io.modelcontextprotocol/tasks": {}, "a/b": {}}}, {"extensions": {"a/b": {}}}),
        ({"roots": "yes"}, {}),
        ([], {}),
    ],
)
def test_a_client_is_announced_with_each_request_as_it_announced_itself(announced: Any, said: Any) -> None:
    assert Envelope({"capabilities": announced})._capabilities == said


async def test_a_result_keeps_what_nobody_knows_and_loses_what_only_the_newer_era_has(
    bridge: Bridged,
) -> None:
    bridge.greet()
    bridge.client_says({"id": 1, "method": "tools/list"})
    meta = {"io.modelcontextprotocol/serverInfo": {}, "vendor": 1}
    result = {
        "resultType": "complete",
        "ttlMs": 5,
        "cacheScope": "public",
        "tools": [],
        "more": 2,
        "_meta": meta,
    }
    bridge.server_answers(result)
    assert bridge.to_client[-1]["result"] == {"tools": [], "more": 2, "_meta": {"vendor": 1}}
    bridge.call("echo", {}, 2)
    bridge.server_answers({"resultType": "complete", "content": [], "ttlMs": "the tool's own"})
    assert bridge.to_client[-1]["result"] == {"content": [], "ttlMs": "the tool's own"}


async def test_a_wish_for_a_task_is_not_passed_on(bridge: Bridged) -> None:
    bridge.greet()
    bridge.call("echo", {}, 1, task={"ttl": 1}, vendor=1)
    assert set(bridge.to_server[-1]["params"]) == {"name", "arguments", "vendor", "_meta"}


@pytest.mark.parametrize(
    "result",
    [
        wanted(),
        wanted({}),
        wanted(state=7),
        wanted({"a": {**ROOTS, "params": []}}),
        wanted(["roots/list"]),
        wanted({f"{number}": ROOTS for number in range(65)}),
        wanted({"a": {"method": "ping"}}),
        {"resultType": "task", "task": {}},
        {"resultType": ["input_required"]},
    ],
)
async def test_an_answer_that_makes_no_sense_to_an_older_client_is_an_error(
    bridge: Bridged, result: Any
) -> None:
    bridge.greet(roots={})
    bridge.call("echo")
    bridge.server_answers(result)
    assert bridge.to_client[-1]["error"]["code"] == -32000
    assert bridge.to_client[-1]["id"] == 1
    assert len([one for one in bridge.to_server if one["method"] == "tools/call"]) == 1


async def test_only_three_methods_may_take_several_rounds(bridge: Bridged) -> None:
    bridge.greet(roots={})
    bridge.client_says({"id": 1, "method": "tools/list"})
    bridge.server_answers(wanted({"a": ROOTS}))
    assert "error" in bridge.to_client[-1]


async def test_each_round_has_a_new_id_its_own_credential_and_a_row_of_its_own(bridge: Bridged) -> None:
    bridge.greet(roots={})
    bridge.call("echo", {"x": 1})
    bridge.server_answers(wanted({"a": ROOTS}, "s"))
    asked = bridge.to_client[-1]
    bridge.client_says(
        {"id": asked["id"], "result": {"roots": [], "_meta": {"dev.hopward/decision": 1, "a": 2}}}
    )
    bridge.turn.flush()
    first, second = (one for one in bridge.to_server if one["method"] == "tools/call")
    assert first["id"] != second["id"]
    key = "dev.hopward/credential"
    assert first["params"]["_meta"].pop(key) != second["params"]["_meta"].pop(key)
    assert second["params"].pop("inputResponses") == {"a": {"roots": [], "_meta": {"a": 2}}}
    assert second["params"].pop("requestState") == "s"
    assert first["params"] == second["params"]
    bridge.server_answers({"resultType": "complete", "content": []})
    assert bridge.to_client[-1] == {"jsonrpc": "2.0", "id": 1, "result": {"content": []}}
    decided = [row for row in rows(bridge.guard, "decision") if row.tool == "echo"]
    ended = {row.decision for row in rows(bridge.guard, "outcome")}
    assert len({row.decision for row in decided} & ended) == 2


async def test_an_elicitation_of_a_url_has_a_name_and_is_said_to_be_over(bridge: Bridged) -> None:
    bridge.greet(elicitation={"url": {}})
    bridge.call("echo")
    bridge.server_answers(
        wanted({"a": {"method": "elicitation/create", "params": {"mode": "url", "url": "https://x"}}})
    )
    asked = bridge.to_client[-1]
    bridge.client_says({"id": asked["id"], "result": {"action": "accept"}})
    bridge.turn.flush()
    bridge.server_answers({"content": []})
    over, answer = bridge.to_client[-2:]
    assert over["method"] == "notifications/elicitation/complete"
    assert over["params"] == {"elicitationId": asked["params"]["elicitationId"]}
    assert "result" in answer


async def test_a_client_that_takes_too_long_is_asked_no_more(bridge: Bridged) -> None:
    bridge.greet(roots={})
    bridge.gate.call_timeout = 0
    bridge.call("echo")
    bridge.server_answers(wanted({"a": ROOTS}))
    while "error" not in bridge.to_client[-1]:
        await asyncio.sleep(0)
    assert bridge.to_client[-1]["error"]["code"] == -32001
    assert bridge.to_client[-2]["params"]["requestId"] == bridge.to_client[-3]["id"]


async def test_a_client_that_has_left_gets_an_error_for_what_waits_for_it(bridge: Bridged) -> None:
    bridge.greet(roots={})
    bridge.call("echo", {}, 1)
    bridge.server_answers(wanted({"a": ROOTS}))
    bridge.call("echo", {}, 2)
    bridge.footing.leave()
    assert bridge.to_client[-1]["id"] == 1
    bridge.server_answers(wanted({"a": ROOTS}))
    assert bridge.to_client[-1]["error"]["message"] == "The client has gone."
    ended = {row.decision for row in rows(bridge.guard, "outcome")}
    assert {row.decision for row in rows(bridge.guard, "decision")} == ended


async def test_a_request_of_the_server_is_answered_for_the_client(bridge: Bridged) -> None:
    bridge.greet(roots={})
    before = len(bridge.to_client)
    bridge.server_says({"id": 9, "method": "roots/list"})
    assert len(bridge.to_client) == before
    assert (bridge.to_server[-1]["id"], bridge.to_server[-1]["error"]["code"]) == (9, -32601)


async def test_a_resource_that_there_is_not_has_the_code_of_the_clients_era(bridge: Bridged) -> None:
    bridge.greet()
    missing = {"code": -32602, "message": "Resource not found"}
    for number, (data, code) in enumerate(
        [({"uri": "ticket://1"}, -32002), ({"uri": "ticket://2"}, -32602), (None, -32602)], 1
    ):
        bridge.client_says({"id": number, "method": "resources/read", "params": {"uri": "ticket://1"}})
        fault = missing if data is None else {**missing, "data": data}
        bridge.server_says({"id": bridge.to_server[-1]["id"], "error": fault})
        assert bridge.to_client[-1]["error"] == {**fault, "code": code}
    bridge.client_says({"id": 9, "method": "tools/call", "params": {"name": "echo", "uri": "ticket://1"}})
    bridge.server_says(
        {"id": bridge.to_server[-1]["id"], "error": {**missing, "data": {"uri": "ticket://1"}}}
    )
    assert bridge.to_client[-1]["error"]["code"] == -32602


async def test_a_stream_stands_before_the_one_before_it_is_left(bridge: Bridged) -> None:
    bridge.greet()
    bridge.client_says({"method": "notifications/initialized"})
    lists = listens(bridge)[-1]
    assert lists["params"]["notifications"] == {"toolsListChanged": True}
    bridge.acknowledge(lists)
    both = bridge.subscribe("ticket://1", 1)
    assert both["params"]["notifications"] == {
        "toolsListChanged": True,
        "resourceSubscriptions": ["ticket://1"],
    }
    bridge.event(lists, "notifications/tools/list_changed")
    assert bridge.to_client[-1] == {
        "jsonrpc": "2.0",
        "method": "notifications/tools/list_changed",
        "params": {},
    }
    assert cancelled(bridge) == []
    bridge.acknowledge(both)
    assert bridge.to_client[-1] == {"jsonrpc": "2.0", "id": 1, "result": {}}
    assert cancelled(bridge) == [lists["id"]]


async def test_a_resource_of_which_the_server_tells_nothing_is_not_subscribed_to(bridge: Bridged) -> None:
    bridge.greet()
    first = bridge.subscribe("ticket://1", 1)
    bridge.acknowledge(first)
    second = bridge.subscribe("ticket://2", 2)
    third = bridge.subscribe("ticket://3", 3)
    assert third is second
    bridge.acknowledge(second, resourceSubscriptions=["ticket://1"])
    assert "does not tell" in bridge.to_client[-1]["error"]["message"]
    assert cancelled(bridge) == [second["id"]]
    third = bridge.to_server[-1]
    assert third["params"]["notifications"] == {"resourceSubscriptions": ["ticket://1", "ticket://3"]}
    bridge.server_says({"id": third["id"], "error": {"code": -32603, "message": "not now"}})
    assert bridge.to_client[-1]["error"] == {"code": -32603, "message": "not now"}
    bridge.event(first, "notifications/resources/updated", uri="ticket://1")
    assert bridge.to_client[-1]["params"] == {"uri": "ticket://1"}


async def test_a_resource_outside_the_task_is_not_subscribed_to_and_changes_nothing(bridge: Bridged) -> None:
    bridge.greet()
    first = bridge.subscribe("ticket://1", 1)
    bridge.acknowledge(first)
    second = bridge.subscribe("secret://1", 2)
    assert second["params"]["notifications"] == first["params"]["notifications"]
    bridge.acknowledge(second)
    told = bridge.to_client[-1]["error"]
    assert (told["code"], told["data"]["reason"]) == (-32000, "tool_unclassified")
    assert bridge.guard.ledger.row(told["data"]["decision"]).verdict == "deny"
    assert told["data"]["decision"] in told["message"]
    assert (bridge.to_server[-1]["method"], cancelled(bridge)) == ("notifications/cancelled", [second["id"]])
    last = bridge.to_server[-1]
    assert bridge.subscribe("no uri", 3) is last
    assert bridge.to_client[-1]["error"]["code"] == -32602
    assert bridge.subscribe("ticket://9", 4, "unsubscribe") is last
    assert bridge.to_client[-1] == {"jsonrpc": "2.0", "id": 4, "result": {}}
    assert bridge.subscribe("ticket://1", 5, "unsubscribe")["method"] == "notifications/cancelled"
    assert (cancelled(bridge), len(listens(bridge))) == ([second["id"], first["id"]], 2)
    assert [row.reason for row in rows(bridge.guard, "refusal")] == ["uri"]


async def test_a_first_subscription_outside_the_task_never_reaches_the_server(bridge: Bridged) -> None:
    bridge.greet()
    bridge.subscribe("secret://1", 1)
    assert listens(bridge) == []
    assert bridge.to_client[-1]["error"]["data"]["reason"] == "tool_unclassified"


async def test_a_request_that_carries_its_chain_does_not_subscribe(bridge: Bridged) -> None:
    bridge.greet()
    meta = {"dev.hopward/chain": {"links": ["forged"]}}
    bridge.client_says(
        {"id": 1, "method": "resources/subscribe", "params": {"uri": "ticket://1", "_meta": meta}}
    )
    assert bridge.to_client[-1]["error"]["code"] == -32000
    assert listens(bridge) == []
    assert [row.reason for row in rows(bridge.guard, "refusal")] == ["chain_missing"]


async def test_an_event_of_a_stream_that_is_not_ours_is_not_heard(bridge: Bridged) -> None:
    bridge.greet()
    first = bridge.subscribe("ticket://1", 1)
    bridge.acknowledge(first)
    before = len(bridge.to_client)
    bridge.event({"id": 4711}, "notifications/resources/updated", uri="ticket://1")
    bridge.event({"id": "listen-0-1"}, "notifications/subscriptions/acknowledged", notifications={})
    assert len(bridge.to_client) == before


async def test_a_stream_that_ends_is_opened_again_but_not_without_end(
    bridge: Bridged, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscription, "_FIRST_PAUSE", 0.0)
    bridge.greet()
    first = bridge.subscribe("ticket://1", 1)
    bridge.acknowledge(first)
    ended = 1
    bridge.server_answers({"resultType": "complete"})
    while ended < 11:
        while len(listens(bridge)) == ended:
            await asyncio.sleep(0)
        again = listens(bridge)[-1]
        assert again["params"]["notifications"] == {"resourceSubscriptions": ["ticket://1"]}
        bridge.server_says({"id": again["id"], "error": {"code": -32603, "message": "no"}})
        ended += 1
    for _ in range(100):
        await asyncio.sleep(0)
    assert len(listens(bridge)) == ended == 11


async def test_after_a_time_without_a_stream_everything_may_have_changed(
    bridge: Bridged, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscription, "_FIRST_PAUSE", 0.0)
    bridge.greet()
    bridge.client_says({"method": "notifications/initialized"})
    bridge.acknowledge(listens(bridge)[-1])
    bridge.acknowledge(bridge.subscribe("ticket://1", 1))
    bridge.server_says({"id": listens(bridge)[-1]["id"], "result": {}})
    while len(listens(bridge)) < 3:
        await asyncio.sleep(0)
    before = len(bridge.to_client)
    bridge.acknowledge(listens(bridge)[-1])
    told = [(one["method"], one["params"]) for one in bridge.to_client[before:]]
    assert told == [
        ("notifications/tools/list_changed", {}),
        ("notifications/resources/updated", {"uri": "ticket://1"}),
    ]


async def test_a_client_that_has_left_is_listened_for_no_more(bridge: Bridged) -> None:
    bridge.greet()
    first = bridge.subscribe("ticket://1", 1)
    bridge.acknowledge(first)
    second = bridge.subscribe("ticket://2", 2)
    bridge.footing.leave()
    assert sorted(cancelled(bridge)) == sorted([first["id"], second["id"]])
    assert not bridge.session.requests.awaited()


async def test_a_message_that_the_bridge_stumbles_over_fails_that_request_alone(
    bridge: Bridged, monkeypatch: pytest.MonkeyPatch
) -> None:
    bridge.greet()
    bridge.call("echo")
    with monkeypatch.context() as broken:
        broken.setattr(rounds, "older_result", None)
        bridge.server_answers({"content": []})
    assert bridge.to_client[-1]["error"]["message"] == "The server's answer is malformed."
    bridge.call("echo", {}, 2)
    bridge.server_answers({"content": []})
    assert bridge.to_client[-1]["result"] == {"content": []}


async def test_a_stream_is_not_opened_again_for_a_task_that_has_ended(
    bridge: Bridged, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscription, "_FIRST_PAUSE", 0.0)
    bridge.greet()
    bridge.acknowledge(bridge.subscribe("ticket://1", 1))
    bridge.guard.complete_task(bridge.task.id)
    bridge.server_says({"id": listens(bridge)[-1]["id"], "result": {}})
    for _ in range(100):
        await asyncio.sleep(0)
    assert len(listens(bridge)) == 1
    assert rows(bridge.guard, "refusal") == []


async def test_a_session_whose_requests_carry_their_chains_listens_for_nothing(guard: Guard) -> None:
    bridge = Bridged(guard, NOBODY)
    bridge.greet()
    bridge.client_says({"method": "notifications/initialized"})
    bridge.subscribe("ticket://1", 1)
    assert "carry the chain" in bridge.to_client[-1]["error"]["message"]
    assert listens(bridge) == []
    assert [row.reason for row in rows(guard, "refusal")] == ["chain_missing"]


async def test_a_client_cannot_say_in_meta_what_the_bridge_says(bridge: Bridged) -> None:
    bridge.greet()
    said = {
        "io.modelcontextprotocol/logLevel": "debug",
        "IO.ModelContextProtocol/clientInfo": {},
        "vendor": 1,
    }
    bridge.call("echo", _meta=said)
    meta = bridge.to_server[-1]["params"]["_meta"]
    assert set(meta) - {"dev.hopward/credential", "vendor"} == {
        "io.modelcontextprotocol/protocolVersion",
        "io.modelcontextprotocol/clientCapabilities",
    }


async def test_a_stream_that_was_left_is_forgotten_in_time_though_it_is_never_answered(
    bridge: Bridged,
) -> None:
    bridge.greet()
    bridge.acknowledge(bridge.subscribe("ticket://1", 1))
    bridge.acknowledge(bridge.subscribe("ticket://2", 2))
    assert len(bridge.session.requests) == 2
    bridge.gate.call_timeout = 0
    bridge.session.endings.expire(bridge._from_the_server, lambda _key, _pending: None)
    assert len(bridge.session.requests) == 1


async def test_nothing_comes_of_a_request_that_was_left(guard: Guard) -> None:
    came: list[bytes] = []

    async def keep(_inquiry: Inquiry, body: bytes) -> None:
        came.append(body)

    inquiry = Inquiry(request(1, "tools/list", {}), keep, 1_000)
    asked = inquiry.request({}, {})
    await asked.stream()
    await asked.write(b"data: 1\n\ndata: 2")
    inquiry.leave()
    await asked.write(b"\n\n", last=True)
    assert came == [b"1"]
    assert await asked.body(1_000) == b'{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{}}'
    await asked.departure()


async def test_what_a_client_of_its_era_tells_is_heard_by_nobody_but_a_vendors_words_are(
    bridge: Bridged,
) -> None:
    bridge.gate.client_notifications |= {"notifications/vendor"}
    bridge.greet()
    before = len(bridge.to_server)
    for method in ("initialized", "roots/list_changed", "progress", "vendor", "other"):
        bridge.client_says({"method": f"notifications/{method}", "params": {"progressToken": 1}})
    told = [one["method"] for one in bridge.to_server[before:] if one["method"] != "subscriptions/listen"]
    assert told == ["notifications/vendor"]
    assert [row.reason for row in rows(bridge.guard, "refusal")] == ["unknown_notification"]
