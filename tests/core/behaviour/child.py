"""A process of its own that asks a guard for calls; its parent reads what it prints and may kill it.

argv: hopward.toml, the task, the tool, and how often. It ends when it is told to.
"""

import sys
from pathlib import Path

from hopward import Guard, ToolCall


def main() -> None:
    configuration, task, tool, times = sys.argv[1:]
    guard = Guard.open(Path(configuration))
    chain = guard.enter(task)
    for number in range(int(times)):
        call = ToolCall(server="desk", tool=tool, arguments={"id": number})
        sys.stdout.write(guard.authorize(call, chain).verdict.reason + "\n")
        sys.stdout.flush()
    sys.stdin.readline()
    guard.close()


if __name__ == "__main__":
    main()
