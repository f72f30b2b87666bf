"""The HTTP front as a caller sees it: real sockets on both sides, servers that record every request."""

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from multidict import CIMultiDict

from .fronting import LEGACY, MODERN, Fronted, front, modern_call
from .installation import caller_token, rows


async def test_a_modern_call_goes_the_whole_way(fronted: Fronted) -> None:
    answered = await fronted.call(fronted.token(), "echo", {"x": 1}, message_id="abc")
    assert answered.status == 200
    assert answered.message["id"] == "abc"
    assert answered.message["result"]["vendor"] == 1
    assert [row.reason for row in rows(fronted.guard, "outcome")] == ["ok"]


async def test_only_an_allow_list_of_headers_goes_upstream_and_never_the_callers_token(
    fronted: Fronted,
) -> None:
    token = fronted.token()
    message, headers = modern_call("echo", {"region": "eu"})
    extra = {
        "Cookie": "session=secret",
        "X-Forwarded-For": "6.6.6.6",
        "Mcp-Param-Region": "eu",
        "traceparent": "00-1-2-01",
        "X-Vendor": "no",
        "Mcp-Session-Id": "made-up",
    }
    await fronted.post(token, message, headers | extra)
    received = fronted.servers["desk"].received[0]
    names = {name.lower() for name, _ in received.headers}
    assert names == {
        *("host", "accept", "accept-encoding", "content-type", "content-length", "authorization"),
        *("mcp-protocol-version", "mcp-method", "mcp-name", "mcp-param-region", "traceparent"),
    }
    assert token not in json.dumps(received.headers)
    assert (received.header("authorization") or "").startswith("Bearer ey")


async def test_every_call_gets_a_credential_of_its_own_for_its_server(fronted: Fronted) -> None:
    token = fronted.token()
    for _ in range(2):
        await fronted.call(token, "echo")
    await fronted.call(fronted.token("other"), "echo", server="other")
    desk = [call.header("authorization") for call in fronted.servers["desk"].calls]
    other = [call.header("authorization") for call in fronted.servers["other"].calls]
    assert len({*desk, *other}) == 3
    audiences = [
        row.record["credential"]["audience"] for row in rows(fronted.guard, "credential") if row.decision
    ]
    assert audiences == ["urn:example:desk", "urn:example:desk", "urn:example:other"]


async def test_every_other_request_carries_a_credential_that_opens_no_tool(fronted: Fronted) -> None:
    token = fronted.token()
    session = {"Mcp-Session-Id": await fronted.initialize(token)}
    await fronted.post(token, {"method": "notifications/initialized"}, session)
    await fronted.post(token, {"id": 2, "method": "tools/list"}, session)
    await fronted.send("DELETE", "/desk/mcp", {"Authorization": f"Bearer {token}"} | session)
    received = [request.header("authorization") for request in fronted.servers["desk"].received]
    assert len({*received}) == len(received) >= 4
    assert None not in received
    scopes = [row.record["credential"]["scope"] for row in rows(fronted.guard, "credential")]
    named = ("initialize", "notifications/initialized", "tools/list", "DELETE")
    assert {f"desk/method:{name}" for name in named} <= {*scopes}


async def test_a_request_that_calls_nothing_is_refused_once_the_task_has_ended(fronted: Fronted) -> None:
    token = fronted.token()
    session = {"Mcp-Session-Id": await fronted.initialize(token)}
    task = rows(fronted.guard, "credential")[-1].task
    fronted.guard.complete_task(task)
    before = len(fronted.servers["desk"].received)
    answered = await fronted.post(token, {"id": 2, "method": "tools/list"}, session)
    assert "The task is completed" in answered.message["error"]["message"]
    assert len(fronted.servers["desk"].received) == before


async def test_a_refused_call_is_a_tool_error_and_reaches_no_server(fronted: Fronted) -> None:
    answered = await fronted.call(fronted.token(), "refund", {"amount": 100})
    assert answered.status == 200
    assert answered.message["result"]["isError"] is True
    assert fronted.servers["desk"].calls == []


async def test_a_token_is_good_for_exactly_one_endpoint(fronted: Fronted) -> None:
    answered = await fronted.call(fronted.token("other"), "echo")
    assert answered.status == 401
    assert 'error="invalid_token"' in answered.headers["www-authenticate"]
    assert fronted.servers["desk"].received == []
    assert [row.reason for row in rows(fronted.guard, "refusal")] == ["wrong_audience"]


