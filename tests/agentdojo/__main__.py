"""`python -m tests.agentdojo`: replays everything, writes results.json and docs/security/agentdojo.md."""

import asyncio
import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from .measured import measured
from .page import PAGE, written
from .worlds import INSTALL, ROOT, interpreter, plans, worlds

RESULTS = Path(__file__).with_name("results.json")


def main() -> int:
    """Exit status 1 where AgentDojo is not installed."""
    python = interpreter()
    if not python:
        sys.stderr.write(f"AgentDojo is not installed. To install it: {INSTALL.relative_to(ROOT)}\n")
        return 1
    with TemporaryDirectory() as folder:
        told = asyncio.run(_all(python, Path(folder)))
    RESULTS.write_text(json.dumps(told, indent=1, sort_keys=True) + "\n", "utf-8")
    PAGE.write_text(written(PAGE.read_text("utf-8"), told), "utf-8")
    return 0


async def _all(python: str, folder: Path) -> dict[str, Any]:
    found = plans(python)
    with worlds(python, folder) as made:
        return {suite: await measured(plan, made, folder) for suite, plan in found.items()}


sys.exit(main())
