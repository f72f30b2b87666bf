"""Where the work of a hop ends, and that nobody goes on with it: handoffs, nodes, streams left half read."""

import asyncio
import contextvars
import threading
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import BaseTool, StructuredTool
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command

from langchain_hopward import AuthorizationDenied, current_credential

from .office import PAYING, Office, asked, hop
from .test_hop_attacks import coroutine_tool

LATER = pytest.mark.parametrize("later", [False, True], ids=["invoke", "ainvoke"])
HANDOFF = hop("payer", "payer", 'tool = "to_payer"\nnode = "payer"')
NODE = hop("payer", "payer", 'node = "payer"')
EMPTY: Any = {"messages": []}


def reason(attempt: Callable[[], Any]) -> str:
    """Why an attempt is refused; `ran` where it is not."""
    try:
        attempt()
    except AuthorizationDenied as denied:
        return denied.reason
    return "ran"


def line(**nodes: Callable[[Any], Any]) -> Any:
    """A graph of nodes one after the other."""
    graph: Any = StateGraph(MessagesState)
    for before, (name, body) in zip([START, *nodes], nodes.items(), strict=False):
        graph.add_node(name, body)
        graph.add_edge(before, name)
    return graph.compile()


def step(body: Callable[[], Any]) -> Callable[[Any], Any]:
    """A node that does something and leaves the state as it is."""

    def node(_: Any) -> dict[str, Any]:
        body()
        return {}

    return node


@pytest.fixture
def handing(open_office: Callable[[str], Office]) -> Office:
    office = open_office(HANDOFF)
    office.hopward.install()
    return office


def to_payer(office: Office) -> BaseTool:
    return office.hopward.protect([office.tool("to_payer", lambda: "handed")])[0]


@pytest.mark.parametrize("whose", ["its own", "another's"])
def test_a_call_seen_by_the_handler_ends_no_hand_over_that_is_under_way(handing: Office, whose: str) -> None:
    transfer, (pay, look), seen = to_payer(handing), handing.tools(), handing.tool("look", lambda: "seen")
    found: list[str] = []

    def another() -> None:
        with handing.hopward.task(subject="omar@example.com"):
            seen.invoke({})

    def work() -> None:
        if whose == "its own":
            seen.invoke({})
        else:
            thread = threading.Thread(target=another)
            thread.start()
            thread.join()
        pay.invoke({"amount": 5})

    def after() -> None:
        found.append(reason(lambda: look.invoke({})))
        found.append(reason(lambda: pay.invoke({"amount": 6})))

    graph = line(boss=step(lambda: transfer.invoke({})), payer=step(work), after=step(after))
    with handing.task() as task:
        graph.invoke(EMPTY)
        assert handing.open_hops(task.id) == 0
        assert reason(lambda: look.invoke({})) == "ran"
    assert found == ["ran", "outside_task"]
    assert handing.paid == [5]


def test_a_handoffs_node_that_nobody_called_is_a_hop_of_its_own_each_time(handing: Office) -> None:
    pay, _ = handing.tools()
    left: list[contextvars.Context] = []
    found: list[str] = []

    def work() -> None:
        left.append(contextvars.copy_context())
        pay.invoke({"amount": 5})

    def boss(_: Any) -> Command[Any]:
        found.extend(reason(partial(one.run, pay.invoke, {"amount": 9})) for one in left)
        return Command(goto="payer" if len(left) < 2 else END)

    graph: Any = StateGraph(MessagesState)
    graph.add_node("boss", boss, destinations=("payer", END))
    graph.add_node("payer", step(work))
    graph.add_edge(START, "boss")
    graph.add_edge("payer", "boss")
    inner = graph.compile()
    team = line(team=lambda state: inner.invoke(state))
    with handing.task() as task:
        team.invoke(EMPTY)
        assert handing.open_hops(task.id) == 0
    assert "ran" not in found
    assert handing.paid == [5, 5]
    assert [tool for _, tool, _ in handing.story()].count("delegate:payer") == 2


def test_a_handoff_is_taken_up_by_the_graph_it_was_made_in_not_by_one_beside_it(handing: Office) -> None:
    transfer, (pay, _) = to_payer(handing), handing.tools()
    hops: dict[str, list[str]] = {}

    def graph(name: str, *, calls: bool) -> Any:
        def work() -> None:
            pay.invoke({"amount": 1})
            hops[name] = handing.rows("decision")[-1].record["chain"]["hops"]

        return line(boss=step(lambda: transfer.invoke({}) if calls else None), payer=step(work))

    calling, other = graph("calling", calls=True), graph("other", calls=False)

    def both(_: Any) -> None:
        # The other graph reaches its node while the first one's hand-over waits.
        stream = calling.stream(EMPTY)
        next(stream)
        other.invoke(EMPTY)
        list(stream)

    with handing.task() as task:
        RunnableLambda(both).invoke(0)
        assert handing.open_hops(task.id) == 0
    assert hops["calling"] != hops["other"]
    assert [tool for _, tool, _ in handing.story()].count("delegate:payer") == 2


