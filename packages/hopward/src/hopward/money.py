"""Amounts of money: whole numbers of a ten-thousandth of one currency, never a float and never rounded.

A currency is the three capital letters of ISO 4217. An amount has at most as many digits after the point as
the currency's smallest unit: 250.00 EUR, 250 JPY, 250.000 KWD. What could be read in two ways is no amount.
"""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Final, TypeAlias

import msgspec

Units: TypeAlias = int
"""An amount, in ten-thousandths: the fraction that Cedar's decimal has, and ISO 4217 needs at most."""

UNIT_DIGITS: Final = 4
_UNIT: Final = 10**UNIT_DIGITS

MOST: Final[Units] = 10**12 * _UNIT - 1
"""The largest amount: below a million million. The sum of two fits into 64 bits."""

BOUNDLESS: Final = 2**53 - 1
"""Of what is counted beside money: more than anything uses up, and exact for every JSON reader."""

_CURRENCY = re.compile(r"[A-Z]{3}")
_WRITTEN = re.compile(r"(?P<whole>0|[1-9][0-9]{0,11})(?:\.(?P<fraction>[0-9]{1,4}))?")

_DIGITS: Final = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
"""Digits after the point, where they are not two (ISO 4217, list one)."""

_DIGITS_OF: Final = {code: count for count, codes in _DIGITS.items() for code in codes.split()}


class Spending(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`spends = {...}`: which argument of a tool is an amount of money, and of which currency.

    `currency` is a code, or `{NAME}` for an argument that names one (`hopward.spending`). With
    `smallest_unit`, the amount is a whole number of cents, or of what else the currency is counted in.
    """

    amount: str
    currency: str
    smallest_unit: bool = False


def is_currency(text: str) -> bool:
    """Whether a text has the form of a currency code. No other script or case is one."""
    return _CURRENCY.fullmatch(text) is not None


def digits(currency: str) -> int:
    """How many digits after the point amounts of a currency have."""
    return _DIGITS_OF.get(currency, 2)


def read(text: str, currency: str) -> Units | None:
    """An amount as text: digits, perhaps a point and more digits; None for all else.

    No sign, exponent, space or zero in front, no other script's digits, and no finer than the currency.
    """
    found = _WRITTEN.fullmatch(text)
    if found is None:
        return None
    fraction = found["fraction"] or ""
    if len(fraction.rstrip("0")) > digits(currency):
        return None
    return int(found["whole"]) * _UNIT + int(fraction.ljust(UNIT_DIGITS, "0"))


def counted(value: float, currency: str) -> Units | None:
    """An amount as a JSON number, by the shortest text that stands for it: the one that is forwarded."""
    if isinstance(value, int):
        return value * _UNIT if 0 <= value * _UNIT <= MOST else None
    if not 0 <= value < MOST / _UNIT or repr(value).startswith("-"):
        return None  # NaN is not in any range
    return read(f"{Decimal(repr(value)):f}", currency)


def in_smallest(value: int, currency: str) -> Units | None:
    """An amount as a whole number of the currency's smallest unit: cents for EUR, yen for JPY."""
    units = value * 10 ** (UNIT_DIGITS - digits(currency))
    return units if 0 <= units <= MOST else None


def write(units: Units, currency: str) -> str:
    """The text of an amount, as `read` reads it; no finer than the currency unless it has to be."""
    whole, fraction = divmod(units, _UNIT)
    after = f"{fraction:04d}"
    kept = max(digits(currency), len(after.rstrip("0")))
    return f"{whole}.{after[:kept]}" if kept else str(whole)


def of(money: Mapping[str, str], currency: str) -> Units:
    """How much of a currency a budget has."""
    return read(money.get(currency, "0"), currency) or 0


def check(money: dict[str, str]) -> str | None:
    """What is wrong with amounts by currency, as a budget has them, or None."""
    for currency, amount in money.items():
        if not is_currency(currency):
            return f"{currency!r} is no currency: write three capital letters, such as EUR (ISO 4217)"
        if read(amount, currency) is None:
            return f"{amount!r} is no amount of {currency}: {form(currency)}"
    return None


def form(currency: str) -> str:
    """How an amount of a currency is written."""
    after = digits(currency)
    return f"write it as {write(250 * _UNIT, currency)}" + (
        f", with at most {after} digits after the point" if after else ", without a point"
    )
