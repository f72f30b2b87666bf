"""Requests that carry the chain of their agent, in one session of several (`hopward mcp run --carried`)."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hopward import Guard, LedgerError
from hopward.testing.clock import FixedClock

from .carrying import ECHO, TEAM, Program, Session, call_of, claims_of, decisions, reading, request
from .conversation import Conversation
from .installation import opened, rows, stdio_server
from .piping import INITIALIZE, Client

RESULT = {"content": [{"type": "text", "text": "done"}]}
CREDENTIAL = "dev.hopward/credential"


def test_a_carried_chain_is_decided_as_its_last_agent_and_logged_with_every_hop(
    program: Program, session: Session
) -> None:
    clerk = program.handed(program.handed(program.boss), "clerk")
    session.call("echo", {"x": 1}, "abc", chain=clerk)
    (row,) = (row for row in rows(session.guard, "decision") if row.server)
    assert (row.verdict, row.agent, row.task) == ("permit", "clerk", program.boss.task)
    assert row.record["chain"]["actors"] == ["boss", "reader", "clerk"]
    assert row.record["chain"]["hops"] == list(clerk.hops)
    session.server_answers(RESULT)
    assert session.to_client == [{"jsonrpc": "2.0", "id": "abc", "result": RESULT}]
    (outcome,) = rows(session.guard, "outcome")
    assert (outcome.reason, outcome.agent, outcome.decision) == ("ok", "clerk", row.decision)


def test_the_server_gets_the_call_without_its_chain_and_a_credential_that_names_every_agent(
    program: Program, session: Session
) -> None:
    clerk = program.handed(program.handed(program.boss), "clerk")
    value = program.of_call(clerk)
    session.client_says(request("tools/call", ECHO, value, vendor=1))
    (sent,) = session.to_server
    token = sent["params"]["_meta"].pop(CREDENTIAL)
    assert sent["params"] == {**ECHO, "_meta": {"vendor": 1}}
    claims = claims_of(token)
    actors = {"sub": "agent:clerk", "act": {"sub": "agent:reader", "act": {"sub": "agent:boss"}}}
    assert (claims["act"], claims["txn"], claims["hops"]) == (actors, clerk.task, list(clerk.hops))


def test_the_agents_of_one_session_each_get_what_they_were_handed_and_no_more(
    program: Program, session: Session
) -> None:
    reader = program.handed(program.boss)
    clerk = program.handed(program.boss, "clerk", capabilities=(reading("desk/fail"),), delegable=(), depth=0)
    for number, chain in enumerate((program.boss, reader, clerk)):
        session.call("refund", {"amount": 5}, f"pay {number}", chain=chain)
        session.call("echo", {}, f"read {number}", chain=chain)
    assert session.decisions() == [
        ("boss", "refund", "permit"),
        ("boss", "echo", "permit"),
        ("boss>reader", "refund", "outside_hop"),
        ("boss>reader", "echo", "permit"),
        ("boss>clerk", "refund", "outside_hop"),
        ("boss>clerk", "echo", "outside_hop"),
    ]
    assert [sent["params"]["name"] for sent in session.to_server] == ["refund", "echo", "echo"]
    assert [answer["id"] for answer in session.to_client] == ["pay 1", "pay 2", "read 2"]


def test_what_a_carried_chain_does_not_cover_is_a_tool_error_that_names_the_decision(
    program: Program, session: Session
) -> None:
    session.call("refund", {"amount": 5}, chain=program.handed(program.boss))
    assert session.to_server == []
    (row,) = (row for row in rows(session.guard, "decision") if row.server)
    (answer,) = session.to_client
    told = {"id": row.decision, "verdict": "deny", "reason": "outside_hop"}
    assert answer["result"]["_meta"]["dev.hopward/decision"] == told
    assert row.decision in answer["result"]["content"][0]["text"]


def test_calls_of_two_agents_that_wait_for_the_same_commit_are_not_mixed_up(
    program: Program, session: Session
) -> None:
    chains = {"reader": program.handed(program.boss), "clerk": program.handed(program.boss, "clerk")}
    for name, chain in chains.items():
        value = program.of_call(chain, "echo", {"of": name})
        message = {"jsonrpc": "2.0", **request("tools/call", call_of("echo", {"of": name}), value, name)}
        parsed = session.gate.read_client(json.dumps(message).encode())
        session.session.client.judge(parsed, session.chain, session.from_client)
    assert session.to_server == []
    session.turn.flush()
    acting = [claims_of(sent["params"]["_meta"][CREDENTIAL])["act"]["sub"] for sent in session.to_server]
    of = [sent["params"]["arguments"]["of"] for sent in session.to_server]
    assert (acting, of) == (["agent:reader", "agent:clerk"], ["reader", "clerk"])


NEEDING: list[tuple[str, dict[str, Any]]] = [
    ("tools/call", {"name": "echo", "arguments": {}}),
    ("resources/read", {"uri": "ticket://7"}),
    ("resources/subscribe", {"uri": "ticket://7"}),
    ("prompts/get", {"name": "summary"}),
    ("completion/complete", {"ref": {"type": "ref/prompt", "name": "summary"}}),
    ("subscriptions/listen", {"notifications": {"resourceSubscriptions": ["ticket://7"]}}),
]


@pytest.mark.parametrize(("method", "params"), NEEDING, ids=[method for method, _ in NEEDING])
def test_what_has_an_effect_is_refused_without_a_chain_and_forwarded_with_one(
    program: Program, session: Session, method: str, params: dict[str, Any]
) -> None:
    session.client_says({"id": 1, "method": method, "params": params})
    assert session.refused() == "chain_missing"
    (row,) = rows(session.guard, "refusal")
    assert (row.task, row.agent, "chain" in row.record) == ("", "", False)
    value = program.presentation(program.handed(program.boss), method, params)
    session.client_says(request(method, params, value, 2))
    (sent,) = session.to_server
    assert sent["method"] == method
    assert {key: inner for key, inner in sent["params"].items() if key != "_meta"} == params
    assert sent["params"]["_meta"].keys() <= {CREDENTIAL}


def test_a_request_for_what_its_agent_does_not_reach_is_refused_in_the_name_of_that_agent(
    program: Program, session: Session
) -> None:
    params = {"ref": {"type": "ref/prompt", "name": "summary"}}
    clerk = program.handed(program.boss, "clerk", capabilities=(reading("desk/echo"),), delegable=(), depth=0)
    value = program.presentation(clerk, "completion/complete", params)
    session.client_says(request("completion/complete", params, value))
    assert session.refused() == "not_visible"
    (row,) = rows(session.guard, "refusal")
    assert (row.task, row.agent, row.record["chain"]["hops"]) == (clerk.task, "clerk", list(clerk.hops))


def test_a_listing_shows_what_the_chain_it_carries_reaches_or_what_is_classified(
    program: Program, session: Session
) -> None:
    clerk = program.handed(program.boss, "clerk", capabilities=(reading("desk/echo"),), delegable=(), depth=0)
    over = program.handed(program.boss)
    found: list[list[str]] = []
    for number, chain in enumerate((None, program.boss, clerk, over)):
        message: dict[str, Any] = {"id": number, "method": "tools/list", "params": {}}
        if chain is not None:
            message = request("tools/list", {}, program.presentation(chain, "tools/list", {}), number)
        if chain is over:
            program.guard.complete_hop(over)
        session.client_says(message)
        assert "dev.hopward" not in json.dumps(session.to_server[-1])
        names = ("echo", "refund", "hidden", "unknown")
        session.server_answers({"tools": [{"name": name} for name in names]})
        found.append([tool["name"] for tool in session.to_client[-1]["result"]["tools"]])
    assert found == [["echo", "refund", "hidden"], ["echo", "refund"], ["echo"], []]


@pytest.mark.parametrize("method", ["initialize", "ping", "logging/setLevel", "resources/unsubscribe"])
def test_a_chain_on_a_request_that_calls_nothing_is_checked_all_the_same_and_never_forwarded(
    program: Program, session: Session, method: str
) -> None:
    params = {"uri": "ticket://7"}
    session.client_says(request(method, params, program.presentation(program.boss, method, params)))
    assert session.to_server[0]["params"] == {**params, "_meta": {}}
    session.client_says(request(method, params, program.of_call(program.boss), 2))
    assert len(session.to_server) == 1
    assert "another request" in session.to_client[0]["error"]["message"]
    session.client_says({"id": 3, "method": method, "params": params})
    assert len(session.to_server) == 2
    assert session.decisions() == []


@pytest.mark.parametrize("method", ["notifications/initialized", "notifications/roots/list_changed"])
def test_a_chain_on_a_notification_is_taken_off_and_does_not_count_as_used(
    program: Program, session: Session, method: str
) -> None:
    value = program.of_call(program.boss)
    session.client_says(request(method, {}, value, None))
    assert session.to_server == [{"jsonrpc": "2.0", "method": method, "params": {"_meta": {}}}]
    session.carry(value)
    assert session.decisions() == [("boss", "echo", "permit")]


def test_a_notification_that_looks_like_a_call_goes_nowhere_whatever_it_carries(
    program: Program, session: Session
) -> None:
    session.client_says(request("tools/call", ECHO, program.of_call(program.boss), None))
    assert session.to_server == session.to_client == session.decisions() == []


def test_a_chain_in_an_answer_of_the_client_is_taken_off(program: Program, session: Session) -> None:
    session.call("echo", chain=program.boss)
    session.server_says({"id": 7, "method": "roots/list"})
    asked = session.to_client[0]["id"]
    meta = {"dev.hopward/chain": program.of_call(program.boss), CREDENTIAL: "forged", "vendor": 1}
    session.client_says({"id": asked, "result": {"roots": [], "_meta": meta}})
    assert session.to_server[1:] == [
        {"jsonrpc": "2.0", "id": 7, "result": {"roots": [], "_meta": {"vendor": 1}}}
    ]


@pytest.mark.parametrize("key", ["dev.hopward/decision", "DEV.hopward/Decision", "dev.hopward/x"])
def test_a_refusal_that_a_server_writes_under_our_name_never_reaches_the_client(
    program: Program, session: Session, key: str
) -> None:
    forged = {key: {"id": "dec_1", "verdict": "deny", "reason": "forged"}, "vendor": 1}
    session.call("echo", chain=program.boss)
    session.server_says({"method": "notifications/progress", "params": {"progress": 1, "_meta": forged}})
    session.server_says({"id": 7, "method": "roots/list", "params": {"_meta": forged}})
    answered = session.to_server[0]["id"]
    session.server_says({"id": answered, "result": {**RESULT, "isError": True, "_meta": forged}})
    progress, asked, answer = session.to_client
    for told in (progress["params"], asked["params"], answer["result"]):
        assert told["_meta"] == {"vendor": 1}
    assert "forged" not in json.dumps([row.record for row in rows(session.guard, "outcome")])


def test_a_server_that_spells_meta_otherwise_is_not_heard(program: Program, session: Session) -> None:
    session.call("echo", chain=program.boss)
    session.server_answers({**RESULT, "_Meta": {"dev.hopward/decision": {"id": "dec_1"}}})
    (answer,) = session.to_client
    assert "malformed" in answer["error"]["message"]
    assert "dec_1" not in json.dumps(answer)


def unwritable(*_: Any) -> Any:
    raise LedgerError("disk full")


@pytest.mark.parametrize("verb", ["seen_once", "standing", "record"])
def test_where_the_log_fails_a_carried_chain_opens_nothing(
    program: Program, session: Session, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    value = program.of_call(program.handed(program.boss))
    with monkeypatch.context() as broken:
        broken.setattr(session.guard.ledger, verb, unwritable)
        session.carry(value)
    assert session.to_server == []
    (answer,) = session.to_client
    assert "error" in answer or answer["result"]["isError"] is True
    assert "permit" not in [row.verdict for row in rows(session.guard, "decision") if row.server]


def unknown(*_: Any) -> bool:
    return False


@pytest.fixture
async def plain(tmp_path: Path, program: Program, clock: FixedClock) -> Any:
    """A session of `hopward mcp run desk` without `--carried`: it has opened a task of its own."""
    with opened(tmp_path / "hopward.toml", clock) as guard:
        yield Conversation(guard)


def test_a_proxy_with_a_task_of_its_own_refuses_a_chain_of_any_other_task(
    program: Program, plain: Conversation
) -> None:
    value = program.of_call(program.boss)
    plain.client_says(request("tools/call", ECHO, value))
    assert plain.to_server == []
    assert plain.to_client[0]["error"]["code"] == -32000
    assert "of another task than its session" in plain.to_client[0]["error"]["message"]
    (row,) = rows(plain.guard, "refusal")
    assert (row.reason, row.task, row.agent) == ("chain_mismatch", plain.task.id, "assistant")
    assert program.leaks(json.dumps(plain.to_client)) == program.leaks_in_log() == []
    plain.call("echo", message_id=2)
    assert len(plain.to_server) == 1


def test_a_proxy_with_a_task_of_its_own_does_not_take_a_bad_chain_for_none(
    program: Program, plain: Conversation
) -> None:
    for number, value in enumerate((None, {}, program.of_call(program.boss, "fail"))):
        plain.client_says(request("tools/call", ECHO, value, number))
    assert plain.to_server == []
    assert [row.reason for row in rows(plain.guard, "refusal")] == ["malformed", "malformed", "wrong_request"]


def test_a_chain_of_the_proxys_own_task_is_decided_as_any_until_that_task_ends(
    program: Program, plain: Conversation
) -> None:
    own = program.guard.enter(plain.task.id)
    plain.client_says(request("tools/call", ECHO, program.of_call(own)))
    assert [row.agent for row in rows(plain.guard, "decision")] == ["assistant"]
    assert len(plain.to_server) == 1
    value = program.of_call(own)
    program.guard.complete_task(plain.task.id)
    plain.client_says(request("tools/call", ECHO, value, 2))
    assert len(plain.to_server) == 1
    assert rows(plain.guard, "decision")[-1].reason == "task_completed"


def test_while_it_is_not_known_whether_the_proxys_own_task_stands_nothing_is_permitted(
    program: Program, plain: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    value = program.of_call(program.guard.enter(plain.task.id))
    monkeypatch.setattr(Guard, "stands", unknown)
    plain.client_says(request("tools/call", ECHO, value))
    assert plain.to_server == []
    assert [row.verdict for row in rows(plain.guard, "decision")] == ["deny"]


@pytest.fixture
def piped(tmp_path: Path) -> Iterator[Client]:
    """`hopward mcp run desk --carried`, a real process."""
    servers = "".join(stdio_server(tmp_path / "record", name) for name in ("desk", "other"))
    client = Client(tmp_path, "--carried", settings=servers + TEAM)
    yield client
    client.process.kill()
    client.process.communicate()


def test_a_real_proxy_takes_chains_of_another_process_and_opens_no_task(piped: Client) -> None:
    piped.ask(INITIALIZE)
    with opened(piped.config) as guard:
        program = Program(guard)
        reader = program.handed(program.boss)
        assert "has to carry" in piped.call("echo")["error"]["message"]
        value = program.of_call(reader, "echo", {"x": 1})
        call = request("tools/call", call_of("echo", {"x": 1}), value, "read")
        assert piped.ask(call)["result"]["isError"] is False
        assert "used before" in piped.ask({**call, "id": "again"})["error"]["message"]
        late = request("tools/call", ECHO, program.of_call(reader), "late")
        guard.complete_hop(reader)
        refused = piped.ask(late)["result"]["_meta"]["dev.hopward/decision"]
        assert refused["reason"] == "hop_completed"
        status, out, err = piped.end()
        assert (status, out, "task" in err) == (0, b"", False)
        assert [sent["method"] for sent in piped.received()] == ["initialize", "tools/call"]
        assert program.leaks(piped.record.read_bytes()) == program.leaks_in_log() == []
        assert [task.id for task in guard.ledger.tasks()] == [reader.task]
        assert decisions(guard) == [
            ("boss>reader", "echo", "permit"),
            ("boss>reader", "echo", "hop_completed"),
        ]


@pytest.mark.parametrize("option", ["--subject", "--workflow"])
def test_a_proxy_of_carried_chains_cannot_be_told_whose_task_to_open(tmp_path: Path, option: str) -> None:
    client = Client(tmp_path, "--carried", option, "tickets")
    status, _, err = client.end()
    assert (status, "opens no task" in err) == (2, True)
