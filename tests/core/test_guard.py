"""The guard over the memory ledger and the real policy engine: order of checks, fail-closed, one commit."""

import math
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from hopward.canonical import JSON, compact, digest
from hopward.cedar import CedarEngine
from hopward.chain import entered
from hopward.classification import Classifications, entry_of
from hopward.clock import SECOND, Instant
from hopward.constraint import Range
from hopward.errors import ChainError, ExchangeRefusedError, HopwardError, LedgerError
from hopward.evaluation import Sources, call_digest
from hopward.guard import Guard
from hopward.ledger.chain import entry
from hopward.model import (
    Agent,
    Budget,
    Capability,
    Chain,
    Credential,
    Outcome,
    Revocation,
    RevocationKind,
    Task,
    Tool,
    ToolCall,
)
from hopward.pinning import Pins
from hopward.record import Draft, Receipt, Standing
from hopward.redaction import Redaction
from hopward.settings import ApprovalSettings, ApproverGroup, LogSettings
from hopward.testing.clock import NOON, FixedClock
from hopward.testing.ledger import MemoryLedger
from hopward.testing.samples import a_hop

READ = Tool(
    server="desk",
    name="read_ticket",
    action="read",
    sensitivity="internal",
    integrity="untrusted",
    destination="desk",
    arguments={"ticket": "string"},
)
REFUND = Tool(
    server="desk",
    name="refund",
    action="pay",
    sensitivity="internal",
    integrity="trusted",
    destination="payments",
    arguments={"amount": "decimal"},
)
TICKETS = Tool(
    server="desk",
    name="resource:ticket://*",
    action="read",
    sensitivity="internal",
    integrity="untrusted",
    destination="desk",
)
FORBIDDEN = Tool(
    server="desk",
    name="shred",
    action="delete",
    sensitivity="internal",
    integrity="trusted",
    destination="desk",
)
POLICY = """
@id("reads") permit (principal, action in Hopward::Action::"read", resource);
@id("pays") permit (principal, action in Hopward::Action::"pay", resource);
"""
EVERYTHING = Capability(
    tools=("desk/*",), actions=("read", "pay", "delete"), sensitivity="restricted", destinations=("*",)
)
READING = Capability(tools=("desk/*",), actions=("read",), sensitivity="internal", destinations=("desk",))
REFUNDS = Capability(
    tools=("desk/refund",),
    actions=("pay",),
    sensitivity="internal",
    destinations=("payments",),
    constraints={"amount": (Range(minimum=0, maximum=50),)},
)
AGENT = Agent(
    id="assistant",
    owner="ops",
    purpose="tickets",
    state="active",
    ceiling=(EVERYTHING,),
    delegable=(EVERYTHING,),
)
TASK = Task(
    id="task_1",
    subject="alice",
    agent="assistant",
    purpose="answer a ticket",
    workflow="tickets",
    capabilities=(READING, REFUNDS),
    budget=Budget(calls=5, writes=2),
    opened_at=NOON,
    expires_at=NOON + 600 * SECOND,
    state="open",
    delegable=(EVERYTHING,),
    depth=2,
    fan_out=2,
)
READ_CALL = ToolCall(server="desk", tool="read_ticket", arguments={"ticket": "T-1"})


def refund(amount: float) -> ToolCall:
    return ToolCall(server="desk", tool="refund", arguments={"amount": amount})


class Exchange:
    """Plans as the issuer does, without keys; may be told to refuse."""

    def __init__(self) -> None:
        self.refusing = False
        self.count = 0

    def plan(self, call: ToolCall, chain: Chain, task: Task, now: Instant) -> Credential:
        if self.refusing:
            raise ExchangeRefusedError("There is no such target.", error="invalid_target")
        self.count += 1
        return Credential(
            id=f"jti-{self.count}",
            kind="token",
            audience="urn:desk",
            scope=call.name,
            subject=chain.subject,
            actors=chain.actors,
            task=task.id,
            issued_at=now,
            expires_at=now + 60 * SECOND,
        )

    def mint(self, credential: Credential, decision: str, call: ToolCall) -> str:
        return f"token for {credential.id} by {decision}"


class Policies:
    def __init__(self, text: str, tools: Sequence[Tool]) -> None:
        self.engine = CedarEngine({"test.cedar": text}, tools, ["ops"])

    def current(self) -> CedarEngine:
        return self.engine


class RacingLedger(MemoryLedger):
    """Revokes the agent right before a commit, as another process might."""

    races = 1

    def record(self, drafts: Sequence[Draft]) -> list[Receipt]:
        if self.races and any(draft.epoch is not None for draft in drafts):
            self.races -= 1
            self.revoke(_revocation("subject", "nobody-in-the-chain"), _draft("revocation"))
        return super().record(drafts)


