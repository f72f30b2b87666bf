"""What every group of measurements is given."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.plan import Plan


@dataclass(frozen=True, slots=True)
class Context:
    """`folder` is scratch for this run, `cache` is kept between runs; both on a real disk.

    `expect` announces a number of steps, `step` says that the next one begins.
    """

    folder: Path
    cache: Path
    plan: Plan
    era: str
    expect: Callable[[int], None]
    step: Callable[[str], None]
