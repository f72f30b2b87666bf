"""The shape of `bench/results.json`. Units are in the metric names: `_us` microseconds, `_kib` KiB."""

from pathlib import Path
from statistics import median
from typing import Literal

import msgspec


class Value(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of everything in the file."""


class Measure(Value, frozen=True):
    """One metric: its median over the rounds, and what each round gave."""

    median: float
    rounds: tuple[float, ...]

    @classmethod
    def of(cls, rounds: list[float]) -> "Measure":
        """A metric from its rounds."""
        return cls(median=round(median(rounds), 3), rounds=tuple(round(value, 3) for value in rounds))


class Rounds:
    """Collects what each round gave, metric by metric."""

    def __init__(self) -> None:
        self._values: dict[str, list[float]] = {}

    def note(self, metric: str, value: float) -> None:
        """Add one round's value."""
        self._values.setdefault(metric, []).append(value)

    def entry(self, group: str, name: str) -> "Entry":
        """The row they become."""
        return Entry(group=group, name=name, metrics={m: Measure.of(v) for m, v in self._values.items()})


class Entry(Value, frozen=True):
    """What was measured for one thing: `group` is the table, `name` the row, `metrics` the columns."""

    group: str
    name: str
    metrics: dict[str, Measure]


class Ratio(Value, frozen=True):
    """Ours over theirs: median, lowest and highest over the rounds of the ratio within one round.

    `sentence` says what is compared, for people. `target` is null where none is set. With a `unit` it is no
    ratio but a figure of ours that has a target of its own.
    """

    name: str
    sentence: str
    value: float
    lowest: float
    highest: float
    unit: str = ""
    sense: Literal["at most", "at least", ""] = ""
    target: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the target is reached; None without a target."""
        if self.target is None:
            return None
        return self.value <= self.target if self.sense == "at most" else self.value >= self.target


class Machine(Value, frozen=True):
    """Where it ran. `load_before` and `load_after` are the one-minute load averages."""

    system: str
    cpu: str
    cores: int
    memory_mib: int
    filesystem: str
    load_before: float
    load_after: float


class Results(Value, frozen=True):
    """One run. `quick` runs use few calls, prove only that everything works, and are not published."""

    date: str
    commit: str
    quick: bool
    era: str
    groups: tuple[str, ...]
    rounds: int
    seconds: float
    machine: Machine
    versions: dict[str, str]
    entries: tuple[Entry, ...]
    ratios: tuple[Ratio, ...]


def load(path: Path) -> Results:
    """The results in a file; raises `msgspec.ValidationError` if they have another shape."""
    return msgspec.json.decode(path.read_bytes(), type=Results)


def save(results: Results, path: Path) -> None:
    """Write the results, indented, so that a change reads as a diff."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")
