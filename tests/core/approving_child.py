"""A process of its own at an office: tries calls with a chain of its parent, and says what is decided.

argv: hopward.toml, the chain as JSON, and how to end: `settle` each permit, or `wait` to be killed.
It waits for a line of input before each call, whose text the line is.
"""

import sys
import time

import msgspec

from hopward import Chain, Guard, Outcome, ToolCall


def say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def main() -> None:
    config, chain, ending = sys.argv[1:]
    guard, chain = Guard.open(config), msgspec.json.decode(chain, type=Chain)
    say("ready")
    for line in sys.stdin:
        call = ToolCall(server="desk", tool="write", arguments={"text": line.strip()})
        decision = guard.authorize(call, chain)
        say(decision.verdict.name)
        if decision.permitted and ending == "wait":
            time.sleep(600)
        if decision.permitted:
            guard.settle(decision, Outcome(status="ok"))
    guard.close()


main()
