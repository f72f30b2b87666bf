"""Agents that run as graph nodes: subgraphs, fan-out by `Send`, handoffs of supervisors and swarms."""

import asyncio
import operator
from collections.abc import Callable
from typing import Annotated, Any, TypedDict

import pytest
from langchain.agents import create_agent
from langchain_core.messages import ToolMessage
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import InjectedToolCallId, StructuredTool
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command, Send

from langchain_hopward import AuthorizationDenied

from .office import LOOKING, PAYING, USER, Office, asked, calls, hop, scripted

LATER = pytest.mark.parametrize("later", [False, True], ids=["invoke", "ainvoke"])
PAYER = hop("payer", "payer", 'node = "payer"')
RESEARCHER = hop("researcher", "researcher", 'node = "researcher"')


def run(graph: Any, later: bool, given: Any = USER, config: Any = None) -> Any:
    return asyncio.run(graph.ainvoke(given, config)) if later else graph.invoke(given, config)


def graph_of(*nodes: tuple[str, Any]) -> Any:
    """The nodes one after the other."""
    graph = StateGraph(MessagesState)
    before: str = START
    for name, node in nodes:
        graph.add_node(name, node)
        graph.add_edge(before, name)
        before = name
    graph.add_edge(before, END)
    return graph.compile()


@LATER
def test_a_sub_graph_as_a_node_acts_as_its_own_agent_and_ends_with_the_node(
    open_office: Callable[[str], Office], later: bool
) -> None:
    office = open_office(PAYER + RESEARCHER)
    office.hopward.install()
    tools = office.tools()
    researcher = create_agent(scripted(calls(("look", {}), ("pay", {"amount": 7}))), tools)
    payer = create_agent(scripted(calls(("pay", {"amount": 5}))), tools)
    boss = create_agent(scripted(calls(("look", {}), ("pay", {"amount": 1}))), tools)
    with office.task() as task:
        run(graph_of(("researcher", researcher), ("payer", payer), ("boss", boss)), later)
        assert office.open_hops(task.id) == 0
    assert office.paid == [5]
    assert sorted(office.story()) == sorted(
        [
            ("boss", "delegate:researcher", "permit"),
            ("boss>researcher", "look", "permit"),
            ("boss>researcher", "pay", "outside_hop"),
            ("boss", "delegate:payer", "permit"),
            ("boss>payer", "pay", "permit"),
            ("boss", "look", "permit"),
            ("boss", "pay", "outside_task"),
        ]
    )


@LATER
def test_a_plain_function_as_a_node_acts_as_its_agent_too(
    open_office: Callable[[str], Office], later: bool
) -> None:
    office = open_office(PAYER)
    office.hopward.install()
    pay, _ = office.tools()

    def payer(state: Any) -> Any:
        pay.invoke({"amount": 5})
        return {"messages": []}

    with office.task():
        run(graph_of(("payer", payer)), later)
        with pytest.raises(AuthorizationDenied):
            pay.invoke({"amount": 6})
    assert office.story()[:2] == [("boss", "delegate:payer", "permit"), ("boss>payer", "pay", "permit")]
    assert office.paid == [5]


@LATER
def test_a_node_that_fails_ends_its_hop(open_office: Callable[[str], Office], later: bool) -> None:
    office = open_office(PAYER)
    office.hopward.install()
    pay, look = office.tools()

    def payer(state: Any) -> Any:
        raise RuntimeError("broken")

    with office.task() as task:
        with pytest.raises(RuntimeError):
            run(graph_of(("payer", payer)), later)
        assert office.open_hops(task.id) == 0
        look.invoke({})
        with pytest.raises(AuthorizationDenied):
            pay.invoke({"amount": 6})


@LATER
def test_a_refused_node_does_not_run(open_office: Callable[[str], Office], later: bool) -> None:
    office = open_office(PAYER)
    office.hopward.install()
    begun: list[str] = []
    office.guard.set_agent_state("payer", "suspended", by="ana", why="a test")

    def payer(state: Any) -> Any:
        begun.append("x")
        return {"messages": []}

    with office.task(), pytest.raises(PermissionError):
        run(graph_of(("payer", payer)), later)
    assert begun == []
    assert office.story() == [("boss", "delegate:payer", "agent_suspended")]


class Fan(TypedDict):
    done: Annotated[list[str], operator.add]


