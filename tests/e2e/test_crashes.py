"""`kill -9` of the proxy at random moments under load: what it had done by then stands in the log.

HOPWARD_CRASH_ROUNDS says how often (default: 100 over stdio, a fifth of it over HTTP), HOPWARD_CRASH_SEED at
which moments. The recorder writes each call down before it answers, so what it has is what was forwarded.
"""

import json
import os
import random
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest

from hopward.clock import SystemClock
from hopward.ledger import RowFilter, SqliteLedger
from hopward.record import Row

from .project import Project, recorded, recorded_at
from .running import PATIENCE
from .served import Caller, Serve, ended, free_port, recorder
from .wire import Body, Wire, refusal, told

ROUNDS = int(os.environ.get("HOPWARD_CRASH_ROUNDS", "100"))
SEED = int(os.environ.get("HOPWARD_CRASH_SEED", "20261126"))

IN_FLIGHT = 16
STARTING = 0.4
"""Seconds; about what the proxy takes to start."""
UNDER_LOAD = 0.12
"""Seconds; some hundred calls."""


@dataclass
class Witness:
    """Compares, after each crash, what was forwarded and what was told with what stands in the log."""

    project: Project
    row: int = 0
    offset: int = 0
    tokens: set[str] = field(default_factory=set, repr=False)
    forwarded: int = 0
    answered: int = 0
    refused: int = 0
    cut_short: int = 0

    def look(self, answers: list[Body]) -> None:
        """Check what is new since the last look."""
        with closing(SqliteLedger.open(self.project.log, clock=SystemClock())) as ledger:
            assert ledger.verify().problems == ()
            rows = list(ledger.rows(RowFilter(after=self.row, oldest_first=True)))
        self.row = rows[-1].seq if rows else self.row
        by_kind = {
            kind: {row.decision: row for row in rows if row.kind == kind and row.decision}
            for kind in ("decision", "credential", "outcome")
        }
        calls = self._new_calls()
        for claims in calls:
            self._was_permitted(claims, by_kind["decision"], by_kind["credential"])
        for answer in answers:
            self._is_recorded(answer, by_kind["decision"], by_kind["outcome"])
        self.forwarded += len(calls)
        self.cut_short += sum(claims["decision"] not in by_kind["outcome"] for claims in calls)

    def _was_permitted(
        self, claims: dict[str, Any], decisions: dict[str, Row], credentials: dict[str, Row]
    ) -> None:
        decision, token = claims["decision"], claims["jti"]
        assert decisions[decision].verdict == "permit"
        assert credentials[decision].record["credential"]["id"] == token
        assert credentials[decision].seq == decisions[decision].seq + 1
        assert token not in self.tokens
        self.tokens.add(token)

    def _is_recorded(self, answer: Body, decisions: dict[str, Row], outcomes: dict[str, Row]) -> None:
        if answer["result"].get("isError"):
            assert decisions[refusal(answer)["id"]].verdict == "deny"
            self.refused += 1
        else:
            assert outcomes[told(answer)["decision"]].reason == "ok"
            self.answered += 1

    def _new_calls(self) -> list[dict[str, Any]]:
        with (self.project.folder / "received.jsonl").open("rb") as record:
            record.seek(self.offset)
            lines = record.read().splitlines()
            self.offset = record.tell()
        received = map(json.loads, lines)
        return [one["claims"] for one in received if one["message"].get("method") == "tools/call"]

    def conclude(self, rounds: int) -> None:
        """The looks were at something, and kills did hit calls under way."""
        sys.stdout.write(f"{self}\n")
        if rounds >= 10:
            assert min(self.forwarded, self.answered, self.refused) >= rounds
            assert self.cut_short >= rounds // 2
        assert "verifies" in self.project.hopward("log", "verify")


@pytest.fixture
def moments() -> random.Random:
    """Where the kills fall. The seed is shown when a test fails."""
    sys.stdout.write(f"HOPWARD_CRASH_SEED={SEED} HOPWARD_CRASH_ROUNDS={ROUNDS}\n")
    return random.Random(SEED)


