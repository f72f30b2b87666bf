"""What one process sees of an agent holds in every other within one call, and survives its death."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TypeAlias

import pytest

from hopward import Chain, Guard
from hopward.behaviour import risk
from hopward.clock import SystemClock

from .watching import chain_of, made, opened, read

RISK = """
[risk]
actions = { elevated = "throttle" }
[risk.thresholds]
denials = 80
streak = 1000
calls = 100000
[risk.weights]
denials = 25
"""


CHILD = Path(__file__).with_name("child.py")
Start: TypeAlias = "Callable[[Chain, str, int], subprocess.Popen[str]]"


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[Guard]:
    with closing(opened(made(tmp_path, RISK), SystemClock())) as guard:
        yield guard


@pytest.fixture
def start(guard: Guard) -> Iterator[Start]:
    """Starts a process that asks for a tool so often; what still runs afterwards is killed."""
    with ExitStack() as started:

        def start(chain: Chain, tool: str, times: int) -> "subprocess.Popen[str]":
            configuration = str(guard.settings.root / "hopward.toml")
            command = [sys.executable, str(CHILD), configuration, chain.task, tool, str(times)]
            child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            started.enter_context(child)
            started.callback(child.kill)
            return child

        yield start


def _points(guard: Guard, chain: Chain) -> int:
    states = guard.ledger.behaviour(chain.actor, chain.task)
    return risk(states, guard.now, guard.settings.risk).points


def test_denials_in_another_process_count_at_the_next_call_and_after_its_death(
    guard: Guard, start: Start
) -> None:
    chain = chain_of(guard)
    assert guard.authorize(read(), chain).permitted
    for deaths in (1, 2):
        child = start(chain, "unheard_of", 40)
        assert child.stdout is not None
        assert [child.stdout.readline() for _ in range(40)] == ["tool_unclassified\n"] * 40
        child.kill()
        child.wait()
        assert guard.authorize(read(deaths), chain).permitted == (deaths == 1)
    assert _points(guard, chain) == 25


def test_of_two_processes_at_once_every_denial_counts(guard: Guard, start: Start) -> None:
    chain = chain_of(guard)
    children = [start(chain, "unheard_of", 40) for _ in range(2)]
    for child in children:
        assert child.communicate("done\n")[0].split() == ["tool_unclassified"] * 40
    states = guard.ledger.behaviour(chain.actor, chain.task)
    (signal,) = risk(states, guard.now, guard.settings.risk).signals
    assert signal.sentence.startswith("80 calls refused")


def test_calls_of_two_processes_at_once_are_permitted_as_long_as_the_risk_is_low(
    guard: Guard, start: Start
) -> None:
    chain = chain_of(guard)
    children = [start(chain, "read", 60) for _ in range(2)]
    for child in children:
        assert child.communicate("done\n")[0].split() == ["permitted"] * 60
