"""What would be decided about a call, and why, as a value and for people. Nothing is called or logged."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from hopward import behaviour, budget, capability, money, provenance, steps
from hopward.behaviour import Risk
from hopward.bounds import bounds, call_facts, facts_of, led, outside, unclear
from hopward.budget import cost, exhausted, lacking, too_little
from hopward.canonical import JSON
from hopward.cedar import CedarEngine, Explanation, Step
from hopward.classification import Classifications
from hopward.cli.moment import Moment
from hopward.cli.output import show_fields, show_table, tell
from hopward.containment import why_tool_contained
from hopward.destination import destinations
from hopward.errors import ConfigError
from hopward.evaluation import call_digest
from hopward.harmless import harmless
from hopward.model import Agent, Capability, Hop, Tool, ToolCall, plain
from hopward.model import Step as PathStep
from hopward.policy import nearest
from hopward.record import Facts, Refusal
from hopward.spending import Amount, amount_of

PLENTY = 1_000
"""Of calls, where no task says how many are left."""


@dataclass(frozen=True, slots=True)
class Question:
    """A call that an agent might make, in a task or without one.

    `tool` is None if nobody has classified it; then `near` says which one may have been meant.
    """

    call: ToolCall
    tool: Tool | None
    agent: Agent
    moment: Moment | None
    near: str


def typed(words: Sequence[str], tools: Sequence[Tool], agent: Agent, moment: Moment | None) -> Question:
    """The question as typed: `SERVER/TOOL`, then `NAME=VALUE` words; else raises `ConfigError`."""
    name, *arguments = words
    server, slash, simple = name.partition("/")
    if not slash or not simple:
        raise ConfigError(f"{name!r} does not name a tool.", advice="Write SERVER/TOOL.")
    tool = Classifications(tools).find(server, simple)
    values = dict(_argument(word, tool) for word in arguments)
    call = ToolCall(server=server, tool=simple, arguments=values)
    return Question(call, tool, agent, moment, nearest(name, [known.full_name for known in tools]))


def explained(engine: CedarEngine, question: Question, standing: str) -> dict[str, Any]:
    """The answer as plain JSON: classification, task, ceiling, what each policy does, and the verdict.

    `standing` is what is said about the agent's own; the verdict does not go by it.
    """
    call, tool, agent, moment = question.call, question.tool, question.agent, question.moment
    answer: dict[str, Any] = {"call": plain(call), "agent": agent.id, **place(moment, standing)}
    fallen = moment.fallen if moment else None
    if moment is not None and fallen is None:
        fallen = why_tool_contained(moment.standing.containments, call.server, call.tool)
    if tool is None:
        told = f"{call.name} is not classified{question.near}"
        return {**answer, "verdict": deny(*(fallen or ("tool_unclassified", told)))}
    places, amount = destinations(tool, call.arguments), amount_of(tool, call.arguments)
    led_to = led(tool, places)
    on = OnPath()
    if moment is None:
        limits = {"over_ceiling": _why(agent.ceiling, call, led_to)}
        named = [name for name in tool.names if name in call.arguments]
        facts = _facts(agent, named, len(provenance.carried(tool, call.arguments)))
        facts = replace(facts, destinations=places)
    else:
        limits = dict(_limits(call, led_to, moment))
        facts = facts_of(moment.task, moment.chain, moment.standing)
        facts = call_facts(facts, call, tool, moment.task, moment.stood)
        on = on_path(moment, steps.Move(moment.chain.actor, call.name, call.arguments))
        risk = moment.risk(call.name, call_digest(call), places)
        facts, answer = replace(facts, step=on.name, risk=risk), answer | on.told
    refusal = _refusal(call, tool, led_to, moment, limits)
    if isinstance(amount, str):
        refusal = refusal or budget.unclear(amount)
    else:
        facts = _with_budget(facts, amount, call, moment)
    refusal = refusal or on.refusal
    found = engine.explain(call, tool, agent, facts)
    verdict = steps.held(on.step, found.verdict)
    first = fallen or refusal
    if moment is not None:
        first = first or behaviour.refusal(facts.risk, moment.rules, moment.at)
        verdict = behaviour.stepped_up(verdict, facts.risk, moment.rules)
    if verdict.name == "permit":
        first = first or spent(facts, tool) or _too_little(facts, tool, moment)
    return {
        **answer,
        "classification": plain(tool),
        **limits,
        **told_risk(facts.risk),
        **policies(found),
        "verdict": deny(*first) if first else plain(verdict),
    }


def place(moment: Moment | None, standing: str) -> dict[str, Any]:
    """Where the question is asked from, as part of an answer."""
    answer: dict[str, Any] = {"standing": standing, "task": moment.task.id if moment else ""}
    if moment is not None and moment.chain.hops:
        answer |= {"actors": list(moment.chain.actors), "hops": list(moment.chain.hops)}
    if moment is not None and moment.fallen is not None:
        answer["fallen"] = moment.fallen[1]
    return answer


@dataclass(frozen=True, slots=True)
class OnPath:
    """The step that a move is, or why it is none; neither, where there is no path."""

    step: PathStep | None = None
    refusal: Refusal | None = None

    @property
    def name(self) -> str:
        """The name of the step, as policies see it."""
        return self.step.name if self.step else ""

    @property
    def told(self) -> dict[str, str]:
        """What an answer tells of it."""
        if self.refusal is not None:
            return {"off_path": self.refusal[1]}
        return {"step": self.name} if self.step else {}


def on_path(moment: Moment, move: steps.Move) -> OnPath:
    """Where on its task's path a move is, as things stand."""
    found = steps.located(moment.task, move, moment.standing.taken)
    return OnPath(refusal=found) if isinstance(found, tuple) else OnPath(found)


