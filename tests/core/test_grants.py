"""A yes to several calls of one task: to exactly the same place, for no more, and no more often."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from hopward import Chain, Guard, StateError, ToolCall, Verdict
from hopward.approval import ApproverNeed, Taken
from hopward.behaviour import Risk
from hopward.canonical import JSON
from hopward.clock import SECOND
from hopward.errors import ConfigError
from hopward.grant import covers
from hopward.ledger import RowFilter
from hopward.lifting import Question, alike_to, bound_to
from hopward.model import Tool
from hopward.record import Facts
from hopward.testing.clock import NOON, FixedClock
from hopward.testing.samples import a_chain, an_approval

from .approving import handed, task_of, told
from .granting import ASKED, CONFIG, GRANTED, POLICY, granted, mail, opened, pay, permitted, post, read, tried

TWO = ("carol", "dave")
LETTER = ToolCall(server="desk", tool="letter", arguments={"to": "bob", "text": "hi"})


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def guard(tmp_path: Path, clock: FixedClock) -> Iterator[Guard]:
    with closing(opened(tmp_path, clock)) as guard:
        yield guard


@pytest.fixture
def chain(guard: Guard) -> Chain:
    return task_of(guard)


def test_a_yes_to_three_calls_permits_three_and_no_more(guard: Guard, chain: Chain) -> None:
    grant = granted(guard, chain, post("first"), times=3)
    for left, text in ((2, "second"), (1, "first"), (0, "third")):
        decision = permitted(guard, chain, post(text))
        assert (decision.verdict.reason, decision.approval) == ("granted", grant)
        assert guard.approvals.get(grant).left == left
    assert guard.approvals.get(grant).state == "consumed"
    assert tried(guard, chain, post("fourth")) == ASKED
    assert tried(guard, chain, post("first")) == ASKED
    assert guard.ledger.verify().ok


def test_a_plain_yes_is_to_exactly_one_call(guard: Guard, chain: Chain) -> None:
    granted(guard, chain, post("first"), times=1)
    assert tried(guard, chain, post("second")) == ASKED
    assert tried(guard, chain, post("first")) == ("permit", "approved")
    assert tried(guard, chain, post("first")) == ASKED


def test_the_log_tells_what_was_granted_by_whom_and_which_permits_have_used_it(
    guard: Guard, chain: Chain
) -> None:
    grant = granted(guard, chain, post(), times=2)
    permits = [permitted(guard, chain, post(text)).id for text in ("a", "b")]
    (row,) = (
        one for one in guard.ledger.rows(RowFilter(kind="approval")) if one.record["event"] == "approved"
    )
    assert (row.record["by"], row.record["approval"]["times"]) == ("carol", 2)
    assert [guard.ledger.row(one).record["verdict"]["approval"] for one in permits] == [grant, grant]
    used = guard.approvals.get(grant)
    assert ([use.decision for use in used.uses], used.consumed_by) == (permits, permits[1])


@pytest.mark.parametrize(
    ("shown", "other"),
    [
        (post(), post(channel="random")),
        (post(), post(channel="General")),
        (post(), post(channel=" general")),
        (post(), post(copy="mallory")),
        (post(), post(tags=["a"])),
        (post(tags=["a"]), post()),
        (post(tags=["a"]), post(tags=[{"copy": "mallory"}])),
        (post(copy="carol"), post(copy="mallory")),
        (post(options={}), post(options={"copy": "mallory"})),
        (post(), ToolCall(server="desk", tool="post", arguments={"channel": "general", "text": ["hello"]})),
        (post(), mail()),
        (mail(), mail(to="mallory@shop.example")),
        (mail(to="https://shop.example/a"), mail(to="https://shop.example/collect?note=1")),
        (mail(), mail(to="BOB@shop.example")),
        (pay(50), pay(50.01)),
        (pay(50), pay(50, account="DE2")),
        (pay(50), pay(50, currency="EUR")),
        (pay(50, currency="EUR"), pay(5, currency="USD")),
    ],
    ids=str,
)
def test_a_grant_is_for_no_call_that_goes_elsewhere_or_further(
    guard: Guard, chain: Chain, shown: ToolCall, other: ToolCall
) -> None:
    grant = granted(guard, chain, shown, by=TWO if shown.tool == "pay" else ("carol",))
    assert guard.authorize(other, chain).verdict.name != "permit"
    assert guard.approvals.get(grant).left == 3
    assert tried(guard, chain, shown) == GRANTED


@pytest.mark.parametrize(
    ("shown", "other"),
    [
        (post(), post("bye")),
        (post(tags=["a"], copy="carol"), post("x", tags=["b", "c"], copy="carol")),
        (mail(), mail(text="bye")),
        (pay(50, note="a"), pay(49.99, note="b")),
        (pay(50.5), pay(1)),
    ],
    ids=str,
)
def test_a_grant_is_for_calls_that_differ_in_what_names_nothing(
    guard: Guard, chain: Chain, shown: ToolCall, other: ToolCall
) -> None:
    granted(guard, chain, shown, by=TWO if shown.tool == "pay" else ("carol",))
    assert tried(guard, chain, other) == GRANTED


def test_a_grant_is_for_no_other_task_agent_or_hop(guard: Guard, chain: Chain) -> None:
    below = handed(guard, chain)
    granted(guard, below, post())
    assert tried(guard, chain, post()) == ASKED
    assert tried(guard, handed(guard, chain), post()) == ASKED
    assert tried(guard, task_of(guard), post()) == ASKED
    assert tried(guard, task_of(guard, "bob"), post()) == ASKED
    assert tried(guard, below, post()) == GRANTED


@pytest.mark.parametrize("tool", ["page", "secret"])
def test_a_grant_ends_where_the_task_has_taken_in_what_nobody_knew_of(
    guard: Guard, chain: Chain, tool: str
) -> None:
    grant = granted(guard, chain, post())
    assert tried(guard, chain, post("a")) == GRANTED
    permitted(guard, chain, read(tool))
    assert tried(guard, chain, post("b")) == ASKED
    assert guard.approvals.get(grant).left == 2


def test_what_the_task_had_taken_in_when_it_was_shown_ends_no_grant(guard: Guard, chain: Chain) -> None:
    permitted(guard, chain, read("page"))
    granted(guard, chain, post())
    permitted(guard, chain, read("page"))
    assert tried(guard, chain, post("b")) == GRANTED


def test_a_grant_is_for_no_text_that_carries_an_address_nobody_knows(guard: Guard, chain: Chain) -> None:
    granted(guard, chain, post("hello"))
    assert tried(guard, chain, post("see http://evil.example/x")) == ASKED
    assert tried(guard, chain, post("nothing to see")) == GRANTED


def test_a_grant_does_not_lift_what_another_policy_or_budget_refuses(
    tmp_path: Path, clock: FixedClock
) -> None:
    more = '@id("no") forbid (principal, action in Hopward::Action::"send", resource)\n'
    more += 'when { context.arguments has text && context.arguments.text == "bad" };\n'
    more += (
        '@id("late") @step_up("careful") forbid (principal, action in Hopward::Action::"send", resource)\n'
    )
    more += 'when { context.arguments has text && context.arguments.text == "odd" };'
    with closing(opened(tmp_path, clock, policy=POLICY + more)) as guard:
        chain = task_of(guard)
        granted(guard, chain, post())
        assert tried(guard, chain, post("bad")) == ("deny", "forbidden")
        assert tried(guard, chain, post("odd")) == ASKED
        granted(guard, chain, pay(600), by=TWO)
        assert tried(guard, chain, pay(600)) == GRANTED
        assert tried(guard, chain, pay(600)) == ("deny", "budget_exhausted")


def test_a_no_to_exactly_this_call_holds_whatever_was_granted(guard: Guard, chain: Chain) -> None:
    refused = guard.authorize(post("rude"), chain).approval
    guard.approvals.reject(refused, by="dave", why="rude")
    granted(guard, chain, post())
    assert tried(guard, chain, post("rude")) == ("deny", "approval_rejected")
    assert tried(guard, chain, post("polite")) == GRANTED


def test_what_waits_and_is_granted_is_asked_no_more(guard: Guard, chain: Chain) -> None:
    waiting = {text: guard.authorize(post(text), chain).approval for text in ("a", "b", "c")}
    others = [
        guard.authorize(post("a", channel="random"), chain).approval,
        guard.authorize(post("a"), task_of(guard)).approval,
    ]
    grant = granted(guard, chain, post(), times=3)
    assert [guard.approvals.get(one).state for one in waiting.values()] == ["void", "void", "pending"]
    assert [guard.approvals.get(one).state for one in others] == ["pending", "pending"]
    covered = guard.approvals.get(waiting["a"])
    assert (covered.replaced_by, guard.approvals.why_void(covered)) == (
        grant,
        f"A yes to several calls covers it: {grant}.",
    )
    assert {one.id for one in guard.approvals.find(("void",))} == {waiting["a"], waiting["b"]}
    with pytest.raises(StateError, match="covers it"):
        guard.approvals.approve(waiting["a"], by="dave")
    assert [tried(guard, chain, post(text)) for text in ("a", "b", "c")] == [GRANTED] * 3
    assert tried(guard, chain, post("a")) == ASKED
    events = [row.record["event"] for row in guard.ledger.rows(RowFilter(kind="approval"))]
    assert events.count("covered") == 2
    assert guard.ledger.verify().ok


def test_what_a_grant_does_not_cover_waits_on(guard: Guard, chain: Chain) -> None:
    more, less = guard.authorize(pay(51), chain).approval, guard.authorize(pay(49), chain).approval
    granted(guard, chain, pay(50), by=TWO)
    assert [guard.approvals.get(one).state for one in (more, less)] == ["pending", "void"]
    plain = guard.authorize(post("a"), chain).approval
    granted(guard, chain, post(), times=1)
    assert guard.approvals.get(plain).state == "pending"


def test_of_a_batch_as_many_calls_are_permitted_as_are_left(guard: Guard, chain: Chain) -> None:
    grant = granted(guard, chain, post(), times=2)
    found = guard.decide([(post(text), chain) for text in ("a", "b", "c")])
    assert [one.verdict.reason for one in found] == ["granted", "granted", "approval_required"]
    assert guard.approvals.get(grant).state == "consumed"


def test_the_calls_that_have_used_a_grant_may_be_followed_up_and_no_others(
    guard: Guard, chain: Chain
) -> None:
    granted(guard, chain, post("shown"), times=2)
    for text in ("a", "b"):
        permitted(guard, chain, post(text))
    assert [guard.would_permit(post(text), chain) for text in ("a", "b", "c", "shown")] == [
        *(True, True),
        *(False, False),
    ]


def test_a_grant_does_not_hold_while_the_agent_behaves_worse(tmp_path: Path, clock: FixedClock) -> None:
    risky = (
        CONFIG
        + '[risk.thresholds]\nstreak = 2\n[risk.actions]\nelevated = "none"\n[risk.weights]\nstreak = 30\n'
    )
    with closing(opened(tmp_path, clock, risky)) as guard:
        chain = task_of(guard)
        grant = granted(guard, chain, post())
        assert tried(guard, chain, post("a")) == GRANTED
        for number in range(3):
            guard.authorize(ToolCall(server="desk", tool=f"unknown{number}", arguments={}), chain)
        risky_call = guard.authorize(post("b"), chain)
        assert risky_call.verdict.name == "step-up"
        assert guard.approvals.get(risky_call.approval).risk == "elevated"
        assert guard.approvals.get(grant).left == 2


# When it ends


def test_a_grant_expires_like_any_yes(guard: Guard, chain: Chain, clock: FixedClock) -> None:
    grant = granted(guard, chain, post())
    clock.advance(899 * SECOND)
    assert tried(guard, chain, post("a")) == GRANTED
    clock.advance(SECOND)
    assert tried(guard, chain, post("b")) == ASKED
    assert guard.approvals.get(grant).state == "expired"


def test_a_grant_falls_with_its_task(guard: Guard, chain: Chain) -> None:
    grant = granted(guard, chain, post())
    guard.complete_task(chain.task)
    assert guard.approvals.get(grant).state == "void"
    assert tried(guard, chain, post()) == ("deny", "task_completed")


@pytest.mark.parametrize(("kind", "name"), [("agent", "assistant"), ("subject", "alice")])
def test_a_grant_falls_with_a_revocation(guard: Guard, chain: Chain, kind: Any, name: str) -> None:
    grant = granted(guard, chain, post())
    guard.revoke(kind, name, by="ops", why="test")
    assert guard.approvals.get(grant).state == "void"
    assert guard.authorize(post(), chain).verdict.name == "deny"


def test_a_change_of_the_policies_ends_a_grant(
    guard: Guard, chain: Chain, tmp_path: Path, clock: FixedClock
) -> None:
    grant = granted(guard, chain, post())
    (tmp_path / "policies" / "office.cedar").write_text(POLICY + "// the same, and yet another set\n")
    clock.advance(SECOND)
    assert tried(guard, chain, post("a")) == ASKED
    assert guard.approvals.get(grant).state == "void"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"ops"]\nmost_times = 5', '"ops"]\nmost_times = 5\npeople = 2'),
        ('"ops"]\nmost_times = 5', '"ops"]\nmost_times = 2'),
        ('"ops"]\nmost_times = 5', '"ops"]'),
        ('["carol", "dave", "ops"]', '["dave", "ops"]'),
        ('carries = ["text"]', ""),
    ],
)
def test_a_grant_ends_where_it_could_not_be_given_so_any_more(
    guard: Guard, chain: Chain, tmp_path: Path, clock: FixedClock, old: str, new: str
) -> None:
    granted(guard, chain, post())
    assert CONFIG.count(old) == 1
    (tmp_path / "hopward.toml").write_text(CONFIG.replace(old, new))
    with closing(Guard.open(tmp_path / "hopward.toml", clock=clock)) as restarted:
        assert tried(restarted, chain, post("a")) == ASKED
    assert tried(guard, chain, post("a")) == GRANTED


@pytest.mark.parametrize("by", ["carol", "alice"])
def test_a_grant_is_taken_back_by_one_no(guard: Guard, chain: Chain, by: str) -> None:
    grant = granted(guard, chain, post("shown"))
    assert tried(guard, chain, post("a")) == GRANTED
    with pytest.raises(StateError, match="needs a reason"):
        guard.approvals.reject(grant, by=by, why="")
    assert guard.approvals.reject(grant, by=by, why="enough").state == "rejected"
    assert tried(guard, chain, post("b")) == ASKED
    assert tried(guard, chain, post("shown")) == ("deny", "approval_rejected")
    events = [row.record["event"] for row in guard.ledger.rows(RowFilter(kind="approval", oldest_first=True))]
    assert "taken_back" in events
    with pytest.raises(StateError, match="rejected"):
        guard.approvals.reject(grant, by=by, why="enough")


def test_nobody_takes_a_grant_back_who_could_not_have_given_it(guard: Guard, chain: Chain) -> None:
    grant = granted(guard, chain, post())
    for by in ("mallory", "assistant", ""):
        with pytest.raises(StateError):
            guard.approvals.reject(grant, by=by, why="enough")
    assert guard.approvals.get(grant).state == "approved"


def test_a_yes_to_one_call_is_taken_back_as_long_as_it_is_not_used(guard: Guard, chain: Chain) -> None:
    approval = granted(guard, chain, post(), times=1)
    guard.approvals.reject(approval, by="dave", why="no")
    assert tried(guard, chain, post()) == ("deny", "approval_rejected")
    used = granted(guard, chain, post("a"), times=1)
    permitted(guard, chain, post("a"))
    with pytest.raises(StateError, match="consumed"):
        guard.approvals.reject(used, by="dave", why="no")


# Who may give it, and for what


def test_of_two_people_the_one_who_allows_less_counts(guard: Guard, chain: Chain) -> None:
    for said, holds in (((4, 2), 2), ((2, 4), 2), ((3, 1), 1), ((1, 3), 1), ((3, 3), 3)):
        asked = guard.authorize(pay(account=f"DE{said}"), chain).approval
        first = guard.approvals.approve(asked, by="carol", times=said[0])
        assert (first.state, first.times) == ("pending", said[0])
        second = guard.approvals.approve(asked, by="dave", times=said[1])
        assert (second.state, second.times) == ("approved", holds)
        assert [one.times for one in second.answers] == list(said)


def test_one_of_two_people_grants_nothing(guard: Guard, chain: Chain) -> None:
    asked = guard.authorize(pay(), chain).approval
    guard.approvals.approve(asked, by="carol", times=3)
    assert tried(guard, chain, pay()) == ASKED
    assert tried(guard, chain, pay(5)) == ASKED


@pytest.mark.parametrize("by", ["alice", "mallory", "assistant"])
def test_who_may_not_approve_may_not_grant(guard: Guard, chain: Chain, by: str) -> None:
    asked = guard.authorize(post(), chain).approval
    with pytest.raises(StateError):
        guard.approvals.approve(asked, by=by, times=2)
    assert guard.approvals.get(asked).state == "pending"


@pytest.mark.parametrize(
    ("call", "times", "why"),
    [
        (post(), 6, "5 calls at most"),
        (post(), 0, "is none"),
        (post(), -1, "is none"),
        (ToolCall(server="desk", tool="cash", arguments={"amount": 5}), 2, "does not say how much"),
        (ToolCall(server="desk", tool="delete", arguments={"id": "n"}), 2, "of careful is to one call"),
        (LETTER, 2, "nobody knows where text or to might lead it"),
    ],
    ids=str,
)
def test_what_nobody_may_grant_is_refused_with_the_reason(
    guard: Guard, chain: Chain, call: ToolCall, times: int, why: str
) -> None:
    asked = guard.authorize(call, chain).approval
    with pytest.raises(StateError, match=why):
        guard.approvals.approve(asked, by="carol", times=times)
    assert guard.approvals.get(asked).answers == ()


def test_calls_whose_arguments_are_hidden_are_approved_one_at_a_time(
    tmp_path: Path, clock: FixedClock
) -> None:
    digests = CONFIG + '\n[log]\narguments = "digest"\n'
    with closing(opened(tmp_path, clock, digests)) as guard:
        chain = task_of(guard)
        asked = guard.authorize(post(), chain).approval
        with pytest.raises(StateError, match="does not keep"):
            guard.approvals.approve(asked, by="carol", times=2)
        assert guard.approvals.most_times(guard.approvals.get(asked)) == 1


def test_work_that_is_handed_on_is_approved_each_time(tmp_path: Path, clock: FixedClock) -> None:
    held = '@step_up("editors") forbid (principal, action == Hopward::Action::"delegate", resource);'
    with closing(opened(tmp_path, clock, policy=POLICY + held)) as guard:
        with pytest.raises(AssertionError):
            handed(guard, task_of(guard))
        (asked,) = guard.approvals.find()
        with pytest.raises(StateError, match="approved each time"):
            guard.approvals.approve(asked.id, by="carol", times=2)


def test_arguments_that_a_person_changed_can_be_granted(guard: Guard, chain: Chain) -> None:
    asked = guard.authorize(pay(90), chain).approval
    edited = guard.approvals.approve(asked, by="carol", times=2, arguments={"account": "DE1", "amount": 20})
    assert guard.approvals.approve(edited.id, by="dave", times=2).times == 2
    assert tried(guard, chain, pay(21)) == ASKED
    assert [tried(guard, chain, pay(amount)) for amount in (5, 20)] == [GRANTED, GRANTED]


@pytest.mark.parametrize("times", ["0", "101"])
def test_how_many_calls_a_yes_may_hold_for_is_bounded(tmp_path: Path, clock: FixedClock, times: str) -> None:
    with pytest.raises(ConfigError) as refused:
        opened(tmp_path, clock, CONFIG.replace("most_times = 5", f"most_times = {times}"))
    assert "most_times: must be 1 to 100" in str(refused.value)


def test_a_person_is_told_what_a_grant_leaves_open(guard: Guard, chain: Chain) -> None:
    asked = guard.authorize(pay(50, note="x"), chain).approval
    assert guard.approvals.summary(guard.approvals.get(asked)).holds == (
        "this call, or up to 4 such calls of this task: amount up to 50.00 EUR, any note; all else as shown"
    )
    grant = granted(guard, chain, post())
    permitted(guard, chain, post())
    assert guard.approvals.summary(guard.approvals.get(grant)).holds == (
        "up to 3 such calls of this task, 2 of them left: any text; all else as shown"
    )


# Questions that ask the same, and how many there may be


def waiting(guard: Guard, chain: Chain, call: ToolCall | None = None) -> str:
    decision = guard.authorize(call or post(), chain)
    assert told(decision) == ASKED
    return decision.approval


def test_what_asks_the_same_is_answered_together_each_with_its_own_row(guard: Guard, chain: Chain) -> None:
    shown, below, other = (
        waiting(guard, chain),
        waiting(guard, handed(guard, chain)),
        waiting(guard, task_of(guard, "bob")),
    )
    own = waiting(guard, task_of(guard, "carol"))
    apart = waiting(guard, chain, post("another"))
    same = guard.approvals.same(guard.approvals.get(shown))
    assert {one.id for one in same} == {below, other, own}
    found = guard.approvals.answer_same(
        shown, among=[one.id for one in same], yes=True, by="carol", why="go on"
    )
    assert {one.id for one in found.answered} == {shown, below, other}
    ((left, why),) = found.left
    assert (left.id, "on behalf of carol" in why) == (own, True)
    assert [guard.approvals.get(one).state for one in (own, apart)] == ["pending", "pending"]
    rows = [
        row.record
        for row in guard.ledger.rows(RowFilter(kind="approval"))
        if row.record["event"] == "approved"
    ]
    assert {row["approval"]["id"]: row["approval"]["answers"][0]["same_as"] for row in rows} == {
        shown: "",
        below: shown,
        other: shown,
    }
    assert tried(guard, chain, post()) == ("permit", "approved")
    assert tried(guard, chain, post()) == ASKED


@pytest.mark.parametrize("by", ["mallory", "assistant"])
def test_who_may_answer_none_of_what_asks_the_same_is_told_why(guard: Guard, chain: Chain, by: str) -> None:
    shown, other = waiting(guard, chain), waiting(guard, task_of(guard))
    with pytest.raises(StateError):
        guard.approvals.answer_same(shown, among=[other], yes=True, by=by)
    assert [guard.approvals.get(one).state for one in (shown, other)] == ["pending", "pending"]


def test_the_subject_of_the_first_may_still_answer_what_others_ask(guard: Guard) -> None:
    own, other = waiting(guard, task_of(guard, "carol")), waiting(guard, task_of(guard))
    found = guard.approvals.answer_same(own, among=[other], yes=True, by="carol")
    assert [one.id for one in found.answered] == [other]
    assert [one.id for one, _ in found.left] == [own]


def test_what_a_person_would_be_shown_otherwise_does_not_ask_the_same(guard: Guard, chain: Chain) -> None:
    shown = waiting(guard, chain)
    tainted = task_of(guard)
    permitted(guard, tainted, read("page"))
    waiting(guard, tainted)
    ended = task_of(guard)
    waiting(guard, ended)
    guard.complete_task(ended.task)
    assert guard.approvals.same(guard.approvals.get(shown)) == []


def test_a_no_ends_all_that_ask_the_same(guard: Guard, chain: Chain) -> None:
    shown, other = waiting(guard, chain), waiting(guard, task_of(guard))
    with pytest.raises(StateError, match="reason"):
        guard.approvals.answer_same(shown, among=[other], yes=False, by="carol")
    found = guard.approvals.answer_same(shown, among=[other], yes=False, by="carol", why="no")
    assert [one.state for one in found.answered] == ["rejected", "rejected"]
    assert {one.id for one in found.answered} == {shown, other}


def test_so_many_questions_wait_on_behalf_of_one_subject(tmp_path: Path, clock: FixedClock) -> None:
    limited = CONFIG.replace("expires_in = 900", "expires_in = 900\nmost_pending_of_subject = 4")
    with closing(opened(tmp_path, clock, limited)) as guard:
        chains = [task_of(guard) for _ in range(3)]
        asked = [waiting(guard, one, post(str(text))) for one in chains[:2] for text in range(2)]
        assert tried(guard, chains[2], post()) == ("deny", "approvals_exhausted")
        assert tried(guard, handed(guard, chains[0]), post()) == ("deny", "approvals_exhausted")
        assert tried(guard, task_of(guard, "bob"), post()) == ASKED
        guard.approvals.approve(asked[0], by="carol")
        assert tried(guard, chains[2], post()) == ASKED
        assert tried(guard, chains[2], post("more")) == ("deny", "approvals_exhausted")
        guard.complete_task(chains[1].task)
        assert tried(guard, chains[2], post("more")) == ASKED


def test_agents_of_a_task_share_how_many_questions_are_asked_in_an_hour(
    tmp_path: Path, clock: FixedClock
) -> None:
    limited = CONFIG.replace("expires_in = 900", "expires_in = 900\nmost_per_hour = 3")
    with closing(opened(tmp_path, clock, limited)) as guard:
        chain = task_of(guard)
        hops = [handed(guard, chain) for _ in range(2)]
        for number, one in enumerate((chain, *hops)):
            guard.approvals.reject(waiting(guard, one, post(str(number))), by="carol", why="no")
        for one in (chain, *hops):
            assert tried(guard, one, post("more")) == ("deny", "approvals_exhausted")
        assert tried(guard, task_of(guard), post()) == ASKED


# What a grant is bound to

TOOL = Tool(
    server="desk",
    name="post",
    action="send",
    sensitivity="internal",
    integrity="trusted",
    destination="channel:{channel}",
    arguments={"channel": "string", "text": "string", "size": "integer"},
    names=("channel",),
)
QUESTION = Question(
    chain=a_chain(actors=("helper", "other"), hops=("hop_1",)),
    server="desk",
    tool="post",
    digest="sha-256:1",
    arguments={},
    verdict=Verdict(name="step-up", reason="approval_required", sentence="", policies=("a",), policy_set="p"),
    facts=Facts(
        *("alice", "task_1", "notes", "notes", ("helper", "other"), 1, 1),
        destinations=("channel:general",),
        currency="EUR",
        step="tell",
    ),
    groups=("editors",),
    at=NOON,
    classification=TOOL,
    pin="sha-256:2",
    given={"channel": "general", "text": "hello", "extra": [1]},
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
        {"classification": replace(TOOL, carries=("text",))},
        {"pin": "sha-256:3"},
        {"verdict": replace(QUESTION.verdict, policies=("a", "b"))},
        {"verdict": replace(QUESTION.verdict, policy_set="q")},
        {"facts": replace(QUESTION.facts, destinations=("channel:random",))},
        {"facts": replace(QUESTION.facts, destinations=("channel:general", "channel:random"))},
        {"facts": replace(QUESTION.facts, currency="USD")},
        {"facts": replace(QUESTION.facts, step="shout")},
        {"given": {**QUESTION.given, "extra": [2]}},
        {"given": {"channel": "general", "text": "hello"}},
    ],
    ids=str,
)
def test_all_that_the_calls_of_a_grant_have_in_common_is_in_what_it_is_found_by(
    changed: dict[str, Any],
) -> None:
    assert alike_to(replace(QUESTION, **changed), NEEDED) != alike_to(QUESTION, NEEDED)
    more = (ApproverNeed(group="editors", people=2),)
    assert alike_to(QUESTION, more) != alike_to(QUESTION, NEEDED)


def test_a_grant_is_never_found_by_what_one_exact_call_is_bound_to() -> None:
    assert alike_to(QUESTION, NEEDED) != bound_to(QUESTION, NEEDED)
    assert alike_to(replace(QUESTION, classification=None), NEEDED) == ""


VALUES: tuple[JSON, ...] = (
    None,
    True,
    False,
    0,
    1,
    1.5,
    "",
    "a",
    "A",
    "any",
    "string",
    [],
    ["a"],
    [1],
    {},
    {"a": 1},
)
calls = st.dictionaries(
    st.sampled_from(["channel", "text", "size", "extra"]), st.sampled_from(VALUES), max_size=4
)


@given(calls, calls)
def test_calls_are_alike_exactly_if_they_differ_in_free_arguments_of_their_type(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    def frozen(call: dict[str, Any]) -> list[tuple[str, str]]:
        is_free = {"text": str, "size": int}
        return sorted(
            (name, "free" if name in is_free and type(value) is is_free[name] else f"is {value!r}")
            for name, value in call.items()
        )

    found = [alike_to(replace(QUESTION, given=call), NEEDED) for call in (one, other)]
    assert (found[0] == found[1]) == (frozen(one) == frozen(other))


GRANT = an_approval(
    state="approved",
    times=2,
    amount=500_000,
    currency="EUR",
    provenance={"channel": "trusted"},
    taken=Taken(sensitivity="internal", integrity="untrusted", untrusted=("web",)),
    classification=TOOL,
)
FACTS = replace(
    QUESTION.facts,
    amount=500_000,
    provenance={"channel": "trusted"},
    taken_sensitivity="internal",
    taken_integrity="untrusted",
    untrusted_servers=("web",),
)


@pytest.mark.parametrize(
    ("changed", "holds"),
    [
        ({}, True),
        ({"amount": 500_001}, False),
        ({"amount": 1}, True),
        ({"provenance": {"channel": "untrusted"}}, False),
        ({"provenance": {"channel": "anchored"}}, True),
        ({"provenance": {}}, False),
        ({"provenance": {"channel": "anchored", "copy": "anchored"}}, False),
        ({"carried_untrusted": 1}, False),
        ({"risk": Risk("elevated", 25)}, False),
        ({"taken_sensitivity": "confidential"}, False),
        ({"taken_sensitivity": "public", "taken_integrity": "trusted", "untrusted_servers": ()}, True),
        ({"untrusted_servers": ("mail", "web")}, False),
    ],
    ids=str,
)
def test_a_grant_covers_nothing_worse_than_what_was_shown(changed: dict[str, Any], holds: bool) -> None:
    assert covers(GRANT, replace(FACTS, **changed), NOON) == holds


@pytest.mark.parametrize("state", ["pending", "rejected", "consumed"])
def test_only_what_is_approved_covers_anything(state: Any) -> None:
    assert not covers(replace(GRANT, state=state), FACTS, NOON)
    assert not covers(GRANT, FACTS, GRANT.expires_at)


@pytest.mark.parametrize(
    ("tool", "holds"),
    [
        (replace(TOOL, server="web", integrity="untrusted"), True),
        (replace(TOOL, integrity="untrusted"), False),
        (replace(TOOL, server="web"), False),
        (replace(TOOL, server="web", integrity="untrusted", sensitivity="public"), False),
        (None, False),
    ],
    ids=str,
)
def test_what_the_tool_itself_returns_ends_no_grant(tool: Any, holds: bool) -> None:
    assert covers(replace(GRANT, taken=Taken(), classification=tool), FACTS, NOON) == holds


def test_only_what_was_shown_is_answered_along_and_what_is_left_is_named(guard: Guard, chain: Chain) -> None:
    shown, other, gone = waiting(guard, chain), waiting(guard, task_of(guard)), waiting(guard, task_of(guard))
    late, apart = waiting(guard, task_of(guard)), waiting(guard, chain, post("another"))
    guard.approvals.reject(gone, by="dave", why="no")
    found = guard.approvals.answer_same(shown, among=[other, gone, apart], yes=True, by="carol")
    assert [one.id for one in found.answered] == [shown, other]
    assert {one.id for one, _ in found.left} == {gone, apart}
    assert [guard.approvals.get(one).state for one in (late, apart)] == ["pending", "pending"]
