"""`hopward log`"""

import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from hopward.model import Decision, Outcome, ToolCall
from hopward.wiring import Guard

from .shell import Shell, executable

_ESCAPE = re.compile(r"\x1b\[[0-9;]*m")
_COLOUR = re.compile(r"\x1b\[(?:[0-9]+;)*[349][0-9]m")


@pytest.fixture
def decisions(desk: Shell, guard: Guard) -> list[Decision]:
    """A permitted and settled call, and a refused one, in one task."""
    chain = guard.enter(guard.open_task("tickets", "ana").id)
    calls = (
        ToolCall(server="desk", tool="read_ticket", arguments={"ticket": "T1"}),
        ToolCall(server="desk", tool="delete_customer", arguments={}),
    )
    made = [guard.authorize(call, chain) for call in calls]
    guard.settle(made[0], Outcome(status="ok", duration=1500, size=10))
    return made


def test_tail_shows_one_line_per_row_the_newest_last(desk: Shell, decisions: list[Decision]) -> None:
    lines = desk("log tail").out.splitlines()
    assert lines[0].split()[:3] == ["row", "time", "kind"]
    kinds = [line.split()[3] for line in lines[1:]]
    assert kinds == ["agent", "policy", "task", "decision", "credential", "decision", "outcome"]
    assert "permit" in lines[-4]
    assert "desk/read_ticket" in lines[-4]
    assert decisions[0].id in lines[-4]


def test_tail_shows_as_many_rows_as_asked_for(desk: Shell, decisions: list[Decision]) -> None:
    whole = desk("log tail --json").json_lines
    assert [row["seq"] for row in whole] == list(range(1, len(whole) + 1))
    assert desk("log tail -n 2 --json").json_lines == whole[-2:]
    assert desk("log tail -n 0").out == ""


def test_tail_shows_only_rows_of_a_task_an_agent_a_tool_or_what_was_denied(
    desk: Shell, guard: Guard, decisions: list[Decision]
) -> None:
    other = guard.open_task("tickets", "bo")
    assert {row["task"] for row in desk(f"log tail --task {other.id} --json").json_lines} == {other.id}
    assert {row["agent"] for row in desk("log tail --agent assistant --json").json_lines} == {"assistant"}
    assert len(desk("log tail --tool read_ticket --json").json_lines) == 3
    denied = desk("log tail --denied --json").json_lines
    assert [row["decision"] for row in denied] == [decisions[1].id]
    assert [row["kind"] for row in desk("log tail --kind outcome --json").json_lines] == ["outcome"]


def test_tail_says_what_was_revoked(desk: Shell, guard: Guard) -> None:
    guard.revoke("key", "k1", by="ops", why="leaked")
    assert "key k1" in desk("log tail -n 1").out


def test_tail_knows_every_kind_of_row_and_no_other(desk: Shell) -> None:
    assert "'outcome'" in desk.fails("log tail --kind outcomes", status=2).err


def test_tail_of_an_empty_log_says_so(shell: Shell) -> None:
    shell("init")
    printed = shell("log tail")
    assert printed.out == ""
    assert "No rows." in printed.err


def test_show_tells_everything_about_a_decision(desk: Shell, decisions: list[Decision]) -> None:
    printed = desk(f"log show {decisions[0].id}")
    for text in (
        "decision",
        "credential",
        "outcome",
        '{"ticket": "T1"}',
        "urn:example:desk",
        "verdict.sentence",
    ):
        assert text in printed.out
    rows = desk(f"log show {decisions[0].id} --json").json_lines
    assert [row["kind"] for row in rows] == ["decision", "credential", "outcome"]


def test_show_takes_the_number_of_a_row(desk: Shell, decisions: list[Decision]) -> None:
    assert desk("log show 1 --json").json["kind"] == "agent"


@pytest.mark.parametrize("name", ["dec_404", "404", "0"])
def test_show_of_nothing_is_an_error(desk: Shell, name: str) -> None:
    assert "no " in desk.fails(f"log show {name}").err


