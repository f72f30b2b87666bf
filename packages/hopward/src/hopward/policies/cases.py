"""Test cases of policies: TOML files under `tests/` in the policies folder, run by `hopward policy test`.

    [[case]]
    name = "a refund of 60 needs a person"
    agent = "support-bot"
    tool = "support_desk/refund"
    arguments = { amount = 60 }
    facts = { calls_left = 1 }
    expect = "step-up"
    policies = ["large-refund"]

    [[case]]
    name = "payments are handed to the payer only"
    agent = "supervisor"
    delegate = { to = "researcher", capabilities = [{ tools = ["bank/*"], actions = ["pay"],
        sensitivity = "internal", destinations = ["*"] }] }
    expect = "deny"

Only policies are asked here; capabilities, budget and standing are the guard's.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from hopward import destination, labels, money
from hopward.behaviour import DETECTORS, Level, Risk, Signal
from hopward.canonical import compact
from hopward.cedar import CedarEngine
from hopward.clock import SECOND
from hopward.errors import ConfigError
from hopward.model import (
    Agent,
    Budget,
    Capability,
    Hop,
    Integrity,
    Pinning,
    Provenance,
    Sensitivity,
    ToolCall,
    Value,
    Verdict,
    VerdictName,
)
from hopward.money import BOUNDLESS
from hopward.record import Facts
from hopward.spending import amount_of


class CaseFacts(Value, frozen=True):
    """What a case says of the moment.

    Without `actors` the agent acts alone, without `purpose` on its own. `purposes` are those of the hops
    between the actors, in order; without them nobody said what the hops are for. Unless it is said, the task
    has taken in nothing but what is public and trusted; what names something and is not in `provenance` is
    untrusted, and the tool's definition has been accepted. `step` is the one of its workflow's path that the
    call or hop takes. `money_left` is of the currency that the call spends. The risk is low, without points
    or signals; `signals` are names of detectors.
    """

    subject: str = "subject"
    task: str = "task"
    purpose: str = ""
    workflow: str = ""
    actors: tuple[str, ...] = ()
    purposes: tuple[str, ...] = ()
    calls_left: int = 1_000
    writes_left: int = 1_000
    taken_sensitivity: Sensitivity = "public"
    taken_integrity: Integrity = "trusted"
    untrusted_servers: tuple[str, ...] = ()
    provenance: dict[str, Provenance] = {}
    risk: Level = "low"
    risk_points: int = 0
    signals: tuple[str, ...] = ()
    pin: Pinning = "accepted"
    step: str = ""
    carried_untrusted: int = 0
    money_left: str = "1000000"
    bytes_left: int = BOUNDLESS
    destinations_left: int = BOUNDLESS


class CaseHop(Value, frozen=True):
    """What the agent of a case hands on, and to whom: the fields of `Narrowing`, each with a default."""

    to: str
    purpose: str = "work"
    capabilities: tuple[Capability, ...] = ()
    delegable: tuple[Capability, ...] = ()
    depth: int = 0
    budget: Budget = Budget(calls=10, writes=10)
    shared: bool = False
    expires_in: int = 600


class Case(Value, frozen=True):
    """One call or delegation, and the verdict the policies must give it.

    A case has either a `tool` or `delegate`. `reason` and `policies` are compared if given.
    """

    name: str
    agent: str
    expect: VerdictName
    tool: str = ""
    arguments: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])
    delegate: CaseHop | None = None
    facts: CaseFacts = CaseFacts()
    reason: str = ""
    policies: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if bool(self.tool) == (self.delegate is not None):
            raise ValueError("a case is about a `tool` or about what its agent does `delegate`: write one")
        if self.delegate is not None and self.arguments:
            raise ValueError("`arguments` are those of a tool; nothing that is handed on has any")


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


_SIGNALS = frozenset(detector.name for detector in DETECTORS)
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
    return tuple(_run(engine, written, agents) for written in cases)


def _run(engine: CedarEngine, written: WrittenCase, agents: Mapping[str, Agent]) -> CaseResult:
    case, agent = written.case, agents.get(written.case.agent)
    if agent is None:
        return CaseResult(written, f"there is no agent {case.agent!r}", None)
    facts = _facts(case, agent)
    if facts.actors[-1] != agent.id:
        return CaseResult(written, f"facts.actors must end with {agent.id!r}", None)
    if facts.purposes and len(facts.purposes) != len(facts.actors) - 1:
        return CaseResult(written, "facts.purposes must be one for each hop between facts.actors", None)
    strange = next((name for name in case.facts.signals if name not in _SIGNALS), None)
    if strange is not None:
        return CaseResult(written, f"facts.signals: there is no detector {strange!r}", None)
    verdict = _verdict(engine, case, facts, agents)
    if isinstance(verdict, str):
        return CaseResult(written, verdict, None)
    return CaseResult(written, _difference(case, verdict), verdict)


def _verdict(engine: CedarEngine, case: Case, facts: Facts, agents: Mapping[str, Agent]) -> Verdict | str:
    """What the policies answer, or why they cannot be asked."""
    agent = agents[case.agent]
    if case.delegate is not None:
        receiver = agents.get(case.delegate.to)
        if receiver is None:
            return f"there is no agent {case.delegate.to!r}"
        return engine.evaluate_hop(_hop(case.delegate, facts), agent, receiver, facts)
    tool = next((tool for tool in engine.tools if tool.full_name == case.tool), None)
    if tool is None:
        return f"there is no classified tool {case.tool!r}"
    call = ToolCall(server=tool.server, tool=tool.name, arguments=case.arguments)
    stranger = next((name for name in case.facts.provenance if name not in tool.names), None)
    if stranger is not None:
        return f"facts.provenance: {stranger!r} is not among the names of {case.tool}"
    named = {name: facts.provenance.get(name, "untrusted") for name in tool.names if name in case.arguments}
    above = labels.above(facts.taken_sensitivity, tool.ceiling)
    places = destination.destinations(tool, case.arguments)
    facts = msgspec.structs.replace(facts, above_ceiling=above, provenance=named, destinations=places)
    amount = amount_of(tool, case.arguments)
    if isinstance(amount, str):
        return amount
    if amount is not None:
        left = money.read(case.facts.money_left, amount.currency)
        if left is None:
            return f"facts.money_left: {money.form(amount.currency)}"
        facts = msgspec.structs.replace(facts, currency=amount.currency, amount=amount.units, money_left=left)
    return engine.evaluate(call, tool, agent, facts)


def _hop(given: CaseHop, facts: Facts) -> Hop:
    return Hop(
        id="hop",
        task=facts.task,
        parent="",
        parent_digest="",
        delegator=facts.actors[-1],
        agent=given.to,
        purpose=given.purpose,
        capabilities=given.capabilities,
        delegable=given.delegable,
        depth=given.depth,
        fan_out=1 if given.delegable else 0,
        budget=given.budget,
        shared=given.shared,
        key="",
        opened_at=0,
        expires_at=given.expires_in * SECOND,
        state="open",
    )


def _facts(case: Case, agent: Agent) -> Facts:
    given: dict[str, Any] = msgspec.structs.asdict(case.facts)
    given["money_left"] = 0
    given["purpose"] = given["purpose"] or agent.purpose
    given["actors"] = given["actors"] or (agent.id,)
    signals = tuple(Signal(name, 0, "", 0) for name in given.pop("signals"))
    given["risk"] = Risk(given["risk"], given.pop("risk_points"), signals)
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
