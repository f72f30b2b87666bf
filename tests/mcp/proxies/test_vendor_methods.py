"""Methods and notifications that are not of MCP itself: allowed where somebody has said so, no further."""

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from hopward import Guard
from hopward_mcp.headers import METHOD

from .conversation import Conversation
from .fronting import MODERN, Fronted, front
from .installation import caller_token, install, opened, rows, stdio_server

VENDOR = """
[servers.desk.vendor_methods."acme/reindex"]
action = "read"
sensitivity = "internal"
integrity = "trusted"
destination = "desk"
arguments = { index = "string" }

[servers.desk.vendor_methods."acme/drop"]
action = "delete"
sensitivity = "internal"
integrity = "trusted"
destination = "desk"
"""


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[Guard]:
    with opened(install(tmp_path, stdio_server(tmp_path / "record") + VENDOR)) as opened_guard:
        yield opened_guard


@pytest.fixture
async def fronted(tmp_path: Path) -> AsyncIterator[Fronted]:
    async with front(tmp_path, ("desk", "other"), more=VENDOR) as running:
        yield running


def test_a_vendor_method_is_decided_with_its_params_as_arguments(conversation: Conversation) -> None:
    params = {"index": "tickets", "deep": {"x": [1]}, "_meta": {"progressToken": 1}}
    conversation.client_says({"id": 1, "method": "acme/reindex", "params": params})
    (sent,) = conversation.to_server
    assert sent["method"] == "acme/reindex"
    assert {key: sent["params"][key] for key in ("index", "deep")} == {"index": "tickets", "deep": {"x": [1]}}
    (row,) = rows(conversation.guard, "decision")
    assert (row.tool, row.verdict) == ("vendor:acme/reindex", "permit")
    assert row.record["call"]["arguments"] == {"index": "tickets", "deep": {"x": [1]}}
    (credential,) = rows(conversation.guard, "credential")
    assert credential.record["credential"]["scope"] == "desk/vendor:acme/reindex"
    conversation.server_answers({"indexed": 3})
    assert conversation.to_client == [{"jsonrpc": "2.0", "id": 1, "result": {"indexed": 3}}]
    assert [row.reason for row in rows(conversation.guard, "outcome")] == ["ok"]


def test_a_vendor_method_without_params_carries_its_credential_all_the_same(
    conversation: Conversation,
) -> None:
    conversation.client_says({"id": 1, "method": "acme/reindex"})
    assert list(conversation.to_server[0]["params"]) == ["_meta"]
    assert rows(conversation.guard, "decision")[0].record["call"]["arguments"] == {}


@pytest.mark.parametrize("params", [{"Index": "x"}, {"index": ["x"]}, {"index": None}])
def test_arguments_of_a_vendor_method_are_checked_like_a_tools(
    conversation: Conversation, params: dict[str, Any]
) -> None:
    conversation.client_says({"id": 1, "method": "acme/reindex", "params": params})
    assert conversation.to_server == []
    assert conversation.to_client[0]["error"]["data"]["verdict"] == "deny"


@pytest.mark.parametrize(
    "method", ["acme/other", "ACME/reindex", "acme/reindex/x", "acme", "vendor:acme/reindex"]
)
def test_a_vendor_method_that_nobody_has_classified_is_refused(
    conversation: Conversation, method: str
) -> None:
    conversation.client_says({"id": 1, "method": method})
    assert conversation.to_server == []
    assert conversation.to_client[0]["error"]["code"] == -32601
    assert rows(conversation.guard, "decision") == []


def test_a_vendor_method_that_the_task_does_not_cover_is_refused(conversation: Conversation) -> None:
    conversation.client_says({"id": 1, "method": "acme/drop"})
    assert conversation.to_server == []
    assert conversation.to_client[0]["error"]["data"]["reason"] == "outside_task"


def test_a_vendor_method_is_no_tool_and_no_tool_is_a_vendor_method(conversation: Conversation) -> None:
    conversation.call("vendor:acme/reindex")
    conversation.call("acme/reindex", message_id=2)
    assert conversation.to_server == []
    reasons = [row.reason for row in rows(conversation.guard, "decision")]
    assert reasons == ["tool_unclassified"]


def test_vendor_notifications_pass_only_where_they_are_allowed(conversation: Conversation) -> None:
    named = ("notifications/acme/opened", "acme/ticked", "acme/reindex", "notifications/acme/other")
    for method in named:
        conversation.client_says({"method": method, "params": {"x": 1}})
        conversation.server_says({"method": method, "params": {"x": 1}})
    assert [sent["method"] for sent in conversation.to_server] == ["notifications/acme/opened"]
    assert [sent["method"] for sent in conversation.to_client] == ["acme/ticked"]


async def test_headers_of_a_vendor_method_agree_with_its_body(fronted: Fronted) -> None:
    token = fronted.token()
    meta = {
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    message = {"id": 1, "method": "acme/reindex", "params": {"index": "a", "name": "echo", "_meta": meta}}
    headers = {"MCP-Protocol-Version": MODERN, "Mcp-Name": "echo"}
    for wrong in (
        {},
        {"Mcp-Method": "tools/call"},
        {"Mcp-Method": "acme/drop"},
        {"Mcp-Method": "Acme/reindex"},
    ):
        answered = await fronted.post(token, message, {**headers, **wrong})
        assert (answered.status, answered.message["error"]["code"]) == (400, -32020)
    assert fronted.servers["desk"].received == []
    answered = await fronted.post(token, message, {**headers, "Mcp-Method": "acme/reindex"})
    assert answered.status == 200
    (received,) = fronted.servers["desk"].received
    assert received.header(METHOD) == "acme/reindex"
    assert received.header("mcp-name") is None
    assert (received.header("authorization") or "").startswith("Bearer ")


async def test_a_token_that_may_not_reach_a_vendor_method_is_told_the_scope_for_it(fronted: Fronted) -> None:
    narrow, _ = caller_token(fronted.guard, "desk", scope=("desk/echo", "desk/method:*"))
    answered = await fronted.post(narrow, {"id": 1, "method": "acme/reindex", "params": {"index": "a"}})
    assert answered.status == 403
    assert 'scope="desk/vendor:acme/reindex"' in answered.headers["www-authenticate"]
    assert fronted.servers["desk"].received == []


async def test_a_credential_that_calls_nothing_opens_no_vendor_method(fronted: Fronted) -> None:
    """What introduces a notification of the same name is scoped apart from what a decision gives."""
    token = fronted.token()
    await fronted.post(token, {"method": "notifications/acme/opened"})
    await fronted.post(token, {"id": 1, "method": "acme/reindex"})
    scopes = [row.record["credential"]["scope"] for row in rows(fronted.guard, "credential")]
    assert "desk/method:notifications/acme/opened" in scopes
    assert "desk/vendor:acme/reindex" in scopes
    assert json.dumps(scopes).count("vendor:") == 1
