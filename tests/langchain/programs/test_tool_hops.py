"""Work handed on by a tool: protected, or seen by the handler alone."""

import asyncio
import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import BaseTool

from hopward import StateError
from langchain_hopward import AuthorizationDenied, Hopward

from .office import USER, Office, calls, scripted

LATER = pytest.mark.parametrize("later", [False, True], ids=["invoke", "ainvoke"])
SEEN = pytest.mark.parametrize("protected", [True, False], ids=["protected", "handler"])
Ask = Callable[[str, Callable[[], Any]], BaseTool]


def run(agent: Any, later: bool, given: Any = USER) -> Any:
    return asyncio.run(agent.ainvoke(given)) if later else agent.invoke(given)


def asking(office: Office, protected: bool) -> Ask:
    """Makes the tool that hands work on: protected, or left to the handler."""
    office.hopward.install()

    def made(name: str, body: Callable[[], Any]) -> BaseTool:
        tool = office.tool(name, body)
        return office.hopward.protect([tool])[0] if protected else tool

    return made


@pytest.fixture
def ask(office: Office, request: pytest.FixtureRequest) -> Ask:
    return asking(office, request.node.callspec.params.get("protected", True))


def telling(result: Any) -> list[str]:
    return [f"{m.status}: {m.content}" for m in result["messages"] if m.type == "tool"]


@LATER
@SEEN
def test_what_is_handed_on_is_done_by_the_other_agent_and_ends_with_the_call(
    office: Office, ask: Ask, later: bool, protected: bool
) -> None:
    payer = create_agent(scripted(calls(("pay", {"amount": 5}))), office.tools())
    hand = ask("ask_payer", lambda: payer.invoke(USER)["messages"][-2].content)
    boss = create_agent(scripted(calls(("ask_payer", {})), calls(("look", {}))), [hand, *office.tools()])
    with office.task() as task:
        result = run(boss, later)
        assert office.open_hops(task.id) == 0
    assert telling(result) == ["success: paid 5", "success: found"]
    assert office.story() == [
        ("boss", "delegate:payer", "permit"),
        ("boss>payer", "pay", "permit"),
        ("boss", "look", "permit"),
    ]
    assert [row.record["event"] for row in office.rows("hop")] == ["opened", "completed"]
    assert office.paid == [5]


@LATER
@SEEN
def test_the_boss_cannot_do_what_it_may_only_hand_on(
    office: Office, ask: Ask, later: bool, protected: bool
) -> None:
    payer = create_agent(scripted(calls(("pay", {"amount": 5}))), office.tools())
    hand = ask("ask_payer", lambda: payer.invoke(USER)["messages"][-2].content)
    script = scripted(calls(("pay", {"amount": 1})), calls(("ask_payer", {})), calls(("pay", {"amount": 2})))
    with office.task():
        result = run(create_agent(script, [hand, *office.tools()]), later)
    assert office.paid == [5]
    assert [told.split(":")[0] for told in telling(result)] == ["error", "success", "error"]


@LATER
@SEEN
def test_an_injected_boss_cannot_make_the_researcher_pay(
    office: Office, ask: Ask, later: bool, protected: bool
) -> None:
    """The model of the boss was told by a document to have the researcher pay; the run goes on."""
    researcher = create_agent(scripted(calls(("pay", {"amount": 5})), calls(("look", {}))), office.tools())
    hand = ask("ask_researcher", lambda: researcher.invoke(USER)["messages"][-4].content)
    boss = create_agent(scripted(calls(("ask_researcher", {})), calls(("look", {}))), [hand, *office.tools()])
    with office.task():
        result = run(boss, later)
    assert office.paid == []
    assert "app/pay was not executed" in telling(result)[0]
    assert office.story() == [
        ("boss", "delegate:researcher", "permit"),
        ("boss>researcher", "pay", "outside_hop"),
        ("boss>researcher", "look", "permit"),
        ("boss", "look", "permit"),
    ]


