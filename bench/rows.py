"""Projects whose decision log holds rows already: real ones, written through the real ledger, kept."""

import hashlib
import shutil
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from secrets import token_hex

from msgspec.structs import replace

from bench.context import Context
from bench.project import Shape, Upstream, create, example_rows
from hopward import Guard, HopwardError, ledger
from hopward.clock import SystemClock
from hopward.ledger import SqliteLedger
from hopward.record import Draft

FEW, MANY, POWER, READING = "few.toml", "many.toml", "power.toml", "reading.toml"
"""The configurations of a project: few policies, many policies, few policies and power-durable, and few of
which one reads the argument."""

_OTHER_TOOLS = 99
_TASKS = 1_000
_BATCH = 1_000


def filled(context: Context, rows: int) -> Path:
    """A project with at least that many rows in its log.

    Made once and kept in the cache under a name that changes when the ledger's code or the configuration
    does. Its rows are those of real calls, with shorter arguments.
    """
    shapes = {
        FEW: Shape(policies=context.plan.few_policies, tools=_OTHER_TOOLS),
        MANY: Shape(policies=context.plan.many_policies, tools=_OTHER_TOOLS),
        POWER: Shape(policies=context.plan.few_policies, tools=_OTHER_TOOLS, durability="power"),
        READING: Shape(policies=context.plan.few_policies, tools=_OTHER_TOOLS, reading=True),
    }
    folder = context.cache / f"rows-{rows}-{_digest(shapes)}"
    if _usable(folder, rows):
        return folder
    for old in context.cache.glob(f"rows-{rows}-*"):
        shutil.rmtree(old)
    unfinished = context.folder / folder.name
    create(unfinished, Upstream(), shapes)
    _fill(context, unfinished, rows)
    return Path(shutil.move(unfinished, folder))


def _usable(folder: Path, rows: int) -> bool:
    if not folder.exists():
        return False
    try:
        for configuration in (FEW, MANY, POWER, READING):
            guard = Guard.open(folder / configuration)
            enough = guard.ledger.head()[0] >= rows
            guard.close()
            if not enough:
                return False
    except HopwardError:
        return False
    return True


def _fill(context: Context, folder: Path, rows: int) -> None:
    path = folder / ".hopward" / "decisions.db"
    context.expect(rows // _BATCH // 3)
    filling = SqliteLedger.open(path, clock=SystemClock())
    drafts = _calls(context)
    try:
        while (done := filling.head()[0]) < rows:
            context.step(f"filling a log: {done:,} of {rows:,} rows")
            filling.record([draft for _ in range(_BATCH) for draft in next(drafts)])
    finally:
        filling.close()


def _calls(context: Context) -> Iterator[tuple[Draft, Draft, Draft]]:
    """The rows of one call after the other, each with its own decision id, over a thousand tasks."""
    decided, minted, done = example_rows(context.folder / f"example-{token_hex(4)}")
    record = {**decided.record, "call": {**decided.record["call"], "arguments": {"text": "short"}}}
    decided = replace(decided, record=record)
    for number in count():
        names = {"decision": "dec_" + token_hex(12), "task": f"task_{number % _TASKS:024x}"}
        yield replace(decided, **names), replace(minted, **names), replace(done, **names)


def _digest(shapes: dict[str, Shape]) -> str:
    """What the file depends on: this code, the ledger's, and the configuration."""
    digest = hashlib.sha256(repr(shapes).encode())
    here = Path(__file__)
    for source in (
        *sorted(Path(str(ledger.__file__)).parent.glob("*.py")),
        here,
        here.with_name("project.py"),
    ):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:12]
