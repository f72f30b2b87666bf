"""The example server, guarded over stdio and over Streamable HTTP, with the clients that people have.

Each client has one session over each pair of transports; the tests look at what it saw and what the server
did.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

import httpx2
import pytest

from .clients import EVERY, Agent, Answer, Kind, over_http, over_stdio
from .desk import Desk, open_desk

OFFERED = {"read_ticket", "search_customers", "send_email", "refund", "delete_customer"}

REFUSED: dict[str, tuple[str, dict[str, Any]]] = {
    "outside_task": ("refund", {"ticket_id": "T-1041", "amount": 900.0, "reason": "broken"}),
    "forbidden": ("refund", {"ticket_id": "T-1041", "amount": 5.0, "reason": ""}),
    "approval_required": ("refund", {"ticket_id": "T-1041", "amount": 45.0, "reason": "broken"}),
}
"""By the reason: a tool the task may call, with arguments with which it may not."""

Pair: TypeAlias = Literal["stdio", "http", "http-to-stdio", "stdio-to-http"]
"""What the client speaks, and the server."""


@dataclass
class Seen:
    """What one client saw in one session, and what the server had to show for it."""

    desk: Desk
    pair: Pair
    kind: Kind
    task: str = ""
    version: str = ""
    shown: set[str] = field(default_factory=set)
    permitted: Answer | None = None
    opened: list[dict[str, Any]] = field(default_factory=list)
    refused: dict[str, Answer] = field(default_factory=dict)
    outside: Answer | None = None
    states: list[Any] = field(default_factory=list)
    resource: str = ""
    prompt: str = ""
    other_resource: str = ""
    unknown: int = 0
    mailed: Answer | None = None
    ended: Answer | None = None
    shown_afterwards: set[str] = field(default_factory=set)

    @property
    def subject(self) -> str:
        return f"Reply over {self.pair} by {self.kind}"

    @property
    def server(self) -> str:
        return "support_desk_http" if self.pair.endswith("http") else "support_desk"


async def session(seen: Seen, how_it_ends: tuple[str, ...]) -> None:
    """Everything a client does in one session."""
    made = seen.desk
    async with connected(seen) as agent:
        seen.version = agent.version
        seen.shown = await agent.tools()
        # A client of 2026-07-28 says nothing before its first request; the task is open now at any rate.
        seen.task = seen.task or made.last_task()
        before = len(made.opened_by())
        seen.permitted = await agent.call("read_ticket", ticket_id="T-1041")
        seen.states.append(made.state())
        for reason, (tool, arguments) in REFUSED.items():
            seen.refused[reason] = await agent.call(tool, **arguments)
        seen.outside = await agent.call("delete_customer", customer_id="C-7")
        seen.other_resource = await agent.read("file:///etc/passwd")
        seen.unknown = await agent.unknown("tools/erase")
        seen.states.append(made.state())
        seen.resource = await agent.read("ticket://T-1041")
        seen.prompt = await agent.prompt("draft_reply", ticket_id="T-1041")
        mail = {"to": "ines@northwind.example", "subject": seen.subject, "body": "Sorry!"}
        seen.mailed = await agent.call("send_email", **mail)
        made.hopward(*(seen.task if word == "TASK" else word for word in how_it_ends))
        seen.ended = await agent.call("read_ticket", ticket_id="T-1041")
        seen.shown_afterwards = await agent.tools()
        seen.opened = made.opened_by()[before:]


@asynccontextmanager
async def connected(seen: Seen) -> AsyncIterator[Agent]:
    """A client of a kind at the guarded desk, with a task of its own."""
    made = seen.desk
    if seen.pair.startswith("stdio"):
        async with over_stdio(seen.kind, made.folder, seen.server, "--workflow", "support") as agent:
            yield agent
        return
    seen.task = made.open_task("support")
    token = made.token(seen.task, seen.server)
    async with over_http(seen.kind, made.endpoint(seen.server), token) as agent:
        yield agent


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with open_desk(tmp_path_factory.mktemp("desk")) as made:
        yield made


@pytest.fixture(
    scope="module",
    params=[(pair, kind) for pair in get_args(Pair) for kind in EVERY],
    ids=lambda param: f"{param[0]}-{param[1]}",
)
def seen(made: Desk, request: pytest.FixtureRequest) -> Seen:
    """One session of each client over each pair of transports."""
    param: tuple[Pair, Kind] = request.param
    pair, kind = param
    seen = Seen(made, pair, kind)
    revoke = ("revoke", "task", "TASK", "--why", "a test")
    asyncio.run(session(seen, revoke if kind.library == "sdk" else ("task", "complete", "TASK")))
    return seen


def test_a_permitted_call_returns_what_the_server_says(seen: Seen) -> None:
    assert seen.version == ("2025-11-25" if seen.kind.mode == "legacy" else "2026-07-28")
    assert seen.permitted is not None
    assert seen.permitted.is_error is False
    assert seen.permitted.structured is not None
    assert seen.permitted.structured["customer"]["name"] == "Ines Aramburu"


def test_the_server_received_a_credential_for_this_call_and_no_other(seen: Seen) -> None:
    first, *_ = seen.opened
    claims = first["claims"]
    assert (first["method"], first["name"]) == ("tools/call", "read_ticket")
    assert claims["aud"] == seen.desk.resource(seen.server)
    assert claims["scope"] == f"{seen.server}/read_ticket"
    assert claims["act"]["sub"].endswith("support-agent")
    assert claims["txn"] == seen.task
    assert 0 < claims["exp"] - claims["iat"] <= 60
    rows = seen.desk.decision(claims["decision"])
    assert list(rows) == ["decision", "credential", "outcome"]
    assert rows["credential"].record["credential"]["id"] == claims["jti"]
    assert (rows["decision"].verdict, rows["outcome"].reason) == ("permit", "ok")


@pytest.mark.parametrize("reason", REFUSED)
def test_a_refused_call_says_why_and_names_its_decision(seen: Seen, reason: str) -> None:
    answer = seen.refused[reason]
    assert answer.is_error is True
    assert answer.decision["reason"] == reason
    assert answer.decision["id"] in answer.text
    assert "not executed" in answer.text
    row, *behind = seen.desk.rows(decision=answer.decision["id"])
    assert [one.kind for one in behind] == ["approval"] * (reason == "approval_required")
    assert row.verdict == answer.decision["verdict"] != "permit"
    assert row.task == seen.task


def test_a_tool_outside_the_task_is_neither_listed_nor_callable(seen: Seen) -> None:
    assert seen.shown == OFFERED - {"delete_customer"}
    assert seen.outside is not None
    assert seen.outside.is_error is True
    assert seen.outside.decision["reason"] == "outside_task"
    assert seen.outside.decision["id"] in seen.outside.text
    (row,) = [row for row in seen.desk.rows(task=seen.task) if row.tool == "delete_customer"]
    assert (row.kind, row.verdict) == ("decision", "deny")


def test_what_was_refused_had_no_effect_on_the_server(seen: Seen) -> None:
    before, after = seen.states
    assert before == after
    names = [one["name"] for one in seen.opened]
    assert names == ["read_ticket", "resource:ticket://T-1041", "prompt:draft_reply", "send_email"]


def test_resources_and_prompts_are_guarded_like_tools(seen: Seen) -> None:
    assert "cracked" in seen.resource
    assert "Kettle" in seen.prompt
    assert "not executed" in seen.other_resource


def test_an_unknown_method_is_refused_and_the_session_goes_on(seen: Seen) -> None:
    assert seen.unknown == -32601


def test_what_the_task_may_do_has_its_effect(seen: Seen) -> None:
    assert seen.mailed is not None
    assert seen.mailed.is_error is False
    assert [row[-1] for row in seen.desk.state()["mail"]].count(seen.subject) == 1


def test_a_task_ended_by_another_process_refuses_the_next_call_of_an_open_session(seen: Seen) -> None:
    assert seen.ended is not None
    assert seen.ended.is_error is True
    ended_by = "task_revoked" if seen.kind.library == "sdk" else "task_completed"
    assert seen.ended.decision["reason"] == ended_by
    assert seen.ended.decision["id"] in seen.ended.text
    assert seen.shown_afterwards == set()


def test_the_log_holds_the_rows_of_the_session_in_order(seen: Seen) -> None:
    permitted = [("decision", "permit"), ("credential", ""), ("outcome", "ok")]
    denied = ("decision", "deny")
    expected = [
        ("task", "opened"),
        *permitted,  # read_ticket
        denied,
        denied,
        ("decision", "step-up"),
        ("approval", "requested"),
        denied,  # delete_customer
        denied,  # the other MCP resource
        ("refusal", "deny"),  # the unknown method
        *permitted,  # the MCP resource
        *permitted,  # the prompt
        *permitted,  # the mail
        ("revocation", "revoked") if seen.kind.library == "sdk" else ("task", "completed"),
        denied,
    ]
    rows = seen.desk.rows(task=seen.task)
    told = [(row.kind, row.verdict or row.reason or row.record.get("event", "")) for row in rows]
    # A credential without a decision introduced the proxy to the server: for tools/list and the like.
    kept = [pair for row, pair in zip(rows, told, strict=True) if row.decision or row.kind != "credential"]
    assert kept == expected


def test_after_all_sessions_the_log_verifies(made: Desk) -> None:
    assert "verifies" in made.hopward("log", "verify")


def test_the_agents_own_token_does_not_open_the_server(made: Desk) -> None:
    token = made.token(made.open_task("support"), "support_desk_http")
    params: dict[str, Any] = {"name": "read_ticket", "arguments": {"ticket_id": "T-1041"}}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/json, text/event-stream"}
    opened = len(made.opened_by())
    answer = httpx2.post(made.resource("support_desk_http"), json=message, headers=headers)
    assert answer.status_code == 401
    assert len(made.opened_by()) == opened


def test_no_token_stands_in_any_file_of_the_project(made: Desk) -> None:
    token = made.token(made.open_task("support"), "support_desk_http")
    secrets = (token.rsplit(".", 1)[1].encode(), b"eyJhbGciOi")
    files = [path for path in made.folder.rglob("*") if path.is_file()]
    assert [path for path in files if any(secret in path.read_bytes() for secret in secrets)] == []
