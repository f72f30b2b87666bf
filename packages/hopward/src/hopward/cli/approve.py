"""`hopward approve`: what waits for a person, and their yes or no."""

import json
import sys
from collections.abc import Iterable
from typing import Any

import click
from rich.tree import Tree

from hopward.approval import Approval, ApprovalState
from hopward.batch import batches
from hopward.cli.approvers import habits
from hopward.cli.guarded import pass_guard
from hopward.cli.output import console, hint, show_fields, show_json, show_table, styled, tell
from hopward.cli.wording import moment
from hopward.errors import StateError
from hopward.grant import terms
from hopward.osuser import os_user
from hopward.policy import nearest
from hopward.strictjson import parse
from hopward.summary import HIDDEN, Argument, Summary, arguments_of
from hopward.wiring import Guard

_EVERY: tuple[ApprovalState, ...] = ()
_MOST = 10_000
"""How many approvals, the latest, are listed."""
_MANY = 100_000
"""How many approvals, the latest, a report is made of."""
_QUESTION = "Approve exactly this? y, n, or Enter to leave it for later"


@click.command()
@click.argument("approval_id", metavar="[ID]", required=False)
@click.option("--yes", is_flag=True, help="Approve it.")
@click.option("--reject", is_flag=True, help="Reject it; the same call is then refused until the end of it.")
@click.option(
    "--why", default="", help="The reason; it stands in the decision log, and the agent is told a no."
)
@click.option(
    "--set", "changes", multiple=True, metavar="NAME=VALUE", help="Approve it with this argument. Repeat it."
)
@click.option("--for-task", is_flag=True, help="The yes holds for several such calls of the task: --times.")
@click.option("--times", type=int, metavar="N", help="For how many, the one shown included.")
@click.option("--same", is_flag=True, help="Ask about all that ask the same at once, of whichever task.")
@click.option(
    "--and", "among", multiple=True, metavar="ID", help="Answer this one too, which asks the same. Repeat it."
)
@click.option("--all", "every", is_flag=True, help="List what has been answered or is over, too.")
@click.option("--report", is_flag=True, help="Show who has approved how many, and how fast.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per approval.")
@pass_guard
def approve(
    guard: Guard, approval_id: str | None, every: bool, report: bool, as_json: bool, **answer: Any
) -> None:
    """Show what waits for a person's approval, and say yes or no to it.

    Without an ID, lists what is pending, and each yes to several calls that stands. With one, shows who wants
    to do what, and asks. You answer as the user of this machine that runs the command, local:USER.
    """
    _refuse_nonsense(answer)
    if approval_id is None:
        if any(answer.values()):
            raise click.UsageError("Name the approval: hopward approve lists those that wait.")
        if report:
            _report(guard, as_json=as_json)
        else:
            _list(guard, every=every, as_json=as_json)
        return
    if report:
        raise click.UsageError("--report is about all approvals; leave out the ID.")
    found = guard.approvals.get(approval_id)
    answer["arguments"] = _changed(guard, found, answer["changes"])
    said = answer["yes"] or answer["reject"]
    same = guard.approvals.same(found) if found.state == "pending" and not said else []
    if not as_json and not said:
        _show(guard, found, same, answer["arguments"])
        if found.state == "pending":
            answer["among"] = [one.id for one in same] if answer["same"] else []
            answer |= _asked(len(answer["among"]))
    if answer["among"] and (answer["yes"] or answer["reject"]):
        _answer_same(guard, found, answer, as_json=as_json)
        return
    answered = _answered(guard, found, answer)
    if as_json:
        show_json(answered)
    elif answer["yes"] or answer["reject"]:
        _told(answered, before=found)


def _refuse_nonsense(answer: dict[str, Any]) -> None:
    if answer["yes"] and answer["reject"]:
        raise click.UsageError("Say --yes or --reject, not both.")
    if answer["reject"] and answer["changes"]:
        raise click.UsageError("--set changes what is approved; it goes with --yes.")
    if answer["for_task"] != (answer["times"] is not None):
        raise click.UsageError(
            "--for-task --times N go together: for how many calls of the task the yes holds."
        )
    if answer["for_task"] and not answer["yes"]:
        raise click.UsageError("--for-task widens what is approved; it goes with --yes.")
    if (answer["same"] or answer["among"]) and (answer["changes"] or answer["for_task"]):
        raise click.UsageError("--same answers each for its own call; leave out --set and --for-task.")
    if answer["same"] and (answer["yes"] or answer["reject"]):
        raise click.UsageError("--same asks you. --yes and --reject name what you have seen: --and ID")
    if answer["among"] and not (answer["yes"] or answer["reject"]):
        raise click.UsageError("--and goes with --yes or --reject.")


