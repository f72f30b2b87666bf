"""A step-up whose client reaches a person: what the answer does, in 2026-07-28, and what it cannot do."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hopward import Guard
from hopward_mcp.carried import CHAIN_KEY, NOBODY
from hopward_mcp.endings import lost
from hopward_mcp.seal import LIMIT, Round, Seal

from .bridging import Bridge, asking
from .carrying import TEAM, Program
from .installation import install, opened, rows, stdio_server
from .stepping import BOTH, FORM, GROUPS, KEY, PAGE, URL, Client, held, stepping
from .test_observing import observed

ACCEPT: dict[str, Any] = {"action": "accept"}
YES: dict[str, Any] = {"action": "accept", "content": {"approve": "yes", "why": "it is lost"}}
NO: dict[str, Any] = {"action": "accept", "content": {"approve": "no", "why": "too much"}}


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[Guard]:
    with opened(stepping(tmp_path)) as running:
        yield running


@pytest.fixture
async def client(guard: Guard) -> Client:
    """It opens URLs, and shows forms."""
    return Client(guard, modern=True, capabilities=BOTH)


@pytest.fixture
async def forms(guard: Guard) -> Client:
    """It shows forms only."""
    return Client(guard, modern=True, capabilities=FORM)


def approval(guard: Guard) -> Any:
    """The only approval there is."""
    (found,) = guard.approvals.find(())
    return found


def verdicts(guard: Guard) -> list[tuple[str, str]]:
    """Verdict and reason of every decision on a refund, the first one first."""
    found = [row.record["verdict"] for row in rows(guard, "decision") if row.tool == "refund"]
    return [(one["name"], one["reason"]) for one in found]


STEP_UP, PERMIT = ("step-up", "approval_required"), ("permit", "approved")


# Led to the page.


async def test_the_client_is_led_to_the_page_and_the_call_passes_once_somebody_has_approved_there(
    client: Client,
) -> None:
    asked, state = client.required(client.call())
    found = approval(client.guard)
    assert (asked["mode"], asked["url"]) == ("url", f"{PAGE}/approvals/{found.id}")
    assert "elicitationId" not in asked
    assert "desk/refund, on behalf of alice" in asked["message"]
    assert "amount = 5" in asked["message"]
    again = client.retry(state, ACCEPT)
    assert client.answer(again) is None
    assert client.forwarded == []
    client.look()
    assert client.answer(again) is None
    client.guard.approvals.approve(found.id, by="dora")
    client.look()
    (forwarded,) = client.forwarded
    assert forwarded["params"]["arguments"] == {"amount": 5}
    assert not {"inputResponses", "requestState"} & forwarded["params"].keys()
    assert verdicts(client.guard) == [STEP_UP, PERMIT]
    assert client.caller.waited == 1


async def test_who_has_approved_before_the_client_says_so_does_not_keep_the_call_waiting(
    client: Client,
) -> None:
    _, state = client.required(client.call())
    client.guard.approvals.approve(approval(client.guard).id, by="dora")
    client.retry(state, ACCEPT)
    assert len(client.forwarded) == 1


async def test_that_the_person_went_to_the_page_approves_nothing(client: Client) -> None:
    _, state = client.required(client.call())
    again = client.retry(state, YES)
    client.time.seconds += 59
    client.look()
    assert client.answer(again) is None
    client.time.seconds += 1
    client.look()
    refused = client.refusal(again)
    assert (refused["verdict"], refused["approval"]) == ("step-up", approval(client.guard).id)
    assert (approval(client.guard).state, approval(client.guard).answers) == ("pending", ())
    assert client.forwarded == []
    assert len(client.gate.waiting) == 0


async def test_a_no_at_the_page_ends_the_waiting(client: Client) -> None:
    _, state = client.required(client.call())
    again = client.retry(state, ACCEPT)
    client.guard.approvals.reject(approval(client.guard).id, by="dora", why="too much")
    client.look()
    assert client.refusal(again)["reason"] == "approval_rejected"


async def test_the_subject_may_decline_in_any_client(client: Client) -> None:
    _, state = client.required(client.call())
    again = client.retry(state, {"action": "decline"})
    assert client.refusal(again)["reason"] == "approval_rejected"
    (no,) = approval(client.guard).answers
    assert (no.by, no.yes, no.why) == ("alice", False, "Said in the MCP client.")
    assert client.forwarded == []


@pytest.mark.parametrize("answer", [{"action": "cancel"}, {"action": "maybe"}, {}, [], "yes", 7])
async def test_what_says_nothing_decides_nothing(client: Client, answer: Any) -> None:
    _, state = client.required(client.call())
    refused = client.refusal(client.retry(state, answer))
    assert refused["approval"] == approval(client.guard).id
    assert (approval(client.guard).state, client.forwarded) == ("pending", [])


# Asked in a form.


async def test_the_subject_says_yes_in_a_form_where_their_group_takes_it(forms: Client) -> None:
    asked, state = forms.required(forms.call())
    assert set(asked) == {"message", "requestedSchema"}
    assert "desk/refund, on behalf of alice" in asked["message"]
    assert asked["requestedSchema"]["properties"]["approve"]["enum"] == ["yes", "no"]
    forms.retry(state, YES)
    assert len(forms.forwarded) == 1
    found = approval(forms.guard)
    assert [(one.by, one.yes, one.why) for one in found.answers] == [
        ("alice", True, "Said in the MCP client: it is lost")
    ]
    assert found.state == "consumed"
    assert verdicts(forms.guard) == [STEP_UP, PERMIT]
    assert forms.caller.waited == 0


async def test_a_no_in_a_form_is_final(forms: Client) -> None:
    _, state = forms.required(forms.call())
    refused = forms.refusal(forms.retry(state, NO))
    assert refused["reason"] == "approval_rejected"
    assert approval(forms.guard).answers[0].why == "Said in the MCP client: too much"
    assert forms.refusal(forms.call())["reason"] == "approval_rejected"


@pytest.mark.parametrize(
    "content",
    [
        None,
        {},
        {"approve": True},
        {"approve": "YES"},
        {"approve": ["yes"]},
        {"why": "yes"},
        {"approve": "yes", "why": 1},
        {"approve": "yes", "why": "y" * 501},
        {"approve": "yes", "always": "yes"},
        "yes",
    ],
)
async def test_a_form_that_fails_its_schema_approves_nothing(forms: Client, content: Any) -> None:
    _, state = forms.required(forms.call())
    refused = forms.refusal(forms.retry(state, {"action": "accept", "content": content}))
    assert refused["approval"] == approval(forms.guard).id
    assert (approval(forms.guard).state, forms.forwarded) == ("pending", [])


@pytest.mark.parametrize("group", ["unasked", "pair", "others", "operators"])
async def test_a_form_is_shown_only_where_the_word_of_the_subject_in_a_client_is_enough(
    tmp_path: Path, group: str
) -> None:
    with opened(stepping(tmp_path, group=group)) as guard:
        client = Client(guard, modern=True, capabilities=FORM)
        refused = client.refusal(client.call())
        assert refused["approval"] == approval(guard).id


async def test_without_a_page_a_client_that_opens_urls_is_shown_a_form(tmp_path: Path) -> None:
    with opened(stepping(tmp_path, page=False)) as guard:
        asked, _ = (client := Client(guard, modern=True, capabilities=BOTH)).required(client.call())
        assert "requestedSchema" in asked


@pytest.mark.parametrize("capabilities", [{}, {"elicitation": None}, {"elicitation": []}, {"sampling": {}}])
async def test_a_client_that_can_ask_nobody_gets_a_refusal_and_may_make_the_call_later(
    guard: Guard, capabilities: dict[str, Any]
) -> None:
    client = Client(guard, modern=True, capabilities=capabilities)
    refused = client.refusal(client.call())
    assert (refused["verdict"], refused["approval"]) == ("step-up", approval(guard).id)
    guard.approvals.approve(approval(guard).id, by="dora")
    client.call()
    assert len(client.forwarded) == 1


async def test_who_opens_urls_only_is_not_shown_a_form(tmp_path: Path) -> None:
    with opened(stepping(tmp_path, page=False)) as guard:
        client = Client(guard, modern=True, capabilities=URL)
        assert client.refusal(client.call())["approval"]


async def test_arguments_too_long_for_a_form_are_not_approved_in_one(forms: Client) -> None:
    refused = forms.refusal(forms.call(arguments={"amount": 5, "note": "x" * 9_000}))
    assert refused["approval"] == approval(forms.guard).id


async def test_the_page_shows_what_is_too_long_for_a_client(client: Client) -> None:
    asked, _ = client.required(client.call(arguments={"amount": 5, "note": "x" * 9_000}))
    assert len(asked["message"]) < 8_200
    assert asked["message"].endswith("The page shows all of it.")


# Attacks.


async def test_other_arguments_with_the_same_state_are_another_call(forms: Client) -> None:
    _, state = forms.required(forms.call())
    asked, other = forms.required(forms.retry(state, YES, arguments={"amount": 50}))
    assert other != state
    assert "amount = 50" in asked["message"]
    assert forms.forwarded == []
    assert [one.state for one in forms.guard.approvals.find(())] == ["pending", "pending"]


async def test_another_parameter_of_the_request_is_another_call_too(forms: Client) -> None:
    _, state = forms.required(forms.call())
    forms.required(forms.retry(state, YES, other="thing"))
    assert forms.forwarded == []


async def test_an_answer_counts_once(forms: Client) -> None:
    _, state = forms.required(forms.call())
    forms.retry(state, YES)
    refused = forms.refusal(forms.retry(state, YES))
    assert refused["verdict"] == "step-up"
    assert len(forms.forwarded) == 1
    assert sorted(one.state for one in forms.guard.approvals.find(())) == ["consumed", "pending"]


async def test_the_answer_of_another_principal_is_none(forms: Client) -> None:
    _, state = forms.required(forms.call())
    bob = forms.guard.enter(forms.guard.open_task("tickets", "bob").id)
    dora = forms.guard.enter(forms.guard.open_task("tickets", "dora").id)
    assert forms.refusal(forms.retry(state, YES, chain=bob))["verdict"] == "step-up"
    forms.required(forms.retry(state, YES, chain=dora))
    another = forms.guard.enter(forms.guard.open_task("tickets", "alice").id)
    forms.required(forms.retry(state, YES, chain=another))
    assert forms.forwarded == []
    assert {one.state for one in forms.guard.approvals.find(())} == {"pending"}


def ignored(_key: int, _pending: object) -> None:
    """Nothing has been forwarded."""


def flipped(state: str, at: int) -> str:
    other = "A" if state[at] != "A" else "B"
    return state[:at] + other + state[at + 1 :]


@pytest.mark.parametrize("which", range(6))
async def test_a_state_that_was_tampered_with_is_taken_away_and_the_person_asked_anew(
    forms: Client, which: int
) -> None:
    _, state = forms.required(forms.call())
    begin, _, _ = state.rpartition(".")
    bad = (flipped(state, 40), flipped(state, -3), f"{begin}.", begin, f"{state}=", f"{begin}.\u00e9")
    forms.required(forms.retry(bad[which], YES))
    assert forms.forwarded == []
    assert approval(forms.guard).state == "pending"


async def test_a_state_counts_for_a_limited_time(forms: Client) -> None:
    _, state = forms.required(forms.call())
    forms.time.seconds += LIMIT + 1
    forms.required(forms.retry(state, YES))
    assert forms.forwarded == []


async def test_what_is_not_answered_is_asked_again_and_not_without_end(forms: Client) -> None:
    _, state = forms.required(forms.call())
    forms.required(forms.call(requestState=state))
    forms.required(forms.call(inputResponses={"other": YES}, requestState=state))
    assert forms.refusal(forms.call(requestState=state))["approval"]
    assert forms.forwarded == []


async def test_an_answer_without_our_state_is_the_servers_and_approves_nothing(forms: Client) -> None:
    forms.required(forms.call())
    asked, state = forms.required(forms.call(inputResponses={KEY: YES}, requestState="the server's"))
    assert approval(forms.guard).state == "pending"
    assert asked
    forms.retry(state, YES)
    # What was the server's goes there, once the call is permitted.
    (forwarded,) = forms.forwarded
    assert forwarded["params"]["requestState"] == "the server's"
    assert forwarded["params"]["inputResponses"] == {KEY: YES}


async def test_a_state_from_before_a_restart_counts_no_more_and_goes_to_no_server(forms: Client) -> None:
    _, state = forms.required(forms.call())
    other = Client(forms.guard, modern=True, capabilities=FORM)
    other.required(other.retry(state, YES, chain=forms.chain))
    assert (other.forwarded, approval(forms.guard).state) == ([], "pending")
    forms.guard.approvals.approve(approval(forms.guard).id, by="dora")
    other.retry(state, YES, chain=forms.chain)
    (forwarded,) = other.forwarded
    assert not {"inputResponses", "requestState"} & forwarded["params"].keys()


async def test_a_state_of_another_installation_is_the_servers(forms: Client) -> None:
    seal = Seal("https://another.example", "desk")
    state = seal.sealed(Round(approval="a", decision="d", mode="form", call="c", until=9e9, before={}))
    forms.call("echo", {}, requestState=state, inputResponses={KEY: YES})
    assert forms.forwarded[0]["params"]["requestState"] == state
    assert forms.forwarded[0]["params"]["inputResponses"] == {KEY: YES}


async def test_what_a_call_has_brought_for_the_server_is_carried_only_within_bounds(forms: Client) -> None:
    answered = {"big": {"content": "x" * 40_000}}
    refused = forms.refusal(forms.call(inputResponses=answered, requestState="the server's"))
    assert refused["approval"] == approval(forms.guard).id


async def test_what_the_client_answers_never_reaches_the_server(forms: Client) -> None:
    forms.call("echo", {}, inputResponses={"a": {}}, requestState="the server's")
    _, state = forms.required(forms.call())
    forms.retry(state, YES)
    assert "it is lost" not in str(forms.forwarded)
    assert forms.forwarded[0]["params"]["requestState"] == "the server's"


def carried(client: Client, program: Program, **more: Any) -> int:
    """A call that carries the chain of the program's agent."""
    params = {"name": "refund", "arguments": {"amount": 5}, **more}
    meta = {CHAIN_KEY: program.presentation(program.boss, "tools/call", params)}
    return client.asks("tools/call", **params, meta=meta)


