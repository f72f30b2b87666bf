"""Repeats something in process, in interleaved rounds, and notes wall and CPU time of every repetition."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bench.results import Entry, Rounds
from bench.stats import percentile

_WARM_UP = 5
_QUIET_SECONDS = 0.02
"""Before another process's CPU time is read: the kernel books it when the process goes to sleep."""


def _nothing() -> None:
    pass


@dataclass(slots=True)
class Subject:
    """One thing that is repeated: `call` does it once and raises if the result is wrong.

    `prepare` runs before every round, unmeasured. `server` reads the CPU time (ns) of who serves the call.
    """

    group: str
    name: str
    call: Callable[[], None]
    prepare: Callable[[], None] = _nothing
    server: Callable[[], int] | None = None
    rounds: Rounds = field(default_factory=Rounds)


def run_rounds(
    subjects: Sequence[Subject], rounds: int, times: int, step: Callable[[str], None]
) -> list[Entry]:
    """Every subject `times` in a row, round after round, starting with another one each round.

    `cpu_us` is the median CPU time of the calling thread per repetition.
    """
    for number in range(rounds):
        first = number % len(subjects)
        for subject in [*subjects[first:], *subjects[:first]]:
            step(f"{subject.group}: {subject.name}")
            subject.prepare()
            for _ in range(min(_WARM_UP, times)):
                subject.call()
            _one_round(subject, times)
    return [subject.rounds.entry(subject.group, subject.name) for subject in subjects]


def _one_round(subject: Subject, times: int) -> None:
    walls: list[float] = []
    cpus: list[float] = []
    before = _served(subject)
    for _ in range(times):
        wall, cpu = time.perf_counter_ns(), time.thread_time_ns()
        subject.call()
        cpus.append((time.thread_time_ns() - cpu) / 1_000)
        walls.append((time.perf_counter_ns() - wall) / 1_000)
    subject.rounds.note("p50_us", percentile(walls, 0.50))
    subject.rounds.note("p99_us", percentile(walls, 0.99))
    subject.rounds.note("cpu_us", percentile(cpus, 0.50))
    if subject.server is not None:
        subject.rounds.note("server_cpu_us", (_served(subject) - before) / times / 1_000)
    subject.rounds.note("per_second", 1e6 * times / sum(walls))


def _served(subject: Subject) -> int:
    if subject.server is None:
        return 0
    time.sleep(_QUIET_SECONDS)
    return subject.server()
