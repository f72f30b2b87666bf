"""A run that waits for a person: interrupted by a step-up, answered, and resumed with a call decided anew."""

import asyncio
import inspect
from typing import Annotated, Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.messages import ToolMessage
from langchain_core.tools import InjectedToolCallId, StructuredTool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import Command, interrupt

from hopward import StateError

from .held import APPROVE, CAROL, CONFIG, Held, approval, asked, edit, reject
from .till import SUBJECT, USER, calls, scripted

LATER = pytest.mark.parametrize("later", [False, True], ids=["invoke", "ainvoke"])
BOTH = pytest.mark.parametrize("protected", [True, False], ids=["protected", "installed"])
LARGE = ("pay", {"amount": 60})


def said(result: Any) -> Any:
    """What the model was told of its call."""
    return next(one for one in reversed(result["messages"]) if one.type == "tool")


@LATER
@BOTH
def test_a_call_that_a_person_approves_is_made_once(held: Held, protected: bool, later: bool) -> None:
    run = held.agent(LARGE, protected=protected, later=later)
    with held.task():
        shown = asked(run(USER))
        assert held.paid == []
        result = run(held.answer(shown, APPROVE))
    assert (asked(result), said(result).content) == ([], "paid 60")
    assert held.paid == [60]
    assert held.verdicts() == ["step-up", "permit"]
    assert held.outcomes() == ["ok"]


@LATER
@BOTH
def test_a_call_that_a_person_rejects_is_not_made_and_the_model_is_told(
    held: Held, protected: bool, later: bool
) -> None:
    run = held.agent(LARGE, protected=protected, later=later)
    with held.task():
        result = run(held.answer(asked(run(USER)), reject("paid already")))
    assert said(result).status == "error"
    assert "local:carol has refused this call" in said(result).content
    assert "paid already" in said(result).content
    assert held.paid == []


@LATER
@BOTH
def test_a_call_that_a_person_changes_is_made_with_exactly_those_arguments(
    held: Held, protected: bool, later: bool
) -> None:
    run = held.agent(LARGE, protected=protected, later=later)
    with held.task():
        result = run(held.answer(asked(run(USER)), edit(amount=55)))
    assert held.paid == [55]
    assert 'It was made with exactly {"amount":55}' in said(result).content
    assert said(result).content.endswith("\n\npaid 55")
    assert (said(result).status, asked(result)) == ("success", [])


def test_what_is_asked_is_what_the_human_in_the_loop_middleware_would_ask(held: Held) -> None:
    run = held.agent(LARGE)
    with held.task() as task:
        (shown,) = asked(run(USER))
    (action,), (review,) = shown.value["action_requests"], shown.value["review_configs"]
    assert (action["name"], action["args"]) == ("pay", {"amount": 60})
    assert review == {"action_name": "pay", "allowed_decisions": ["approve", "edit", "reject"]}
    told = action["description"]
    for part in (SUBJECT, "assistant", "Refund one order", "amount = 60", "pay at pay", CAROL, "To undo it"):
        assert part in told
    *lines, empty, elsewhere = told.splitlines()
    assert (empty, elsewhere) == ("", f"Or: `hopward approve {approval(shown)}`")
    # Markdown shows such lines as they are, whatever agents have written into them.
    assert all(line.startswith("    ") for line in lines)
    assert held.guard.approvals.get(approval(shown)).chain.task == task.id


@LATER
def test_a_resumption_that_nobody_is_vouched_for_approves_nothing(held: Held, later: bool) -> None:
    run = held.agent(LARGE, later=later)
    with held.task():
        (first,) = asked(run(USER))
        (second,) = asked(run(Command(resume=APPROVE)))
        (third,) = asked(run(Command(resume={second.id: edit(amount=1)})))
        assert held.paid == []
        assert approval(first) == approval(second) == approval(third)
        held.guard.approvals.approve(approval(first), by=CAROL)
        result = run(Command(resume="whatever"))
    assert (held.paid, asked(result)) == ([60], [])


