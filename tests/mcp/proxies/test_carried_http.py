"""Requests over HTTP that carry the chain of their agent, beside an access token of their task."""

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hopward import Chain

from .carrying import ECHO, TEAM, Program, claims_of, decisions, reading, request
from .fronting import MODERN, Answered, Fronted, front, modern_call
from .installation import opened, rows
from .remoting import Impostor, free_port, minted, remote
from .test_streams import LISTENING, opened_stream


@dataclass(slots=True)
class Office:
    """The front, and a program before it that has the same log and the signing key."""

    front: Fronted
    program: Program

    def token(self, chain: Chain, server: str = "desk") -> str:
        return self.program.guard.access_token(chain, server)[0]

    async def carry(self, token: str, value: object, tool: str = "echo", arguments: Any = None) -> Answered:
        """A tools/call with an access token that carries a value, whatever it is."""
        message, headers = modern_call(tool, arguments)
        message["params"]["_meta"]["dev.hopward/chain"] = value
        return await self.front.post(token, message, headers)

    async def call(self, token: str, chain: Chain, tool: str = "echo", arguments: Any = None) -> Answered:
        """The same, with the chain of an agent."""
        return await self.carry(token, self.program.of_call(chain, tool, arguments), tool, arguments)

    def refusals(self) -> list[str]:
        return [row.reason for row in rows(self.front.guard, "refusal")]

    def decisions(self) -> list[tuple[str, str, str]]:
        return decisions(self.front.guard)

    def leaks(self) -> list[str]:
        """What of chains and proofs has gone to a server, or stands in the log."""
        received = [one for server in self.front.servers.values() for one in server.received]
        gone = json.dumps([[one.headers, one.body.decode()] for one in received])
        return self.program.leaks(gone) + self.program.leaks_in_log()


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    async with front(tmp_path, ("desk", "other"), more=TEAM) as running:
        with opened(tmp_path / "hopward.toml") as guard:
            made = Office(running, Program(guard))
            yield made
            assert made.leaks() == []


async def test_a_call_with_token_and_chain_of_one_agent_is_decided_as_it_and_logged_with_every_hop(
    office: Office,
) -> None:
    clerk = office.program.handed(office.program.handed(office.program.boss), "clerk")
    token = office.token(clerk)
    answered = await office.call(token, clerk, "echo", {"x": 1})
    assert answered.status == 200
    assert answered.message["result"]["content"] == [{"type": "text", "text": '{"x": 1}'}]
    assert office.decisions() == [("boss>reader>clerk", "echo", "permit")]
    (received,) = office.front.servers["desk"].received
    assert received.message["params"]["_meta"].keys() == {
        "io.modelcontextprotocol/protocolVersion",
        "io.modelcontextprotocol/clientCapabilities",
    }
    credential = (received.header("authorization") or "").removeprefix("Bearer ")
    assert credential != token
    claims = claims_of(credential)
    assert (claims["act"]["sub"], claims["hops"]) == ("agent:clerk", list(clerk.hops))
    assert [row.agent for row in rows(office.front.guard, "outcome")] == ["clerk"]


async def test_the_chain_that_is_carried_counts_and_not_that_of_the_token(office: Office) -> None:
    boss, reader = office.program.boss, office.program.handed(office.program.boss)
    for token in (office.token(boss), office.token(reader)):
        for chain in (boss, reader):
            await office.call(token, chain, "refund", {"amount": 5})
    assert office.decisions() == [("boss", "refund", "permit"), ("boss>reader", "refund", "outside_hop")] * 2
    assert len(office.front.servers["desk"].calls) == 2


async def test_what_a_carried_chain_does_not_cover_is_a_tool_error_since_no_token_would_reach_it(
    office: Office,
) -> None:
    reader = office.program.handed(office.program.boss, capabilities=(reading("desk/stream"),))
    answered = await office.call(office.token(office.program.boss), reader)
    assert (answered.status, "www-authenticate" in answered.headers) == (200, False)
    (row,) = (row for row in rows(office.front.guard, "decision") if row.server)
    told = {"id": row.decision, "verdict": "deny", "reason": "outside_hop"}
    assert answered.message["result"]["_meta"]["dev.hopward/decision"] == told
    assert office.front.servers["desk"].received == []


