"""How MCP proxies, gateways and SDKs were broken, each tried on ours before servers that record raw bytes.

The rows of the advisories page this covers stand in the docstrings, with their published ids.
"""

import asyncio
import json
import math
from collections import Counter
from typing import Any

import aiohttp
import pytest
from proxies.fronting import Fronted, modern_call
from proxies.installation import rows

from hopward import Guard, capability, revocation
from hopward.classification import Classifications
from hopward.identity import Identifier
from hopward.issuer import Issuer
from hopward.ledger import SqliteLedger
from hopward.policies import PolicyStore
from hopward_mcp import client_side, endpoint, front
from hopward_mcp.front import Front
from hopward_mcp.gate import Gate
from hopward_mcp.http_sessions import HttpSessions
from hopward_mcp.turn import Turn

LEGACY_CALL = '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":%s}'


async def test_case_variant_keys_never_reach_the_server(fronted: Fronted) -> None:
    """Row 1: GHSA-4gph-2hhr-5mwg, GO-2026-5121 (Envoy AI Gateway)."""
    token = fronted.token()
    for params in (
        '{"name":"greet","Name":"hidden","arguments":{}}',
        '{"Name":"hidden","name":"greet"}',
        '{"name":"greet","arguments":{},"Arguments":{"x":1}}',
        '{"name":"greet","arguments":{"deep":[{"key":1,"Key":2}]}}',
    ):
        answered = await fronted.post(token, (LEGACY_CALL % params).encode())
        assert answered.status == 400
        assert answered.message["error"]["code"] == -32600
    assert fronted.servers["desk"].received == []
    assert (await fronted.post(token, (LEGACY_CALL % '{"name":"greet"}').encode())).status == 200


async def test_a_key_that_differs_only_in_case_is_refused(fronted: Fronted) -> None:
    """Row 2: CVE-2026-27896, GO-2026-4569 (MCP Go SDK)."""
    token = fronted.token()
    for raw in (
        '{"jsonrpc":"2.0","id":1,"Method":"tools/call","params":{"name":"greet"}}',
        '{"jsonrpc":"2.0","id":1,"method":"tools/call","PARAMS":{"name":"greet"}}',
        '{"jsonRPC":"2.0","id":1,"method":"tools/call","params":{"name":"greet"}}',
        '{"jsonrpc":"2.0","ID":1,"method":"tools/call","params":{"name":"greet"}}',
    ):
        answered = await fronted.post(token, raw.encode())
        assert (answered.status, answered.message["error"]["code"]) == (400, -32600), raw
    assert fronted.servers["desk"].received == []


async def test_knowing_a_server_id_grants_nothing(fronted: Fronted) -> None:
    """Row 4: GHSA-vw82-7fv8-r6gp, GO-2026-5678 (Obot)."""
    token = fronted.token("other")
    for message in (
        {"id": 1, "method": "initialize", "params": {}},
        {"id": 1, "method": "tools/list"},
        {"id": 1, "method": "tools/call", "params": {"name": "echo"}},
    ):
        assert (await fronted.post(token, message)).status == 401
    assert fronted.servers["desk"].received == []


CHECKS = [
    (Identifier, "identify"),
    (Guard, "identify"),
    (Guard, "decide"),
    (Guard, "mint"),
    (Front, "_is_ours"),
    (Gate, "read_client"),
    (front, "read"),
    (endpoint, "agree"),
    (Turn, "authorize"),
    (client_side, "target"),
    (SqliteLedger, "standing"),
    (SqliteLedger, "record"),
    (Classifications, "find"),
    (PolicyStore, "current"),
    (Issuer, "plan"),
    (Issuer, "mint"),
    (capability, "covers_any"),
    (revocation, "why_fallen"),
]