def test_chain_shows_the_task_as_a_tree(desk: Shell, decisions: list[Decision]) -> None:
    printed = desk(f"log chain {decisions[0].chain.task}")
    lines = printed.out.splitlines()
    assert lines[0].startswith(decisions[0].chain.task)
    permit = next(number for number, line in enumerate(lines) if "permit desk/read_ticket" in line)
    assert "credential token for urn:example:desk" in lines[permit + 1]
    assert "outcome ok after 1.5 ms" in lines[permit + 2]
    assert "deny desk/delete_customer" in lines[permit + 3]
    assert "has not been classified" in lines[permit + 3]


def test_chain_speaks_json_oldest_first(desk: Shell, decisions: list[Decision]) -> None:
    rows = desk(f"log chain {decisions[0].chain.task} --json").json_lines
    assert [row["seq"] for row in rows] == sorted(row["seq"] for row in rows)


def test_a_log_that_was_not_touched_verifies(desk: Shell, decisions: list[Decision]) -> None:
    last = desk("log tail -n 1 --json").json
    told = f"The decision log verifies: {last['seq']} rows, head {last['seq']} {last['hash']}\n"
    assert desk("log verify").out == told
    assert desk("log verify --json").json["ok"] is True


def test_a_row_edited_in_a_copy_is_named(desk: Shell, guard: Guard, decisions: list[Decision]) -> None:
    guard.close()
    copy = desk.folder / "copy.db"
    shutil.copy(desk.folder / ".hopward/decisions.db", copy)
    assert "verifies" in desk(f"log --file {copy} verify").out
    with closing(sqlite3.connect(copy)) as connection, connection:
        triggers = connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for (name,) in triggers:
            connection.execute(f'DROP TRIGGER "{name}"')
        connection.execute("UPDATE log SET verdict = 'permit' WHERE seq = 5")
    printed = desk.fails(f"log --file {copy} verify")
    assert "does NOT verify. The first bad row is 5" in printed.out
    assert desk.fails(f"log --file {copy} verify --json").json["problems"][0]["seq"] == 5
    assert "verifies" in desk("log verify").out


def test_the_log_can_be_read_when_policies_are_broken(desk: Shell, decisions: list[Decision]) -> None:
    desk.write("policies/broken.cedar", "permit (")
    desk.fails("task list", status=2)
    assert decisions[0].id in desk("log tail").out
    desk("log verify")


def test_what_an_agent_wrote_cannot_move_the_cursor_or_forge_a_line(desk: Shell, guard: Guard) -> None:
    chain = guard.enter(guard.open_task("tickets", "ana").id)
    evil = "T1\x1b]0;x\x07\r\npermit desk/refund \u2066"
    decision = guard.authorize(
        ToolCall(server="desk", tool="re\x1b[1mfund\n", arguments={"ticket": evil}), chain
    )
    for line in ("log tail", f"log show {decision.id}", f"log chain {chain.task}", "task list"):
        printed = desk(line).out
        assert not {"\x1b", "\r", "\x07", "\u202e", "\u2066"}.intersection(printed)
    assert "\\x1b[1mfund\\n" in desk("log tail").out


_EVIL = "\x1b]0;x\x07"
_ELSEWHERE = ("[]", "5", "null", '"x"')
_WITHIN = (
    '{"call":5,"chain":[],"credential":5,"outcome":5,"verdict":3}',
    '{"call":{"arguments":5},"chain":{"actors":5},"credential":{"expires_at":"x"},"outcome":{"duration":"x"}}',
    '{"at_at":99999999999999999999,"credential":{"expires_at":99999999999999999999},"x_at":-1,"event":{}}',
)


def _copy(guard: Guard, folder: Path, *statement: str | bytes) -> Path:
    """A copy of the log that someone has written to with an SQLite shell."""
    path = folder / "copy.db"
    guard.close()
    with closing(sqlite3.connect(guard.settings.log_file)) as source, closing(sqlite3.connect(path)) as copy:
        source.backup(copy)
        for (trigger,) in copy.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            copy.execute(f"DROP TRIGGER {trigger}")
        copy.execute(str(statement[0]), statement[1:])
        copy.commit()
    return path


@pytest.mark.parametrize("record", _WITHIN)
def test_a_row_with_a_record_of_another_shape_is_shown_all_the_same(
    desk: Shell, guard: Guard, decisions: list[Decision], record: str
) -> None:
    copy = _copy(guard, desk.folder, "UPDATE log SET record = ?", record)
    for verb in ("tail", "show 4", f"show {decisions[0].id}", f"chain {decisions[0].chain.task}"):
        assert desk(f"log --file {copy} {verb}").out


