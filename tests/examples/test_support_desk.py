"""The example server from outside: what a credential opens, and what every other token meets."""

import base64
import hmac
import json
import secrets
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

SERVER = Path(__file__).parents[2] / "examples" / "support_desk" / "server.py"
ISSUER = "https://authority.example"
RESOURCE = "urn:example:support-desk"
ASKED = {"ticket_id": "T-1041"}
ERAS = pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])


def digest(**arguments: Any) -> str:
    """The arguments digest as a third party would compute it, with `sha256sum`."""
    text = json.dumps(arguments, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    summed = subprocess.run(["sha256sum"], input=text.encode(), capture_output=True, check=True)
    return "sha-256:" + summed.stdout.decode().split()[0]


def bound(**arguments: Any) -> list[dict[str, Any]]:
    return [{"type": "hopward_tool_call", "arguments_digest": digest(**arguments)}]


@dataclass
class Desk:
    """A support desk, its folder, and the key of the authority it trusts."""

    folder: Path
    key: ECKey
    url: str = ""

    @property
    def options(self) -> list[str]:
        jwks = str(self.folder / "jwks.json")
        data = str(self.folder / "data")
        return ["--resource", RESOURCE, "--issuer", ISSUER, "--jwks", jwks, "--data", data]

    def mint(self, *, typ: str = "at+jwt", **changes: Any) -> str:
        """A credential for `read_ticket` of T-1041, with claims changed; a claim set to None is left out."""
        now = int(time.time())
        claims: dict[str, Any] = {
            "iss": ISSUER,
            "sub": "ines",
            "aud": RESOURCE,
            "client_id": "hopward-proxy",
            "iat": now,
            "exp": now + 30,
            "jti": secrets.token_hex(8),
            "scope": "support_desk/read_ticket",
            "act": {"sub": "support-agent"},
            "authorization_details": bound(**ASKED),
        }
        claims = {name: value for name, value in (claims | changes).items() if value is not None}
        return jwt.encode({"alg": "ES256", "kid": self.key.kid, "typ": typ}, claims, self.key)

    def post(self, token: str | None, body: bytes | None = None) -> httpx2.Response:
        """One modern `tools/call` of `read_ticket`, or any other body, with a bearer token."""
        headers = {
            b"Accept": b"application/json, text/event-stream",
            b"Content-Type": b"application/json",
            b"MCP-Protocol-Version": b"2026-07-28",
            b"Mcp-Method": b"tools/call",
            b"Mcp-Name": b"read_ticket",
        }
        if token is not None:
            headers[b"Authorization"] = f"Bearer {token}".encode("latin-1")
        return httpx2.post(self.url, headers=headers, content=body or read_ticket(), timeout=30)

    def received(self) -> list[dict[str, Any]]:
        lines = (self.folder / "data" / "received.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def customers(self) -> list[str]:
        database = sqlite3.connect(self.folder / "data" / "desk.sqlite")
        try:
            return [row[0] for row in database.execute("SELECT id FROM customers ORDER BY id")]
        finally:
            database.close()


def read_ticket() -> bytes:
    meta: dict[str, Any] = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    params: dict[str, Any] = {"name": "read_ticket", "arguments": ASKED, "_meta": meta}
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()


def prepared(folder: Path, key: ECKey) -> Desk:
    jwk = key.as_dict(private=False) | {"alg": "ES256", "use": "sig"}
    (folder / "jwks.json").write_text(json.dumps({"keys": [jwk]}))
    return Desk(folder, key)


@pytest.fixture(scope="module")
def key() -> ECKey:
    return ECKey.generate_key("P-256", auto_kid=True)


@pytest.fixture(scope="module")
def http_desk(tmp_path_factory: pytest.TempPathFactory, key: ECKey) -> Iterator[Desk]:
    """The support desk on HTTP, in a process of its own."""
    desk = prepared(tmp_path_factory.mktemp("http"), key)
    command = [sys.executable, str(SERVER), "--http", "127.0.0.1:0", *desk.options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        desk.url = process.stdout.readline().removeprefix("listening on ").strip()
        yield desk
        process.terminate()


@pytest.fixture
def stdio_desk(tmp_path: Path, key: ECKey) -> Desk:
    return prepared(tmp_path, key)


def test_a_credential_minted_for_the_call_opens_it_and_its_claims_are_kept(http_desk: Desk) -> None:
    token = http_desk.mint()
    answer = http_desk.post(token)
    assert answer.status_code == 200, answer.text
    assert answer.json()["result"]["structuredContent"]["subject"] == "Kettle arrived broken"
    claims = http_desk.received()[-1]["claims"]
    assert (claims["aud"], claims["scope"]) == (RESOURCE, "support_desk/read_ticket")
    assert token not in (http_desk.folder / "data" / "received.jsonl").read_text()


def test_a_call_without_a_token_meets_a_challenge_naming_its_scope_and_metadata(http_desk: Desk) -> None:
    answer = http_desk.post(None)
    challenge = answer.headers["WWW-Authenticate"]
    assert answer.status_code == 401
    assert 'scope="support_desk/read_ticket"' in challenge
    assert "error=" not in challenge
    location = challenge.split('resource_metadata="')[1].split('"')[0]
    assert httpx2.get(location).json()["authorization_servers"] == [ISSUER]


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://someone.example"},
        {"aud": "http://127.0.0.1:8701/support_desk/mcp"},
        {"aud": [RESOURCE]},
        {"aud": [RESOURCE, "urn:example:other"]},
        {"exp": 1},
        {"exp": int(time.time()) + 86_400},
        {"exp": None},
        {"iat": int(time.time()) + 3_600},
        {"jti": None},
        {"sub": None},
        {"typ": "JWT"},
        {"typ": "application/jwt"},
    ],
    ids=str,
)
def test_a_token_that_is_not_for_this_server_is_refused(http_desk: Desk, changes: dict[str, Any]) -> None:
    before = len(http_desk.received())
    answer = http_desk.post(http_desk.mint(**changes))
    assert answer.status_code == 401, answer.text
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]
    assert len(http_desk.received()) == before


