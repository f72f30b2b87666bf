"""Calls that wait at an older server for input, and what is tried on them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hopward import Guard
from hopward.base64url import decode

from .bridging import FORM, Bridge, asking, done
from .installation import install, opened, rows, stdio_server

NO_PAGES = """
forbid (principal, action == Hopward::Action::"desk/request:elicitation/create", resource)
when { context.arguments has mode && context.arguments.mode == "url" };
"""
ACCEPT = {"action": "accept", "content": {"name": "Ana"}}


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[Guard]:
    with opened(install(tmp_path, asking(tmp_path / "record"))) as running:
        yield running


@pytest.fixture
async def bridge(guard: Guard) -> Bridge:
    """A call has met the server, and been answered."""
    made = Bridge(guard)
    made.calls()
    made.meets()
    made.finishes()
    made.to_client.clear()
    made.to_server.clear()
    return made


async def parked(bridge: Bridge, **call: Any) -> str:
    """A call that waits for input; its state."""
    asked = bridge.calls(**call)
    await bridge.elicits()
    return bridge.required(asked)[1]


def retry(bridge: Bridge, state: Any, responses: Any = None, **call: Any) -> int:
    responses = {"1": ACCEPT} if responses is None else responses
    return bridge.calls(requestState=state, inputResponses=responses, **call)


def outcomes(bridge: Bridge) -> list[tuple[str, str]]:
    """The outcomes of the calls, without those of what the server has asked."""
    bridge.turn.flush()
    calls = {row.decision for row in rows(bridge.guard, "decision") if row.tool == "echo"}
    found = [row.record["outcome"] for row in rows(bridge.guard, "outcome") if row.decision in calls]
    return [(one["status"], one["error"]) for one in found]


async def test_a_round_brings_the_input_to_the_call_that_waits_for_it(bridge: Bridge) -> None:
    asked = bridge.calls(arguments={"x": 1})
    await bridge.elicits()
    requests, state = bridge.required(asked)
    assert requests == {"1": {"method": "elicitation/create", "params": FORM}}
    again = retry(bridge, state, arguments={"x": 1})
    assert bridge.answers_of("s1") == [{"jsonrpc": "2.0", "id": "s1", "result": ACCEPT}]
    bridge.finishes("Ana it is")
    assert bridge.answer(again)["result"]["content"][0]["text"] == "Ana it is"
    assert len(bridge.sent("tools/call")) == 1


async def test_every_round_is_a_decision_with_an_outcome_and_only_the_first_ones_credential_goes_out(
    bridge: Bridge,
) -> None:
    state = await parked(bridge)
    retry(bridge, state)
    bridge.finishes()
    assert outcomes(bridge) == [("ok", ""), ("ok", "input_required"), ("ok", "")]
    tools = [(row.tool, row.verdict) for row in rows(bridge.guard, "decision")]
    asked = ("request:elicitation/create", "permit")
    assert tools == [("echo", "permit"), ("echo", "permit"), asked, ("echo", "permit")]
    sent = bridge.sent("tools/call")[0]["params"]
    assert sent["_meta"].keys() == {"dev.hopward/credential"}
    assert json.dumps(bridge.to_server).count("dev.hopward/credential") == 1


async def test_a_round_of_a_task_that_has_ended_brings_nothing(bridge: Bridge) -> None:
    state = await parked(bridge)
    bridge.guard.complete_task(bridge.task.id)
    again = retry(bridge, state)
    assert bridge.answer(again)["result"]["isError"] is True
    assert bridge.answers_of("s1") == []


@pytest.mark.parametrize("change", ["", "x", None, 1, {"a": 1}, "flip", "cut", "longer"])
async def test_a_state_that_is_not_the_one_given_out_brings_nothing(bridge: Bridge, change: Any) -> None:
    state = await parked(bridge)
    made = {"flip": state[:-1] + ("A" if state[-1] != "A" else "B"), "cut": state[:-1], "longer": state + "A"}
    forged = made.get(change, change) if isinstance(change, str) else change
    again = retry(bridge, forged)
    assert bridge.answer(again)["error"]["code"] == -32602
    assert bridge.answers_of("s1") == []
    assert len(bridge.sent("tools/call")) == 1
    retry(bridge, state)
    assert bridge.answers_of("s1") != []


async def test_input_without_a_state_is_of_no_call(bridge: Bridge) -> None:
    await parked(bridge)
    again = bridge.calls(inputResponses={"1": ACCEPT})
    assert bridge.answer(again)["error"]["code"] == -32602
    assert bridge.answers_of("s1") == []


async def test_a_state_counts_once(bridge: Bridge) -> None:
    state = await parked(bridge)
    retry(bridge, state)
    again = retry(bridge, state)
    assert bridge.answer(again)["error"]["code"] == -32602
    assert len(bridge.answers_of("s1")) == 1
    bridge.finishes()
    last = retry(bridge, state)
    assert bridge.answer(last)["error"]["code"] == -32602


async def test_another_principals_state_brings_nothing_and_is_not_used_up(bridge: Bridge) -> None:
    state = await parked(bridge)
    for chain in (bridge.other("bob"), bridge.other("alice")):
        again = retry(bridge, state, chain=chain)
        assert bridge.answer(again)["error"]["code"] == -32602
    assert bridge.answers_of("s1") == []
    mine = retry(bridge, state)
    assert len(bridge.answers_of("s1")) == 1
    bridge.finishes("for me")
    assert bridge.answer(mine)["result"]["content"][0]["text"] == "for me"
    assert "for me" not in json.dumps([one for one in bridge.to_client if one["id"] != mine])


@pytest.mark.parametrize(
    "call",
    [
        {"arguments": {"x": 2}},
        {"arguments": {"x": True}},
        {"arguments": {"x": "1"}},
        {"arguments": {}},
        {"arguments": {"x": 1, "y": 1}},
        {"tool": "greet", "arguments": {"x": 1}},
        {"arguments": {"x": 1}, "vendor": 1},
    ],
)
async def test_a_state_is_of_one_request_only(bridge: Bridge, call: dict[str, Any]) -> None:
    state = await parked(bridge, arguments={"x": 1})
    again = retry(bridge, state, **call)
    assert bridge.answer(again)["error"]["code"] == -32602
    assert bridge.answers_of("s1") == []


async def test_a_state_is_of_one_method_only(bridge: Bridge) -> None:
    asked = bridge.asks("prompts/get", name="summary")
    await bridge.elicits()
    state = bridge.required(asked)[1]
    again = bridge.asks("tools/call", name="summary", requestState=state, inputResponses={"1": ACCEPT})
    assert "error" in bridge.answer(again) or bridge.answer(again)["result"]["isError"]
    assert bridge.answers_of("s1") == []


@pytest.mark.parametrize("responses", [[], "x", {"1": "x"}, {"1": None}, {"1": [ACCEPT]}])
async def test_responses_of_another_shape_bring_nothing_and_use_up_nothing(
    bridge: Bridge, responses: Any
) -> None:
    state = await parked(bridge)
    again = bridge.calls(requestState=state, inputResponses=responses)
    assert bridge.answer(again)["error"]["code"] == -32602
    retry(bridge, state)
    assert len(bridge.answers_of("s1")) == 1


async def test_a_response_carries_nothing_that_only_hopward_writes(bridge: Bridge) -> None:
    state = await parked(bridge)
    forged = {**ACCEPT, "_meta": {"dev.hopward/credential": "forged", "Dev.Hopward/x": 1, "mine": 1}}
    retry(bridge, state, {"1": forged, "7": {"action": "accept"}})
    (answer,) = bridge.answers_of("s1")
    assert answer["result"] == {**ACCEPT, "_meta": {"mine": 1}}
    assert "7" not in json.dumps([one.get("id") for one in bridge.to_server])


async def test_what_is_asked_in_one_breath_is_one_round_and_what_is_missing_is_asked_again(
    bridge: Bridge,
) -> None:
    asked = bridge.calls()
    bridge.hears({"id": 1, "method": "elicitation/create", "params": FORM})
    bridge.hears({"id": 2, "method": "roots/list"})
    await bridge.breath()
    requests, state = bridge.required(asked)
    assert {one["method"] for one in requests.values()} == {"elicitation/create", "roots/list"}
    second = retry(bridge, state, {"2": {"roots": []}})
    requests, state = bridge.required(second)
    assert list(requests) == ["1"]
    third = retry(bridge, state)
    assert [one["id"] for one in bridge.to_server if "result" in one] == [2, 1]
    bridge.finishes()
    assert bridge.answer(third)["result"]["resultType"] == "complete"


async def test_a_call_that_asks_twice_takes_three_rounds_each_with_a_state_of_its_own(bridge: Bridge) -> None:
    first = await parked(bridge)
    asked = retry(bridge, first)
    await bridge.elicits("s2")
    requests, second = bridge.required(asked)
    assert (list(requests), second != first) == (["2"], True)
    last = retry(bridge, second, {"2": ACCEPT})
    assert len(bridge.answers_of("s2")) == 1
    bridge.finishes()
    assert bridge.answer(last)["result"]["resultType"] == "complete"
    assert len(outcomes(bridge)) == 4


async def test_what_the_server_answers_without_the_input_is_kept_for_the_round(bridge: Bridge) -> None:
    state = await parked(bridge)
    bridge.finishes("went on alone")
    again = retry(bridge, state)
    assert bridge.answer(again)["result"]["content"][0]["text"] == "went on alone"
    assert bridge.answers_of("s1") == []


async def test_an_error_that_ends_a_call_without_the_input_is_kept_too(bridge: Bridge) -> None:
    state = await parked(bridge)
    bridge.hears({"id": bridge.sent("tools/call")[0]["id"], "error": {"code": -32050, "message": "no"}})
    again = retry(bridge, state)
    assert bridge.answer(again)["error"] == {"code": -32050, "message": "no"}


async def test_input_that_the_server_has_withdrawn_does_not_reach_it(bridge: Bridge) -> None:
    state = await parked(bridge)
    bridge.hears({"method": "notifications/cancelled", "params": {"requestId": "s1"}})
    again = retry(bridge, state)
    assert bridge.answers_of("s1") == []
    bridge.finishes("without")
    assert bridge.answer(again)["result"]["content"][0]["text"] == "without"


async def test_a_call_that_waits_too_long_is_cancelled_first_and_then_told_and_is_in_the_log(
    bridge: Bridge,
) -> None:
    state = await parked(bridge)
    (call,) = bridge.sent("tools/call")
    bridge.time.seconds = 599.0
    bridge.older._sweep()
    assert bridge.sent("notifications/cancelled") == []
    bridge.time.seconds = 601.0
    again = retry(bridge, state)
    assert bridge.answer(again)["error"]["code"] == -32602
    bridge.older._sweep()
    told = [one.get("method", "answer") for one in bridge.to_server[-2:]]
    assert told == ["notifications/cancelled", "answer"]
    assert bridge.sent("notifications/cancelled")[0]["params"]["requestId"] == call["id"]
    assert bridge.answers_of("s1")[0]["error"]["code"] == -32000
    (row,) = rows(bridge.guard, "refusal")
    assert row.reason == "input_abandoned"
    decision = rows(bridge.guard, "decision")[1].decision
    assert decision in json.dumps(row.record)
    bridge.finishes("too late")
    assert "too late" not in json.dumps(bridge.to_client)
    assert len(rows(bridge.guard, "refusal")) == 1


async def test_a_call_ends_at_the_server_when_what_it_stands_on_has_ended(bridge: Bridge) -> None:
    await parked(bridge)
    bridge.guard.complete_task(bridge.task.id)
    bridge.older._sweep()
    assert len(bridge.sent("notifications/cancelled")) == 1
    assert rows(bridge.guard, "refusal")[0].reason == "input_abandoned"


async def test_what_is_parked_when_the_connection_ends_is_in_the_log(bridge: Bridge) -> None:
    await parked(bridge)
    bridge.older.end("The server was stopped.")
    assert "The server was stopped." in json.dumps(rows(bridge.guard, "refusal")[0].record)


async def test_a_later_round_that_is_given_up_ends_the_call_under_the_servers_id(bridge: Bridge) -> None:
    state = await parked(bridge)
    again = retry(bridge, state)
    bridge.says({"method": "notifications/cancelled", "params": {"requestId": again}})
    (cancelled,) = bridge.sent("notifications/cancelled")
    assert cancelled["params"]["requestId"] == bridge.sent("tools/call")[0]["id"]
    assert outcomes(bridge)[-1][0] == "cancelled"
    assert len(bridge.session.requests) == 0
    bridge.finishes("too late")
    assert "too late" not in json.dumps(bridge.to_client)


async def test_a_round_that_nobody_waits_for_any_more_ends_the_call(bridge: Bridge) -> None:
    state = await parked(bridge)
    again = retry(bridge, state)
    bridge.time.seconds = 1_000.0
    bridge.session.endings.expire(bridge.from_endings, lambda *_: None)
    assert bridge.answer(again)["error"]["code"] == -32001
    bridge.older._sweep()
    assert len(bridge.sent("notifications/cancelled")) == 1


async def test_only_so_many_calls_wait_and_one_more_goes_on_without(bridge: Bridge) -> None:
    for number in range(64):
        bridge.calls(arguments={"n": number})
        await bridge.elicits(number)
    asked = bridge.calls(arguments={"n": 64})
    await bridge.elicits("one too many")
    assert bridge.answers_of("one too many")[0]["error"]["message"] == "Too many calls wait for input."
    bridge.finishes("without")
    assert bridge.answer(asked)["result"]["content"][0]["text"] == "without"


async def test_each_input_goes_to_the_request_it_was_asked_by(bridge: Bridge) -> None:
    states: list[str] = []
    for number in range(5):
        asked = bridge.calls(arguments={"n": number})
        await bridge.elicits(f"s{number}")
        states.append(bridge.required(asked)[1])
    waits: dict[int, int] = {}
    for number in (3, 0, 4, 2, 1):
        content = {"action": "accept", "content": {"n": number}}
        waits[number] = retry(bridge, states[number], {"1": content}, arguments={"n": number})
    for number, call in enumerate(bridge.sent("tools/call")):
        assert bridge.answers_of(f"s{number}")[0]["result"]["content"] == {"n": number}
        bridge.hears({"id": call["id"], "result": done(f"for {number}")})
    for number, asked in waits.items():
        assert bridge.answer(asked)["result"]["content"][0]["text"] == f"for {number}"


async def test_once_a_second_principal_has_called_the_server_asks_nobody(bridge: Bridge) -> None:
    bridge.calls(chain=bridge.other())
    bridge.finishes()
    asked = bridge.calls()
    await bridge.elicits()
    assert bridge.answers_of("s1")[0]["error"]["code"] == -32000
    bridge.finishes("for alice")
    assert bridge.answer(asked)["result"]["resultType"] == "complete"
    assert rows(bridge.guard, "refusal")[-1].reason == "server_request"


async def test_the_server_asks_only_what_its_settings_and_the_client_say(guard: Guard) -> None:
    bridge = Bridge(guard, {"elicitation": {}})
    asked = bridge.calls()
    bridge.meets()
    assert bridge.sent("initialize")[0]["params"]["capabilities"] == {"elicitation": {}}
    for request_id, method, params in (
        ("r", "roots/list", {}),
        ("s", "sampling/createMessage", {"messages": []}),
        ("u", "elicitation/create", {"mode": "url", "url": "https://x.example", "message": "go"}),
        ("l", "elicitation/create", {"mode": ["form"]}),
        ("v", "vendor/x", {}),
        ("p", "ping", {}),
    ):
        bridge.hears({"id": request_id, "method": method, "params": params})
    await bridge.breath()
    assert [bridge.answers_of(one)[0].get("error", {}).get("code") for one in "rsulvp"] == [-32601] * 5 + [
        None
    ]
    bridge.finishes()
    assert bridge.answer(asked)["result"]["resultType"] == "complete"


async def test_a_call_ends_at_the_server_when_what_it_asks_for_is_not_permitted(
    tmp_path: Path, guard: Guard
) -> None:
    (tmp_path / "policies" / "no_pages.cedar").write_text(NO_PAGES)
    with opened(tmp_path / "hopward.toml") as strict:
        bridge = Bridge(strict)
        asked = bridge.calls()
        bridge.meets()
        await bridge.elicits(mode="url", url="https://evil.example")
        assert "The server asked the client for" in bridge.answer(asked)["error"]["message"]
        assert "evil.example" not in json.dumps(bridge.to_client)
        told = [one.get("method", "answer") for one in bridge.to_server[-2:]]
        assert told == ["notifications/cancelled", "answer"]
        assert len(bridge.older._calls) == 0
        assert rows(strict, "refusal")[-1].reason == "input_abandoned"


async def test_what_no_task_reaches_is_refused_to_the_server_and_the_call_goes_on(tmp_path: Path) -> None:
    with opened(install(tmp_path, stdio_server(tmp_path / "record"))) as guard:
        bridge = Bridge(guard)
        asked = bridge.calls()
        bridge.meets()
        assert bridge.sent("initialize")[0]["params"]["capabilities"] == {"roots": {}}
        await bridge.elicits()
        assert bridge.answers_of("s1")[0]["error"]["code"] == -32601
        bridge.finishes()
        assert bridge.answer(asked)["result"]["resultType"] == "complete"
        assert [row.reason for row in rows(guard, "refusal")] == ["server_request"]


async def test_what_the_server_asks_for_before_any_call_comes_with_the_next_which_waits_for_it(
    guard: Guard,
) -> None:
    bridge = Bridge(guard)
    bridge.asks("tools/list")
    bridge.meets()
    bridge.hears({"id": "early", "method": "roots/list"})
    asked = bridge.calls()
    await bridge.breath()
    requests, state = bridge.required(asked)
    assert (requests, bridge.sent("tools/call")) == ({"1": {"method": "roots/list"}}, [])
    again = retry(bridge, state, {"1": {"roots": [{"uri": "file:///a"}]}})
    assert [one.get("method", "answer") for one in bridge.to_server[-2:]] == ["answer", "tools/call"]
    credential = bridge.sent("tools/call")[0]["params"]["_meta"]["dev.hopward/credential"]
    claims = json.loads(decode(credential.split(".")[1]))
    assert claims["decision"] == rows(bridge.guard, "decision")[-1].decision
    bridge.finishes()
    assert bridge.answer(again)["result"]["resultType"] == "complete"


async def test_what_the_server_asks_for_before_any_call_is_asked_of_nobody_but_who_has_met_it(
    guard: Guard,
) -> None:
    bridge = Bridge(guard)
    bridge.asks("tools/list")
    bridge.meets()
    bridge.hears({"id": "early", "method": "roots/list"})
    asked = bridge.calls(chain=bridge.other())
    await bridge.breath()
    assert len(bridge.sent("tools/call")) == 1
    bridge.finishes()
    assert bridge.answer(asked)["result"]["resultType"] == "complete"
    assert bridge.answers_of("early") == []


URL = {"mode": "url", "url": "https://x.example/consent", "message": "Agree", "elicitationId": "e1"}


async def test_a_call_that_needs_a_url_first_is_made_anew_with_the_credential_of_the_round(
    bridge: Bridge,
) -> None:
    asked = bridge.calls()
    (first,) = bridge.sent("tools/call")
    fault = {"code": -32042, "message": "first", "data": {"elicitations": [URL]}}
    bridge.hears({"id": first["id"], "error": fault})
    await bridge.breath()
    requests, state = bridge.required(asked)
    shown = {key: value for key, value in URL.items() if key != "elicitationId"}
    assert requests == {"1": {"method": "elicitation/create", "params": shown}}
    again = retry(bridge, state, {"1": {"action": "accept"}})
    _, second = bridge.sent("tools/call")
    assert second["params"]["_meta"] != first["params"]["_meta"]
    bridge.finishes("after consent")
    assert bridge.answer(again)["result"]["content"][0]["text"] == "after consent"


@pytest.mark.parametrize("response", [{"action": "decline"}, {"action": "cancel"}, {}])
async def test_a_call_whose_url_nobody_opened_is_not_made_anew(
    bridge: Bridge, response: dict[str, Any]
) -> None:
    asked = bridge.calls()
    fault = {"code": -32042, "message": "first", "data": {"elicitations": [URL]}}
    bridge.hears({"id": bridge.sent("tools/call")[0]["id"], "error": fault})
    await bridge.breath()
    again = retry(bridge, bridge.required(asked)[1], {"1": response})
    assert "did not open" in bridge.answer(again)["error"]["message"]
    assert len(bridge.sent("tools/call")) == 1


async def test_a_client_that_opens_no_urls_is_told_what_it_lacks(guard: Guard) -> None:
    bridge = Bridge(guard, {})
    asked = bridge.calls()
    bridge.meets()
    fault = {"code": -32042, "message": "first", "data": {"elicitations": [URL]}}
    bridge.hears({"id": bridge.sent("tools/call")[0]["id"], "error": fault})
    error = bridge.answer(asked)["error"]
    assert (error["code"], error["data"]) == (-32021, {"requiredCapabilities": {"elicitation": {"url": {}}}})


async def test_a_secret_in_what_the_server_asks_for_reaches_nobody(bridge: Bridge) -> None:
    asked = bridge.calls()
    credential = bridge.sent("tools/call")[0]["params"]["_meta"]["dev.hopward/credential"]
    await bridge.elicits(message=f"your token is {credential}")
    bridge.answer(asked)
    assert credential not in json.dumps(bridge.to_client)


async def test_a_malformed_answer_fails_the_round_that_waits(bridge: Bridge) -> None:
    state = await parked(bridge)
    again = retry(bridge, state)
    call = bridge.sent("tools/call")[0]["id"]
    bridge.hears(b'{"jsonrpc":"2.0","id":%d,"result":{"a":1,"a":2}}' % call)
    assert "malformed" in bridge.answer(again)["error"]["message"]