def told_risk(found: Risk) -> dict[str, Any]:
    """How the agent has been behaving, as part of an answer; nothing where nothing is out of the ordinary."""
    return behaviour.evidence(found) if found.signals else {}


def policies(found: Explanation) -> dict[str, Any]:
    """What each policy did, as part of an answer."""
    return {"policies": [_step(step) for step in found.steps], "policies_aside": found.aside}


def spent(facts: Facts, asked: Tool | Hop) -> Refusal | None:
    """Why the budget has no room for a call of this tool, or for this hop, or None."""
    taken = cost(asked)
    lacks_calls = taken.calls > facts.calls_left
    if not lacks_calls and taken.writes <= facts.writes_left:
        return None
    return exhausted(calls=lacks_calls, handed=len(facts.actors) > 1)


def _with_budget(facts: Facts, amount: Amount | None, call: ToolCall, moment: Moment | None) -> Facts:
    """With what is counted beside calls and writes; where there is no task, there is plenty of money."""
    if moment is None:
        if amount is None:
            return facts
        return replace(facts, currency=amount.currency, amount=amount.units, money_left=money.MOST)
    if not budget.counts(amount, moment.task, moment.standing):
        return facts
    known = moment.spent(budget.all_accounts(moment.task, moment.standing), facts.destinations)
    return budget.told(facts, amount, call, (moment.task, moment.standing), known)


def _too_little(facts: Facts, tool: Tool, moment: Moment | None) -> Refusal | None:
    """Why there is too little of what is counted beside calls and writes, or None."""
    if moment is None:
        return None
    share = budget.share_of_call(tool, facts, moment.task, moment.standing)
    if not share.takes and not share.reaching:
        return None
    known = moment.spent(budget.all_accounts(moment.task, moment.standing), share.places)
    lack = lacking(share, known)
    return too_little(lack, handed=len(facts.actors) > 1) if lack else None


def _refusal(
    call: ToolCall, tool: Tool, led_to: Sequence[Tool], moment: Moment | None, limits: Mapping[str, str]
) -> Refusal | None:
    """What would be said of a call before any policy is asked, or None."""
    if not led_to:
        return unclear(tool)
    if moment is None:
        return next(((reason, told) for reason, told in limits.items() if told), None)
    found = (outside(call, one, moment.chain, moment.task, moment.standing) for one in led_to)
    return next((refusal for refusal in found if refusal is not None), None)


def _why(capabilities: Sequence[Capability], call: ToolCall, led_to: Sequence[Tool]) -> str:
    """Why the capabilities do not cover the call for one of the places it leads to, or ""."""
    return next(filter(None, (capability.explain_any(capabilities, call, one) for one in led_to)), "")