def _answered(guard: Guard, one: Approval, answer: dict[str, Any]) -> Approval:
    """The approval after the answer, if there is one."""
    if answer["reject"]:
        return guard.approvals.reject(one.id, by=os_user(), why=answer["why"])
    if not answer["yes"]:
        return one
    arguments, times = answer["arguments"], answer["times"]
    return guard.approvals.approve(
        one.id, by=os_user(), why=answer["why"], arguments=arguments, times=1 if times is None else times
    )


def _answer_same(guard: Guard, one: Approval, answer: dict[str, Any], *, as_json: bool) -> None:
    """Answer an approval and what has been shown to ask the same, and say of each what has become of it."""
    found = guard.approvals.answer_same(
        one.id, yes=answer["yes"], by=os_user(), why=answer["why"], among=answer["among"]
    )
    for answered in found.answered:
        if as_json:
            show_json(answered)
        else:
            who = f"{answered.chain.actor}, on behalf of {answered.chain.subject}"
            tell(f"{answered.state.capitalize()} {answered.id}: {who}")
    for left, why in found.left:
        hint(f"Left {left.id}: {why}")


def _asked(same: int) -> dict[str, Any]:
    """The answer of a person at a terminal, to so many that ask the same too; nothing where there is none."""
    if not sys.stdin.isatty():
        hint("To answer: --yes, or --reject --why TEXT.")
        return {}
    asked = f"Approve exactly this, and {same} that ask the same? y, n, or Enter" if same else _QUESTION
    said = click.prompt(asked, default="", show_default=False).strip().lower()
    if said in ("y", "yes"):
        return {"yes": True, "why": click.prompt("Why (Enter for no reason)", default="", show_default=False)}
    if said in ("n", "no"):
        return {"reject": True, "why": click.prompt("Why (the agent is told)")}
    hint("Nothing has been decided.")
    return {}


def _list(guard: Guard, *, every: bool, as_json: bool) -> None:
    found = guard.approvals.find(_EVERY, limit=_MOST + 1) if every else _open(guard)
    if len(found) > _MOST:
        found = found[:_MOST]
        hint(f"There are more than these, the latest {_MOST}.")
    if as_json:
        for one in found:
            show_json(one)
    elif found:
        columns = ["approval", "state", "agent", "call", "arguments", "needs", "until"]
        show_table(columns, map(_row, batches(found)))
        hint("hopward approve ID shows one in full, and asks.")
    else:
        hint("Nothing is pending." if not every else "Nothing has ever been asked.")


def _open(guard: Guard) -> list[Approval]:
    """What waits, and what holds for further calls."""
    standing = guard.approvals.find(("pending", "approved"), limit=_MANY)
    return [one for one in standing if one.state == "pending" or one.times > 1]


def _report(guard: Guard, *, as_json: bool) -> None:
    """Who says yes to everything, or faster than anybody can read, should be asked less."""
    found = habits(guard.approvals.find(_EVERY, limit=_MANY))
    columns = (
        *("yes", "no", "percent_yes", "grants", "together"),
        *("median_seconds", "at_a_glance", "most_approved"),
    )
    rows = [(who, *(getattr(one, name) for name in columns)) for who, one in found.items()]
    if as_json:
        for row in rows:
            told = dict(zip(("person", *columns), row, strict=True))
            show_json({**told, "rubber_stamp": found[row[0]].rubber_stamp})
    elif rows:
        names = [name.replace("_", " ") for name in ("person", *columns)]
        show_table(names, [tuple(map(str, row)) for row in rows])
        for who in (who for who, one in found.items() if one.rubber_stamp):
            tell(f"{who} says yes to everything, mostly within ten seconds: nobody reads what they approve.")
            hint(
                "Ask less often: a narrower policy, or most_times for a group; or let somebody else approve."
            )
    else:
        hint("Nobody has answered anything yet.")


def _row(batch: list[Approval]) -> tuple[str, ...]:
    """One line for all that ask the same."""
    one = batch[0]
    agents = ", ".join(dict.fromkeys(approval.chain.actor for approval in batch))
    arguments = json.dumps(one.arguments, ensure_ascii=False)
    if not one.server:
        arguments = "; ".join(f"{argument.name} {argument.value}" for argument in arguments_of(one))
    short = arguments if len(arguments) <= 60 else f"{arguments[:57]}..."
    return (one.id, _state(batch), agents, one.name, short, _needs(one), moment(one.expires_at))


def _state(batch: list[Approval]) -> str:
    one = batch[0]
    state = (
        f"{one.state}, {one.left} of {one.times} left" if one.state == "approved" and one.times > 1 else ""
    )
    state = state or one.state
    return state if len(batch) == 1 else f"{state}, {len(batch)} the same"