class BrokenLedger(MemoryLedger):
    """Its disk is full."""

    def record(self, drafts: Sequence[Draft]) -> list[Receipt]:
        raise LedgerError("The disk is full.")


class WritingLedger(MemoryLedger):
    """Remembers every row as its record reads, and as it is written."""

    def __init__(self, clock: FixedClock) -> None:
        super().__init__(clock)
        self.spelled: list[tuple[str, str]] = []

    def record(self, drafts: Sequence[Draft]) -> list[Receipt]:
        for draft in drafts:
            for one in (draft, *draft.follow):
                self.spelled.append((entry(one).columns[-1], compact(one.record).decode()))
        return super().record(drafts)


class ForgetfulLedger(MemoryLedger):
    """Fails in a way nobody foresaw while standing is read."""

    def standing(self, chain: Chain) -> Standing:
        raise ZeroDivisionError


def _draft(kind: str) -> Draft:
    return replace(Draft(kind="task", at=NOON, record={}), kind=kind)  # type: ignore[arg-type]


def _revocation(kind: RevocationKind, name: str, at: Instant = NOON) -> Revocation:
    return Revocation(kind=kind, id=name, at=at, by="ops", why="test")


@dataclass
class Bench:
    """A guard and everything around it."""

    ledger: MemoryLedger = field(default_factory=lambda: MemoryLedger(FixedClock()))
    clock: FixedClock = field(default_factory=FixedClock)
    exchange: Exchange = field(default_factory=Exchange)
    policy: str = POLICY
    log: LogSettings = field(default_factory=LogSettings)
    agents: frozenset[str] = frozenset({"assistant"})

    def __post_init__(self) -> None:
        tools = (READ, REFUND, TICKETS, FORBIDDEN)
        sources = Sources(
            ledger=self.ledger,
            policies=Policies(self.policy, tools),
            classifications=Classifications(tools),
            exchanger=self.exchange,
            agents=self.agents,
            redaction=Redaction(self.log),
            approvals=ApprovalSettings(groups={"ops": ApproverGroup(members=("carol",))}),
            pins=Pins(self.ledger, {}, (), self.clock),
        )
        self.guard = Guard(sources, self.clock)
        self.ledger.put_agent(AGENT, _draft("agent"))
        self.ledger.put_task(TASK, _draft("task"))
        self.chain = entered(TASK)

    def handed_on(self, **changes: object) -> Chain:
        """The chain assistant -> helper, by a hop that carries everything unless it is changed."""
        fields = {"delegator": "assistant", "agent": "helper", "capabilities": (EVERYTHING,)}
        hop = a_hop(budget=Budget(calls=5, writes=5), **(fields | changes))
        self.ledger.record([replace(_draft("hop"), opens=hop)])
        return msgspec.structs.replace(
            self.chain, actors=("assistant", "helper"), hops=(hop.id,), scope=("desk/*",)
        )

    def rows(self, kind: str) -> list[dict[str, object]]:
        return [msgspec.to_builtins(row) for row in self.ledger.rows() if row.kind == kind]


def test_a_call_inside_its_task_is_permitted_and_recorded_with_its_credential() -> None:
    bench = Bench()
    decision = bench.guard.authorize(READ_CALL, bench.chain)
    assert decision.permitted
    assert decision.verdict.policies == ("reads",)
    kinds = [row.kind for row in bench.ledger.rows()]
    assert kinds[:2] == ["credential", "decision"]
    row = bench.ledger.row(decision.id)
    assert row.verdict == "permit"
    assert row.record["call"] == {"arguments": {"ticket": "T-1"}, "digest": call_digest(READ_CALL)}
    assert decision.credential is not None
    assert decision.credential.id == "jti-1"


