"""Budgets as people see them: what a task has used, and what a call would come to."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from hopward.model import Budget, Narrowing, ToolCall
from hopward.wiring import Guard

from .conftest import DESK
from .shell import Shell

SPENDING = (
    (
        DESK.replace(
            'arguments = { amount = "decimal" }',
            'arguments = { amount = "decimal", note = "string" }\n'
            'spends = { amount = "amount", currency = "EUR" }',
        )
        .replace(
            "budget = { calls = 5, writes = 1 }",
            'budget = { calls = 9, writes = 9, money = { EUR = "50" }, bytes_out = 90, destinations = 1 }\n'
            'delegable = [{ tools = ["desk/*"], actions = ["pay"], sensitivity = "internal", '
            'destinations = ["desk"] }]\ndepth = 1\nfan_out = 2',
        )
        .replace(
            "ceiling = [",
            'delegable = [{ tools = ["desk/*"], actions = ["pay"], sensitivity = "internal", '
            'destinations = ["desk"] }]\nceiling = [',
        )
    )
    + """
[agents.clerk]
owner = "bo@example.com"
purpose = "Pays"
ceiling = [{ tools = ["desk/*"], actions = ["pay"], sensitivity = "internal", destinations = ["desk"] }]
"""
)


@pytest.fixture
def spending(desk: Shell) -> Iterator[Guard]:
    desk.write("hopward.toml", SPENDING)
    (desk.folder / "policies" / "schema.cedarschema").unlink()
    policy = "permit (principal, action, resource);\n"
    hand = 'permit (principal, action == Hopward::Action::"delegate", resource);\n'
    desk.write("policies/baseline.cedar", policy + hand)
    with closing(Guard.open(desk.folder / "hopward.toml")) as guard:
        yield guard


def refund(amount: float) -> ToolCall:
    return ToolCall(server="desk", tool="refund", arguments={"amount": amount})


def test_a_task_shows_what_it_and_its_hops_have_used(desk: Shell, spending: Guard) -> None:
    task = spending.open_task("tickets", "ines@example.com")
    chain = spending.enter(task.id)
    assert spending.authorize(refund(12.5), chain).permitted
    asked = Narrowing(
        purpose="pay",
        capabilities=task.delegable,
        budget=Budget(calls=2, writes=2, money={"EUR": "20.00"}),
        expires_in=60,
    )
    assert spending.delegate(chain, "clerk", asked).chain is not None
    shown = [" ".join(line.split()) for line in desk(f"task show {task.id}").out.splitlines()]
    assert {"money 32.50 of 50.00 EUR", "bytes out 15 of 90", "destinations 1 of 1"} <= set(shown)
    hop = next(line for line in shown if "assistant -> clerk" in line)
    assert "0 of 2 writes, 0.00 of 20.00 EUR, 0 of 90 bytes out, 0 of 1 destinations" in hop
    usage = desk(f"task show {task.id} --json").json["usage"]
    assert usage == {"calls": 4, "writes": 3, "money": {"EUR": "32.50"}, "bytes_out": 15, "destinations": 1}


def test_an_explanation_knows_what_is_left(desk: Shell, spending: Guard) -> None:
    task = spending.open_task("tickets", "ines@example.com")
    assert spending.authorize(refund(45), spending.enter(task.id)).permitted
    answer = desk(f"policy explain desk/refund amount=5.01 --task {task.id} --json").json
    assert answer["verdict"] == {
        "name": "deny",
        "reason": "budget_exhausted",
        "sentence": "The task has 5.00 EUR left of its budget, and this would spend 5.01.",
    }
    assert (
        desk(f"policy explain desk/refund amount=5 --task {task.id} --json").json["verdict"]["name"]
        == "permit"
    )
    long = desk(f"policy explain desk/refund amount=1 note={'x' * 80} --task {task.id} --json").json
    assert "may give out" in long["verdict"]["sentence"]
    assert spending.ledger.usage(task.id).money == {"EUR": "45.00"}


def test_an_explanation_of_a_hop_knows_what_money_is_left(desk: Shell, spending: Guard) -> None:
    task = spending.open_task("tickets", "ines@example.com")
    assert spending.authorize(refund(45), spending.enter(task.id)).permitted
    ask = "policy explain delegate:clerk calls=1 writes=1 actions=pay tools=desk/refund --json"
    assert desk(f'{ask} --task {task.id} \'money={{"EUR": "5"}}\'').json["verdict"]["name"] == "permit"
    refused = desk(f'{ask} --task {task.id} \'money={{"EUR": "6"}}\'').json["verdict"]
    assert refused["reason"] == "budget_exhausted"
    alone = desk(f'{ask} --agent assistant \'money={{"EUR": "6"}}\'').json
    assert alone["verdict"]["name"] == "permit"
    assert "is no amount of EUR" in desk.fails(f'{ask} --task {task.id} \'money={{"EUR": "-6"}}\'', 2).err


def test_an_amount_that_is_not_clear_is_explained(desk: Shell, spending: Guard) -> None:
    assert spending.settings.servers
    answer = desk("policy explain desk/refund amount=-1 --agent assistant --json").json
    assert answer["verdict"]["reason"] == "amount_unclear"
