"""What a caller puts into a request beside the call: headers, hosts, and arguments that want to be more.

The rows of the advisories page this covers stand in the docstrings, with their published ids.
"""

import asyncio
import json
import random
import string
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from proxies.fronting import Answered, Fronted, modern_call
from proxies.installation import http_server, rows
from proxies.piping import INITIALIZE, Client
from proxies.recording_http import Received, RecordingServer

ROOT = Path(__file__).parents[2]

SKIPPING = (
    *("mcp-init-host", "router-key", "x-api-key", "api-key", "x-auth-token", "x-access-token", "x-token"),
    *("x-forwarded-host", "x-forwarded-server", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-uri"),
    *("x-forwarded-user", "x-forwarded-email", "x-forwarded-access-token", "x-original-url", "x-real-ip"),
    *("x-rewrite-url", "x-auth-request-user", "x-remote-user", "remote-user", "x-user", "x-subject"),
    *("x-http-method-override", "x-original-host", "x-host", "x-upstream", "x-mcp-server", "x-server-id"),
    *("x-envoy-original-path", "x-envoy-decorator-operation", "proxy-authorization", "www-authenticate"),
    *("x-hopward-task", "x-hopward-chain", "x-task", "x_task", "authorization-", "x-authorization"),
    *("forwarded", "via", "cookie", "client-cert", "x-client-cert", "sw-url", "x-debug", "x-admin"),
    *("cf-access-jwt-assertion", "x-goog-iap-jwt-assertion", "x-ms-client-principal", "x-amzn-oidc-data"),
)
"""Headers that somewhere skip a check, or lead a request to another server."""


def odd_headers(values: list[str]) -> Iterator[dict[str, str]]:
    """Each of the known ones with each value, and names and values that nobody knows, the same every time."""
    yield from ({name: value} for name in SKIPPING for value in values)
    chance = random.Random(26)
    for _ in range(60):
        name = "".join(chance.choices(string.ascii_letters + string.digits + "-_.!", k=chance.randint(1, 24)))
        value = "".join(chance.choices(string.ascii_letters + string.digits + " :/@;,=\"'%", k=12)).strip()
        if name.lower() not in ("te", "host", "via") and not name.lower().startswith("mcp-"):
            yield {f"X{name}": value}
    yield dict.fromkeys(SKIPPING, values[0])


async def test_no_request_header_changes_the_server_or_skips_the_token_check(fronted: Fronted) -> None:
    """Row 3: GHSA-g53w-w6mj-hrpp, GO-2026-5390 (Kuadrant mcp-gateway)."""
    message, headers = modern_call("echo", {"x": 1})
    body = json.dumps({"jsonrpc": "2.0", **message}).encode()
    headers |= {"Content-Type": "application/json"}
    token, foreign = fronted.token(), fronted.token("other")
    values = [fronted.servers["other"].url, "secret-api-key", f"Bearer {token}"]

    def said(answered: Answered) -> tuple[int, bytes, str]:
        return answered.status, answered.body, answered.headers["www-authenticate"]

    nobody = said(await fronted.send("POST", "/desk/mcp", headers, body))
    stranger = {**headers, "Authorization": f"Bearer {foreign}"}
    refused = said(await fronted.send("POST", "/desk/mcp", stranger, body))
    assert (nobody[0], refused[0]) == (401, 401)
    known = {**headers, "Authorization": f"Bearer {token}"}
    for odd in odd_headers(values):
        assert said(await fronted.send("POST", "/desk/mcp", headers | odd, body)) == nobody, odd
        assert said(await fronted.send("POST", "/desk/mcp", stranger | odd, body)) == refused, odd
    for value in values:
        # It has a meaning, and so may refuse more, but never less.
        for sent in (headers, stranger, known):
            assert (await fronted.send("POST", "/desk/mcp", sent | {"DPoP": value}, body)).status == 401
    assert all(server.received == [] for server in fronted.servers.values())
    count = 0
    for odd in odd_headers(values[:2]):
        count += 1
        assert (await fronted.send("POST", "/desk/mcp", known | odd, body)).status == 200, odd
        *_, received = fronted.servers["desk"].received
        assert names(received) == FORWARDED
        assert received.path == "/mcp"
        assert not any(value in received.head.decode() for value in values)
    assert len(fronted.servers["desk"].received) == count
    assert fronted.servers["other"].received == []


FORWARDED = sorted(
    (
        *("host", "accept-encoding", "accept", "content-type", "content-length", "authorization"),
        *("mcp-protocol-version", "mcp-method", "mcp-name"),
    )
)
"""The headers of a modern call as the server receives it."""


def names(received: Received) -> list[str]:
    """The names of a request's headers in its raw bytes."""
    return sorted(line.partition(b":")[0].decode().lower() for line in received.head.split(b"\r\n")[1:-2])


HOSTS = (
    *("", "{host}/x", "{host}@evil.example", "evil.example#{host}", "{host}?", "{host},evil.example"),
    *("{host} evil.example", "http://{host}", "{host}:80", "[{host}]", "{host}/desk/mcp?x=", "/", "desk/mcp"),
    *("{host}\x01", "{host}\x7f", "{host}\xe9", "127.0.0.1", "127.0.0.1:", "127.0.0.1:0", "127.1:{port}"),
    *("0:{port}", "localhost.:{port}", "[::ffff:127.0.0.1]:{port}", "%6cocalhost:{port}", "{host}.", "*"),
    *("example.com/healthz?{host}", "{host}\t\x0b", "2130706433:{port}", "0x7f.1:{port}"),
)


async def test_a_malformed_host_header_changes_no_decision(fronted: Fronted) -> None:
    """Row 8: CVE-2026-48710 (Starlette, BadHost)."""
    token, address = fronted.token(), fronted.base.removeprefix("http://")
    port = address.rpartition(":")[2]
    for host in HOSTS:
        lines = [f"Host: {host.format(host=address, port=port)}"]
        assert await status(fronted, token, lines) in (400, 403), host
    for lines in ([], [f"Host: {address}", "Host: evil.example"], ["Host: evil.example", f"Host: {address}"]):
        assert await status(fronted, token, lines) in (400, 403), lines
    assert await status(fronted, token, [f"Host: {address}"] * 2) == 400
    assert fronted.servers["desk"].received == []
    assert rows(fronted.guard, "decision") == []
    for host in (address, f"localhost:{port}", f"LOCALHOST:{port}", f"[::1]:{port}"):
        assert await status(fronted, token, [f"Host: {host}"]) == 200
    # The target may say more; what counts is its path, as the token has it.
    for target in (f"http://{address}/desk/mcp", "/desk/mcp#/other/mcp"):
        assert await status(fronted, token, [f"Host: {address}"], target) == 200
    for target in (f"http://{address}/other/mcp", f"http://{address}/desk/mcp/..", "//desk/mcp"):
        assert await status(fronted, token, [f"Host: {address}"], target) in (400, 401, 404), target
    decided = [(row.tool, row.verdict) for row in rows(fronted.guard, "decision")]
    assert decided == [("echo", "permit")] * 6
    assert len(fronted.servers["desk"].calls) == 6


async def status(fronted: Fronted, token: str, hosts: list[str], target: str = "/desk/mcp") -> int:
    """The status of a modern call with these lines for a `Host`, sent as they are."""
    message, headers = modern_call("echo")
    body = json.dumps({"jsonrpc": "2.0", **message}).encode()
    headers |= {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    lines = [f"POST {target} HTTP/1.1", *hosts, *(f"{name}: {value}" for name, value in headers.items())]
    lines += [f"Content-Length: {len(body)}", "Connection: close", "", ""]
    address, _, port = fronted.base.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(address, int(port))
    try:
        writer.write("\r\n".join(lines).encode("latin-1") + body)
        answer = await reader.read()
    finally:
        writer.close()
    return int(answer.split(b" ", 2)[1])


def test_starlette_is_required_in_a_release_that_reads_the_host_right() -> None:
    """Row 8, the other half: fixed in Starlette 1.0.1, which only the authority uses."""
    needing: dict[str, Requirement] = {}
    for project in (*ROOT.glob("packages/*/pyproject.toml"), *ROOT.glob("plugins/*/pyproject.toml")):
        for line in tomllib.loads(project.read_text("utf-8"))["project"]["dependencies"]:
            if Requirement(line).name == "starlette":
                needing[project.parent.name] = Requirement(line)
    assert list(needing) == ["authority"]
    assert "1.0.0" not in needing["authority"].specifier
    assert "1.0.1" in needing["authority"].specifier


SPLITTING = (
    "x\r\nX-Injected: 1",
    "x\nX-Injected: 1",
    "x\rX-Injected: 1",
    "x\r\n\r\nPOST /admin HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    "x\u010d\u010aX-Injected: 1",
    "x\x00y",
    "../../admin",
    "..%2f..%2fadmin",
    "?x=1&y=2",
    "#fragment",
    "/absolute",
    "http://evil.example/",
    "; rm -rf /",
    "=?base64?eA0KWC1JbmplY3RlZDogMQ==?=",
    " leading and trailing ",
    "caf\u00e9\u2028",
)


async def test_an_argument_cannot_add_a_header_or_a_path(fronted: Fronted) -> None:
    """Row 9: CVE-2026-29791 (agentgateway)."""
    token, desk = fronted.token(), fronted.servers["desk"]
    for nasty in SPLITTING:
        await fronted.call(token, "echo", {"x": nasty, nasty: nasty, "deep": {"y": [nasty]}})
        legacy = {"id": nasty, "method": "tools/call", "params": {"name": "echo", "arguments": {"x": nasty}}}
        await fronted.post(token, legacy)
        await fronted.post(
            token, {"id": 1, "method": "resources/read", "params": {"uri": f"ticket://{nasty}"}}
        )
        for received in desk.received:
            assert (received.method, received.path) == ("POST", "/mcp"), nasty
            assert set(names(received)) <= set(FORWARDED), nasty
        assert [one.message["method"] for one in desk.received][:2] == ["tools/call"] * 2, nasty
        assert desk.received[0].message["params"]["arguments"]["x"] == nasty
        desk.received.clear()


async def test_an_argument_that_a_schema_wants_in_a_header_stays_in_that_header(tmp_path: Path) -> None:
    """Row 9, where a header is made of an argument: `hopward mcp run` in front of a server over HTTP."""
    async with asyncio.timeout(60), RecordingServer() as server:
        client = Client(tmp_path, settings=http_server(server.url))
        try:
            ask = lambda message: asyncio.to_thread(client.ask, message)  # noqa: E731
            meta = modern_call("echo")[0]["params"]["_meta"]
            await ask(modern("tools/list", meta, 0))
            for number, nasty in enumerate(SPLITTING, 1):
                arguments = {"region": nasty, nasty: nasty}
                await ask(modern("tools/call", meta, number, name="echo", arguments=arguments))
                received = server.received[-1]
                assert (received.method, received.path) == ("POST", "/mcp")
                assert names(received) == sorted([*FORWARDED, "mcp-param-region"]), nasty
                assert received.message["params"]["arguments"]["region"] == nasty
        finally:
            client.process.kill()
            await asyncio.to_thread(client.process.communicate)


def modern(method: str, meta: Mapping[str, Any], message_id: int, **params: Any) -> dict[str, Any]:
    """A request of 2026-07-28."""
    return {"id": message_id, "method": method, "params": {**params, "_meta": meta}}


@pytest.mark.parametrize("name", ["echo\r\nX-Injected: 1", "../echo", "echo?x=1", "echo#", " echo", "Echo"])
async def test_a_tools_name_reaches_no_header_unless_it_is_the_name_of_a_tool(
    fronted: Fronted, name: str
) -> None:
    """Row 9: `Mcp-Name` is made of the body, and a name that nobody has classified goes nowhere."""
    token = fronted.token()
    assert (await fronted.post(token, {"id": 0, **INITIALIZE})).status == 200
    fronted.servers["desk"].received.clear()
    call = {"id": 1, "method": "tools/call", "params": {"name": name, "arguments": {}}}
    answer = (await fronted.post(token, call)).message
    assert "error" in answer or answer["result"]["isError"]
    assert fronted.servers["desk"].received == []
