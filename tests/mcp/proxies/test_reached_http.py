"""A step-up at the HTTP front: who waits, who leaves, who answers, and which worker is asked."""

import asyncio
import json
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hopward import Guard
from hopward_mcp import visit
from hopward_mcp.gate import Gate

from .fronting import LEGACY, Fronted, front, modern_call
from .installation import rows
from .operating import operated
from .stepping import BOTH, FORM, GROUPS, KEY, held

ACCEPT: dict[str, Any] = {"action": "accept"}
YES: dict[str, Any] = {"action": "accept", "content": {"approve": "yes"}}
EVENTS = "application/json, text/event-stream"


@dataclass(slots=True)
class Place:
    """The front, a caller's token, and the gate of its endpoint."""

    front: Fronted
    token: str

    @property
    def gate(self) -> Gate:
        return self.front.app._endpoints["/desk/mcp"].gate  # type: ignore[attr-defined]

    async def waits(self, count: int = 1) -> None:
        """Until so many calls wait."""
        while len(self.gate.waiting) != count:
            await asyncio.sleep(0)

    def approve(self) -> None:
        (found,) = self.front.guard.approvals.find()
        self.front.guard.approvals.approve(found.id, by="dora")

    async def session(self, capabilities: dict[str, Any]) -> dict[str, str]:
        """The headers of a session of 2025-11-25."""
        params = {"protocolVersion": LEGACY, "capabilities": capabilities}
        opened = await self.front.post(self.token, {"id": 0, "method": "initialize", "params": params})
        return {"Mcp-Session-Id": opened.headers["mcp-session-id"], "MCP-Protocol-Version": LEGACY}


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    held(tmp_path, "echo")
    async with asyncio.timeout(60), front(tmp_path, ("desk",), more=GROUPS) as running:
        yield Place(running, running.token())


def modern(state: str = "", answer: Any = None, capabilities: Any = BOTH) -> tuple[Any, dict[str, str]]:
    """A call of 2026-07-28, maybe with an answer."""
    message, headers = modern_call("echo", {"a": 1})
    message["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"] = capabilities
    if state:
        message["params"] |= {"requestState": state, "inputResponses": {KEY: answer}}
    return message, headers


LEGACY_CALL: dict[str, Any] = {
    "id": 1,
    "method": "tools/call",
    "params": {"name": "echo", "arguments": {"a": 1}},
}


async def state_of(front: Fronted, token: str) -> str:
    answered = await front.post(token, *modern())
    assert answered.status == 200
    assert answered.message["result"]["resultType"] == "input_required"
    return answered.message["result"]["requestState"]


def is_refused(message: dict[str, Any], guard: Guard) -> bool:
    told = message["result"]["_meta"]["dev.hopward/decision"]
    return told["verdict"] == "step-up" and told["approval"] == guard.approvals.find(())[0].id


class Stream:
    """A POST of an older session whose answer is read event by event."""

    def __init__(self, place: Place, session: dict[str, str], message: Any = LEGACY_CALL) -> None:
        self._place = place
        self._headers = {
            "Authorization": f"Bearer {place.token}",
            "Content-Type": "application/json",
            "Accept": EVENTS,
            **session,
        }
        self._body = json.dumps({"jsonrpc": "2.0", **message})

    async def __aenter__(self) -> "Stream":
        url = f"{self._place.front.base}/desk/mcp"
        self.response = await self._place.front.client.post(url, headers=self._headers, data=self._body)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.response.close()

    async def next(self) -> dict[str, Any]:
        event = await self.response.content.readuntil(b"\r\n\r\n")
        return json.loads(event.decode().partition("data: ")[2])


async def test_a_call_of_2026_07_28_is_answered_late_and_in_json(place: Place) -> None:
    state = await state_of(place.front, place.token)
    waiting = asyncio.create_task(place.front.post(place.token, *modern(state, ACCEPT)))
    await place.waits()
    assert place.front.servers["desk"].calls == []
    place.approve()
    answered = await waiting
    assert answered.message["result"]["vendor"] == 1
    (call,) = place.front.servers["desk"].calls
    assert not {"requestState", "inputResponses"} & call.message["params"].keys()


async def test_a_caller_that_leaves_while_it_waits_has_given_up(place: Place) -> None:
    state = await state_of(place.front, place.token)
    waiting = asyncio.create_task(place.front.post(place.token, *modern(state, ACCEPT)))
    await place.waits()
    waiting.cancel()
    await place.waits(0)
    place.approve()
    assert place.front.servers["desk"].calls == []
    # The approval is there, for who makes the call again.
    answered = await place.front.post(place.token, *modern())
    assert answered.message["result"]["vendor"] == 1


async def test_an_older_client_is_asked_on_the_stream_of_its_call(place: Place) -> None:
    session = await place.session(BOTH)
    async with Stream(place, session) as stream:
        asked = await stream.next()
        assert asked["method"] == "elicitation/create"
        assert stream.response.headers["content-type"] == "text/event-stream"
        answer = await place.front.post(place.token, {"id": asked["id"], "result": ACCEPT}, session)
        assert answer.status == 202
        place.approve()
        over = await stream.next()
        assert over["params"] == {"elicitationId": asked["params"]["elicitationId"]}
        answered = await stream.next()
        assert (answered["id"], answered["result"]["vendor"]) == (1, 1)
        assert await stream.response.content.read() == b""
    answers = [one for one in place.front.servers["desk"].received if one.method == "POST"]
    assert [one.message["method"] for one in answers] == ["initialize", "tools/call"]


