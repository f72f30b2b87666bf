"""The table of ways around a guard in docs/guides/langchain.md, from a run with each release."""

import json
import os
import subprocess
import sys
from functools import cache
from typing import Any

from .markdown import ROOT

BEGIN, END = "<!-- generated: ways around -->", "<!-- end -->"
TESTS = ROOT / "tests" / "langchain"


@cache
def run(python: str) -> dict[str, Any]:
    """What the matrix finds with one interpreter."""
    command = [python, "-W", "ignore", "-m", "programs.matrix"]
    environment = os.environ | {"PYTHONPATH": str(TESTS)}
    told = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    found: dict[str, Any] = json.loads(told.stdout.splitlines()[-1])
    return found


def older() -> str:
    """The interpreter with the older release; empty where it is not installed."""
    script = ROOT / "tests" / "servers" / "langchain.sh"
    found = subprocess.run([script, "--if-present"], capture_output=True, text=True, check=False)
    return found.stdout.strip()


def table() -> str:
    """The table, with a line that names the releases; raises `AssertionError` where they differ."""
    runs = [run(python) for python in (older(), sys.executable) if python]
    assert all(one["rows"] == runs[0]["rows"] for one in runs), "releases differ"
    named = [", ".join(f"{name} {number}" for name, number in one["releases"].items()) for one in runs]
    lines = [
        f"Tried with {' and with '.join(named)}.",
        "",
        "| | way | `install()` alone | `install()` and `protect()` |",
        "|---|---|---|---|",
    ]
    shown = {"runs": "**runs**", "stopped": "stopped"}
    lines += [f"| {n} | {name} | {shown[a]} | {shown[b]} |" for n, name, a, b in runs[0]["rows"]]
    return "\n".join(lines)


def refreshed(text: str) -> str:
    """The page with its table brought up to date. Without the older release, the line of releases stays."""
    before, rest = text.split(BEGIN)
    old, after = rest.split(END)
    new = table()
    if not older():
        kept = old.strip().partition("\n")[0]
        new = kept + "\n" + new.partition("\n")[2]
    return f"{before}{BEGIN}\n{new}\n{END}{after}"
