"""`hopward.toml`: budgets of money, bytes and destinations, and what a tool spends."""

from pathlib import Path

import pytest

from hopward.config import read_settings
from hopward.model import Budget
from hopward.money import Spending

from .test_config import GOOD as PLAIN
from .test_config import problems_of

BUDGET = 'budget = { calls = 50, writes = 5, money = { EUR = "250.00" }, bytes_out = 100, destinations = 2 }'
SPENDS = 'spends = { amount = "amount", currency = "{currency}" }'
GOOD = PLAIN.replace("budget = { calls = 50, writes = 5 }", BUDGET).replace(
    'arguments = { ticket = "string" }',
    'arguments = { ticket = "string", amount = "decimal", cents = "integer", currency = "string" }\n'
    + SPENDS,
)


def test_a_budget_and_what_a_tool_spends_are_read_as_written(tmp_path: Path) -> None:
    path = tmp_path / "hopward.toml"
    path.write_text(GOOD)
    settings = read_settings(path)
    budget = Budget(calls=50, writes=5, money={"EUR": "250.00"}, bytes_out=100, destinations=2)
    assert settings.workflows["tickets"].budget == budget
    tool = settings.servers["support"].tools["read_ticket"]
    assert tool.spends == Spending(amount="amount", currency="{currency}")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('EUR = "', 'eur = "', "budget.money.eur: is no currency: three capital letters"),
        ('EUR = "', '"ЕUR" = "', "is no currency"),  # noqa: RUF001 - a Cyrillic letter
        ('EUR = "', 'EURO = "', "is no currency"),
        ('"250.00"', "250.00", "write it as 250.00, with at most 2 digits after the point, in quotes"),
        ('"250.00"', "250", "in quotes"),
        ('"250.00"', '"-1"', "in quotes"),
        ('"250.00"', '"0.001"', "at most 2 digits"),
        ('EUR = "250.00"', 'JPY = "250.00"', None),
        ('EUR = "250.00"', 'JPY = "250.50"', "write it as 250, without a point"),
        ("bytes_out = 100", "bytes_out = 0", "must be 1 to 1000000000000; without it there is no bound"),
        ("bytes_out = 100", "bytes_out = -5", "must be 1 to"),
        ("bytes_out = 100", 'bytes_out = "100"', "must be a whole number, not text"),
        ("destinations = 2", "destinations = 0", "must be 1 to 1000000000"),
        ("destinations = 2", "destination = 2", 'did you mean "destinations"?'),
        ('amount = "amount"', 'amount = "total"', '"total" must stand in arguments as "decimal" or'),
        ('amount = "amount"', 'amount = "ticket"', None),
        ('{ amount = "amount"', '{ smallest_unit = true, amount = "amount"', 'arguments as "integer"'),
        ('{ amount = "amount"', '{ smallest_unit = true, amount = "cents"', None),
        ('"{currency}"', '"CHF"', None),
        ('"{currency}"', '"{currency|CHF}"', None),
        ('"{currency}"', '"currency"', "is a currency such as"),
        ('"{currency}"', '"chf"', "is a currency such as"),
        ('"{currency}"', '"{currency|chf}"', '"chf" is no currency'),
        ('"{currency}"', '"{amount}"', '{amount} must stand in arguments as "string"'),
        ('amount = "amount", ', "", "spends.amount: missing"),
        ('"{currency}" }', '"{currency}", per = "day" }', "spends.per: unknown key"),
    ],
)
def test_a_budget_that_could_be_taken_otherwise_is_refused(
    tmp_path: Path, old: str, new: str, told: str | None
) -> None:
    assert old in GOOD
    text = GOOD.replace(old, new, 1)
    if told is None:
        path = tmp_path / "hopward.toml"
        path.write_text(text)
        read_settings(path)
        return
    found = problems_of(tmp_path, text)
    assert any(told in problem and problem.startswith("hopward.toml:") for problem in found), found