async def test_a_client_that_brings_chains_of_others_answers_for_nobody(tmp_path: Path) -> None:
    team = TEAM + stdio_server(tmp_path / "record", "other")
    with opened(stepping(tmp_path, more=team)) as guard:
        program = Program(guard)
        forms = Client(guard, modern=True, capabilities=FORM)
        forms.chain = NOBODY
        assert forms.refusal(carried(forms, program))["approval"] == approval(guard).id
        client = Client(guard, modern=True, capabilities=BOTH)
        client.chain = NOBODY
        _, state = client.required(carried(client, program))
        declined = {"requestState": state, "inputResponses": {KEY: {"action": "decline"}}}
        assert client.refusal(carried(client, program, **declined))["verdict"] == "step-up"
        assert (approval(guard).state, approval(guard).answers) == ("pending", ())
        guard.approvals.approve(approval(guard).id, by="dora")
        carried(client, program, requestState=state, inputResponses={KEY: ACCEPT})
        assert len(client.forwarded) == 1


@pytest.mark.parametrize("modern", [True, False])
async def test_the_client_of_an_agent_that_was_handed_the_work_answers_for_nobody(
    tmp_path: Path, *, modern: bool
) -> None:
    held(tmp_path, "echo")
    policy = tmp_path / "policies" / "held.cedar"
    hands_on = '@id("on") permit (principal, action == Hopward::Action::"delegate", resource);'
    policy.write_text(policy.read_text() + hands_on)
    servers = stdio_server(tmp_path / "record") + stdio_server(tmp_path / "record", "other")
    with opened(install(tmp_path, servers + GROUPS + TEAM)) as guard:
        program = Program(guard)
        client = Client(guard, modern=modern, capabilities=FORM)
        client.chain = program.handed(program.boss)
        assert client.refusal(client.call("echo", {"x": 1}))["approval"] == approval(guard).id
        assert approval(guard).state == "pending"


