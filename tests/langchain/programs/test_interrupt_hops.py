"""A sub-agent that waits for a person: its hop stays open, and the work goes on with it once resumed."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import pytest
from deepagents import create_deep_agent
from langchain.agents import create_agent
from langchain_core.messages import ToolMessage
from langchain_core.tools import InjectedToolCallId, StructuredTool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import Command, Send

from hopward.clock import SECOND

from .held import APPROVE, CAROL, CONFIG, approval, asked, hold_office, reject
from .office import ASKED, USER, Office, calls, deep, hop, scripted

LATER = pytest.mark.parametrize("later", [False, True], ids=["invoke", "ainvoke"])
LARGE = ("pay", {"amount": 60})
WAITS = [("boss", "delegate:payer", "permit"), ("boss>payer", "pay", "step-up")]
GOES_ON = [("boss", "delegate:payer", "permit"), ("boss>payer", "pay", "permit")]


@pytest.fixture
def held_office(open_office: Callable[[str], Office]) -> Office:
    return hold_office(open_office(ASKED))


def story(office: Office) -> list[tuple[str, str, str]]:
    """Every decision, by its verdict."""
    return [
        (">".join(row.record["chain"]["actors"]), row.tool, row.verdict) for row in office.rows("decision")
    ]


def payer(office: Office, *wanted: tuple[str, dict[str, Any]], later: bool = False) -> Any:
    """A sub-agent that makes these calls, and waits where they do."""
    pay = office.async_tool() if later else office.sync_tool()
    return create_agent(
        scripted(calls(*wanted)) if wanted else scripted(),
        office.hopward.protect([pay]),
        middleware=[office.hopward.middleware(approvals="interrupt")],
    )


def boss(
    office: Office,
    sub: Any,
    *,
    protected: bool = True,
    later: bool = False,
    saver: Any = None,
    resumes: bool = False,
) -> Any:
    """How an agent is run that has the sub-agent do its work."""

    def ask_payer(task: str = "") -> str:
        """Have it paid."""
        return sub.invoke({"messages": [("user", task)]})["messages"][-2].content

    async def ask_payer_later(task: str = "") -> str:
        """Have it paid."""
        return (await sub.ainvoke({"messages": [("user", task)]}))["messages"][-2].content

    if later:
        made = StructuredTool.from_function(coroutine=ask_payer_later, name="ask_payer")
    else:
        made = StructuredTool.from_function(ask_payer, name="ask_payer")
    tools: list[Any] = office.hopward.protect([made]) if protected else [made]
    agent: Any = create_agent(
        scripted() if saver else scripted(calls(("ask_payer", {"task": "60"}))),
        tools,
        middleware=[office.hopward.middleware(approvals="interrupt")],
        checkpointer=InMemorySaver() if saver is None else saver or None,
    )
    return Running(agent, later)


@dataclass(frozen=True, slots=True)
class Running:
    """How a graph is run, on one thread."""

    graph: Any
    later: bool = False

    def __call__(self, given: Any) -> Any:
        if self.later:
            return asyncio.run(self.graph.ainvoke(given, CONFIG))
        return self.graph.invoke(given, CONFIG)


def answered(office: Office, shown: Any, answer: Any = APPROVE) -> Command[Any]:
    return office.hopward.answer(shown, answer, by=CAROL)


@LATER
@pytest.mark.parametrize("protected", [True, False], ids=["protected", "installed"])
def test_a_sub_agent_waits_in_its_hop_and_goes_on_with_it(
    held_office: Office, protected: bool, later: bool
) -> None:
    office = held_office
    run = boss(office, payer(office, LARGE, later=later), protected=protected, later=later)
    with office.task() as task:
        shown = asked(run(USER))
        assert "boss: " in str(shown[0].value)
        assert office.open_hops(task.id) == 1
        result = run(answered(office, shown))
        assert [hop.state for hop in office.guard.ledger.hops(task.id)] == ["completed"]
    assert (office.paid, asked(result)) == ([60], [])
    assert story(office) == WAITS + GOES_ON
    assert office.outcomes() == ["unknown", "ok", "ok"]
    second = office.rows("decision")[2]
    assert second.record["delegation"]["continues"].startswith("hop_")


def test_what_was_approved_elsewhere_counts_for_a_sub_agent_too(held_office: Office) -> None:
    office = held_office
    run = boss(office, payer(office, LARGE))
    with office.task():
        (shown,) = asked(run(USER))
        assert [approval(one) for one in asked(run(Command(resume=APPROVE)))] == [approval(shown)]
        office.guard.approvals.approve(approval(shown), by=CAROL)
        run(Command(resume=APPROVE))
    assert office.paid == [60]


def test_a_task_left_open_has_its_hop_open_too(held_office: Office) -> None:
    office = held_office
    run = boss(office, payer(office, LARGE))
    with office.task() as task:
        shown = asked(run(USER))
    with office.hopward.resume(task.id):
        run(answered(office, shown))
    assert office.paid == [60]
    assert office.open_hops(task.id) == 0
    assert story(office) == WAITS + GOES_ON


def test_sub_agents_side_by_side_go_on_each_with_its_own_hop(held_office: Office) -> None:
    office = held_office
    subs = {amount: payer(office, ("pay", {"amount": amount})) for amount in (60, 70, 80)}

    def ask_payer(amount: int) -> str:
        """Have it paid."""
        return subs[amount].invoke(USER)["messages"][-2].content

    wanted = calls(*(("ask_payer", {"amount": amount}) for amount in (60, 70, 80)))
    agent: Any = create_agent(
        scripted(wanted),
        office.hopward.protect([ask_payer]),
        middleware=[office.hopward.middleware(approvals="interrupt")],
        checkpointer=InMemorySaver(),
    )
    run = Running(agent, False)
    with office.task() as task:
        shown = asked(run(USER))
        assert len({office.guard.approvals.get(approval(one)).chain.hops for one in shown}) == 3
        some = {shown[0].id: APPROVE, shown[1].id: reject("no")}
        (left,) = asked(run(answered(office, shown, some)))
        assert left.id == shown[2].id
        assert approval(left) == approval(shown[2])
        run(answered(office, [left]))
        assert office.open_hops(task.id) == 0
        assert len(office.guard.ledger.hops(task.id)) == 3
    amounts = [one.value["action_requests"][0]["args"]["amount"] for one in shown]
    assert office.paid == [amounts[0], amounts[2]]


@LATER
def test_a_graph_node_that_is_a_hop_goes_on_with_it(
    open_office: Callable[[str], Office], later: bool
) -> None:
    office = hold_office(open_office(hop("payer", "payer", 'node = "payer"')))
    steps = (
        StateGraph(MessagesState)
        .add_node("payer", payer(office, LARGE, later=later))
        .add_edge(START, "payer")
    )
    run = Running(steps.compile(checkpointer=InMemorySaver()), later)
    with office.task() as task:
        shown = asked(run(USER))
        assert office.open_hops(task.id) == 1
        run(answered(office, shown))
        assert [hop.state for hop in office.guard.ledger.hops(task.id)] == ["completed"]
    assert office.paid == [60]
    assert story(office) == WAITS + GOES_ON


@LATER
def test_nodes_fanned_out_by_send_go_on_each_with_its_own_hop(
    open_office: Callable[[str], Office], later: bool
) -> None:
    office = hold_office(open_office(hop("payer", "payer", 'node = "payer"')))
    pay = office.hopward.protect([office.async_tool() if later else office.sync_tool()])

    def subs(state: Any) -> list[Send]:
        return [Send("payer", {"messages": [("user", str(amount))]}) for amount in (60, 70)]

    def paying(state: Any) -> Any:
        return {"messages": [calls(("pay", {"amount": int(state["messages"][-1].content)}))]}

    middleware = office.hopward.middleware(approvals="interrupt")
    node = ToolNode(pay, wrap_tool_call=middleware.wrap_tool_call, awrap_tool_call=middleware.awrap_tool_call)
    sub = (
        StateGraph(MessagesState)
        .add_node("model", paying)
        .add_node("tools", node)
        .add_edge(START, "model")
        .add_edge("model", "tools")
        .compile()
    )
    steps = StateGraph(MessagesState).add_node("payer", sub).add_conditional_edges(START, subs, ["payer"])
    run = Running(steps.compile(checkpointer=InMemorySaver()), later)
    with office.task() as task:
        shown = asked(run(USER))
        assert len(shown) == 2
        run(answered(office, shown, {one.id: APPROVE for one in shown}))
        assert [hop.state for hop in office.guard.ledger.hops(task.id)] == ["completed", "completed"]
    assert sorted(office.paid) == [60, 70]


def test_a_hand_over_itself_can_be_waited_for(open_office: Callable[[str], Office]) -> None:
    office = hold_office(open_office(ASKED))
    (office.folder / "policies" / "hop.cedar").write_text(
        '@id("hand") @reason("A person decides who pays.") @step_up("operators")\n'
        'forbid (principal, action == Hopward::Action::"delegate", resource);'
    )
    office.clock.advance(SECOND)  # type: ignore[attr-defined]
    run = boss(office, payer(office, LARGE))
    with office.task() as task:
        first = asked(run(USER))
        assert first[0].value["action_requests"][0]["name"] == "delegate:payer"
        assert first[0].value["review_configs"][0]["allowed_decisions"] == ["approve", "reject"]
        second = asked(run(answered(office, first)))
        assert second[0].value["action_requests"][0]["name"] == "pay"
        result = run(answered(office, second))
        assert office.open_hops(task.id) == 0
    assert (asked(result), office.paid) == ([], [60])
    assert [verdict for _, _, verdict in story(office)] == [
        "step-up",
        "permit",
        "step-up",
        "permit",
        "permit",
    ]


def test_a_hop_whose_time_is_over_is_handed_on_anew_and_asked_about_again(held_office: Office) -> None:
    office = held_office
    run = boss(office, payer(office, LARGE))
    with office.task() as task:
        shown = asked(run(USER))
        resume = answered(office, shown)
        office.clock.advance(600 * SECOND)  # type: ignore[attr-defined]
        again = asked(run(resume))
        assert approval(again[0]) != approval(shown[0])
        assert len(office.guard.ledger.hops(task.id)) == 2
        run(answered(office, again))
    assert office.paid == [60]


def test_a_hop_that_was_revoked_meanwhile_takes_the_yes_with_it(held_office: Office) -> None:
    office = held_office
    run = boss(office, payer(office, LARGE))
    with office.task() as task:
        shown = asked(run(USER))
        resume = answered(office, shown)
        (opened,) = office.guard.ledger.hops(task.id)
        office.guard.revoke("hop", opened.id, by="ana@example.com", why="wrong")
        again = asked(run(resume))
        assert approval(again[0]) != approval(shown[0])
    assert office.paid == []


def test_an_agent_suspended_meanwhile_gets_nothing(held_office: Office) -> None:
    office = held_office
    run = boss(office, payer(office, LARGE))
    with office.task():
        resume = answered(office, asked(run(USER)))
        office.guard.set_agent_state("payer", "suspended", by="ana@example.com", why="odd")
        result = run(resume)
    assert result["messages"][-2].status == "error"
    assert office.paid == []


def test_a_sub_agent_that_was_told_no_ends_its_hop(held_office: Office) -> None:
    office = held_office
    run = boss(office, payer(office, LARGE))
    with office.task() as task:
        result = run(answered(office, asked(run(USER)), reject("not this month")))
        assert office.open_hops(task.id) == 0
    assert "not this month" in str(result["messages"])
    assert office.paid == []


def test_a_sub_agent_can_wait_more_than_once(held_office: Office) -> None:
    office = held_office
    pay = office.hopward.protect([office.sync_tool()])
    sub = create_agent(
        scripted(calls(LARGE), calls(("pay", {"amount": 70}))),
        pay,
        middleware=[office.hopward.middleware(approvals="interrupt")],
    )
    run = boss(office, sub)
    with office.task() as task:
        second = asked(run(answered(office, asked(run(USER)))))
        assert office.paid == [60]
        run(answered(office, second))
        assert len(office.guard.ledger.hops(task.id)) == 1
        assert office.open_hops(task.id) == 0
    assert office.paid == [60, 70]


@LATER
def test_a_hop_goes_on_where_nobody_remembers_it(open_office: Callable[[str], Office], later: bool) -> None:
    """As in another process: what is known is what stands in the decision log."""
    first = hold_office(open_office(ASKED), install=False)
    with first.task() as task:
        run = boss(first, payer(first, LARGE, later=later), later=later)
        shown = asked(run(USER))
    saver = run.graph.checkpointer
    second = Office(first.folder)
    second.clock.advance(SECOND)  # type: ignore[attr-defined]
    run = boss(second, payer(second, later=later), later=later, saver=saver)
    with second.hopward.resume(task.id):
        (again,) = asked(run(Command(resume=APPROVE)))
        assert approval(again) == approval(shown[0])
        run(answered(second, [again]))
    assert (first.paid, second.paid) == ([], [60])
    assert [hop.state for hop in second.guard.ledger.hops(task.id)] == ["completed"]
    assert story(second) == WAITS + WAITS + GOES_ON
    second.close()


def test_a_hop_that_is_under_way_is_nobody_elses_to_go_on_with(held_office: Office) -> None:
    """A second hand-over to the same agent, of a run that is resumed as well, while the first one waits."""
    office = held_office
    names = ("one", "two")
    runs = {name: boss(office, payer(office, ("pay", {"amount": 60 + len(name)}))) for name in names}
    with office.task() as task:
        shown = {name: asked(run(USER)) for name, run in runs.items()}
        assert office.open_hops(task.id) == 2
        for name, run in runs.items():
            assert asked(run(answered(office, shown[name]))) == []
    assert len(office.guard.ledger.hops(task.id)) == 2
    assert len(office.paid) == 2


@pytest.mark.parametrize("later", [False, True], ids=["invoke", "ainvoke"])
def test_a_sub_agent_of_deepagents_waits_in_its_hop(
    open_office: Callable[[str], Office], later: bool
) -> None:
    office = hold_office(open_office(deep("payer")))
    waits = office.hopward.middleware(approvals="interrupt")
    tools = office.hopward.protect([office.async_tool() if later else office.sync_tool()])
    sub: Any = {"name": "payer", "description": "pays", "system_prompt": "pay", "tools": tools}
    sub |= {"model": scripted(calls(LARGE)), "middleware": [waits]}
    work = ("task", {"description": "pay", "subagent_type": "payer"})
    agent = create_deep_agent(
        scripted(calls(work)), tools, subagents=[sub], middleware=[waits], checkpointer=InMemorySaver()
    )
    run = Running(agent, later)
    with office.task() as task:
        shown = asked(run(USER))
        assert office.open_hops(task.id) == 1
        result = run(answered(office, shown))
        assert [hop.state for hop in office.guard.ledger.hops(task.id)] == ["completed"]
    assert (asked(result), office.paid) == ([], [60])
    assert story(office) == WAITS + GOES_ON


def test_without_the_middleware_a_sub_agent_reads_the_refusal(held_office: Office) -> None:
    office = held_office
    sub = create_agent(scripted(calls(LARGE)), office.hopward.protect([office.sync_tool()]))
    with office.task() as task:
        result = boss(office, sub)(USER)
        assert office.open_hops(task.id) == 0
    assert asked(result) == []
    assert "hopward approve" in str(result["messages"])


def test_without_a_checkpointer_a_sub_agent_reads_the_refusal_too(held_office: Office) -> None:
    office = held_office
    run = boss(office, payer(office, LARGE), saver=False)
    with office.task() as task:
        result = run(USER)
        assert office.open_hops(task.id) == 0
    assert asked(result) == []
    assert "no checkpointer, so it cannot wait" in str(result["messages"])


def test_of_several_hops_nobody_remembers_each_call_is_made_once_all_the_same(
    open_office: Callable[[str], Office],
) -> None:
    """As in another process, side by side: they may swap hops, and then people are asked once more."""
    first = hold_office(open_office(ASKED), install=False)
    wanted = calls(*(("ask_payer", {"amount": amount}) for amount in (60, 70)))

    def program(office: Office, resumes: bool, saver: Any) -> Any:
        subs = {
            amount: payer(office, *([] if resumes else [("pay", {"amount": amount})])) for amount in (60, 70)
        }

        def ask_payer(amount: int) -> str:
            """Have it paid."""
            return subs[amount].invoke(USER)["messages"][-2].content

        agent: Any = create_agent(
            scripted() if resumes else scripted(wanted),
            office.hopward.protect([ask_payer]),
            middleware=[office.hopward.middleware(approvals="interrupt")],
            checkpointer=saver,
        )
        return Running(agent)

    saver = InMemorySaver()
    with first.task() as task:
        shown = asked(program(first, False, saver)(USER))
    second = Office(first.folder)
    second.clock.advance(SECOND)  # type: ignore[attr-defined]
    run = program(second, True, saver)
    rounds = 0
    with second.hopward.resume(task.id):
        while shown:
            rounds += 1
            shown = asked(run(answered(second, shown, {one.id: APPROVE for one in shown})))
        hops = second.guard.ledger.hops(task.id)
    assert sorted(second.paid) == [60, 70]
    assert rounds <= 2
    assert [hop.state for hop in hops] == ["completed", "completed"]
    second.close()


@LATER
def test_an_agent_that_was_handed_the_conversation_waits_in_its_hop(
    open_office: Callable[[str], Office], later: bool
) -> None:
    """A handoff: decided at the call, taken up by the node, which waits there."""
    office = hold_office(open_office(hop("payer", "payer", 'tool = "transfer_to_payer"\nnode = "payer"')))

    def transfer_to_payer(tool_call_id: Annotated[str, InjectedToolCallId]) -> Command[Any]:
        """Hand over."""
        told = ToolMessage("handed over", tool_call_id=tool_call_id)
        return Command(goto="payer", update={"messages": [told]}, graph=Command.PARENT)

    tools = office.hopward.protect([StructuredTool.from_function(transfer_to_payer)])
    waits = office.hopward.middleware(approvals="interrupt")
    desk = create_agent(scripted(calls(("transfer_to_payer", {}))), tools, middleware=[waits])
    steps = (
        StateGraph(MessagesState)
        .add_node("desk", desk, destinations=("payer",))
        .add_node("payer", payer(office, LARGE, later=later))
        .add_edge(START, "desk")
    )
    run = Running(steps.compile(checkpointer=InMemorySaver()), later)
    with office.task() as task:
        shown = asked(run(USER))
        assert office.open_hops(task.id) == 1
        result = run(answered(office, shown))
        assert [hop.state for hop in office.guard.ledger.hops(task.id)] == ["completed"]
    assert (asked(result), office.paid) == ([], [60])
    assert story(office) == WAITS + GOES_ON


@LATER
def test_whoever_resumes_a_run_can_do_without_the_call_of_a_sub_agent(
    held_office: Office, later: bool
) -> None:
    office = held_office
    run = boss(office, payer(office, LARGE, later=later), later=later)
    with office.task() as task:
        (shown,) = asked(run(USER))
        office.guard.approvals.approve(approval(shown), by=CAROL)
        result = run(Command(resume=reject("not now")))
        assert [hop.state for hop in office.guard.ledger.hops(task.id)] == ["completed"]
    assert "They say: not now" in str(result["messages"])
    assert (office.paid, story(office)) == ([], [*WAITS, ("boss", "delegate:payer", "permit")])