@pytest.mark.parametrize(
    "changes",
    [
        {"scope": "support_desk/refund"},
        {"scope": "support_desk/read_ticket support_desk/refund"},
        {"scope": "support_desk/*"},
        {"authorization_details": None},
        {"authorization_details": []},
        {"authorization_details": ["arguments_digest"]},
        {"authorization_details": bound()},
        {"authorization_details": bound(ticket_id="T-1042")},
        {"authorization_details": bound(ticket_id="T-1042") + bound(**ASKED)},
    ],
    ids=str,
)
def test_a_token_that_is_not_for_this_call_is_refused(http_desk: Desk, changes: dict[str, Any]) -> None:
    before = len(http_desk.received())
    answer = http_desk.post(http_desk.mint(**changes))
    assert answer.status_code == 403, answer.text
    assert 'error="insufficient_scope"' in answer.headers["WWW-Authenticate"]
    assert len(http_desk.received()) == before


def test_a_credential_opens_one_call_and_never_a_second(http_desk: Desk) -> None:
    token = http_desk.mint()
    assert http_desk.post(token).status_code == 200
    answer = http_desk.post(token)
    assert answer.status_code == 401
    assert "already been used" in answer.json()["error_description"]


def test_a_token_signed_by_another_key_of_the_same_name_is_refused(http_desk: Desk) -> None:
    stranger = ECKey.generate_key("P-256", {"kid": str(http_desk.key.kid)})
    assert http_desk.post(Desk(http_desk.folder, stranger).mint()).status_code == 401


def test_a_token_keyed_with_the_public_key_as_a_shared_secret_is_refused(http_desk: Desk) -> None:
    header = json.dumps({"alg": "HS256", "kid": http_desk.key.kid, "typ": "at+jwt"}).encode()
    signed = f"{base64url(header)}.{http_desk.mint().split('.')[1]}"
    mac = hmac.digest(http_desk.key.as_pem(private=False), signed.encode(), "sha256")
    assert http_desk.post(f"{signed}.{base64url(mac)}").status_code == 401


def test_a_token_with_its_signature_taken_off_is_refused(http_desk: Desk) -> None:
    head, payload, _ = http_desk.mint().split(".")
    assert http_desk.post(f"{head}.{payload}.").status_code == 401


@pytest.mark.parametrize("token", ["x", "a.b.c", "..", "\xe9.\xe9.\xe9"], ids=ascii)
def test_a_bearer_value_that_is_no_token_is_refused(http_desk: Desk, token: str) -> None:
    assert http_desk.post(token).status_code == 401


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"\xff{}",
        b"[]",
        b"7",
        b'{"jsonrpc":"2.0","id":1,"method":"tools/list","method":"tools/call"}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":7}}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"refund","arguments":[]}}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":[]}',
        b'{"a":NaN}',
        b"[" * 100_000,
        b'"' + b"x" * 4_194_304 + b'"',
    ],
    ids=lambda body: body[:60].decode("latin-1"),
)
def test_a_body_that_two_parsers_could_read_differently_is_refused(http_desk: Desk, body: bytes) -> None:
    assert http_desk.post(http_desk.mint(), body).status_code in (400, 413)


def test_a_call_in_the_shape_of_a_notification_is_refused_too(http_desk: Desk) -> None:
    body = json.dumps({"jsonrpc": "2.0", "method": "tools/call", "params": {"name": "read_ticket"}})
    assert http_desk.post(None, body.encode()).status_code == 401


@ERAS
async def test_anyone_may_list_but_not_call_over_http(http_desk: Desk, mode: Any) -> None:
    async with Client(http_desk.url, mode=mode) as client:
        tools = {tool.name for tool in (await client.list_tools()).tools}
        assert tools == {"read_ticket", "search_customers", "send_email", "refund", "delete_customer"}
        with pytest.raises(MCPError):
            await client.call_tool("read_ticket", ASKED)


