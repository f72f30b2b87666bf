"""A proxy whose authority is another process: what it asks, what it forwards, and what it refuses."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hopward import Guard
from hopward.canonical import digest
from hopward.claims import CallDetails
from hopward_mcp.endings import lost
from hopward_mcp.remote import TokenEndpoint

from .conversation import Conversation
from .installation import install, opened, rows, stdio_server
from .remoting import Impostor, Pairs, free_port, minted, remote

CREDENTIAL = "dev.hopward/credential"


@dataclass(slots=True)
class Split:
    """A session whose authority answers as a test says; `authority` is the guard that can sign."""

    session: Conversation
    impostor: Impostor
    authority: Guard

    async def call(self, tool: str = "echo", arguments: Any = None, message_id: Any = 1) -> None:
        """A tools/call, up to the first message that comes of it."""
        self.session.call(tool, {"x": 1} if arguments is None else arguments, message_id)
        await self.session.comes()

    @property
    def answer(self) -> str:
        """What the client was told last, as a tool error."""
        result = self.session.to_client[-1]["result"]
        assert result["isError"] is True
        return result["content"][0]["text"]

    def outcomes(self) -> list[tuple[str, str]]:
        recorded = [row.record["outcome"] for row in rows(self.authority, "outcome")]
        return [(outcome["status"], outcome["error"]) for outcome in recorded]

    def credentials(self, kind: str) -> list[dict[str, Any]]:
        recorded = [row.record["credential"] for row in rows(self.authority, "credential")]
        return [credential for credential in recorded if credential["kind"] == kind]


MakeSplit = Callable[..., Any]


@pytest.fixture
async def make_split(tmp_path: Path) -> AsyncIterator[MakeSplit]:
    """Makes the parts; `credential` is how `desk` gets its own, `seconds` the time the authority has."""
    async with asyncio.timeout(60), AsyncExitStack() as stack:

        async def make(credential: str = '{ by = "meta" }', seconds: int = 30) -> Split:
            port = free_port()
            servers = stdio_server(tmp_path / "record", "desk", credential)
            servers += stdio_server(tmp_path / "record", "other")
            config = install(tmp_path, servers, authority=remote(port, seconds))
            guard = stack.enter_context(opened(config))
            authority = Guard.open(config, as_authority=True)
            stack.callback(authority.close)
            impostor = await stack.enter_async_context(Impostor(port, lambda pairs: minted(authority, pairs)))
            endpoint = TokenEndpoint(guard)
            stack.push_async_callback(endpoint.close)
            session = Conversation(guard, authority=endpoint, environment={"DESK_KEY": "key-of-the-desk"})
            return Split(session, impostor, authority)

        yield make


@pytest.fixture
async def split(make_split: MakeSplit) -> Split:
    return await make_split()


async def test_a_permitted_call_goes_out_with_the_authoritys_credential(split: Split) -> None:
    await split.call()
    (sent,) = split.session.to_server
    presented = split.authority.issuer.verify(sent["params"]["_meta"][CREDENTIAL])
    assert (presented.audience, presented.scope) == ("urn:example:desk", ("desk/echo",))
    assert [one["id"] for one in split.credentials("exchanged")] == [presented.token]
    split.session.server_answers({"content": []})
    assert split.outcomes() == [("ok", "")]


async def test_what_is_asked_names_the_call_and_the_session_and_is_authenticated(split: Split) -> None:
    await split.call()
    (asked,) = split.impostor.asked
    assert asked[""] == "/token"
    assert asked["grant_type"] == "urn:ietf:params:oauth:grant-type:token-exchange"
    assert asked["subject_token_type"] == "urn:ietf:params:oauth:token-type:self_signed"
    assert (asked["resource"], asked["scope"]) == ("urn:example:desk", "desk/echo")
    (details,) = json.loads(asked["authorization_details"])
    assert details["decision"] == rows(split.authority, "decision")[-1].decision
    assert not {"actor_token", "audience"} & asked.keys()


async def test_a_refused_call_is_never_asked_for(split: Split) -> None:
    await split.call("hidden")
    assert split.impostor.asked == []
    assert split.session.to_server == []


async def test_a_brokered_api_key_is_no_matter_of_the_authority(make_split: MakeSplit) -> None:
    split = await make_split('{ by = "variable", name = "KEY", environment = "DESK_KEY" }')
    await split.call()
    assert split.impostor.asked == []
    (sent,) = split.session.to_server
    assert "_meta" not in sent["params"]
    assert len(split.credentials("brokered")) == 1


def for_another_server(authority: Guard, pairs: Pairs) -> tuple[int, bytes]:
    call = CallDetails(server="other", tool="echo", arguments_digest=digest({"x": 1}))
    details = json.dumps(call.parameter())
    changes = {"resource": "urn:example:other", "scope": "other/echo", "authorization_details": details}
    return minted(authority, pairs, **changes)


def for_another_tool(authority: Guard, pairs: Pairs) -> tuple[int, bytes]:
    details = json.dumps(
        CallDetails(server="desk", tool="refund", arguments_digest=digest({"x": 1})).parameter()
    )
    return minted(authority, pairs, scope="desk/refund", authorization_details=details)


def for_other_arguments(authority: Guard, pairs: Pairs) -> tuple[int, bytes]:
    (asked,) = json.loads(dict(pairs)["authorization_details"])
    details = json.dumps([asked | {"arguments_digest": digest({"x": 2})}])
    return minted(authority, pairs, authorization_details=details)


def for_another_decision(authority: Guard, pairs: Pairs) -> tuple[int, bytes]:
    (asked,) = json.loads(dict(pairs)["authorization_details"])
    return minted(authority, pairs, authorization_details=json.dumps([asked | {"decision": "dec_x"}]))


@pytest.mark.parametrize(
    "wrong", [for_another_server, for_another_tool, for_other_arguments, for_another_decision]
)
async def test_a_token_for_anything_else_is_refused_and_nothing_forwarded(split: Split, wrong: Any) -> None:
    split.impostor.answer = lambda pairs: wrong(split.authority, pairs)
    await split.call()
    assert "was permitted, but no credential could be obtained, so it was not executed" in split.answer
    assert rows(split.authority, "decision")[-1].decision in split.answer
    assert split.session.to_server == []
    (outcome,) = split.outcomes()
    assert outcome[0] == "error"
    assert outcome[1] in ("no_credential wrong_credential", "no_credential server_error")
    assert split.credentials("exchanged") == []


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (400, b'{"error": "invalid_scope"}', "invalid_scope"),
        (503, b'{"error": "temporarily_unavailable"}', "temporarily_unavailable"),
        (200, b"{}", "server_error"),
        (500, b"<html>", "server_error"),
    ],
)
async def test_a_refusal_of_the_authority_is_a_refusal_of_the_call(
    split: Split, status: int, body: bytes, code: str
) -> None:
    split.impostor.answer = lambda _: (status, body)
    await split.call()
    assert "was not executed" in split.answer
    assert split.session.to_server == []
    assert split.outcomes() == [("error", f"no_credential {code}")]
    assert len(split.impostor.asked) == 1


async def test_an_answer_that_is_too_large_is_refused_however_good_it_is(split: Split) -> None:
    split.impostor.answer = lambda pairs: (200, minted(split.authority, pairs)[1] + b" " * 70_000)
    await split.call()
    assert split.session.to_server == []
    assert split.outcomes() == [("error", "no_credential server_error")]


async def test_an_authority_that_does_not_answer_is_given_up_in_time(make_split: MakeSplit) -> None:
    split = await make_split(seconds=1)
    split.impostor.held.set()
    async with asyncio.timeout(15):
        await split.call()
    assert "was not executed" in split.answer
    assert split.session.to_server == []
    assert split.outcomes() == [("error", "no_credential authority_timed_out")]


async def test_an_answer_that_comes_too_late_is_not_used(make_split: MakeSplit) -> None:
    split = await make_split(seconds=1)
    split.impostor.held.set()
    await split.call()
    split.impostor.let_go()
    await split.call(message_id=2)
    (sent,) = split.session.to_server
    assert len(split.credentials("exchanged")) == 1
    assert sent["params"]["_meta"][CREDENTIAL]


async def test_a_redirect_of_the_authority_is_not_followed(split: Split) -> None:
    async with Impostor(free_port(), split.impostor.answer) as elsewhere:
        split.impostor.location = f"http://127.0.0.1:{elsewhere.port}/token"
        await split.call()
        assert elsewhere.asked == []
    assert split.outcomes() == [("error", "no_credential server_error")]


async def test_a_connection_that_breaks_before_an_answer_is_tried_once_more(split: Split) -> None:
    split.impostor.drops = 1
    await split.call()
    first, second = split.impostor.asked
    assert first["client_assertion"] != second["client_assertion"]
    assert first["subject_token"] != second["subject_token"]
    assert len(split.session.to_server) == 1


async def test_a_connection_that_breaks_again_is_a_refusal(split: Split) -> None:
    split.impostor.drops = 2
    await split.call()
    assert len(split.impostor.asked) == 2
    assert split.outcomes() == [("error", "no_credential authority_unreachable")]


async def test_an_answer_that_is_cut_short_is_not_asked_for_again(split: Split) -> None:
    split.impostor.cuts = True
    await split.call()
    assert len(split.impostor.asked) == 1
    assert split.outcomes() == [("error", "no_credential authority_unreachable")]


async def test_a_call_cancelled_while_the_authority_is_asked_is_not_forwarded(split: Split) -> None:
    split.impostor.held.set()
    split.session.call("echo", {"x": 1})
    await split.impostor.came.wait()
    split.session.client_says({"method": "notifications/cancelled", "params": {"requestId": 1}})
    split.session.came.clear()
    split.impostor.let_go()
    await split.session.comes()
    assert (split.session.to_server, split.session.to_client) == ([], [])
    assert split.outcomes() == [("cancelled", "not_forwarded")]


async def test_a_call_whose_server_is_gone_meanwhile_has_one_outcome_and_is_not_forwarded(
    split: Split,
) -> None:
    split.impostor.held.set()
    split.session.call("echo", {"x": 1})
    await split.impostor.came.wait()
    split.session.session.endings.fail_all(lost("The server is gone."), split.session.from_endings)
    split.session.turn.flush()
    assert split.session.to_client[-1]["error"]["message"] == "The server is gone."
    split.impostor.let_go()
    await split.session.comes()
    assert split.session.to_server == []
    assert split.outcomes() == [("cancelled", "not_forwarded")]


async def test_a_task_completed_while_the_authority_is_asked_forwards_nothing(split: Split) -> None:
    answers: list[tuple[int, bytes]] = []

    def answer_then_complete(pairs: Pairs) -> tuple[int, bytes]:
        answers.append(minted(split.authority, pairs))
        split.authority.complete_task(split.session.task.id)
        return answers[-1]

    split.impostor.answer = answer_then_complete
    await split.call()
    assert split.session.to_server == []
    assert split.outcomes() == [("error", "no_credential task_completed")]


async def test_other_messages_do_not_wait_for_the_authority(split: Split) -> None:
    split.impostor.held.set()
    split.session.call("echo", {"x": 1})
    await split.impostor.came.wait()
    split.session.client_says({"id": 2, "method": "ping"})
    assert [sent["method"] for sent in split.session.to_server] == ["ping"]
    split.session.came.clear()
    split.impostor.let_go()
    await split.session.comes()
    assert [sent["method"] for sent in split.session.to_server] == ["ping", "tools/call"]


async def test_many_calls_at_once_each_get_a_credential_of_their_own(split: Split) -> None:
    for number in range(20):
        split.session.call("echo", {"x": number}, number + 1)
    while len(split.session.to_server) < 20:
        await split.session.comes()
    tokens = [sent["params"]["_meta"][CREDENTIAL] for sent in split.session.to_server]
    assert len({split.authority.issuer.verify(token).token for token in tokens}) == 20
    assert len(split.credentials("exchanged")) == 20


async def test_a_credential_that_the_server_repeats_is_removed(split: Split) -> None:
    await split.call()
    token = split.session.to_server[0]["params"]["_meta"][CREDENTIAL]
    split.session.server_answers({"content": [{"type": "text", "text": f"you sent {token}"}]})
    assert token not in json.dumps(split.session.to_client)


async def test_a_closed_endpoint_leaves_no_call_under_way(make_split: MakeSplit) -> None:
    split = await make_split()
    split.impostor.held.set()
    split.session.call("echo", {"x": 1})
    await split.impostor.came.wait()
    assert split.session.gate.authority is not None
    await split.session.gate.authority.close()
    split.impostor.let_go()
    assert split.session.to_server == []
