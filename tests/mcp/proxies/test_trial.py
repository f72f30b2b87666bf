"""`hopward mcp try`: one real call through the proxy's own path."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from hopward import TokenError
from hopward_mcp.arguments import split
from hopward_mcp.attempt import Attempt, Wanted, attempted
from hopward_mcp.opening import Opening

from .installation import http_server, install, opened, started, stdio_server
from .offering import entry, installed, offering, run, stdio
from .recording_http import RecordingServer
from .remoting import free_port, remote, serving

QUIET = """
[workflows.quiet]
agent = "assistant"
purpose = "Nothing of notes"
expires_in = 60
budget = { calls = 1, writes = 0 }
capabilities = [{ tools = ["notes/x"], actions = ["read"], sensitivity = "public", destinations = ["desk"] }]
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    typed = 'arguments = { title = "string", count = "integer" }\n'
    return installed(
        tmp_path,
        stdio("notes", "good", "read_note", "read_badly", "write_note"),
        entry("notes", "read_note", arguments=typed),
        entry("notes", "read_badly"),
        QUIET,
    )


def logged(config: Path) -> list[tuple[str, str]]:
    """Kind and verdict, or event, of each row but those of the start and of what the tools are."""
    with opened(config) as guard:
        rows = [(row.kind, row.verdict or row.record.get("event", "")) for row in guard.ledger.rows()]
    return [row for row in rows[::-1][2:] if row[0] != "pin"]


def tried(config: Path, *line: str, status: int = 0) -> dict[str, Any]:
    done = run(config, "mcp", "try", "--json", *line)
    assert done.returncode == status, done.stderr
    return json.loads(done.stdout)


async def over_http(config: Path, tool: str, *words: str) -> Attempt:
    return await attempted(config, Wanted("desk", tool, split(words), Opening("", "ana")))


def test_a_permitted_call_is_made_and_everything_about_it_is_in_the_log(config: Path) -> None:
    found = tried(config, "notes", "read_note", "title=5", "count=5")
    assert found["call"]["arguments"] == {"title": "5", "count": 5}
    assert (found["verdict"]["name"], found["verdict"]["policies"]) == ("permit", ["within-task"])
    assert found["credential"]["audience"] == "urn:example:notes"
    assert found["outcome"]["status"] == "ok"
    assert json.loads(found["result"]["content"][0]["text"])["arguments"] == {"title": "5", "count": 5}
    assert logged(config) == [
        ("task", "opened"),
        ("decision", "permit"),
        ("credential", ""),
        ("outcome", ""),
        ("task", "completed"),
    ]


def test_the_decision_is_explained_before_the_result(config: Path) -> None:
    done = run(config, "mcp", "try", "notes", "read_note", "title=a", "--subject", "ana")
    shown = {line.split()[0]: line for line in done.stdout.split("\n\n")[0].splitlines()}
    assert done.returncode == 0
    assert 'notes/read_note {"title": "a"}' in shown["call"]
    assert "(tickets), ana -> assistant" in shown["task"]
    assert "read with notes/*; up to internal; at desk" in shown["bound"]
    assert "1000 of 1000 calls, 100 of 100 writes" in shown["left"]
    assert "permit (permitted)" in shown["verdict"]
    decision = shown["decision"].split()[1]
    assert f"hopward log show {decision}" in done.stderr
    assert run(config, "log", "show", decision).returncode == 0


def test_a_refused_call_never_reaches_the_server_and_says_why(config: Path) -> None:
    done = run(config, "mcp", "try", "notes", "write_note", "title=a")
    assert done.returncode == 1
    assert "deny (tool_unclassified)" in done.stdout
    assert "hopward mcp classify notes" in done.stderr
    assert logged(config) == [("task", "opened"), ("decision", "deny"), ("task", "completed")]


def test_another_workflow_bounds_the_call_instead_of_the_servers_own(config: Path) -> None:
    found = tried(config, "notes", "read_note", "--workflow", "quiet", status=1)
    assert (found["workflow"], found["verdict"]["reason"]) == ("quiet", "outside_task")
    assert found["credential"] is found["outcome"] is None


def test_a_tool_that_fails_is_permitted_and_ends_with_status_one(config: Path) -> None:
    found = tried(config, "notes", "read_badly", status=1)
    assert (found["verdict"]["name"], found["outcome"]["status"]) == ("permit", "tool_error")
    assert found["result"]["isError"] is True


def test_arguments_that_the_tool_cannot_take_open_no_task(config: Path) -> None:
    for word, told in (("titel=a", "did you mean 'title'"), ("count=many", "is not a whole number")):
        done = run(config, "mcp", "try", "notes", "read_note", word)
        assert done.returncode == 2
        assert told in done.stderr
    assert logged(config) == []