def test_whoever_resumes_a_run_can_do_without_the_call(held: Held) -> None:
    run = held.agent(LARGE)
    with held.task():
        (shown,) = asked(run(USER))
        result = run(Command(resume=reject("not now")))
        assert held.guard.approvals.get(approval(shown)).state == "pending"
    assert "whoever resumed the run does not want this call. They say: not now" in said(result).content
    assert held.paid == []


@LATER
@pytest.mark.parametrize("by_id", [True, False])
def test_whoever_resumes_a_run_can_do_without_a_call_that_others_have_approved(
    held: Held, by_id: bool, later: bool
) -> None:
    run = held.agent(LARGE, later=later)
    with held.task():
        (shown,) = asked(run(USER))
        held.guard.approvals.approve(approval(shown), by=CAROL)
        result = run(Command(resume={shown.id: reject()} if by_id else reject()))
        assert held.guard.approvals.get(approval(shown)).state == "approved"
    assert (held.paid, said(result).status) == ([], "error")
    assert held.verdicts() == ["step-up"]


def test_what_a_tool_asks_itself_in_the_same_form_is_answered_to_the_tool(held: Held) -> None:
    got: list[Any] = []
    ask = held.tool("ask", lambda: got.append(interrupt({"action_requests": []})) or "asked")
    run = held.agent(("ask", {}), tools=held.hopward.protect([ask]))
    with held.task():
        run(USER)
        run(Command(resume=reject("no")))
    assert got == [reject("no")]


@LATER
def test_calls_side_by_side_wait_each_for_its_own_answer(held: Held, later: bool) -> None:
    run = held.agent(LARGE, ("pay", {"amount": 5}), ("pay", {"amount": 70}), later=later)
    with held.task():
        shown = asked(run(USER))
        assert held.paid == [5]
        by_amount = {one.value["action_requests"][0]["args"]["amount"]: one for one in shown}
        left = asked(run(held.answer(shown, {by_amount[70].id: APPROVE})))
        assert (held.paid, left) == ([5, 70], [by_amount[60]])
        result = run(held.answer(left, reject("no")))
    assert [one.status for one in result["messages"] if one.type == "tool"] == ["error", "success", "success"]
    assert held.paid == [5, 70]


def test_two_calls_alike_share_a_question_and_not_its_answer(held: Held) -> None:
    run = held.agent(LARGE, LARGE)
    with held.task():
        shown = asked(run(USER))
        assert len({approval(one) for one in shown}) == 1
        (left,) = asked(run(held.answer(shown, {one.id: APPROVE for one in shown})))
        assert held.paid == [60]
        assert approval(left) != approval(shown[0])
        run(held.answer([left], APPROVE))
    assert held.paid == [60, 60]


@LATER
def test_without_a_checkpointer_the_run_goes_on_with_a_refusal(held: Held, later: bool) -> None:
    run = held.agent(LARGE, later=later, checkpointer=None)
    with held.task():
        result = run(USER)
    assert asked(result) == []
    assert said(result).content.endswith(
        "Its graph has no checkpointer, so it cannot wait here for the answer."
    )
    assert "hopward approve" in said(result).content


@LATER
@BOTH
def test_a_tool_node_of_ones_own_can_wait_for_one_call_at_a_time(
    held: Held, protected: bool, later: bool
) -> None:
    middleware, tools = held.waits(), held.tools(protected, later)
    node = ToolNode(
        tools, wrap_tool_call=middleware.wrap_tool_call, awrap_tool_call=middleware.awrap_tool_call
    )
    steps = StateGraph(MessagesState).add_node("tools", node).add_edge(START, "tools")
    graph: Any = steps.compile(checkpointer=InMemorySaver())

    def run(given: Any, thread: str) -> Any:
        config: Any = {"configurable": {"thread_id": thread}}
        return asyncio.run(graph.ainvoke(given, config)) if later else graph.invoke(given, config)

    with held.task():
        shown = asked(run({"messages": [calls(LARGE)]}, "one"))
        assert said(run(held.answer(shown, APPROVE), "one")).content == "paid 60"
        two = run({"messages": [calls(("pay", {"amount": 5}), ("pay", {"amount": 70}))]}, "two")
    assert asked(two) == []
    assert "would all be made again after the answer" in said(two).content
    assert held.paid == [60, 5]