async def test_without_a_token_the_challenge_leads_to_the_authority(fronted: Fronted) -> None:
    answered = await fronted.send("POST", "/desk/mcp", {"Content-Type": "application/json"}, b"{}")
    assert answered.status == 401
    metadata = f"{fronted.base}/.well-known/oauth-protected-resource/desk/mcp"
    challenge = answered.headers["www-authenticate"]
    assert challenge == f'Bearer resource_metadata="{metadata}", scope="desk/*", DPoP algs="ES256 EdDSA"'
    described = (await fronted.send("GET", metadata.removeprefix(fronted.base), {})).message
    assert described["resource"] == f"{fronted.base}/desk/mcp"
    assert described["authorization_servers"] == ["http://127.0.0.1:8700"]
    assert described["bearer_methods_supported"] == ["header"]


@pytest.mark.parametrize(
    "value", ["Basic abc", "Bearer", "Bearer a b", "bearer\tx", "ey.not.bearer", "Bearer é"]
)
async def test_what_is_no_bearer_token_is_refused(fronted: Fronted, value: str) -> None:
    answered = await fronted.send("POST", "/desk/mcp", {"Authorization": value}, b"{}")
    assert answered.status == 401


async def test_a_token_in_the_query_is_no_token(fronted: Fronted) -> None:
    answered = await fronted.send("POST", f"/desk/mcp?access_token={fronted.token()}", {}, b"{}")
    assert answered.status == 401


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"Mcp-Method": "tools/list"}, -32020),
        ({"Mcp-Method": ""}, -32020),
        ({"Mcp-Name": "hidden"}, -32020),
        ({"Mcp-Name": "=?base64?aGlkZGVu?="}, -32020),
        ({"Mcp-Name": "=?base64?!!!?="}, -32020),
        ({"MCP-Protocol-Version": LEGACY}, -32020),
        ({"MCP-Protocol-Version": ""}, -32022),
        ({"MCP-Protocol-Version": "2099-01-01"}, -32022),
    ],
)
async def test_headers_that_do_not_agree_with_the_body_are_refused(
    fronted: Fronted, changes: dict[str, str], code: int
) -> None:
    message, headers = modern_call("echo")
    answered = await fronted.post(fronted.token(), message, headers | changes)
    assert (answered.status, answered.message["error"]["code"]) == (400, code)
    assert answered.message["id"] == 1
    assert fronted.servers["desk"].received == []


@pytest.mark.parametrize("missing", ["Mcp-Method", "Mcp-Name", "MCP-Protocol-Version"])
async def test_headers_that_repeat_the_body_must_be_there(fronted: Fronted, missing: str) -> None:
    message, headers = modern_call("echo")
    del headers[missing]
    answered = await fronted.post(fronted.token(), message, headers)
    assert (answered.status, answered.message["error"]["code"]) == (400, -32020)


@pytest.mark.parametrize("meta", [None, {}, {"io.modelcontextprotocol/clientCapabilities": {}}])
async def test_a_body_that_does_not_name_its_version_has_wrong_parameters(
    fronted: Fronted, meta: dict[str, Any] | None
) -> None:
    message, headers = modern_call("echo")
    del message["params"]["_meta"]
    if meta is not None:
        message["params"]["_meta"] = meta
    answered = await fronted.post(fronted.token(), message, headers)
    assert (answered.status, answered.message["error"]["code"]) == (400, -32602)
    assert fronted.servers["desk"].received == []


