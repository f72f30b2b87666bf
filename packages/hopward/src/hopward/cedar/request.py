"""What Cedar is asked about one call or delegation: the request and its entities, as JSON.

Names go in as objects and values as JSON, never as text of a policy. Arguments, and what is told of the
chain, go in only where a policy asks about them: Cedar reads each of them anew for every request.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import msgspec

from hopward.cedar.schema import IllTyped, context_arguments, decimal, handed
from hopward.model import Agent, Hop, Tool, ToolCall
from hopward.policy import ACTION, AGENT, DELEGATE, SERVER, TOOL
from hopward.record import Facts

Request: TypeAlias = dict[str, Any]
Entity: TypeAlias = dict[str, Any]

BETWEEN = " > "
"""What stands between two agents of `context.path`; the name of an agent has no space."""


CHAIN = frozenset({"path", "hop_purpose", "hops", "bound"})
"""What of the chain is told only where a policy asks about it."""

TAKEN = frozenset({"taken_sensitivity", "taken_integrity", "untrusted_servers"})
"""What of the task's labels is told only where a policy asks about it."""

RISK = frozenset({"risk", "risk_points", "signals"})
"""What of the agent's behaviour is told only where a policy asks about it."""

PATH = frozenset({"step"})
"""Likewise where on its path the task is."""

OF_CALL = frozenset(
    {
        "destinations",
        "above_ceiling",
        "pin",
        "provenance",
        "names_known",
        "names_untrusted",
        "carried_untrusted",
    }
)
"""Likewise what is found out about one call."""

_MONEY = frozenset({"amount", "money_left", "currency"})

BUDGET = _MONEY | {"bytes_left", "destinations_left"}
"""Likewise what is left of what is counted beside calls and writes, and what the call spends."""

CIRCUMSTANCES = frozenset(
    {"subject", "task", "purpose", "workflow", "depth", "actors", "calls_left", "writes_left"}
)
"""What every request tells, asked about or not: the schema wants it."""

REACHED = frozenset({"tools", "destinations"})
"""What of a hop is looked up among the classified tools only where a policy asks about it."""


def call_context(
    call: ToolCall, tool: Tool, facts: Facts, asked: frozenset[str]
) -> Mapping[str, Any] | IllTyped:
    """What a call's request tells; every declared argument must be of its type, `asked` for or not."""
    arguments = context_arguments(tool, call.arguments)
    if isinstance(arguments, IllTyped):
        return arguments
    told = {name: value for name, value in arguments.items() if name in asked}
    moment = {
        **_chain(facts, asked),
        **_taken(facts, asked),
        **_path(facts, asked),
        **_risk(facts, asked),
        **_of_call(facts, asked),
        **_of_budget(facts, asked),
    }
    return {"arguments": told, **_circumstances(facts), **moment}


def call_request(tool: Tool, agent: Agent, context: Mapping[str, Any]) -> Request:
    """The request about a call."""
    return {
        "principal": {"type": AGENT, "id": agent.id},
        "action": {"type": ACTION, "id": tool.full_name},
        "resource": {"type": TOOL, "id": tool.full_name},
        "context": written(context),
    }


def hop_request(hop: Hop, delegator: Agent, receiver: Agent, facts: Facts, tools: Sequence[Tool]) -> Request:
    """The request about handing on what a hop would carry; `tools` are those that it may be said to reach."""
    carried = handed(hop, tools)
    return {
        "principal": {"type": AGENT, "id": delegator.id},
        "action": {"type": ACTION, "id": DELEGATE},
        "resource": {"type": AGENT, "id": receiver.id},
        "context": written(
            {
                "handed": carried,
                **_circumstances(facts),
                **_chain(facts, CHAIN),
                **_taken(facts, TAKEN),
                **_risk(facts, RISK),
                **_path(facts, PATH),
            }
        ),
    }


def written(told: Any) -> str:
    """JSON that has no fraction in it. Whichever of the two writes it, one text tells one thing."""
    try:
        return msgspec.json.encode(told).decode()
    except UnicodeEncodeError:
        # Half of a character, which only an escape can carry.
        return json.dumps(told)