@pytest.mark.parametrize(("place", "name"), CHECKS, ids=[f"{p.__name__}.{n}" for p, n in CHECKS])
async def test_an_exception_in_any_check_is_a_denial(
    fronted: Fronted, monkeypatch: pytest.MonkeyPatch, place: Any, name: str
) -> None:
    """Row 5: CVE-2026-12773 (LiteLLM MCP proxy)."""
    token = fronted.token()
    assert hasattr(place, name)

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("injected: secret detail")

    with monkeypatch.context() as patched:
        patched.setattr(place, name, broken)
        answered = await fronted.call(token, "echo")
    refused = answered.status >= 400 or "error" in answered.message or answered.message["result"]["isError"]
    assert refused
    assert fronted.servers["desk"].calls == []
    assert b"secret detail" not in answered.body
    assert (await fronted.call(token, "echo")).message["result"]["vendor"] == 1


LISTINGS = [
    ("tools/list", "tools"),
    ("resources/list", "resources"),
    ("resources/templates/list", "resourceTemplates"),
    ("prompts/list", "prompts"),
]


@pytest.mark.parametrize(("method", "items"), LISTINGS)
async def test_an_exception_while_listing_lists_nothing(
    fronted: Fronted, monkeypatch: pytest.MonkeyPatch, method: str, items: str
) -> None:
    """Row 6: the audit of LiteLLM's get_allowed_mcp_servers()."""
    token = fronted.token()
    if method == "tools/list":
        assert (await fronted.post(token, {"id": 1, "method": method})).message["result"][items]

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("injected")

    for place, name in ((Guard, "visible"), (SqliteLedger, "standing"), (Classifications, "find")):
        with monkeypatch.context() as patched:
            patched.setattr(place, name, broken)
            answered = await fronted.post(token, {"id": 1, "method": method})
        assert answered.message.get("result", {items: []})[items] == []
        assert b"injected" not in answered.body


FOREIGN = [
    {"Host": "evil.example"},
    {"Host": "127.0.0.1.evil.example"},
    {"Host": "localhost:1"},
    {"Host": ""},
    {"Origin": "http://evil.example"},
    {"Origin": "null"},
    {"Origin": ""},
]


@pytest.mark.parametrize("foreign", FOREIGN, ids=str)
async def test_every_surface_refuses_a_foreign_host_or_origin(
    fronted: Fronted, foreign: dict[str, str]
) -> None:
    """Row 11: CVE-2025-64443; CVE-2025-66414, CVE-2025-66416; CVE-2026-34742; CVE-2026-35568; CVE-2026-9739,
    CVE-2026-11624 (DNS rebinding in several gateways and SDKs)."""
    authorized = {"Authorization": f"Bearer {fronted.token()}"}
    for path in (*fronted.app.public_routes, *fronted.app.guarded_routes, "/anything"):
        for method in ("GET", "POST", "DELETE"):
            answered = await fronted.send(method, path, authorized | foreign)
            assert answered.status == 403, (method, path)
    assert fronted.servers["desk"].received == []


async def test_equal_request_ids_never_cross_between_clients(fronted: Fronted) -> None:
    """Row 12: CVE-2026-25536 (MCP TypeScript SDK)."""
    clients, calls = 200, 3

    async def client(number: int) -> None:
        token = fronted.token(subject=f"caller-{number}")
        session = {"Mcp-Session-Id": await fronted.initialize(token)} if number % 2 else None
        for message_id in range(calls):
            secret = f"secret-{number}-{message_id}"
            if session is None:
                tool = "stream" if number % 4 else "echo"
                answered = await fronted.call(token, tool, {"text": secret}, message_id=message_id)
            else:
                params = {"name": "echo", "arguments": {"text": secret}}
                message = {"id": message_id, "method": "tools/call", "params": params}
                answered = await fronted.post(token, message, session)
            told = answered.body.decode()
            assert secret in told
            assert told.count("secret-") == 1

    await asyncio.gather(*(client(number) for number in range(clients)))
    assert len(fronted.servers["desk"].calls) == clients * calls