def _show(guard: Guard, one: Approval, same: list[Approval], changed: dict[str, Any] | None) -> None:
    """Who wants what and why, and who may say yes: everything that the approval is bound to.

    With `changed`, the arguments that would be approved instead, each beside what it was.
    """
    told = guard.approvals.summary(one)
    show_fields([("approval", told.id), ("state", told.state), ("asked", moment(one.requested_at))])
    console().print(_chain(told))
    show_fields(
        [
            ("call", told.call),
            *((f"  {argument.name}", _value_of(argument)) for argument in told.arguments),
            *(_instead(one, changed) if changed is not None else ()),
            ("", told.hidden),
            ("does", told.does),
            ("reaches", told.reaches),
            ("has taken in", told.taken),
            ("to undo it", told.undo),
            ("asked by", told.asked_by),
            *(("may approve", line) for line in told.may_approve),
            *(("answer", line) for line in told.answers),
            ("holds for", told.holds),
            *(("asked too", line) for line in _asked_too(guard, same)),
            ("answer until" if one.state == "pending" else "until", moment(one.expires_at)),
            ("in a browser", guard.approvals.address(one.id) if one.state == "pending" else ""),
            *(("used by", use.decision) for use in one.uses),
            ("replaced by", one.replaced_by),
        ]
    )


def _asked_too(guard: Guard, same: list[Approval]) -> Iterable[str]:
    """Whoever else waits for the same, on whose behalf, and what for."""
    for other in same:
        told = guard.approvals.summary(other)
        yield f"{told.id}: {', '.join(map(': '.join, told.chain))}, on behalf of {told.subject}"


def _chain(told: Summary) -> Tree:
    """The subject, and below it each agent with what it does this for."""
    tree = branch = Tree(styled(f"on behalf of {told.subject}", "bold"))
    for agent, purpose in told.chain:
        branch = branch.add(styled(f"{agent}: {purpose}"))
    for agent, purpose in told.receiver:
        branch.add(styled(f"would hand on to {agent}: {purpose}"))
    return tree


def _value_of(argument: Argument) -> str:
    return f"{argument.value}  ({argument.about})" if argument.about else argument.value


def _instead(one: Approval, changed: dict[str, Any]) -> Iterable[tuple[str, str]]:
    """What would be approved instead, of the arguments that a person changes."""
    before = one.arguments
    for name, value in changed.items():
        if name not in before or before[name] != value:
            yield f"  {name}, changed", json.dumps(value, ensure_ascii=False)


def _needs(one: Approval) -> str:
    return ", ".join(f"{need.people} of {need.group}" for need in one.needed)


def _told(one: Approval, before: Approval) -> None:
    if one.id != before.id:
        tell(f"Rejected {before.id}; approved instead, as {one.id}: {json.dumps(one.arguments)}")
    if one.state == "approved" and one.times > 1:
        tell(f"Approved {one.id}: up to {one.times} such calls of this task, until {moment(one.expires_at)}.")
        hint(f"They may differ in this: {terms(one)}.")
    elif one.state == "approved":
        tell(f"Approved {one.id}: exactly this call is permitted once, until {moment(one.expires_at)}.")
        hint("The agent has to make the call again; it is told so.")
    elif one.state == "rejected" and before.state == "approved":
        tell(f"Taken back {one.id}: {_refused(one)}")
    elif one.state == "rejected":
        tell(f"Rejected {one.id}: {_refused(one)}")
    else:
        tell(f"Your yes to {one.id} counts; it needs {_needs(one)}, so somebody else has to say yes too.")


def _refused(one: Approval) -> str:
    return f"the same call is refused until {moment(one.expires_at)}."


def _changed(guard: Guard, one: Approval, changes: tuple[str, ...]) -> dict[str, Any] | None:
    """The arguments with what a person puts in their place; None where nothing is changed."""
    if not changes:
        return None
    if not guard.approvals.shows_all(one):
        raise StateError(f"The arguments of {one.id} cannot be changed. {HIDDEN}")
    arguments, typed = dict(one.arguments), one.classification.arguments if one.classification else {}
    known = list(dict.fromkeys((*one.arguments, *typed)))
    for change in changes:
        name, given, value = change.partition("=")
        if not name or not given:
            raise click.UsageError(f"--set {change}: write NAME=VALUE")
        if name not in known:
            told = f"{one.name} has no argument {name!r}{nearest(name, known) or '.'}"
            raise StateError(told, advice=f"Its arguments are {', '.join(known)}." if known else "")
        arguments[name] = value if typed.get(name) == "string" else _value(value)
    return arguments


def _value(text: str) -> Any:
    """A value as JSON, or, where it is none, as the text it is."""
    try:
        return parse(text.encode())
    except ValueError:
        return text