@LATER
@pytest.mark.parametrize("count", [3, 4])
def test_each_branch_of_a_fan_out_is_a_hop_of_its_own(
    open_office: Callable[[str], Office], later: bool, count: int
) -> None:
    office = open_office(RESEARCHER)
    office.hopward.install()
    _, look = office.tools()

    def researcher(state: Any) -> Any:
        look.invoke({})
        return {"done": ["x"]}

    graph = StateGraph(Fan)
    graph.add_node("start", lambda state: {"done": []})
    graph.add_node("researcher", researcher)
    graph.add_edge(START, "start")
    graph.add_conditional_edges("start", lambda state: [Send("researcher", {"done": []})] * count)
    graph.add_edge("researcher", END)
    with office.task() as task:
        result = run(graph.compile(), later, {"done": []})
        hops = office.guard.ledger.hops(task.id)
    assert len(result["done"]) == count
    assert len({one.id for one in hops}) == count
    assert {one.state for one in hops} == {"completed"}
    used = [row.record["chain"]["hops"][0] for row in office.rows("decision") if row.tool == "look"]
    assert sorted(used) == sorted(one.id for one in hops)


def handoff(agent: str) -> StructuredTool:
    """A tool that hands the conversation over to another node, as supervisors and swarms do."""

    def hand(tool_call_id: Annotated[str, InjectedToolCallId]) -> Command[Any]:
        message = ToolMessage(f"over to {agent}", tool_call_id=tool_call_id, name=f"to_{agent}")
        return Command(goto=agent, graph=Command.PARENT, update={"messages": [message]})

    return StructuredTool.from_function(hand, name=f"to_{agent}", description=f"Hand over to {agent}.")


def team(agents: dict[str, Any], first: str) -> Any:
    graph = StateGraph(MessagesState)
    for name, agent in agents.items():
        graph.add_node(name, agent, destinations=tuple(agents))
    graph.add_edge(START, first)
    return graph.compile()


SWARM = hop("payer", "payer", 'tool = "to_payer"\nnode = "payer"') + hop(
    "researcher",
    "researcher",
    'tool = "to_researcher"\nnode = "researcher"',
    f"delegable = [{LOOKING}, {PAYING}]\ndepth = 1\nfan_out = 1",
)


@LATER
@pytest.mark.parametrize("protected", [True, False])
def test_a_handoff_is_decided_at_the_call_and_taken_up_by_the_node(
    open_office: Callable[[str], Office], later: bool, protected: bool
) -> None:
    office = open_office(SWARM)
    office.hopward.install()
    tools = office.tools()
    hand: Any = handoff("payer")
    hands = office.hopward.protect([hand]) if protected else [hand]
    boss = create_agent(scripted(calls(("to_payer", {}))), [*hands, *tools])
    payer = create_agent(scripted(calls(("pay", {"amount": 5}))), tools)
    with office.task() as task:
        run(team({"boss": boss, "payer": payer}, "boss"), later)
        assert office.open_hops(task.id) == 0
    assert office.story() == [("boss", "delegate:payer", "permit"), ("boss>payer", "pay", "permit")]
    assert office.paid == [5]


@LATER
def test_a_handoff_of_a_handoff_keeps_the_whole_chain_and_ends_it_from_below(
    open_office: Callable[[str], Office], later: bool
) -> None:
    office = open_office(SWARM)
    office.hopward.install()
    tools = office.tools()
    to_payer, to_researcher = office.hopward.protect([handoff("payer"), handoff("researcher")])
    boss = create_agent(scripted(calls(("to_researcher", {}))), [to_researcher])
    researcher = create_agent(scripted(calls(("look", {})), calls(("to_payer", {}))), [to_payer, *tools])
    payer = create_agent(scripted(calls(("look", {}))), tools)
    with office.task() as task:
        run(team({"boss": boss, "researcher": researcher, "payer": payer}, "boss"), later)
        assert office.open_hops(task.id) == 0
    assert office.story() == [
        ("boss", "delegate:researcher", "permit"),
        ("boss>researcher", "look", "permit"),
        ("boss>researcher", "delegate:payer", "permit"),
        ("boss>researcher>payer", "look", "permit"),
    ]