def test_ids_of_decisions_sort_by_their_time_and_are_never_twice_the_same() -> None:
    bench = Bench()
    ids: list[str] = []
    for _ in range(20):
        ids += [bench.guard.authorize(READ_CALL, bench.chain).id for _ in range(2)]
        bench.clock.advance(SECOND // 1_000)
    assert len(set(ids)) == 40
    moments = [{one[4:15] for one in ids[start : start + 2]} for start in range(0, 40, 2)]
    assert all(len(moment) == 1 for moment in moments)
    assert [min(moment) for moment in moments] == sorted(min(moment) for moment in moments)


def test_a_denial_is_recorded_too_and_carries_no_credential() -> None:
    bench = Bench()
    decision = bench.guard.authorize(refund(51), bench.chain)
    assert not decision.permitted
    assert decision.verdict.reason == "outside_task"
    assert "amount" in decision.verdict.sentence
    assert decision.credential is None
    assert bench.exchange.count == 0
    assert bench.ledger.row(decision.id).verdict == "deny"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"subject": "mallory"}, "wrong_subject"),
        ({"actors": ("stranger",)}, "agent_unregistered"),
        ({"actors": ()}, "agent_unregistered"),
        ({"task": "task_2"}, "task_unknown"),
        ({"expires_at": NOON}, "chain_expired"),
        ({"scope": ()}, "outside_scope"),
        ({"scope": ("desk/refund",)}, "outside_scope"),
    ],
)
def test_a_chain_that_does_not_fit_its_task_is_refused(change: dict[str, object], reason: str) -> None:
    bench = Bench()
    chain = msgspec.structs.replace(bench.chain, **change)
    assert bench.guard.authorize(READ_CALL, chain).verdict.reason == reason


def test_an_unclassified_tool_is_refused_even_where_a_capability_names_it() -> None:
    bench = Bench()
    decision = bench.guard.authorize(ToolCall(server="desk", tool="new_tool"), bench.chain)
    assert decision.verdict.reason == "tool_unclassified"
    assert "[servers.desk.tools.new_tool] in hopward.toml" in decision.verdict.sentence


@pytest.mark.parametrize(
    ("name", "entry"),
    [
        ("read", "[servers.desk.tools.read]"),
        ("read all", '[servers.desk.tools."read all"]'),
        ("resource:ticket://7", '[servers.desk.mcp_resources."ticket://7"]'),
        ("prompt:greet", "[servers.desk.prompts.greet]"),
        ("model:small", "[servers.desk.models.small]"),
        ("retriever:faq", "[servers.desk.retrievers.faq]"),
    ],
)
def test_the_entry_of_a_tool_is_named_as_it_would_be_written(name: str, entry: str) -> None:
    assert entry_of("desk", name) == entry
    tomllib.loads(entry)


@pytest.mark.parametrize(
    "uri",
    [
        "ticket://7/../../secret",
        "ticket://7/./x",
        "ticket://..",
        "ticket://7/..?x",
        "ticket://7/..;a=b/x",
        "ticket://7/%2e%2E/x",
        "ticket://7%2f..%2fx",
        "ticket://7/%252e%252e/x",
        "ticket://7/%25252525252e./x",
        "ticket://7/..%c0%afx",
        "ticket://7/..\\x",
        "ticket://7/%5c..%5cx",
        "ticket://7/\uff0e\uff0e/x",
        "ticket://7/\u2025/x",
        "ticket://7/.\u200b./x",
        "ticket://7/%00",
        "ticket://7/ .. /x",
    ],
)
def test_a_uri_that_could_lead_elsewhere_is_in_no_family_of_resources(uri: str) -> None:
    bench = Bench()
    call = ToolCall(server="desk", tool=f"resource:{uri}")
    assert bench.guard.authorize(call, bench.chain).verdict.reason == "tool_unclassified"
    assert bench.guard.visible(bench.chain, "desk", [call.tool]) == frozenset()


@pytest.mark.parametrize(
    "uri",
    ["ticket://7", "ticket://7/a.b/..c/...", "ticket://{id}?a=..b", "ticket://caf%C3%A9/50%25", "ticket://"],
)
def test_a_uri_that_lies_where_it_seems_to_is_in_its_family(uri: str) -> None:
    bench = Bench()
    assert bench.guard.authorize(ToolCall(server="desk", tool=f"resource:{uri}"), bench.chain).permitted


def test_a_completed_task_refuses_its_next_call() -> None:
    bench = Bench()
    bench.ledger.set_task_state("task_1", "completed", _draft("task"))
    assert bench.guard.authorize(READ_CALL, bench.chain).verdict.reason == "task_completed"


def test_a_task_past_its_end_refuses_its_next_call() -> None:
    bench = Bench()
    bench.clock.set(TASK.expires_at)
    assert not bench.guard.authorize(READ_CALL, bench.chain).permitted


@pytest.mark.parametrize(("kind", "name"), [("agent", "assistant"), ("subject", "alice"), ("task", "task_1")])
def test_a_revocation_refuses_what_was_issued_before_it(kind: RevocationKind, name: str) -> None:
    bench = Bench()
    bench.ledger.revoke(_revocation(kind, name), _draft("revocation"))
    assert bench.guard.authorize(READ_CALL, bench.chain).verdict.reason == f"{kind}_revoked"


