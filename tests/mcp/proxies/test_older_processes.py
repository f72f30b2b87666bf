"""Calls that wait for input in processes of an older server, over HTTP: whose they are, and how they end."""

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from .fronting import Answered, Fronted
from .installation import rows
from .operating import operated
from .processes import Processes, killed, modern, process_server, processes, shown

ROOTS = {"io.modelcontextprotocol/clientCapabilities": {"roots": {}}}
BROUGHT = {"1": {"roots": [{"uri": "file:///a"}]}}


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Processes]:
    async with processes(tmp_path, "legacy") as running:
        yield running


async def asked(served: Processes, token: str) -> str:
    """The state of a call that waits."""
    answered = await served.call(token, "ask", meta=ROOTS)
    result = answered.message["result"]
    assert result["inputRequests"] == {"1": {"method": "roots/list"}}
    return result["requestState"]


async def brought(served: Processes, token: str, state: str) -> Answered:
    return await served.call(token, "ask", 2, meta=ROOTS, requestState=state, inputResponses=BROUGHT)


async def test_the_next_round_goes_to_the_process_that_waits(served: Processes) -> None:
    token = served.front.token()
    answered = await brought(served, token, await asked(served, token))
    assert shown(answered)["result"] == BROUGHT["1"]
    assert len(served.pids) == 1
    calls = [row.record["outcome"] for row in rows(served.front.guard, "outcome")]
    assert [(one["status"], one["error"]) for one in calls[-1:]] == [("ok", "")]


async def test_another_principals_round_reaches_neither_process(served: Processes) -> None:
    token, thief = served.front.token(), served.front.token(subject="bob")
    state = await asked(served, token)
    for stealing in (thief, served.front.token()):
        answered = await brought(served, stealing, state)
        assert (answered.status, answered.message["error"]["code"]) == (400, -32602)
    assert "file:///a" not in json.dumps(served.received)
    assert shown(await brought(served, token, state))["result"] == BROUGHT["1"]


async def test_many_principals_bring_their_input_to_their_own_calls(served: Processes) -> None:
    tokens = [served.front.token(subject=f"user-{n}") for n in range(12)]
    states = await asyncio.gather(*(asked(served, token) for token in tokens))

    async def secret(number: int) -> Any:
        mine = {"1": {"roots": [{"uri": f"file:///secret-{number}"}]}}
        call = {"requestState": states[number], "inputResponses": mine}
        answered = await served.call(tokens[number], "ask", "one", meta=ROOTS, **call)
        return shown(answered)["result"]["roots"][0]["uri"]

    found = await asyncio.gather(*map(secret, range(12)))
    assert found == [f"file:///secret-{n}" for n in range(12)]
    assert len(served.pids) == 12


async def test_a_process_that_ends_takes_its_waiting_calls_with_it_and_says_so(served: Processes) -> None:
    token = served.front.token()
    state = await asked(served, token)
    killed(served.pids[0])
    while "input_abandoned" not in [row.reason for row in rows(served.front.guard, "refusal")]:
        await asyncio.sleep(0.01)
    answered = await brought(served, token, state)
    assert answered.message["error"]["code"] == -32602


async def test_a_process_in_which_a_call_waits_is_in_use(served: Processes) -> None:
    token = served.front.token()
    state = await asked(served, token)
    (worker,) = served.workers._running
    assert worker.busy
    await brought(served, token, state)
    assert not worker.busy


async def test_who_can_do_something_else_has_a_process_that_was_told_so(served: Processes) -> None:
    token = served.front.token()
    await served.call(token, "echo", meta=ROOTS)
    await served.call(token, "echo")
    await served.call(token, "echo", meta=ROOTS)
    told = [
        one["message"]["params"]["capabilities"]
        for one in served.received
        if one["message"].get("method") == "initialize"
    ]
    assert told == [{"roots": {}}, {}]
    assert len(served.pids) == 2


async def test_the_next_round_is_answered_whichever_worker_gets_it() -> None:
    # Names of Unix sockets are short.
    with tempfile.TemporaryDirectory(prefix="h") as name:
        folder = Path(name)
        more = process_server(folder / "old", "legacy", name="old")
        async with AsyncExitStack() as stack:
            serve = await stack.enter_async_context(operated(folder, "workers = 2", more, TMPDIR=name))
            await serve.until_said("2 workers serve")
            ours, theirs = [await serve.pinned(stack, number) for number in (0, 1)]
            token = ours.token("old")

            async def call(front: Fronted, **more: Any) -> dict[str, Any]:
                message, headers = modern("tools/call", 1, name="ask", meta=ROOTS, **more)
                return (await front.post(token, message, headers, "old")).message

            state = (await call(ours))["result"]["requestState"]
            forged = state.replace("hopward.0.", "hopward.7.")
            gone = await call(theirs, requestState=forged, inputResponses=BROUGHT)
            assert (gone["id"], gone["error"]["code"]) == (1, -32602)
            assert "make the call anew" in gone["error"]["message"]
            answered = await call(theirs, requestState=state, inputResponses=BROUGHT)
            assert json.loads(answered["result"]["content"][0]["text"])["result"] == BROUGHT["1"]
            assert "error" in await call(ours, requestState=state, inputResponses=BROUGHT)
