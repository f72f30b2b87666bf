"""A part is down while a stdio session runs, or when it is to begin: what happens then, one test per failure.

docs/security/failure-table.md names these tests.
"""

import shutil
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from .conftest import Connect
from .gate import Gate
from .project import HOPWARD, Project
from .running import PATIENCE, Running
from .served import free_port
from .wire import Body, Wire, refusal, told

ROOT_STEPS_DOWN = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
"""File permissions mean nothing to root; with this in front of a command they do."""


@pytest.fixture
def gate(project: Project) -> Iterator[Gate]:
    with closing(Gate(project.folder)) as gate:
        yield gate


@contextmanager
def locked(project: Project) -> Iterator[None]:
    """Another process has the decision log's write lock and does not let go of it."""
    with closing(sqlite3.connect(project.log, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


def not_started(project: Project, *before: str) -> tuple[int, str]:
    """Exit status and words of a `hopward mcp run` that must not start; its standard output stays empty."""
    started = Running([*before, str(HOPWARD), "mcp", "run", "recorder"], project.folder, talks=True)
    try:
        status = started.over()
        assert started.stdout.read() == b""
        assert "Traceback" not in started.said
    finally:
        started.end()
    assert project.received() == []
    return status, started.said


def undecided(answer: Body) -> bool:
    """Whether a call was refused because no decision could be reached."""
    decision = refusal(answer)
    return (decision["id"], decision["reason"]) == ("", "undecided")


def until_refused(wire: Wire, tool: str, reason: str) -> Body:
    """Call a tool until it is refused for this reason, which must come."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        answer = wire.call(tool)
        if answer["result"].get("isError") and refusal(answer)["reason"] == reason:
            return refusal(answer)
    raise AssertionError(f"{tool} is not refused for {reason}")


def test_a_locked_log_refuses_calls_until_the_lock_is_gone(connect: Connect, project: Project) -> None:
    wire = connect()
    told(wire.call("note"))
    with locked(project):
        assert undecided(wire.call("note"))
    assert len(project.calls_received()) == 1
    assert "decision" in told(wire.call("note"))
    assert "locked" in wire.said


def test_a_full_disk_refuses_calls_until_there_is_room_again(connect: Connect, project: Project) -> None:
    wire = connect()
    told(wire.call("note"))
    with wire.disk_full():
        assert undecided(wire.call("note"))
        assert undecided(wire.call("change"))
    assert len(project.calls_received()) == 1
    assert "decision" in told(wire.call("note"))


def test_a_full_disk_withholds_the_result_of_a_call_that_was_permitted_before(
    connect: Connect, project: Project, gate: Gate
) -> None:
    wire = connect()
    wire.request("tools/call", {"name": "gated", "arguments": {}})
    gate.reached()
    with wire.disk_full():
        gate.open()
        answer = wire.read()
    assert "result" not in answer
    assert "could not be recorded" in answer["error"]["message"]
    (claims,) = project.calls_received()
    assert set(project.decision(claims["decision"])) == {"decision", "credential"}
    assert "decision" in told(wire.call("note"))


def test_a_deleted_log_refuses_every_further_call(connect: Connect, project: Project) -> None:
    wire = connect()
    project.log.unlink()
    assert undecided(wire.call("note"))
    assert not project.log.exists()
    assert project.calls_received() == []


def test_a_log_replaced_by_an_older_copy_refuses_every_further_call(
    connect: Connect, project: Project
) -> None:
    copy = project.folder / "copy.db"
    shutil.copy(project.log, copy)
    wire = connect()
    copy.replace(project.log)
    assert undecided(wire.call("note"))
    assert project.calls_received() == []


@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_read_only_log_refuses_to_start(project: Project, what: str) -> None:
    path, mode = (project.log, 0o400) if what == "file" else (project.log.parent, 0o500)
    path.chmod(mode)
    try:
        status, said = not_started(project, *ROOT_STEPS_DOWN)
    finally:
        path.chmod(0o700)
    assert status == 1
    assert "write permission" in said


def test_a_missing_log_refuses_to_start_and_is_not_made_anew(project: Project) -> None:
    project.log.unlink()
    status, said = not_started(project)
    assert status == 1
    assert "decisions.db" in said
    assert not project.log.exists()


def test_a_row_deleted_behind_its_back_is_found_by_verify(connect: Connect, project: Project) -> None:
    wire = connect()
    told(wire.call("note"))
    with closing(sqlite3.connect(project.log, isolation_level=None)) as connection:
        for name in ("updated", "deleted", "replaced"):
            connection.execute(f"DROP TRIGGER IF EXISTS log_is_never_{name}")
        connection.execute("DELETE FROM log WHERE seq = 2")
    assert "does NOT verify" in project.hopward("log", "verify", status=1)


def test_a_broken_policy_leaves_the_old_set_in_force_and_a_mended_one_takes_over(
    connect: Connect, project: Project
) -> None:
    wire = connect()
    own = project.folder / "policies" / "own.cedar"
    own.write_text('@id("none")\nforbid (principal, action resource);\n', "utf-8")
    until = time.monotonic() + 1
    while time.monotonic() < until:
        told(wire.call("note"))
        assert refusal(wire.call("erase"))["reason"] == "outside_task"
    own.write_text('@id("none")\n@reason("Closed today.")\nforbid (principal, action, resource);\n', "utf-8")
    assert "Closed today." in until_refused(wire, "note", "forbidden")["text"]


def test_a_policy_folder_that_vanishes_leaves_the_old_set_in_force(
    connect: Connect, project: Project
) -> None:
    wire = connect()
    shutil.rmtree(project.folder / "policies")
    until = time.monotonic() + 1
    while time.monotonic() < until:
        told(wire.call("note"))
    assert refusal(wire.call("erase"))["reason"] == "outside_task"


def test_without_policies_nothing_starts(project: Project) -> None:
    for policy in (project.folder / "policies").glob("*.cedar"):
        policy.unlink()
    status, said = not_started(project)
    assert status == 2
    assert "polic" in said


@pytest.mark.parametrize("name", ["authority.json", "proxy.json"])
def test_a_missing_key_refuses_to_start(project: Project, name: str) -> None:
    (project.folder / ".hopward" / "keys" / name).unlink()
    status, said = not_started(project)
    assert status == 2
    assert name in said


@pytest.mark.parametrize("name", ["authority.json", "proxy.json", "."])
def test_a_key_that_its_group_may_read_refuses_to_start(project: Project, name: str) -> None:
    path = project.folder / ".hopward" / "keys" / name
    path.chmod(path.stat().st_mode | 0o040)
    status, said = not_started(project)
    assert status == 2
    assert "chmod go=" in said


def test_a_key_that_vanishes_refuses_calls_until_it_is_back(connect: Connect, project: Project) -> None:
    wire = connect()
    key = project.folder / ".hopward" / "keys" / "authority.json"
    key.rename(project.folder / "away.json")
    answer = refusal(wire.call("note"))
    assert answer["reason"] == "no_credential"
    assert project.calls_received() == []
    assert "Traceback" not in wire.said
    (project.folder / "away.json").rename(key)
    assert "decision" in told(wire.call("note"))
    outcome = project.decision(answer["id"])["outcome"].record["outcome"]
    assert (outcome["status"], outcome["error"]) == ("error", "no_credential config_invalid")


def test_a_remote_authority_that_mints_nothing_refuses_calls(connect: Connect, project: Project) -> None:
    remote = f'mode = "remote"\ntoken_endpoint = "http://127.0.0.1:{free_port()}/token"\n'
    project.change("[authority]\n", f"[authority]\n{remote}")
    wire = connect()
    answer = refusal(wire.call("note"))
    assert answer["reason"] == "no_credential"
    assert wire.leave() == 0
    outcome = project.decision(answer["id"])["outcome"].record["outcome"]
    assert outcome["error"] == "no_credential authority_unreachable"
    assert project.calls_received() == []


def test_a_server_that_crashes_in_a_call_is_answered_for_and_started_again(
    connect: Connect, project: Project
) -> None:
    wire = connect()
    answer = wire.call("die")
    assert "status 9" in answer["error"]["message"]
    assert wire.read()["method"] == "notifications/tools/list_changed"
    assert "decision" in told(wire.call("note"))
    died, _ = project.calls_received()
    assert project.decision(died["decision"])["outcome"].reason == "unknown"


def test_a_server_that_is_not_to_be_started_again_ends_the_session(
    connect: Connect, project: Project
) -> None:
    project.change("call_timeout_seconds = 50", "restarts = 0")
    wire = connect()
    task = wire.task
    wire.call("die")
    assert wire.over() == 1
    assert "hopward: the server exited with status 9\n" in wire.said
    assert project.kinds(task)[-1] == ("task", "completed")


def test_a_server_that_never_answers_is_given_up_after_the_time_limit(
    connect: Connect, project: Project
) -> None:
    project.change("call_timeout_seconds = 50", "call_timeout_seconds = 1")
    wire = connect()
    answer = wire.call("silent")
    assert answer["error"]["code"] == -32001
    (claims,) = project.calls_received()
    assert project.decision(claims["decision"])["outcome"].reason == "unknown"
    assert "decision" in told(wire.call("note"))


def test_an_answer_that_is_no_json_is_replaced_by_an_error(connect: Connect, project: Project) -> None:
    wire = connect()
    answer = wire.call("garble")
    assert "malformed" in answer["error"]["message"]
    (claims,) = project.calls_received()
    assert project.decision(claims["decision"])["outcome"].reason == "error"
    assert "decision" in told(wire.call("note"))


def test_a_server_that_cannot_be_started_is_named_and_its_task_is_completed(project: Project) -> None:
    text = project.config.read_text("utf-8")
    project.config.write_text(text.replace('command = ["', 'command = ["/nowhere'), "utf-8")
    status, said = not_started(project)
    assert status == 2
    assert "/nowhere" in said
    assert [row.reason or row.record["event"] for row in project.rows(kind="task")] == ["opened", "completed"]


def test_a_missing_api_key_refuses_to_start(project: Project) -> None:
    project.change(
        'credential = { by = "meta" }',
        'credential = { by = "variable", name = "API_KEY", environment = "NO_SUCH_VARIABLE" }',
    )
    status, said = not_started(project)
    assert status == 2
    assert "NO_SUCH_VARIABLE" in said


def test_a_task_whose_time_is_over_refuses_its_next_call(connect: Connect, project: Project) -> None:
    project.change("expires_in = 3600", "expires_in = 2")
    wire = connect()
    assert until_refused(wire, "note", "task_expired")["verdict"] == "deny"
    received = len(project.calls_received())
    assert refusal(wire.call("note"))["reason"] == "task_expired"
    assert len(project.calls_received()) == received
    assert wire.ask("tools/list")["result"]["tools"] == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda n: n.name)
def test_a_signal_ends_the_session_and_completes_its_task(
    connect: Connect, project: Project, number: signal.Signals
) -> None:
    wire = connect()
    told(wire.call("note"))
    wire.process.send_signal(number)
    assert wire.over() == 0
    assert project.kinds(wire.task)[-1] == ("task", "completed")


def test_a_client_that_leaves_in_a_call_leaves_no_call_without_an_outcome(
    connect: Connect, project: Project, gate: Gate
) -> None:
    wire = connect()
    wire.request("tools/call", {"name": "gated", "arguments": {}})
    gate.reached()
    wire.stdin.close()
    gate.open()
    assert wire.over() == 0
    (claims,) = project.calls_received()
    assert project.decision(claims["decision"])["outcome"].reason == "ok"
    assert project.kinds(wire.task)[-1] == ("task", "completed")
