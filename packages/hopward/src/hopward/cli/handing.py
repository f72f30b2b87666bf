"""What would be decided about handing on work, and why, as a value and for people. Nothing is handed on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec.structs import replace

from hopward import behaviour
from hopward.behaviour import UNSEEN
from hopward.bounds import facts_of
from hopward.budget import lacking, share_of_hop, too_little
from hopward.capability import lines as capability_lines
from hopward.cedar import CedarEngine
from hopward.chain import entered
from hopward.cli.explanation import (
    PLENTY,
    deny,
    halves,
    json_or_text,
    on_path,
    place,
    policies,
    risk_fields,
    show_judged,
    spent,
    told_risk,
)
from hopward.cli.moment import Moment
from hopward.cli.output import show_fields
from hopward.clock import SECOND
from hopward.delegation import Handing, narrowed, unfit
from hopward.errors import ConfigError
from hopward.evaluation import DELEGATE
from hopward.model import (
    ACTIONS,
    MOST_ACTORS,
    Action,
    Agent,
    Budget,
    Capability,
    Hop,
    Narrowing,
    Sensitivity,
    Task,
    Usage,
    Value,
    plain,
)
from hopward.money import MOST
from hopward.record import Refusal, Spent, Standing
from hopward.steps import Move, held
from hopward.thresholds import RiskSettings


class _Wish(Value, frozen=True):
    """What the words after `delegate:AGENT` may say: without them, all that may be handed on."""

    purpose: str = "work"
    tools: tuple[str, ...] = ("*",)
    actions: tuple[Action, ...] = ACTIONS
    sensitivity: Sensitivity = "restricted"
    destinations: tuple[str, ...] = ("*",)
    calls: int = 1
    writes: int = 0
    money: dict[str, str] = {}
    expires_in: int = 600
    shared: bool = False
    depth: int = 0


@dataclass(frozen=True, slots=True)
class HopQuestion:
    """What an agent might hand on to another, in a task or without one."""

    delegator: Agent
    receiver: Agent
    asked: Narrowing
    moment: Moment | None


def receiver_of(name: str) -> str:
    """The agent of `delegate:AGENT`; empty for what names a tool."""
    return name.removeprefix(DELEGATE) if name.startswith(DELEGATE) else ""


def wished(words: Sequence[str]) -> Narrowing:
    """What `NAME=VALUE` words ask for; raises `ConfigError` for a word that asks for nothing."""
    given = dict(_word(word) for word in words)
    try:
        wish = msgspec.convert(given, _Wish)
    except msgspec.ValidationError as error:
        known = ", ".join(_Wish.__struct_fields__)
        raise ConfigError(f"This cannot be handed on: {error}", advice=f"Known: {known}") from None
    wanted = Capability(
        tools=wish.tools, actions=wish.actions, sensitivity=wish.sensitivity, destinations=wish.destinations
    )
    return Narrowing(
        purpose=wish.purpose,
        capabilities=(wanted,),
        budget=_budget(wish),
        expires_in=wish.expires_in,
        shared=wish.shared,
        delegable=(wanted,) if wish.depth > 0 else (),
        depth=wish.depth,
        fan_out=1 if wish.depth > 0 else 0,
    )


def _budget(wish: _Wish) -> Budget:
    try:
        return Budget(calls=wish.calls, writes=wish.writes, money=wish.money)
    except ValueError as error:
        raise ConfigError(f"This cannot be handed on: {error}.") from None


_LISTS = frozenset({"tools", "actions", "destinations"})


def _word(word: str) -> tuple[str, Any]:
    name, text = halves(word, "says nothing of what is handed on")
    if name in _LISTS:
        return name, text.split(",")
    if name in ("purpose", "sensitivity"):
        return name, text
    return name, json_or_text(text)


def explained_hop(engine: CedarEngine, question: HopQuestion, standing: str) -> dict[str, Any]:
    """The answer as plain JSON: what would be handed on, what each policy does, and the verdict.

    How many other hops are open is not looked at.
    """
    delegator, receiver = question.delegator, question.receiver
    answer: dict[str, Any] = {
        "delegate": receiver.id,
        "agent": delegator.id,
        **place(question.moment, standing),
    }
    at = question.moment or _unbounded(delegator, receiver, question.asked.budget)
    handing = Handing(at.chain, receiver.id, question.asked)
    hop = at.fallen or unfit(handing, at.task, at.standing) or narrowed(handing, at.task, at.standing, at.at)
    if not isinstance(hop, Hop):
        return {**answer, "verdict": deny(*hop)}
    on = on_path(at, Move(at.chain.actor, delegate=receiver.id))
    answer |= {**on.told, "handed": plain(hop)}
    if on.refusal is not None:
        return {**answer, "verdict": deny(*on.refusal)}
    # Its digest would have the key of the receiver in it, which nobody has named.
    risk = at.risk(f"{DELEGATE}{receiver.id}", "")
    facts = msgspec.structs.replace(facts_of(at.task, at.chain, at.standing), step=on.name, risk=risk)
    found = engine.explain_hop(hop, delegator, receiver, facts)
    judged = behaviour.stepped_up(held(on.step, found.verdict), risk, at.rules)
    first = behaviour.refusal(risk, at.rules, at.at)
    if judged.name == "permit":
        first = first or spent(facts, hop) or _too_little(hop, at)
    verdict = deny(*first) if first else plain(judged)
    return {**answer, **told_risk(risk), **policies(found), "verdict": verdict}


def show_explained_hop(answer: dict[str, Any]) -> None:
    """The answer for people."""
    fields = [
        ("delegate", answer["delegate"]),
        ("agent", " > ".join(answer.get("actors", [answer["agent"]]))),
    ]
    fields += [("standing", answer["standing"]), ("step", answer.get("step", answer.get("off_path", "")))]
    if answer["task"]:
        fields.append(("task", answer["task"]))
    if "handed" in answer:
        hop = msgspec.convert(answer["handed"], Hop)
        seconds = (hop.expires_at - hop.opened_at) // SECOND
        whose = "shared" if hop.shared else "set aside"
        spent = f"{hop.budget.calls} calls, {hop.budget.writes} of them writes"
        spent += "".join(f", {amount} {currency}" for currency, amount in hop.budget.money.items())
        fields += [("purpose", hop.purpose), ("budget", f"{spent}, {whose}, for {seconds} seconds")]
        fields += [("may call", line) for line in capability_lines(hop.capabilities)]
        fields += [("may hand on", line) for line in capability_lines(hop.delegable)]
    show_fields([*fields, *risk_fields(answer)])
    show_judged(answer, "such a hop")


def _unbounded(delegator: Agent, receiver: Agent, asked: Budget) -> Moment:
    """A task that lets the delegator hand on all that it may ever hand on."""
    task = Task(
        id="task",
        subject="subject",
        agent=delegator.id,
        purpose=delegator.purpose,
        workflow="",
        capabilities=(),
        budget=replace(asked, calls=PLENTY, writes=PLENTY),
        opened_at=0,
        expires_at=10**9 * SECOND,
        state="open",
        delegable=delegator.delegable,
        depth=MOST_ACTORS - 1,
        fan_out=1,
    )
    agents = {agent.id: agent for agent in (delegator, receiver)}
    standing = Standing(epoch=0, task=task, usage=Usage(calls=0, writes=0), agents=agents, revocations=())
    spent = Spent({(task.id, one): (0, MOST) for one in asked.money}, {})

    def known(_accounts: Sequence[str], _places: Sequence[str]) -> Spent:
        return spent

    unseen = (UNSEEN, RiskSettings())
    return Moment(task, entered(task), standing, None, 0, lambda _task, _values: frozenset(), known, *unseen)


def _too_little(hop: Hop, at: Moment) -> Refusal | None:
    """Why the money that would be set aside is not there, or None."""
    share = share_of_hop(hop, at.task, at.standing)
    lack = lacking(share, at.spent(share.accounts, ())) if share.takes else None
    return too_little(lack, handed=bool(at.standing.hops)) if lack else None