@LATER
def test_a_tool_that_asks_something_itself_does_not_get_the_answer_of_the_approver(
    held: Held, later: bool
) -> None:
    got: list[Any] = []

    def pay(amount: int) -> str:
        got.append(interrupt("in which currency?"))
        held.paid.append(amount)
        return f"paid {amount} {got[-1]}"

    made = StructuredTool.from_function(pay, name="pay", description="pay")
    run = held.agent(LARGE, tools=held.hopward.protect([made]), later=later)
    with held.task():
        first = run(held.answer(asked(run(USER)), APPROVE))
        (own,) = asked(first)
        assert (own.value, got) == ("in which currency?", [])
        # The yes is used up: what is resumed is another call, about which people are asked again.
        again = asked(run(Command(resume="euro")))
        result = run(held.answer(again, APPROVE))
    assert (got, held.paid) == (["euro"], [60])
    assert said(result).content == "paid 60 euro"
    assert held.outcomes() == ["unknown", "ok"]


def test_a_streamed_run_is_interrupted_and_resumed_like_any(held: Held) -> None:
    agent: Any = create_agent(
        scripted(calls(LARGE)), held.tools(), middleware=[held.waits()], checkpointer=InMemorySaver()
    )
    with held.task():
        parts = list(agent.stream(USER, CONFIG, stream_mode="updates"))
        shown = parts[-1]["__interrupt__"]
        parts = list(agent.stream(held.answer(shown, APPROVE), CONFIG, stream_mode="updates"))
    assert parts[0]["tools"]["messages"][0].content == "paid 60"
    assert held.paid == [60]


async def test_a_run_streamed_asynchronously_is_interrupted_and_resumed_like_any(held: Held) -> None:
    agent: Any = create_agent(
        scripted(calls(LARGE)),
        held.tools(later=True),
        middleware=[held.waits()],
        checkpointer=InMemorySaver(),
    )
    async with held.hopward.task(subject=SUBJECT):
        parts = [part async for part in agent.astream(USER, CONFIG, stream_mode="updates")]
        resume = held.answer(agent.get_state(CONFIG).interrupts, APPROVE)
        parts = [part async for part in agent.astream(resume, CONFIG, stream_mode="updates")]
    assert parts[0]["tools"]["messages"][0].content == "paid 60"
    assert held.paid == [60]


def test_what_a_tool_calls_in_its_body_is_refused_and_not_waited_for(held: Held) -> None:
    (pay,) = held.tools()
    made = StructuredTool.from_function(lambda: pay.invoke({"amount": 60}), name="ask", description="ask")
    run = held.agent(("ask", {}), tools=held.hopward.protect([made]))
    with held.task():
        result = run(USER)
    assert asked(result) == []
    assert "app/pay was not executed" in said(result).content


def test_the_middleware_takes_no_other_way_of_treating_approvals(held: Held) -> None:
    with pytest.raises(ValueError, match='"refuse" or "interrupt"'):
        held.hopward.middleware(approvals="ask")  # type: ignore[arg-type]


def test_unless_it_is_told_to_the_middleware_interrupts_nothing(held: Held) -> None:
    run = held.agent(LARGE, middleware=[held.hopward.middleware()])
    with held.task():
        result = run(USER)
    assert asked(result) == []
    assert said(result).content.endswith("again. Decision " + held.rows("decision")[0].decision + ".")


def test_two_people_answer_one_after_the_other(held: Held) -> None:
    config = (held.folder / "hopward.toml").read_text()
    both = config.replace(f'"{SUBJECT}"]', '"local:omar"]\npeople = 2', 1)
    (held.folder / "hopward.toml").write_text(both)
    two = Held(held.folder)
    run = two.agent(LARGE)
    with two.task():
        shown = asked(run(USER))
        again = asked(run(two.answer(shown, APPROVE)))
        assert [approval(one) for one in again] == [approval(one) for one in shown]
        with pytest.raises(StateError, match="has approved"):
            two.answer(again, APPROVE)
        run(two.answer(again, APPROVE, by="local:omar"))
    assert two.paid == [60]
    two.guard.close()


