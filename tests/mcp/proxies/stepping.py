"""A session in memory whose client can be asked by the proxy, in either era; the time is the test's."""

import asyncio
import itertools
import json
from pathlib import Path
from typing import Any

from hopward import Chain, Guard
from hopward.osuser import os_user
from hopward_mcp.delivery import courier
from hopward_mcp.gate import Gate
from hopward_mcp.route import Forward, Reply, Route
from hopward_mcp.session import Session
from hopward_mcp.turn import Turn

from .installation import install, stdio_server
from .test_http_sessions import LoopTime

PAGE = "https://approve.example"
BOTH: dict[str, Any] = {"elicitation": {"form": {}, "url": {}}}
FORM: dict[str, Any] = {"elicitation": {}}
URL: dict[str, Any] = {"elicitation": {"url": {}}}
KEY = "dev.hopward/approval"

GROUPS = f"""
[approvals]
page = "{PAGE}"
wait = 60

[approvals.groups.own]
members = ["alice", "dora", "{os_user()}"]
subject_may_approve = true
in_client = true

[approvals.groups.often]
members = ["dora"]
most_times = 5

[approvals.groups.unasked]
members = ["alice", "dora", "{os_user()}"]
subject_may_approve = true

[approvals.groups.pair]
members = ["alice", "dora", "{os_user()}"]
people = 2
subject_may_approve = true
in_client = true

[approvals.groups.others]
members = ["dora"]
subject_may_approve = true
in_client = true
"""

HELD = """
@id("within-task")
permit (principal, action, resource);

@id("held") @reason("A refund is a person's decision.") @step_up("{group}")
forbid (principal, action{action}, resource);
"""


def stepping(
    folder: Path, *, group: str = "own", page: bool = True, every: bool = False, more: str = ""
) -> Path:
    """An installation before `desk` where a refund needs the approval of a group, or everything does."""
    groups = GROUPS if page else GROUPS.replace(f'page = "{PAGE}"\n', "")
    held(folder, "" if every else "refund", group)
    return install(folder, stdio_server(folder / "record") + groups + more)


def held(folder: Path, tool: str, group: str = "own") -> None:
    """Have the policies of an installation to be hold back a tool of `desk`, or, without one, everything."""
    action = f' == Hopward::Action::"desk/{tool}"' if tool else ""
    (folder / "policies").mkdir()
    (folder / "policies" / "held.cedar").write_text(HELD.format(group=group, action=action), "utf-8")


class Caller:
    """Hears what the proxy says before it answers."""

    def __init__(self, heard: list[dict[str, Any]], *, hears: bool = True) -> None:
        self.hears = hears
        self.waited = 0
        self._heard = heard

    def waits(self) -> None:
        self.waited += 1

    def tell(self, body: bytes, /) -> None:
        self._heard.append(json.loads(body))


class Client:
    """One client of a session in memory. `heard` is what it was told, `forwarded` what the server got."""

    def __init__(
        self, guard: Guard, *, modern: bool, capabilities: dict[str, Any], subject: str = "alice"
    ) -> None:
        self.guard = guard
        self.turn = Turn(guard, asyncio.get_running_loop())
        self.gate = Gate(guard, "desk", courier=courier(guard.settings, "desk", {}), turn=self.turn)
        self.gate.now = self.time = LoopTime()
        self.heard: list[dict[str, Any]] = []
        self.forwarded: list[dict[str, Any]] = []
        self.caller = Caller(self.heard)
        self.modern = modern
        self.capabilities = capabilities
        self._ids = itertools.count(100)
        self.session = Session(self.gate)
        self.chain: Chain = guard.enter(guard.open_task("tickets", subject).id)
        if not modern:
            opening = {"protocolVersion": "2025-11-25", "capabilities": capabilities}
            self.says({"id": 0, "method": "initialize", "params": opening})

    def says(self, message: dict[str, Any], chain: Chain | None = None, *, flush: bool = True) -> None:
        """A message of the client, `last` once it has been read; decided at once with `flush`."""
        self.last = self.gate.read_client(json.dumps({"jsonrpc": "2.0", **message}).encode())
        self.session.client.judge(self.last, chain or self.chain, self.judged, caller=self.caller)
        if flush:
            self.turn.flush()

    def call(self, tool: str = "refund", arguments: Any = None, **more: Any) -> int:
        """A tools/call; its id."""
        arguments = {"amount": 5} if arguments is None else arguments
        return self.asks("tools/call", name=tool, arguments=arguments, **more)

    def asks(self, method: str, **params: Any) -> int:
        """A request, maybe of another chain; its id."""
        message_id = next(self._ids)
        chain: Chain | None = params.pop("chain", None)
        flush: bool = params.pop("flush", True)
        meta: dict[str, Any] = params.pop("meta", {})
        if self.modern:
            meta |= {
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientCapabilities": self.capabilities,
            }
        params |= {"_meta": meta} if meta else {}
        self.says({"id": message_id, "method": method, "params": params}, chain, flush=flush)
        return message_id

    def server_says(self, message: dict[str, Any]) -> None:
        """A message of the server."""
        self.session.server.judge(json.dumps({"jsonrpc": "2.0", **message}).encode(), self.answered)
        self.turn.flush()

    def answer(self, message_id: int) -> dict[str, Any] | None:
        """The result of a request, None while there is none."""
        found = [one for one in self.heard if one.get("id") == message_id and "method" not in one]
        assert len(found) <= 1
        return found[0]["result"] if found else None

    def required(self, message_id: int) -> tuple[dict[str, Any], str]:
        """What a call of 2026-07-28 was answered with: the params of our question, and the state."""
        result = self.answer(message_id)
        assert result is not None
        assert result["resultType"] == "input_required"
        (asked,) = result["inputRequests"].values()
        assert asked["method"] == "elicitation/create"
        return asked["params"], result["requestState"]

    def retry(self, state: str, answer: Any, **more: Any) -> int:
        """The call again, with an answer to our question."""
        return self.call(inputResponses={KEY: answer}, requestState=state, **more)

    def questions(self) -> list[dict[str, Any]]:
        """What an older client has been asked."""
        return [one for one in self.heard if one.get("method") == "elicitation/create"]

    def replies(self, question: dict[str, Any], **result: Any) -> None:
        """An older client answers."""
        self.says({"id": question["id"], "result": result})

    def refusal(self, message_id: int) -> dict[str, Any]:
        """What a call was refused with: id, verdict, reason, approval."""
        result = self.answer(message_id)
        assert result is not None
        assert result["isError"] is True
        return result["_meta"]["dev.hopward/decision"]

    def look(self) -> None:
        """A second passes in which the ledger is looked at."""
        self.gate.waiting.look()
        self.turn.flush()

    def told(self, method: str) -> list[dict[str, Any]]:
        """The params of the notifications of one method."""
        return [one["params"] for one in self.heard if one.get("method") == method]

    def judged(self, route: Route) -> None:
        """Where a message of the client goes."""
        if isinstance(route, Forward):
            self.forwarded.append(json.loads(route.body))
        elif isinstance(route, Reply):
            self.heard.append(json.loads(route.body))

    def answered(self, route: Route) -> None:
        """What comes for the client from the server, or in its place."""
        if isinstance(route, Forward):
            self.heard.append(json.loads(route.body))