def test_the_last_second_of_a_task_is_over_already() -> None:
    bench = Bench()
    bench.clock.set(TASK.expires_at - SECOND // 2)
    assert bench.guard.authorize(READ_CALL, bench.chain).verdict.reason == "task_expired"


def test_an_agents_ceiling_holds_although_the_task_grants_more() -> None:
    bench = Bench()
    bench.ledger.put_agent(msgspec.structs.replace(AGENT, ceiling=(READING,)), _draft("agent"))
    decision = bench.guard.authorize(refund(10), bench.chain)
    assert decision.verdict.reason == "over_ceiling"


@pytest.mark.parametrize(
    ("narrow", "expected"),
    [
        ({"helper": {"ceiling": (READING,)}}, "over_ceiling"),
        ({"assistant": {"delegable": (READING,)}}, "over_delegable"),
        ({"task": {"delegable": (READING,)}}, "outside_delegable"),
        ({"hop": {"capabilities": (READING,)}}, "outside_hop"),
    ],
)
def test_a_handed_on_call_lies_within_every_link_and_every_agent(
    narrow: dict[str, dict[str, object]], expected: str
) -> None:
    bench = Bench(agents=frozenset({"assistant", "helper"}))
    for name in ("assistant", "helper"):
        changes = narrow.get(name, {})
        bench.ledger.put_agent(msgspec.structs.replace(AGENT, id=name, **changes), _draft("agent"))
    bench.ledger.put_task(msgspec.structs.replace(TASK, **narrow.get("task", {})), _draft("task"))
    chain = bench.handed_on(**narrow.get("hop", {}))
    decision = bench.guard.authorize(refund(10), chain)
    assert decision.verdict.reason == expected
    assert bench.guard.visible(chain, "desk", ["read_ticket", "refund"]) == {"read_ticket"}
    assert bench.guard.authorize(READ_CALL, chain).permitted


def test_an_agent_no_longer_configured_is_refused_although_the_ledger_knows_it() -> None:
    bench = Bench(agents=frozenset({"other"}))
    assert bench.guard.authorize(READ_CALL, bench.chain).verdict.reason == "agent_unregistered"


def test_without_a_policy_that_permits_nothing_is_permitted() -> None:
    bench = Bench(policy='@id("pays") permit (principal, action in Hopward::Action::"pay", resource);')
    assert bench.guard.authorize(READ_CALL, bench.chain).verdict.reason == "no_policy"


def test_a_refused_exchange_is_a_denial() -> None:
    bench = Bench()
    bench.exchange.refusing = True
    decision = bench.guard.authorize(READ_CALL, bench.chain)
    assert not decision.permitted
    assert decision.verdict.reason == "invalid_target"
    assert bench.ledger.row(decision.id).verdict == "deny"


def test_an_exception_in_any_check_is_a_denial_without_its_text() -> None:
    bench = Bench(ledger=ForgetfulLedger(FixedClock()))
    decision = bench.guard.authorize(READ_CALL, bench.chain)
    assert decision.verdict.reason == "internal_error"
    assert decision.verdict.errors == ("ZeroDivisionError",)
    assert bench.guard.visible(bench.chain, "desk", ["read_ticket"]) == frozenset()


def test_a_log_that_cannot_be_written_denies_every_call() -> None:
    bench = Bench()
    broken = BrokenLedger(FixedClock())
    broken.put_agent(AGENT, _draft("agent"))
    broken.put_task(TASK, _draft("task"))
    bench.guard._ledger = broken  # pyright: ignore[reportPrivateUsage]
    decision = bench.guard.authorize(READ_CALL, bench.chain)
    assert not decision.permitted
    assert not decision.recorded
    assert decision.verdict.reason == "log_unavailable"
    with pytest.raises(LedgerError):
        bench.guard.decide([(READ_CALL, bench.chain)])


class UnforeseenLedger(MemoryLedger):
    """Fails in a way nobody foresaw while rows are written."""

    def record(self, drafts: Sequence[Draft]) -> list[Receipt]:
        raise ZeroDivisionError


def test_an_exception_while_rows_are_written_is_a_denial_too() -> None:
    bench = Bench(ledger=UnforeseenLedger(FixedClock()))
    decision = bench.guard.authorize(READ_CALL, bench.chain)
    assert not decision.permitted
    assert not decision.recorded
    assert decision.verdict.reason == "internal_error"
    assert decision.verdict.errors == ("ZeroDivisionError",)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (float("nan"), "a number in them is not finite"),
        (float("inf"), "a number in them is not finite"),
        ([{"deep": float("-inf")}], "a number in them is not finite"),
        (10**5_000, "or has too many digits"),
        ("\ud800", "half of a surrogate pair"),
        ({"\udfff": 1}, "half of a surrogate pair"),
        ({1: 2}, "something in them is no JSON"),
        (b"bytes", "something in them is no JSON"),
        (object(), "something in them is no JSON"),
    ],
    ids=["nan", "infinity", "deep", "digits", "surrogate", "key", "number_as_key", "bytes", "object"],
)
def test_what_json_cannot_carry_is_denied_with_a_sentence_that_says_so(value: Any, told: str) -> None:
    bench = Bench()
    call = ToolCall(server="desk", tool="read_ticket", arguments={"ticket": value})
    decision = bench.guard.authorize(call, bench.chain)
    assert (decision.permitted, decision.recorded) == (False, True)
    assert decision.verdict.reason == "arguments_unreadable"
    assert told in decision.verdict.sentence
    assert bench.ledger.row(decision.id).reason == "arguments_unreadable"