async def test_an_unknown_version_is_told_those_that_a_request_may_name(fronted: Fronted) -> None:
    message, headers = modern_call("echo")
    message["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] = "2099-01-01"
    answered = await fronted.post(fronted.token(), message, headers | {"MCP-Protocol-Version": "2099-01-01"})
    assert answered.message["error"]["data"] == {"supported": ["2026-07-28"], "requested": "2099-01-01"}


@pytest.mark.parametrize("params", [{}, {"uri": "ticket://7"}, {"uri": 7}])
@pytest.mark.parametrize(
    "method",
    [
        *("initialize", "ping", "logging/setLevel", "resources/subscribe", "resources/unsubscribe"),
        *("tasks/list", "tasks/result"),
    ],
)
async def test_what_only_a_session_can_be_asked_is_unknown_to_the_stateless_era(
    fronted: Fronted, method: str, params: dict[str, Any]
) -> None:
    message, headers = modern_call("echo")
    message = {"id": 1, "method": method, "params": {**params, "_meta": message["params"]["_meta"]}}
    answered = await fronted.post(fronted.token(), message, headers | {"Mcp-Method": method})
    assert (answered.status, answered.message["error"]["code"]) == (404, -32601)
    assert fronted.servers["desk"].received == []


ARGUMENTS = {
    "region": "eu",
    "n": 42,
    "f": 0.5,
    "yes": True,
    "no": None,
    "in": {"city": "Köln"},
    "list": ["x"],
}


@pytest.mark.parametrize(
    ("value", "status"),
    [
        *((good, 200) for good in ("eu", "=?base64?ZXU=?=", "42", "42.0", "0.5", "5e-1", "true")),
        ("=?base64?S8O2bG4=?=", 200),
        *(
            (bad, 400)
            for bad in ("us", "EU", "", "43", "false", "True", "None", "null", "x", "1", "=?base64?!?=")
        ),
        *((bad, 400) for bad in ("Köln", "42 ", "eu, us", "+42", "1" * 500, "nan")),
    ],
)
async def test_a_parameter_header_says_nothing_that_no_argument_says(
    fronted: Fronted, value: str, status: int
) -> None:
    message, headers = modern_call("echo", ARGUMENTS)
    head = {**headers, "Authorization": f"Bearer {fronted.token()}", "Content-Type": "application/json"}
    head |= {"Host": fronted.base.removeprefix("http://"), "Connection": "close", "Mcp-Param-X": value}
    body = json.dumps({"jsonrpc": "2.0", **message}).encode()
    head["Content-Length"] = str(len(body))
    lines = "".join(f"{name}: {content}\r\n" for name, content in head.items())
    host, _, port = head["Host"].partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"POST /desk/mcp HTTP/1.1\r\n" + lines.encode("latin-1") + b"\r\n" + body)
    answer = await reader.read()
    writer.close()
    assert answer.split(b" ")[1] == str(status if value != "42 " else 200).encode()
    assert (b"-32020" in answer) == (b" 400 " in answer)
    assert len(fronted.servers["desk"].calls) == answer.count(b" 200 ")


async def test_a_notification_carries_no_parameter_headers(fronted: Fronted) -> None:
    message = {"method": "notifications/progress", "params": {"progressToken": 1}}
    headers = {"MCP-Protocol-Version": MODERN, "Mcp-Method": message["method"], "Mcp-Param-X": "us"}
    assert (await fronted.post(fronted.token(), message, headers)).status == 202
    received = fronted.servers["desk"].received[0]
    assert (received.header("mcp-method"), received.header("mcp-param-x")) == (message["method"], None)


async def test_a_header_that_is_not_ascii_goes_no_further(fronted: Fronted) -> None:
    message, headers = modern_call("echo")
    await fronted.post(fronted.token(), message, headers | {"tracestate": "a=é", "traceparent": "00-1-2-01"})
    received = fronted.servers["desk"].calls[0]
    assert (received.header("tracestate"), received.header("traceparent")) == (None, "00-1-2-01")


async def test_a_body_that_would_have_to_be_unpacked_is_refused(fronted: Fronted) -> None:
    message, headers = modern_call("echo")
    for encoding, status in (("gzip", 415), ("identity, gzip", 415), ("identity", 200)):
        answered = await fronted.post(fronted.token(), message, headers | {"Content-Encoding": encoding})
        assert answered.status == status, encoding


async def test_a_name_in_the_base64_sentinel_agrees_with_the_name_it_stands_for(fronted: Fronted) -> None:
    message, headers = modern_call("echo")
    answered = await fronted.post(fronted.token(), message, headers | {"Mcp-Name": "=?base64?ZWNobw==?="})
    assert answered.status == 200
    assert fronted.servers["desk"].calls[0].header("mcp-name") == "echo"


async def test_an_event_stream_is_judged_event_by_event_and_keeps_its_ids(fronted: Fronted) -> None:
    answered = await fronted.call(fronted.token(), "stream", {"x": 1})
    assert answered.headers["content-type"] == "text/event-stream"
    assert [event.get("method", "answer") for event in answered.events] == [
        "notifications/progress",
        "answer",
    ]
    assert b"id: e-1\r\n" in answered.body
    assert b"id: e-9\r\n" in answered.body
    assert "set-cookie" not in answered.headers
    assert "x-upstream" not in answered.headers
    assert [row.reason for row in rows(fronted.guard, "outcome")] == ["ok"]