@LATER
@SEEN
def test_hops_nest_and_the_log_tells_the_whole_chain(
    open_office: Callable[[str], Office], later: bool, protected: bool
) -> None:
    from .office import LOOKING, PAYING, hop

    more = f"delegable = [{LOOKING}, {PAYING}]\ndepth = 1\nfan_out = 1"
    office = open_office(
        hop("payer", "payer", 'tool = "ask_payer"') + hop("r", "researcher", 'tool = "ask_researcher"', more)
    )
    made = asking(office, protected)
    payer = create_agent(scripted(calls(("look", {}), ("pay", {"amount": 5}))), office.tools())
    inner = made("ask_payer", lambda: payer.invoke(USER)["messages"][-2].content)
    researcher = create_agent(scripted(calls(("ask_payer", {}))), [inner])
    outer = made("ask_researcher", lambda: researcher.invoke(USER)["messages"][-2].content)
    with office.task() as task:
        run(create_agent(scripted(calls(("ask_researcher", {}))), [outer]), later)
        assert office.open_hops(task.id) == 0
    assert office.story()[:2] == [
        ("boss", "delegate:researcher", "permit"),
        ("boss>researcher", "delegate:payer", "permit"),
    ]
    assert sorted(office.story()[2:]) == [
        ("boss>researcher>payer", "look", "permit"),
        ("boss>researcher>payer", "pay", "outside_hop"),
    ]
    assert office.paid == []


@SEEN
def test_side_by_side_hand_overs_keep_apart(office: Office, ask: Ask, protected: bool) -> None:
    payer = create_agent(scripted(calls(("pay", {"amount": 5}))), office.tools())
    researcher = create_agent(scripted(calls(("look", {}))), office.tools())
    tools = [
        ask("ask_payer", lambda: payer.invoke(USER)["messages"][-2].content),
        ask("ask_researcher", lambda: researcher.invoke(USER)["messages"][-2].content),
    ]
    for later in (False, True):
        payer = create_agent(scripted(calls(("pay", {"amount": 5}))), office.tools())
        researcher = create_agent(scripted(calls(("look", {}))), office.tools())
        with office.task():
            run(create_agent(scripted(calls(("ask_payer", {}), ("ask_researcher", {}))), tools), later)
    paths = {(path, tool) for path, tool, verdict in office.story() if verdict == "permit"}
    assert ("boss>payer", "pay") in paths
    assert ("boss>researcher", "look") in paths
    assert not any(path == "boss" and tool in ("pay", "look") for path, tool in paths)


@SEEN
def test_a_refused_hand_over_runs_nothing_and_the_model_is_told(
    office: Office, ask: Ask, protected: bool
) -> None:
    begun: list[str] = []
    hand = ask("ask_payer", lambda: begun.append("x"))
    office.guard.set_agent_state("payer", "suspended", by="ana", why="a test")
    with office.task():
        result = run(create_agent(scripted(calls(("ask_payer", {}))), [hand]), False)
        with pytest.raises(PermissionError):
            hand.invoke({})
    (told,) = telling(result)
    assert told.startswith("error: app/ask_payer was not executed: Agent payer is suspended. Decision dec_")
    assert begun == []


@SEEN
def test_a_hand_over_that_fails_ends_its_hop_and_gives_the_boss_back_its_own_chain(
    office: Office, ask: Ask, protected: bool
) -> None:
    def fail() -> None:
        raise RuntimeError("broken")

    hand = ask("ask_payer", fail)
    pay, look = office.tools()
    with office.task() as task:
        with pytest.raises(RuntimeError):
            hand.invoke({})
        assert office.open_hops(task.id) == 0
        look.invoke({})
        with pytest.raises(AuthorizationDenied):
            pay.invoke({"amount": 1})
    assert [row.record["outcome"]["status"] for row in office.rows("outcome")] == ["tool_error", "ok"]


