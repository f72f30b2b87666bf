"""How much is measured: the full run, and a quick one that only proves that everything works."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Plan:
    """Counts per round. `calls` one after the other, `burst` spread over `clients` at once;
    `soak` in all, half of them over each transport. `history` is of one task."""

    rounds: int
    calls: int
    burst: int
    clients: int
    decisions: int
    exchanges: int
    appends: int
    starts: int
    few_rows: int
    many_rows: int
    few_policies: int
    many_policies: int
    soak: int
    history: int


FULL = Plan(
    rounds=9,
    calls=150,
    burst=480,
    clients=32,
    decisions=300,
    exchanges=200,
    appends=800,
    starts=2,
    few_rows=1_000,
    many_rows=1_000_000,
    few_policies=10,
    many_policies=1_000,
    soak=200_000,
    history=20_000,
)

QUICK = Plan(
    rounds=1,
    calls=3,
    burst=8,
    clients=4,
    decisions=5,
    exchanges=3,
    appends=8,
    starts=1,
    few_rows=20,
    many_rows=200,
    few_policies=10,
    many_policies=30,
    soak=40,
    history=200,
)