async def test_a_legacy_session_gets_an_id_of_ours_for_the_servers(fronted: Fronted) -> None:
    token = fronted.token()
    session = await fronted.initialize(token)
    assert "upstream" not in session
    headers = {"Mcp-Session-Id": session, "MCP-Protocol-Version": LEGACY}
    assert (await fronted.post(token, {"method": "notifications/initialized"}, headers)).status == 202
    listed = await fronted.post(token, {"id": 1, "method": "tools/list"}, headers)
    assert [tool["name"] for tool in listed.message["result"]["tools"]] == ["echo", "stream"]
    called = await fronted.post(token, {"id": 2, "method": "tools/call", "params": {"name": "echo"}}, headers)
    assert called.message["id"] == 2
    sessions = [one.header("mcp-session-id") for one in fronted.servers["desk"].received]
    assert sessions == [None, "upstream-1", "upstream-1", "upstream-1"]


async def test_a_deleted_session_is_gone(fronted: Fronted) -> None:
    token = fronted.token()
    session = await fronted.initialize(token)
    headers = {"Authorization": f"Bearer {token}", "Mcp-Session-Id": session}
    assert (await fronted.send("DELETE", "/desk/mcp", headers)).status == 204
    assert fronted.servers["desk"].received[-1].method == "DELETE"
    assert (await fronted.post(token, {"id": 1, "method": "ping"}, {"Mcp-Session-Id": session})).status == 404
    assert (await fronted.send("GET", "/desk/mcp", headers)).status == 404


async def test_the_servers_requests_reach_the_client_of_the_session_and_come_back(fronted: Fronted) -> None:
    token = fronted.token()
    headers = {"Mcp-Session-Id": await fronted.initialize(token)}
    answered = await fronted.post(
        token, {"id": 1, "method": "tools/call", "params": {"name": "ask"}}, headers
    )
    asked = next(event for event in answered.events if event.get("method") == "roots/list")
    assert "elicitation/create" not in answered.body.decode()
    assert (await fronted.post(token, {"id": asked["id"], "result": {"roots": []}}, headers)).status == 202
    answers = [one.message for one in fronted.servers["desk"].received if "method" not in one.message]
    assert {"jsonrpc": "2.0", "id": 7, "result": {"roots": []}} in answers
    assert any(answer["id"] == 8 and answer["error"]["code"] == -32601 for answer in answers)


async def test_the_stream_of_a_session_brings_notifications_until_the_client_leaves(fronted: Fronted) -> None:
    token = fronted.token()
    headers = {"Authorization": f"Bearer {token}", "Mcp-Session-Id": await fronted.initialize(token)}
    headers |= {"Accept": "text/event-stream", "Last-Event-ID": "g-0"}
    fronted.servers["desk"].broken.clear()
    async with aiohttp.ClientSession() as client:
        response = await client.get(f"{fronted.base}/desk/mcp", headers=headers)
        assert response.status == 200
        assert b"list_changed" in await response.content.readuntil(b"\r\n\r\n")
        assert fronted.servers["desk"].received[-1].header("last-event-id") == "g-0"
        response.close()
    # The server sees its stream closed, though it has not ended it.
    await asyncio.wait_for(fronted.servers["desk"].broken.wait(), 20)


async def test_a_modern_caller_that_leaves_has_cancelled_its_call(fronted: Fronted) -> None:
    server = fronted.servers["desk"]
    message, headers = modern_call("slow")
    body = json.dumps({"jsonrpc": "2.0", **message}).encode()
    headers |= {"Authorization": f"Bearer {fronted.token()}", "Content-Type": "application/json"}
    async with aiohttp.ClientSession() as client:
        response = await client.post(f"{fronted.base}/desk/mcp", headers=headers, data=body)
        await response.content.readuntil(b"\r\n\r\n")
        response.close()
    await asyncio.wait_for(server.broken.wait(), 20)
    while not rows(fronted.guard, "outcome"):
        await asyncio.sleep(0)
    assert [row.reason for row in rows(fronted.guard, "outcome")] == ["cancelled"]