async def test_a_second_stream_cannot_take_over_a_session(fronted: Fronted) -> None:
    """Row 13: CVE-2026-33946 (MCP Ruby SDK)."""
    victim, attacker = fronted.token(subject="victim"), fronted.token(subject="attacker")
    session = {"Mcp-Session-Id": await fronted.initialize(victim)}
    stream = {"Authorization": f"Bearer {victim}", "Accept": "text/event-stream", **session}
    async with aiohttp.ClientSession() as client:
        response = await client.get(f"{fronted.base}/desk/mcp", headers=stream)
        await response.content.readuntil(b"\r\n\r\n")
        for method in ("GET", "DELETE", "POST"):
            stolen = {"Authorization": f"Bearer {attacker}", "Content-Type": "application/json", **session}
            body = b'{"jsonrpc":"2.0","id":1,"method":"ping"}' if method == "POST" else None
            assert (await fronted.send(method, "/desk/mcp", stolen, body)).status == 404
        fronted.servers["desk"].release.set()
        assert await response.content.read() == b""
        assert response.status == 200
    assert [one.method for one in fronted.servers["desk"].received] == ["POST", "GET"]
    assert (await fronted.post(victim, {"id": 1, "method": "ping"}, session)).status == 200
    assert [row.reason for row in rows(fronted.guard, "refusal")] == ["unknown_session"] * 3


async def test_a_task_of_the_same_subject_is_another_principal(fronted: Fronted) -> None:
    """Row 13, once more: a session belongs to subject, actors and task together."""
    first, second = fronted.token(subject="alice"), fronted.token(subject="alice")
    session = {"Mcp-Session-Id": await fronted.initialize(first)}
    assert (await fronted.post(second, {"id": 1, "method": "ping"}, session)).status == 404


async def test_session_ids_are_unpredictable(fronted: Fronted) -> None:
    """Row 14: CVE-2025-6515 (oatpp-mcp)."""
    chain = fronted.guard.enter(fronted.guard.open_task("tickets", "alice").id)
    sessions = HttpSessions(lambda: 0.0)
    ids = [sessions.open(f"upstream-{n}", chain, session=_Ended()).id for n in range(20_000)]  # type: ignore[arg-type]
    assert len(set(ids)) == len(ids)
    assert {len(one) for one in ids} == {43}
    for position in range(42):
        counts = Counter(one[position] for one in ids)
        entropy = -sum(n / len(ids) * math.log2(n / len(ids)) for n in counts.values())
        assert entropy > 5.9, position


class _Ended:
    """A session with nothing under way."""

    class endings:
        @staticmethod
        def fail_all(*_: object) -> None:
            pass


async def test_two_callers_never_share_an_upstream_credential(fronted: Fronted) -> None:
    """Row 16: CVE-2026-48529, GO-2026-5779 (GitHub MCP server)."""
    tokens = {name: fronted.token(subject=name) for name in ("ana", "ben", "cho", "dee")}

    async def call(name: str, number: int) -> None:
        await fronted.call(tokens[name], "stream" if number % 2 else "echo", {"caller": name})

    await asyncio.gather(*(call(name, number) for number in range(25) for name in tokens))
    seen = set()
    for received in fronted.servers["desk"].calls:
        credential = (received.header("authorization") or "").removeprefix("Bearer ")
        claims = fronted.guard.issuer.verify(credential)
        assert claims.subject == received.message["params"]["arguments"]["caller"]
        seen.add(credential)
    assert len(seen) == 100


