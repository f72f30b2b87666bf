"""What a person is shown who is asked to approve: the same on a terminal, a web page, in a client.

Names, arguments and purposes come from agents, so every text here is harmless to show (`hopward.harmless`).
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from hopward import capability
from hopward.approval import Approval, Taken
from hopward.clock import iso
from hopward.grant import terms
from hopward.harmless import harmless
from hopward.model import Budget, Narrowing, Tool, Value
from hopward.money import BOUNDLESS
from hopward.settings import ApproverGroup

HIDDEN = "Not all of the arguments can be shown: the decision log keeps digests of them ([log] arguments)."
UNDECLARED = "not declared: policies do not see it"
UNKNOWN = "Nothing is declared about how to take this back."

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")


class Argument(Value, frozen=True):
    """One argument: its value as JSON, and where it comes from, if policies are told: `Provenance`.

    A `name` that could be taken for something else is in quotes. One that is not `declared` is nothing that
    policies see. Of a delegation, what the hop is asked to carry: one line of text each.
    """

    name: str
    value: str
    provenance: str = ""
    declared: bool = True

    @property
    def about(self) -> str:
        """What is known of it, for people; empty for nothing."""
        return self.provenance if self.declared else UNDECLARED


class Summary(Value, frozen=True):
    """Who wants what and why, what could be undone, and who may say yes: lines of text for people.

    `chain` has each agent, the first at the head, with what it does this for, and `receiver` the agent that
    would be handed work, with what for, where that is what is asked. `hidden` is set where
    `arguments` are not all there. `holds` says what a grant is a yes to, or what a yes to a question could
    be to (`hopward.grant`); empty for no more than exactly this call. `until` is RFC 3339, UTC: the end of
    the question, or of the yes.
    """

    id: str
    state: str
    call: str
    subject: str
    chain: tuple[tuple[str, str], ...]
    arguments: tuple[Argument, ...]
    hidden: str
    does: str
    reaches: str
    taken: str
    undo: str
    asked_by: str
    may_approve: tuple[str, ...]
    answers: tuple[str, ...]
    asked_at: str
    until: str
    holds: str = ""
    receiver: tuple[tuple[str, str], ...] = ()

    def text(self) -> str:
        """All of it as lines of plain text."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield f"Approval {self.id} is {self.state}: {self.call}, on behalf of {self.subject}"
        yield from (f"  {agent}: {purpose}" for agent, purpose in self.chain)
        yield from (f"  would hand on to {agent}: {purpose}" for agent, purpose in self.receiver)
        for one in self.arguments:
            yield f"{one.name} = {one.value}{f' ({one.about})' if one.about else ''}"
        told = {
            "": self.hidden,
            "Does: ": self.does,
            "Reaches: ": self.reaches,
            "Has taken in: ": self.taken,
            "To undo it: ": self.undo,
            "Asked by: ": self.asked_by,
            "Holds for: ": self.holds,
        }
        yield from (name + line for name, line in told.items() if line)
        yield from (f"May approve: {line}" for line in self.may_approve)
        yield from (f"Answer: {line}" for line in self.answers)
        yield f"Until: {_second(self.until)}"


def summary_of(
    approval: Approval,
    groups: Mapping[str, ApproverGroup],
    *,
    shows_all: bool,
    void: str = "",
    most_times: int = 1,
) -> Summary:
    """The summary of an approval as it is now. `void` is why it does not count, if so, `most_times` for how
    many calls a yes may hold."""
    tool, chain = approval.classification, approval.chain
    return Summary(
        id=approval.id,
        state=harmless(f"{approval.state}: {void}" if void else approval.state),
        call=harmless(approval.name),
        subject=harmless(chain.subject),
        chain=tuple(
            (harmless(agent), harmless(purpose))
            for agent, purpose in zip(chain.actors, approval.purposes, strict=False)
        ),
        arguments=arguments_of(approval),
        hidden="" if shows_all else HIDDEN,
        does="" if tool is None else _does(tool),
        reaches=harmless(", ".join(approval.destinations)),
        taken=_taken(approval.taken),
        undo="" if tool is None else harmless(tool.undo) or UNKNOWN,
        asked_by=harmless(approval.sentence),
        may_approve=tuple(_who(approval, groups)),
        answers=tuple(_answers(approval)),
        asked_at=iso(approval.requested_at),
        until=iso(approval.expires_at),
        holds=_holds(approval, most_times),
        receiver=_receiver(approval),
    )


