"""Runs the probe and writes coverage.json: `python -m tests.mcp.probe`, then `make docs`."""

import asyncio
import sys
import tempfile
from pathlib import Path

from .cells import CELLS
from .results import FILE, document, verdicts, written
from .run import WORKS, place, probed


def main() -> None:
    """Say what does not work, and keep what was found."""
    with tempfile.TemporaryDirectory() as folder, place(Path(folder)) as found:
        seen = asyncio.run(probed(found, CELLS))
    for _, name, cell, said in verdicts(seen):
        if said != WORKS:
            sys.stdout.write(f"{cell.name} | {name} | {said}\n")
    FILE.write_text(written(document(seen)), "utf-8")


if __name__ == "__main__":
    main()
