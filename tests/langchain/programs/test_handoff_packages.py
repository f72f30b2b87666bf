"""The packages langgraph-supervisor and langgraph-swarm, as they come: their handoffs are hops."""

import warnings
from collections.abc import Callable
from typing import Any

import pytest
from langchain.agents import create_agent

from .office import USER, Office, calls, hop, scripted

supervisors = pytest.importorskip("langgraph_supervisor", reason="langgraph-supervisor is not installed")
swarms = pytest.importorskip("langgraph_swarm", reason="langgraph-swarm is not installed")

LATER = pytest.mark.parametrize("later", [False, True], ids=["invoke", "ainvoke"])
TO_PAYER = hop("payer", "payer", 'tool = "transfer_to_payer"\nnode = "payer"')
PAYMENT = calls(("pay", {"amount": 5}))


@pytest.fixture
def handing(open_office: Callable[[str], Office]) -> Office:
    office = open_office(TO_PAYER)
    office.hopward.install()
    return office


def told(result: Any) -> list[str]:
    return [str(message.content) for message in result["messages"] if message.type == "tool"]


async def run(graph: Any, later: bool) -> Any:
    return await graph.ainvoke(USER) if later else graph.invoke(USER)


@LATER
@pytest.mark.parametrize("protected", [True, False], ids=["protected", "handler"])
async def test_a_supervisor_hands_work_to_a_worker_that_acts_with_a_hop_of_its_own(
    handing: Office, later: bool, protected: bool
) -> None:
    payer = create_agent(scripted(PAYMENT), handing.tools(), name="payer")
    hand: Any = supervisors.create_handoff_tool(agent_name="payer")
    hand = handing.hopward.protect([hand])[0] if protected else hand
    model = scripted(calls(("transfer_to_payer", {})), calls(("pay", {"amount": 6})))
    with warnings.catch_warnings(action="ignore"):  # the package uses an agent that LangGraph has moved
        team = supervisors.create_supervisor([payer], model=model, tools=[hand, *handing.tools()]).compile()
    with handing.task() as task:
        await run(team, later)
        assert handing.open_hops(task.id) == 0
    assert handing.paid == [5]
    assert handing.story() == [
        ("boss", "delegate:payer", "permit"),
        ("boss>payer", "pay", "permit"),
        ("boss", "pay", "outside_task"),
    ]


@LATER
@pytest.mark.parametrize("protected", [True, False], ids=["protected", "handler"])
async def test_an_agent_of_a_swarm_hands_over_to_another_that_acts_with_a_hop_of_its_own(
    handing: Office, later: bool, protected: bool
) -> None:
    hand: Any = swarms.create_handoff_tool(agent_name="payer")
    hand = handing.hopward.protect([hand])[0] if protected else hand
    boss = create_agent(scripted(calls(("transfer_to_payer", {}))), [hand, *handing.tools()], name="boss")
    payer = create_agent(scripted(PAYMENT), handing.tools(), name="payer")
    swarm = swarms.create_swarm([boss, payer], default_active_agent="boss").compile()
    with handing.task() as task:
        result = await run(swarm, later)
        assert handing.open_hops(task.id) == 0
    assert told(result)[-1] == "paid 5"
    assert handing.story() == [("boss", "delegate:payer", "permit"), ("boss>payer", "pay", "permit")]