async def test_a_yes_of_who_may_not_any_more_does_not_count(forms: Client, tmp_path: Path) -> None:
    _, state = forms.required(forms.call())
    config = tmp_path / "hopward.toml"
    text = config.read_text().replace("subject_may_approve = true\nin_client = true\n", "", 1)
    config.write_text(text)
    with opened(config) as guard:
        forms.gate.adopt(guard, None)
        forms.turn.guard = guard
        refused = forms.refusal(forms.retry(state, YES))
        assert (refused["verdict"], forms.forwarded) == ("step-up", [])


# While it waits.


async def test_two_calls_that_wait_go_on_each_with_its_own_answer(client: Client) -> None:
    (_, one), (_, two) = (client.required(client.call(arguments={"amount": n})) for n in (1, 2))
    first = client.retry(one, ACCEPT, arguments={"amount": 1})
    second = client.retry(two, ACCEPT, arguments={"amount": 2})
    of_two = next(one for one in client.guard.approvals.find() if one.arguments == {"amount": 2})
    client.guard.approvals.approve(of_two.id, by="dora")
    client.look()
    assert [one["params"]["arguments"] for one in client.forwarded] == [{"amount": 2}]
    assert client.answer(second) is None
    assert client.answer(first) is None
    assert len(client.gate.waiting) == 1


