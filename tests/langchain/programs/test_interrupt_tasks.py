"""How long a task lasts whose run waits for a person, and who goes on with it, in this process or another."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from hopward import NotFoundError, StateError

from .held import APPROVE, CONFIG, FileSaver, Held, asked
from .resumer import THREAD
from .till import SUBJECT, USER, calls, scripted

LARGE = ("pay", {"amount": 60})


def state(held: Held, task: str) -> str:
    return held.guard.task(task).state


def test_a_task_whose_run_waits_stays_open_and_is_gone_on_with(held: Held) -> None:
    run = held.agent(LARGE)
    with held.task() as task:
        shown = asked(run(USER))
    assert state(held, task.id) == "open"
    with held.hopward.resume(task.id) as again:
        assert again.id == task.id
        run(held.answer(shown, APPROVE))
    assert held.paid == [60]
    assert state(held, task.id) == "completed"


async def test_a_task_is_gone_on_with_asynchronously_as_well(held: Held) -> None:
    agent: Any = create_agent(
        scripted(calls(LARGE)),
        held.tools(later=True),
        middleware=[held.waits()],
        checkpointer=InMemorySaver(),
    )
    async with held.hopward.task(subject=SUBJECT) as task:
        shown = asked(await agent.ainvoke(USER, CONFIG))
    async with held.hopward.resume(task.id):
        await agent.ainvoke(held.answer(shown, APPROVE), CONFIG)
    assert (held.paid, state(held, task.id)) == ([60], "completed")


def test_a_task_that_is_resumed_too_early_waits_on(held: Held) -> None:
    run = held.agent(LARGE)
    with held.task() as task:
        run(USER)
    with held.hopward.resume(task.id):
        shown = asked(run(Command(resume=APPROVE)))
    assert state(held, task.id) == "open"
    with held.hopward.resume(task.id):
        run(held.answer(shown, APPROVE))
    assert (held.paid, state(held, task.id)) == ([60], "completed")


def test_a_task_ends_with_its_block_where_nothing_waits_any_more(held: Held) -> None:
    run = held.agent(LARGE)
    with held.task() as task:
        run(held.answer(asked(run(USER)), APPROVE))
    assert state(held, task.id) == "completed"


def test_a_task_ends_with_its_block_where_the_question_has_run_out(held: Held) -> None:
    run = held.agent(LARGE)
    with held.task() as task:
        (shown,) = asked(run(USER))
        held.guard.approvals.reject(shown.value["hopward"]["approval"], by=SUBJECT, why="no")
    assert state(held, task.id) == "completed"


def test_a_task_ends_with_an_error_although_a_run_waits(held: Held) -> None:
    scope = held.hopward.task(subject=SUBJECT)
    task = scope.__enter__()
    held.agent(LARGE)(USER)
    scope.__exit__(RuntimeError, RuntimeError("broken"), None)
    assert state(held, task.id) == "completed"


def test_only_a_task_that_is_open_is_gone_on_with(held: Held) -> None:
    with held.task() as task:
        pass
    with pytest.raises(StateError, match="is completed"), held.hopward.resume(task.id):
        pass
    with pytest.raises(NotFoundError), held.hopward.resume("task_none"):
        pass
    with (
        held.task() as other,
        pytest.raises(StateError, match="nothing inside it opens another"),
        held.hopward.resume(other.id),
    ):
        pass


def test_runs_that_are_resumed_side_by_side_make_the_call_once(held: Held) -> None:
    agent: Any = create_agent(
        scripted(calls(LARGE)), held.tools(), middleware=[held.waits()], checkpointer=InMemorySaver()
    )
    with held.task():
        shown = asked(agent.invoke(USER, CONFIG))
        resume, before = held.answer(shown, APPROVE), agent.get_state(CONFIG).config
        with ThreadPoolExecutor(4) as pool:
            runs = [pool.submit(copy_context().run, agent.invoke, resume, before) for _ in range(4)]
        results = [one.result() for one in runs]
    assert held.paid == [60]
    made = [one["messages"][-2].content for one in results if not asked(one)]
    assert made.count("paid 60") == 1
    assert held.verdicts().count("permit") == 1


def elsewhere(held: Held, task: str, count: int) -> list[dict[str, Any]]:
    """What so many processes come to that resume the run at the same time."""
    command = [sys.executable, "-m", f"{__package__}.resumer", str(held.folder), task]
    above = Path(__file__).parents[__package__.count(".") + 1]
    started = [subprocess.Popen(command, cwd=above, stdout=subprocess.PIPE, text=True) for _ in range(count)]
    told = [one.communicate()[0] for one in started]
    return [json.loads(text.splitlines()[-1]) for text in told if text]


def interrupted(held: Held) -> tuple[str, list[Any]]:
    """A task with a run that waits, and what it has asked; its checkpoints are in a file."""
    saver = FileSaver(held.folder / THREAD)
    run = held.agent(LARGE, checkpointer=saver)
    with held.task() as task:
        shown = asked(run(USER))
    saver.save()
    return task.id, shown


def test_another_process_goes_on_with_what_was_approved_in_this_one(held: Held) -> None:
    task, shown = interrupted(held)
    held.answer(shown, APPROVE)
    assert elsewhere(held, task, 1) == [{"paid": [60], "asked": 0}]
    assert state(held, task) == "completed"
    assert held.verdicts() == ["step-up", "permit"]


def test_another_process_gets_nothing_done_that_nobody_has_approved(held: Held) -> None:
    task, _ = interrupted(held)
    assert elsewhere(held, task, 1) == [{"paid": [], "asked": 1}]
    assert state(held, task) == "open"


def test_processes_that_resume_one_checkpoint_make_the_call_once(held: Held) -> None:
    task, shown = interrupted(held)
    held.answer(shown, APPROVE)
    came = elsewhere(held, task, 2)
    assert sorted(one for came_to in came for one in came_to["paid"]) == [60]
    assert held.verdicts().count("permit") == 1