def _circumstances(facts: Facts) -> dict[str, Any]:
    return {
        "subject": facts.subject,
        "task": facts.task,
        "purpose": facts.purpose,
        "workflow": facts.workflow,
        "depth": len(facts.actors) - 1,
        "actors": facts.actors,
        "calls_left": facts.calls_left,
        "writes_left": facts.writes_left,
    }


def _chain(facts: Facts, asked: frozenset[str]) -> dict[str, Any]:
    told: dict[str, Any] = {"bound": facts.bound} if "bound" in asked else {}
    if "path" in asked:
        told["path"] = BETWEEN.join(facts.actors)
    if "hop_purpose" in asked:
        told["hop_purpose"] = (facts.purpose, *_purposes(facts))[-1]
    if "hops" in asked:
        received = zip(facts.actors[1:], _purposes(facts), strict=False)
        told["hops"] = [
            {"position": position, "agent": agent, "purpose": purpose}
            for position, (agent, purpose) in enumerate(received, 1)
        ]
    return told


def _taken(facts: Facts, asked: frozenset[str]) -> dict[str, Any]:
    return {name: getattr(facts, name) for name in TAKEN if name in asked}


def _risk(facts: Facts, asked: frozenset[str]) -> dict[str, Any]:
    if asked.isdisjoint(RISK):
        return {}
    found = facts.risk
    told = {"risk": found.level, "risk_points": found.points, "signals": found.names}
    return {name: told[name] for name in RISK & asked}


def _path(facts: Facts, asked: frozenset[str]) -> dict[str, Any]:
    return {"step": facts.step} if "step" in asked else {}


def _of_call(facts: Facts, asked: frozenset[str]) -> dict[str, Any]:
    if asked.isdisjoint(OF_CALL):
        return {}
    untrusted = list(facts.provenance.values()).count("untrusted")
    told: dict[str, Any] = {
        "destinations": facts.destinations,
        "above_ceiling": facts.above_ceiling,
        "pin": facts.pin,
        "provenance": facts.provenance,
        "names_known": bool(facts.provenance) and not untrusted,
        "names_untrusted": untrusted,
        "carried_untrusted": facts.carried_untrusted,
    }
    return {name: told[name] for name in OF_CALL & asked}


def _of_budget(facts: Facts, asked: frozenset[str]) -> dict[str, Any]:
    wanted = asked & BUDGET
    if not wanted:
        return {}
    told: dict[str, Any] = {"bytes_left": facts.bytes_left, "destinations_left": facts.destinations_left}
    if facts.currency and wanted & _MONEY:
        told["currency"] = facts.currency
        told |= {"amount": decimal(facts.amount), "money_left": decimal(facts.money_left)}
    return {name: told[name] for name in wanted & told.keys()}


def _purposes(facts: Facts) -> tuple[str, ...]:
    """One for every hop: a hop must not be hidden from a policy because nobody said what it is for."""
    hops = len(facts.actors) - 1
    return (*facts.purposes, *[""] * (hops - len(facts.purposes)))[:hops]


def call_entities(tool: Tool, agent: Agent) -> list[Entity]:
    """The agent, the tool and its server."""
    server = {"type": SERVER, "id": tool.server}
    labels = {
        "server": tool.server,
        "name": tool.name,
        "action": tool.action,
        "sensitivity": tool.sensitivity,
        "integrity": tool.integrity,
        "ceiling": tool.ceiling,
        "destination": tool.destination,
    }
    return [
        agent_entity(agent),
        {"uid": server, "attrs": {}, "parents": []},
        {"uid": {"type": TOOL, "id": tool.full_name}, "attrs": labels, "parents": [server]},
    ]


def agent_entity(agent: Agent) -> Entity:
    """An agent as Cedar knows it."""
    attributes = {"owner": agent.owner, "purpose": agent.purpose}
    return {"uid": {"type": AGENT, "id": agent.id}, "attrs": attributes, "parents": []}
