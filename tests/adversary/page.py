"""The generated part of docs/security/adversary.md, between its two markers."""

import re
from collections.abc import Iterator

from .attacks import GROUPS
from .gaps import GAPS
from .scenario import Scenario

_REGION = re.compile(r"(?<=<!-- adversary: begin -->\n).*(?=<!-- adversary: end -->)", re.DOTALL)
_LONGEST = 80


def refreshed(text: str) -> str:
    """The page with its tables as the scenarios are now."""
    return _REGION.sub(lambda _: "\n" + "\n".join(_lines()) + "\n", text)


def _lines() -> Iterator[str]:
    for group in GROUPS:
        yield f"## {group.title}\n"
        yield f"{group.idea}\n"
        yield "| the agent | refused with | what stops it | benign twin | it succeeds |"
        yield "|---|---|---|---|---|"
        yield from (_row(one) for one in group.scenarios)
        yield ""
    yield "## What is not stopped\n"
    yield "These go through, and a test says that they do.\n"
    yield "| the agent | why | what helps |"
    yield "|---|---|---|"
    yield from (f"| {gap.name} | {gap.why} | {gap.instead} |" for gap in GAPS)
    yield ""


def _row(scenario: Scenario) -> str:
    reasons = "<br>".join(f"`{reason}`" for reason in scenario.reasons)
    policies = "".join(f"; policy `{name}`" for name in scenario.policies)
    cells = (scenario.name, reasons, scenario.stopped_by + policies, scenario.benign, _without(scenario))
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _without(scenario: Scenario) -> str:
    taken = (
        "; ".join(_short(str(change)) for change in scenario.without)
        or "without this check in Hopward's code"
    )
    return f"{taken}; then it is `{scenario.behind}`" if scenario.behind else taken


def _short(told: str) -> str:
    return told if len(told) <= _LONGEST else f"{told[:_LONGEST].rstrip()} ...`"