async def test_a_refusal_after_the_asking_is_the_last_event(place: Place) -> None:
    session = await place.session(FORM)
    async with Stream(place, session) as stream:
        asked = await stream.next()
        await place.front.post(place.token, {"id": asked["id"], "result": {"action": "cancel"}}, session)
        assert is_refused(await stream.next(), place.front.guard)
        assert await stream.response.content.read() == b""


async def test_an_older_caller_that_leaves_while_it_is_asked_has_given_up(place: Place) -> None:
    session = await place.session(FORM)
    async with Stream(place, session) as stream:
        asked = await stream.next()
    await place.waits(0)
    late = await place.front.post(place.token, {"id": asked["id"], "result": YES}, session)
    assert late.status == 202
    assert [one.state for one in place.front.guard.approvals.find(())] == ["pending"]
    assert place.front.servers["desk"].calls == []


async def test_nobody_answers_in_the_session_of_another(place: Place) -> None:
    session = await place.session(FORM)
    other = Place(place.front, place.front.token(subject="dora"))
    own = await other.session(FORM)
    async with Stream(place, session) as stream:
        asked = await stream.next()
        answer = {"id": asked["id"], "result": YES}
        assert (await place.front.post(other.token, answer, session)).status == 404
        await place.front.post(other.token, answer, own)
        await place.front.post(place.token, answer)
        assert [one.state for one in place.front.guard.approvals.find(())] == ["pending"]
        await place.front.post(place.token, answer, session)
        assert (await stream.next())["result"]["vendor"] == 1


async def test_a_session_that_is_ended_ends_what_waits_in_it(place: Place) -> None:
    session = await place.session(FORM)
    async with Stream(place, session) as stream:
        await stream.next()
        headers = {"Authorization": f"Bearer {place.token}", **session}
        await place.front.send("DELETE", "/desk/mcp", headers)
        place.gate.waiting.look()
        await stream.response.content.read()
    await place.waits(0)
    assert place.front.servers["desk"].calls == []


async def test_an_older_caller_that_takes_no_stream_gets_a_refusal(place: Place) -> None:
    session = await place.session(BOTH)
    answered = await place.front.post(place.token, LEGACY_CALL, {**session, "Accept": "application/json"})
    assert is_refused(answered.message, place.front.guard)


async def test_who_waits_hears_that_the_connection_is_still_there(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visit, "PING", 0.01)
    state = await state_of(place.front, place.token)
    async with Stream(place, *reversed(modern(state, ACCEPT))) as stream:
        assert await stream.response.content.readuntil(b"\r\n\r\n") == b": keep-alive\r\n\r\n"
        assert await stream.response.content.readuntil(b"\r\n\r\n") == b": keep-alive\r\n\r\n"
        place.approve()
        while (event := await stream.response.content.readuntil(b"\r\n\r\n")).startswith(b":"):
            pass
        assert json.loads(event.partition(b"data: ")[2])["result"]["vendor"] == 1


async def test_an_endpoint_that_is_left_makes_nobody_wait(place: Place) -> None:
    state = await state_of(place.front, place.token)
    waiting = asyncio.create_task(place.front.post(place.token, *modern(state, ACCEPT)))
    await place.waits()
    place.front.app._endpoints["/desk/mcp"].retire()  # type: ignore[attr-defined]
    assert is_refused((await waiting).message, place.front.guard)


async def test_told_to_end_a_call_that_waits_is_refused_with_the_id_of_its_approval(tmp_path: Path) -> None:
    held(tmp_path, "echo")
    async with operated(tmp_path, "drain_seconds = 3600", GROUPS) as serve:
        token = serve.front.token()
        message, headers = modern(await state_of(serve.front, token), ACCEPT)
        sent = asyncio.create_task(serve.front.post(token, message, headers))
        # Another call is decided after the first one waits.
        await serve.front.post(
            token,
            {**message, "id": 2, "params": {**message["params"], "name": "fail"}},
            {**headers, "Mcp-Name": "fail"},
        )
        serve.tell(signal.SIGTERM)
        assert is_refused((await sent).message, serve.guard)
        assert await serve.over() == 0
        assert serve.desk.calls[1:] == []


async def test_with_several_workers_the_answer_finds_the_one_that_has_asked() -> None:
    # Names of Unix sockets are short.
    with tempfile.TemporaryDirectory(prefix="h") as name:
        folder = Path(name)
        held(folder, "echo")
        async with AsyncExitStack() as stack:
            limits = "workers = 2\ndrain_seconds = 3600"
            serve = await stack.enter_async_context(operated(folder, limits, GROUPS, TMPDIR=name))
            await serve.until_said("2 workers serve")
            ours, theirs = [await serve.pinned(stack, number) for number in (0, 1)]
            token = ours.token()
            state = await state_of(ours, token)
            answered = await theirs.post(token, *modern(state, {"action": "decline"}))
            told = answered.message["result"]["_meta"]["dev.hopward/decision"]
            assert told["reason"] == "approval_rejected"
            assert [row.record["verdict"]["name"] for row in rows(serve.guard, "decision")] == [
                "step-up",
                "deny",
            ]
