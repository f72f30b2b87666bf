"""`with hopward.task(...)`: authority for what happens inside, on somebody's behalf, and nothing after it."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from contextvars import copy_context
from pathlib import Path
from typing import Any

import pytest

from hopward import ConfigError, NotFoundError, StateError
from hopward.clock import SECOND
from langchain_hopward import AuthorizationDenied, Hopward

from .till import SUBJECT, Till


def test_a_task_is_opened_for_its_subject_and_completed_at_the_end(till: Till) -> None:
    with till.hopward.task(subject=SUBJECT, workflow="refund") as task:
        assert (task.subject, task.agent, till.guard.task(task.id).state) == (SUBJECT, "assistant", "open")
    assert till.guard.task(task.id).state == "completed"


def test_a_task_is_completed_after_an_error_too_and_the_error_goes_on(till: Till) -> None:
    scope = till.hopward.task(subject=SUBJECT)
    with pytest.raises(ZeroDivisionError), scope as task:
        raise ZeroDivisionError
    assert till.guard.task(task.id).state == "completed"


async def test_a_task_can_be_entered_asynchronously(till: Till) -> None:
    (pay,) = till.hopward.protect([till.async_tool()])
    async with till.hopward.task(subject=SUBJECT) as task:
        await pay.ainvoke({"amount": 1})
    assert till.guard.task(task.id).state == "completed"
    assert till.paid == [1]


@pytest.mark.parametrize("protected", [True, False], ids=["protected", "installed"])
def test_a_call_outside_any_task_is_refused_and_recorded(till: Till, protected: bool) -> None:
    pay: Any = till.hopward.protect([till.sync_tool()])[0] if protected else till.sync_tool()
    till.hopward.install()
    with till.task():
        pass
    with pytest.raises(PermissionError, match="outside any task") as caught:
        pay.invoke({"amount": 1})
    assert till.paid == []
    assert isinstance(caught.value, AuthorizationDenied)
    assert (caught.value.reason, caught.value.decision) == ("no_task", "")
    assert "refused again" not in caught.value.message
    (row,) = till.rows("refusal")
    assert (row.server, row.reason) == ("app", "no_task")
    assert row.record["sentence"].startswith("pay: ")


def test_a_raw_thread_inside_a_task_has_no_authority(till: Till) -> None:
    (pay,) = till.hopward.protect([till.sync_tool()])
    refused: list[str] = []

    def attempt() -> None:
        try:
            pay.invoke({"amount": 1})
        except AuthorizationDenied as denial:
            refused.append(denial.reason)

    with till.task():
        thread = threading.Thread(target=attempt)
        thread.start()
        thread.join()
        with ThreadPoolExecutor() as pool:
            pool.submit(attempt).result()
        asyncio.run(_in_executor(attempt))
    assert refused == ["no_task"] * 3
    assert till.paid == []


async def _in_executor(attempt: Any) -> None:
    await asyncio.get_running_loop().run_in_executor(None, attempt)


async def test_two_tasks_side_by_side_do_not_see_each_others_authority(till: Till) -> None:
    (pay,) = till.hopward.protect([till.async_tool()])
    both_open = asyncio.Barrier(2)

    async def work(subject: str) -> None:
        async with till.hopward.task(subject=subject):
            await both_open.wait()
            await pay.ainvoke({"amount": 1})
            await both_open.wait()

    await asyncio.gather(work("ines@example.com"), work("omar@example.com"))
    subjects = [row.record["chain"]["subject"] for row in till.rows("decision")]
    assert sorted(subjects) == ["ines@example.com", "omar@example.com"]


def test_nothing_inside_a_task_opens_another(till: Till) -> None:
    (pay,) = till.hopward.protect([till.sync_tool()])
    with till.task() as task:
        for hopward in (till.hopward, Hopward(till.guard)):
            with pytest.raises(StateError, match=f"Task {task.id} is under way here"):
                hopward.task(subject="mallory@example.com").__enter__()
        pay.invoke({"amount": 2})
    with till.task():
        pay.invoke({"amount": 3})
    assert till.verdicts() == ["permit", "permit"]


def test_generators_with_tasks_of_their_own_do_not_mix_in_one_context(till: Till) -> None:
    (pay,) = till.hopward.protect([till.sync_tool()])

    def serve(subject: str) -> Iterator[str]:
        with till.hopward.task(subject=subject):
            yield pay.invoke({"amount": 1})
            yield pay.invoke({"amount": 2})

    first, second = serve("ines@example.com"), serve("omar@example.com")
    next(first)
    with pytest.raises(StateError, match="under way here"):
        next(second)
    list(first)
    assert {row.record["chain"]["subject"] for row in till.rows("decision")} == {"ines@example.com"}
    assert list(serve("omar@example.com")) == ["paid 1", "paid 2"]


@pytest.mark.parametrize("how", ["revoked", "expired", "completed"])
def test_a_task_that_ends_inside_its_block_refuses_the_next_call(till: Till, how: str) -> None:
    (pay,) = till.hopward.protect([till.sync_tool()])
    with till.task() as task:
        pay.invoke({"amount": 1})
        if how == "revoked":
            till.guard.revoke("task", task.id, by="ana", why="a test")
        elif how == "expired":
            till.clock.advance(3601 * SECOND)
        else:
            till.guard.complete_task(task.id)
        with pytest.raises(PermissionError):
            pay.invoke({"amount": 2})
    assert till.paid == [1]
    assert till.guard.task(task.id).state == how


def test_a_chain_that_outlives_its_task_reaches_nothing(till: Till) -> None:
    (pay,) = till.hopward.protect([till.sync_tool()])

    def steps() -> Any:
        with till.task():
            yield pay.invoke({"amount": 1})
        yield None

    running = steps()
    next(running)
    pay.invoke({"amount": 2})
    next(running)
    with pytest.raises(PermissionError):
        pay.invoke({"amount": 3})
    assert till.paid == [1, 2]


def test_a_task_ended_from_another_context_leaves_no_authority_behind(till: Till) -> None:
    (pay,) = till.hopward.protect([till.sync_tool()])
    scope = till.task()
    scope.__enter__()
    with ThreadPoolExecutor() as pool:
        pool.submit(scope.__exit__, None, None, None).result()
    with pytest.raises(PermissionError):
        pay.invoke({"amount": 1})
    assert till.paid == []


def test_a_task_is_entered_once_only(till: Till) -> None:
    scope = till.task()
    with scope, pytest.raises(StateError, match="entered before"):
        scope.__enter__()


def test_an_unknown_workflow_and_a_blank_subject_open_no_task(till: Till) -> None:
    with pytest.raises(NotFoundError), till.hopward.task(subject=SUBJECT, workflow="other"):
        pass
    with pytest.raises(StateError), till.hopward.task(subject=" "):
        pass


def test_what_is_still_under_way_when_its_task_ends_has_an_unknown_outcome(till: Till) -> None:
    entered, leave = threading.Event(), threading.Event()

    def work() -> None:
        entered.set()
        leave.wait()

    (ask,) = till.hopward.protect([till.tool("ask", work)])
    with till.task(), ThreadPoolExecutor() as pool:
        running = pool.submit(copy_context().run, ask.invoke, {})
        entered.wait()
        till.hopward._enforcer.abandon(till.rows("decision")[0].task)
        leave.set()
        running.result()
    assert till.outcomes() == ["unknown"]


def changed(till: Till, old: str, new: str) -> Path:
    path = till.guard.settings.root / "hopward.toml"
    path.write_text(path.read_text().replace(old, new))
    return path


def test_without_a_workflow_anywhere_no_task_can_be_opened(till: Till) -> None:
    hopward = Hopward.open(changed(till, 'workflow = "refund"\n', ""))
    with closing(hopward), pytest.raises(ConfigError, match="names no workflow"):
        hopward.task(subject=SUBJECT)


def test_which_server_the_tools_belong_to_must_be_clear(till: Till) -> None:
    second = '[servers.other]\nin_process = true\nresource = "urn:x:o"\ncredential = { by = "context" }\n'
    remote = '[servers.far]\nurl = "https://x.example/"\nresource = "urn:x:f"\ncredential = { by = "meta" }\n'
    path = changed(till, "[servers.app]\n", f"{second}{remote}[servers.app]\n")
    with pytest.raises(ConfigError, match="app, other"):
        Hopward.open(path)
    with pytest.raises(ConfigError, match="no server 'far' with in_process"):
        Hopward.open(path, server="far")
    opened = Hopward.open(path, server="other")
    assert opened.server == "other"
    opened.close()


def test_a_task_is_for_the_agent_that_its_workflow_names(till: Till) -> None:
    with till.hopward.task(subject=SUBJECT, agent="assistant") as task:
        assert task.agent == "assistant"
    with pytest.raises(ConfigError, match="for agent assistant, not for cashier") as refused:
        till.hopward.task(subject=SUBJECT, workflow="refund", agent="cashier")
    assert refused.value.advice == "Workflows of cashier: none"


@pytest.mark.parametrize("subject", [None, 7, ""], ids=repr)
def test_a_task_of_nobody_is_refused_with_a_sentence(till: Till, subject: Any) -> None:
    with pytest.raises(StateError, match="A task needs a subject"), till.hopward.task(subject=subject):
        pass
    assert till.rows("task") == []