@pytest.fixture
def apart(open_office: Callable[[str], Office], monkeypatch: pytest.MonkeyPatch) -> Office:
    """An office whose payer may pay and nothing else, and whose boss may look."""
    from . import office as offices

    ceiling = f'purpose = "Pays"\nceiling = [{offices.LOOKING}, {PAYING}]'
    monkeypatch.setattr(
        offices, "CONFIG", offices.CONFIG.replace(ceiling, f'purpose = "Pays"\nceiling = [{PAYING}]')
    )
    office = open_office(asked("payer"))
    office.hopward.install()
    return office


@pytest.mark.parametrize("protected", [True, False], ids=["protected", "handler"])
@pytest.mark.parametrize("around", [False, True], ids=["alone", "in a run"])
def test_a_stream_left_half_read_is_not_read_on_with_the_readers_authority(
    apart: Office, protected: bool, around: bool
) -> None:
    _, look = apart.tools()
    found: list[str] = []
    looking = step(lambda: found.append(reason(lambda: look.invoke({}))))
    graph, held = line(first=looking, second=looking), list[Iterator[Any]]()

    def half() -> str:
        held.append(graph.stream(EMPTY))
        next(held[0])
        return "half"

    ask = apart.tool("ask_payer", half)
    ask = apart.hopward.protect([ask])[0] if protected else ask

    def boss(_: Any) -> None:
        ask.invoke({})
        assert reason(lambda: list(held[0])) == "context_lost"
        assert reason(lambda: look.invoke({})) == "ran"

    with apart.task():
        RunnableLambda(boss).invoke(0) if around else boss(0)
    assert found == ["outside_hop"]


@pytest.mark.parametrize("protected", [True, False], ids=["protected", "handler"])
async def test_a_stream_left_half_awaited_is_not_read_on_with_the_readers_authority(
    apart: Office, protected: bool
) -> None:
    _, look = apart.tools()
    found: list[str] = []

    async def looking(_: Any) -> dict[str, Any]:
        try:
            await look.ainvoke({})
        except AuthorizationDenied as denied:
            found.append(denied.reason)
        else:
            found.append("ran")
        return {}

    graph, held = line(first=looking, second=looking), list[Any]()

    async def half() -> str:
        held.append(graph.astream(EMPTY))
        await anext(held[0])
        return "half"

    ask: BaseTool = coroutine_tool("ask_payer", half)
    ask = apart.hopward.protect([ask])[0] if protected else ask
    with apart.task():
        await ask.ainvoke({})
        with pytest.raises(AuthorizationDenied) as denied:
            async for _ in held[0]:
                pass
        assert denied.value.reason == "context_lost"
        assert await look.ainvoke({}) == "found"
    assert found == ["outside_hop"]


@LATER
def test_metadata_of_a_node_does_not_hide_its_hop(open_office: Callable[[str], Office], later: bool) -> None:
    office = open_office(NODE)
    office.hopward.install()
    _, look = office.tools()
    graph: Any = StateGraph(MessagesState)
    graph.add_node("payer", step(lambda: look.invoke({})), metadata={"langgraph_node": "harmless"})
    graph.add_edge(START, "payer")
    made = graph.compile()
    with office.task(), pytest.raises(AuthorizationDenied) as denied:
        asyncio.run(made.ainvoke(EMPTY)) if later else made.invoke(EMPTY)
    assert denied.value.reason == "context_lost"
    assert office.looked == 0


def test_a_node_has_no_credential_of_the_call_around_its_graph(open_office: Callable[[str], Office]) -> None:
    office = open_office(NODE)
    office.hopward.install()

    def work() -> None:
        with pytest.raises(LookupError):
            current_credential()
        office.looked += 1

    graph = line(payer=step(work))

    def look() -> str:
        """Look, by a graph."""
        graph.invoke(EMPTY)
        return current_credential()

    (looking,) = office.hopward.protect([look])
    with office.task():
        assert looking.invoke({}).count(".") == 2
    assert office.looked == 1


def test_a_call_under_the_id_of_one_under_way_is_refused(office: Office) -> None:
    office.hopward.install()
    run, begun, ended = uuid.uuid4(), threading.Event(), threading.Event()

    def slow() -> str:
        begun.set()
        assert ended.wait(60)
        return "slow"

    first = StructuredTool.from_function(slow, name="look", description="look")
    with office.task():
        context = contextvars.copy_context()
        thread = threading.Thread(target=lambda: context.run(first.invoke, {}, {"run_id": run}))
        thread.start()
        assert begun.wait(60)
        second = office.tool("look", lambda: "fast")
        assert reason(lambda: second.invoke({}, {"run_id": run})) == "context_lost"
        assert office.rows("outcome") == []
        ended.set()
        thread.join()
        assert [row.reason for row in office.rows("outcome")] == ["ok"]
        assert reason(lambda: second.invoke({}, {"run_id": run})) == "ran"