@pytest.mark.parametrize("mode", ["full", "redacted", "digest"])
def test_arguments_nested_beyond_what_can_be_kept_are_denied_beside_other_calls(mode: str) -> None:
    settings = LogSettings(arguments=mode, redact=("ticket",))  # type: ignore[arg-type]
    bench = Bench(log=settings)
    for depth in range(100, 1_200, 10):
        nested: JSON = {}
        for _ in range(depth):
            nested = {"in": nested}
        deep = ToolCall(server="desk", tool="unheard_of", arguments={"ticket": nested, "in": nested})
        call = ToolCall(server="desk", tool="read_ticket", arguments={"ticket": depth})
        assert [one.recorded for one in bench.guard.decide([(deep, bench.chain), (call, bench.chain)])] == [
            True,
            True,
        ]


def test_the_budget_ends_the_task_although_everything_else_permits() -> None:
    bench = Bench()
    verdicts = [bench.guard.authorize(refund(1), bench.chain).verdict.reason for _ in range(3)]
    assert verdicts == ["permitted", "permitted", "budget_exhausted"]
    reads = [bench.guard.authorize(READ_CALL, bench.chain).verdict.reason for _ in range(4)]
    assert reads == ["permitted"] * 3 + ["budget_exhausted"]
    assert bench.ledger.usage("task_1").calls == TASK.budget.calls


def test_one_batch_cannot_overdraw_the_budget() -> None:
    bench = Bench()
    decisions = bench.guard.decide([(READ_CALL, bench.chain)] * 8)
    assert [decision.permitted for decision in decisions] == [True] * 5 + [False] * 3
    assert len({decision.id for decision in decisions}) == 8
    assert len(bench.rows("decision")) == 8
    assert len(bench.rows("credential")) == 5


def test_a_call_is_evaluated_again_when_standing_changed_before_its_commit() -> None:
    bench = Bench(ledger=RacingLedger(FixedClock()))
    assert bench.guard.authorize(READ_CALL, bench.chain).permitted
    assert len(bench.rows("decision")) == 1


def test_a_call_is_refused_when_standing_never_settles() -> None:
    ledger = RacingLedger(FixedClock())
    ledger.races = 100
    bench = Bench(ledger=ledger)
    assert bench.guard.authorize(READ_CALL, bench.chain).verdict.reason == "standing_unsettled"
    assert bench.rows("credential") == []


@pytest.mark.parametrize("name", ["Amount", "AMOUNT", "\uff41mount"])
def test_an_argument_that_could_be_read_as_a_declared_one_is_refused(name: str) -> None:
    bench = Bench()
    call = ToolCall(server="desk", tool="refund", arguments={"amount": 1, name: 1000})
    assert bench.guard.authorize(call, bench.chain).verdict.reason == "argument_lookalike"
    harmless = ToolCall(server="desk", tool="refund", arguments={"amount": 1, "note": "x"})
    assert bench.guard.authorize(harmless, bench.chain).permitted


def test_an_outcome_is_recorded_under_its_decision() -> None:
    bench = Bench()
    decision = bench.guard.authorize(READ_CALL, bench.chain)
    bench.guard.settle(decision, Outcome(status="ok", result_digest="sha-256:00", size=2))
    outcome = bench.rows("outcome")[0]
    assert outcome["decision"] == decision.id
    assert outcome["reason"] == "ok"


def test_what_was_not_permitted_has_no_outcome() -> None:
    bench = Bench()
    nobody = msgspec.structs.replace(bench.chain, actors=())
    for denied in (
        bench.guard.authorize(refund(51), bench.chain),
        bench.guard.authorize(READ_CALL, nobody),
    ):
        with pytest.raises(HopwardError, match="no permit"):
            bench.guard.settle(denied, Outcome(status="ok"))
    assert bench.rows("outcome") == []


