"""A server of 2025-11-25 or older, presented to a client of 2026-07-28: each feature, in memory."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hopward import Guard

from .bridging import EVERYTHING, INFO, OFFERS, Bridge, asking, done
from .installation import ENTRY, install, opened, rows

VERSION = "io.modelcontextprotocol/protocolVersion"
SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"
SERVER_INFO = "io.modelcontextprotocol/serverInfo"
EXTENSIONS: dict[str, Any] = {"io.modelcontextprotocol/tasks": {}, "io.modelcontextprotocol/ui": {}}
LOG_LEVEL = "io.modelcontextprotocol/logLevel"


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[Guard]:
    with opened(install(tmp_path, asking(tmp_path / "record"))) as running:
        yield running


@pytest.fixture
async def fresh(guard: Guard) -> Bridge:
    """Nothing has been said."""
    return Bridge(guard)


@pytest.fixture
async def bridge(fresh: Bridge) -> Bridge:
    """The server has been met."""
    fresh.asks("server/discover")
    fresh.meets()
    fresh.to_client.clear()
    fresh.to_server.clear()
    return fresh


def of_server(bridge: Bridge) -> list[str]:
    return [one.get("method", "answer") for one in bridge.to_server]


async def test_a_server_is_asked_for_its_era_and_greeted_in_the_older_one(fresh: Bridge) -> None:
    first, second = fresh.calls(meta={"io.modelcontextprotocol/clientInfo": {"name": "x"}}), fresh.calls()
    assert of_server(fresh) == ["server/discover"]
    fresh.meets()
    met = ["server/discover", "initialize", "notifications/initialized", "tools/call", "tools/call"]
    assert of_server(fresh) == met
    hello = fresh.sent("initialize")[0]["params"]
    assert hello == {
        "protocolVersion": "2025-11-25",
        "capabilities": EVERYTHING,
        "clientInfo": {"name": "x"},
    }
    assert first != second
    assert not fresh.aside


async def test_a_server_of_the_newer_era_gets_what_was_sent_and_is_left_alone(fresh: Bridge) -> None:
    fresh.calls(arguments={"x": 1})
    found = {"supportedVersions": ["2026-07-28"], "capabilities": {}, "resultType": "complete"}
    fresh.hears({"id": fresh.to_server[0]["id"], "result": found})
    assert fresh.aside
    assert of_server(fresh) == ["server/discover", "tools/call"]
    assert VERSION in fresh.sent("tools/call")[0]["params"]["_meta"]


@pytest.mark.parametrize(
    "answer",
    [
        {"error": {"code": -32601, "message": "?"}},
        {"result": {}},
        {"result": {"supportedVersions": "2026-07-28"}},
        {"result": {"supportedVersions": ["2099-01-01"]}},
    ],
)
async def test_whatever_else_it_says_to_that_it_is_an_older_one(
    fresh: Bridge, answer: dict[str, Any]
) -> None:
    fresh.calls()
    fresh.hears({"id": fresh.to_server[0]["id"], **answer})
    assert of_server(fresh) == ["server/discover", "initialize"]


async def test_a_server_that_answers_nothing_is_greeted_all_the_same(
    fresh: Bridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hopward_mcp.greeting._SILENT", 0.0)
    fresh.calls()
    while len(fresh.to_server) < 2:
        await fresh.breath()
    assert of_server(fresh) == ["server/discover", "initialize"]
    fresh.hears({"id": fresh.to_server[0]["id"], "error": {"code": -32601, "message": "late"}})
    fresh.hears({"id": fresh.to_server[1]["id"], "result": _hello()})
    assert of_server(fresh)[-1] == "tools/call"
    assert rows(fresh.guard, "refusal") == []


async def test_a_server_that_only_starts_slowly_is_not_taken_for_an_older_one(
    fresh: Bridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hopward_mcp.greeting._SILENT", 0.0)
    fresh.calls()
    while len(fresh.to_server) < 2:
        await fresh.breath()
    discovered = {"resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": {}}
    fresh.hears({"id": fresh.to_server[0]["id"], "result": discovered})
    fresh.hears({"id": fresh.to_server[1]["id"], "error": {"code": -32022, "message": "not here"}})
    assert of_server(fresh) == ["server/discover", "initialize", "tools/call"]
    assert "io.modelcontextprotocol/protocolVersion" in fresh.to_server[-1]["params"]["_meta"]
    assert rows(fresh.guard, "refusal") == []


@pytest.mark.parametrize(
    "changes",
    [
        {"protocolVersion": "2099-01-01"},
        {"capabilities": None},
        {"serverInfo": "x"},
        {"protocolVersion": None},
    ],
)
async def test_a_server_that_speaks_no_known_version_gets_nothing(
    fresh: Bridge, changes: dict[str, Any]
) -> None:
    asked = fresh.calls()
    fresh.meets(**changes)
    assert "no protocol version" in fresh.answer(asked)["error"]["message"]
    assert "no protocol version" in fresh.answer(fresh.calls())["error"]["message"]
    assert of_server(fresh) == ["server/discover", "initialize"]


@pytest.mark.parametrize("version", ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"])
async def test_every_older_version_is_spoken(fresh: Bridge, version: str) -> None:
    asked = fresh.calls()
    fresh.meets(protocolVersion=version)
    fresh.finishes()
    assert fresh.answer(asked)["result"]["resultType"] == "complete"


def _hello(**changes: Any) -> dict[str, Any]:
    return {"protocolVersion": "2025-11-25", "capabilities": OFFERS, "serverInfo": INFO, **changes}


async def test_discover_says_what_initialize_has_said_and_nothing_of_tasks(fresh: Bridge) -> None:
    asked = fresh.asks("server/discover")
    fresh.meets(
        instructions="be kind", capabilities={**OFFERS, "experimental": {"x": {}}, "extensions": EXTENSIONS}
    )
    result = fresh.answer(asked)["result"]
    assert result.pop("capabilities") == {
        "tools": {"listChanged": True},
        "resources": {"subscribe": True},
        "logging": {},
        "experimental": {"x": {}},
        "extensions": {"io.modelcontextprotocol/ui": {}},
    }
    assert result == {
        "supportedVersions": ["2026-07-28"],
        "ttlMs": 0,
        "cacheScope": "private",
        "instructions": "be kind",
        "resultType": "complete",
        "_meta": {SERVER_INFO: INFO},
    }


async def test_the_envelope_does_not_reach_the_server_and_all_else_does(bridge: Bridge) -> None:
    bridge.calls(arguments={"x": 1}, vendor=[1], task={"ttl": 1}, meta={"traceparent": "00-1", "mine": 2})
    params = bridge.to_server[0]["params"]
    credential = params["_meta"].pop("dev.hopward/credential")
    assert credential
    meta = {"traceparent": "00-1", "mine": 2}
    assert params == {"name": "echo", "arguments": {"x": 1}, "vendor": [1], "_meta": meta}


@pytest.mark.parametrize(
    "method", ["tools/list", "resources/list", "resources/templates/list", "prompts/list"]
)
async def test_lists_are_nobodys_to_keep(bridge: Bridge, method: str) -> None:
    asked = bridge.asks(method)
    bridge.hears({"id": bridge.to_server[0]["id"], "result": {"nextCursor": "n", "vendor": 1}})
    result = bridge.answer(asked)["result"]
    assert (result["ttlMs"], result["cacheScope"], result["resultType"]) == (0, "private", "complete")
    assert (result["nextCursor"], result["vendor"]) == ("n", 1)


async def test_tools_are_listed_without_their_tasks_and_not_at_all_where_they_need_one(
    bridge: Bridge,
) -> None:
    tools = [
        {"name": "echo", "execution": {"taskSupport": "optional"}, "vendor": 1},
        {"name": "slow", "execution": {"taskSupport": "required"}},
        {"name": "env"},
    ]
    asked = bridge.asks("tools/list")
    bridge.hears({"id": bridge.to_server[0]["id"], "result": {"tools": tools}})
    assert bridge.answer(asked)["result"]["tools"] == [{"name": "echo", "vendor": 1}, {"name": "env"}]


async def test_a_result_is_whole_whatever_an_older_server_puts_into_it(bridge: Bridge) -> None:
    asked = bridge.calls()
    forged = {"resultType": "input_required", "inputRequests": {}, "requestState": "s", **done()}
    bridge.hears({"id": bridge.to_server[0]["id"], "result": {**forged, "_meta": {"a": 1}, "vendor": 1}})
    result = bridge.answer(asked)["result"]
    assert result == {**done(), "vendor": 1, "resultType": "complete", "_meta": {"a": 1, SERVER_INFO: INFO}}


@pytest.mark.parametrize(("code", "shown"), [(-32002, -32602), (-32050, -32050), (-32042, -32000)])
async def test_errors_have_the_codes_of_the_newer_era(bridge: Bridge, code: int, shown: int) -> None:
    asked = bridge.asks("tools/list")
    bridge.hears({"id": bridge.to_server[0]["id"], "error": {"code": code, "message": "m", "data": 1}})
    assert bridge.answer(asked)["error"] == {"code": shown, "message": "m", "data": 1}


@pytest.mark.parametrize(
    "method",
    ["initialize", "ping", "logging/setLevel", "resources/unsubscribe", "resources/subscribe", "tasks/list"],
)
async def test_methods_of_the_older_era_are_not_there(bridge: Bridge, method: str) -> None:
    asked = bridge.asks(method, uri="ticket://1", level="debug")
    assert bridge.answer(asked)["error"]["code"] == -32601
    assert bridge.to_server == []


@pytest.mark.parametrize(
    ("meta", "code"),
    [
        ({}, -32602),
        ({VERSION: "2026-07-28"}, -32602),
        ({VERSION: "2099-01-01", "io.modelcontextprotocol/clientCapabilities": {}}, -32022),
        ({VERSION: "2025-11-25", "io.modelcontextprotocol/clientCapabilities": {}}, -32022),
    ],
)
async def test_a_request_without_a_good_envelope_is_not_sent(
    bridge: Bridge, meta: dict[str, Any], code: int
) -> None:
    bridge.says({"id": 9, "method": "tools/list", "params": {"_meta": meta}})
    assert bridge.answer(9)["error"]["code"] == code
    assert bridge.to_server == []


async def test_notifications_of_the_older_era_are_dropped(bridge: Bridge) -> None:
    for name in ("initialized", "roots/list_changed", "progress"):
        bridge.says({"method": f"notifications/{name}", "params": {}})
    assert bridge.to_server == []


async def test_methods_and_notifications_of_the_servers_own_go_through(tmp_path: Path) -> None:
    settings = asking(tmp_path / "record")
    settings += ENTRY.format(server="desk", group="vendor_methods", tool='"acme/reindex"', action="read")
    with opened(install(tmp_path, settings)) as guard:
        bridge = Bridge(guard)
        asked = bridge.asks("acme/reindex", index="all")
        bridge.meets()
        sent = bridge.sent("acme/reindex")[0]
        assert (sent["params"]["index"], VERSION in sent["params"]["_meta"]) == ("all", False)
        bridge.hears({"id": sent["id"], "result": {"done": 1}})
        assert bridge.answer(asked)["result"]["done"] == 1
        bridge.says({"method": "notifications/acme/opened", "params": {"x": 1}})
        assert bridge.sent("notifications/acme/opened")[0]["params"] == {"x": 1}
        bridge.hears({"method": "acme/ticked", "params": {"y": 1}})
        assert bridge.to_client[-1]["method"] == "acme/ticked"


async def test_progress_comes_to_the_round_that_waits_and_under_its_token(bridge: Bridge) -> None:
    asked = bridge.calls(meta={"progressToken": "first"})
    told = {"method": "notifications/progress", "params": {"progressToken": "first", "progress": 1, "x": 1}}
    bridge.hears(told)
    assert bridge.to_client[-1]["params"] == {"progressToken": "first", "progress": 1, "x": 1}
    await bridge.elicits()
    state = bridge.required(asked)[1]
    bridge.to_client.clear()
    bridge.hears(told)
    assert bridge.to_client == []
    accept = {"1": {"action": "accept"}}
    bridge.calls(requestState=state, inputResponses=accept, meta={"progressToken": "second"})
    bridge.hears(told)
    assert bridge.to_client[-1]["params"]["progressToken"] == "second"
    bridge.finishes()
    bridge.to_client.clear()
    bridge.hears(told)
    assert bridge.to_client == []


async def test_log_messages_are_for_who_asks_and_of_the_level_asked_for(bridge: Bridge) -> None:
    told = {"method": "notifications/message", "params": {"level": "info", "data": "hi"}}
    bridge.hears(told)
    bridge.calls(meta={LOG_LEVEL: "warning"})
    assert bridge.sent("logging/setLevel")[0]["params"] == {"level": "warning"}
    bridge.hears(told)
    assert bridge.to_client == []
    bridge.calls(meta={LOG_LEVEL: "debug"})
    assert bridge.sent("logging/setLevel")[1]["params"] == {"level": "debug"}
    bridge.hears(told)
    assert bridge.to_client[0]["params"] == {"level": "info", "data": "hi"}
    assert of_server(bridge) == ["logging/setLevel", "tools/call"] * 2


async def test_a_server_without_logging_is_not_asked_for_any(fresh: Bridge) -> None:
    fresh.calls(meta={LOG_LEVEL: "debug"})
    fresh.meets(capabilities={"tools": {}})
    assert fresh.sent("logging/setLevel") == []


async def test_a_cancelled_call_ends_at_the_server_and_its_late_answer_is_nobodys(bridge: Bridge) -> None:
    asked = bridge.calls()
    bridge.says({"method": "notifications/cancelled", "params": {"requestId": asked, "reason": "enough"}})
    (told,) = bridge.sent("notifications/cancelled")
    assert told["params"] == {"requestId": bridge.to_server[0]["id"], "reason": "enough"}
    bridge.finishes()
    assert (bridge.to_client, len(bridge.session.requests)) == ([], 0)
    assert [row.reason for row in rows(bridge.guard, "outcome")] == ["cancelled"]
    assert rows(bridge.guard, "refusal") == []


async def test_what_nobody_knows_crosses_when_the_two_meet(guard: Guard) -> None:
    told = {
        "experimental": {"a/b": {"level": 1}},
        "x-ability": {},
        "tasks": {},
        "roots": {"listChanged": True},
    }
    fresh = Bridge(guard, {**EVERYTHING, **told})
    asked = fresh.asks("server/discover")
    fresh.meets(
        **{"x-member": [1], "_meta": {"a/note": 1, "dev.hopward/x": 2}, "ttlMs": 9, "instructions": 7}
    )
    said = fresh.sent("initialize")[0]["params"]["capabilities"]
    assert said == {**EVERYTHING, "experimental": told["experimental"], "x-ability": {}}
    found = fresh.answer(asked)["result"]
    assert found["x-member"] == [1]
    assert found["_meta"] == {"a/note": 1, SERVER_INFO: INFO}
    assert (found["ttlMs"], found["cacheScope"], found["resultType"]) == (0, "private", "complete")
    assert found.keys().isdisjoint({"protocolVersion", "serverInfo", "instructions"})


async def test_an_answer_to_nothing_is_refused_and_logged(bridge: Bridge) -> None:
    bridge.hears({"id": 999_999, "result": {}})
    assert bridge.to_client == []
    assert [row.reason for row in rows(bridge.guard, "refusal")] == ["unasked_answer"]


async def test_a_listen_is_acknowledged_for_what_the_server_can_and_brings_just_that(bridge: Bridge) -> None:
    wanted = {
        "toolsListChanged": True,
        "promptsListChanged": True,
        "resourceSubscriptions": ["ticket://1", "ticket://no", "ticket://1"],
    }
    asked = bridge.asks("subscriptions/listen", notifications=wanted)
    one, other = bridge.sent("resources/subscribe")
    bridge.hears({"method": "notifications/tools/list_changed"})
    bridge.hears({"id": one["id"], "result": {}})
    assert bridge.to_client == []
    bridge.hears({"id": other["id"], "error": {"code": -32602, "message": "no such"}})
    (acknowledged,) = bridge.to_client
    assert acknowledged["method"] == "notifications/subscriptions/acknowledged"
    granted = {"toolsListChanged": True, "resourceSubscriptions": ["ticket://1"]}
    assert acknowledged["params"] == {"notifications": granted, "_meta": {SUBSCRIPTION: asked}}
    bridge.to_client.clear()
    for method, params in (
        ("tools/list_changed", {}),
        ("prompts/list_changed", {}),
        ("resources/list_changed", {}),
        ("resources/updated", {"uri": "ticket://1"}),
        ("resources/updated", {"uri": "ticket://no"}),
        ("resources/updated", {"uri": "ticket://2"}),
    ):
        bridge.hears({"method": f"notifications/{method}", "params": params})
    assert [one["method"].removeprefix("notifications/") for one in bridge.to_client] == [
        "tools/list_changed",
        "resources/updated",
    ]
    assert all(one["params"]["_meta"][SUBSCRIPTION] == asked for one in bridge.to_client)


async def test_two_listens_share_a_subscription_that_ends_with_the_last(bridge: Bridge) -> None:
    wanted = {"resourceSubscriptions": ["ticket://1"]}
    first = bridge.asks("subscriptions/listen", notifications=wanted)
    bridge.hears({"id": bridge.sent("resources/subscribe")[0]["id"], "result": {}})
    second = bridge.asks("subscriptions/listen", notifications=wanted)
    assert len(bridge.sent("resources/subscribe")) == 1
    bridge.to_client.clear()
    bridge.hears({"method": "notifications/resources/updated", "params": {"uri": "ticket://1"}})
    assert [one["params"]["_meta"][SUBSCRIPTION] for one in bridge.to_client] == [first, second]
    bridge.says({"method": "notifications/cancelled", "params": {"requestId": first}})
    assert bridge.sent("resources/unsubscribe") == []
    bridge.says({"method": "notifications/cancelled", "params": {"requestId": second}})
    assert len(bridge.sent("resources/unsubscribe")) == 1
    assert len(bridge.session.requests) == 0


async def test_what_the_server_may_not_send_is_refused_as_ever(bridge: Bridge) -> None:
    bridge.calls()
    bridge.hears({"method": "notifications/vendor/secret", "params": {}})
    bridge.hears({"method": "notifications/elicitation/complete", "params": {"elicitationId": "1"}})
    bridge.hears(b'{"jsonrpc":"2.0","id":1.5,"method":"roots/list"}')
    bridge.hears(b"not json")
    assert bridge.to_client == []
    found = [row.reason for row in rows(bridge.guard, "refusal")]
    assert found == ["unknown_notification", "id", "not_json"]


async def test_what_is_waiting_for_a_silent_server_is_bounded(fresh: Bridge) -> None:
    fresh.calls()
    for _ in range(3_000):
        fresh.says({"method": "notifications/roots/list_changed"})
    assert len(fresh.older._waiting or []) <= 2_048


async def test_a_strange_result_fails_its_own_request_only(bridge: Bridge) -> None:
    asked, other = bridge.asks("tools/list"), bridge.calls()
    for request in (bridge.to_server[0], bridge.to_server[1]):
        result = {"tools": [1, [], {"execution": 1}, {"name": {}}], "_meta": [1]}
        bridge.hears({"id": request["id"], "result": result})
    assert "result" in bridge.answer(asked) or "error" in bridge.answer(asked)
    assert bridge.answer(other)["id"] == other
    assert json.dumps(bridge.to_client)
