"""Recorded calls decided again under other settings and policies. Nothing is logged, and nothing called."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from hopward import capability
from hopward.bounds import led
from hopward.budget import exceeded
from hopward.cedar import CedarEngine
from hopward.classification import Classifications, entry_of, lookalike
from hopward.destination import destinations
from hopward.labels import above
from hopward.model import Capability, Provenance, Tool
from hopward.record import Facts, Refusal
from hopward.settings import Settings
from hopward.suggestion.grants import used_by
from hopward.suggestion.seen import Seen


@dataclass(frozen=True, slots=True)
class Terms:
    """What calls are decided under."""

    settings: Settings
    engine: CedarEngine
    known: Classifications


def refusal(seen: Seen, terms: Terms) -> Refusal | None:
    """Why a call that was seen would be refused under these terms, its budget apart; None if permitted.

    Facts of the task are as they were then; those of the call are as its tool is classified now.
    """
    call, settings = seen.call, terms.settings
    tool = terms.known.find(call.server, call.tool)
    workflow, agent = settings.workflows.get(seen.workflow), settings.agents.get(seen.chain.actor)
    if workflow is None or agent is None:
        return ("task_unknown", "Its workflow or its agent is not configured any more.")
    if workflow.steps and seen.observed:
        told = f"The workflow {seen.workflow} has steps: a person writes down where this one belongs."
        return ("off_path", told)
    if tool is None:
        return ("tool_unclassified", f"Nobody has classified it: {entry_of(call.server, call.tool)}.")
    stranger = lookalike(call.arguments, tool)
    if stranger is not None:
        return ("argument_lookalike", f"The argument {stranger!r} could be taken for another one.")
    places = destinations(tool, call.arguments)
    if not places:
        return ("destination_unclear", "Its arguments do not tell where it leads.")
    for one in led(tool, places):
        for reason, granted in (("outside_task", workflow.capabilities), ("over_ceiling", agent.ceiling)):
            if capability.covers_any(granted, call, one) is None:
                return (reason, capability.explain_any(granted, call, one))
    acting = agent.registered(seen.chain.actor)
    verdict = terms.engine.evaluate(call, tool, acting, _facts(seen, tool, places))
    return None if verdict.name == "permit" else (verdict.reason, verdict.sentence)


def within_budget(seen: Sequence[Seen], terms: Terms) -> bool:
    """Whether every task's calls fit into the budget of its workflow."""
    tasks: dict[tuple[str, str], list[Seen]] = {}
    for one in seen:
        tasks.setdefault((one.chain.task, one.workflow), []).append(one)
    budgets = {name: entry.budget for name, entry in terms.settings.workflows.items()}
    return not any(
        exceeded(used_by(calls, terms.known), budgets[workflow]) for (_, workflow), calls in tasks.items()
    )


def covered(granted: Sequence[Capability], seen: Seen, tool: Tool) -> bool:
    """Whether capabilities cover a call wherever it leads."""
    places = destinations(tool, seen.call.arguments)
    return bool(places) and all(
        capability.covers_any(granted, seen.call, one) is not None for one in led(tool, places)
    )


def _facts(seen: Seen, tool: Tool, places: tuple[str, ...]) -> Facts:
    unknown: dict[str, Provenance] = {name: "untrusted" for name in tool.names if name in seen.call.arguments}
    return msgspec.structs.replace(
        seen.facts,
        calls_left=max(1, seen.facts.calls_left),
        writes_left=max(1, seen.facts.writes_left),
        above_ceiling=above(seen.facts.taken_sensitivity, tool.ceiling),
        destinations=places,
        provenance={**unknown, **seen.facts.provenance},
    )