def _limits(call: ToolCall, led_to: Sequence[Tool], moment: Moment) -> Iterator[tuple[str, str]]:
    """Each kind of bound, and why a call lies outside the first that it does not lie within, or ""."""
    told: dict[str, str] = {}
    for bound in bounds(moment.task, moment.chain, moment.standing):
        why = _why(bound.capabilities, call, led_to)
        told[bound.reason] = told.get(bound.reason, "") or (bound.told + why if why else "")
    yield from told.items()


_LIMITS = {
    "outside_task": "task",
    "outside_hop": "hop",
    "over_ceiling": "ceiling",
    "outside_delegable": "handed on",
    "over_delegable": "hands on",
}
"""What each kind of bound is called before people, in the order it is shown."""


def show_explained(answer: dict[str, Any]) -> None:
    """The answer for people."""
    call, tool = answer["call"], answer.get("classification")
    fields = [
        ("call", f"{call['server']}/{call['tool']} {json.dumps(call['arguments'], ensure_ascii=False)}")
    ]
    fields += [("agent", " > ".join(answer.get("actors", [answer["agent"]])))]
    fields += [("standing", answer["standing"]), ("step", answer.get("step", answer.get("off_path", "")))]
    if tool is not None:
        labels = f"{tool['action']}, {tool['sensitivity']}, {tool['integrity']}, at {tool['destination']}"
        fields.append(("classified", labels))
        whose = {"outside_task": f"{answer['task']}: ", "outside_hop": f"{answer.get('hops', [''])[-1]}: "}
        for reason, name in _LIMITS.items():
            if reason in answer:
                fields.append((name, whose.get(reason, "") + (answer[reason] or "covers the call")))
    show_fields([*fields, *risk_fields(answer)])
    show_judged(answer, "such a call")


def risk_fields(answer: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The risk of an answer, and each signal, for people."""
    if "risk" in answer:
        yield "risk", f"{answer['risk']}, {answer['risk_points']} points"
        yield from answer["signals"].items()


def show_judged(answer: dict[str, Any], what: str) -> None:
    """The policies and the verdict of an answer, for people."""
    verdict, steps = answer["verdict"], answer.get("policies", [])
    if steps:
        show_table(
            ["policy", "effect", "result", "where", "reason"],
            [[step["policy"], step["effect"], step["result"], step["where"], _told(step)] for step in steps],
        )
    if answer.get("policies_aside"):
        tell(f"{answer['policies_aside']} more policies cannot be about {what}.")
    tell(f"{verdict['name']} ({verdict['reason']}): {harmless(verdict['sentence'])}")
    if answer.get("observed"):
        tell(answer["observed"])


def _told(step: dict[str, Any]) -> str:
    return step["detail"] or step["reason"]


def _argument(word: str, tool: Tool | None) -> tuple[str, JSON]:
    name, text = halves(word, "is no argument")
    if tool is not None and tool.arguments.get(name) == "string":
        return name, text
    return name, json_or_text(text)


def halves(word: str, wrong: str) -> tuple[str, str]:
    """Name and value of a `NAME=VALUE` word; raises `ConfigError` for another, saying what is `wrong`."""
    name, equals, text = word.partition("=")
    if not equals or not name:
        raise ConfigError(f"{word!r} {wrong}.", advice="Write NAME=VALUE.")
    return name, text


def json_or_text(text: str) -> JSON:
    """A value as typed: JSON, or else the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _facts(agent: Agent, named: Sequence[str], carried: int) -> Facts:
    """Of no task: nothing has been taken in, and nothing is known of what the call names."""
    return Facts(
        provenance=dict.fromkeys(named, "untrusted"),
        carried_untrusted=carried,
        subject="subject",
        task="task",
        purpose=agent.purpose,
        workflow="",
        actors=(agent.id,),
        calls_left=PLENTY,
        writes_left=PLENTY,
    )


def deny(reason: str, sentence: str) -> dict[str, str]:
    """A refusal as the verdict of an answer."""
    return {"name": "deny", "reason": reason, "sentence": sentence}


def _step(step: Step) -> dict[str, str]:
    return {
        "policy": step.policy.id,
        "effect": step.policy.effect,
        "where": f"{step.policy.file}:{step.policy.line}",
        "result": step.result,
        "reason": step.policy.reason,
        "detail": step.detail,
    }