@LATER
@pytest.mark.parametrize("mode", ["batched", "per_call"])
@pytest.mark.parametrize("first", [True, False], ids=["ours first", "ours last"])
def test_langchains_own_review_and_ours_are_two_questions(
    held: Held, mode: Any, first: bool, later: bool
) -> None:
    review = reviewing(mode)
    both = [held.waits(), review] if first else [review, held.waits()]
    run = held.agent(LARGE, later=later, middleware=both)
    with held.task():
        (theirs,) = asked(run(USER))
        assert held.guard.approvals.find() == []
        ours = asked(run(Command(resume=APPROVE if mode == "batched" else {"type": "approve"})))
        assert theirs.id != ours[0].id
        result = run(held.answer(ours, APPROVE))
    assert (held.paid, said(result).content) == ([60], "paid 60")


def test_what_langchains_own_review_has_changed_is_what_ours_is_about(held: Held) -> None:
    run = held.agent(LARGE, middleware=[held.waits(), reviewing("batched")])
    with held.task():
        run(USER)
        (ours,) = asked(run(Command(resume=edit(amount=80))))
        assert ours.value["action_requests"][0]["args"] == {"amount": 80}
        run(held.answer([ours], APPROVE))
    assert held.paid == [80]


def reviewing(mode: Any) -> Any:
    """LangChain's own middleware; an older release has one mode."""
    if mode == "batched":
        return HumanInTheLoopMiddleware({"pay": True})
    if "interrupt_mode" not in inspect.signature(HumanInTheLoopMiddleware).parameters:
        pytest.skip("this release has one mode")
    return HumanInTheLoopMiddleware({"pay": True}, interrupt_mode=mode)


def test_answers_to_the_interrupts_of_others_are_passed_on(held: Held) -> None:
    ask = held.tool("ask", lambda: str(interrupt("which?")))
    run = held.agent(LARGE, ("ask", {}), tools=[*held.tools(), *held.hopward.protect([ask])])
    with held.task():
        shown = asked(run(USER))
        resume = {one.id: APPROVE if isinstance(one.value, dict) else "that" for one in shown}
        result = run(held.answer(shown, resume))
    assert {one.content for one in result["messages"] if one.type == "tool"} == {"paid 60", "that"}


def test_a_command_as_it_came_from_somewhere_can_be_answered_with(held: Held) -> None:
    run = held.agent(LARGE)
    with held.task():
        run(held.answer(asked(run(USER)), Command(resume=APPROVE)))
    assert held.paid == [60]


def test_a_changed_call_that_returns_a_command_tells_what_was_called(held: Held) -> None:
    def pay(amount: int, tool_call_id: Annotated[str, InjectedToolCallId]) -> Command[Any]:
        """Pay."""
        held.paid.append(amount)
        return Command(
            update={"messages": [ToolMessage([{"type": "text", "text": "ok"}], tool_call_id=tool_call_id)]}
        )

    made = StructuredTool.from_function(pay, name="pay")
    run = held.agent(LARGE, tools=held.hopward.protect([made]))
    with held.task():
        result = run(held.answer(asked(run(USER)), edit(amount=55)))
    assert [part["text"] for part in said(result).content][1:] == ["ok"]
    assert '{"amount":55}' in said(result).content[0]["text"]


def test_a_change_that_is_refused_is_not_told_as_made(held: Held) -> None:
    run = held.agent(LARGE)
    with held.task():
        resume = held.answer(asked(run(USER)), edit(amount=55))
        held.guard.revoke("subject", SUBJECT, by="ana@example.com", why="left")
        result = run(resume)
    assert "was not executed" in said(result).content
    assert "It was made" not in said(result).content
