"""The token of a hop: minted for what the guard has permitted, durable first, or the hop is ended again."""

import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hopward import capability, pattern
from hopward.chain import entered, scope_of
from hopward.claims import Party
from hopward.clock import SECOND
from hopward.constraint import Pattern, Range
from hopward.errors import ExchangeRefusedError, LedgerError
from hopward.handover import carried
from hopward.identity import Identifier
from hopward.issuer.handing import handed
from hopward.jose import MAX_TOKEN
from hopward.jwk import thumbprint
from hopward.model import (
    Budget,
    Capability,
    Chain,
    Decision,
    Delegation,
    Narrowing,
    Task,
    ToolCall,
    Verdict,
)
from hopward.record import Draft, Receipt, Standing
from hopward.testing.clock import NOON
from hopward.testing.installation import DESK, EVERYTHING, ISSUER
from hopward.testing.samples import a_chain

from . import test_issuer
from .handing import AGENTS, READING, Office, an_office, work

CALL = ToolCall(server="desk", tool="read")


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    made = an_office(tmp_path)
    with closing(made.place.ledger):
        yield made


def refusal(office: Office, agent: str, to: str, subject: str, asked: Narrowing | None = None) -> str:
    """Error and sentence of work that is not handed on."""
    with pytest.raises(ExchangeRefusedError) as refused:
        office.hand(agent, to, subject, asked)
    return f"{refused.value.error}: {refused.value.message}"


def test_the_token_says_what_the_hop_is_and_who_must_act(office: Office) -> None:
    task = office.place.open_task()
    issued = office.hand("helper", "other", office.task_token(task))
    presented = office.place.issuer.verify(issued.token)
    (hop,) = office.place.ledger.hops(task.id)
    assert (presented.subject, presented.task, presented.hops) == ("alice", task.id, (hop.id,))
    assert (presented.actors, presented.client) == (("helper",), "other")
    assert presented.may_act == Party(issuer=ISSUER, subject="agent:other")
    assert presented.expires_at == hop.expires_at == NOON + 300 * SECOND
    assert presented.scope == pattern.normal(scope_of(hop.capabilities))
    assert hop.key == thumbprint(office.place.keys["other"].public_jwk())
    answer = issued.answer()
    assert (answer["token_type"], answer["expires_in"]) == ("N_A", 300)
    assert answer["authorization_details"] == carried(hop)


def test_an_agent_without_a_key_is_handed_work_that_stays_here(office: Office) -> None:
    settings = office.place.settings
    keyless = msgspec.structs.replace(settings.agents["other"], key={})
    settings.agents["other"] = keyless
    task = office.place.open_task()
    assert office.hand("helper", "other", office.task_token(task))
    (hop,) = office.place.ledger.hops(task.id)
    assert hop.key == ""


def test_a_restricted_orchestrator_hands_on_over_oauth_what_it_cannot_call(office: Office) -> None:
    """Its own token reaches nothing at all; the right to hand on is another one."""
    task = office.place.open_task()
    restricted = msgspec.structs.replace(task, capabilities=())
    office.place.ledger.put_task(restricted, Draft(kind="task", at=NOON, record={}))
    subject = office.task_token(restricted)
    assert office.place.issuer.verify(subject).scope == ()
    with pytest.raises(ExchangeRefusedError, match="scope"):
        office.enter("helper", subject)
    hop_token = office.hand("helper", "other", subject).token
    chain = office.chain(office.enter("other", hop_token).token)
    assert office.guard.authorize(CALL, chain).permitted


def test_the_callers_chain_is_the_one_the_guard_has_permitted(office: Office) -> None:
    task = office.place.open_task()
    hop_token = office.hand("helper", "other", office.task_token(task)).token
    access = office.enter("other", hop_token).token
    chain = Identifier(keyring=office.place.keyring, issuer=ISSUER, clock=office.place.clock).identify(
        access, DESK
    )
    (hop,) = office.place.ledger.hops(task.id)
    assert (chain.actors, chain.hops, chain.task) == (("helper", "other"), (hop.id,), task.id)
    decision = office.guard.authorize(CALL, chain)
    assert decision.permitted, decision.verdict
    minted = office.place.issuer.verify(office.guard.mint(decision, CALL))
    assert (minted.actors, minted.hops) == (chain.actors, chain.hops)
    assert office.place.ledger.usage(hop.id).calls == 1


