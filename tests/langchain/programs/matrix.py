"""Every way around, tried with this interpreter's LangChain: one JSON object on standard output.

python -m pytest is not needed: PYTHONPATH=tests/langchain python -m programs.matrix
"""

import json
import sys
import tempfile
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from langchain_core.tracers import context

from .beyond import WAYS
from .escapes import Attempt
from .till import Till, install


def tried(number: int, *, protected: bool) -> str:
    """`runs` if the forbidden payment was made, else `stopped`."""
    kept = list(context._configure_hooks)
    with tempfile.TemporaryDirectory() as folder:
        install(Path(folder))
        till = Till(Path(folder))
        till.hopward.install()

        def protect(tool: Any) -> Any:
            return till.hopward.protect([tool])[0] if protected else tool

        try:
            # Whether a refusal reaches the one who tries is no part of the question.
            with till.task(), suppress(PermissionError):
                WAYS[number][1](Attempt(till, protect(till.sync_tool()), protect, []))
        finally:
            context._configure_hooks[:] = kept
            till.guard.close()
        return "runs" if till.paid else "stopped"


def main() -> None:
    """Print the releases and what was found for each way."""
    packages = ("langchain-core", "langchain", "langgraph", "deepagents")
    rows = [
        [number, name, tried(number, protected=False), tried(number, protected=True)]
        for number, (name, _) in WAYS.items()
    ]
    sys.stdout.write(json.dumps({"releases": {name: version(name) for name in packages}, "rows": rows}))


if __name__ == "__main__":
    main()
