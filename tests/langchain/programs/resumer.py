"""A process of its own that resumes an interrupted run: `python -m programs.resumer FOLDER TASK`.

Tells what it has paid, and how many interrupts the run has ended with.
"""

import json
import sys
from pathlib import Path
from typing import Any

from langgraph.types import Command

from hopward.clock import SECOND

from .held import APPROVE, FileSaver, Held, asked

THREAD = "thread.pickle"


def main(folder: Path, task: str) -> None:
    """Resume the run without any answer of a person."""
    held = Held(folder)
    held.clock.advance(SECOND)  # type: ignore[attr-defined]
    run = held.agent(checkpointer=FileSaver(folder / THREAD))
    with held.hopward.resume(task):
        result: Any = run(Command(resume=APPROVE))
    sys.stdout.write(json.dumps({"paid": held.paid, "asked": len(asked(result))}) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
