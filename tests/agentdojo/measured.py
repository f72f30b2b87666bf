"""All runs of a suite, made a few at a time, and what they come to, as plain JSON."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .replay import Found, Stage
from .worlds import Plan, Run, Worlds

AT_ONCE = 3


async def measured(plan: Plan, worlds: Worlds, folder: Path) -> dict[str, Any]:
    """One suite: as it is, with a list of tools, and guarded; the slack suite also with a stricter one."""
    plain = Stage(plan.suite, worlds, folder)
    unguarded = await _all(plan.pairs, plain.straight)
    listed = await _all(plan.pairs, lambda run: plain.straight(run, _tools(plan.user(run.user))))
    users = await _all(plan.users, plain.straight)
    told: dict[str, Any] = {
        "users": len(plan.users),
        "pairs": len(plan.pairs),
        "unguarded": {
            "completed": sum(found.utility for found in users),
            "goals": sum(found.goal for found in unguarded),
        },
        "tool_list": {"goals": sum(found.goal for found in listed)},
        "guarded": await _guarded(plan, plain),
    }
    if plan.suite == "slack":
        told["strict"] = await _guarded(plan, Stage(plan.suite, worlds, folder, strict=True))
    return told


async def _guarded(plan: Plan, stage: Stage) -> dict[str, Any]:
    users = await _all(plan.users, stage.guarded)
    pairs = await _all(plan.pairs, stage.guarded)
    return {
        "tasks": {run.user: user_result(found) for run, found in zip(plan.users, users, strict=True)},
        "asked_by_injection": sum(bool(found.injected_asked) for found in pairs),
        "reached": [
            f"{run.user} {run.injection}" for run, found in zip(plan.pairs, pairs, strict=True) if found.goal
        ],
    }


def user_result(found: Found) -> dict[str, Any]:
    """What is published of a user task's run."""
    return {name: value for name, value in asdict(found).items() if name in ("utility", "asked", "refused")}


def _tools(run: Run) -> frozenset[str]:
    return frozenset(call.tool for call in run.calls)


async def _all(runs: Sequence[Run], make: Callable[[Run], Awaitable[Found]]) -> list[Found]:
    room = asyncio.Semaphore(AT_ONCE)

    async def one(run: Run) -> Found:
        async with room:
            return await make(run)

    return list(await asyncio.gather(*map(one, runs)))