def test_a_token_is_minted_only_for_the_call_that_was_decided() -> None:
    bench = Bench()
    decision = bench.guard.authorize(refund(10), bench.chain)
    assert decision.id in bench.guard.mint(decision, refund(10))
    with pytest.raises(HopwardError, match="another call"):
        bench.guard.mint(decision, refund(11))
    denied = bench.guard.authorize(refund(51), bench.chain)
    with pytest.raises(HopwardError, match="no permit"):
        bench.guard.mint(denied, refund(51))


def test_a_request_that_calls_nothing_gets_a_credential_that_opens_no_tool() -> None:
    bench = Bench()
    assert "jti-1" in bench.guard.introduce(bench.chain, "desk", "tools/list")
    row = bench.rows("credential")[0]
    assert row["tool"] == "method:tools/list"
    assert row["record"]["credential"]["scope"] == "desk/method:tools/list"  # type: ignore[index]
    bench.ledger.set_task_state("task_1", "completed", _draft("task"))
    with pytest.raises(ChainError):
        bench.guard.introduce(bench.chain, "desk", "tools/list")


def test_a_tool_named_like_a_method_is_never_permitted() -> None:
    bench = Bench()
    call = ToolCall(server="desk", tool="method:tools/list")
    assert bench.guard.authorize(call, bench.chain).verdict.reason == "tool_unclassified"


def test_a_listing_shows_what_task_ceiling_scope_and_policy_leave() -> None:
    bench = Bench()
    names = ["read_ticket", "refund", "shred", "unheard_of", "resource:ticket://7", "resource:file://x"]
    shown = bench.guard.visible(bench.chain, "desk", names)
    assert shown == {"read_ticket", "refund", "resource:ticket://7"}
    narrow = msgspec.structs.replace(bench.chain, scope=("desk/refund",))
    assert bench.guard.visible(narrow, "desk", names) == {"refund"}


def test_a_listing_is_empty_once_the_task_has_ended() -> None:
    bench = Bench()
    bench.ledger.set_task_state("task_1", "completed", _draft("task"))
    assert bench.guard.visible(bench.chain, "desk", ["read_ticket"]) == frozenset()


class UnreadableLedger(MemoryLedger):
    """Cannot be read any more."""

    def standing(self, chain: Chain) -> Standing:
        raise LedgerError("The log is gone.")


def test_a_chain_stands_until_what_it_stands_on_has_ended_or_cannot_be_read() -> None:
    bench = Bench()
    assert bench.guard.stands(bench.chain)
    assert not bench.guard.stands(msgspec.structs.replace(bench.chain, expires_at=NOON))
    assert not bench.guard.stands(msgspec.structs.replace(bench.chain, actors=("stranger",)))
    bench.ledger.set_task_state("task_1", "completed", _draft("task"))
    assert not bench.guard.stands(bench.chain)
    assert not Bench(ledger=UnreadableLedger(FixedClock())).guard.stands(bench.chain)


def test_the_log_keeps_as_much_of_the_arguments_as_configured() -> None:
    for mode, kept in (("full", True), ("redacted", False), ("digest", False)):
        settings = LogSettings(arguments=mode, redact=("ticket",))  # type: ignore[arg-type]
        bench = Bench(log=settings)
        decision = bench.guard.authorize(READ_CALL, bench.chain)
        record = bench.ledger.row(decision.id).record
        assert ("T-1" in str(record)) is kept
        assert record["call"]["digest"] == call_digest(READ_CALL)


def test_an_outcome_that_json_cannot_carry_is_no_outcome() -> None:
    bench = Bench()
    decision = bench.guard.authorize(READ_CALL, bench.chain)
    with pytest.raises(LedgerError):
        bench.guard.settle(decision, Outcome(status="ok", duration=math.nan))  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", ["full", "redacted", "digest"])
@pytest.mark.parametrize(
    "more",
    [{}, {"n": 1e16}, {"n": [0.5, {"m": -0.0}]}, {"n": 10**40}, {"\U0001f600": 1, "\ufb33": [None, "\x7f"]}],
)
def test_rows_are_spelled_alike_whatever_the_arguments_are(mode: str, more: dict[str, Any]) -> None:
    ledger = WritingLedger(FixedClock())
    bench = Bench(ledger=ledger, log=LogSettings(arguments=mode, redact=("n",)))  # type: ignore[arg-type]
    call = msgspec.structs.replace(READ_CALL, arguments={**READ_CALL.arguments, **more})
    decision = bench.guard.authorize(call, bench.chain)
    assert decision.permitted
    bench.guard.settle(decision, Outcome(status="ok", result_digest=digest(more), size=3))
    assert len(ledger.spelled) >= 3
    assert all(written == read for written, read in ledger.spelled)


