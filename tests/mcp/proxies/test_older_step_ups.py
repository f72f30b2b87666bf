"""A step-up whose client, of 2025-11-25 or older, is asked while the call is under way."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hopward import Guard
from hopward_mcp.endings import lost

from .installation import opened
from .stepping import BOTH, FORM, PAGE, Caller, Client, stepping
from .test_step_ups import NO, PERMIT, STEP_UP, YES, approval, verdicts


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[Guard]:
    with opened(stepping(tmp_path)) as running:
        yield running


@pytest.fixture
async def client(guard: Guard) -> Client:
    """It opens URLs, and shows forms."""
    return greeted(guard, BOTH)


@pytest.fixture
async def forms(guard: Guard) -> Client:
    """It shows forms only, as clients of 2025-06-18 do."""
    return greeted(guard, FORM)


def greeted(guard: Guard, capabilities: dict[str, Any]) -> Client:
    client = Client(guard, modern=False, capabilities=capabilities)
    client.forwarded.clear()
    return client


def asked(client: Client) -> dict[str, Any]:
    """The only question there is."""
    (found,) = client.questions()
    return found


async def test_the_client_is_led_to_the_page_and_told_when_that_is_over(client: Client) -> None:
    call = client.call()
    params = asked(client)["params"]
    found = approval(client.guard)
    assert (params["mode"], params["url"]) == ("url", f"{PAGE}/approvals/{found.id}")
    assert "desk/refund, on behalf of alice" in params["message"]
    client.replies(asked(client), action="accept")
    client.look()
    assert (client.answer(call), client.forwarded) == (None, [])
    client.guard.approvals.approve(found.id, by="dora")
    client.look()
    assert client.told("notifications/elicitation/complete") == [{"elicitationId": params["elicitationId"]}]
    assert [one["params"]["arguments"] for one in client.forwarded] == [{"amount": 5}]
    assert verdicts(client.guard) == [STEP_UP, PERMIT]


async def test_that_the_person_went_to_the_page_approves_nothing(client: Client) -> None:
    call = client.call()
    client.replies(asked(client), **YES)
    client.time.seconds += 59
    client.look()
    assert client.answer(call) is None
    client.time.seconds += 1
    client.look()
    assert client.refusal(call)["approval"] == approval(client.guard).id
    assert (approval(client.guard).answers, client.forwarded) == ((), [])
    assert len(client.questions()) == 1


async def test_the_subject_answers_in_a_form(forms: Client) -> None:
    forms.call()
    params = asked(forms)["params"]
    assert set(params) == {"message", "requestedSchema"}
    forms.replies(asked(forms), **YES)
    assert len(forms.forwarded) == 1
    assert [(one.by, one.why) for one in approval(forms.guard).answers] == [
        ("alice", "Said in the MCP client: it is lost")
    ]
    assert forms.told("notifications/elicitation/complete") == []
    assert forms.told("notifications/cancelled") == []


@pytest.mark.parametrize("answer", [NO, {"action": "decline"}])
async def test_a_no_is_final(forms: Client, answer: dict[str, Any]) -> None:
    call = forms.call()
    forms.replies(asked(forms), **answer)
    assert forms.refusal(call)["reason"] == "approval_rejected"
    assert forms.refusal(forms.call())["reason"] == "approval_rejected"
    assert len(forms.questions()) == 1


@pytest.mark.parametrize(
    "answer",
    [{"action": "cancel"}, {}, {"action": "accept"}, {"action": "accept", "content": {"approve": 1}}],
)
async def test_what_does_not_fit_the_form_approves_nothing(forms: Client, answer: dict[str, Any]) -> None:
    call = forms.call()
    forms.replies(asked(forms), **answer)
    assert forms.refusal(call)["approval"] == approval(forms.guard).id
    assert (approval(forms.guard).state, forms.forwarded) == ("pending", [])


async def test_a_client_that_fails_to_ask_decides_nothing(forms: Client) -> None:
    call = forms.call()
    forms.says({"id": asked(forms)["id"], "error": {"code": -32603, "message": "?"}})
    assert forms.refusal(call)["approval"] == approval(forms.guard).id


async def test_a_client_that_never_answers_is_answered_in_time(forms: Client) -> None:
    call = forms.call()
    forms.time.seconds += forms.gate.call_timeout - 1
    forms.look()
    assert forms.answer(call) is None
    forms.time.seconds += 1
    forms.look()
    assert forms.refusal(call)["approval"] == approval(forms.guard).id
    (taken_back,) = forms.told("notifications/cancelled")
    assert taken_back["requestId"] == asked(forms)["id"]
    # Too late: nobody waits for it.
    forms.replies(asked(forms), **YES)
    assert (approval(forms.guard).state, forms.forwarded) == ("pending", [])


async def test_who_approves_elsewhere_spares_the_client_the_answer(forms: Client) -> None:
    forms.call()
    forms.guard.approvals.approve(approval(forms.guard).id, by="dora")
    forms.look()
    assert len(forms.forwarded) == 1
    assert len(forms.told("notifications/cancelled")) == 1
    forms.replies(asked(forms), **NO)
    assert approval(forms.guard).state == "consumed"


async def test_an_answer_counts_once(forms: Client) -> None:
    forms.call()
    forms.replies(asked(forms), **YES)
    before = len(forms.heard)
    forms.replies(asked(forms), **YES)
    assert len(forms.forwarded) == 1
    assert len(forms.heard) == before
    assert [row.reason for row in forms.guard.ledger.rows() if row.reason == "unasked_answer"]


async def test_an_answer_to_the_question_of_another_session_is_refused(forms: Client) -> None:
    forms.call()
    other = greeted(forms.guard, FORM)
    other.says({"id": asked(forms)["id"], "result": YES}, forms.chain)
    other.says({"id": str(asked(forms)["id"]), "result": YES}, forms.chain)
    forms.says({"id": str(asked(forms)["id"]), "result": YES})
    assert approval(forms.guard).state == "pending"
    assert forms.forwarded == []


async def test_a_server_can_neither_answer_nor_take_back_our_question(forms: Client) -> None:
    call = forms.call()
    own = asked(forms)["id"]
    forged: list[dict[str, Any]] = [
        {"id": own, "result": YES},
        {"method": "notifications/cancelled", "params": {"requestId": own}},
        {"id": own, "method": "elicitation/create", "params": {"message": "?", "requestedSchema": {}}},
    ]
    for message in forged:
        forms.server_says(message)
    assert (forms.answer(call), len(forms.questions())) == (None, 1)
    assert (approval(forms.guard).state, forms.forwarded) == ("pending", [])
    forms.replies(asked(forms), **YES)
    assert len(forms.forwarded) == 1


async def test_our_question_and_the_servers_are_told_apart(forms: Client) -> None:
    slow = forms.call("slow", {})
    forms.call()
    forms.server_says({"id": asked(forms)["id"], "method": "roots/list"})
    (roots,) = [one for one in forms.heard if one.get("method") == "roots/list"]
    assert roots["id"] != asked(forms)["id"]
    forms.says({"id": roots["id"], "result": {"roots": []}})
    assert (approval(forms.guard).state, len(forms.forwarded)) == ("pending", 2)
    forms.replies(asked(forms), **YES)
    assert forms.forwarded[-1]["params"]["name"] == "refund"
    assert forms.answer(slow) is None


async def test_two_calls_that_wait_go_on_each_with_its_own_answer(forms: Client) -> None:
    first, second = (forms.call(arguments={"amount": amount}) for amount in (1, 2))
    _, two = forms.questions()
    assert "amount = 2" in two["params"]["message"]
    forms.replies(two, **YES)
    assert [one["params"]["arguments"] for one in forms.forwarded] == [{"amount": 2}]
    assert (forms.answer(first), forms.answer(second)) == (None, None)


async def test_of_two_calls_that_are_the_same_one_passes(forms: Client) -> None:
    first, second = forms.call(), forms.call()
    one, two = forms.questions()
    forms.replies(one, **YES)
    forms.replies(two, **YES)
    assert len(forms.forwarded) == 1
    assert forms.answer(first) is None
    assert forms.refusal(second)["verdict"] == "step-up"


async def test_a_call_that_is_given_up_takes_its_question_with_it(forms: Client) -> None:
    call = forms.call()
    forms.says({"method": "notifications/cancelled", "params": {"requestId": call}})
    (taken_back,) = forms.told("notifications/cancelled")
    assert taken_back["requestId"] == asked(forms)["id"]
    forms.replies(asked(forms), **YES)
    forms.look()
    assert (approval(forms.guard).state, forms.forwarded, forms.answer(call)) == ("pending", [], None)
    assert len(forms.gate.waiting) == 0


async def test_an_answer_to_the_question_of_a_call_that_has_failed_approves_nothing(forms: Client) -> None:
    forms.call()
    forms.session.endings.fail_all(lost("The server has ended."), forms.answered)
    forms.replies(asked(forms), **YES)
    assert approval(forms.guard).state == "pending"
    forms.look()
    assert len(forms.gate.waiting) == 0


async def test_a_task_that_ends_meanwhile_refuses_the_call(forms: Client) -> None:
    call = forms.call()
    forms.guard.complete_task(forms.chain.task)
    forms.replies(asked(forms), **YES)
    assert forms.refusal(call)["reason"] == "task_completed"
    assert forms.forwarded == []


async def test_when_the_process_is_about_to_end_the_question_is_taken_back(forms: Client) -> None:
    call = forms.call()
    forms.gate.waiting.end()
    forms.turn.flush()
    assert forms.refusal(call)["approval"] == approval(forms.guard).id
    assert len(forms.told("notifications/cancelled")) == 1


async def test_a_person_is_not_asked_about_the_same_call_without_end(forms: Client) -> None:
    for _ in range(4):
        call = forms.call()
        for question in forms.questions():
            forms.replies(question, action="cancel")
        assert forms.refusal(call)["approval"] == approval(forms.guard).id
    assert len(forms.questions()) == 3


@pytest.mark.parametrize("capabilities", [{}, {"elicitation": []}, {"roots": {}}])
async def test_a_client_without_elicitation_gets_a_refusal(
    guard: Guard, capabilities: dict[str, Any]
) -> None:
    client = greeted(guard, capabilities)
    assert client.refusal(client.call())["approval"] == approval(guard).id
    assert client.questions() == []


async def test_a_caller_that_hears_nothing_before_the_answer_gets_a_refusal(forms: Client) -> None:
    forms.caller = Caller(forms.heard, hears=False)
    assert forms.refusal(forms.call())["approval"] == approval(forms.guard).id
    assert forms.questions() == []


async def test_a_call_that_asks_for_a_task_gets_a_refusal(forms: Client) -> None:
    assert forms.refusal(forms.call(task={"ttl": 60_000}))["approval"] == approval(forms.guard).id


async def test_without_a_session_that_has_begun_nobody_can_be_asked(guard: Guard) -> None:
    client = greeted(guard, FORM)
    client.session = type(client.session)(client.gate)
    assert client.refusal(client.call())["approval"] == approval(guard).id


async def test_reading_waits_for_a_person_like_a_call_and_subscribing_is_refused(tmp_path: Path) -> None:
    with opened(stepping(tmp_path, every=True)) as guard:
        client = greeted(guard, FORM)
        client.asks("resources/subscribe", uri="ticket://1")
        assert client.questions() == []
        client.asks("resources/read", uri="ticket://1")
        client.replies(asked(client), **YES)
        assert [one["method"] for one in client.forwarded] == ["resources/read"]