async def test_every_route_answers_401_without_a_token(fronted: Fronted) -> None:
    """Row 23: CVE-2026-33032 (nginx-ui)."""
    assert set(fronted.app.public_routes) == {
        "/healthz",
        "/readyz",
        "/.well-known/oauth-protected-resource/desk/mcp",
        "/.well-known/oauth-protected-resource/other/mcp",
    }
    assert set(fronted.app.guarded_routes) == {"/desk/mcp", "/other/mcp"}
    body = json.dumps({"jsonrpc": "2.0", **modern_call("echo")[0]}).encode()
    for path in fronted.app.guarded_routes:
        for method in ("GET", "POST", "DELETE", "PUT", "OPTIONS", "HEAD"):
            assert (await fronted.send(method, path, modern_call("echo")[1], body)).status == 401, (
                method,
                path,
            )
    for path in ("/desk/mcp/", "/desk", "/DESK/mcp", "//desk/mcp", "/desk/mcp/x", "/", "/desk/%6dcp/.."):
        assert (await fronted.send("POST", path, modern_call("echo")[1], body)).status in (401, 404), path
    assert all(server.received == [] for server in fronted.servers.values())


@pytest.mark.parametrize("modern", [False, True], ids=["2025-11-25", "2026-07-28"])
async def test_mcp_tasks_of_another_caller_are_invisible(fronted: Fronted, modern: bool) -> None:
    """Row 15: CVE-2026-52870, GHSA-hvrp-rf83-w775 (MCP Python SDK)."""
    victim, attacker = fronted.token(subject="victim"), fronted.token(subject="attacker")
    sessions = {} if modern else {one: await fronted.initialize(one) for one in (victim, attacker)}

    async def ask(token: str, method: str, **params: Any) -> Any:
        headers = {} if modern else {"Mcp-Session-Id": sessions[token]}
        if modern:
            call, headers = modern_call("later")
            name = params.get("name", params.get("taskId"))
            params["_meta"] = call["params"]["_meta"]
            headers = headers | {"Mcp-Method": method, "Mcp-Name": name or "none"}
        return (await fronted.post(token, {"id": 1, "method": method, "params": params}, headers)).message

    tasked = {} if modern else {"task": {}}
    made = (await ask(victim, "tools/call", name="later", arguments={}, **tasked))["result"]
    task_id = made["taskId"] if modern else made["task"]["taskId"]
    before = len(fronted.servers["desk"].received)
    for method in ("tasks/get", "tasks/result", "tasks/cancel", "tasks/update"):
        foreign = await ask(attacker, method, taskId=task_id)
        assert foreign["error"] == (await ask(attacker, method, taskId="no-such-task"))["error"]
    assert len(fronted.servers["desk"].received) == before
    if modern:
        # Lists and results of tasks are the older era's alone.
        assert (await ask(victim, "tasks/list"))["error"]["code"] == -32601
        assert task_id in json.dumps((await ask(victim, "tasks/get", taskId=task_id))["result"])
    else:
        assert (await ask(attacker, "tasks/list"))["result"]["tasks"] == []
        assert [task["taskId"] for task in (await ask(victim, "tasks/list"))["result"]["tasks"]] == [task_id]
        assert task_id in json.dumps((await ask(victim, "tasks/result", taskId=task_id))["result"])
    if modern:
        named = {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tasks/get", "Mcp-Name": "another"}
        params = {"taskId": task_id, "_meta": modern_call("later")[0]["params"]["_meta"]}
        message = {"id": 1, "method": "tasks/get", "params": params}
        assert (await fronted.post(victim, message, named)).message["error"]["code"] == -32020
    again = (await ask(attacker, "tools/call", name="later", arguments={}, **tasked))["result"]
    assert task_id not in json.dumps(again)


async def test_a_server_that_gives_one_task_to_two_callers_gives_it_to_the_first(fronted: Fronted) -> None:
    """Row 15, from the server's side: an id that is another's opens nothing, and its answer is withheld."""
    victim, attacker = fronted.token(subject="victim"), fronted.token(subject="attacker")
    mine = (await fronted.call(victim, "later")).message["result"]["taskId"]
    fronted.servers["desk"].tasks.clear()
    assert mine not in (await fronted.call(attacker, "later")).body.decode()
    outcomes = [row.record["outcome"]["error"] for row in rows(fronted.guard, "outcome")]
    assert outcomes == ["mcp_task_made", "mcp_task_unrecorded"]