@ERAS
async def test_tools_mcp_resources_and_prompts_open_in_both_eras(http_desk: Desk, mode: Any) -> None:
    http = httpx2.AsyncClient()

    def bring(**changes: Any) -> None:
        http.headers["Authorization"] = f"Bearer {http_desk.mint(**changes)}"

    async with http, Client(streamable_http_client(http_desk.url, http_client=http), mode=mode) as client:
        await client.list_tools()
        bring()
        result = await client.call_tool("read_ticket", ASKED)
        bring(scope="support_desk/resource:ticket://T-1041", authorization_details=bound())
        text = await client.read_resource("ticket://T-1041")
        bring(scope="support_desk/prompt:draft_reply")
        prompt = await client.get_prompt("draft_reply", ASKED)
    assert not result.is_error
    assert "cracked" in str(text)
    assert "Ines" in str(prompt)


@ERAS
async def test_stdio_takes_the_credential_from_meta_and_refuses_with_a_tool_error(
    stdio_desk: Desk, mode: Any
) -> None:
    args = [str(SERVER), "--stdio", *stdio_desk.options]
    async with Client(StdioServerParameters(command=sys.executable, args=args), mode=mode) as client:
        opened = await client.call_tool("read_ticket", ASKED, meta=meta(stdio_desk.mint()))
        bare = await client.call_tool("read_ticket", ASKED)
        erase = {"customer_id": "C-7"}
        other = await client.call_tool("delete_customer", erase, meta=meta(stdio_desk.mint()))
        with pytest.raises(MCPError, match="invalid_token"):
            await client.read_resource("ticket://T-1041")
        with pytest.raises(MCPError, match="invalid_token"):
            await client.get_prompt("draft_reply", ASKED)
    assert not opened.is_error
    assert bare.is_error
    assert "invalid_token" in str(bare.content)
    assert other.is_error
    assert "insufficient_scope" in str(other.content)
    assert [entry["name"] for entry in stdio_desk.received()] == ["read_ticket"]
    assert stdio_desk.customers() == ["C-7", "C-8", "C-9"]


async def test_a_restart_does_not_make_a_used_credential_new_again(stdio_desk: Desk) -> None:
    parameters = StdioServerParameters(
        command=sys.executable, args=[str(SERVER), "--stdio", *stdio_desk.options]
    )
    token = stdio_desk.mint()
    async with Client(parameters) as client:
        first = await client.call_tool("read_ticket", ASKED, meta=meta(token))
    async with Client(parameters) as client:
        second = await client.call_tool("read_ticket", ASKED, meta=meta(token))
    assert [first.is_error, second.is_error] == [False, True]


async def test_calls_leave_their_effects_in_the_data_folder(tmp_path: Path, key: ECKey) -> None:
    args = [str(SERVER), "--stdio", "--data", str(tmp_path / "data"), "--dangerously-accept-anyone"]
    refund = {"ticket_id": "T-1041", "reason": "broken"}
    mail = {"to": "ines@northwind.example", "subject": "Refund", "body": "It is on its way."}
    async with Client(StdioServerParameters(command=sys.executable, args=args)) as client:
        too_much = await client.call_tool("refund", refund | {"amount": 49.01})
        refunded = await client.call_tool("refund", refund | {"amount": 35.0})
        ticket = await client.call_tool("read_ticket", ASKED)
        sent = await client.call_tool("send_email", mail)
        forged = await client.call_tool("send_email", mail | {"subject": "x\nBcc: all@northwind.example"})
        found = await client.call_tool("search_customers", {"query": "NORTHWIND"})
        erased = await client.call_tool("delete_customer", {"customer_id": "C-9"})
        missing = await client.call_tool("read_ticket", {"ticket_id": "T-1043"})
    assert not any(result.is_error for result in (refunded, sent, erased))
    assert all(result.is_error for result in (too_much, forged, missing))
    assert (ticket.structured_content or {})["refunded"] == 35.0
    content: Any = found.structured_content
    assert [customer["id"] for customer in content["result"]] == ["C-7", "C-8"]
    assert b"It is on its way." in (tmp_path / "data" / "outbox" / "0001.eml").read_bytes()
    assert Desk(tmp_path, key).customers() == ["C-7", "C-8"]


@pytest.mark.parametrize("left_out", ["--resource", "--issuer", "--jwks"])
def test_the_server_does_not_start_without_what_it_needs_to_check(stdio_desk: Desk, left_out: str) -> None:
    options = stdio_desk.options
    at = options.index(left_out)
    command = [sys.executable, str(SERVER), "--stdio", *options[:at], *options[at + 2 :]]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 2
    assert left_out in finished.stderr.splitlines()[-1]


def meta(token: str) -> Any:
    return {"dev.hopward/credential": token}


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
