"""A step-up, from the question to the permit: bound to exactly one call, answered by others, used up once."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from hopward import Chain, Guard, NotFoundError, StateError, ToolCall, Verdict
from hopward.approval import ApproverNeed
from hopward.clock import SECOND
from hopward.errors import ConfigError
from hopward.ledger import RowFilter
from hopward.lifting import Question, bound_to
from hopward.model import Tool
from hopward.record import Facts
from hopward.testing.clock import NOON, FixedClock
from hopward.testing.samples import a_chain

from .approving import CONFIG, DELETE, PAY, POLICY, handed, office, opened, task_of, told, write

ASKED = ("step-up", "approval_required")
APPROVED = ("permit", "approved")


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return office(tmp_path)


@pytest.fixture
def guard(config: Path, clock: FixedClock) -> Iterator[Guard]:
    with closing(opened(config, clock)) as guard:
        yield guard


@pytest.fixture
def chain(guard: Guard) -> Chain:
    return task_of(guard)


def asked(guard: Guard, chain: Chain, call: ToolCall | None = None) -> str:
    decision = guard.authorize(call or write(), chain)
    assert told(decision) == ASKED
    return decision.approval


def approved(guard: Guard, chain: Chain, call: ToolCall | None = None) -> str:
    approval = asked(guard, chain, call)
    assert guard.approvals.approve(approval, by="carol").state == "approved"
    return approval


def test_a_call_waits_is_approved_and_is_permitted_exactly_once(guard: Guard, chain: Chain) -> None:
    first = guard.authorize(write(), chain)
    assert told(first) == ASKED
    assert first.approval in first.verdict.sentence
    assert f"hopward approve {first.approval}" in first.verdict.sentence
    assert not first.permitted
    assert first.credential is None
    guard.approvals.approve(first.approval, by="carol", why="read it")
    second = guard.authorize(write(), chain)
    assert told(second) == APPROVED
    assert second.approval == first.approval
    assert second.permitted
    assert guard.mint(second, write())
    used = guard.approvals.get(first.approval)
    assert (used.state, used.consumed_by) == ("consumed", second.id)
    third = guard.authorize(write(), chain)
    assert told(third) == ASKED
    assert third.approval != first.approval


def test_the_log_tells_who_was_asked_who_answered_and_what_was_used_up(guard: Guard, chain: Chain) -> None:
    approval = asked(guard, chain)
    guard.approvals.approve(approval, by="carol", why="read it")
    permit = guard.authorize(write(), chain)
    rows = list(guard.ledger.rows(RowFilter(kind="approval", oldest_first=True)))
    assert [(row.record["event"], row.task, row.agent) for row in rows] == [
        ("requested", chain.task, "assistant"),
        ("approved", chain.task, "assistant"),
    ]
    assert rows[0].record["approval"]["id"] == approval
    assert rows[0].record["approval"]["arguments"] == {"text": "hello"}
    assert (rows[1].record["by"], rows[1].record["why"]) == ("carol", "read it")
    assert guard.ledger.row(rows[0].decision).verdict == "step-up"
    assert guard.ledger.row(permit.id).record["verdict"]["approval"] == approval
    assert guard.ledger.verify().ok


def test_the_question_stands_right_behind_the_decision_that_asks(guard: Guard, chain: Chain) -> None:
    decision = guard.authorize(write(), chain)
    row = guard.ledger.row(decision.id)
    after = guard.ledger.row(row.seq + 1)
    assert (after.kind, after.decision, after.record["approval"]["decision"]) == (
        "approval",
        decision.id,
        decision.id,
    )


def test_the_same_call_asked_again_asks_nobody_again(guard: Guard, chain: Chain) -> None:
    first = asked(guard, chain)
    assert {asked(guard, chain) for _ in range(5)} == {first}
    batch = guard.decide([(write(), chain), (write("other"), chain), (write("other"), chain)])
    assert batch[0].approval == first
    assert batch[1].approval == batch[2].approval != first
    assert len(guard.approvals.find()) == 2


def test_one_approval_permits_one_call_of_a_batch(guard: Guard, chain: Chain) -> None:
    approval = approved(guard, chain)
    first, second = guard.decide([(write(), chain), (write(), chain)])
    assert (told(first), first.approval) == (APPROVED, approval)
    assert told(second) == ASKED
    assert second.approval != approval


@pytest.mark.parametrize(
    "swapped",
    [
        write("hello "),
        write("hello", to="mallory"),
        ToolCall(server="desk", tool="write"),
        PAY,
    ],
)
def test_an_approval_is_for_no_other_call(guard: Guard, chain: Chain, swapped: ToolCall) -> None:
    approval = approved(guard, chain)
    decision = guard.authorize(swapped, chain)
    assert told(decision) == ASKED
    assert decision.approval != approval
    assert guard.approvals.get(approval).state == "approved"


def test_arguments_in_another_order_are_the_same_call(guard: Guard, chain: Chain) -> None:
    approved(guard, chain, write("a", x=1, y={"b": 1, "a": 2}))
    turned = ToolCall(server="desk", tool="write", arguments={"y": {"a": 2, "b": 1}, "x": 1, "text": "a"})
    assert told(guard.authorize(turned, chain)) == APPROVED


def test_an_approval_is_for_no_other_chain_of_the_same_task(guard: Guard, chain: Chain) -> None:
    approval = approved(guard, chain)
    below = handed(guard, chain)
    decision = guard.authorize(write(), below)
    assert told(decision) == ASKED
    assert decision.approval != approval
    guard.approvals.approve(decision.approval, by="carol")
    assert told(guard.authorize(write(), handed(guard, chain))) == ASKED
    assert told(guard.authorize(write(), below)) == APPROVED


def test_an_approval_is_for_no_other_task(guard: Guard, chain: Chain) -> None:
    approved(guard, chain)
    assert told(guard.authorize(write(), task_of(guard))) == ASKED
    assert told(guard.authorize(write(), task_of(guard, "bob"))) == ASKED


@pytest.mark.parametrize("by", ["mallory", "Carol", "carol ", ""])
def test_only_a_member_of_the_group_approves(guard: Guard, chain: Chain, by: str) -> None:
    approval = asked(guard, chain)
    with pytest.raises(StateError):
        guard.approvals.approve(approval, by=by)
    assert guard.approvals.get(approval).state == "pending"


@pytest.mark.parametrize("subject", ["alice", "ALICE", "\uff41lice"])
def test_nobody_approves_what_is_done_in_their_own_name(guard: Guard, subject: str) -> None:
    approval = asked(guard, task_of(guard, subject))
    with pytest.raises(StateError, match="on behalf of"):
        guard.approvals.approve(approval, by="alice")
    assert guard.approvals.approve(approval, by="carol").state == "approved"


def test_a_group_may_let_the_subject_confirm(guard: Guard, chain: Chain) -> None:
    approval = asked(guard, chain, DELETE)
    assert guard.approvals.approve(approval, by="alice").state == "approved"
    assert told(guard.authorize(DELETE, chain)) == APPROVED


@pytest.mark.parametrize("agent", ["assistant", "helper", "urn:hopward:agent:assistant", "Assistant"])
def test_no_agent_ever_approves(guard: Guard, chain: Chain, agent: str) -> None:
    approval = asked(guard, chain)
    for answer in (
        lambda: guard.approvals.approve(approval, by=agent),
        lambda: guard.approvals.reject(approval, by=agent, why="no"),
    ):
        with pytest.raises(StateError, match="agent"):
            answer()


def test_the_owner_of_the_agent_may_approve_unless_it_is_the_subject(guard: Guard) -> None:
    assert guard.approvals.approve(asked(guard, task_of(guard)), by="ops").state == "approved"
    with pytest.raises(StateError, match="on behalf of"):
        guard.approvals.approve(asked(guard, task_of(guard, "ops")), by="ops")


def test_two_people_have_to_approve_and_nobody_counts_twice(guard: Guard, chain: Chain) -> None:
    approval = asked(guard, chain, PAY)
    assert guard.approvals.approve(approval, by="carol").state == "pending"
    with pytest.raises(StateError, match="already"):
        guard.approvals.approve(approval, by="carol")
    assert told(guard.authorize(PAY, chain)) == ASKED
    assert guard.approvals.approve(approval, by="dave").state == "approved"
    assert told(guard.authorize(PAY, chain)) == APPROVED
    events = [row.record["event"] for row in guard.ledger.rows(RowFilter(kind="approval", oldest_first=True))]
    assert events == ["requested", "agreed", "approved"]


def test_one_no_ends_it_whatever_others_have_said(guard: Guard, chain: Chain, clock: FixedClock) -> None:
    approval = asked(guard, chain, PAY)
    guard.approvals.approve(approval, by="carol")
    guard.approvals.reject(approval, by="dave", why="wrong account")
    with pytest.raises(StateError, match="rejected"):
        guard.approvals.approve(approval, by="erin")
    refused = guard.authorize(PAY, chain)
    assert told(refused) == ("deny", "approval_rejected")
    assert "wrong account" in refused.verdict.sentence
    clock.advance(900 * SECOND)
    assert told(guard.authorize(PAY, chain)) == ASKED


def test_a_no_needs_a_reason_and_somebody_who_may_give_it(guard: Guard, chain: Chain) -> None:
    approval = asked(guard, chain)
    with pytest.raises(StateError, match="reason"):
        guard.approvals.reject(approval, by="carol", why=" ")
    with pytest.raises(StateError, match="may approve"):
        guard.approvals.reject(approval, by="mallory", why="no")
    assert guard.approvals.reject(approval, by="alice", why="not mine").state == "rejected"


def test_an_approval_that_was_not_asked_for_does_not_exist(guard: Guard) -> None:
    for answer in (
        lambda: guard.approvals.get("apr_0"),
        lambda: guard.approvals.approve("apr_0", by="carol"),
    ):
        with pytest.raises(NotFoundError):
            answer()


def test_a_question_expires_unanswered(guard: Guard, chain: Chain, clock: FixedClock) -> None:
    approval = asked(guard, chain)
    clock.advance(900 * SECOND)
    assert guard.approvals.get(approval).state == "expired"
    with pytest.raises(StateError, match="expired"):
        guard.approvals.approve(approval, by="carol")
    assert asked(guard, chain) != approval


def test_a_yes_expires_unused(guard: Guard, chain: Chain, clock: FixedClock) -> None:
    approval = asked(guard, chain)
    clock.advance(899 * SECOND)
    guard.approvals.approve(approval, by="carol")
    clock.advance(899 * SECOND)
    assert guard.approvals.get(approval).state == "approved"
    clock.advance(SECOND)
    assert guard.approvals.get(approval).state == "expired"
    assert asked(guard, chain) != approval


def test_a_change_of_the_policies_voids_what_was_approved(
    guard: Guard, chain: Chain, config: Path, clock: FixedClock
) -> None:
    approval, waiting = approved(guard, chain), asked(guard, chain, write("later"))
    policy = config.parent / "policies" / "office.cedar"
    policy.write_text(POLICY + "// the same, and yet another set\n")
    clock.advance(SECOND)
    assert asked(guard, chain) != approval
    assert guard.approvals.get(approval).state == "void"
    with pytest.raises(StateError, match="policies have changed"):
        guard.approvals.approve(waiting, by="carol")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (
            'members = ["carol", "dave", "erin"]\npeople = 2',
            'members = ["carol", "dave", "erin"]\npeople = 3',
        ),
        ('destination = "bank"', 'destination = "other bank"'),
    ],
)
def test_a_change_of_who_must_approve_or_of_the_tool_voids_it(
    guard: Guard, chain: Chain, config: Path, clock: FixedClock, old: str, new: str
) -> None:
    approval = asked(guard, chain, PAY)
    guard.approvals.approve(approval, by="carol")
    guard.approvals.approve(approval, by="dave")
    assert old in CONFIG
    config.write_text(CONFIG.replace(old, new))
    with closing(opened(config, clock)) as restarted:
        assert told(restarted.authorize(PAY, chain)) == ASKED
    assert told(guard.authorize(PAY, chain)) == APPROVED


@pytest.mark.parametrize(
    "said", [{"times": 1.5}, {"times": True}, {"times": "2"}, {"why": 7}, {"why": "\ud800"}], ids=str
)
def test_what_is_no_answer_is_not_stored(guard: Guard, chain: Chain, said: dict[str, Any]) -> None:
    approval = asked(guard, chain)
    with pytest.raises(StateError, match="no answer"):
        guard.approvals.approve(approval, **({"by": "carol"} | said))
    assert [one.answers for one in guard.approvals.find()] == [()]


def test_a_row_that_cannot_be_read_does_not_hide_the_others(guard: Guard, chain: Chain, config: Path) -> None:
    broken, readable = asked(guard, chain), asked(guard, chain, write("later"))
    with closing(sqlite3.connect(guard.settings.log_file)) as database:
        database.execute("UPDATE approvals SET body = '{' WHERE id = ?", (broken,))
        database.commit()
    assert [one.id for one in guard.approvals.find()] == [readable]
    assert guard.authorize(write(), chain).verdict.name == "deny"


def test_no_number_of_questions_that_are_over_hides_one_that_waits(
    guard: Guard, chain: Chain, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hopward.answering._PAGE", 3)
    waits = asked(guard, chain)
    for number in range(8):
        ended = task_of(guard)
        asked(guard, ended, write(f"{number}"))
        guard.complete_task(ended.task)
    later = asked(guard, chain, write("later"))
    assert [one.id for one in guard.approvals.find(limit=2)] == [later, waits]
    assert [one.id for one in guard.approvals.find(limit=1)] == [later]
    assert len(guard.approvals.find(("void",))) == 8
    assert len(guard.approvals.find(())) == 10
    clock.advance(900 * SECOND)
    assert guard.approvals.find() == []
    assert len(guard.approvals.find(("expired",))) == 10
    assert guard.approvals.find(("expired",), chain.task, limit=1)[0].id == later


def restarted(config: Path, clock: FixedClock, old: str, new: str) -> Guard:
    """A guard of the same decision log, started after hopward.toml has been changed."""
    assert old in CONFIG
    config.write_text(CONFIG.replace(old, new))
    return opened(config, clock)


def test_the_yes_of_somebody_who_may_not_say_it_any_more_permits_nothing(
    guard: Guard, chain: Chain, config: Path, clock: FixedClock
) -> None:
    approval = approved(guard, chain)
    with closing(restarted(config, clock, '["carol", "alice", "ops"]', '["alice", "ops"]')) as without:
        again = asked(without, chain)
        assert again != approval
        assert asked(without, chain) == again
        found = without.approvals.get(approval)
        assert found.state == "void"
        assert "carol is not among those" in without.approvals.summary(found).state
        without.approvals.approve(again, by="ops")
        assert told(without.authorize(write(), chain)) == APPROVED
        assert told(without.authorize(write(), chain)) == ASKED
        assert without.ledger.verify().ok


def test_a_no_to_what_was_asked_anew_holds_although_who_had_said_yes_may_do_so_again(
    guard: Guard, chain: Chain, config: Path, clock: FixedClock
) -> None:
    approved(guard, chain)
    members = '["carol", "alice", "ops"]'
    with closing(restarted(config, clock, members, '["alice", "ops"]')) as without:
        without.approvals.reject(asked(without, chain), by="ops", why="no")
    with closing(restarted(config, clock, members, members)) as again:
        assert told(again.authorize(write(), chain)) == ("deny", "approval_rejected")


def test_a_member_who_had_said_yes_first_must_be_one_when_the_second_does(
    guard: Guard, chain: Chain, config: Path, clock: FixedClock
) -> None:
    approval = asked(guard, chain, PAY)
    guard.approvals.approve(approval, by="carol")
    members = '["carol", "dave", "erin"]'
    with closing(restarted(config, clock, members, '["dave", "erin"]')) as without:
        assert without.approvals.approve(approval, by="dave").state == "pending"
        assert asked(without, chain, PAY) == approval
        assert without.approvals.approve(approval, by="erin").state == "approved"
        assert told(without.authorize(PAY, chain)) == APPROVED


def test_the_subject_may_not_confirm_any_more_once_the_group_says_so(
    guard: Guard, chain: Chain, config: Path, clock: FixedClock
) -> None:
    call = ToolCall(server="desk", tool="delete")
    guard.approvals.approve(asked(guard, chain, call), by="alice")
    with closing(restarted(config, clock, "subject_may_approve = true", "")) as without:
        assert told(without.authorize(call, chain)) == ASKED


@pytest.mark.parametrize("how", ["revoke", "quarantine"])
def test_the_yes_of_somebody_who_is_revoked_or_quarantined_permits_nothing(
    guard: Guard, chain: Chain, how: str
) -> None:
    task_of(guard, "carol")
    approval = approved(guard, chain)
    getattr(guard, how)("subject", "carol", by="ops", why="left")
    again = asked(guard, chain)
    assert guard.approvals.get(approval).state == "void"
    if how == "quarantine":
        with pytest.raises(StateError, match="carol may not approve anything"):
            guard.approvals.approve(again, by="carol")
    guard.approvals.approve(again, by="ops")
    assert told(guard.authorize(write(), chain)) == APPROVED


def test_an_approval_falls_with_its_task(guard: Guard, chain: Chain) -> None:
    approval, waiting = approved(guard, chain), asked(guard, chain, write("later"))
    guard.complete_task(chain.task)
    assert [guard.approvals.get(one).state for one in (approval, waiting)] == ["void", "void"]
    assert told(guard.authorize(write(), chain)) == ("deny", "task_completed")
    with pytest.raises(StateError, match="completed"):
        guard.approvals.approve(waiting, by="carol")
    assert guard.approvals.find() == []
    assert {one.id for one in guard.approvals.find(("void",))} == {approval, waiting}


@pytest.mark.parametrize(("kind", "name"), [("agent", "assistant"), ("subject", "alice")])
def test_an_approval_falls_with_a_revocation(guard: Guard, chain: Chain, kind: str, name: str) -> None:
    approval = approved(guard, chain)
    guard.revoke(kind, name, by="ops", why="test")  # type: ignore[arg-type]
    assert guard.approvals.get(approval).state == "void"
    assert guard.authorize(write(), chain).verdict.name == "deny"


@pytest.mark.parametrize(
    ("kind", "name"), [("agent", "assistant"), ("tool", "desk/write"), ("server", "desk")]
)
def test_an_approval_does_not_count_while_what_it_is_about_is_quarantined(
    guard: Guard, chain: Chain, kind: str, name: str
) -> None:
    approval, waiting = approved(guard, chain), asked(guard, chain, write("later"))
    guard.quarantine(kind, name, by="ops", why="test")  # type: ignore[arg-type]
    assert guard.approvals.get(approval).state == "void"
    assert told(guard.authorize(write(), chain)) == ("deny", "quarantined")
    with pytest.raises(StateError, match="quarantined"):
        guard.approvals.approve(waiting, by="carol")
    guard.release(kind, name, by="ops", why="test")  # type: ignore[arg-type]
    assert told(guard.authorize(write(), chain)) == APPROVED


def test_an_approval_falls_with_its_hop(guard: Guard, chain: Chain) -> None:
    below = handed(guard, chain)
    approval = approved(guard, below)
    guard.complete_hop(below)
    assert guard.approvals.get(approval).state == "void"
    assert told(guard.authorize(write(), below)) == ("deny", "hop_completed")


def test_an_approval_survives_a_restart(config: Path, clock: FixedClock) -> None:
    with closing(opened(config, clock)) as first:
        chain = task_of(first)
        approval = approved(first, chain)
    with closing(opened(config, clock)) as second:
        assert second.approvals.get(approval).state == "approved"
        assert told(second.authorize(write(), chain)) == APPROVED


def test_what_a_forbid_or_the_task_refuses_is_not_asked_about(guard: Guard, chain: Chain) -> None:
    assert told(guard.authorize(write("secret"), chain)) == ("deny", "forbidden")
    outside = ToolCall(server="desk", tool="shred")
    assert told(guard.authorize(outside, chain)) == ("deny", "tool_unclassified")
    assert guard.approvals.find(()) == []


def test_nobody_is_asked_about_what_no_budget_has_room_for(guard: Guard, chain: Chain) -> None:
    below = handed(guard, chain)
    for _ in range(5):
        assert guard.authorize(write("free"), below).permitted
    assert told(guard.authorize(write(), below)) == ("deny", "budget_exhausted")
    assert guard.approvals.find(()) == []


def test_an_approval_is_kept_where_the_budget_refuses_its_call(guard: Guard, chain: Chain) -> None:
    below = handed(guard, chain)
    approval = approved(guard, below)
    for _ in range(5):
        assert guard.authorize(write("free"), below).permitted
    assert told(guard.authorize(write(), below)) == ("deny", "budget_exhausted")
    assert guard.approvals.get(approval).state == "approved"


def test_so_many_questions_of_one_agent_wait_at_a_time(guard: Guard, chain: Chain) -> None:
    found = [guard.authorize(write(str(number)), chain) for number in range(9)]
    assert [told(one) for one in found] == [ASKED] * 8 + [("deny", "approvals_exhausted")]
    guard.approvals.reject(found[0].approval, by="carol", why="too many")
    assert told(guard.authorize(write("9"), chain)) == ASKED
    assert told(guard.authorize(write("0"), task_of(guard))) == ASKED


def test_so_many_are_asked_in_an_hour_whatever_the_answers(tmp_path: Path, clock: FixedClock) -> None:
    limited = CONFIG.replace("expires_in = 900", "expires_in = 900\nmost_per_hour = 3")
    with closing(opened(office(tmp_path, limited), clock)) as guard:
        chain = task_of(guard)
        for number in range(3):
            guard.approvals.reject(asked(guard, chain, write(str(number))), by="carol", why="no")
        assert told(guard.authorize(write("more"), chain)) == ("deny", "approvals_exhausted")
        assert told(guard.authorize(write("0"), chain)) == ("deny", "approval_rejected")


def test_a_call_that_was_permitted_by_an_approval_may_be_followed_up(guard: Guard, chain: Chain) -> None:
    approved(guard, chain)
    assert guard.would_permit(write(), chain)
    assert guard.authorize(write(), chain).permitted
    assert guard.would_permit(write(), chain)
    assert not guard.would_permit(write("other"), chain)
    guard.complete_task(chain.task)
    assert not guard.would_permit(write(), chain)


def test_a_policy_that_waits_for_a_group_nobody_knows_refuses_to_start(
    config: Path, clock: FixedClock
) -> None:
    policy = config.parent / "policies" / "office.cedar"
    policy.write_text(POLICY.replace('@step_up("finance")', '@step_up("finanze")'))
    with pytest.raises(ConfigError) as refused:
        opened(config, clock)
    (problem,) = refused.value.problems
    assert problem.startswith(
        "office.cedar:9: policy 'money': @step_up: there is no [approvals.groups.finanze]"
    )
    assert problem.endswith("did you mean finance?")


# Changed arguments


def test_an_approver_may_change_the_arguments_which_is_another_call(guard: Guard, chain: Chain) -> None:
    approval = asked(guard, chain)
    edited = guard.approvals.approve(approval, by="carol", why="milder", arguments={"text": "hi"})
    assert (edited.state, edited.arguments) == ("approved", {"text": "hi"})
    assert guard.approvals.get(approval).state == "rejected"
    refused = guard.authorize(write(), chain)
    assert told(refused) == ("deny", "approval_edited")
    assert '{"text":"hi"}' in refused.verdict.sentence
    assert refused.approval == edited.id
    permitted = guard.authorize(write("hi"), chain)
    assert (told(permitted), permitted.approval) == (APPROVED, edited.id)
    assert told(guard.authorize(write("hi"), chain)) == ASKED
    assert guard.ledger.verify().ok


def test_changed_arguments_still_need_everybody_who_has_to_approve(guard: Guard, chain: Chain) -> None:
    approval = asked(guard, chain, PAY)
    edited = guard.approvals.approve(approval, by="carol", arguments={"amount": 4})
    assert edited.state == "pending"
    less = ToolCall(server="desk", tool="pay", arguments={"amount": 4})
    assert told(guard.authorize(less, chain)) == ASKED
    assert edited.id in guard.authorize(PAY, chain).verdict.sentence
    guard.approvals.approve(edited.id, by="dave")
    assert told(guard.authorize(less, chain)) == APPROVED


@pytest.mark.parametrize(
    ("text", "why"),
    [("secret", "would be refused"), ("free", "needs no approval"), ("waits", "already")],
)
def test_arguments_are_changed_only_to_what_would_wait_for_approval(
    guard: Guard, chain: Chain, text: str, why: str
) -> None:
    approval = asked(guard, chain)
    asked(guard, chain, write("waits"))
    with pytest.raises(StateError, match=why):
        guard.approvals.approve(approval, by="carol", arguments={"text": text})
    assert guard.approvals.get(approval).state == "pending"


def test_arguments_that_the_log_does_not_keep_are_neither_shown_nor_changed(
    tmp_path: Path, clock: FixedClock
) -> None:
    digests = CONFIG + '\n[log]\narguments = "digest"\n'
    with closing(opened(office(tmp_path, digests), clock)) as guard:
        chain = task_of(guard)
        approval = asked(guard, chain)
        found = guard.approvals.get(approval)
        assert "hello" not in str(found)
        assert not guard.approvals.shows_all(found)
        with pytest.raises(StateError, match="does not keep"):
            guard.approvals.approve(approval, by="carol", arguments={"text": "hi"})
        guard.approvals.approve(approval, by="carol")
        assert told(guard.authorize(write(), chain)) == APPROVED


# Handing on


def test_handing_on_waits_for_approval_like_a_call(tmp_path: Path, clock: FixedClock) -> None:
    held = '@step_up("editors") forbid (principal, action == Hopward::Action::"delegate", resource);'
    with closing(opened(office(tmp_path, policy=POLICY + held), clock)) as guard:
        chain = task_of(guard)
        with pytest.raises(AssertionError):
            handed(guard, chain)
        (approval,) = guard.approvals.find()
        assert (approval.name, approval.arguments["agent"]) == ("delegate:helper", "helper")
        with pytest.raises(StateError, match="cannot be changed"):
            guard.approvals.approve(approval.id, by="carol", arguments={})
        guard.approvals.approve(approval.id, by="carol")
        assert handed(guard, chain).actors == ("assistant", "helper")
        with pytest.raises(AssertionError):
            handed(guard, chain)


# What an approval is bound to

QUESTION = Question(
    chain=a_chain(actors=("helper", "other"), hops=("hop_1",)),
    server="desk",
    tool="write",
    digest="sha-256:1",
    arguments={},
    verdict=Verdict(name="step-up", reason="approval_required", sentence="", policies=("a",), policy_set="p"),
    facts=Facts("alice", "task_1", "notes", "notes", ("helper", "other"), 1, 1),
    groups=("editors",),
    at=NOON,
    pin="sha-256:2",
)
TOOL = Tool(
    server="desk",
    name="write",
    action="write",
    sensitivity="internal",
    integrity="trusted",
    destination="desk",
)
NEEDED = (ApproverNeed(group="editors", people=1),)


@pytest.mark.parametrize(
    "changed",
    [
        {"chain": replace(QUESTION.chain, task="task_2")},
        {"chain": replace(QUESTION.chain, subject="bob")},
        {"chain": replace(QUESTION.chain, actors=("other", "helper"))},
        {"chain": replace(QUESTION.chain, hops=("hop_2",))},
        {"server": "shop"},
        {"tool": "read"},
        {"digest": "sha-256:2"},
        {"classification": TOOL},
        {"pin": "sha-256:3"},
        {"verdict": replace(QUESTION.verdict, policies=("a", "b"))},
        {"verdict": replace(QUESTION.verdict, policy_set="q")},
    ],
    ids=str,
)
def test_all_that_a_person_is_shown_is_in_the_binding(changed: dict[str, Any]) -> None:
    assert bound_to(replace(QUESTION, **changed), NEEDED) != bound_to(QUESTION, NEEDED)


def test_who_asks_by_which_token_and_when_is_not_in_the_binding() -> None:
    later = replace(QUESTION, at=NOON + SECOND, chain=replace(QUESTION.chain, token="jti", key="kid"))
    assert bound_to(later, NEEDED) == bound_to(QUESTION, NEEDED)


@pytest.mark.parametrize("spelled", ["Alice", "\u0430lice", "al\u0456ce", "\uff41lice"])
def test_a_subject_whose_name_reads_as_the_approver_s_is_the_approver(guard: Guard, spelled: str) -> None:
    approval = guard.authorize(write(), task_of(guard, spelled)).approval
    with pytest.raises(StateError, match="on behalf of"):
        guard.approvals.approve(approval, by="alice")


@pytest.mark.parametrize("spelled", ["alice ", " alice", "al\u200bice", "alice\ufe0f", "alice\n"])
def test_no_task_has_a_subject_whose_name_is_not_all_to_be_seen(guard: Guard, spelled: str) -> None:
    with pytest.raises(StateError, match="subject"):
        task_of(guard, spelled)
