"""What callers and processes may try on each other, over HTTP before a server with a `command`."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from .installation import rows
from .processes import Processes, killed, processes, shown

PRINCIPALS = 20


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Processes]:
    async with processes(tmp_path) as running:
        yield running


async def test_another_principals_session_is_not_found_and_lives_on(served: Processes) -> None:
    ours = await served.session(served.front.token())
    for thief in (served.front.token(subject="bob"), served.front.token()):
        session = {"Mcp-Session-Id": ours.headers["Mcp-Session-Id"], "Authorization": f"Bearer {thief}"}
        for method in ("GET", "DELETE"):
            assert (await served.front.send(method, "/desk/mcp", session)).status == 404
        assert (await served.front.post(thief, {"id": 1, "method": "ping"}, session)).status == 404
    assert (await ours.call("echo")).status == 200
    assert len(served.workers) == 1


@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_equal_request_ids_of_many_principals_never_cross(served: Processes, era: str) -> None:
    """Each has one secret, and two calls that come back in reverse; in the newer era even of one id."""
    tokens = [served.front.token(subject=f"user-{n}") for n in range(PRINCIPALS)]

    async def secrets(number: int, token: str) -> list[str]:
        session = await served.session(token) if era == "legacy" else None
        found: list[str] = []
        for message_id in ("one", "one") if session is None else ("one", 1):
            secret = {"secret": f"{number}"}
            if session is None:
                found.append(served.call(token, "pair", message_id, arguments=secret))  # type: ignore[arg-type]
            else:
                found.append(session.call("pair", message_id, arguments=secret))  # type: ignore[arg-type]
        answers = await asyncio.gather(*found)  # type: ignore[call-overload]
        return [shown(answered)["arguments"]["secret"] for answered in answers]

    found = await asyncio.gather(*(secrets(number, token) for number, token in enumerate(tokens)))
    assert found == [[f"{number}"] * 2 for number in range(PRINCIPALS)]
    subjects: dict[int, set[str]] = {}
    for one in served.received:
        if one["message"].get("method") == "tools/call":
            credential = one["message"]["params"]["_meta"]["dev.hopward/credential"]
            subjects.setdefault(one["pid"], set()).add(served.front.guard.issuer.verify(credential).subject)
    assert sorted(map(len, subjects.values())) == [1] * PRINCIPALS


async def test_a_process_that_is_killed_in_a_call_is_answered_for_and_started_anew(served: Processes) -> None:
    token, theirs = served.front.token(), served.front.token(subject="bob")
    before = shown(await served.call(token, "echo"))["pid"]
    other = shown(await served.call(theirs, "echo"))["pid"]
    calls = [asyncio.create_task(served.call(token, "slow", n)) for n in (1, 2)]
    await served.until("tools/call", 4)
    killed(before)
    for number, answered in enumerate(await asyncio.gather(*calls), 1):
        assert answered.message["id"] == number
        assert "was ended by signal 9" in answered.message["error"]["message"]
    assert shown(await served.call(token, "echo"))["pid"] not in (before, other)
    assert shown(await served.call(theirs, "echo"))["pid"] == other
    outcomes = [row.record["outcome"] for row in rows(served.front.guard, "outcome")]
    assert [one["status"] for one in outcomes] == ["ok", "ok", "unknown", "unknown", "ok", "ok"]
    assert {one["error"] for one in outcomes} == {"", "server_lost"}


async def test_a_session_ends_with_its_process(served: Processes) -> None:
    session = await served.session(served.front.token())
    async with session.stream() as stream:
        answered = await session.call("die")
        assert "exited with status 3" in answered.message["error"]["message"]
        assert await stream.content.read() == b""
    assert (await session.call("echo")).status == 404
    assert (await (await served.session(session.token)).call("echo")).status == 200


async def test_a_server_that_keeps_ending_is_started_after_a_pause_only(served: Processes) -> None:
    token = served.front.token()
    for _ in range(2):
        assert "exited" in (await served.call(token, "die")).message["error"]["message"]
    paused = (await served.call(token, "echo")).message["error"]["message"]
    assert "has ended 2 times; it is started again in 1 s" in paused
    assert (await served.call(served.front.token(subject="bob"), "echo")).message["result"]
    assert len(served.pids) == 3


@pytest.mark.parametrize("era", ["modern", "legacy"])
@pytest.mark.parametrize("tool", ["torrent", "pester"])
async def test_a_process_that_floods_does_not_keep_others_from_theirs(
    served: Processes, tool: str, era: str
) -> None:
    token, theirs = served.front.token(), served.front.token(subject="bob")
    session = await served.session(token)
    meta = {"io.modelcontextprotocol/logLevel": "info"}
    call = session.call(tool) if era == "legacy" else served.call(token, tool, meta=meta)
    flooded = asyncio.create_task(call)
    await served.until("tools/call")
    for _ in range(5):
        assert (await served.call(theirs, "echo")).status == 200
    flooded.cancel()
    await session.delete()


async def test_a_process_is_read_no_faster_than_its_caller_reads(served: Processes) -> None:
    session = await served.session(served.front.token())
    worker = next(iter(served.workers._running))
    headers = {**session.headers, "Authorization": f"Bearer {session.token}"}
    headers |= {"Content-Type": "application/json", "Accept": "text/event-stream"}
    call = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"torrent"}}'
    url = f"{served.front.base}/desk/mcp"
    async with served.front.client.post(url, headers=headers, data=call):
        while not worker._held:
            await asyncio.sleep(0)
        assert (await served.call(served.front.token(subject="bob"), "echo")).status == 200
        assert worker._held
        assert sum(outlet._size for outlet in worker._unread) < 1_000_000
    await session.delete()


async def test_a_flood_that_nobody_reads_is_bounded(served: Processes) -> None:
    session = await served.session(served.front.token())
    flooded = asyncio.create_task(session.call("torrent"))
    await served.until("tools/call")
    flooded.cancel()
    worker = next(iter(served.workers._running))
    for _ in range(5):
        assert (await served.call(served.front.token(subject="bob"), "echo")).status == 200
    assert worker._unheard_size <= 65_536 + 2_000
    await session.delete()


@pytest.mark.parametrize(("tool", "told"), [("flood", "proxy.max_message_bytes"), ("garbage", "malformed")])
async def test_an_answer_that_is_none_fails_the_call_clearly_and_only_it(
    served: Processes, tool: str, told: str
) -> None:
    token = served.front.token()
    answered = await served.call(token, tool, "mine")
    assert (answered.message["id"], told in answered.message["error"]["message"]) == ("mine", True)
    assert (await served.call(token, "echo")).message["result"]
    assert [row.reason for row in rows(served.front.guard, "outcome")] == ["error", "ok"]


@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_a_process_that_never_answers_costs_its_caller_the_time_limit(tmp_path: Path, era: str) -> None:
    async with processes(tmp_path, limits="call_timeout_seconds = 1") as served:
        token, theirs = served.front.token(), served.front.token(subject="bob")
        session = await served.session(token)
        slow = session.call("slow") if era == "legacy" else served.call(token, "slow")
        waiting = asyncio.create_task(slow)
        await served.until("tools/call")
        assert (await served.call(theirs, "echo")).message["result"]
        assert not waiting.done()
        assert (await waiting).message["error"]["code"] == -32001
        errors = [row.record["outcome"]["error"] for row in rows(served.front.guard, "outcome")]
        assert errors == ["", "timed_out"]
        await served.until("notifications/cancelled")
        asked = next(
            one["message"] for one in served.received if one["message"].get("method") == "tools/call"
        )
        assert served.received[-1]["message"]["params"]["requestId"] == asked["id"]


async def test_a_server_that_answers_nothing_at_all_is_given_up_in_time(tmp_path: Path) -> None:
    async with processes(tmp_path, "mute", "call_timeout_seconds = 1") as served:
        answered = await served.call(served.front.token(), "echo")
        assert "error" in answered.message
        while len(served.workers):
            await asyncio.sleep(0)
        assert "tools/call" not in served.methods


async def test_own_meta_is_taken_out_both_ways(served: Processes) -> None:
    meta = {"dev.hopward/credential": "forged", "DEV.hopward/x": 1}
    answered = await served.call(served.front.token(), "stream", meta=meta)
    sent = served.received[-1]["message"]["params"]["_meta"]
    assert {key for key in sent if key.lower().startswith("dev.hopward")} == {"dev.hopward/credential"}
    assert sent["dev.hopward/credential"] != "forged"
    assert "forged" not in json.dumps(answered.events or answered.message)


async def test_the_callers_token_reaches_no_process(served: Processes) -> None:
    token = served.front.token()
    await served.call(token, "echo")
    await (await served.session(token)).call("echo")
    assert token not in served.record.read_text()
