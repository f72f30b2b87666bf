"""How much the front takes at once, and how little anybody's refusals leave in the log."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hopward_mcp.tally import Tally

from .fronting import Answered, Fronted, front
from .installation import caller_token, opened, rows

KEPT = 20


@pytest.fixture
async def narrow(tmp_path: Path) -> AsyncIterator[Fronted]:
    """`desk` and `other` behind a front that takes three requests at once, and two of one caller."""
    limits = "max_requests = 3\nmax_requests_per_caller = 2\nmax_connections = 16"
    async with asyncio.timeout(60), front(tmp_path, ("desk", "other"), limits=limits) as running:
        yield running


async def begun(fronted: Fronted, token: str) -> "asyncio.Task[Answered]":
    """A call that has reached its server and gets no answer yet."""
    server = fronted.servers["desk"]
    before = len(server.calls)
    call = asyncio.create_task(fronted.call(token, "slow", message_id=before))
    while len(server.calls) == before:
        await asyncio.sleep(0)
    return call


async def test_a_caller_with_too_many_requests_is_told_so_and_others_are_served(narrow: Fronted) -> None:
    busy, idle = narrow.token(subject="busy"), narrow.token(subject="idle")
    calls = [await begun(narrow, busy) for _ in range(2)]
    refused = await narrow.call(busy, "echo")
    assert (refused.status, refused.headers["Retry-After"]) == (429, "1")
    assert refused.message["error"]["message"] == "You have too many requests under way."
    assert (await narrow.call(idle, "echo")).status == 200
    narrow.servers["desk"].release.set()
    await asyncio.gather(*calls)
    assert (await narrow.call(busy, "echo")).status == 200
    row = rows(narrow.guard, "refusal")[-1]
    assert (row.reason, row.record["chain"]["subject"]) == ("too_many_requests", "busy")


async def test_a_callers_own_limit_is_one_of_each_endpoint(narrow: Fronted) -> None:
    calls = [await begun(narrow, narrow.token()) for _ in range(2)]
    assert (await narrow.call(narrow.token("other"), "echo", server="other")).status == 200
    narrow.servers["desk"].release.set()
    await asyncio.gather(*calls)


async def test_when_all_requests_are_taken_everybody_is_told_to_come_back(narrow: Fronted) -> None:
    calls = [await begun(narrow, narrow.token(subject=name)) for name in ("ana", "ben", "cho")]
    refused = await narrow.call(narrow.token(subject="dee"), "echo")
    assert (refused.status, refused.headers["Retry-After"]) == (503, "1")
    assert len(narrow.servers["desk"].calls) == 3
    narrow.servers["desk"].release.set()
    await asyncio.gather(*calls)


async def test_a_connection_too_many_is_turned_away_and_a_closed_one_makes_room(narrow: Fronted) -> None:
    host, _, port = narrow.base.removeprefix("http://").partition(":")
    opened = [await asyncio.open_connection(host, int(port)) for _ in range(16)]
    reader, writer = await asyncio.open_connection(host, int(port))
    assert (await reader.read()).startswith(b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1")
    for _, one in [*opened, (reader, writer)]:
        one.close()
        await one.wait_closed()
    # The front hears of it in its own time.
    while (await narrow.send("GET", "/healthz", {})).status != 200:
        await asyncio.sleep(0)
    assert {row.reason for row in rows(narrow.guard, "refusal")} == {"too_many_connections"}


async def test_refused_tokens_leave_a_bounded_number_of_rows_and_none_is_left_uncounted(
    fronted: Fronted,
) -> None:
    foreign = fronted.token("other")
    for token in ["forged", foreign] * 50:
        assert (await fronted.call(token, "echo")).status == 401
    assert len(rows(fronted.guard, "refusal")) == KEPT
    fronted.app.tally.close()
    found = rows(fronted.guard, "refusal")
    assert len(found) == KEPT + 2
    assert {row.reason: row.record["count"] for row in found[KEPT:]} == {
        found[0].reason: 40,
        "wrong_audience": 40,
    }
    assert sum(row.record.get("count", 1) for row in found) == 100
    # A new span: the first refusals have rows of their own again.
    await fronted.call("forged", "echo")
    assert "count" not in rows(fronted.guard, "refusal")[-1].record


async def test_refusals_that_cannot_be_logged_are_counted_until_they_can(
    fronted: Fronted, tmp_path: Path
) -> None:
    with opened(tmp_path / "hopward.toml") as closed:
        tally = Tally(closed)
    for _ in range(30):
        tally.note("desk", "bad_signature", "The signature is wrong.")
    tally.guard = fronted.guard
    assert rows(fronted.guard, "refusal") == []
    tally.close()
    (row,) = rows(fronted.guard, "refusal")
    assert row.record["count"] == 30


async def test_what_an_identified_caller_is_refused_for_is_not_thinned_out(fronted: Fronted) -> None:
    token, _ = caller_token(fronted.guard, "desk")
    for _ in range(KEPT + 5):
        await fronted.post(token, b"{}")
    assert len(rows(fronted.guard, "refusal")) == KEPT + 5
