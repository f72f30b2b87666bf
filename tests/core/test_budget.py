"""Money, bytes and destinations of a task: never exceeded, through a guard, its log and real policies."""

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from hopward import Budget, Capability, Chain, Decision, Guard, Narrowing, Outcome, ToolCall
from hopward.ledger import RowFilter
from hopward.project import create
from hopward.testing.clock import NOON, FixedClock

EVERYTHING = """[
    { tools = ["bank/*"], actions = ["read", "pay"], sensitivity = "internal", destinations = ["*"] },
]"""
CONFIG = """
state = ".hopward"
policies = "policies"
[authority]
issuer = "http://127.0.0.1:8700"
[agents.buyer]
owner = "ops"
purpose = "buys"
ceiling = EVERYTHING
delegable = EVERYTHING
[agents.clerk]
owner = "ops"
purpose = "pays"
ceiling = EVERYTHING
[workflows.buy]
agent = "buyer"
purpose = "buy paper"
expires_in = 600
capabilities = EVERYTHING
delegable = EVERYTHING
depth = 1
fan_out = 5
[workflows.buy.budget]
calls = 500
writes = 500
money = { EUR = "250.00", JPY = "1000" }
bytes_out = 5000
destinations = 3
[workflows.look]
agent = "buyer"
purpose = "look around"
expires_in = 600
budget = { calls = 50, writes = 50 }
capabilities = EVERYTHING
[servers.bank]
in_process = true
resource = "urn:example:bank"
credential = { by = "context" }
[servers.bank.tools.pay]
action = "pay"
sensitivity = "internal"
integrity = "trusted"
destination = "account:{to|none}"
arguments = { amount = "decimal", currency = "string", to = "string", note = "string" }
spends = { amount = "amount", currency = "{currency|EUR}" }
[servers.bank.tools.balance]
action = "read"
sensitivity = "internal"
integrity = "trusted"
destination = "account:none"
""".replace("= EVERYTHING", f"= {EVERYTHING}")
POLICY = """
@id("bank") permit (principal, action in [Hopward::Action::"read", Hopward::Action::"pay"], resource);
@id("hand") permit (principal, action == Hopward::Action::"delegate", resource);
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "hopward.toml"
    path.write_text(CONFIG)
    create(tmp_path)
    for file in (tmp_path / "policies").rglob("*.cedar"):
        file.unlink()
    (tmp_path / "policies" / "bank.cedar").write_text(POLICY)
    return path


def opened(config: Path) -> Guard:
    return Guard.open(config, clock=FixedClock(NOON))


@pytest.fixture
def guard(config: Path) -> Iterator[Guard]:
    with closing(opened(config)) as guard:
        yield guard


def chain_of(guard: Guard, workflow: str = "buy") -> Chain:
    return guard.enter(guard.open_task(workflow, "alice").id)


def pay(amount: Any, **more: Any) -> ToolCall:
    return ToolCall(server="bank", tool="pay", arguments={"amount": amount, **more})


def told(guard: Guard, chain: Chain, call: ToolCall) -> str:
    """`permitted`, or why a call is refused."""
    decision = guard.authorize(call, chain)
    return "permitted" if decision.permitted else f"{decision.verdict.reason}: {decision.verdict.sentence}"


def euros(guard: Guard, account: str) -> str:
    return guard.ledger.usage(account).money.get("EUR", "0.00")


def permitted(guard: Guard, chain: Chain, call: ToolCall) -> Decision:
    decision = guard.authorize(call, chain)
    assert decision.permitted, decision.verdict
    return decision


def handed(guard: Guard, chain: Chain, **changes: Any) -> Chain:
    given: dict[str, Any] = {"calls": 20, "writes": 20, "money": {"EUR": "100"}}
    everything = Capability(
        tools=("bank/*",), actions=("read", "pay"), sensitivity="internal", destinations=("*",)
    )
    shared = changes.pop("shared", False)
    asked = Narrowing(
        purpose="pay",
        capabilities=(everything,),
        budget=Budget(**given | changes),
        expires_in=60,
        shared=shared,
    )
    found = guard.delegate(chain, "clerk", asked)
    assert found.chain is not None, found.decision.verdict
    return found.chain


def test_a_slow_drip_ends_at_the_last_cent(guard: Guard) -> None:
    chain = chain_of(guard)
    said = Counter(told(guard, chain, pay(12.48)).partition(":")[0] for _ in range(25))
    assert said == {"permitted": 20, "budget_exhausted": 5}
    assert euros(guard, chain.task) == "249.60"
    assert told(guard, chain, pay(0.41)) == (
        "budget_exhausted: The task has 0.40 EUR left of its budget, and this would spend 0.41."
    )
    assert told(guard, chain, pay(0.4)) == "permitted"


def test_each_currency_has_its_own_budget_and_others_have_none(guard: Guard) -> None:
    chain = chain_of(guard)
    assert told(guard, chain, pay(1000, currency="JPY")) == "permitted"
    assert told(guard, chain, pay(1, currency="JPY")).startswith("budget_exhausted: The task has 0 JPY left")
    assert told(guard, chain, pay(1, currency="USD")) == (
        "budget_exhausted: The task has no budget of USD, and this would spend 1.00."
    )
    assert told(guard, chain, pay(250)) == "permitted"


def test_a_task_without_a_budget_of_money_spends_none(guard: Guard) -> None:
    chain = chain_of(guard, "look")
    assert told(guard, chain, pay(0.01)).startswith("budget_exhausted: The task has no budget of EUR")
    assert told(guard, chain, ToolCall(server="bank", tool="balance")) == "permitted"


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"amount": None},
        {"amount": "12.50"},
        {"amount": -5},
        {"amount": -0.0},
        {"amount": 0.001},
        {"amount": 1e300},
        {"amount": True},
        {"amount": [1]},
        {"amount": 1, "currency": "eur"},
        {"amount": 1, "currency": "ЕUR"},  # noqa: RUF001 - a Cyrillic letter
        {"amount": 1, "currency": "EUR "},
        {"amount": 1.5, "currency": "JPY"},
        {"amount": 1, "currency": None},
    ],
)
def test_an_amount_that_is_not_clear_is_refused_and_reserves_nothing(
    guard: Guard, arguments: dict[str, Any]
) -> None:
    chain = chain_of(guard)
    call = ToolCall(server="bank", tool="pay", arguments=arguments)
    assert told(guard, chain, call).startswith("amount_unclear: ")
    assert guard.ledger.usage(chain.task).money == {}


def test_a_call_that_never_left_gives_back_and_any_other_end_does_not(guard: Guard) -> None:
    chain = chain_of(guard)
    for status in ("ok", "tool_error", "error", "cancelled", "unknown"):
        decision = permitted(guard, chain, pay(10))
        guard.settle(decision, Outcome(status=status))
    assert euros(guard, chain.task) == "50.00"
    decision = permitted(guard, chain, pay(200))
    size = guard.ledger.usage(chain.task).bytes_out
    guard.settle(decision, Outcome(status="error", forwarded=False))
    assert euros(guard, chain.task) == "50.00"
    assert guard.ledger.usage(chain.task).bytes_out < size
    guard.settle(decision, Outcome(status="error", forwarded=False))
    assert euros(guard, chain.task) == "50.00"


def test_an_end_that_comes_again_changes_nothing(guard: Guard) -> None:
    chain = chain_of(guard)
    decision = permitted(guard, chain, pay(10))
    guard.settle(decision, Outcome(status="unknown"))
    guard.settle(decision, Outcome(status="error", forwarded=False))
    assert euros(guard, chain.task) == "10.00"


def test_bytes_of_all_arguments_are_counted_reads_as_well(guard: Guard) -> None:
    chain = chain_of(guard)
    call = ToolCall(server="bank", tool="balance", arguments={"q": "x" * 1992})
    assert [told(guard, chain, call) for _ in range(3)] == [
        "permitted",
        "permitted",
        "budget_exhausted: The task may give out 1000 bytes more, and this call's arguments are 2000.",
    ]
    assert guard.ledger.usage(chain.task).bytes_out == 4000


def test_only_new_destinations_count(guard: Guard) -> None:
    chain = chain_of(guard)
    for to in ("a", "b", "a", "c", "b"):
        assert told(guard, chain, pay(1, to=to)) == "permitted"
    assert told(guard, chain, pay(1, to="d")) == (
        "budget_exhausted: The task may reach 0 new destinations, and this call leads to 1."
    )
    assert told(guard, chain, pay(1, to="c")) == "permitted"


def test_what_is_set_aside_for_a_hop_is_gone_from_its_delegator_until_it_ends(guard: Guard) -> None:
    chain = chain_of(guard)
    hop = handed(guard, chain)
    assert euros(guard, chain.task) == "100.00"
    assert told(guard, hop, pay(60)) == "permitted"
    assert told(guard, hop, pay(41)).startswith(
        "budget_exhausted: The hop, or what it shares a budget with, "
    )
    assert told(guard, chain, pay(151)).startswith("budget_exhausted")
    guard.complete_hop(hop)
    assert euros(guard, chain.task) == "60.00"
    assert told(guard, chain, pay(190)) == "permitted"
    assert told(guard, chain, pay(0.01)).startswith("budget_exhausted")


def test_what_a_hop_that_shares_spends_its_delegator_and_siblings_see(guard: Guard) -> None:
    chain = chain_of(guard)
    one, other = (handed(guard, chain, money={"EUR": "200"}, shared=True) for _ in range(2))
    assert told(guard, one, pay(200)) == "permitted"
    assert told(guard, one, pay(1)).startswith("budget_exhausted")
    assert told(guard, other, pay(51)).startswith("budget_exhausted")
    assert told(guard, other, pay(50)) == "permitted"
    assert euros(guard, chain.task) == "250.00"


def test_a_hop_never_has_more_than_its_delegator_in_any_dimension(guard: Guard) -> None:
    chain = chain_of(guard)
    hop = handed(guard, chain, money={"EUR": "9999", "USD": "5"}, bytes_out=10**9, destinations=10**6)
    budget = guard.ledger.hop(hop.hops[-1]).budget
    assert budget == Budget(calls=20, writes=20, money={"EUR": "250.00"}, bytes_out=5000, destinations=3)


def test_money_that_is_not_there_any_more_is_not_set_aside(guard: Guard) -> None:
    chain = chain_of(guard)
    assert told(guard, chain, pay(200)) == "permitted"
    asked = Narrowing(
        purpose="pay",
        capabilities=guard.task(chain.task).capabilities,
        budget=Budget(calls=1, writes=1, money={"EUR": "60"}),
        expires_in=60,
    )
    assert not guard.delegable(chain, "clerk", asked)
    refused = guard.delegate(chain, "clerk", asked).decision.verdict
    assert (refused.reason, refused.sentence) == (
        "budget_exhausted",
        "The task has 50.00 EUR left of its budget, and this would spend 60.00.",
    )


def test_what_leaves_a_hop_has_left_the_task(guard: Guard) -> None:
    chain = chain_of(guard)
    hop = handed(guard, chain, destinations=1)
    assert told(guard, hop, pay(1, to="a")) == "permitted"
    assert told(guard, hop, pay(1, to="b")).startswith("budget_exhausted: The hop")
    guard.complete_hop(hop)
    used = guard.ledger.usage(chain.task)
    assert (used.destinations, used.bytes_out) == (1, len('{"amount":1,"to":"a"}'))


def test_the_facts_of_a_decision_tell_what_was_left(guard: Guard) -> None:
    chain = chain_of(guard)
    permitted(guard, chain, pay(10))
    decision = permitted(guard, chain, pay(10, to="a"))
    facts = guard.ledger.row(decision.id).record["facts"]
    said = {name: facts[name] for name in ("currency", "amount", "money_left")}
    assert said == {"currency": "EUR", "amount": "10.00", "money_left": "240.00"}
    assert (facts["bytes_out"], facts["bytes_left"]) == (22, 5000 - len('{"amount":10}'))
    assert (facts["destinations_new"], facts["destinations_left"]) == (1, 2)


def test_policies_see_the_amount_and_what_is_left(config: Path) -> None:
    (config.parent / "policies" / "more.cedar").write_text(
        """@id("small") forbid (principal, action in Hopward::Action::"pay", resource) when {
        context has currency && context.currency == "EUR" &&
        context has amount && context.amount.greaterThan(decimal("99.99")) };
        @id("rest") forbid (principal, action in Hopward::Action::"pay", resource) when {
        context has money_left && context.money_left.lessThan(decimal("100.0")) };
        @id("far") forbid (principal, action in Hopward::Action::"pay", resource) when {
        context.destinations_left < 2 || context.bytes_left < 100 };"""
    )
    with closing(opened(config)) as guard:
        chain = chain_of(guard)
        decided = [guard.authorize(pay(amount), chain).verdict.policies for amount in (100, 99.99, 99, 1)]
        assert decided == [("small",), ("bank",), ("bank",), ("rest",)]
        other = chain_of(guard)
        decided = [guard.authorize(pay(1, to=to), other).verdict.policies for to in ("a", "b", "a")]
        assert decided == [("bank",), ("bank",), ("far",)]


CHILD = """
import sys
from hopward import Guard, Outcome, ToolCall
guard = Guard.open(sys.argv[1])
chain = guard.enter(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
for _ in range(int(sys.argv[3])):
    call = ToolCall(server="bank", tool="pay", arguments={"amount": 9.99})
    decision = guard.authorize(call, chain)
    print("permitted" if decision.permitted else decision.verdict.reason, flush=True)
"""


def started(config: Path, task: str, times: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", CHILD, str(config), task, str(times)]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    return child


def test_many_processes_at_once_never_spend_more_than_there_is(config: Path) -> None:
    with closing(Guard.open(config)) as guard:
        task = guard.open_task("buy", "alice").id
        children = [started(config, task, 12) for _ in range(4)]
        said = [word for child in children for word in child.communicate("go\n")[0].split()]
        assert Counter(said) == {"permitted": 25, "budget_exhausted": 23}
        assert euros(guard, task) == "249.75"
        assert guard.ledger.verify().ok


def test_what_was_reserved_before_a_kill_9_stays_reserved(config: Path) -> None:
    with closing(Guard.open(config)) as guard:
        task = guard.open_task("buy", "alice").id
        child = started(config, task, 10_000)
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write("go\n")
        child.stdin.flush()
        child.stdout.readline()
        child.kill()
        child.communicate()
        permits = list(guard.ledger.rows(RowFilter(kind="decision", task=task, verdict="permit")))
        assert permits
        spent = f"{999 * len(permits) // 100}.{999 * len(permits) % 100:02d}"
        assert euros(guard, task) == spent
        left = 25 - len(permits)
        chain = guard.enter(task)
        said = [guard.authorize(pay(9.99), chain).permitted for _ in range(left + 3)]
        assert said.count(True) == left