async def test_of_two_calls_that_are_the_same_one_passes(client: Client) -> None:
    _, state = client.required(client.call())
    first, second = client.retry(state, ACCEPT), client.retry(state, ACCEPT)
    client.guard.approvals.approve(approval(client.guard).id, by="dora")
    client.look()
    assert len(client.forwarded) == 1
    assert client.answer(first) is None
    assert client.refusal(second)["verdict"] == "step-up"


async def test_a_grant_that_covers_another_call_ends_the_waiting_of_that_one_too(tmp_path: Path) -> None:
    held(tmp_path, "echo", "often")
    echo = "[servers.desk.tools.echo]\n"
    said = 'arguments = { note = "string", to = "string" }\nnames = ["to"]\n'
    servers = stdio_server(tmp_path / "record").replace(echo, echo + said)
    with opened(install(tmp_path, servers + GROUPS)) as guard:
        client = Client(guard, modern=True, capabilities=URL)
        for note in ("a", "b", "c"):
            asked = client.call("echo", {"note": note})
            client.retry(client.required(asked)[1], ACCEPT, tool="echo", arguments={"note": note})
        first = next(one for one in guard.approvals.find() if one.arguments == {"note": "a"})
        client.look()
        assert client.forwarded == []
        guard.approvals.approve(first.id, by="dora", times=2)
        client.look()
        assert [one["params"]["arguments"]["note"] for one in client.forwarded] == ["a", "b"]
        assert len(client.gate.waiting) == 0


