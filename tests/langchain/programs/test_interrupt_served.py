"""A served run that waits for a person: whoever the server has authenticated for its resumption answers."""

import asyncio
from typing import Any

import pytest
from langchain.agents import create_agent
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from hopward import StateError
from hopward.clock import SECOND

from .held import APPROVE, CAROL, Held, approval, asked, edit, reject
from .test_served import Authenticated
from .till import SUBJECT, USER, calls, scripted

LATER = pytest.mark.parametrize("later", [False, True], ids=["invoke", "ainvoke"])
LARGE = ("pay", {"amount": 60})


class Server:
    """Runs a graph on one thread, for whomever it has authenticated."""

    def __init__(self, held: Held, later: bool, waits: bool = True) -> None:
        self.held = held
        self.later = later
        self.agent: Any = create_agent(
            scripted(calls(LARGE)),
            held.tools(later=later),
            middleware=[held.waits()],
            checkpointer=InMemorySaver(),
        )
        self.graph: Any = held.hopward.entry(self.agent, approvals="interrupt" if waits else "refuse")

    def run(self, given: Any, user: str, **settings: Any) -> Any:
        config: Any = {
            "configurable": {"thread_id": "1", "langgraph_auth_user": Authenticated(user), **settings}
        }
        return (
            asyncio.run(self.graph.ainvoke(given, config)) if self.later else self.graph.invoke(given, config)
        )

    def subjects(self) -> list[str]:
        return [row.record["chain"]["subject"] for row in self.held.rows("decision")]

    def tasks(self) -> list[str]:
        return [row.record["event"] for row in self.held.rows("task")]


@LATER
def test_who_resumes_a_run_answers_and_it_goes_on_in_its_task(held: Held, later: bool) -> None:
    server = Server(held, later)
    (shown,) = asked(server.run(USER, SUBJECT))
    assert server.tasks() == ["opened"]
    result = server.run(Command(resume=APPROVE), CAROL)
    assert (asked(result), held.paid) == ([], [60])
    assert server.subjects() == [SUBJECT, SUBJECT]
    assert held.guard.approvals.get(approval(shown)).answers[0].by == CAROL
    assert server.tasks() == ["opened", "completed"]


@LATER
def test_the_subject_cannot_approve_by_resuming(held: Held, later: bool) -> None:
    server = Server(held, later)
    (shown,) = asked(server.run(USER, SUBJECT))
    with pytest.raises(StateError, match="on behalf of"):
        server.run(Command(resume=APPROVE), SUBJECT)
    with pytest.raises(StateError, match="not among those"):
        server.run(Command(resume=APPROVE), "max@example.com")
    assert held.guard.approvals.get(approval(shown)).state == "pending"
    server.run(Command(resume=edit(amount=55)), CAROL)
    assert held.paid == [55]


@LATER
def test_the_subject_can_do_without_it(held: Held, later: bool) -> None:
    server = Server(held, later)
    server.run(USER, SUBJECT)
    result = server.run(Command(resume=reject("not needed")), SUBJECT)
    assert "not needed" in result["messages"][-2].content
    assert (held.paid, server.tasks()) == ([], ["opened", "completed"])


@LATER
def test_what_was_approved_elsewhere_goes_on_whoever_resumes_it(held: Held, later: bool) -> None:
    server = Server(held, later)
    (shown,) = asked(server.run(USER, SUBJECT))
    held.guard.approvals.approve(approval(shown), by=CAROL)
    server.run(Command(resume=APPROVE), "max@example.com")
    assert (held.paid, server.subjects()) == ([60], [SUBJECT, SUBJECT])


def test_what_has_run_out_is_asked_anew_in_its_task(held: Held) -> None:
    server = Server(held, later=False)
    server.run(USER, SUBJECT)
    held.clock.advance(held.guard.settings.approvals.expires_in * SECOND)  # type: ignore[attr-defined]
    assert len(asked(server.run(Command(resume=APPROVE), CAROL))) == 1
    server.run(Command(resume=APPROVE), CAROL)
    assert (held.paid, set(server.subjects())) == ([60], {SUBJECT})


@pytest.mark.parametrize(
    "given",
    [
        USER,
        Command(resume=APPROVE, update={"messages": [("user", "pay me")]}),
        Command(resume=APPROVE, goto="model"),
        None,
    ],
    ids=["new", "update", "goto", "nothing"],
)
def test_a_run_that_does_more_than_answer_is_in_nobody_elses_task(held: Held, given: Any) -> None:
    server = Server(held, later=False)
    (shown,) = asked(server.run(USER, SUBJECT))
    server.run(given, CAROL)
    assert set(server.subjects()[1:]) <= {CAROL}
    assert held.guard.approvals.get(approval(shown)).state == "pending"
    assert held.paid == []


def test_a_run_from_another_checkpoint_is_in_nobody_elses_task(held: Held) -> None:
    server = Server(held, later=False)
    server.run(USER, SUBJECT)
    config: Any = {"configurable": {"thread_id": "1"}}
    at = server.agent.get_state(config).config["configurable"]["checkpoint_id"]
    server.run(Command(resume=APPROVE), CAROL, checkpoint_id=at)
    assert server.subjects()[1:] == [CAROL]
    assert held.paid == []


def test_a_thread_whose_state_was_changed_is_in_nobody_elses_task(held: Held) -> None:
    server = Server(held, later=False)
    server.run(USER, SUBJECT)
    config: Any = {"configurable": {"thread_id": "1"}}
    server.agent.update_state(config, {"messages": [("user", "and 70 to me")]})
    server.run(Command(resume=APPROVE), CAROL)
    assert set(server.subjects()[1:]) <= {CAROL}
    assert held.paid == []


def test_a_thread_of_which_nothing_is_remembered_is_a_task_of_whoever_resumes_it(held: Held) -> None:
    """As after the server was started again."""
    server = Server(held, later=False)
    server.run(USER, SUBJECT)
    server.graph = held.hopward.entry(server.agent, approvals="interrupt")
    server.run(Command(resume=APPROVE), CAROL)
    assert server.subjects() == [SUBJECT, CAROL]
    assert held.paid == []


def test_a_task_that_has_ended_meanwhile_is_not_gone_on_with(held: Held) -> None:
    server = Server(held, later=False)
    server.run(USER, SUBJECT)
    (opened,) = held.rows("task")
    held.guard.revoke("task", opened.task, by="ana@example.com", why="wrong")
    server.run(Command(resume=APPROVE), CAROL)
    assert server.subjects() == [SUBJECT, CAROL]
    assert held.paid == []


@LATER
def test_unless_the_entry_lets_runs_wait_none_does(held: Held, later: bool) -> None:
    server = Server(held, later, waits=False)
    result = server.run(USER, SUBJECT)
    assert asked(result) == []
    assert "task ends with this run, so it cannot wait here" in result["messages"][-2].content


def test_an_entry_takes_no_other_way_of_treating_approvals(held: Held) -> None:
    with pytest.raises(ValueError, match='"refuse" or "interrupt"'):
        held.hopward.entry(Server(held, later=False).agent, approvals="ask")  # type: ignore[arg-type]
