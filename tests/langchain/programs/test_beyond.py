"""The ways around that came after the twenty: what stops each, and that nothing is claimed of the others."""

from contextlib import suppress

import pytest

from .beyond import BEYOND, NEEDS_HANDLER, RUNS_ANYWAY, SEEN, UNSEEN
from .test_escapes import attempt
from .till import Till

NAMES = [f"{number}: {name}" for number, (name, _) in BEYOND.items()]
STOPPED = {name for name, _ in [*SEEN, *UNSEEN]}
NEEDS_PROTECTION = {name for name, _ in [*UNSEEN, *RUNS_ANYWAY]}


def tried(till: Till, number: int, *, protected: bool, installed: bool = True) -> bool:
    """Whether a forbidden payment was made, or one on nobody's behalf."""
    with till.task(), suppress(PermissionError):
        BEYOND[number][1](attempt(till, protected=protected, installed=installed))
    return bool(till.paid)


@pytest.mark.parametrize("number", BEYOND, ids=NAMES)
def test_the_installed_handler_with_guarded_tools_stops_what_can_be_stopped(till: Till, number: int) -> None:
    assert tried(till, number, protected=True) == (BEYOND[number][0] not in STOPPED)


@pytest.mark.parametrize("number", BEYOND, ids=NAMES)
def test_guarded_tools_alone_leave_only_calls_of_other_tools(till: Till, number: int) -> None:
    name = BEYOND[number][0]
    escapes = name not in STOPPED or name in NEEDS_HANDLER
    assert tried(till, number, protected=True, installed=False) == escapes


@pytest.mark.parametrize("number", BEYOND, ids=NAMES)
def test_the_handler_alone_stops_what_langchain_tells_it_of(till: Till, number: int) -> None:
    assert tried(till, number, protected=False) == (BEYOND[number][0] in NEEDS_PROTECTION)


@pytest.mark.parametrize("number", BEYOND, ids=NAMES)
def test_every_one_of_them_pays_when_nothing_is_guarded(till: Till, number: int) -> None:
    assert tried(till, number, protected=False, installed=False)
