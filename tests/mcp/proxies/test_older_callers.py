"""Sessions of older callers over HTTP before a server of 2026-07-28: whose they are, and how they end."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from .installation import caller_token, rows
from .older_callers import NAME, OverHttp, caller, calling
from .placing import Pair, Place, placed
from .processes import event


@pytest.fixture(params=[("http", "command"), ("http", "url")], ids="-".join)
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    pair: Pair = request.param
    async with asyncio.timeout(60), placed(tmp_path, pair) as running:
        yield running


@asynccontextmanager
async def over_http(place: Place) -> AsyncIterator[OverHttp]:
    async with caller(place) as client:
        assert isinstance(client, OverHttp)
        yield client


@asynccontextmanager
async def listening(client: OverHttp) -> AsyncIterator[aiohttp.ClientResponse]:
    """The session's own stream."""
    assert client.place.front is not None
    headers = {"Authorization": f"Bearer {client.token}", "Accept": "text/event-stream", **client.headers}
    front = client.place.front
    async with front.client.get(f"{front.base}/desk/mcp", headers=headers) as response:
        yield response


async def delete(client: OverHttp) -> int:
    assert client.place.front is not None
    headers = {"Authorization": f"Bearer {client.token}", **client.headers}
    return (await client.place.front.send("DELETE", "/desk/mcp", headers)).status


async def settled(place: Place, count: int) -> list[tuple[str, str]]:
    """The log, once so much has ended."""
    while len(rows(place.guard, "outcome")) < count:
        await asyncio.sleep(0)
    return place.log()


async def test_an_answer_of_another_session_answers_nothing(place: Place) -> None:
    async with over_http(place) as ours, over_http(place) as theirs:
        asked = await ours.ask(calling("form"))
        await theirs.say({"id": asked["id"], "result": {"action": "accept", "content": {"name": "eve"}}})
        await ours.say({"id": asked["id"], "result": NAME})
        answered = json.loads((await ours.next())["result"]["content"][0]["text"])
        assert answered["answers"]["form"]["content"] == {"name": "bo"}
    assert [row.reason for row in rows(place.guard, "refusal")] == ["unasked_answer"]


async def test_a_session_is_nobody_elses_and_ends_with_its_delete(place: Place) -> None:
    async with over_http(place) as client:
        own, client.token = client.token, caller_token(place.guard, "desk", "mallory")[0]
        await client.begin(calling("echo"))
        assert client.stream is not None
        assert client.stream.status == 404
        assert await delete(client) == 404
        client.token = own
        asked = await client.ask(calling("form"))
        stream = client.stream
        assert await delete(client) == 204
        assert b'"result"' not in await stream.read()
        await client.begin({"id": asked["id"], "result": NAME})
        assert client.stream.status == 404
    assert place.log() == [("form", "ok")]


async def test_a_call_under_way_is_given_up_with_its_session(place: Place) -> None:
    async with over_http(place) as client:
        # Its stream begins only with its first event, so nobody waits for that here.
        begun = asyncio.create_task(client.begin(calling("slow")))
        await place.until({"method": "tools/call"})
        assert await delete(client) == 204
        await place.until({"cancelled": "slow"})
        await begun
    assert await settled(place, 1) == [("slow", "cancelled")]


async def test_what_answers_nothing_goes_to_the_sessions_stream_and_waits_for_it(place: Place) -> None:
    async with over_http(place) as client:
        subscribed = {"id": 5, "method": "resources/subscribe", "params": {"uri": "ticket://1"}}
        assert (await client.ask(subscribed))["result"] == {}
        assert "result" in await client.ask(calling("touch"))
        async with listening(client) as stream:
            assert (await event(stream))["params"] == {"uri": "ticket://1"}
            await place.until({"method": "subscriptions/listen"}, 2)
            while (await client.ask(calling("touch", 2)))["id"] == 2:
                if (told := await event(stream))["method"] == "notifications/tools/list_changed":
                    break
            assert told["params"] == {}
            place.guard.complete_task(client.task)
            await place.until({"method": "tools/call"}, 2)
        assert await delete(client) == 204


async def test_a_session_does_not_become_idle_while_its_stream_is_open(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with over_http(place) as client, listening(client):
        assert place.front is not None
        sessions = place.front.app._endpoints["/desk/mcp"]._end.sessions
        later = asyncio.get_running_loop().time() + 2 * sessions.idle
        monkeypatch.setattr(sessions, "_now", lambda: later)
        async with over_http(place):
            assert "result" in await client.ask(calling("echo"))


async def test_a_token_of_too_narrow_a_scope_is_told_which_one_it_wants(tmp_path: Path) -> None:
    async with (
        asyncio.timeout(60),
        placed(tmp_path, ("http", "command")) as place,
        over_http(place) as client,
    ):
        assert place.front is not None
        narrow, _ = caller_token(place.guard, "desk", scope=("desk/echo",))
        client.token, client.headers = narrow, {}
        client.headers = {"Mcp-Session-Id": await place.front.initialize(narrow)}
        await client.begin(calling("form"))
        assert client.stream is not None
        assert client.stream.status == 403
        assert 'scope="desk/form"' in client.stream.headers["www-authenticate"]
        assert "result" in await client.ask(calling("echo"))


async def test_only_the_first_session_tries_the_era_that_the_server_does_not_speak(place: Place) -> None:
    async with over_http(place), over_http(place):
        assert len(place.params("initialize")) <= 1
        assert len(place.params("server/discover")) >= 2


async def test_a_proxy_that_is_stopped_ends_streams_questions_and_calls_and_records_them(
    place: Place,
) -> None:
    async with over_http(place) as client, listening(client) as stream:
        assert place.front is not None
        ongoing = place.front.app._endpoints["/desk/mcp"].gate.ongoing
        await client.ask(calling("form"))
        asked = client.stream
        assert asked is not None
        slow = asyncio.create_task(client.begin(calling("slow", 2)))
        while len(place.params("tools/call")) < 2:
            await asyncio.sleep(0)
        ongoing.end_streams()
        await stream.read()
        assert len(ongoing) > 0
        ongoing.end_all()
        await asked.read()
        await slow
        await ongoing.settled()
    assert await settled(place, 3) == [("form", "ok"), ("slow", "unknown")]