def tool(number: int) -> str:
    """What the load is made of: reads, changes, and some calls that are refused."""
    return ("note", "change", "note", "erase")[number % 4]


@contextmanager
def killed_after(seconds: float, kill: Callable[[], None]) -> Iterator[None]:
    """What is done inside is cut short by a kill."""
    timer = threading.Timer(seconds, kill)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


def load(wire: Wire) -> list[Body]:
    """Keep calls under way until the proxy is gone; every answer that came."""
    answers: list[Body] = []
    with suppress(BrokenPipeError):
        for number in range(IN_FLIGHT):
            wire.request("tools/call", {"name": tool(number), "arguments": {"number": number}})
        while True:
            answer = wire.next()
            if answer is None:
                return answers
            answers.append(answer)
            number = len(answers) + IN_FLIGHT
            wire.request("tools/call", {"name": tool(number), "arguments": {"number": number}})
    return [*answers, *wire.rest()]


def crash_while_starting(project: Project, moments: random.Random) -> list[Body]:
    wire = Wire(project)
    with ended(wire), killed_after(moments.uniform(0, STARTING), wire.process.kill):
        with suppress(BrokenPipeError):
            wire.request("initialize", {"protocolVersion": "2025-11-25", "capabilities": {}})
        answers = load(wire)
        wire.over()
    return [answer for answer in answers if answer["id"] != 1]


def crash_under_load(project: Project, moments: random.Random) -> list[Body]:
    wire = Wire(project)
    with ended(wire):
        wire.greet()
        with killed_after(moments.uniform(0, UNDER_LOAD), wire.process.kill):
            answers = load(wire)
            wire.over()
    return answers


@pytest.mark.slow
def test_after_every_kill_9_of_the_stdio_proxy_the_log_holds_what_was_forwarded_and_told(
    tmp_path: Path, moments: random.Random
) -> None:
    project = recorded(tmp_path)
    witness = Witness(project)
    bystander = Wire(project)
    with ended(bystander):
        bystander.greet()
        for number in range(ROUNDS):
            crash = crash_while_starting if number % 10 == 9 else crash_under_load
            answers = crash(project, moments)
            # Another proxy on the same log is not held up by what the dead one may have left behind.
            answers.append(bystander.call("note"))
            witness.look(answers)
    witness.conclude(ROUNDS)


@pytest.mark.slow
def test_after_every_kill_9_of_the_http_proxy_the_log_holds_what_was_forwarded_and_told(
    tmp_path: Path, moments: random.Random
) -> None:
    port = free_port()
    project = recorded_at(tmp_path, f"http://127.0.0.1:{port}/mcp")
    project.listen_at(free_port())
    token = project.token(project.open_task())
    witness = Witness(project)
    rounds = max(1, ROUNDS // 5)
    for _ in range(rounds):
        # The recorder ends with each round, so that its record is complete when it is looked at.
        with recorder(project.folder, port), ended(Serve(project)) as serve:
            answers = called_until_killed(project, token, moments, serve.process.kill)
            serve.over()
        witness.look(answers)
    witness.conclude(rounds)


def called_until_killed(
    project: Project, token: str, moments: random.Random, kill: Callable[[], None]
) -> list[Body]:
    """Several callers at once, each with one call under way until the proxy is gone; every answer."""
    answers: list[Body] = []
    under_load = threading.Event()

    def calls(caller: Caller, first: int) -> None:
        with closing(caller), suppress(ConnectionError, HTTPException):
            for number in range(first, first + 1_000_000):
                answers.append(caller.call(tool(number), number=number))
                under_load.set()

    with ExitStack() as running:
        for first in range(IN_FLIGHT // 2):
            caller = Caller(project.endpoint(), token)
            thread = threading.Thread(target=calls, args=(caller, first), daemon=True)
            running.callback(thread.join)
            thread.start()
        assert under_load.wait(PATIENCE)
        with killed_after(moments.uniform(0, UNDER_LOAD), kill):
            running.close()
    return answers
