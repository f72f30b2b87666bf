"""`hopward authority pair`, `devices`, `unpair` and `secret`, and what `hopward doctor` says of them."""

import base64
import re
import stat
from contextlib import closing

import pytest

from hopward.clock import SECOND
from hopward.model import ToolCall
from hopward.osuser import os_user
from hopward.testing.clock import FixedClock
from hopward.wiring import Guard

from .shell import Shell

PAGE = 'page = "https://approve.example"\n'
HELD = """
@id("held") @step_up("operators")
forbid (principal, action == Hopward::Action::"desk/refund", resource);
"""
HOOK = '[approvals.webhook]\nurl = "https://hooks.example/x"\nsecret_file = "hook.secret"\n'


@pytest.fixture
def reached(desk: Shell) -> Shell:
    """A desk with a page and a webhook."""
    config = (desk.folder / "hopward.toml").read_text()
    desk.write("hopward.toml", f"[approvals]\n{PAGE}{HOOK}{config}")
    return desk


def told(shell: Shell, about: str, status: int = 0) -> list[str]:
    """What doctor says of something."""
    run = shell("doctor --json") if status == 0 else shell.fails("doctor --json")
    return [one["sentence"] for one in run.json_lines if one["about"] == about]


def test_a_code_is_all_that_stands_on_standard_output(reached: Shell) -> None:
    printed = reached("authority pair local:carol")
    assert re.fullmatch(r"(?:[0-9A-Z]{4}-){2}[0-9A-Z]{4}\n", printed.out)
    assert "local:carol opens https://approve.example/pair" in printed.err
    row = reached("log tail --kind device --json").json_lines[0]["record"]
    assert (row["event"], row["person"], row["by"]) == ("offered", "local:carol", os_user())
    assert printed.out.strip() not in str(row)


@pytest.mark.parametrize(
    ("name", "meant"), [("local:carl", "did you mean local:carol?"), ("assistant", "Who may approve")]
)
def test_somebody_who_may_approve_nothing_gets_no_code(reached: Shell, name: str, meant: str) -> None:
    failed = reached.fails(f"authority pair {name}")
    assert "is in no group of approvers" in failed.err
    assert meant in failed.err
    assert reached("authority devices --json").json_lines == []


def test_without_a_page_there_is_nothing_to_pair_for(desk: Shell) -> None:
    failed = desk.fails("authority pair local:carol", status=2)
    assert "[approvals] has no page" in failed.err


def test_devices_are_listed_and_ended_with_a_reason_even_while_a_policy_is_broken(reached: Shell) -> None:
    code = reached("authority pair local:carol").out
    with closing(Guard.open(reached.folder / "hopward.toml")) as guard:
        secret, _ = guard.devices.pair(code, "her phone\x1b[2J")
        reached("authority pair local:carol")
        paired, offered = reached("authority devices --json").json_lines
        assert (paired["state"], paired["label"], offered["state"]) == ("paired", "her phone [2J", "code")
        reached.write("policies/broken.cedar", "permit (")
        listed = reached("authority devices")
        assert paired["device"] in listed.out
        assert "\x1b" not in listed.out
        reached(f"authority unpair {paired['device']} --why lost")
        assert guard.devices.known(secret) is None
    row = reached("log tail --kind device --json").json_lines[-1]["record"]
    assert (row["event"], row["why"], row["by"]) == ("ended", "lost", os_user())
    assert "of local:carol" in reached("log tail --kind device").out


def test_a_device_that_is_not_there_is_not_ended(reached: Shell) -> None:
    failed = reached.fails("authority unpair dev_1")
    assert "There is no device 'dev_1'" in failed.err
    assert "hopward authority devices" in failed.err


def test_a_secret_is_made_once_and_only_its_owner_can_read_it(reached: Shell) -> None:
    reached("authority secret")
    path = reached.folder / "hook.secret"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    text = path.read_text().strip()
    assert len(base64.b64decode(text.removeprefix("whsec_"), validate=True)) == 32
    again = reached.fails("authority secret", status=2)
    assert "already" in again.err
    assert path.read_text().strip() == text


def test_without_a_webhook_there_is_no_secret_to_make(desk: Shell) -> None:
    assert "No webhook is configured" in desk.fails("authority secret", status=2).err


def test_doctor_says_that_nobody_can_answer_yet_and_from_where(reached: Shell) -> None:
    reached("authority secret")
    assert told(reached, "approvals") == [
        "Nobody can answer at https://approve.example yet: no browser is paired."
    ]
    config = reached.folder / "hopward.toml"
    config.write_text(config.read_text().replace("https://approve.example", "http://127.0.0.1:8700"))
    code = reached("authority pair local:carol").out
    with closing(Guard.open(config)) as guard:
        guard.devices.pair(code)
    assert told(reached, "approvals") == ["People can answer at http://127.0.0.1:8700 on this machine only."]


def test_doctor_says_that_the_webhook_has_no_secret(reached: Shell) -> None:
    found = told(reached, "webhook", status=1)
    assert found[0].startswith("There is no webhook secret in ")


def test_doctor_says_what_the_webhook_has_not_been_told(reached: Shell) -> None:
    """The clock of this guard stands still, a year ago: what waits has waited for long."""
    reached("authority secret")
    reached.write("policies/held.cedar", HELD)
    assert told(reached, "webhook") == ["Nobody has told the webhook of anything yet."]
    clock = FixedClock()
    with closing(Guard.open(reached.folder / "hopward.toml", clock=clock)) as guard:
        notices = guard.notices()
        assert notices.take() is None
        assert told(reached, "webhook") == []
        refund = ToolCall(server="desk", tool="refund", arguments={"amount": 5})
        decision = guard.authorize(refund, guard.enter(guard.open_task("tickets", "ines").id))
        assert decision.approval
        (said,) = told(reached, "webhook")
        assert said.startswith("Questions and answers that the webhook has not been told of: 1, since 20")
        notice = notices.take()
        assert notice is not None
        notices.failed(notice, "the answer was 500")
        (said,) = told(reached, "webhook")
        assert said.endswith("have not arrived: 1; tries of the oldest: 1; the answer was 500.")
        clock.advance(5 * SECOND)
        notice = notices.take()
        assert notice is not None
        notices.told(notice)
        assert told(reached, "webhook") == []