def test_what_the_proxy_decides_about_a_call_is_the_hops_and_not_the_tasks(office: Office) -> None:
    task = office.place.open_task()
    refund = ToolCall(server="desk", tool="refund")
    own = office.chain(office.enter("helper", office.task_token(task)).token)
    assert office.guard.authorize(refund, own).permitted
    hop_token = office.hand("helper", "other", office.task_token(task)).token
    handed = office.chain(office.enter("other", hop_token).token)
    assert office.guard.authorize(refund, handed).verdict.reason == "outside_hop"


def test_work_handed_on_in_this_process_is_taken_up_over_oauth(office: Office) -> None:
    """By an agent that is elsewhere: the hop's token goes to it, as a task's does."""
    task = office.place.open_task()
    opened = office.guard.delegate(entered(task), "other", work())
    issued = office.place.issuer.hop_token(opened, office.place.ledger)
    assert opened.chain is not None
    chain = office.chain(office.enter("other", issued.token).token)
    assert (chain.actors, chain.hops) == (opened.chain.actors, opened.chain.hops)
    assert office.guard.authorize(CALL, chain).permitted
    again = office.place.issuer.hop_token(opened, office.place.ledger)
    office.guard.complete_hop(opened.chain)
    for token in (issued.token, again.token):
        with pytest.raises(ExchangeRefusedError, match="completed"):
            office.enter("other", token)
    refused = office.guard.delegate(entered(task), "helper", work())
    for late in (opened, refused):
        with pytest.raises(ExchangeRefusedError, match=r"completed|actor_twice"):
            office.place.issuer.hop_token(late, office.place.ledger)


def test_a_capability_that_is_not_well_written_is_refused_before_any_decision(office: Office) -> None:
    subject = office.task_token(office.place.open_task())
    for wrong in (
        {"tools": ()},
        {"tools": ("de*sk",)},
        {"constraints": {"a": ()}},
        {"constraints": {"a": (Pattern("("),)}},
        {"constraints": {"a": (Range(minimum=3, maximum=1),)}},
    ):
        for name in ("capabilities", "delegable"):
            asked = work(**{name: (msgspec.structs.replace(READING, **wrong),)})
            assert refusal(office, "helper", "other", subject, asked).startswith(
                "invalid_authorization_details: The authorization_details are not a delegation: "
            )
    assert [row for row in office.place.ledger.rows() if row.kind == "decision"] == []


# Durable before it is signed, or ended again.


class Meddling(test_issuer.Meddling):
    """It meddles with the token of a hop alone, not with the decision before it."""

    def standing(self, chain: Chain) -> Standing:
        return super().standing(chain) if chain.hops else self.place.ledger.standing(chain)


class Failing(Meddling):
    """A book whose disk is full when the token's row is written."""

    def record(self, drafts: Sequence[Draft]) -> list[Receipt]:
        raise LedgerError("The disk is full.")


