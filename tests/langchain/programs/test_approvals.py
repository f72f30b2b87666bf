"""A tool call of a program that waits for a person: the refusal names the approval, the retry passes once."""

from pathlib import Path

import pytest

from hopward.clock import SECOND
from langchain_hopward import AuthorizationDenied

from .till import Till

HELD = """
@id("large") @reason("Above 50 a person decides.") @step_up("operators")
forbid (principal, action == Hopward::Action::"app/pay", resource)
when { context.arguments has amount && context.arguments.amount > 50 };
"""


@pytest.fixture
def held(till: Till, tmp_path: Path) -> Till:
    (tmp_path / "policies" / "held.cedar").write_text(HELD, "utf-8")
    till.clock.advance(SECOND)  # type: ignore[attr-defined]
    till.hopward.install()
    return till


def refused(till: Till, amount: int) -> AuthorizationDenied:
    with pytest.raises(AuthorizationDenied) as found:
        till.sync_tool().invoke({"amount": amount})
    return found.value


def test_what_waits_for_a_person_passes_once_they_have_said_yes(held: Till) -> None:
    with held.task():
        told = str(refused(held, 60))
        (asked,) = held.guard.approvals.find()
        assert f"`hopward approve {asked.id}`" in told
        assert (asked.name, asked.arguments) == ("app/pay", {"amount": 60})
        held.guard.approvals.approve(asked.id, by="local:carol")
        refused(held, 61)
        assert held.sync_tool().invoke({"amount": 60}) == "paid 60"
        assert asked.id not in str(refused(held, 60))
    assert held.paid == [60]
    assert held.outcomes() == ["ok"]