async def test_a_call_that_is_given_up_while_it_waits_is_never_made(client: Client) -> None:
    _, state = client.required(client.call())
    again = client.retry(state, ACCEPT)
    client.says({"method": "notifications/cancelled", "params": {"requestId": again}})
    assert len(client.gate.waiting) == 0
    client.guard.approvals.approve(approval(client.guard).id, by="dora")
    client.look()
    assert (client.forwarded, client.answer(again)) == ([], None)
    assert approval(client.guard).state == "approved"


@pytest.mark.parametrize("decided", [False, True])
async def test_a_caller_that_goes_when_the_waiting_is_over_leaves_no_permit_without_an_outcome(
    client: Client, decided: bool
) -> None:
    _, state = client.required(client.call())
    client.guard.approvals.approve(approval(client.guard).id, by="dora")
    client.retry(state, ACCEPT, flush=decided)
    message = client.last
    client.session.client.leave(message)
    client.turn.flush()
    # The outcome of what has been decided just now.
    client.turn.flush()
    assert [row.record["outcome"]["status"] for row in rows(client.guard, "outcome")] == ["cancelled"]
    assert len(client.forwarded) == decided
    assert client.session.requests.key(message.id) is None


async def test_a_task_that_ends_while_its_call_waits_refuses_it(client: Client) -> None:
    _, state = client.required(client.call())
    again = client.retry(state, ACCEPT)
    client.guard.complete_task(client.chain.task)
    client.look()
    assert client.refusal(again)["reason"] == "task_completed"