@LATER
def test_handing_back_ends_the_hop_and_the_boss_has_its_own_authority_again(
    open_office: Callable[[str], Office], later: bool
) -> None:
    office = open_office(SWARM)
    office.hopward.install()
    tools = office.tools()
    (to_payer,) = office.hopward.protect([handoff("payer")])
    script = scripted(calls(("to_payer", {})), calls(("pay", {"amount": 9}), ("look", {})))
    boss = create_agent(script, [to_payer, *tools])
    payer = create_agent(scripted(calls(("pay", {"amount": 5}))), tools)
    graph = StateGraph(MessagesState)
    graph.add_node("boss", boss, destinations=("payer", END))
    graph.add_node("payer", payer)
    graph.add_edge(START, "boss")
    graph.add_edge("payer", "boss")
    with office.task():
        run(graph.compile(), later)
    assert office.paid == [5]
    assert ("boss", "pay", "outside_task") in office.story()
    assert ("boss", "look", "permit") in office.story()


@LATER
def test_a_handoff_that_never_arrives_ends_with_its_run_and_is_not_taken_up_by_another(
    open_office: Callable[[str], Office], later: bool
) -> None:
    office = open_office(SWARM)
    office.hopward.install()
    tools = office.tools()
    stay = StructuredTool.from_function(lambda: "not yet", name="to_payer", description="to_payer")
    (to_payer,) = office.hopward.protect([stay])
    (to_researcher,) = office.hopward.protect([handoff("researcher")])
    boss = create_agent(scripted(calls(("to_researcher", {}))), [to_researcher])
    researcher = create_agent(scripted(calls(("to_payer", {}))), [to_payer])
    payer = create_agent(scripted(calls(("look", {}))), tools)
    with office.task() as task:
        run(team({"boss": boss, "researcher": researcher}, "boss"), later)
        assert office.open_hops(task.id) == 0
        run(graph_of(("payer", payer)), later)
    assert office.story() == [
        ("boss", "delegate:researcher", "permit"),
        ("boss>researcher", "delegate:payer", "permit"),
        ("boss", "delegate:payer", "permit"),
        ("boss>payer", "look", "permit"),
    ]


def test_runs_side_by_side_take_up_their_own_handoffs(open_office: Callable[[str], Office]) -> None:
    """The boss of the first run has sent for the payer; that of the second sends for it by the researcher."""
    office = open_office(SWARM)
    office.hopward.install()
    tools = office.tools()
    to_payer, to_researcher = office.hopward.protect([handoff("payer"), handoff("researcher")])

    def graph(first: StructuredTool) -> Any:
        boss = create_agent(scripted(calls((first.name, {}))), [first])
        researcher = create_agent(scripted(calls(("to_payer", {}))), [to_payer])
        payer = create_agent(scripted(calls(("pay", {"amount": 5}))), tools)
        return team({"boss": boss, "researcher": researcher, "payer": payer}, "boss")

    with office.task() as task:
        steps = graph(to_payer).stream(USER)
        next(steps)
        graph(to_researcher).invoke(USER)
        assert office.paid == []
        list(steps)
        assert office.open_hops(task.id) == 0
    assert office.paid == [5]
    assert office.story() == [
        ("boss", "delegate:payer", "permit"),
        ("boss", "delegate:researcher", "permit"),
        ("boss>researcher", "delegate:payer", "permit"),
        ("boss>researcher>payer", "pay", "outside_hop"),
        ("boss>payer", "pay", "permit"),
    ]


@LATER
@pytest.mark.parametrize("to", ["researcher", "boss"])
def test_work_is_not_handed_on_to_an_agent_that_is_in_the_chain_already(
    open_office: Callable[[str], Office], later: bool, to: str
) -> None:
    office = open_office(SWARM + hop("back", "boss", 'tool = "to_boss"\nnode = "boss"'))
    office.hopward.install()
    tools = office.tools()
    to_payer, to_researcher, back = office.hopward.protect(
        [handoff("payer"), handoff("researcher"), handoff(to)]
    )
    boss = create_agent(scripted(calls(("to_researcher", {}))), [to_researcher])
    researcher = create_agent(scripted(calls(("to_payer", {}))), [to_payer])
    payer = create_agent(scripted(calls((f"to_{to}", {}), ("look", {}))), [back, *tools])
    with office.task() as task:
        run(team({"boss": boss, "researcher": researcher, "payer": payer}, "boss"), later)
        assert office.open_hops(task.id) == 0
    assert ("boss>researcher>payer", f"delegate:{to}", "actor_twice") in office.story()