def _holds(approval: Approval, most_times: int) -> str:
    if approval.times > 1:
        left = f", {approval.left} of them left" if approval.state == "approved" else ""
        return f"up to {approval.times} such calls of this task{left}: {harmless(terms(approval))}"
    if approval.state != "pending" or approval.answers or most_times == 1:
        return ""
    return f"this call, or up to {most_times} such calls of this task: {harmless(terms(approval))}"


def arguments_of(approval: Approval) -> tuple[Argument, ...]:
    """What a call is asked with, or a hop is to carry."""
    asked = _asked_of(approval)
    key = approval.arguments.get("key", "")
    return tuple(_arguments(approval) if asked is None else _carried(asked, key))


def _asked_of(approval: Approval) -> Narrowing | None:
    """What a hop is asked to carry; None for a call, and for what no such thing can be read from."""
    if approval.server:
        return None
    try:
        return msgspec.convert(approval.arguments.get("asked"), Narrowing)
    except msgspec.ValidationError:
        return None


def _receiver(approval: Approval) -> tuple[tuple[str, str], ...]:
    asked = _asked_of(approval)
    if asked is None:
        return ()
    return ((harmless(str(approval.arguments.get("agent", ""))), harmless(asked.purpose)),)


def _carried(asked: Narrowing, key: str) -> Iterator[Argument]:
    """Lines as in `hopward policy explain`, with nothing said of what the hop does not get."""
    yield from (Argument("may", harmless(line)) for line in capability.lines(asked.capabilities))
    yield Argument("budget", _budget(asked.budget) + (", shared with its delegator" if asked.shared else ""))
    yield Argument("for", f"{asked.expires_in} seconds")
    if asked.delegable:
        yield from (Argument("may hand on", harmless(line)) for line in capability.lines(asked.delegable))
        yield Argument("hops", f"{asked.depth} deep, {asked.fan_out} at once")
    if key:
        yield Argument("proves", f"possession of the key {harmless(key)}")


def _budget(budget: Budget) -> str:
    told = [f"{budget.calls} calls", f"{budget.writes} writes"]
    told += [f"{amount} {currency}" for currency, amount in budget.money.items()]
    for name, most in (("bytes out", budget.bytes_out), ("destinations", budget.destinations)):
        told += [f"{most} {name}"] if most != BOUNDLESS else []
    return ", ".join(told)


def _arguments(approval: Approval) -> Iterator[Argument]:
    tool, provenance = approval.classification, approval.provenance
    for name, value in approval.arguments.items():
        told = harmless(json.dumps(value, ensure_ascii=False))
        shown = name if _PLAIN.fullmatch(name) else harmless(json.dumps(name, ensure_ascii=False))
        declared = tool is None or name in tool.arguments
        yield Argument(shown, told, provenance.get(name, ""), declared)


def _does(tool: Tool) -> str:
    return f"{tool.action} at {harmless(tool.destination)}; {tool.sensitivity}, {tool.integrity}"


def _taken(taken: Taken) -> str:
    """What the task knows by now, and may therefore give away or be led by; empty for nothing to mention."""
    if taken.sensitivity == "public" and taken.integrity == "trusted":
        return ""
    source = f" content of {', '.join(map(harmless, taken.untrusted))}" if taken.untrusted else ""
    return f"{taken.sensitivity}, {taken.integrity}{source}"


def _who(approval: Approval, groups: Mapping[str, ApproverGroup]) -> Iterable[str]:
    for need in approval.needed:
        members = ", ".join(groups[need.group].members) if need.group in groups else "nobody any more"
        yield f"{need.people} of {need.group}: {harmless(members)}"


def _second(at: str) -> str:
    """A time to the second, in RFC 3339, UTC."""
    return f"{at[:19]}Z"


def _answers(approval: Approval) -> Iterable[str]:
    for one in approval.answers:
        why = f", {harmless(one.why)}" if one.why else ""
        times = f" to {one.times} calls" if one.yes and one.times > 1 else ""
        yield f"{harmless(one.by)} {_second(iso(one.at))}: {'yes' if one.yes else 'no'}{times}{why}"