async def test_a_legacy_caller_that_leaves_has_not_cancelled_its_call(fronted: Fronted) -> None:
    server, token = fronted.servers["desk"], fronted.token()
    headers = {"Mcp-Session-Id": await fronted.initialize(token), "Authorization": f"Bearer {token}"}
    headers |= {"Content-Type": "application/json"}
    call = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"slow"}}'
    async with aiohttp.ClientSession() as client:
        response = await client.post(f"{fronted.base}/desk/mcp", headers=headers, data=call)
        await response.content.readuntil(b"\r\n\r\n")
        response.close()
    server.release.set()
    while not rows(fronted.guard, "outcome"):
        await asyncio.sleep(0)
    assert [row.reason for row in rows(fronted.guard, "outcome")] == ["ok"]


BAD: list[tuple[bytes, int, int]] = [
    (b"{not json", 400, -32700),
    (b"\xff\xfe", 400, -32700),
    (b"", 400, -32700),
    (b"[" * 60_000, 400, -32700),
    (b'{"a":' * 500 + b"1" + b"}" * 500, 400, -32600),
    (b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]', 400, -32600),
    (b'{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}', 400, -32600),
    (b'{"jsonrpc":"2.0","id":1.5,"method":"ping"}', 400, -32600),
    (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":NaN}}', 400, -32600),
    (b'{"jsonrpc":"2.0","id":1,"method":"vendor/x"}', 200, -32601),
    (b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a b"}}', 200, -32602),
    (b"x" * 100_000, 413, -32600),
]


async def test_bad_input_of_every_kind_gets_a_clear_error_and_the_front_keeps_serving(
    fronted: Fronted,
) -> None:
    token = fronted.token()
    for raw, status, code in BAD:
        answered = await fronted.post(token, raw)
        assert (answered.status, answered.message["error"]["code"]) == (status, code), raw[:60]
    assert (await fronted.call(token, "echo")).status == 200
    assert len(fronted.servers["desk"].received) == 1
    assert len(rows(fronted.guard, "refusal")) == len(BAD)


@pytest.mark.parametrize(
    ("method", "status"), [("PUT", 405), ("PATCH", 405), ("OPTIONS", 405), ("HEAD", 405)]
)
async def test_other_http_methods_are_refused(fronted: Fronted, method: str, status: int) -> None:
    headers = {"Authorization": f"Bearer {fronted.token()}"}
    assert (await fronted.send(method, "/desk/mcp", headers)).status == status


async def test_a_body_that_is_not_json_by_its_type_is_refused(fronted: Fronted) -> None:
    message, headers = modern_call("echo")
    answered = await fronted.post(fronted.token(), message, headers | {"Content-Type": "text/plain"})
    assert answered.status == 415


async def test_an_unknown_method_is_not_found_in_the_modern_era(fronted: Fronted) -> None:
    meta = {"io.modelcontextprotocol/protocolVersion": MODERN}
    message = {"id": 1, "method": "vendor/x", "params": {"_meta": meta}}
    headers = {"MCP-Protocol-Version": MODERN, "Mcp-Method": "vendor/x"}
    answered = await fronted.post(fronted.token(), message, headers)
    assert (answered.status, answered.message["error"]["code"]) == (404, -32601)


async def test_a_call_beyond_the_tokens_scope_is_told_which_scope_it_needs(fronted: Fronted) -> None:
    token = caller_token(fronted.guard, "desk", scope=("desk/echo",))[0]
    assert (await fronted.call(token, "echo")).status == 200
    answered = await fronted.call(token, "stream")
    assert answered.status == 403
    assert 'error="insufficient_scope", scope="desk/stream"' in answered.headers["www-authenticate"]
    assert answered.message["error"]["data"]["reason"] == "outside_scope"
    assert fronted.servers["desk"].calls[1:] == []


async def test_a_call_beyond_the_task_itself_is_a_tool_error_because_no_token_would_reach_it(
    fronted: Fronted,
) -> None:
    token = caller_token(fronted.guard, "desk", scope=("desk/echo",))[0]
    answered = await fronted.call(token, "hidden")
    assert answered.status == 200
    assert answered.message["result"]["isError"] is True
    assert answered.message["result"]["_meta"]["dev.hopward/decision"]["reason"] == "outside_task"


@pytest.mark.parametrize(
    ("status", "told"),
    [(401, "credential"), (403, "credential"), (302, "HTTP 302"), (500, "HTTP 500"), (202, "HTTP 202")],
)
async def test_what_the_server_says_of_itself_is_not_shown_to_the_caller(
    fronted: Fronted, status: int, told: str
) -> None:
    fronted.servers["desk"].statuses["echo"] = status
    answered = await fronted.call(fronted.token(), "echo")
    assert answered.status == 200
    assert told in answered.message["error"]["message"]
    assert "www-authenticate" not in answered.headers
    assert [row.reason for row in rows(fronted.guard, "outcome")] == ["error"]


async def test_a_server_that_cannot_be_reached_fails_the_call_and_stops_no_other(fronted: Fronted) -> None:
    await fronted.servers["desk"].__aexit__()
    answered = await fronted.call(fronted.token(), "echo")
    assert "cannot be reached" in answered.message["error"]["message"]
    assert (await fronted.call(fronted.token("other"), "echo", server="other")).message["result"]
    outcomes = [row.record["outcome"] for row in rows(fronted.guard, "outcome")]
    assert [(o["status"], o["error"]) for o in outcomes] == [("error", "not_sent"), ("ok", "")]


async def test_a_brokered_key_goes_with_every_request_and_reaches_no_agent(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DESK_KEY", "key-of-the-desk")
    brokered = '{ by = "header", name = "X-Api-Key", environment = "DESK_KEY" }'
    async with front(tmp_path, ("desk",), brokered) as fronted:
        token = fronted.token()
        await fronted.initialize(token)
        answered = await fronted.call(token, "echo", {"text": "key-of-the-desk"})
        keys = [one.header("x-api-key") for one in fronted.servers["desk"].received]
        assert keys == ["key-of-the-desk"] * 2
        assert fronted.servers["desk"].calls[0].header("authorization") is None
        assert "key-of-the-desk" not in answered.body.decode()


async def test_health_is_told_without_a_token(fronted: Fronted) -> None:
    answered = await fronted.send("GET", "/healthz", {})
    assert (answered.status, answered.message) == (200, {"status": "ok"})


@pytest.mark.parametrize(
    ("tool", "told"),
    [
        ("flood", "proxy.max_message_bytes"),
        ("garbage", "malformed"),
        ("twice", "malformed"),
        ("broken", "without an answer"),
    ],
)
async def test_an_answer_that_is_none_fails_the_call_clearly_and_only_it(
    fronted: Fronted, tool: str, told: str
) -> None:
    token = fronted.token()
    answered = await fronted.call(token, tool, message_id="mine")
    answer = (
        answered.events[-1] if answered.headers["content-type"] == "text/event-stream" else answered.message
    )
    assert answer["id"] == "mine"
    assert told in answer["error"]["message"]
    assert (await fronted.call(token, "echo")).message["result"]
    assert [row.reason for row in rows(fronted.guard, "outcome")] in (["error", "ok"], ["unknown", "ok"])


async def test_a_server_that_never_answers_costs_its_caller_the_time_limit_and_nobody_else(
    tmp_path: Path,
) -> None:
    async with front(tmp_path, ("desk", "other"), limits="call_timeout_seconds = 1") as fronted:
        slow = asyncio.create_task(fronted.call(fronted.token(), "slow", message_id=4))
        while not fronted.servers["desk"].calls:
            await asyncio.sleep(0)
        assert (await fronted.call(fronted.token("other"), "echo", server="other")).message["result"]
        assert not slow.done()
        answered = await slow
        assert answered.events[-1]["error"]["code"] == -32001
        outcomes = [row.record["outcome"]["error"] for row in rows(fronted.guard, "outcome")]
        assert outcomes == ["", "timed_out"]


async def test_a_server_of_the_older_era_that_takes_too_long_is_told_to_give_up(tmp_path: Path) -> None:
    async with front(tmp_path, ("desk",), limits="call_timeout_seconds = 1") as fronted:
        token, server = fronted.token(), fronted.servers["desk"]
        session = {"Mcp-Session-Id": await fronted.initialize(token)}
        call = {"id": "mine", "method": "tools/call", "params": {"name": "slow"}}
        assert (await fronted.post(token, call, session)).events[-1]["error"]["code"] == -32001
        while server.received[-1].message["method"] != "notifications/cancelled":
            await asyncio.sleep(0)
        asked, told = server.received[-2:]
        assert told.message["params"]["requestId"] == asked.message["id"]
        assert told.header("mcp-session-id") == asked.header("mcp-session-id")
        assert told.header("authorization") != f"Bearer {token}"


async def test_a_modern_subscription_is_a_stream_tagged_with_the_callers_id(fronted: Fronted) -> None:
    meta = {
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    wanted = {"toolsListChanged": True, "resourceSubscriptions": ["ticket://1"]}
    message = {
        "id": "sub",
        "method": "subscriptions/listen",
        "params": {"_meta": meta, "notifications": wanted},
    }
    headers = {"MCP-Protocol-Version": MODERN, "Mcp-Method": "subscriptions/listen"}
    token = fronted.token()
    fronted.servers["desk"].release.set()
    answered = await fronted.post(token, message, headers)
    tags = [event.get("params", event.get("result"))["_meta"] for event in answered.events]
    assert tags == [{"io.modelcontextprotocol/subscriptionId": "sub"}] * 3
    del wanted["toolsListChanged"]
    wanted["resourceSubscriptions"] = ["secret://1"]
    refused = await fronted.post(token, message, headers)
    assert refused.message["error"]["code"] == -32000
    assert len(fronted.servers["desk"].received) == 1


@pytest.mark.parametrize(
    "name",
    ["Authorization", "Last-Event-ID", "Mcp-Method", "Mcp-Name", "MCP-Protocol-Version", "Origin"],
)
async def test_a_header_that_comes_twice_is_refused(fronted: Fronted, name: str) -> None:
    message, headers = modern_call("echo")
    headers |= {"Authorization": f"Bearer {fronted.token()}", "Origin": fronted.base}
    headers |= {"Last-Event-ID": "1"}
    pairs = [*headers.items(), ("Content-Type", "application/json"), (name, headers[name])]
    body = json.dumps({"jsonrpc": "2.0", **message}).encode()
    url = f"{fronted.base}/desk/mcp"
    async with fronted.client.post(url, data=body, headers=CIMultiDict(pairs)) as response:
        assert response.status == 400
    assert fronted.servers["desk"].received == []


async def test_a_callers_lost_connection_while_it_sends_harms_nobody(fronted: Fronted) -> None:
    host, _, port = fronted.base.removeprefix("http://").partition(":")
    _, writer = await asyncio.open_connection(host, int(port))
    head = f"POST /desk/mcp HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: Bearer {fronted.token()}\r\n"
    head += "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    writer.write(head.encode())
    await writer.drain()
    writer.close()
    assert (await fronted.call(fronted.token(), "echo")).status == 200
    assert len(fronted.servers["desk"].calls) == 1


async def test_the_server_behind_oauth_gets_a_credential_that_opens_no_tool_with_every_other_request(
    fronted: Fronted,
) -> None:
    await fronted.initialize(fronted.token())
    credential = (fronted.servers["desk"].received[0].header("authorization") or "").removeprefix("Bearer ")
    presented = fronted.guard.issuer.verify(credential)
    assert presented.scope == ("desk/method:initialize",)


async def test_a_credential_in_an_event_reaches_no_agent_not_even_as_its_id(fronted: Fronted) -> None:
    answered = await fronted.call(fronted.token(), "repeat", {"x": 1})
    credential = (fronted.servers["desk"].calls[0].header("authorization") or "").removeprefix("Bearer ")
    assert answered.body.count(b"[credential removed by Hopward]") == 2
    assert credential.partition(".")[0].encode() not in answered.body
    assert len(answered.events) == 3


@pytest.mark.parametrize("after", [" x", ",Bearer y", "\x80", "=x"])
async def test_nothing_may_follow_a_bearer_token(fronted: Fronted, after: str) -> None:
    message, headers = modern_call("echo")
    head = {**headers, "Authorization": f"Bearer {fronted.token()}{after}"}
    assert (await fronted.post("", message, head)).status == 401


async def test_headers_of_the_legacy_era_must_agree_with_the_body_too(
    fronted: Fronted,
) -> None:
    call = {"id": 1, "method": "tools/call", "params": {"name": "echo"}}
    note = {"method": "notifications/initialized"}
    for message, headers in ((call, {"Mcp-Name": "hidden"}), (note, {"Mcp-Method": "tools/call"})):
        answered = await fronted.post(fronted.token(), message, headers)
        assert (answered.status, answered.message["error"]["code"]) == (400, -32020)
    assert fronted.servers["desk"].received == []