def test_arguments_that_cannot_be_read_open_no_task(config: Path) -> None:
    assert run(config, "mcp", "try", "notes", "read_note", "title=a", "title=b").returncode == 2
    assert logged(config) == []


def test_a_server_that_crashes_or_cannot_be_started_is_told_and_its_task_completed(tmp_path: Path) -> None:
    missing = offering("missing", 'command = ["no-such-program"]')
    config = installed(tmp_path, stdio("crashed", "crash"), missing, entry("crashed", "read_note"))
    crashed = run(config, "mcp", "try", "crashed", "read_note")
    assert crashed.returncode == 1
    assert "The server crashed exited with status 1." in crashed.stderr
    absent = run(config, "mcp", "try", "missing", "read_note")
    assert absent.returncode == 2
    assert "'no-such-program' cannot be started" in absent.stderr
    # The client tries the older way too, and the server is just being started again then.
    assert [event for _, event in logged(config) if event != "deny"] == ["opened", "completed"] * 2


def test_an_unknown_server_is_told_alike_with_the_nearest_and_the_known_ones(config: Path) -> None:
    told: set[str] = set()
    for words in (["try", "note", "read_note"], ["run", "note"], ["classify", "note"]):
        done = run(config, "mcp", *words)
        assert done.returncode == 2
        told.add(done.stderr)
    assert len(told) == 1
    assert "There is no server 'note' in hopward.toml; did you mean 'notes'?" in min(told)
    assert "Configured: notes" in min(told)


def test_a_result_does_not_reach_the_terminal_as_it_is(config: Path) -> None:
    done = run(config, "mcp", "try", "notes", "read_note", "title=\x1b[2J\u202e")
    assert done.returncode == 0
    assert "\x1b" not in done.stdout
    assert "\u202e" not in done.stdout


async def test_a_server_over_http_is_called_through_the_front(tmp_path: Path) -> None:
    async with RecordingServer() as server:
        config = install(tmp_path, http_server(server.url))
        found = await over_http(config, "echo", "region=north")
        (call,) = server.calls
        assert (call.header("authorization") or "").startswith("Bearer ")
    assert found.went_well
    assert found.records["credential"]["credential"]["audience"] == "urn:example:desk"
    assert found.result is not None
    assert found.result["content"][0]["text"] == '{"region": "north"}'


async def test_a_call_refused_over_http_does_not_reach_the_server(tmp_path: Path) -> None:
    async with RecordingServer() as server:
        config = install(tmp_path, http_server(server.url))
        found = await over_http(config, "hidden")
        assert server.calls == []
    assert (found.permitted, found.went_well) == (False, False)
    assert found.records["decision"]["verdict"]["reason"] == "outside_task"


def test_where_the_authority_is_remote_a_stdio_server_is_called_with_its_credential(tmp_path: Path) -> None:
    authority = remote(free_port())
    config = install(tmp_path, stdio("notes", "good") + entry("notes", "read_note"), authority=authority)
    with serving(config):
        found = tried(config, "notes", "read_note")
    assert (found["credential"]["kind"], found["outcome"]["status"]) == ("exchanged", "ok")


async def test_where_the_authority_is_remote_no_token_for_an_endpoint_is_made_here(tmp_path: Path) -> None:
    config = install(tmp_path, http_server("http://127.0.0.1:9/mcp"), authority=remote(free_port()))
    with pytest.raises(TokenError, match="No token for 'desk'"):
        await over_http(config, "echo")


def test_a_call_that_kills_the_server_is_recorded_as_lost(tmp_path: Path) -> None:
    config = install(tmp_path, stdio_server(tmp_path / "record"))
    found = tried(config, "desk", "die", status=1)
    assert (found["verdict"]["name"], found["outcome"]["status"]) == ("permit", "unknown")
    assert found["result"] is None
    assert "exited with status 3" in found["error"]


def test_the_servers_own_error_is_told_as_it_came(tmp_path: Path) -> None:
    config = install(tmp_path, stdio_server(tmp_path / "record"))
    found = tried(config, "desk", "broken", status=1)
    assert (found["error"], found["outcome"]["error"]) == ("broken", "json-rpc -32050")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_call_that_is_interrupted_is_recorded_and_its_task_completed(
    tmp_path: Path, number: signal.Signals
) -> None:
    record = tmp_path / "record"
    os.mkfifo(record)
    config = install(tmp_path, stdio_server(record))
    process = started(config, "mcp", "try", "desk", "slow")
    with record.open("rb") as heard:
        while b"tools/call" not in heard.readline():
            continue
        process.send_signal(number)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 1, told
    assert b"Aborted" in told
    assert [kind for kind, _ in logged(config)] == ["task", "decision", "credential", "outcome", "task"]
