"""How much one call spends: what hopward.toml says of the tool, with the values of the call's arguments.

    spends = { amount = "amount", currency = "EUR" }            always that currency
    spends = { amount = "amount", currency = "{currency}" }     the one that an argument names
    spends = { amount = "amount", currency = "{currency|EUR}" } where the argument is absent: EUR
    spends = { amount = "cents", currency = "EUR", smallest_unit = true }

An amount that could be read in two ways refuses the call: nothing is guessed, and nothing rounded.
"""

import re
from collections.abc import Mapping

import msgspec

from hopward import money
from hopward.canonical import JSON
from hopward.model import ArgumentType, Tool
from hopward.money import Spending

_TEMPLATE = re.compile(r"\{(?P<argument>[^{}|]+)(?:\|(?P<absent>[^{}|]*))?\}")


class Amount(msgspec.Struct, frozen=True):
    """What a call spends: `units` of ten-thousandths (`hopward.money`) of a currency."""

    currency: str
    units: money.Units

    def __str__(self) -> str:
        return f"{money.write(self.units, self.currency)} {self.currency}"


def amount_of(tool: Tool, arguments: Mapping[str, JSON]) -> Amount | str | None:
    """What a call of a tool spends; a sentence where its arguments do not tell; None if it spends nothing."""
    spends = tool.spends
    if spends is None:
        return None
    currency = _currency(spends, arguments)
    if currency is None:
        return f"The argument {_argument(spends.currency)!r} names no currency (three capital letters)."
    units = _units(spends, arguments.get(spends.amount), currency, tool.arguments.get(spends.amount))
    if units is None:
        return f"The argument {spends.amount!r} is no amount of {currency}: {_form(spends, tool, currency)}."
    return Amount(currency, units)


def check(spends: Mapping[str, object], declared: Mapping[str, object]) -> tuple[str, str] | None:
    """The key that is wrong in `spends`, and what is wrong with it; `declared` are the tool's arguments."""
    amount, currency = spends.get("amount"), spends.get("currency")
    smallest = spends.get("smallest_unit") is True
    kinds = ("integer",) if smallest else ("decimal", "integer", "string")
    if isinstance(amount, str) and declared.get(amount) not in kinds:
        told = " or ".join(f'"{kind}"' for kind in kinds)
        return ("amount", f'"{amount}" must stand in arguments as {told}')
    if not isinstance(currency, str):
        return None
    found = _TEMPLATE.fullmatch(currency)
    if found is None and not money.is_currency(currency):
        return ("currency", 'is a currency such as "EUR" (ISO 4217), or an argument that names one: "{NAME}"')
    if found is not None and declared.get(found["argument"]) != "string":
        return ("currency", f'{{{found["argument"]}}} must stand in arguments as "string"')
    if found is not None and found["absent"] is not None and not money.is_currency(found["absent"]):
        return ("currency", f'"{found["absent"]}" is no currency: write three capital letters (ISO 4217)')
    return None


def _currency(spends: Spending, arguments: Mapping[str, JSON]) -> str | None:
    found = _TEMPLATE.fullmatch(spends.currency) if "{" in spends.currency else None
    if found is None:
        named: JSON = spends.currency
    elif found["argument"] in arguments:
        named = arguments[found["argument"]]
    else:
        named = found["absent"]
    return named if isinstance(named, str) and money.is_currency(named) else None


def _argument(currency: str) -> str:
    found = _TEMPLATE.fullmatch(currency)
    return found["argument"] if found else currency


def _units(spends: Spending, value: JSON, currency: str, kind: ArgumentType | None) -> money.Units | None:
    """Only a value of the declared type is an amount: a server may read another one otherwise."""
    if kind == "string":
        return money.read(value, currency) if isinstance(value, str) else None
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        read = money.in_smallest if spends.smallest_unit else money.counted
        return read(value, currency)
    return money.counted(value, currency) if isinstance(value, float) and kind == "decimal" else None


def _form(spends: Spending, tool: Tool, currency: str) -> str:
    if spends.smallest_unit:
        return "a whole number of its smallest unit, not below 0"
    if tool.arguments.get(spends.amount) == "string":
        return f"{money.form(currency)}, as text"
    after = money.digits(currency)
    return f"a number, not below 0, with at most {after} digits after the point"