class Ending:
    """A guard after whose permit something happens before the token is there."""

    def __init__(self, office: Office, then: str) -> None:
        self.office, self.then = office, then

    def delegate(self, chain: Chain, to_agent: str, narrowed: Narrowing, key: str = "") -> Delegation:
        found = self.office.guard.delegate(chain, to_agent, narrowed, key)
        assert found.chain is not None
        if self.then == "completed":
            self.office.guard.complete_hop(found.chain)
        elif self.then == "expired":
            self.office.place.clock.advance(300 * SECOND)
        elif self.then == "less than a second":
            self.office.place.clock.advance(299 * SECOND + SECOND // 2)
        else:
            self.office.place.revoke("hop", found.chain.hops[-1])
        return found

    def complete_hop(self, chain: Chain) -> None:
        self.office.guard.complete_hop(chain)


def tokens(office: Office) -> int:
    rows = office.place.ledger.rows()
    return sum(row.kind == "credential" and bool(row.record["credential"]["hops"]) for row in rows)


def test_a_token_is_recorded_only_on_the_standing_it_was_checked_on(office: Office) -> None:
    subject = office.task_token(office.place.open_task())
    assert office.hand("helper", "other", subject, book=Meddling(office.place, 3))
    assert tokens(office) == 1
    with pytest.raises(ExchangeRefusedError) as refused:
        office.hand("helper", "other", subject, book=Meddling(office.place, 4))
    assert refused.value.error == "temporarily_unavailable"
    assert tokens(office) == 1


@pytest.mark.parametrize("book", [Failing, Meddling])
def test_a_hop_that_no_token_comes_of_is_ended_and_its_budget_given_back(
    office: Office, book: type[Meddling]
) -> None:
    task = office.place.open_task()
    with pytest.raises((LedgerError, ExchangeRefusedError)):
        office.hand("helper", "other", office.task_token(task), book=book(office.place, 9))
    (hop,) = office.place.ledger.hops(task.id)
    assert hop.state == "completed"
    assert office.place.ledger.usage(task.id).calls == 1
    assert tokens(office) == 0


@pytest.mark.parametrize("then", ["completed", "revoked", "expired", "less than a second"])
def test_what_has_ended_since_the_permit_gets_no_token(office: Office, then: str) -> None:
    office.place.clock.advance(SECOND // 2)
    task = office.place.open_task()
    with pytest.raises(ExchangeRefusedError, match=f"(?i){then.replace('expired', 'expired|over')}"):
        office.hand("helper", "other", office.task_token(task), guard=Ending(office, then))
    (hop,) = office.place.ledger.hops(task.id)
    assert hop.state == "completed"
    assert tokens(office) == 0


class Completing(Meddling):
    """A book in which the hop ends between the look at standing and the record of its token."""

    def record(self, drafts: Sequence[Draft]) -> list[Receipt]:
        (draft,) = drafts
        if draft.hops and self.times:
            self.times = 0
            self.place.ledger.complete_hop(draft.hops[-1], Draft(kind="hop", at=NOON, record={}))
        return self.place.ledger.record(drafts)

    def standing(self, chain: Chain) -> Standing:
        return self.place.ledger.standing(chain)


def test_a_hop_that_ends_while_its_token_is_recorded_gets_none(office: Office) -> None:
    subject = office.task_token(office.place.open_task())
    with pytest.raises(ExchangeRefusedError, match="completed"):
        office.hand("helper", "other", subject, book=Completing(office.place, 1))
    assert tokens(office) == 0


def test_the_scope_of_a_hop_is_spelled_without_what_lies_within_another_entry(office: Office) -> None:
    subject = office.task_token(office.place.open_task())
    wide = msgspec.structs.replace(READING, tools=("desk/*",), actions=("pay",))
    issued = office.hand("helper", "other", subject, work(capabilities=(READING, wide)))
    assert issued.scope == ("desk/*",)


def test_every_token_that_is_signed_can_be_read(office: Office) -> None:
    """Whatever its size: what is too long is refused before its row, and nothing lies in between."""
    task = office.place.open_task()
    refused = 0
    for count in range(46, 76):
        tools = tuple(f"desk/{i}-{'x' * 80}" for i in range(count))
        wide = msgspec.structs.replace(READING, tools=tools, destinations=("*",))
        large = msgspec.structs.replace(task, id=f"task_{count}", delegable=(wide,))
        office.place.ledger.put_task(large, Draft(kind="task", at=NOON, record={}))
        asked = work(capabilities=(EVERYTHING,), delegable=())
        try:
            issued = office.hand("helper", "other", office.task_token(large), asked)
        except ExchangeRefusedError:
            refused += 1
            continue
        assert not refused
        assert len(issued.token) <= MAX_TOKEN
        assert office.place.issuer.verify(issued.token).hops
    assert 5 < refused < 25


@pytest.mark.parametrize(
    ("error", "reasons"),
    [
        ("invalid_target", ["no_policy", "forbidden", "approval_required", "policy_error"]),
        ("invalid_target", ["actor_twice", "chain_too_long", "depth_exhausted", "fan_out_exhausted"]),
        ("invalid_target", [f"agent_{why}" for why in ("unregistered", "suspended", "retired", "revoked")]),
        ("invalid_authorization_details", ["nothing_delegated", "narrowing_invalid", "budget_exhausted"]),
        ("temporarily_unavailable", ["standing_unsettled", "log_unavailable"]),
        ("server_error", ["internal_error"]),
        ("invalid_request", ["task_expired", "task_revoked", "hop_completed", "token_revoked", "x"]),
    ],
)
def test_each_reason_has_its_oauth_error_and_names_the_decision(error: str, reasons: list[str]) -> None:
    for reason in reasons:
        verdict = Verdict(name="deny", reason=reason, sentence="Because.")
        decision = Decision(
            id="dec_7",
            at=NOON,
            verdict=verdict,
            call_digest="",
            server="",
            tool="delegate:other",
            chain=a_chain(),
        )
        with pytest.raises(ExchangeRefusedError) as refused:
            handed(Delegation(decision=decision))
        assert refused.value.error == error
        assert refused.value.message == f"Decision dec_7 ({reason}): Because."


def test_what_does_not_fit_into_a_token_is_not_handed_on(office: Office) -> None:
    """Short to ask for, long once it is met with what may be handed on."""
    task = office.place.open_task()
    narrow = [
        msgspec.structs.replace(READING, tools=(f"desk/{i}-{'x' * 100}*",), destinations=("*",))
        for i in range(80)
    ]
    office.place.ledger.put_task(
        msgspec.structs.replace(task, delegable=tuple(narrow)), Draft(kind="task", at=NOON, record={})
    )
    asked = work(capabilities=(EVERYTHING,), delegable=())
    assert "does not fit" in refusal(office, "helper", "other", office.task_token(task), asked)
    (hop,) = office.place.ledger.hops(task.id)
    assert hop.state == "completed"


# Nothing grows on the way.

WIDTHS = st.sampled_from(
    [
        EVERYTHING,
        READING,
        msgspec.structs.replace(EVERYTHING, tools=("*",), sensitivity="restricted"),
        msgspec.structs.replace(EVERYTHING, tools=("desk/r*",), constraints={"n": (Range(maximum=5),)}),
        msgspec.structs.replace(EVERYTHING, tools=("files/*", "other/*")),
    ]
)
STEPS = st.tuples(
    st.sampled_from(("", "", "", *AGENTS)),
    st.sampled_from(AGENTS),
    st.integers(0, 30),
    st.builds(
        Narrowing,
        purpose=st.just("p"),
        capabilities=st.lists(WIDTHS, max_size=2).map(tuple),
        delegable=st.lists(WIDTHS, max_size=2).map(tuple),
        budget=st.builds(Budget, calls=st.integers(0, 200), writes=st.integers(0, 2)),
        expires_in=st.sampled_from([1, 60, 9_999]),
        shared=st.booleans(),
        depth=st.integers(0, 3),
        fan_out=st.integers(0, 3),
    ),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(STEPS, max_size=10), WIDTHS, WIDTHS)
def test_no_series_of_exchanges_exceeds_its_task(
    steps: list[tuple[str, str, int, Narrowing]], callable_: Capability, delegable: Capability
) -> None:
    """Whoever hands whichever token on to whomever: authority, life and subject only shrink."""
    with TemporaryDirectory() as folder:
        office = an_office(Path(folder))
        with closing(office.place.ledger):
            opened = office.place.open_task(seconds=600)
            changes = {"capabilities": (callable_,), "delegable": (delegable,)}
            task = msgspec.structs.replace(opened, **changes)
            office.place.ledger.put_task(task, Draft(kind="task", at=NOON, record={}))
            held = [office.task_token(task)]
            for agent, to, number, asked in steps:
                subject = held[number % len(held)]
                try:
                    who = agent or office.place.issuer.verify(subject).client
                    held.append(office.hand(who, to, subject, asked).token)
                except ExchangeRefusedError:
                    continue
                within_the_task(office, held[-1], subject, task)


def within_the_task(office: Office, token: str, parent: str, task: Task) -> None:
    child, above = office.place.issuer.verify(token), office.place.issuer.verify(parent)
    *_, hop = (one.hop for one in office.place.ledger.standing(child.chain).hops)
    assert (child.task, child.subject) == (task.id, "alice")
    assert child.expires_at <= min(above.expires_at, task.expires_at)
    assert child.hops == (*above.hops, hop.id)
    assert child.actors == (*above.actors, above.client)
    assert set(above.ancestry) <= set(child.lineage)
    for granted in (*hop.capabilities, *hop.delegable):
        assert any(capability.within(granted, most) for most in task.delegable)
    assert hop.budget.calls <= task.budget.calls
    assert hop.budget.writes <= task.budget.writes
    *_, link = (one.hop for one in office.place.ledger.standing(above.chain).hops) if above.hops else (task,)
    assert hop.depth < max(link.depth, 1)
    assert hop.fan_out <= link.fan_out
    try:
        access = office.enter(child.client, token)
    except ExchangeRefusedError:
        return
    presented = office.place.issuer.verify(access.token)
    assert presented.expires_at <= child.expires_at
    assert presented.actors == (*child.actors, child.client)
    for name in presented.scope:
        assert any(pattern.within(name, entry) for entry in scope_of(task.delegable))


def test_a_chain_entered_here_and_one_over_oauth_are_bounded_alike(office: Office) -> None:
    """The same wish, decided in this process and at the authority, leads to hops that carry the same."""
    task = office.place.open_task()
    here = office.guard.delegate(entered(task), "other", work())
    there = office.hand("helper", "other", office.task_token(task))
    one, two = office.place.ledger.hops(task.id)
    assert here.chain is not None
    assert json.dumps(carried(one)) == json.dumps(carried(two))
    assert there.answer()["authorization_details"] == carried(one)
