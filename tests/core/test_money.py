"""Amounts are exact, and what could be read in two ways is none."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from hopward import money
from hopward.model import Tool
from hopward.money import Spending
from hopward.spending import Amount, amount_of

EURO = 10_000


def paying(kind: str, **spends: object) -> Tool:
    """A tool that spends its argument `amount`, in euros unless it is said."""
    return Tool(
        server="bank",
        name="pay",
        action="pay",
        sensitivity="internal",
        integrity="trusted",
        destination="bank",
        arguments={"amount": kind, "currency": "string"},  # type: ignore[dict-item]
        spends=Spending(**({"amount": "amount", "currency": "EUR"} | spends)),  # type: ignore[arg-type]
    )


DECIMAL, TEXT, WHOLE = paying("decimal"), paying("string"), paying("integer")
CENTS = paying("integer", smallest_unit=True)
NAMED = paying("decimal", currency="{currency}")


@pytest.mark.parametrize(
    ("text", "currency", "units"),
    [
        ("0", "EUR", 0),
        ("250", "EUR", 250 * EURO),
        ("0.01", "EUR", 100),
        ("12.5", "EUR", 125_000),
        ("12.5000", "EUR", 125_000),
        ("250", "JPY", 250 * EURO),
        ("1.234", "KWD", 12_340),
        ("999999999999.99", "EUR", 9_999_999_999_999_900),
    ],
)
def test_an_amount_is_read_exactly(text: str, currency: str, units: int) -> None:
    assert money.read(text, currency) == units


@pytest.mark.parametrize(
    "text",
    [
        *("", " 1", "1 ", "1\n", "+1", "-1", "-0", "1.", ".5", "1,00", "1_000", "01", "00", "1e3", "0x10"),
        *("NaN", "Infinity", "١٢", "１２", "1.0.0", "1" + "0" * 12, "9" * 5000, "1.001", "1.00000", "€1"),  # noqa: RUF001
    ],
)
def test_what_could_be_read_otherwise_is_no_amount(text: str) -> None:
    assert money.read(text, "EUR") is None
    assert isinstance(amount_of(TEXT, {"amount": text}), str)


@pytest.mark.parametrize("code", ["eur", "EU", "EURO", "ＥＵＲ", "ЕUR", "EUR ", "", "€", "E1R"])  # noqa: RUF001
def test_a_look_alike_is_no_currency(code: str) -> None:
    assert not money.is_currency(code)
    assert isinstance(amount_of(NAMED, {"amount": 1, "currency": code}), str)


@given(st.integers(0, money.MOST), st.sampled_from(["EUR", "JPY", "KWD", "CLF"]))
def test_what_is_written_is_read_again(units: int, currency: str) -> None:
    fine = units - units % 10 ** (4 - money.digits(currency))
    assert money.read(money.write(fine, currency), currency) == fine


@given(st.floats())
def test_a_float_counts_as_the_text_that_is_forwarded_or_not_at_all(value: float) -> None:
    found = money.counted(value, "EUR")
    if found is not None:
        assert json.loads(money.write(found, "EUR")) == value
        assert not math.copysign(1, value) < 0


@pytest.mark.parametrize(
    ("tool", "value", "units"),
    [
        (DECIMAL, 12.5, 125_000),
        (DECIMAL, 12, 120_000),
        (DECIMAL, 1e3, 1000 * EURO),
        (DECIMAL, 0, 0),
        (TEXT, "12.50", 125_000),
        (WHOLE, 12, 120_000),
        (CENTS, 1250, 125_000),
    ],
)
def test_a_call_spends_what_its_argument_says(tool: Tool, value: object, units: int) -> None:
    assert amount_of(tool, {"amount": value}) == Amount("EUR", units)  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("tool", "value"),
    [
        (DECIMAL, "12.50"),
        (DECIMAL, True),
        (DECIMAL, None),
        (DECIMAL, [12]),
        (DECIMAL, {"__extn": {"fn": "decimal", "arg": "1.0"}}),
        (DECIMAL, -1),
        (DECIMAL, -0.0),
        (DECIMAL, 0.1 + 0.2),
        (DECIMAL, 0.001),
        (DECIMAL, 1e22),
        (DECIMAL, 10**13),
        (DECIMAL, 1e-7),
        (DECIMAL, float("nan")),
        (DECIMAL, float("inf")),
        (TEXT, 12),
        (TEXT, 12.5),
        (WHOLE, 12.0),
        (WHOLE, "12"),
        (CENTS, 12.5),
        (CENTS, -1),
        (CENTS, 10**20),
    ],
)
def test_an_amount_of_another_form_is_refused(tool: Tool, value: object) -> None:
    told = amount_of(tool, {"amount": value})  # type: ignore[dict-item]
    assert isinstance(told, str)
    assert "'amount' is no amount of EUR" in told


def test_an_absent_amount_is_refused() -> None:
    assert isinstance(amount_of(DECIMAL, {}), str)


def test_a_currency_comes_from_the_argument_that_names_it() -> None:
    assert amount_of(NAMED, {"amount": 5, "currency": "JPY"}) == Amount("JPY", 5 * EURO)
    assert isinstance(amount_of(NAMED, {"amount": 5.5, "currency": "JPY"}), str)
    assert isinstance(amount_of(NAMED, {"amount": 5}), str)
    assert isinstance(amount_of(NAMED, {"amount": 5, "currency": None}), str)
    otherwise = paying("decimal", currency="{currency|CHF}")
    assert amount_of(otherwise, {"amount": 5}) == Amount("CHF", 5 * EURO)
    assert isinstance(amount_of(otherwise, {"amount": 5, "currency": ""}), str)


def test_a_tool_that_does_not_say_so_spends_nothing() -> None:
    assert amount_of(replace(DECIMAL, spends=None), {"amount": -1}) is None
