"""`kill -9` of the server behind a running stdio proxy at random moments: the log stays complete.

HOPWARD_CRASH_ROUNDS says how often (default: 20), HOPWARD_CRASH_SEED at which moments. The recorder writes
each call down before it answers, so what it has is what was forwarded.
"""

import os
import random
import signal
import sys
import threading
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from .project import Project, recorded
from .served import ended
from .wire import Body, Wire, refusal, told

ROUNDS = int(os.environ.get("HOPWARD_CRASH_ROUNDS", "20"))
SEED = int(os.environ.get("HOPWARD_CRASH_SEED", "20261126"))

IN_FLIGHT = 8
LONGEST = 0.4
"""Seconds between two kills; a process of the server takes a fraction of it to start."""


IN_VAIN = 2
"""So many processes in a row are killed before one has served: a busy machine starts them slowly, and the
proxy leaves a server alone that never comes to serve."""


class Killer(threading.Thread):
    """Kills the server's process again and again, whatever it is just doing."""

    def __init__(self, proxy: int) -> None:
        super().__init__(daemon=True)
        self.served = threading.Event()
        self._in_vain = 0
        self._children = Path(f"/proc/{proxy}/task/{proxy}/children")
        self._moments = random.Random(SEED)
        self._leave = threading.Event()
        self.killed = 0

    def run(self) -> None:
        while self.killed < ROUNDS and not self._leave.wait(self._moments.uniform(0, LONGEST)):
            if self._in_vain >= IN_VAIN:
                self.served.wait()
            for child in self._children.read_text().split():
                with suppress(ProcessLookupError):
                    os.kill(int(child), signal.SIGKILL)
                    self.killed += 1
                    self._in_vain = 0 if self.served.is_set() else self._in_vain + 1
                    self.served.clear()

    def stop(self) -> None:
        self._leave.set()
        self.served.set()
        self.join()


class Load:
    """Calls under way in a session until the killing has ended; each answer by the id it was asked under."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.asked: set[int] = set()
        self.answers: list[Body] = []

    def run(self, killer: Killer) -> None:
        self._refill()
        while killer.is_alive() or len(self.asked) > len(self.answers):
            message = self._wire.read()
            if message.get("id") in self.asked:
                self.answers.append(message)
            serves = "result" in message or message.get("method") == "notifications/tools/list_changed"
            if serves:
                killer.served.set()
            if killer.is_alive() and serves:
                self._refill()

    def _refill(self) -> None:
        while len(self.asked) - len(self.answers) < IN_FLIGHT:
            number = len(self.asked)
            tool = ("note", "change", "note", "erase")[number % 4]
            self.asked.add(self._wire.request("tools/call", {"name": tool, "arguments": {"number": number}}))


@pytest.mark.slow
def test_after_every_kill_9_of_a_stdio_server_each_call_is_answered_once_and_has_its_outcome(
    tmp_path: Path,
) -> None:
    sys.stdout.write(f"HOPWARD_CRASH_SEED={SEED} HOPWARD_CRASH_ROUNDS={ROUNDS}\n")
    project = recorded(tmp_path)
    project.change("[proxy]\n", "[proxy]\nrestarts = 1000\n")
    wire = Wire(project)
    with ended(wire):
        wire.greet()
        killer, load = Killer(wire.process.pid), Load(wire)
        killer.start()
        try:
            load.run(killer)
        finally:
            killer.stop()
        assert wire.leave() == 0
    assert Counter(answer["id"] for answer in load.answers) == Counter(load.asked)
    was_recorded(project, load.answers)


def was_recorded(project: Project, answers: list[Body]) -> None:
    """The log says of each call what its caller was told, and never less than what the server knows."""
    assert "verifies" in project.hopward("log", "verify")
    permits = {row.decision for row in project.rows(kind="decision") if row.verdict == "permit"}
    outcomes = {row.decision: row.reason for row in project.rows(kind="outcome")}
    assert len(project.rows(kind="outcome")) == len(outcomes)
    assert outcomes.keys() == permits
    sys.stdout.write(f"{Counter(outcomes.values())} {len(project.rows(kind='refusal'))} refused\n")
    forwarded = [claims["decision"] for claims in project.calls_received()]
    assert len(forwarded) == len(set(forwarded))
    assert {outcomes[decision] for decision in forwarded} <= {"ok", "unknown"}
    assert "unknown" in outcomes.values()
    results = [answer for answer in answers if "result" in answer]
    good = {told(answer)["decision"] for answer in results if not answer["result"].get("isError")}
    assert good == {decision for decision, reason in outcomes.items() if reason == "ok"}
    assert all(refusal(answer) for answer in results if answer["result"].get("isError"))
    sentences = {answer["error"]["message"] for answer in answers if "error" in answer}
    assert all("The server " in sentence for sentence in sentences), sentences
