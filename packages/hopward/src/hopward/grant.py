"""A grant: one yes that holds for several calls of a task, and which calls those are. Pure.

A person has seen one call. A grant of it holds for calls that differ from it only in arguments that are
declared, of their declared type, and name nothing: a text, a note. What names something, what leads to the
destination, and what nobody has declared, is exactly as it was shown. Of what is spent, each call spends no
more than the one that was shown, and the task has taken in nothing meanwhile but what the person knew of:
what it had by then, and what the tool itself returns. Nor does it hold while the agent's risk is higher.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec.structs import replace

from hopward import money
from hopward.approval import Approval, Taken, Use
from hopward.behaviour import LEVELS
from hopward.canonical import JSON
from hopward.clock import Instant
from hopward.destination import argument_of
from hopward.labels import above
from hopward.model import ArgumentType, Tool
from hopward.provenance import is_worse
from hopward.record import Facts
from hopward.settings import ApprovalSettings


def fixed(tool: Tool, arguments: Mapping[str, JSON]) -> dict[str, list[Any]]:
    """Of each argument of a call, what it is in every call of a grant: `["is", value]`, or `["any", type]`.

    Calls with other arguments than these are none of the grant's: a copy to somebody is an argument too.
    """
    free = free_arguments(tool)
    return {
        name: ["any", tool.arguments[name]]
        if name in free and _is_of(tool.arguments[name], value)
        else ["is", value]
        for name, value in arguments.items()
    }


def free_arguments(tool: Tool) -> frozenset[str]:
    """The arguments of a tool that the calls of a grant may differ in."""
    spends = tool.spends
    bound = {*tool.names, argument_of(tool.destination)}
    if spends is not None:
        bound.add(argument_of(spends.currency))
    return frozenset(tool.arguments) - bound


def most_times(settings: ApprovalSettings, groups: Iterable[str]) -> int:
    """For how many calls a yes of all these groups may hold."""
    known = settings.groups
    return min((known[name].most_times if name in known else 1 for name in groups), default=1)


def why_once(approval: Approval) -> str:
    """Why a yes cannot hold for more than the call that was asked for; empty where it can."""
    tool = approval.classification
    if tool is None:
        return "Work that is handed on is approved each time."
    if not approval.alike:
        return "It was asked for before a yes could be to several calls."
    if not approval.destinations:
        return "It is not known where this call leads."
    if tool.action == "pay" and not approval.currency:
        return (
            f"{approval.name} pays, and hopward.toml does not say how much (`spends`), so nothing bounds it."
        )
    loose = free_arguments(tool) - ({tool.spends.amount} if tool.spends is not None else set())
    if loose and not tool.names and not argument_of(tool.destination):
        told = f"hopward.toml does not say what of {approval.name} names something (`names`)"
        return f"{told}, so nobody knows where {' or '.join(sorted(loose))} might lead it."
    return ""


def terms(approval: Approval) -> str:
    """What the calls of a grant may differ in from the one that was asked for, in words."""
    tool, shown = approval.classification, approval.arguments
    free = [] if tool is None else [name for name, (how, _) in fixed(tool, shown).items() if how == "any"]
    spends = tool.spends if tool is not None else None
    told = [f"any {name}" for name in free if spends is None or name != spends.amount]
    if spends is not None and spends.amount in free:
        told.insert(
            0, f"{spends.amount} up to {money.write(approval.amount, approval.currency)} {approval.currency}"
        )
    return f"{', '.join(told)}; all else as shown" if told else "exactly as shown"


def covers(grant: Approval, facts: Facts, at: Instant) -> bool:
    """Whether a grant holds for a call of these facts that has its `alike`, as of now."""
    return (
        grant.state == "approved"
        and grant.left > 0
        and grant.expires_at > at
        and not facts.carried_untrusted
        and LEVELS.index(facts.risk.level) <= LEVELS.index(grant.risk)
        and _is_no_worse(grant, facts.amount, facts.provenance, facts.taken)
    )


def makes_needless(grant: Approval, question: Approval) -> bool:
    """Whether what a question asks about is covered by a grant, so that nobody has to answer it."""
    return (
        question.id != grant.id
        and question.alike == grant.alike != ""
        and LEVELS.index(question.risk) <= LEVELS.index(grant.risk)
        and _is_no_worse(grant, question.amount, question.provenance, question.taken)
    )


def _is_no_worse(grant: Approval, amount: int, provenance: Mapping[str, str], taken: Taken) -> bool:
    """Whether a call spends no more, and its arguments and its task are no worse, than what was shown."""
    known, tool = grant.provenance, grant.classification
    if tool is None or amount > grant.amount or provenance.keys() != known.keys():
        return False
    if any(is_worse(now, known[name]) for name, now in provenance.items()):
        return False
    shown = grant.taken
    own = {tool.server} if tool.integrity == "untrusted" else set[str]()
    most = tool.sensitivity if above(tool.sensitivity, shown.sensitivity) else shown.sensitivity
    return not above(taken.sensitivity, most) and own.union(shown.untrusted).issuperset(taken.untrusted)


def used(approval: Approval, decision: str, at: Instant, binding: str) -> Approval:
    """An approval once a permit has used it: consumed as soon as it has been as often as it holds for."""
    after = replace(approval, uses=(*approval.uses, Use(decision=decision, at=at, binding=binding)))
    return after if after.left else replace(after, state="consumed", consumed_by=decision)


def _is_of(kind: ArgumentType, value: JSON) -> bool:
    if kind == "strings":
        return isinstance(value, list) and all(isinstance(one, str) for one in value)
    if kind == "boolean" or isinstance(value, bool):
        return kind == "boolean" and isinstance(value, bool)
    if kind == "string":
        return isinstance(value, str)
    return isinstance(value, int) or (kind == "decimal" and isinstance(value, float))