async def test_when_the_process_is_about_to_end_nothing_waits(client: Client) -> None:
    _, state = client.required(client.call())
    again = client.retry(state, ACCEPT)
    client.gate.waiting.end()
    client.turn.flush()
    assert client.refusal(again)["approval"] == approval(client.guard).id
    assert client.refusal(client.call())["approval"]
    assert client.refusal(client.retry(state, ACCEPT))["approval"]


async def test_while_a_call_waits_its_server_has_no_time_limit_yet(client: Client) -> None:
    _, state = client.required(client.call())
    client.retry(state, ACCEPT)
    client.time.seconds += 59
    client.gate.call_timeout = 10
    assert client.session.endings.expire(client.judged, ignored) is None
    client.guard.approvals.approve(approval(client.guard).id, by="dora")
    client.look()
    assert client.session.endings.expire(client.judged, ignored) == 69


async def test_a_session_that_ends_takes_its_waiting_calls_with_it(client: Client) -> None:
    _, state = client.required(client.call())
    client.retry(state, ACCEPT)
    client.session.endings.fail_all(lost("The session has ended."), client.answered)
    client.guard.approvals.approve(approval(client.guard).id, by="dora")
    client.look()
    assert (client.forwarded, len(client.gate.waiting)) == ([], 0)


async def test_nobody_looks_while_nothing_waits(client: Client) -> None:
    client.required(client.call())
    assert not client.gate.waiting.looks
    _, state = client.required(client.call())
    client.retry(state, ACCEPT)
    assert client.gate.waiting.looks


async def test_while_a_server_is_observed_nobody_is_asked(tmp_path: Path) -> None:
    config = stepping(tmp_path)
    config.write_text(observed(config.read_text()))
    with opened(config) as guard:
        client = Client(guard, modern=True, capabilities=BOTH)
        client.call()
        assert len(client.forwarded) == 1
        assert guard.approvals.find(()) == []


@pytest.mark.parametrize(
    ("method", "params"),
    [("resources/read", {"uri": "ticket://1"}), ("prompts/get", {"name": "summary"})],
)
async def test_reading_and_prompts_wait_for_a_person_like_calls(
    tmp_path: Path, method: str, params: dict[str, Any]
) -> None:
    with opened(stepping(tmp_path, group="own", every=True)) as guard:
        client = Client(guard, modern=True, capabilities=FORM)
        asked = client.asks(method, **params)
        _, state = client.required(asked)
        client.asks(method, **params, requestState=state, inputResponses={KEY: YES})
        assert [one["method"] for one in client.forwarded] == [method]


async def test_a_call_parked_at_an_older_server_is_taken_up_once_its_next_round_has_been_approved(
    tmp_path: Path,
) -> None:
    held(tmp_path, "echo")
    config = install(tmp_path, asking(tmp_path / "record") + GROUPS)
    with opened(config) as guard:
        bridge = Bridge(guard, capabilities={"elicitation": {"form": {}}})
        asked, state = bridge.required(bridge.calls())
        second = bridge.calls(requestState=state, inputResponses={KEY: YES})
        bridge.meets()
        (call,) = bridge.sent("tools/call")
        assert not {"requestState", "inputResponses"} & call["params"].keys()
        await bridge.elicits("s1")
        _, theirs = bridge.required(second)
        answer: dict[str, Any] = {"1": {"action": "accept", "content": {"name": "bo"}}}
        asked, state = bridge.required(bridge.calls(requestState=theirs, inputResponses=answer))
        assert set(asked) == {KEY}
        assert bridge.answers_of("s1") == []
        last = bridge.calls(requestState=state, inputResponses={KEY: YES})
        (told,) = bridge.answers_of("s1")
        assert told["result"] == answer["1"]
        bridge.finishes()
        assert bridge.answer(last)["result"]["content"][0]["text"] == "done"
        assert len(bridge.sent("tools/call")) == 1
        assert [one.state for one in guard.approvals.find(())] == ["consumed", "consumed"]
