"""A proxy whose server gets its tokens from an external authorization server: what goes out, what fails."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.core.foreign_server import CALL, DESK, NESTED, SIGNED

from hopward import CredentialVerifier
from hopward_mcp.breaker import FAILURES
from hopward_mcp.observing import announce_lacking

from .foreign import Abroad, abroad, text_of
from .installation import rows

CACHED = "cache_seconds = 30\n" + SIGNED


@pytest.fixture
async def trip(tmp_path: Path) -> AsyncIterator[Abroad]:
    async with abroad(tmp_path) as made:
        yield made


@pytest.fixture
async def cached(tmp_path: Path) -> AsyncIterator[Abroad]:
    async with abroad(tmp_path, CACHED) as made:
        yield made


def outcomes(trip: Abroad) -> list[str]:
    return [row.record["outcome"]["error"] for row in rows(trip.guard, "outcome")]


async def test_a_permitted_call_goes_out_with_their_token_and_our_chain(trip: Abroad) -> None:
    await trip.call()
    (headers,) = trip.session.headers
    token = headers["Authorization"].removeprefix("Bearer ")
    assert trip.firm.server.claims(token)["aud"] == DESK
    verifier = CredentialVerifier(trip.guard.issuer.issuer, DESK, trip.guard.issuer.jwks())
    said = verifier.verify_statement(
        headers["Hopward-Chain"], token=token, tool=CALL.tool, arguments={"ticket": 7}
    )
    assert (said["sub"], said["act"]) == ("alice", {"sub": "agent:assistant"})
    assert trip.served.paths == ["/jwks", "/token"]


async def test_a_token_that_names_the_chain_goes_alone(tmp_path: Path) -> None:
    async with abroad(tmp_path, NESTED) as trip:
        await trip.call()
        (headers,) = trip.session.headers
        assert headers.keys() == {"Authorization"}


async def test_the_token_is_taken_out_of_what_the_server_repeats(trip: Abroad) -> None:
    await trip.call()
    token = trip.session.headers[0]["Authorization"].removeprefix("Bearer ")
    trip.session.server_answers({"content": [{"type": "text", "text": f"you sent {token}"}]})
    assert token not in text_of(trip.told)


async def test_a_server_that_is_busy_is_asked_again_with_a_new_assertion_a_little_later(trip: Abroad) -> None:
    trip.served.statuses = [503, 0]
    await trip.call()
    assert len(trip.session.to_server) == 1
    assert len(trip.pauses) == 2
    assert 0 <= trip.pauses[0] <= 0.1
    assert 0 <= trip.pauses[1] <= 0.2
    assert trip.served.paths == ["/jwks", *["/token"] * 3]


async def test_what_is_refused_is_not_asked_again(trip: Abroad) -> None:
    trip.served.statuses = [400]
    await trip.call()
    assert trip.served.paths == ["/jwks", "/token"]
    assert outcomes(trip) == ["no_credential temporarily_unavailable"]
    assert trip.session.to_server == []


async def test_a_server_that_fails_three_times_is_a_refusal_that_says_so(trip: Abroad) -> None:
    trip.served.statuses = [0, 0, 0]
    await trip.call()
    assert outcomes(trip) == ["no_credential authority_unreachable"]
    told = text_of(trip.told)
    assert "was not executed" in told
    assert "try again later" in told
    assert trip.session.to_server == []


async def test_a_server_that_is_not_there_is_left_alone_and_calls_are_refused_at_once(trip: Abroad) -> None:
    trip.served.statuses = [0] * FAILURES
    await trip.call(1)
    await trip.call(2)
    asked = len(trip.served.paths)
    await trip.call(3)
    assert len(trip.served.paths) == asked == 1 + FAILURES
    assert outcomes(trip)[-1] == "no_credential authority_circuit_open"
    assert "try again later" in text_of(trip.told)
    assert trip.session.to_server == []


async def test_what_a_server_refuses_never_opens_the_circuit(trip: Abroad) -> None:
    trip.served.statuses = [400] * (2 * FAILURES)
    for number in range(2 * FAILURES):
        await trip.call(number + 1)
    await trip.call(99)
    assert len(trip.session.to_server) == 1


async def test_calls_that_are_given_up_do_not_open_the_circuit(trip: Abroad) -> None:
    trip.served.held.set()
    for number in range(2 * FAILURES):
        asking = asyncio.create_task(trip.authority.token(lambda: trip.firm.request(trip.session.chain)))
        trip.served.came.clear()
        await trip.served.came.wait()
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        assert trip.authority.breaker.seconds_left == 0, number
    trip.served.let_go()
    await trip.call()
    assert len(trip.session.to_server) == 1


async def test_a_server_that_does_not_answer_is_given_up_in_time(tmp_path: Path) -> None:
    async with abroad(tmp_path, "timeout_seconds = 1\n" + SIGNED) as trip:
        trip.served.held.set()
        await trip.call()
        assert outcomes(trip) == ["no_credential authority_timed_out"]
        assert trip.session.to_server == []


async def test_keys_that_cannot_be_had_are_a_refusal_and_nothing_is_sent(trip: Abroad) -> None:
    trip.firm.server.jwks = lambda: b"<html>"
    await trip.call()
    assert outcomes(trip) == ["no_credential keys_unavailable"]
    assert trip.served.paths == ["/jwks"]


async def test_many_calls_at_once_fetch_the_keys_once_and_get_a_token_each(trip: Abroad) -> None:
    for number in range(10):
        trip.session.call(CALL.tool, {"ticket": number}, number + 1)
    while len(trip.session.to_server) < 10:
        await trip.session.comes()
    assert trip.served.paths.count("/jwks") == 1
    assert len({headers["Authorization"] for headers in trip.session.headers}) == 10


async def test_calls_in_one_name_share_one_exchange_where_tokens_are_kept(cached: Abroad) -> None:
    for number in range(10):
        cached.session.call(CALL.tool, {"ticket": number}, number + 1)
    while len(cached.session.to_server) < 10:
        await cached.session.comes()
    assert cached.served.paths == ["/jwks", "/token"]
    assert len({headers["Authorization"] for headers in cached.session.headers}) == 1
    decisions = [row.decision for row in rows(cached.guard, "credential") if row.decision]
    assert len(set(decisions)) == 10


async def test_calls_in_two_names_at_once_never_share_an_exchange(cached: Abroad) -> None:
    bob = cached.another()
    sessions = [cached.session, bob]
    cached.served.held.set()
    for number in range(4):
        for session in sessions:
            session.call(CALL.tool, {"ticket": number}, number + 1)
    await cached.served.came.wait()
    cached.served.let_go()
    while sum(len(session.to_server) for session in sessions) < 8:
        for session in sessions:
            if len(session.to_server) < 4:
                await session.comes()
    assert cached.served.paths.count("/token") == 2
    people = [
        {cached.firm.server.claims(one["Authorization"].partition(" ")[2])["sub"] for one in session.headers}
        for session in sessions
    ]
    assert people == [{"alice"}, {"bob"}]


async def test_a_shared_exchange_that_fails_fails_for_all_who_wait(cached: Abroad) -> None:
    cached.served.statuses = [400]
    cached.served.held.set()
    for number in range(5):
        cached.session.call(CALL.tool, {"ticket": number}, number + 1)
    await cached.served.came.wait()
    cached.served.let_go()
    while len(cached.session.to_client) < 5:
        await cached.session.comes()
    assert outcomes(cached) == ["no_credential temporarily_unavailable"] * 5
    assert cached.served.paths.count("/token") == 1


async def test_whoever_waits_goes_on_when_the_one_who_asked_is_given_up(cached: Abroad) -> None:
    cached.served.held.set()
    first = asyncio.create_task(cached.authority.token(lambda: cached.firm.request(cached.session.chain)))
    await cached.served.came.wait()
    cached.session.call(CALL.tool, {"ticket": 1})
    await asyncio.sleep(0)
    first.cancel()
    cached.served.let_go()
    await cached.session.comes()
    assert len(cached.session.to_server) == 1


async def test_a_revocation_evicts_a_kept_token_without_anybody_asking_for_it(cached: Abroad) -> None:
    left: list[int] = []
    looked = asyncio.Event()
    look = cached.guard.external_left

    def looking() -> int:
        left.append(look())
        looked.set()
        return left[-1]

    cached.guard.external_left = looking
    await cached.call()
    await looked.wait()
    assert left == [1]
    looked.clear()
    cached.guard.revoke("subject", "alice", by="carol", why="left")
    await looked.wait()
    assert left == [1, 0]
    assert len(cached.guard._external.cache) == 0


async def test_a_closed_authority_leaves_no_call_under_way(trip: Abroad) -> None:
    trip.served.held.set()
    trip.session.call(CALL.tool, {"ticket": 1})
    await trip.served.came.wait()
    await trip.authority.close()
    trip.served.let_go()
    assert trip.session.to_server == []


async def test_what_a_server_cannot_do_is_said_when_the_proxy_starts(
    trip: Abroad, capsys: pytest.CaptureFixture[str]
) -> None:
    announce_lacking(trip.guard.settings)
    announce_lacking(trip.guard.settings, "desk")
    first, second = capsys.readouterr().err.splitlines()
    assert first == second
    assert first.startswith("hopward: firm does not nest actors in act")