@pytest.mark.parametrize("record", _ELSEWHERE)
def test_a_row_whose_record_is_no_object_is_named(
    desk: Shell, guard: Guard, decisions: list[Decision], record: str
) -> None:
    copy = _copy(guard, desk.folder, "UPDATE log SET record = ? WHERE seq = 4", record)
    for verb in ("tail", "show 4", f"chain {decisions[0].chain.task}"):
        assert "Row 4 of the decision log is not readable" in desk.fails(f"log --file {copy} {verb}").err


@pytest.mark.parametrize(
    "statement",
    [
        ("UPDATE log SET tool = CAST(? AS TEXT) WHERE seq = 4", _EVIL.encode() + b"\xff"),
        ("UPDATE log SET agent = ? WHERE seq = 4", _EVIL.encode()),
        ("UPDATE log SET reason = ? WHERE seq = 4", _EVIL),
        ("UPDATE tasks SET body = ?", '{"\\u001b]0;x\\u0007":1}'),
        ("UPDATE head SET hash = CAST(? AS TEXT)", _EVIL.encode() + b"\xff"),
    ],
)
def test_what_stands_in_a_log_tampered_with_cannot_control_the_terminal(
    desk: Shell, guard: Guard, decisions: list[Decision], statement: tuple[str | bytes, ...]
) -> None:
    copy = _copy(guard, desk.folder, *statement)
    for verb in ("verify", "tail", "show 4", f"chain {decisions[0].chain.task}"):
        printed = desk.run(f"log --file {copy} {verb}")
        assert not {"\x1b", "\x07"}.intersection(printed.out + printed.err)
        assert "bug" not in printed.err


@pytest.mark.parametrize(
    "line",
    [
        "task show {}",
        "task open --workflow tickets --subject {}",
        "revoke subject {} --why x",
        "log chain {}",
    ],
)
def test_what_is_told_about_a_strange_name_cannot_control_the_terminal(desk: Shell, line: str) -> None:
    printed = desk.run(line.format(f"'{_EVIL}'"))
    assert not {"\x1b", "\x07"}.intersection(printed.out + printed.err)
    assert "\\x1b]0;x\\x07" in printed.out + printed.err


@pytest.mark.parametrize("number", ["0", "9" * 19, "9" * 30, "9" * 5000, "\u0663"])
def test_a_number_that_no_row_has_is_an_error(desk: Shell, decisions: list[Decision], number: str) -> None:
    assert "The decision log has no" in desk.fails(f"log show {number}").err


def test_the_output_is_coloured_on_request_and_the_same_text_without(
    desk: Shell, decisions: list[Decision]
) -> None:
    plain = executable(desk.folder, "log tail").out
    coloured = executable(desk.folder, "log tail", FORCE_COLOR="1").out
    bold_only = executable(desk.folder, "log tail", FORCE_COLOR="1", NO_COLOR="1").out
    assert "\x1b[" not in plain
    assert _COLOUR.search(coloured)
    assert not _COLOUR.search(bold_only)
    assert _ESCAPE.sub("", coloured) == _ESCAPE.sub("", bold_only) == plain


def test_follow_shows_rows_as_they_are_written_until_it_is_interrupted(desk: Shell, guard: Guard) -> None:
    command = [str(Path(sys.executable).with_name("hopward")), "log", "tail", "-f", "-n", "1", "--json"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    # A process in the background has none of it, and what it starts would have none either.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    following = subprocess.Popen(
        command, cwd=desk.folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    signal.signal(signal.SIGINT, before)
    with following:
        try:
            assert following.stdout is not None
            assert following.stderr is not None
            assert '"kind":"policy"' in following.stdout.readline()
            task = guard.open_task("tickets", "ana")
            assert task.id in following.stdout.readline()
            guard.complete_task(task.id)
            assert '"completed"' in following.stdout.readline()
            following.send_signal(signal.SIGINT)
            assert following.wait(timeout=60) == 0
            assert following.stderr.read() == ""
        finally:
            following.kill()
