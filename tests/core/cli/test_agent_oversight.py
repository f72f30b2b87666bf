"""`hopward agent review`, `transfer`, `retire`, and what `list` and `doctor` say of agents that lack it."""

from hopward.config import read_settings
from hopward.wiring import Guard

from .shell import Shell


def test_a_review_is_told_with_the_day_it_is_due_again(desk: Shell) -> None:
    printed = desk("agent review assistant --why 'does its work' --by ana --until 2099-01-31")
    assert "due again on 2099-01-31" in printed.out
    shown = desk("agent show assistant").out
    assert "2099-01-31" in shown
    assert "by ana" in shown
    assert desk("agent list --json").json["reviewed_by"] == "ana"


def test_a_review_needs_a_day_where_the_configuration_gives_none(desk: Shell) -> None:
    assert "review_days in [agents.assistant]" in desk.fails("agent review assistant --why x").err
    assert desk.fails("agent review assistant --why x --until 1999-01-01").err.count("a day to come") == 1
    assert "--why" in desk.fails("agent review assistant", status=2).err


def test_a_new_agent_is_reviewed_every_ninety_days_unless_said_otherwise(desk: Shell) -> None:
    rest = "--owner bo --purpose p --tool 'desk/read*' --action read --sensitivity public --destination desk"
    desk(f"agent add one {rest}")
    desk(f"agent add two {rest} --review-days 7")
    agents = read_settings(desk.folder / "hopward.toml").agents
    assert (agents["one"].review_days, agents["two"].review_days) == (90, 7)


def test_a_transfer_changes_the_file_and_the_log_and_survives_a_start(desk: Shell) -> None:
    path = desk.folder / "hopward.toml"
    before = path.read_text()
    printed = desk("agent transfer assistant --to bo@example.com --why 'ana left' --by carol")
    assert "bo@example.com answers for agent assistant now; it was ana@example.com." in printed.out
    assert path.read_text() == before.replace("ana@example.com", "bo@example.com")
    row = desk("log tail -n 1 --json").json
    assert (row["record"]["event"], row["record"]["by"]) == ("transferred", "carol")
    assert desk("agent show assistant --json").json["owner"] == "bo@example.com"
    assert desk("log tail -n 1 --json").json["record"]["event"] == "transferred"


def test_a_transfer_to_an_agent_or_to_nobody_changes_nothing(desk: Shell) -> None:
    path = desk.folder / "hopward.toml"
    before = path.read_bytes()
    for owner in ("assistant", "''", "'agent:x'", "ana@example.com"):
        assert desk.run(f"agent transfer assistant --to {owner} --why x").status != 0
        assert path.read_bytes() == before
    assert desk("agent show assistant --json").json["owner"] == "ana@example.com"


def test_retire_shows_what_has_ended_and_the_reason_of_each(desk: Shell, guard: Guard) -> None:
    task = guard.open_task("tickets", "ana")
    lines = desk("agent retire assistant --why replaced --json").json_lines
    assert {"kind": "task", "id": task.id, "refused": "task_revoked"} in lines
    assert {"kind": "agent", "id": "assistant", "refused": "unauthorized_client"} in lines
    assert all(line["refused"] for line in lines)
    assert "unauthorized_client" in desk("agent retire assistant --why 'to be sure'").out


def test_doctor_names_agents_without_a_review_and_how_to_give_them_one(desk: Shell) -> None:
    assert "Nothing says when agent assistant is reviewed." in desk.run("doctor").out
    desk("agent review assistant --why ok --until 2099-01-31")
    assert "Nothing says when agent assistant" not in desk.run("doctor").out


def test_doctor_and_list_name_agents_whose_owner_is_quarantined(desk: Shell, guard: Guard) -> None:
    guard.open_task("tickets", "ana@example.com")
    assert "No agent lacks" not in desk("agent list --lacking").err
    desk("agent review assistant --why ok --until 2099-01-31")
    assert "No agent lacks anything." in desk("agent list --lacking").err
    desk("quarantine subject ana@example.com --why 'left the firm'")
    assert desk("agent list --lacking --json").json["lacks"] == ["ownerless"]
    found = desk.run("doctor").out
    assert "Agent assistant is ownerless: its owner ana@example.com is quarantined." in found
    assert "hopward agent transfer assistant --to OWNER" in found


def test_rotate_tells_both_keys_and_what_to_do_next(desk: Shell) -> None:
    rest = "--owner bo --purpose p --tool 'desk/read*' --action read --sensitivity public --destination desk"
    desk(f"agent add triage {rest}")
    old = read_settings(desk.folder / "hopward.toml").agents["triage"].key["kid"]
    printed = desk("agent rotate triage --why 'once a year' --overlap-hours 2")
    new = read_settings(desk.folder / "hopward.toml").agents["triage"].key["kid"]
    assert new != old
    assert new in printed.out
    assert old in printed.out
    assert f"hopward revoke key {old}" in printed.err
    desk.write("new.json", "[]")
    assert desk.fails("agent rotate triage --why x --public new.json").status == 1
    assert "no key in [agents.assistant]" in desk.fails("agent rotate assistant --why x").err
    assert desk.fails("agent rotate triage --why x --overlap-hours 1000", status=2)
