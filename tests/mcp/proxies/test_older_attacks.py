"""What could go wrong between two rounds of an older client's call, over stdio and over HTTP."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from .installation import rows
from .older_callers import NAME, OverHttp, caller, calling
from .placing import PAIRS, Pair, Place, placed


@pytest.fixture(params=PAIRS, ids="-".join)
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    pair: Pair = request.param
    async with asyncio.timeout(60), placed(tmp_path, pair) as running:
        yield running


def refusals(place: Place) -> list[str]:
    return [row.reason for row in rows(place.guard, "refusal")]


async def settled(place: Place, count: int) -> list[tuple[str, str]]:
    """The log, once so many permitted calls have ended."""
    while len(rows(place.guard, "outcome")) < count:
        await asyncio.sleep(0)
    return place.log()


async def test_an_answer_to_what_nobody_asked_and_a_second_answer_are_refused(place: Place) -> None:
    async with caller(place) as client:
        await client.say({"id": 4711, "result": NAME})
        asked = await client.ask(calling("form"))
        await client.say({"id": asked["id"], "result": NAME})
        assert "result" in await client.next()
        await client.say({"id": asked["id"], "result": {"action": "accept", "content": {"name": "eve"}}})
        assert "result" in await client.ask({"id": 2, "method": "ping"})
    assert refusals(place) == ["unasked_answer"] * 2
    assert len(place.params("tools/call")) == 2


async def test_rounds_without_an_end_are_ended(place: Place) -> None:
    async with caller(place) as client:
        message = await client.ask(calling("endless"))
        while "method" in message:
            await client.say({"id": message["id"], "result": NAME})
            message = await client.next()
        assert "asked for too much" in message["error"]["message"]
    assert place.log() == [("endless", "ok")] * 11
    assert refusals(place) == ["too_many_rounds"]


async def test_a_task_that_ends_between_two_rounds_refuses_the_next(place: Place) -> None:
    async with caller(place) as client:
        asked = await client.ask(calling("form"))
        place.guard.complete_task(client.task)
        await client.say({"id": asked["id"], "result": NAME})
        refused = await client.next()
        assert refused["result"]["isError"] is True
        assert "resultType" not in refused["result"]
    assert len(place.params("tools/call")) == 1
    decided = [row.verdict for row in rows(place.guard, "decision") if row.tool == "form"]
    assert decided == ["permit", "deny"]
    assert place.questions() == [("request:elicitation/create", "ok")]


async def test_a_server_that_is_gone_between_two_rounds_fails_the_call(place: Place) -> None:
    async with caller(place) as client:
        asked = await client.ask(calling("form"))
        os.kill([one["pid"] for one in place.seen if "pid" in one][-1], signal.SIGKILL)
        await client.say({"id": asked["id"], "result": NAME})
        while "method" in (answer := await client.next()):
            assert answer["method"] == "notifications/cancelled"
        assert "error" in answer or "result" in answer
    assert "?" not in [ended for _, ended in place.log()]


async def test_a_client_that_leaves_between_two_rounds_leaves_every_call_with_an_outcome(
    place: Place,
) -> None:
    async with caller(place) as client:
        await client.ask(calling("form"))
        await client.leave()
    assert await settled(place, 1) == [("form", "ok")]
    assert len(place.params("tools/call")) == 1


async def test_a_client_that_refuses_or_does_not_offer_what_is_wanted_gets_an_error(place: Place) -> None:
    async with caller(place, {"elicitation": {}}) as client:
        asked = await client.ask(calling("form"))
        await client.say({"id": asked["id"], "error": {"code": -1, "message": "no"}})
        assert "did not do what the server asked" in (await client.next())["error"]["message"]
        refused = await client.ask(calling("visit", 2))
        assert "does not offer" in refused["error"]["message"]
        assert "sampling" in (await client.ask(calling("sample", 3)))["error"]["message"]
        assert "result" in await client.ask(calling("echo", 4))
    assert refusals(place) == ["not_offered"] * 2


async def test_one_refused_answer_takes_the_other_questions_back(place: Place) -> None:
    async with caller(place) as client:
        await client.begin(calling("all"))
        asked = [await client.next() for _ in range(3)]
        await client.say({"id": asked[0]["id"], "error": {"code": -1, "message": "no"}})
        withdrawn = [await client.next() for _ in range(2)]
        assert [one["method"] for one in withdrawn] == ["notifications/cancelled"] * 2
        assert {one["params"]["requestId"] for one in withdrawn} == {one["id"] for one in asked[1:]}
        assert "error" in await client.next()


async def test_a_call_that_is_cancelled_between_two_rounds_is_not_made_again(place: Place) -> None:
    async with caller(place) as client:
        asked = await client.ask(calling("form"))
        await client.say({"method": "notifications/cancelled", "params": {"requestId": 1}})
        withdrawn = await client.next()
        assert withdrawn["params"]["requestId"] == asked["id"]
        await client.say({"id": asked["id"], "result": NAME})
        assert "result" in await client.ask(calling("echo"))
    assert [one["name"] for one in place.params("tools/call")] == ["form", "echo"]


async def test_an_id_under_way_cannot_be_used_again_between_two_rounds(place: Place) -> None:
    async with caller(place) as client:
        asked = await client.ask(calling("form"))
        stream = getattr(client, "stream", None)
        assert (await client.ask(calling("echo")))["error"]["code"] == -32600
        if isinstance(client, OverHttp):
            client.stream = stream
        await client.say({"id": asked["id"], "result": NAME})
        assert (await client.next())["id"] == 1
    assert len(place.params("tools/call")) == 2


async def test_a_client_cannot_forge_a_round_or_speak_for_the_bridge(place: Place) -> None:
    async with caller(place) as client:
        forged = calling("form", **{"io.modelcontextprotocol/clientCapabilities": {"vendor": {}}})
        forged["params"] |= {"inputResponses": {"form": NAME}, "requestState": "mine"}
        assert (await client.ask(forged))["method"] == "elicitation/create"
        for method in ("initialize", "server/discover", "subscriptions/listen", "tasks/list"):
            answer = await client.ask({"id": method, "method": method, "params": {}})
            assert answer["error"]["code"] in (-32600, -32601)
    (only,) = place.params("tools/call")
    assert "inputResponses" not in only
    assert "requestState" not in only
    assert "vendor" not in only["_meta"]["io.modelcontextprotocol/clientCapabilities"]


async def test_a_request_the_server_may_not_make_is_not_made_and_fails_its_call(tmp_path: Path) -> None:
    async with asyncio.timeout(60), placed(tmp_path, ("stdio", "command"), asked=("roots/list",)) as place:
        async with caller(place) as client:
            refused = await client.ask(calling("form"))
            assert "has not been classified" in refused["error"]["message"]
        assert place.log() == [("form", "error")]
