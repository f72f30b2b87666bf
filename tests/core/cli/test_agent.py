"""`hopward agent`"""

import json

import pytest

from hopward.cli.wording import moment
from hopward.config import read_settings
from hopward.jwk import SigningKey
from hopward.model import ToolCall
from hopward.wiring import Guard

from .shell import Shell, executable

ADD = (
    "agent add triage --owner bo@example.com --purpose 'Sorts tickets' --tool 'desk/read*' "
    "--action read --sensitivity public --destination desk"
)


def test_an_added_agent_is_registered_with_its_ceiling_and_its_key(desk: Shell) -> None:
    printed = desk(ADD)
    assert "Registered agent triage" in printed.out
    added = read_settings(desk.folder / "hopward.toml").agents["triage"]
    assert (added.owner, added.purpose) == ("bo@example.com", "Sorts tickets")
    assert added.ceiling[0].tools == ("desk/read*",)
    private = desk.folder / ".hopward/keys/agents/triage.json"
    assert private.stat().st_mode & 0o077 == 0
    assert SigningKey.from_jwk(json.loads(private.read_text())).public_jwk() == added.key
    assert "triage" in desk("agent list").out


def test_everything_else_in_the_file_stays_as_it_was(desk: Shell) -> None:
    path = desk.folder / "hopward.toml"
    before = "# my comment\r\n" + path.read_text().replace("\n\n", "\n\n\n") + "# the end, without a newline"
    path.write_bytes(before.encode())
    desk(ADD)
    assert path.read_bytes().startswith(before.encode())


def test_an_agent_is_added_once(desk: Shell) -> None:
    desk(ADD)
    before = (desk.folder / "hopward.toml").read_bytes()
    assert "registered already" in desk.fails(ADD).err
    assert (desk.folder / "hopward.toml").read_bytes() == before


def test_an_agent_that_could_not_be_used_changes_nothing_and_leaves_no_key(desk: Shell) -> None:
    before = (desk.folder / "hopward.toml").read_bytes()
    printed = desk.fails(ADD.replace("desk/read*", "desc/read*"), status=2)
    assert "there is no [servers.desc]" in printed.err
    assert (desk.folder / "hopward.toml").read_bytes() == before
    assert list((desk.folder / ".hopward/keys").glob("agents/*")) == []


def test_the_ceiling_has_no_defaults(desk: Shell) -> None:
    for option in ("--tool 'desk/read*'", "--action read", "--sensitivity public", "--destination desk"):
        desk.fails(ADD.replace(option, ""), status=2)


def test_the_key_of_an_earlier_agent_of_that_name_is_not_overwritten(desk: Shell) -> None:
    path = desk.folder / "hopward.toml"
    before = path.read_text()
    desk(ADD)
    path.write_text(before)
    private = desk.folder / ".hopward/keys/agents/triage.json"
    key = private.read_bytes()
    desk.fails(ADD, status=2)
    assert private.read_bytes() == key
    assert path.read_text() == before


def test_list_and_show_speak_json_too(desk: Shell) -> None:
    desk(ADD)
    assert [agent["id"] for agent in desk("agent list --json").json_lines] == ["assistant", "triage"]
    shown = desk("agent show triage --json").json
    assert shown["state"] == "active"
    assert shown["revocations"] == []
    assert "d" not in shown["key"]


def test_show_tells_that_an_agent_was_revoked_and_why(desk: Shell) -> None:
    desk("revoke agent assistant --why 'went astray' --by ana")
    printed = desk("agent show assistant")
    assert "by ana: went astray" in printed.out
    assert "none: it cannot get tokens at the authority" in printed.out


def test_an_unknown_agent_is_named_as_unknown(desk: Shell) -> None:
    assert "no agent 'asistant'" in desk.fails("agent show asistant").err


def test_list_says_so_when_there_are_none(shell: Shell) -> None:
    shell("init")
    assert "No agents." in shell("agent list").err


CALL = ToolCall(server="desk", tool="read_ticket", arguments={"ticket": "T1"})


@pytest.mark.parametrize(("verb", "state"), [("suspend", "suspended"), ("retire", "retired")])
def test_an_agent_stopped_by_another_process_is_refused_the_next_call_of_an_open_session(
    desk: Shell, guard: Guard, verb: str, state: str
) -> None:
    chain = guard.enter(guard.open_task("tickets", "ana").id)
    assert guard.authorize(CALL, chain).permitted
    assert executable(desk.folder, f"agent {verb} assistant --why 'odd calls'").status == 0
    reason = "agent_suspended" if verb == "suspend" else "task_revoked"
    assert guard.authorize(CALL, chain).verdict.reason == reason
    refused = desk.fails("task open --workflow tickets")
    assert f"Agent assistant is {state}, so no task can be opened for it." in refused.err
    assert f"hopward agent {'resume' if verb == 'suspend' else 'add'}" in refused.err
    assert desk("agent show assistant --json").json["state"] == state


def test_a_resumed_agent_may_go_on(desk: Shell, guard: Guard) -> None:
    chain = guard.enter(guard.open_task("tickets", "ana").id)
    assert "hopward agent resume assistant" in desk("agent suspend assistant --why 'odd calls'").err
    assert not guard.authorize(CALL, chain).permitted
    assert "Resumed agent assistant" in desk("agent resume assistant --why 'looked at'").out
    assert guard.authorize(CALL, chain).permitted
    desk("task open --workflow tickets")


def test_a_retired_agent_cannot_be_resumed(desk: Shell) -> None:
    desk("agent retire assistant --why replaced")
    assert "retired, which is final" in desk.fails("agent resume assistant --why sorry").err


def test_an_agent_is_stopped_with_a_reason_and_by_someone(desk: Shell) -> None:
    desk("agent suspend assistant --why 'odd calls' --by bo")
    row = desk("log tail -n 1 --json").json
    assert (row["kind"], row["agent"]) == ("agent", "assistant")
    assert (row["record"]["event"], row["record"]["by"], row["record"]["why"]) == (
        "suspended",
        "bo",
        "odd calls",
    )
    for verb in ("suspend", "resume", "retire"):
        assert "--why" in desk.fails(f"agent {verb} assistant", status=2).err
        assert "no agent 'asistant'" in desk.fails(f"agent {verb} asistant --why x").err
    assert "already suspended" in desk.fails("agent suspend assistant --why x").err


def test_list_shows_who_is_stopped_and_when_an_agent_was_last_revoked(desk: Shell, guard: Guard) -> None:
    desk(ADD)
    assert [agent["revoked"] for agent in desk("agent list --json").json_lines] == [None, None]
    desk("revoke agent assistant --why 'key lost'")
    desk("revoke agent assistant --why 'key lost again'")
    desk("agent suspend triage --why 'odd calls'")
    last = max(gone.at for gone in guard.ledger.revocations("agent", "assistant"))
    assert [agent["revoked"] for agent in desk("agent list --json").json_lines] == [last, None]
    header, assistant, triage = desk("agent list").out.splitlines()
    assert header.split() == [
        "agent",
        "state",
        "revoked",
        "used",
        "review",
        "owner",
        "purpose",
        "lacks",
    ]
    assert assistant[header.index("revoked") :].startswith(moment(last))
    assert triage.split()[:3] == ["triage", "suspended", "never"]
    assert "bo@example.com" in triage
