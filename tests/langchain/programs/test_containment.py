"""A program that runs while something of it is quarantined, or everything stopped, by another process."""

from contextlib import closing
from typing import Any

import pytest

from hopward import Guard, StateError
from langchain_hopward import AuthorizationDenied

from .till import Till

BY: dict[str, Any] = {"by": "carol", "why": "an incident"}


@pytest.mark.parametrize(
    ("kind", "name"), [("tool", "app/pay"), ("server", "app"), ("agent", "assistant"), ("all", "")]
)
def test_its_next_call_is_refused_and_the_one_after_the_release_is_made(
    till: Till, kind: Any, name: str
) -> None:
    till.hopward.install()
    pay = till.sync_tool()
    with closing(Guard.open(till.log.parent.parent / "hopward.toml")) as person, till.task():
        pay.invoke({"amount": 1})
        if kind == "all":
            person.stop_all(**BY)
        else:
            person.quarantine(kind, name, **BY)
        with pytest.raises(AuthorizationDenied) as denied:
            pay.invoke({"amount": 2})
        assert denied.value.reason == ("stopped" if kind == "all" else "quarantined")
        assert "by carol: an incident" in denied.value.message
        if kind == "all":
            person.lift_stop(by="dan", why="over")
        else:
            person.release(kind, name, by="dan", why="over")
        pay.invoke({"amount": 3})
    assert till.paid == [1, 3]


def test_no_task_is_opened_while_everything_is_stopped(till: Till) -> None:
    till.guard.stop_all(**BY)
    with pytest.raises(StateError, match="Everything is stopped"), till.task():
        raise AssertionError
