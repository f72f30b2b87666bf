"""The escape matrix: twenty ways past a guard, with the handler alone and with guarded tools."""

from typing import Any

import pytest

from .escapes import NEEDS_PROTECTION, TWENTY, Attempt
from .till import Till

NAMES = [f"{number}: {name}" for number, (name, _) in TWENTY.items()]


def attempt(till: Till, *, protected: bool, middleware: bool = False, installed: bool = True) -> Attempt:
    if installed:
        till.hopward.install()

    def protect(tool: Any) -> Any:
        return till.hopward.protect([tool])[0] if protected else tool

    inside = [till.hopward.middleware()] if middleware else []
    return Attempt(till, protect(till.sync_tool()), protect, inside)


@pytest.mark.parametrize("middleware", [False, True], ids=["", "and middleware"])
@pytest.mark.parametrize("number", TWENTY, ids=NAMES)
def test_nothing_escapes_the_installed_handler_with_guarded_tools(
    till: Till, number: int, middleware: bool
) -> None:
    _, act = TWENTY[number]
    with till.task():
        act(attempt(till, protected=True, middleware=middleware))
    assert till.paid == []


@pytest.mark.parametrize("number", TWENTY, ids=NAMES)
def test_nothing_escapes_guarded_tools_alone(till: Till, number: int) -> None:
    _, act = TWENTY[number]
    with till.task():
        act(attempt(till, protected=True, installed=False))
    assert till.paid == []


@pytest.mark.parametrize("number", TWENTY, ids=NAMES)
def test_only_functions_called_past_langchain_escape_the_handler_alone(till: Till, number: int) -> None:
    _, act = TWENTY[number]
    with till.task():
        act(attempt(till, protected=False))
    assert bool(till.paid) == (number in NEEDS_PROTECTION)


@pytest.mark.parametrize("number", TWENTY, ids=NAMES)
def test_every_one_of_them_pays_when_nothing_is_guarded(till: Till, number: int) -> None:
    TWENTY[number][1](attempt(till, protected=False, installed=False))
    assert till.paid


@pytest.mark.parametrize("number", TWENTY, ids=NAMES)
def test_every_refusal_of_a_forbidden_payment_is_in_the_log(till: Till, number: int) -> None:
    with till.task():
        TWENTY[number][1](attempt(till, protected=True))
    assert "deny" in [row.verdict for row in [*till.rows("decision"), *till.rows("refusal")]]
