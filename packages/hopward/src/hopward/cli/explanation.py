"""What would be decided about a call, and why, as a value and for people. Nothing is called or logged."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hopward import capability
from hopward.canonical import JSON
from hopward.cedar import CedarEngine, Step
from hopward.classification import Classifications
from hopward.cli.harmless import harmless
from hopward.cli.output import show_fields, show_table, tell
from hopward.errors import ConfigError
from hopward.model import Agent, Task, Tool, ToolCall, Usage, plain
from hopward.policy import nearest
from hopward.record import Facts

_PLENTY = 1_000


@dataclass(frozen=True, slots=True)
class Moment:
    """A task as it stands: what it has used, why it no longer counts (None if it does), its own agent."""

    task: Task
    used: Usage
    fallen: tuple[str, str] | None
    agent: Agent | None


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


def asked(words: Sequence[str], tools: Sequence[Tool], agent: Agent, moment: Moment | None) -> Question:
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
    answer: dict[str, Any] = {
        "call": plain(call),
        "agent": agent.id,
        "standing": standing,
        "task": moment.task.id if moment else "",
    }
    if moment is not None and moment.fallen is not None:
        answer["fallen"] = moment.fallen[1]
    if tool is None:
        told = f"{call.name} is not classified{question.near}"
        return {**answer, "verdict": _deny(*(_fallen(moment) or ("tool_unclassified", told)))}
    found = engine.explain(call, tool, agent, _facts(agent, moment))
    # As the guard does: the task's own agent is in the chain too, and bounds what it hands on.
    chain = (agent, *([moment.agent] if moment and moment.agent else []))
    ceiling = next(filter(None, (capability.explain_any(one.ceiling, call, tool) for one in chain)), "")
    outside = capability.explain_any(moment.task.capabilities, call, tool) if moment else ""
    first = (
        _fallen(moment)
        or (("outside_task", outside) if outside else None)
        or (("over_ceiling", ceiling) if ceiling else None)
    )
    return {
        **answer,
        "classification": plain(tool),
        "outside_task": outside,
        "over_ceiling": ceiling,
        "policies": [_step(step) for step in found.steps],
        "policies_aside": found.aside,
        "verdict": _deny(*first) if first else plain(found.verdict),
    }


def show_explained(answer: dict[str, Any]) -> None:
    """The answer for people."""
    call, verdict = answer["call"], answer["verdict"]
    tool = answer.get("classification")
    fields = [
        ("call", f"{call['server']}/{call['tool']} {json.dumps(call['arguments'], ensure_ascii=False)}")
    ]
    fields += [("agent", answer["agent"]), ("standing", answer["standing"])]
    if tool is not None:
        labels = f"{tool['action']}, {tool['sensitivity']}, {tool['integrity']}, at {tool['destination']}"
        fields.append(("classified", labels))
        if answer["task"]:
            fields.append(("task", f"{answer['task']}: {answer['outside_task'] or 'covers the call'}"))
        fields.append(("ceiling", answer["over_ceiling"] or "covers the call"))
    show_fields(fields)
    steps = answer.get("policies", [])
    if steps:
        show_table(
            ["policy", "effect", "result", "where", "reason"],
            [[step["policy"], step["effect"], step["result"], step["where"], _why(step)] for step in steps],
        )
    if answer.get("policies_aside"):
        tell(f"{answer['policies_aside']} more policies cannot be about such a call.")
    tell(f"{verdict['name']} ({verdict['reason']}): {harmless(verdict['sentence'])}")


def _why(step: dict[str, Any]) -> str:
    return step["detail"] or step["reason"]


def _argument(word: str, tool: Tool | None) -> tuple[str, JSON]:
    name, equals, text = word.partition("=")
    if not equals or not name:
        raise ConfigError(f"{word!r} is no argument.", advice="Write NAME=VALUE.")
    if tool is not None and tool.arguments.get(name) == "string":
        return name, text
    try:
        return name, json.loads(text)
    except ValueError:
        return name, text


def _facts(agent: Agent, moment: Moment | None) -> Facts:
    if moment is None:
        return Facts(
            subject="subject",
            task="task",
            purpose=agent.purpose,
            workflow="",
            actors=(agent.id,),
            calls_left=_PLENTY,
            writes_left=_PLENTY,
        )
    task, used = moment.task, moment.used
    return Facts(
        subject=task.subject,
        task=task.id,
        purpose=task.purpose,
        workflow=task.workflow,
        actors=tuple(dict.fromkeys((task.agent, agent.id))),
        calls_left=task.budget.calls - used.calls,
        writes_left=task.budget.writes - used.writes,
    )


def _fallen(moment: Moment | None) -> tuple[str, str] | None:
    return moment.fallen if moment else None


def _deny(reason: str, sentence: str) -> dict[str, str]:
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
