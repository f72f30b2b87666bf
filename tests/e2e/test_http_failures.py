"""A part is down while the HTTP proxy runs, or when it is to begin: what happens then, one test per failure.

docs/security/failure-table.md names these tests.
"""

import signal
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from .gate import Gate
from .project import HOPWARD, Project, recorded_at
from .running import Running
from .served import Caller, Serve, ended, free_port, served
from .wire import refusal, told


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    with served(tmp_path) as project:
        yield project


@pytest.fixture
def started() -> Iterator[ExitStack]:
    """Everything put here has ended when the test has."""
    with ExitStack() as started:
        yield started


def called(project: Project, started: ExitStack) -> Caller:
    """A caller with a token of a new task."""
    return started.enter_context(closing(Caller(project.endpoint(), project.token(project.open_task()))))


def test_a_full_disk_refuses_calls_over_http_until_there_is_room_again(
    project: Project, started: ExitStack
) -> None:
    serve = started.enter_context(ended(Serve(project)))
    caller = called(project, started)
    told(caller.call("note"))
    with serve.disk_full():
        assert refusal(caller.call("note"))["reason"] == "undecided"
    assert len(project.calls_received()) == 1
    assert "decision" in told(caller.call("note"))


def test_a_full_disk_withholds_a_result_over_http(project: Project, started: ExitStack) -> None:
    gate = started.enter_context(closing(Gate(project.folder)))
    serve = started.enter_context(ended(Serve(project)))
    caller = called(project, started)
    caller.begin("gated")
    gate.reached()
    with serve.disk_full():
        gate.open()
        answer = caller.answer()
    assert "result" not in answer
    assert "could not be recorded" in answer["error"]["message"]


def test_a_server_that_is_not_there_is_told_as_such_and_the_call_was_not_sent(
    tmp_path: Path, started: ExitStack
) -> None:
    project = recorded_at(tmp_path, f"http://127.0.0.1:{free_port()}/mcp")
    project.listen_at(free_port())
    started.enter_context(ended(Serve(project)))
    caller = called(project, started)
    assert "cannot be reached" in caller.call("note")["error"]["message"]
    (outcome,) = project.rows(kind="outcome")
    assert (outcome.reason, outcome.record["outcome"]["error"]) == ("error", "not_sent")


def test_a_server_that_crashes_in_a_call_over_http_leaves_an_unknown_outcome(
    project: Project, started: ExitStack
) -> None:
    started.enter_context(ended(Serve(project)))
    caller = called(project, started)
    assert "broke" in caller.call("die")["error"]["message"]
    (outcome,) = project.rows(kind="outcome")
    assert outcome.reason == "unknown"
    assert "cannot be reached" in caller.call("note")["error"]["message"]


def test_a_server_that_never_answers_over_http_is_given_up_after_the_time_limit(
    project: Project, started: ExitStack
) -> None:
    project.change("call_timeout_seconds = 50", "call_timeout_seconds = 1")
    started.enter_context(ended(Serve(project)))
    caller = called(project, started)
    assert caller.call("silent")["error"]["code"] == -32001
    (outcome,) = project.rows(kind="outcome")
    assert outcome.reason == "unknown"
    assert "decision" in told(caller.call("note"))


def test_an_answer_over_http_that_is_no_json_is_replaced_by_an_error(
    project: Project, started: ExitStack
) -> None:
    started.enter_context(ended(Serve(project)))
    caller = called(project, started)
    assert "malformed" in caller.call("garble")["error"]["message"]
    assert "decision" in told(caller.call("note"))


def test_a_completed_task_and_a_revoked_agent_refuse_the_next_call_on_an_open_connection(
    project: Project, started: ExitStack
) -> None:
    started.enter_context(ended(Serve(project)))
    task = project.open_task()
    first = started.enter_context(closing(Caller(project.endpoint(), project.token(task))))
    second = called(project, started)
    told(first.call("note"))
    project.hopward("task", "complete", task)
    assert refusal(first.call("note"))["reason"] == "task_completed"
    told(second.call("note"))
    project.hopward("revoke", "agent", "tester", "--why", "a test")
    assert refusal(second.call("note"))["reason"] == "agent_revoked"
    assert len(project.calls_received()) == 2


def test_a_call_under_way_is_answered_when_the_proxy_is_told_to_end(
    project: Project, started: ExitStack
) -> None:
    gate = started.enter_context(closing(Gate(project.folder)))
    serve = started.enter_context(ended(Serve(project)))
    caller = called(project, started)
    caller.begin("gated")
    gate.reached()
    serve.process.send_signal(signal.SIGTERM)
    gate.open()
    decision = told(caller.answer())["decision"]
    assert serve.over() == 0
    assert set(project.decision(decision)) == {"decision", "credential", "outcome"}


def test_a_typo_is_named_with_its_line_and_nothing_is_served(project: Project, started: ExitStack) -> None:
    project.change('workflow = "trying"', 'workflwo = "trying"')
    serve = started.enter_context(ended(Running([str(HOPWARD), "mcp", "serve"], project.folder, talks=True)))
    assert serve.over() == 2
    assert serve.stdout.read() == b""
    assert "servers.recorder.workflwo" in serve.said


def test_an_address_that_is_taken_is_told_as_such(project: Project, started: ExitStack) -> None:
    started.enter_context(ended(Serve(project)))
    second = started.enter_context(ended(Running([str(HOPWARD), "mcp", "serve"], project.folder)))
    assert second.over() == 2
    assert "cannot listen" in second.said
    assert "Unclosed" not in second.said