@pytest.mark.parametrize("subject", ["alice", "bob"])
async def test_a_chain_of_another_task_than_the_tokens_is_refused(office: Office, subject: str) -> None:
    other = office.program.opened(subject)
    for token, chain in ((office.program.boss, other), (other, office.program.boss)):
        answered = await office.call(office.token(token), chain)
        assert (answered.status, answered.message["error"]["code"]) == (200, -32000)
        assert "another task" in answered.message["error"]["message"]
    assert office.refusals() == ["chain_mismatch"] * 2
    assert [row.task for row in rows(office.front.guard, "refusal")] == [office.program.boss.task, other.task]
    assert office.front.servers["desk"].received == office.decisions() == []


@pytest.mark.parametrize("authorization", ["", "Bearer x.y.z", "the token of another endpoint", "a link"])
async def test_a_chain_opens_nothing_without_an_access_token_for_this_endpoint(
    office: Office, authorization: str
) -> None:
    value = office.program.of_call(office.program.boss)
    if authorization.startswith("the token"):
        authorization = f"Bearer {office.token(office.program.boss, 'other')}"
    if authorization == "a link":
        authorization = f"Bearer {value['links'][0]}"
    message, headers = modern_call("echo")
    message["params"]["_meta"]["dev.hopward/chain"] = value
    headers |= {"Authorization": authorization, "Content-Type": "application/json"}
    body = json.dumps({"jsonrpc": "2.0", **message}).encode()
    answered = await office.front.send("POST", "/desk/mcp", headers, body)
    assert answered.status == 401
    assert office.front.servers["desk"].received == office.decisions() == []


async def test_a_chain_is_refused_at_another_endpoint_for_another_call_and_a_second_time(
    office: Office,
) -> None:
    boss = office.program.boss
    token, value = office.token(boss), office.program.of_call(boss, "echo", {"x": 1})
    await office.carry(token, office.program.presentation(boss, "tools/call", ECHO, "other"))
    await office.carry(token, value, "echo", {"x": 2})
    await office.carry(token, value, "stream", {"x": 1})
    assert office.refusals() == ["wrong_audience", "wrong_request", "wrong_request"]
    assert office.front.servers["desk"].received == []
    assert (await office.carry(token, value, "echo", {"x": 1})).message["result"]
    again = await office.carry(token, value, "echo", {"x": 1})
    assert (again.status, "used before" in again.message["error"]["message"]) == (200, True)
    assert len(office.front.servers["desk"].received) == 1


async def test_a_value_that_is_no_chain_is_refused_and_not_taken_for_none(office: Office) -> None:
    token = office.token(office.program.boss)
    values: list[Any] = [None, 7, "", {}, [], {"links": [], "key": {}, "proof": ""}]
    for value in values:
        answered = await office.carry(token, value)
        assert (answered.status, answered.message["error"]["code"]) == (200, -32000)
    assert office.refusals() == ["malformed"] * 6
    assert (await office.carry(token, "x" * 100_000)).status == 413
    assert office.front.servers["desk"].received == office.decisions() == []


async def test_a_token_alone_is_decided_as_its_own_chain(office: Office) -> None:
    reader = office.program.handed(office.program.boss)
    await office.front.call(office.token(reader), "echo")
    assert office.decisions() == [("boss>reader", "echo", "permit")]


async def test_a_listing_over_http_shows_what_the_carried_chain_reaches(office: Office) -> None:
    narrow = office.program.handed(office.program.boss, capabilities=(reading("desk/stream"),))
    value = office.program.presentation(narrow, "tools/list", {})
    answered = await office.front.post(office.token(office.program.boss), request("tools/list", {}, value))
    assert [tool["name"] for tool in answered.message["result"]["tools"]] == ["stream"]