@SEEN
def test_what_outlives_a_hand_over_has_no_authority(office: Office, ask: Ask, protected: bool) -> None:
    pay, _look = office.tools()
    kept: list[contextvars.Context] = []

    def hand_over() -> str:
        RunnableLambda(lambda _: kept.append(contextvars.copy_context())).invoke("x")
        return "done"

    hand = ask("ask_payer", hand_over)
    with office.task():
        hand.invoke({})
        with pytest.raises(AuthorizationDenied) as denied:
            kept[0].run(lambda: pay.func(amount=5))
        assert denied.value.reason in ("hop_completed", "context_lost")
    assert office.paid == []


@SEEN
def test_a_raw_thread_inside_a_hand_over_is_nobody(office: Office, ask: Ask, protected: bool) -> None:
    _pay, look = office.tools()
    refusals: list[str] = []

    def attempt() -> None:
        try:
            look.invoke({})
        except AuthorizationDenied as denied:
            refusals.append(denied.reason)

    def in_thread() -> None:
        thread = threading.Thread(target=attempt)
        thread.start()
        thread.join()

    hand = ask("ask_payer", in_thread)
    with office.task():
        hand.invoke({})
    assert refusals == ["no_task"]
    assert office.looked == 0


def test_a_worker_thread_of_the_bosss_context_is_refused_below_a_hand_over(office: Office) -> None:
    """A pool that carries the boss's context, and a call that LangChain places below the hand-over."""
    office.hopward.install()
    _pay, look = office.tools()
    reasons: list[str] = []
    with office.task():
        bosss = contextvars.copy_context()

        def work(config: Any) -> None:
            try:
                look.invoke({}, config)
            except AuthorizationDenied as denied:
                reasons.append(denied.reason)

        def hand_over() -> str:
            from langchain_core.runnables.config import var_child_runnable_config

            config = var_child_runnable_config.get()
            with ThreadPoolExecutor(1) as pool:
                pool.submit(bosss.run, work, config).result()
            return "done"

        office.tool("ask_payer", hand_over).invoke({})
    assert reasons == ["context_lost"]
    assert office.looked == 0


class Failing(BaseCallbackHandler):
    """Another handler that fails after ours has permitted: LangChain then tells of no end."""

    raise_error = True

    def on_tool_start(self, *args: Any, **kwargs: Any) -> None:
        raise ValueError("broken tracer")


def test_a_hand_over_that_another_handler_breaks_leaves_nobody_with_the_workers_authority(
    office: Office,
) -> None:
    office.hopward.install()
    pay, _look = office.tools()
    hand = office.tool("ask_payer", lambda: "done")
    with office.task():
        with pytest.raises(ValueError, match="broken tracer"):
            hand.invoke({}, {"callbacks": [office.hopward.handler(), Failing()]})
        for attempt in (lambda: pay.invoke({"amount": 5}), lambda: pay.func(amount=5)):
            with pytest.raises(AuthorizationDenied):
                attempt()
    assert office.paid == []


def test_the_body_of_an_unprotected_hand_over_calls_nothing_behind_langchains_back(office: Office) -> None:
    office.hopward.install()
    pay, look = office.tools()
    reasons: list[str] = []

    def body() -> str:
        for attempt in (lambda: look.func(), lambda: pay.func(amount=5)):
            try:
                attempt()
            except AuthorizationDenied as denied:
                reasons.append(denied.reason)
        return "done"

    with office.task():
        office.tool("ask_payer", body).invoke({})
    assert reasons == ["context_lost", "context_lost"]
    assert (office.looked, office.paid) == (0, [])