@LATER
def test_a_swarm_hands_back_to_the_agent_of_the_task_by_a_plain_tool(
    open_office: Callable[[str], Office], later: bool
) -> None:
    """Here `look`, classified as a tool; the node it leads to is that of the agent whose task it is."""
    office = open_office(SWARM)
    office.hopward.install()
    tools = office.tools()

    def hand(tool_call_id: Annotated[str, InjectedToolCallId]) -> Command[Any]:
        message = ToolMessage("back", tool_call_id=tool_call_id, name="look")
        return Command(goto="boss", graph=Command.PARENT, update={"messages": [message]})

    given = StructuredTool.from_function(hand, name="look", description="Hand back.")
    to_payer, back = office.hopward.protect([handoff("payer"), given])
    boss = create_agent(
        scripted(calls(("to_payer", {})), calls(("pay", {"amount": 9}), ("look", {}))), [to_payer, *tools]
    )
    payer = create_agent(scripted(calls(("pay", {"amount": 5})), calls(("look", {}))), [back, tools[0]])
    with office.task() as task:
        run(team({"boss": boss, "payer": payer}, "boss"), later)
        assert office.open_hops(task.id) == 0
    assert office.paid == [5]
    assert ("boss>payer", "look", "permit") in office.story()
    assert ("boss", "pay", "outside_task") in office.story()
    assert ("boss", "look", "permit") in office.story()


@LATER
def test_names_tags_and_metadata_gain_nothing(open_office: Callable[[str], Office], later: bool) -> None:
    """They can make the program take an edge that it has; what it is worth is decided all the same."""
    office = open_office(PAYER)
    office.hopward.install()
    pay, _ = office.tools()
    spoofed = {
        "run_name": "payer",
        "metadata": {"langgraph_node": "researcher", "lc_agent_name": "payer", "hopward_chain": "x"},
        "tags": ["graph:step:1"],
        "configurable": {"thread_id": "1", "agent": "payer"},
    }
    with office.task():
        for config in (spoofed, {**spoofed, "metadata": {"langgraph_node": "payers"}}):
            step = RunnableLambda(lambda _: pay.invoke({"amount": 5}))
            with pytest.raises(AuthorizationDenied):
                run(step, later, "x", config)
        office.guard.set_agent_state("payer", "suspended", by="ana", why="a test")
        exact = {**spoofed, "metadata": {"langgraph_node": "payer"}}
        with pytest.raises(AuthorizationDenied) as denied:
            run(RunnableLambda(lambda _: pay.invoke({"amount": 5})), later, "x", exact)
    assert denied.value.reason == "agent_suspended"
    assert office.paid == []


@LATER
def test_a_node_outside_any_task_calls_nothing(open_office: Callable[[str], Office], later: bool) -> None:
    office = open_office(PAYER)
    office.hopward.install()
    pay, _ = office.tools()
    with pytest.raises(AuthorizationDenied) as denied:
        run(graph_of(("payer", lambda state: pay.invoke({"amount": 5}))), later)
    assert denied.value.reason == "no_task"
    assert office.paid == []


def test_a_nested_graph_does_not_take_up_what_another_agent_has_handed_over(
    open_office: Callable[[str], Office],
) -> None:
    """The boss's hand-over waits for a node `payer`; the researcher's own graph has a node of that name."""
    waiting = hop("payer", "payer", 'tool = "to_payer"\nnode = "payer"')
    office = open_office(waiting + asked("researcher", f"delegable = [{LOOKING}]\ndepth = 1\nfan_out = 1"))
    office.hopward.install()
    pay, _look = office.tools()

    def steal(_: MessagesState) -> dict[str, Any]:
        pay.invoke({"amount": 66})
        return {"messages": []}

    nested = graph_of(("payer", steal))
    reasons: list[str] = []

    def ask() -> str:
        try:
            nested.invoke(USER)
        except AuthorizationDenied as denied:
            reasons.append(denied.reason)
        return "asked"

    hand, asking = office.tool("to_payer", lambda: "handed"), office.tool("ask_researcher", ask)
    boss = create_agent(scripted(calls(("to_payer", {})), calls(("ask_researcher", {}))), [hand, asking])
    with office.task():
        boss.invoke(USER)
    assert (office.paid, reasons) == ([], ["outside_hop"])
    assert ("boss>researcher>payer", "pay", "outside_hop") in office.story()