async def test_in_a_session_each_call_may_carry_the_chain_of_another_agent(office: Office) -> None:
    boss = office.program.boss
    token = office.token(boss)
    session = {"Mcp-Session-Id": await office.front.initialize(token)}
    for number, chain in enumerate((boss, office.program.handed(boss), office.program.handed(boss, "clerk"))):
        await office.front.post(
            token, request("tools/call", ECHO, office.program.of_call(chain), number), session
        )
    acting = [path for path, _, told in office.decisions() if told == "permit"]
    assert acting == ["boss", "boss>reader", "boss>clerk"]
    value, other = office.program.of_call(boss), office.token(office.program.handed(boss))
    answered = await office.front.post(other, request("tools/call", ECHO, value), session)
    assert answered.status == 404
    assert len(office.front.servers["desk"].calls) == 3


def its_token(office: Office, token: str, chain: Chain) -> None:
    office.program.guard.revoke("token", claims_of(token)["jti"], by="ana", why="a test")


def its_hop(office: Office, token: str, chain: Chain) -> None:
    office.program.guard.complete_hop(chain)


def its_agent(office: Office, token: str, chain: Chain) -> None:
    office.program.guard.set_agent_state("reader", "suspended", by="ana", why="a test")


ENDS = [(its_token, "token_revoked"), (its_hop, "hop_completed"), (its_agent, "agent_suspended")]


@pytest.mark.parametrize(("end", "reason"), ENDS)
async def test_a_token_that_has_fallen_lets_no_chain_in_however_well_that_stands(
    office: Office, end: Callable[[Office, str, Chain], None], reason: str
) -> None:
    reader = office.program.handed(office.program.boss)
    token = office.token(reader)
    assert (await office.call(token, office.program.boss)).message["result"]["content"]
    end(office, token, reader)
    answered = await office.call(token, office.program.boss)
    assert answered.message["result"]["_meta"]["dev.hopward/decision"]["reason"] == reason
    assert len(office.front.servers["desk"].calls) == 1


@pytest.mark.parametrize(("end", "reason"), ENDS[1:])
async def test_a_chain_that_has_fallen_is_refused_however_well_its_token_stands(
    office: Office, end: Callable[[Office, str, Chain], None], reason: str
) -> None:
    reader = office.program.handed(office.program.boss)
    token = office.token(office.program.boss)
    value = office.program.of_call(reader)
    end(office, token, reader)
    answered = await office.carry(token, value)
    assert answered.message["result"]["_meta"]["dev.hopward/decision"]["reason"] == reason
    assert office.decisions() == [("boss>reader", "echo", reason)]
    assert office.front.servers["desk"].received == []


async def test_a_subscription_ends_with_the_chain_it_carries_though_its_token_stands(office: Office) -> None:
    reader = office.program.handed(office.program.boss)
    params: dict[str, Any] = {"notifications": {}}
    value = office.program.presentation(reader, "subscriptions/listen", params)
    version = {"io.modelcontextprotocol/protocolVersion": MODERN}
    message = request("subscriptions/listen", params, value, "sub", **version)
    headers = {"Authorization": f"Bearer {office.token(office.program.boss)}", **LISTENING}
    response = await opened_stream(office.front, "POST", headers, message)
    await response.content.readuntil(b"\r\n\r\n")
    office.program.guard.complete_hop(reader)
    office.front.servers["desk"].release.set()
    told = json.loads((await response.content.read()).decode().partition("data: ")[2])
    assert (told["id"], "has ended" in told["error"]["message"]) == ("sub", True)


async def test_where_the_authority_is_elsewhere_it_is_told_every_agent_of_the_carried_chain(
    tmp_path: Path,
) -> None:
    port = free_port()
    async with front(tmp_path, ("desk", "other"), authority=remote(port), more=TEAM) as running:
        with opened(tmp_path / "hopward.toml", as_authority=True) as guard:
            office = Office(running, Program(guard))
            clerk = office.program.handed(office.program.handed(office.program.boss), "clerk")
            token = office.token(office.program.boss)
            async with Impostor(port, lambda pairs: minted(guard, pairs)) as impostor:
                await office.call(token, clerk)
            # What comes after it is for asking the server which era it speaks.
            asked, *_ = impostor.asked
            assert token not in asked["subject_token"]
            assert claims_of(asked["subject_token"])["hops"] == list(clerk.hops)
            (received,) = running.servers["desk"].received
            claims = claims_of(received.header("authorization") or "")
            assert (claims["act"]["sub"], claims["hops"]) == ("agent:clerk", list(clerk.hops))
            assert office.leaks() == []
