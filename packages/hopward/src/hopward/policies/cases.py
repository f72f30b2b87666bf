"""Test cases of policies: TOML files under `tests/` in the policies folder, run by `hopward policy test`.

    [[case]]
    name = "a refund of 60 needs a person"
    agent = "support-bot"
    tool = "support_desk/refund"
    arguments = { amount = 60 }
    facts = { calls_left = 1 }
    expect = "step-up"
    policies = ["large-refund"]

Only policies are asked here; capabilities, budget and standing are the guard's.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from hopward.canonical import compact
from hopward.cedar import CedarEngine
from hopward.errors import ConfigError
from hopward.model import Agent, ToolCall, Value, Verdict, VerdictName
from hopward.record import Facts


class CaseFacts(Value, frozen=True):
    """What a case says of the moment. Without `actors` the agent acts alone, without `purpose` on its own."""

    subject: str = "subject"
    task: str = "task"
    purpose: str = ""
    workflow: str = ""
    actors: tuple[str, ...] = ()
    calls_left: int = 1_000
    writes_left: int = 1_000


class Case(Value, frozen=True):
    """One call and the verdict the policies must give it; `reason` and `policies` are compared if given."""

    name: str
    agent: str
    tool: str
    expect: VerdictName
    arguments: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])
    facts: CaseFacts = CaseFacts()
    reason: str = ""
    policies: tuple[str, ...] | None = None


class _Cases(Value, frozen=True):
    case: tuple[Case, ...]


@dataclass(frozen=True, slots=True)
class WrittenCase:
    """A case and where it stands."""

    case: Case
    file: str
    line: int


@dataclass(frozen=True, slots=True)
class CaseResult:
    """Whether a case passed; if not, `why` says what came out instead. `verdict` is None if none could."""

    written: WrittenCase
    why: str
    verdict: Verdict | None

    @property
    def passed(self) -> bool:
        """True if the policies answered as expected."""
        return not self.why


def read_cases(folder: Path) -> tuple[WrittenCase, ...]:
    """All cases of `tests/*.toml` in a policies folder, in the order of files and places; none is fine.

    Raises `ConfigError` listing every file that is not a list of cases.
    """
    cases: list[WrittenCase] = []
    problems: list[str] = []
    for file in sorted((folder / "tests").glob("*.toml")):
        try:
            cases += _read(file)
        except (OSError, ValueError, TypeError) as error:
            problems.append(f"tests/{file.name}: {error}")
    if problems:
        raise ConfigError("The policy test cases cannot be read.", problems=tuple(problems))
    return tuple(cases)


_HEADER = re.compile(r"^[ \t]*\[\[[ \t]*case[ \t]*\]\]", re.MULTILINE)


def _read(file: Path) -> Iterable[WrittenCase]:
    text = file.read_bytes().decode("utf-8")
    # `ValidationError` and `TOMLDecodeError` are both `ValueError`, and say where.
    found = msgspec.convert(tomllib.loads(text), _Cases).case
    compact([case.arguments for case in found])  # raises for what TOML can write and JSON cannot: a date, inf
    lines = [text.count("\n", 0, header.start()) + 1 for header in _HEADER.finditer(text)]
    lines += [1] * (len(found) - len(lines))
    return [WrittenCase(case, f"tests/{file.name}", line) for case, line in zip(found, lines, strict=False)]


def run_cases(
    engine: CedarEngine, cases: Iterable[WrittenCase], agents: Mapping[str, Agent]
) -> tuple[CaseResult, ...]:
    """Each case put to the engine. A case about an unknown agent or tool fails."""
    tools = {tool.full_name: tool for tool in engine.tools}
    results: list[CaseResult] = []
    for written in cases:
        case = written.case
        agent, tool = agents.get(case.agent), tools.get(case.tool)
        if agent is None or tool is None:
            missing = f"agent {case.agent!r}" if agent is None else f"classified tool {case.tool!r}"
            results.append(CaseResult(written, f"there is no {missing}", None))
            continue
        if case.facts.actors and case.facts.actors[-1] != case.agent:
            results.append(CaseResult(written, f"facts.actors must end with {case.agent!r}", None))
            continue
        call = ToolCall(server=tool.server, tool=tool.name, arguments=case.arguments)
        verdict = engine.evaluate(call, tool, agent, _facts(case, agent))
        results.append(CaseResult(written, _difference(case, verdict), verdict))
    return tuple(results)


def _facts(case: Case, agent: Agent) -> Facts:
    given: dict[str, Any] = msgspec.structs.asdict(case.facts)
    given["purpose"] = given["purpose"] or agent.purpose
    given["actors"] = given["actors"] or (agent.id,)
    return Facts(**given)


def _difference(case: Case, verdict: Verdict) -> str:
    if verdict.name != case.expect:
        return f"expected {case.expect}, got {verdict.name} ({verdict.reason}): {verdict.sentence}"
    if case.reason and verdict.reason != case.reason:
        return f"expected reason {case.reason}, got {verdict.reason}: {verdict.sentence}"
    if case.policies is not None and sorted(case.policies) != sorted(verdict.policies):
        expected, got = (", ".join(ids) or "none" for ids in (case.policies, verdict.policies))
        return f"expected policies {expected}, got {got}"
    return ""