@SEEN
def test_revoking_the_hop_stops_the_worker_at_its_next_call(
    office: Office, ask: Ask, protected: bool
) -> None:
    _pay, look = office.tools()
    reasons: list[str] = []

    def work(_: Any) -> str:
        look.invoke({})
        (hop,) = office.guard.ledger.hops(task.id)
        office.guard.revoke("hop", hop.id, by="ana", why="a test")
        try:
            look.invoke({})
        except AuthorizationDenied as denied:
            reasons.append(denied.reason)
        return "done"

    hand = ask("ask_payer", lambda: RunnableLambda(work).invoke("x"))
    with office.task() as task:
        hand.invoke({})
        look.invoke({})
    assert reasons == ["hop_revoked"]
    assert office.looked == 2


@SEEN
def test_more_hand_overs_at_once_than_allowed_are_refused(office: Office, ask: Ask, protected: bool) -> None:
    hand = ask("ask_payer", lambda: "done")
    with office.task():
        place = office.hopward._enforcer.place.get()
        assert place is not None
        narrowing = office.guard.settings.servers["app"].hops["payer"].narrowing
        for _ in range(4):
            assert office.guard.delegate(place.chain, "payer", narrowing).chain is not None
        with pytest.raises(AuthorizationDenied) as denied:
            hand.invoke({})
    assert denied.value.reason == "fan_out_exhausted"


def test_a_tool_that_hands_work_to_an_agent_nobody_registered_gives_it_nothing(
    open_office: Callable[[str], Office],
) -> None:
    from .office import deep

    office = open_office(deep("payer"))
    office.hopward.install()
    begun: list[str] = []

    def task(description: str, subagent_type: str) -> str:
        """Hand work on."""
        begun.append(subagent_type)
        return "done"

    from langchain_core.tools import tool as as_tool

    hand = as_tool(task)
    with office.task():
        hand.invoke({"description": "x", "subagent_type": "payer"})
        for kind in ("general-purpose", "Payer", "", "payer "):
            with pytest.raises(AuthorizationDenied) as denied:
                hand.invoke({"description": "x", "subagent_type": kind})
            assert denied.value.reason == "hop_unconfigured"
    assert begun == ["payer"]


def offered(office: Office, *tools: BaseTool) -> list[str]:
    model = scripted()
    create_agent(model, list(tools), middleware=[office.hopward.middleware()]).invoke(USER)
    return model.offered[0] if model.offered else []


def test_a_model_is_shown_the_hand_overs_that_its_agent_may_make(office: Office) -> None:
    office.hopward.install()
    shown: dict[str, list[str]] = {}
    pay, look = office.tools()

    def part(name: str) -> Callable[[], str]:
        def body() -> str:
            shown[name] = offered(office, *asks, pay, look)
            return "done"

        return body

    names = ("ask_payer", "ask_researcher")
    asks = office.hopward.protect([office.tool(name, part(name)) for name in names])
    with office.task():
        shown["boss"] = offered(office, *asks, pay, look)
        for tool in asks:
            tool.invoke({})
    assert shown == {
        "boss": ["ask_payer", "ask_researcher", "look"],
        "ask_payer": ["pay", "look"],
        "ask_researcher": ["ask_payer", "look"],
    }
    assert [path for path, tool, verdict in office.story()] == ["boss", "boss"]


@pytest.mark.parametrize("revoked", [False, True], ids=["open", "revoked"])
def test_work_that_was_handed_on_opens_no_task_of_its_own(office: Office, revoked: bool) -> None:
    def body() -> str:
        if revoked:
            (hop,) = office.guard.ledger.hops(task.id)
            office.guard.revoke("hop", hop.id, by="ana", why="a test")
        for hopward in (office.hopward, Hopward(office.guard)):
            with pytest.raises(StateError, match="nothing inside it opens another"):
                hopward.task(subject="mallory@example.com").__enter__()
        return "tried"

    (ask,) = office.hopward.protect([office.tool("ask_payer", body)])
    with office.task() as task:
        assert ask.invoke({}) == "tried"
    with office.task():
        assert office.tools()[1].invoke({}) == "found"