def test_a_redacted_argument_is_redacted_wherever_it_stands_and_however_it_is_cased() -> None:
    bench = Bench(log=LogSettings(arguments="redacted", redact=("passWord",)))
    hidden = {"password": "s3cret", "PASSWORD": ["s3cret"], "list": [{"Pa\uff53sword": {"deep": "s3cret"}}]}
    call = ToolCall(server="desk", tool="read_ticket", arguments={"ticket": "T-1", **hidden})
    kept = bench.ledger.row(bench.guard.authorize(call, bench.chain).id).record["call"]["arguments"]
    assert "s3cret" not in str(kept)
    assert kept["ticket"] == "T-1"
    assert kept["password"] == {"redacted": digest("s3cret")}


def test_a_call_that_json_cannot_carry_is_denied_not_raised() -> None:
    bench = Bench()
    poison = ToolCall(server="desk", tool="read_ticket\ud800", arguments={"ticket": "\ud800"})
    denied, permitted = bench.guard.decide([(poison, bench.chain), (READ_CALL, bench.chain)])
    assert not denied.permitted
    assert denied.recorded
    assert permitted.permitted
    assert bench.ledger.row(denied.id).tool == "read_ticket\\ud800"


def test_a_caller_turned_away_leaves_a_row() -> None:
    bench = Bench()
    bench.guard.refuse("desk", "invalid_token", "The token has expired.")
    assert bench.rows("refusal")[0]["reason"] == "invalid_token"


def test_a_caller_turned_away_with_a_chain_is_found_by_its_task_and_among_the_denials() -> None:
    bench = Bench()
    bench.guard.refuse("desk", "bad_message", "The message is nested too deeply.", bench.chain)
    (row,) = bench.rows("refusal")
    assert (row["task"], row["agent"], row["verdict"]) == ("task_1", "assistant", "deny")
    assert row["record"]["chain"]["subject"] == "alice"  # type: ignore[index]


def test_a_decision_row_says_who_asked_what_was_known_and_why() -> None:
    bench = Bench()
    row = bench.ledger.row(1)
    for call, reason in ((refund(10), "permitted"), (refund(51), "outside_task")):
        row = bench.ledger.row(bench.guard.authorize(call, bench.chain).id)
        assert (row.task, row.agent, row.server, row.tool) == ("task_1", "assistant", "desk", "refund")
        assert row.reason == row.record["verdict"]["reason"] == reason
        assert msgspec.convert(row.record["chain"], Chain) == bench.chain
        assert msgspec.convert(row.record["classification"], Tool) == REFUND
    facts = {"purpose": "answer a ticket", "workflow": "tickets", "calls_left": 4, "writes_left": 1}
    taken = {
        "taken_sensitivity": "internal",
        "taken_integrity": "trusted",
        "above_ceiling": True,
        "destinations": ["payments"],
    }
    assert row.record["facts"] == facts | taken


@pytest.mark.parametrize(
    "condition",
    [
        "context.calls_left == 4 && context.writes_left == 4",
        'context.subject == "alice" && context.task == "task_1"',
        'context.purpose == "answer a ticket" && context.workflow == "tickets"',
        'context.depth == 1 && context.actors.containsAll(["assistant", "helper"])',
        'principal == Hopward::Agent::"helper" && principal.owner == "the helpers"',
    ],
)
def test_policies_see_the_task_its_budget_and_the_actors_as_they_are(condition: str) -> None:
    pays = 'permit (principal, action in Hopward::Action::"pay", resource);'
    reads = f'permit (principal, action in Hopward::Action::"read", resource) when {{ {condition} }};'
    bench = Bench(policy=pays + reads, agents=frozenset({"assistant", "helper"}))
    helper = msgspec.structs.replace(AGENT, id="helper", owner="the helpers")
    bench.ledger.put_agent(helper, _draft("agent"))
    chain = bench.handed_on()
    assert bench.guard.authorize(refund(1), chain).permitted
    assert bench.guard.authorize(READ_CALL, chain).permitted


def test_a_call_that_needs_approval_is_not_permitted_and_plans_no_credential() -> None:
    asks = '@id("asks") @step_up("ops") forbid (principal, action, resource);'
    bench = Bench(policy=POLICY + asks)
    decision = bench.guard.authorize(READ_CALL, bench.chain)
    assert (decision.verdict.name, decision.permitted, decision.credential) == ("step-up", False, None)
    assert bench.exchange.count == 0
    assert bench.rows("credential") == []
    assert bench.ledger.usage("task_1").calls == 0


