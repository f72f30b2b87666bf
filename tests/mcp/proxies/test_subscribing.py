"""`subscriptions/listen`: each MCP resource it names is a decision, as if it were subscribed to alone."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from hopward import Guard, LedgerError
from hopward_mcp.endings import lost
from hopward_mcp.remote import TokenEndpoint

from .bridging import Bridge
from .conversation import Conversation
from .fronting import MODERN, Fronted, front
from .installation import install, opened, rows, stdio_server
from .recording_http import RecordingServer
from .remoting import Impostor, free_port, minted, remote

CREDENTIAL = "dev.hopward/credential"
SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"
LISTEN = "subscriptions/listen"
TICKETS = ["ticket://1", "ticket://2"]


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[Guard]:
    with opened(install(tmp_path, stdio_server(tmp_path / "record"))) as running:
        yield running


@pytest.fixture
async def bridge(guard: Guard) -> Bridge:
    """A client of 2026-07-28 before an older server, which has been met."""
    return met(Bridge(guard))


@pytest.fixture
async def older(tmp_path: Path) -> AsyncIterator[Fronted]:
    """The HTTP front before an older server that can be subscribed to."""
    async with asyncio.timeout(60), front(tmp_path, ("desk",)) as running:
        running.servers["desk"].older = True
        running.servers["desk"].offers = {"resources": {"subscribe": True}}
        yield running


def met(fresh: Bridge) -> Bridge:
    fresh.asks("server/discover")
    fresh.meets()
    fresh.to_client.clear()
    fresh.to_server.clear()
    return fresh


def listens(conversation: Conversation, uris: list[str], message_id: Any = "sub", **kinds: bool) -> None:
    wanted = {**kinds, "resourceSubscriptions": uris}
    conversation.client_says({"id": message_id, "method": LISTEN, "params": {"notifications": wanted}})


def acknowledges(conversation: Conversation, *uris: str) -> None:
    """The server takes the last listen, for these."""
    tag = {SUBSCRIPTION: conversation.to_server[-1]["id"]}
    params = {"notifications": {"resourceSubscriptions": list(uris)}, "_meta": tag}
    conversation.server_says({"method": "notifications/subscriptions/acknowledged", "params": params})


def decided(guard: Guard) -> list[tuple[str, str]]:
    return [(row.tool, row.verdict) for row in rows(guard, "decision")]


def outcomes(guard: Guard) -> list[tuple[str, str, str]]:
    """What was decided on and how it ended."""
    tools = {row.decision: row.tool for row in rows(guard, "decision")}
    found = [(tools[row.decision], row.record["outcome"]) for row in rows(guard, "outcome")]
    return [(tool.removeprefix("resource:"), one["status"], one["error"]) for tool, one in found]


async def test_each_resource_of_a_listen_is_decided_before_it_goes_on(conversation: Conversation) -> None:
    seen: list[list[tuple[str, str]]] = []
    hear = conversation.from_client
    conversation.from_client = lambda route: (seen.append(decided(conversation.guard)), hear(route))[1]
    listens(conversation, ["ticket://1", "ticket://2", "ticket://1"], toolsListChanged=True)
    both = [("resource:ticket://1", "permit"), ("resource:ticket://2", "permit")]
    assert seen == [both]
    (sent,) = conversation.to_server
    wanted = {"toolsListChanged": True, "resourceSubscriptions": ["ticket://1", "ticket://2", "ticket://1"]}
    assert sent["params"]["notifications"] == wanted


async def test_what_is_refused_is_left_out_and_the_client_is_told_which_decision(
    conversation: Conversation,
) -> None:
    listens(conversation, ["ticket://1", "secret://1"])
    (sent,) = conversation.to_server
    assert sent["params"]["notifications"] == {"resourceSubscriptions": ["ticket://1"]}
    assert [verdict for _, verdict in decided(conversation.guard)] == ["permit", "deny"]
    acknowledges(conversation, "ticket://1")
    (told,) = conversation.to_client
    assert told["params"]["notifications"] == {"resourceSubscriptions": ["ticket://1"]}
    refused = told["params"]["_meta"]["dev.hopward/refused"]
    assert list(refused) == ["secret://1"]
    assert conversation.guard.ledger.row(refused["secret://1"]["id"]).verdict == "deny"
    assert refused["secret://1"]["reason"] == "tool_unclassified"


async def test_no_server_says_what_was_refused(conversation: Conversation) -> None:
    listens(conversation, ["ticket://1"])
    tag = {SUBSCRIPTION: conversation.to_server[-1]["id"], "dev.hopward/refused": {"ticket://1": {}}}
    conversation.server_says({"method": "notifications/subscriptions/acknowledged", "params": {"_meta": tag}})
    assert conversation.to_client[-1]["params"]["_meta"] == {SUBSCRIPTION: "sub"}


async def test_a_listen_that_would_be_for_nothing_is_refused(conversation: Conversation) -> None:
    listens(conversation, ["secret://1", "secret://2"], toolsListChanged=False)
    assert conversation.to_server == []
    error = conversation.to_client[-1]["error"]
    assert (error["code"], error["data"]["reason"]) == (-32000, "tool_unclassified")
    assert error["data"]["decision"] == rows(conversation.guard, "decision")[0].decision
    assert len(conversation.session.requests) == 0
    listens(conversation, ["secret://1"], toolsListChanged=True)
    assert conversation.to_server[-1]["params"]["notifications"] == {"toolsListChanged": True}


async def test_the_outcome_of_each_is_what_the_server_acknowledges(conversation: Conversation) -> None:
    listens(conversation, TICKETS)
    assert outcomes(conversation.guard) == []
    acknowledges(conversation, "ticket://1")
    ended = [("ticket://1", "ok", ""), ("ticket://2", "error", "not_subscribed")]
    assert outcomes(conversation.guard) == ended
    acknowledges(conversation, *TICKETS)
    conversation.server_answers({"resultType": "complete"})
    assert outcomes(conversation.guard) == ended
    assert conversation.to_client[-1]["id"] == "sub"


async def test_a_listen_that_is_not_acknowledged_has_outcomes_all_the_same(
    conversation: Conversation,
) -> None:
    listens(conversation, ["ticket://1"])
    conversation.server_says(
        {"id": conversation.to_server[-1]["id"], "error": {"code": -32603, "message": "no"}}
    )
    listens(conversation, ["ticket://2"])
    params = {"requestId": "sub"}
    conversation.client_says({"method": "notifications/cancelled", "params": params})
    conversation.server_says({"id": conversation.to_server[-2]["id"], "result": {"resultType": "complete"}})
    listens(conversation, ["ticket://3"], message_id="other")
    conversation.session.endings.fail_all(lost("The server has ended."), conversation.from_endings)
    conversation.turn.flush()
    assert outcomes(conversation.guard) == [
        ("ticket://1", "error", "json-rpc -32603"),
        ("ticket://2", "cancelled", ""),
        ("ticket://3", "unknown", "server_lost"),
    ]


async def test_nothing_goes_on_that_cannot_be_logged(
    conversation: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversation.turn.guard, "decide", _unwritable)
    listens(conversation, ["ticket://1"])
    assert conversation.to_server == []
    assert conversation.to_client[-1]["error"]["data"]["reason"] == "undecided"


async def test_an_acknowledgement_is_withheld_where_its_outcome_cannot_be_recorded(
    conversation: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    listens(conversation, ["ticket://1"])
    monkeypatch.setattr(conversation.turn.guard, "decide", _unwritable)
    acknowledges(conversation, "ticket://1")
    (told,) = conversation.to_client
    assert told["id"] == "sub"
    assert "could not be recorded" in told["error"]["message"]


async def test_the_events_after_an_acknowledgement_do_not_overtake_it(conversation: Conversation) -> None:
    listens(conversation, ["ticket://1"])
    tag = {"_meta": {SUBSCRIPTION: conversation.to_server[-1]["id"]}}
    for method in ("subscriptions/acknowledged", "resources/updated"):
        raw = json.dumps(
            {"jsonrpc": "2.0", "method": f"notifications/{method}", "params": {"uri": "ticket://1", **tag}}
        ).encode()
        conversation.session.server.judge(raw, conversation.from_endings)
    assert [one["method"].rpartition("/")[2] for one in conversation.to_client] == [
        "acknowledged",
        "updated",
    ]


@pytest.mark.parametrize(
    "wanted",
    [["ticket://1"], "ticket://1", {"resourceSubscriptions": [f"ticket://{n}" for n in range(1_025)]}],
)
async def test_a_listen_that_is_none_is_refused(conversation: Conversation, wanted: Any) -> None:
    params = {"notifications": wanted}
    conversation.client_says({"id": 1, "method": LISTEN, "params": params})
    assert conversation.to_client[-1]["error"]["code"] == -32602
    assert (conversation.to_server, decided(conversation.guard)) == ([], [])


# Before an older server: each is a `resources/subscribe`.


async def test_each_subscription_at_an_older_server_has_a_credential_for_just_that(bridge: Bridge) -> None:
    bridge.asks(LISTEN, notifications={"resourceSubscriptions": [*TICKETS, "secret://1"]})
    sent = bridge.sent("resources/subscribe")
    assert [one["params"]["uri"] for one in sent] == TICKETS
    scopes = [bridge.guard.issuer.verify(one["params"]["_meta"][CREDENTIAL]).scope for one in sent]
    assert scopes == [(f"desk/resource:{uri}",) for uri in TICKETS]
    for one in sent:
        bridge.hears({"id": one["id"], "result": {}})
    (told,) = bridge.to_client
    assert told["params"]["notifications"] == {"resourceSubscriptions": TICKETS}
    assert list(told["params"]["_meta"]["dev.hopward/refused"]) == ["secret://1"]
    assert outcomes(bridge.guard) == [(uri, "ok", "") for uri in TICKETS]


async def test_a_listen_that_was_refused_never_reaches_an_older_server(bridge: Bridge) -> None:
    asked = bridge.asks(LISTEN, notifications={"resourceSubscriptions": ["secret://1"]})
    assert bridge.to_server == []
    assert bridge.answer(asked)["error"]["data"]["reason"] == "tool_unclassified"


async def test_the_same_listen_of_another_chain_is_a_decision_of_its_own(bridge: Bridge) -> None:
    bridge.asks(LISTEN, notifications={"resourceSubscriptions": ["ticket://1"]})
    bridge.hears({"id": bridge.sent("resources/subscribe")[0]["id"], "result": {}})
    fallen = bridge.other()
    bridge.guard.complete_task(fallen.task)
    asked = bridge.asks(LISTEN, fallen, notifications={"resourceSubscriptions": ["ticket://1"]})
    assert "error" in bridge.answer(asked)
    assert [verdict for _, verdict in decided(bridge.guard)] == ["permit", "deny"]


async def test_a_remote_authority_is_asked_for_each_subscription(tmp_path: Path) -> None:
    async with asyncio.timeout(60), AsyncExitStack() as stack:
        port = free_port()
        config = install(tmp_path, stdio_server(tmp_path / "record"), authority=remote(port, 30))
        guard = stack.enter_context(opened(config))
        authority = stack.enter_context(opened(config, as_authority=True))
        await stack.enter_async_context(Impostor(port, lambda pairs: minted(authority, pairs)))
        endpoint = TokenEndpoint(guard)
        stack.push_async_callback(endpoint.close)
        bridge = met(Bridge(guard, authority=endpoint))
        bridge.asks(LISTEN, notifications={"resourceSubscriptions": TICKETS})
        while len(bridge.sent("resources/subscribe")) < len(TICKETS):
            await bridge.breath()
        sent = {one["params"]["uri"]: one["params"]["_meta"] for one in bridge.sent("resources/subscribe")}
        scopes = {uri: authority.issuer.verify(meta[CREDENTIAL]).scope for uri, meta in sent.items()}
        assert scopes == {uri: (f"desk/resource:{uri}",) for uri in TICKETS}


async def test_without_a_credential_nothing_is_subscribed_to(tmp_path: Path) -> None:
    async with asyncio.timeout(60), AsyncExitStack() as stack:
        config = install(tmp_path, stdio_server(tmp_path / "record"), authority=remote(free_port(), 1))
        guard = stack.enter_context(opened(config))
        endpoint = TokenEndpoint(guard)
        stack.push_async_callback(endpoint.close)
        bridge = met(Bridge(guard, authority=endpoint))
        bridge.asks(LISTEN, notifications={"toolsListChanged": True, "resourceSubscriptions": TICKETS})
        while not bridge.to_client:
            await bridge.breath()
        assert bridge.to_client[0]["params"]["notifications"] == {"toolsListChanged": True}
        assert bridge.to_server == []
        assert outcomes(guard) == [(uri, "error", "not_subscribed") for uri in TICKETS]


def _unwritable(*_: object) -> None:
    raise LedgerError("no disk", error="log_unavailable")


async def test_over_http_a_listen_is_one_subscription_each_and_nothing_of_another_scope(
    older: Fronted,
) -> None:
    server, token = older.servers["desk"], older.token()
    answered = await listening(older, token, [*TICKETS, "secret://1"])
    assert answered["params"]["notifications"] == {"resourceSubscriptions": TICKETS}
    sent = subscriptions(server)
    scopes = {uri: older.guard.issuer.verify(credential).scope for uri, credential in sent}
    assert scopes == {uri: (f"desk/resource:{uri}",) for uri in TICKETS}
    minted = [row.tool for row in rows(older.guard, "credential")]
    assert f"method:{LISTEN}" not in minted


def subscriptions(server: RecordingServer) -> list[tuple[str, str]]:
    """The MCP resources subscribed to, and the credential of each."""
    posted = [one for one in server.received if one.method == "POST"]
    asked = [one for one in posted if one.message.get("method") == "resources/subscribe"]
    return [
        (one.message["params"]["uri"], str(one.header("authorization")).removeprefix("Bearer "))
        for one in asked
    ]


async def listening(older: Fronted, token: str, uris: list[str]) -> dict[str, Any]:
    """What a listen over HTTP is acknowledged with."""
    meta = {
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    params = {"notifications": {"resourceSubscriptions": uris}, "_meta": meta}
    headers = {
        "Authorization": f"Bearer {token}",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": MODERN,
        "Mcp-Method": LISTEN,
    }
    body = {"jsonrpc": "2.0", "id": "sub", "method": LISTEN, "params": params}
    async with older.client.post(f"{older.base}/desk/mcp", json=body, headers=headers) as response:
        event = await response.content.readuntil(b"\r\n\r\n")
    data = next(line for line in event.splitlines() if line.startswith(b"data: "))
    return json.loads(data.removeprefix(b"data: "))


def wants(bridge: Bridge, uri: str = "ticket://1") -> int:
    """A listen for one MCP resource; its id."""
    return bridge.asks(LISTEN, notifications={"resourceSubscriptions": [uri]})


def acknowledged(bridge: Bridge) -> dict[int, list[str]]:
    """What each listen has been acknowledged with."""
    method = "notifications/subscriptions/acknowledged"
    told = [one["params"] for one in bridge.to_client if one.get("method") == method]
    return {one["_meta"][SUBSCRIPTION]: one["notifications"].get("resourceSubscriptions", []) for one in told}


def answers(bridge: Bridge, verb: str, error: dict[str, Any] | None = None) -> None:
    """The server answers the last `resources/VERB`."""
    answer = {"result": {}} if error is None else {"error": error}
    bridge.hears({"id": bridge.sent(f"resources/{verb}")[-1]["id"], **answer})


REFUSED = {"code": -32602, "message": "no such"}


async def test_a_second_listen_is_acknowledged_only_when_the_server_has_answered_the_first(
    bridge: Bridge,
) -> None:
    first, second = wants(bridge), wants(bridge)
    assert len(bridge.sent("resources/subscribe")) == 1
    assert bridge.to_client == []
    answers(bridge, "subscribe")
    assert acknowledged(bridge) == {first: ["ticket://1"], second: ["ticket://1"]}


async def test_what_the_server_refuses_one_listen_is_asked_for_anew_by_the_next(bridge: Bridge) -> None:
    first, second = wants(bridge), wants(bridge)
    answers(bridge, "subscribe", REFUSED)
    assert acknowledged(bridge) == {first: []}
    one, other = bridge.sent("resources/subscribe")
    assert one["params"]["_meta"][CREDENTIAL] != other["params"]["_meta"][CREDENTIAL]
    answers(bridge, "subscribe")
    assert acknowledged(bridge) == {first: [], second: ["ticket://1"]}
    bridge.hears({"method": "notifications/resources/updated", "params": {"uri": "ticket://1"}})
    assert bridge.to_client[-1]["params"]["_meta"][SUBSCRIPTION] == second


async def test_a_subscription_that_was_refused_is_not_counted(bridge: Bridge) -> None:
    first = wants(bridge)
    answers(bridge, "subscribe", REFUSED)
    second = wants(bridge)
    assert len(bridge.sent("resources/subscribe")) == 2
    assert acknowledged(bridge) == {first: []}
    answers(bridge, "subscribe", REFUSED)
    bridge.says({"method": "notifications/cancelled", "params": {"requestId": first}})
    bridge.says({"method": "notifications/cancelled", "params": {"requestId": second}})
    assert bridge.sent("resources/unsubscribe") == []


async def test_a_listen_that_leaves_before_the_answer_leaves_nothing_subscribed(bridge: Bridge) -> None:
    first, second = wants(bridge), wants(bridge)
    for key in (first, second):
        bridge.says({"method": "notifications/cancelled", "params": {"requestId": key}})
    assert bridge.sent("resources/unsubscribe") == []
    answers(bridge, "subscribe")
    assert len(bridge.sent("resources/unsubscribe")) == 1
    third = wants(bridge)
    assert len(bridge.sent("resources/subscribe")) == 1
    answers(bridge, "unsubscribe")
    assert len(bridge.sent("resources/subscribe")) == 2
    assert acknowledged(bridge) == {}
    answers(bridge, "subscribe")
    assert acknowledged(bridge) == {third: ["ticket://1"]}


async def test_a_listen_that_stays_keeps_what_one_that_left_had_asked_for(bridge: Bridge) -> None:
    first, second = wants(bridge), wants(bridge)
    bridge.says({"method": "notifications/cancelled", "params": {"requestId": first}})
    answers(bridge, "subscribe")
    assert acknowledged(bridge) == {second: ["ticket://1"]}
    assert bridge.sent("resources/unsubscribe") == []


async def test_a_thousand_listens_that_get_no_credential_are_all_answered(
    bridge: Bridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [wants(bridge) for _ in range(1_000)]
    monkeypatch.setattr(bridge.gate.guard, "mint", _unminted)
    answers(bridge, "subscribe", REFUSED)
    while len(acknowledged(bridge)) < len(keys):
        await bridge.breath()
    assert set(map(tuple, acknowledged(bridge).values())) == {()}


def _unminted(*_: object) -> str:
    raise LedgerError("no disk", error="log_unavailable")
