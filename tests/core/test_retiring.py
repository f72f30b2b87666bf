"""Retiring an agent: all that it holds has ended, and each of it was tried."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from hopward.assertion import ClientAuthenticator, client_assertion
from hopward.errors import ExchangeRefusedError, NotFoundError, StateError, TokenError
from hopward.keys import KeyRing
from hopward.model import Budget, Capability, Narrowing, ToolCall
from hopward.project import NewAgent, NewServer, add_agent, create
from hopward.retiring import Ended, retire
from hopward.wiring import Guard

READER = NewAgent("reader", "ana", "Reads", ("files/*",), ("read",), "internal", ("files",))
WRITER = NewAgent("writer", "ana", "Hands on", ("files/*",), ("read",), "internal", ("files",))
CAPABILITY = '{ tools = ["files/*"], actions = ["read"], sensitivity = "internal", destinations = ["files"] }'
TOOL = """
[servers.files.tools.read]
action = "read"
sensitivity = "internal"
integrity = "trusted"
destination = "files"

[servers.files.tools.drop]
action = "delete"
sensitivity = "internal"
integrity = "trusted"
destination = "files"
"""
CALL = ToolCall(server="files", tool="read")


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[Guard]:
    create(tmp_path, NewServer("files", ("server",)), WRITER)
    path = tmp_path / "hopward.toml"
    add_agent(path, READER)
    text = path.read_text() + TOOL
    text = text.replace("budget =", f"delegable = [{CAPABILITY}]\ndepth = 2\nfan_out = 2\nbudget =", 1)
    text = text.replace("[agents.writer]", f"[agents.writer]\ndelegable = [{CAPABILITY}]", 1)
    path.write_text(text)
    (tmp_path / "policies" / "all.cedar").write_text('@id("all")\npermit(principal, action, resource);\n')
    with closing(Guard.open(path)) as opened:
        yield opened


def narrowed() -> Narrowing:
    return Narrowing(
        purpose="read it",
        capabilities=(
            Capability(
                tools=("files/*",), actions=("read",), sensitivity="internal", destinations=("files",)
            ),
        ),
        budget=Budget(calls=5, writes=0),
        expires_in=600,
    )


def of_kind(ended: tuple[Ended, ...], kind: str) -> dict[str, str]:
    return {one.id: one.refused for one in ended if one.kind == kind}


def test_its_own_tasks_key_and_tokens_are_refused_and_each_was_tried(guard: Guard) -> None:
    task = guard.open_task("files", "ana")
    chain = guard.enter(task.id)
    assert guard.authorize(CALL, chain).permitted
    ended = retire(guard, "writer", by="ana", why="replaced")
    assert of_kind(ended, "agent") == {"writer": "unauthorized_client"}
    assert of_kind(ended, "task") == {task.id: "task_revoked"}
    assert list(of_kind(ended, "key").values()) == ["key_revoked"]
    assert not guard.authorize(CALL, chain).permitted
    with pytest.raises(ExchangeRefusedError):
        guard.issuer.agent_token("writer", guard.ledger)
    with pytest.raises(StateError):
        guard.open_task("files", "ana")


def test_the_hops_to_and_from_it_end_and_the_tasks_of_others_go_on(guard: Guard) -> None:
    chain = guard.enter(guard.open_task("files", "ana").id)
    handed = guard.delegate(chain, "reader", narrowed()).chain
    assert handed is not None
    assert guard.authorize(CALL, handed).permitted
    ended = retire(guard, "reader", by="ana", why="replaced")
    assert of_kind(ended, "hop").keys() == {handed.hops[-1]}
    assert all(of_kind(ended, "hop").values())
    assert not guard.authorize(CALL, handed).permitted
    assert guard.authorize(CALL, chain).permitted
    assert not guard.delegate(chain, "reader", narrowed()).decision.permitted


def test_a_hop_that_it_handed_on_ends_with_it(guard: Guard) -> None:
    chain = guard.enter(guard.open_task("files", "ana").id)
    handed = guard.delegate(chain, "reader", narrowed()).chain
    assert handed is not None
    ended = retire(guard, "writer", by="ana", why="replaced")
    assert of_kind(ended, "hop") == {handed.hops[-1]: "task_revoked"}
    assert not guard.authorize(CALL, handed).permitted


def test_its_key_authenticates_nobody_afterwards_even_if_its_state_were_forgotten(guard: Guard) -> None:
    retire(guard, "reader", by="ana", why="replaced")
    clients = ClientAuthenticator(guard.issuer, guard.ledger.seen_once, guard.key_revoked)
    key = KeyRing.open(guard.settings.keys_folder).agent_key("reader")
    with pytest.raises(TokenError, match="revoked"):
        clients.authenticate(client_assertion("reader", guard.issuer.issuer, key))


def test_what_it_was_granted_is_void(guard: Guard) -> None:
    folder = guard.settings.policies
    rule = '@step_up("operators")\nforbid(principal, action, resource);\n'
    (folder / "ask.cedar").write_text(f'@id("ask")\n@reason("ask first")\n{rule}')
    with closing(Guard.open(guard.settings.root / "hopward.toml")) as again:
        chain = again.enter(again.open_task("files", "ana").id)
        waiting = again.authorize(CALL, chain)
        given = again.authorize(ToolCall(server="files", tool="read", arguments={"n": 1}), chain)
        again.approvals.approve(given.approval, by=again.local_user())
        ended = retire(again, "writer", by="ana", why="replaced")
        assert of_kind(ended, "approval") == {waiting.approval: "void", given.approval: "void"}


def test_the_proof_stands_in_the_log_and_retiring_again_proves_it_again(guard: Guard) -> None:
    task = guard.open_task("files", "ana")
    first = retire(guard, "writer", by="ana", why="replaced")
    row = next(guard.ledger.rows())
    assert (row.record["event"], row.record["by"], row.agent) == ("tried", "ana", "writer")
    assert {"kind": "task", "id": task.id, "refused": "task_revoked"} in row.record["ended"]
    again = retire(guard, "writer", by="bo", why="to be sure")
    assert of_kind(again, "key") == of_kind(first, "key")
    assert of_kind(again, "task") == {}
    assert len(guard.ledger.revocations("agent", "writer")) == 1


def test_what_is_not_refused_is_said_to_be_so(guard: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
    chain = guard.enter(guard.open_task("files", "ana").id)
    monkeypatch.setattr(guard, "revoke", lambda *_, **__: None)
    monkeypatch.setattr(guard, "set_agent_state", lambda *_, **__: None)
    ended = retire(guard, "writer", by="ana", why="replaced")
    assert of_kind(ended, "task") == {chain.task: ""}
    assert of_kind(ended, "agent") == {"writer": ""}
    assert list(of_kind(ended, "key").values()) == [""]


def test_an_unknown_agent_is_not_retired(guard: Guard) -> None:
    with pytest.raises(NotFoundError):
        retire(guard, "wrter", by="ana", why="x")