def test_a_call_over_budget_gets_no_credential_and_says_which_budget() -> None:
    bench = Bench()
    over = [bench.guard.authorize(refund(1), bench.chain) for _ in range(3)][-1]
    assert over.credential is None
    assert over.verdict.sentence == "The task has used up its budget of calls that change something."
    over = [bench.guard.authorize(READ_CALL, bench.chain) for _ in range(4)][-1]
    assert over.verdict.sentence == "The task has used up its budget of calls."


def test_a_listing_leaves_out_what_the_task_does_not_grant() -> None:
    bench = Bench()
    bench.ledger.put_task(msgspec.structs.replace(TASK, capabilities=(READING,)), _draft("task"))
    assert bench.guard.visible(bench.chain, "desk", ["read_ticket", "refund"]) == {"read_ticket"}


def test_a_listing_leaves_out_what_no_policy_can_permit() -> None:
    bench = Bench(policy='permit (principal, action in Hopward::Action::"read", resource);')
    assert bench.guard.visible(bench.chain, "desk", ["read_ticket", "refund"]) == {"read_ticket"}


def test_outcomes_are_recorded_once_however_often_the_decisions_beside_them_are_taken_again() -> None:
    ledger = RacingLedger(FixedClock())
    ledger.races = 0
    bench = Bench(ledger=ledger)
    first = bench.guard.authorize(READ_CALL, bench.chain)
    ledger.races = 2
    (second,) = bench.guard.decide([(READ_CALL, bench.chain)], [(first, Outcome(status="ok"))])
    assert second.permitted
    assert len(bench.rows("outcome")) == 1


def test_a_request_that_calls_nothing_is_introduced_again_while_standing_changes() -> None:
    ledger = RacingLedger(FixedClock())
    ledger.races = 0
    bench = Bench(ledger=ledger)
    ledger.races = 2
    assert bench.guard.introduce(bench.chain, "desk", "tools/list")


def test_a_token_is_minted_for_no_other_tool_or_server_and_no_altered_decision() -> None:
    bench = Bench()
    decision = bench.guard.authorize(READ_CALL, bench.chain)
    for change in ({"tool": "shred"}, {"server": "files"}):
        with pytest.raises(HopwardError, match="another call"):
            bench.guard.mint(decision, msgspec.structs.replace(READ_CALL, **change))
    denied = bench.guard.authorize(refund(51), bench.chain)
    for altered in (
        msgspec.structs.replace(denied, credential=decision.credential),
        msgspec.structs.replace(decision, recorded=False),
        msgspec.structs.replace(decision, credential=None),
    ):
        with pytest.raises(HopwardError, match="no permit"):
            bench.guard.mint(altered, READ_CALL if altered.tool == "read_ticket" else refund(51))


def test_a_request_that_calls_nothing_gets_no_credential_when_anything_fails() -> None:
    with pytest.raises(ChainError, match="could not be checked") as failed:
        Bench(ledger=ForgetfulLedger(FixedClock())).guard.introduce(entered(TASK), "desk", "tools/list")
    assert failed.value.error == "internal_error"
    ledger = RacingLedger(FixedClock())
    bench = Bench(ledger=ledger)
    ledger.races = 100
    with pytest.raises(ChainError) as unsettled:
        bench.guard.introduce(bench.chain, "desk", "tools/list")
    assert unsettled.value.error == "standing_unsettled"
    assert bench.rows("credential") == []
    ledger.races = 0
    for change in ({"actors": ("stranger",)}, {"subject": "mallory"}, {"expires_at": NOON}):
        with pytest.raises(ChainError):
            bench.guard.introduce(msgspec.structs.replace(bench.chain, **change), "desk", "tools/list")


@pytest.mark.parametrize("call", [None, "desk/read", ToolCall(server=None, tool=None)], ids=repr)  # pyright: ignore
def test_what_is_no_call_is_denied_not_raised(call: Any) -> None:
    bench = Bench()
    decision = bench.guard.authorize(call, bench.chain)
    assert (decision.permitted, decision.verdict.name) == (False, "deny")
    assert not bench.guard.authorize(READ_CALL, None).permitted  # pyright: ignore[reportArgumentType]


def test_what_is_no_call_does_not_keep_others_from_being_decided() -> None:
    bench = Bench()
    nothing: Any = None
    asked = [(nothing, bench.chain), (READ_CALL, bench.chain)]
    assert [decision.permitted for decision in bench.guard.decide(asked)] == [False, True]
