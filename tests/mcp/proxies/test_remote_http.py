"""The HTTP front before recording servers; its authority is another process, or one that answers wrongly."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from hopward import CredentialVerifier, Guard

from .fronting import LEGACY, Fronted, front, modern_call
from .installation import caller_token, opened, rows
from .remoting import Impostor, Pairs, free_port, minted, remote, serving


@dataclass(slots=True)
class Split:
    """The front without the signing key, and a guard that has it."""

    front: Fronted
    authority: Guard
    port: int

    def token(self) -> str:
        return caller_token(self.authority, "desk")[0]

    def outcomes(self) -> list[str]:
        return [row.record["outcome"]["error"] for row in rows(self.front.guard, "outcome")]


@pytest.fixture
async def split(tmp_path: Path) -> AsyncIterator[Split]:
    port = free_port()
    async with asyncio.timeout(60), front(tmp_path, ("desk",), authority=remote(port)) as fronted:
        with opened(tmp_path / "hopward.toml", as_authority=True) as authority:
            yield Split(fronted, authority, port)


async def test_a_call_goes_the_whole_way_with_a_credential_of_the_real_authority(
    split: Split, tmp_path: Path
) -> None:
    token = split.token()
    with serving(tmp_path / "hopward.toml"):
        answered = await split.front.call(token, "echo", {"x": 1}, message_id="abc")
        jwks = json.loads((tmp_path / ".hopward/keys/jwks.json").read_text())
        async with split.front.client.get(f"http://127.0.0.1:{split.port}/jwks") as published:
            assert await published.json() == jwks
    assert answered.message["id"] == "abc"
    (received,) = split.front.servers["desk"].calls
    credential = (received.header("authorization") or "").removeprefix("Bearer ")
    verifier = CredentialVerifier(f"http://127.0.0.1:{split.port}", "urn:example:desk", jwks)
    claims = verifier.verify(credential, tool="echo", arguments={"x": 1})
    decision = rows(split.front.guard, "decision")[-1]
    logged = [row for row in rows(split.front.guard, "credential") if row.decision == decision.decision]
    assert [row.record["credential"]["id"] for row in logged] == [claims["jti"], claims["jti"]]
    of_the_call = [row.kind for row in split.front.guard.ledger.rows() if row.decision == decision.decision]
    assert of_the_call == [
        "outcome",
        "credential",
        "credential",
        "decision",
    ]
    assert split.outcomes() == [""]


async def test_every_request_of_a_session_carries_a_credential_and_never_the_callers_token(
    split: Split, tmp_path: Path
) -> None:
    token = split.token()
    with serving(tmp_path / "hopward.toml"):
        session = {"Mcp-Session-Id": await split.front.initialize(token)}
        await split.front.post(token, {"method": "notifications/initialized"}, session)
        await split.front.post(token, {"id": 2, "method": "tools/list"}, session)
        await split.front.send("DELETE", "/desk/mcp", {"Authorization": f"Bearer {token}"} | session)
    received = [one.header("authorization") for one in split.front.servers["desk"].received]
    assert None not in received
    assert len({*received}) == len(received) == 4
    assert token not in json.dumps(received)
    scopes = [
        row.record["credential"]["scope"]
        for row in rows(split.front.guard, "credential")
        if row.record["credential"]["kind"] == "exchanged"
    ]
    assert scopes == [
        f"desk/method:{name}" for name in ("initialize", "notifications/initialized", "tools/list", "DELETE")
    ]


async def test_without_its_authority_a_call_is_permitted_and_not_executed(split: Split) -> None:
    answered = await split.front.call(split.token(), "echo", {"x": 1})
    assert answered.status == 200
    result = answered.message["result"]
    assert result["isError"] is True
    assert result["_meta"]["dev.hopward/decision"]["reason"] == "no_credential"
    assert "was permitted, but no credential could be obtained" in result["content"][0]["text"]
    assert split.front.servers["desk"].received == []
    assert split.outcomes() == ["no_credential authority_unreachable"]


async def test_without_its_authority_a_request_that_calls_nothing_is_not_sent(split: Split) -> None:
    token = split.token()
    message = {"id": 0, "method": "initialize", "params": {"protocolVersion": LEGACY}}
    answered = await split.front.post(token, message)
    assert "The request was not sent" in answered.message["error"]["message"]
    answered = await split.front.post(token, {"method": "notifications/initialized"})
    assert answered.status == 502
    assert split.front.servers["desk"].received == []


async def test_an_authority_that_is_back_is_asked_again(split: Split, tmp_path: Path) -> None:
    token = split.token()
    config = tmp_path / "hopward.toml"
    for _ in range(2):
        with serving(config):
            assert "isError" not in (await split.front.call(token, "echo")).message["result"]
        assert (await split.front.call(token, "echo")).message["result"]["isError"] is True
    assert len(split.front.servers["desk"].calls) == 2


async def test_a_key_rotated_and_one_revoked_while_the_proxy_runs_are_noticed(
    split: Split, tmp_path: Path
) -> None:
    token = split.token()
    with serving(tmp_path / "hopward.toml"):
        assert "isError" not in (await split.front.call(token, "echo")).message["result"]
        old = split.authority.issuer.jwks()["keys"][0]["kid"]
        split.authority.issuer.rotate(split.authority.ledger)
        assert "isError" not in (await split.front.call(token, "echo")).message["result"]
        split.authority.revoke("key", old, by="ops", why="leaked")
        assert (await split.front.call(token, "echo")).status == 401
        assert "isError" not in (await split.front.call(split.token(), "echo")).message["result"]


async def test_the_caller_is_shown_to_the_authority_by_its_own_token(split: Split) -> None:
    token = split.token()
    async with Impostor(split.port, lambda pairs: minted(split.authority, pairs)) as impostor:
        await split.front.call(token, "echo", {"x": 1})
    # The call, and asking the server which era it speaks.
    assert len(impostor.asked) == 2
    assert {asked["subject_token"] for asked in impostor.asked} == {token}
    asked = impostor.asked[0]
    assert asked["subject_token_type"] == "urn:ietf:params:oauth:token-type:access_token"
    assert token not in str([row.record for row in split.front.guard.ledger.rows()])


@pytest.mark.parametrize("wrong", ["arguments", "callers own token", "introduction"])
async def test_a_wrong_answer_reaches_no_server(split: Split, wrong: str) -> None:
    token = split.token()

    def answer(pairs: Pairs) -> tuple[int, bytes]:
        (asked,) = json.loads(dict(pairs)["authorization_details"])
        if wrong == "arguments":
            details = json.dumps([asked | {"arguments_digest": "sha-256:" + "0" * 64}])
            return minted(split.authority, pairs, authorization_details=details)
        if wrong == "introduction":
            details = json.dumps([asked | {"tool": "method:ping"}])
            return minted(split.authority, pairs, scope="desk/method:ping", authorization_details=details)
        status, body = minted(split.authority, pairs)
        return status, json.dumps(json.loads(body) | {"access_token": token}).encode()

    async with Impostor(split.port, answer):
        answered = await split.front.call(token, "echo", {"x": 1})
        assert answered.message["result"]["isError"] is True
        listed = await split.front.post(token, {"id": 2, "method": "tools/list"})
        assert "error" in listed.message
    assert split.front.servers["desk"].received == []


async def test_a_caller_whose_task_ends_while_the_authority_is_asked_gets_nothing(split: Split) -> None:
    token, task = caller_token(split.authority, "desk")
    async with Impostor(split.port, lambda pairs: minted(split.authority, pairs)) as impostor:
        impostor.held.set()
        message, headers = modern_call("echo")
        calling = asyncio.create_task(split.front.post(token, message, headers))
        await impostor.came.wait()
        split.front.guard.complete_task(task)
        impostor.answer = lambda _: (400, b'{"error": "invalid_request"}')
        impostor.let_go()
        assert (await calling).message["result"]["isError"] is True
    assert split.front.servers["desk"].received == []
