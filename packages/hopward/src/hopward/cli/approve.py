"""`hopward approve`: what waits for a person, and their yes or no."""

import json
import sys
from typing import Any

import click
from rich.tree import Tree

from hopward.approval import Approval, ApprovalState
from hopward.cli.approvers import habits
from hopward.cli.guarded import pass_guard
from hopward.cli.output import console, hint, show_fields, show_json, show_table, styled, tell
from hopward.cli.wording import moment
from hopward.errors import StateError
from hopward.osuser import os_user
from hopward.summary import HIDDEN, Argument, Summary
from hopward.wiring import Guard

_EVERY: tuple[ApprovalState, ...] = ()
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
@click.option("--all", "every", is_flag=True, help="List what has been answered or is over, too.")
@click.option("--report", is_flag=True, help="Show who has approved how many, and how fast.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per approval.")
@pass_guard
def approve(
    guard: Guard, approval_id: str | None, every: bool, report: bool, as_json: bool, **answer: Any
) -> None:
    """Show what waits for a person's approval, and say yes or no to it.

    Without an ID, lists what is pending. With one, shows who wants to do what, and asks. You answer as the
    user of this machine that runs the command, local:USER.
    """
    if answer["yes"] and answer["reject"]:
        raise click.UsageError("Say --yes or --reject, not both.")
    if answer["reject"] and answer["changes"]:
        raise click.UsageError("--set changes what is approved; it goes with --yes.")
    if approval_id is None:
        if answer["yes"] or answer["reject"] or answer["changes"]:
            raise click.UsageError("Name the approval: hopward approve lists those that wait.")
        if report:
            _report(guard, as_json=as_json)
        else:
            _list(guard, every=every, as_json=as_json)
        return
    if report:
        raise click.UsageError("--report is about all approvals; leave out the ID.")
    found = guard.approvals.get(approval_id)
    if not as_json and not (answer["yes"] or answer["reject"]):
        _show(guard, found)
    if found.state == "pending" and not (answer["yes"] or answer["reject"] or as_json):
        answer |= _asked()
    changed = _changed(guard, found, answer["changes"]) if answer["yes"] else None
    if answer["yes"]:
        found = guard.approvals.approve(approval_id, by=os_user(), why=answer["why"], arguments=changed)
    elif answer["reject"]:
        found = guard.approvals.reject(approval_id, by=os_user(), why=answer["why"])
    if as_json:
        show_json(found)
    elif answer["yes"] or answer["reject"]:
        _told(found, rejected=approval_id if found.id != approval_id else "")


def _asked() -> dict[str, Any]:
    """The answer of a person at a terminal; nothing where there is none."""
    if not sys.stdin.isatty():
        hint("To answer: --yes, or --reject --why TEXT.")
        return {}
    said = click.prompt(_QUESTION, default="", show_default=False).strip().lower()
    if said in ("y", "yes"):
        return {"yes": True, "why": click.prompt("Why (Enter for no reason)", default="", show_default=False)}
    if said in ("n", "no"):
        return {"reject": True, "why": click.prompt("Why (the agent is told)")}
    hint("Nothing has been decided.")
    return {}


def _list(guard: Guard, *, every: bool, as_json: bool) -> None:
    found = guard.approvals.find(_EVERY) if every else guard.approvals.find()
    if as_json:
        for one in found:
            show_json(one)
    elif found:
        columns = ["approval", "state", "agent", "call", "arguments", "needs", "until"]
        show_table(columns, map(_row, found))
        hint("hopward approve ID shows one in full, and asks.")
    else:
        hint("Nothing is pending." if not every else "Nothing has ever been asked.")


def _report(guard: Guard, *, as_json: bool) -> None:
    """Who says yes to everything, or faster than anybody can read, should be asked less."""
    found = habits(guard.approvals.find(_EVERY, limit=_MANY))
    columns = ("person", "yes", "no", "median_seconds", "at_a_glance")
    rows = [(who, one.yes, one.no, one.median_seconds, one.at_a_glance) for who, one in found.items()]
    if as_json:
        for row in rows:
            show_json(dict(zip(columns, row, strict=True)))
    elif rows:
        names = [name.replace("_", " ") for name in columns]
        show_table(names, [tuple(map(str, row)) for row in rows])
    else:
        hint("Nobody has answered anything yet.")


def _row(one: Approval) -> tuple[str, ...]:
    arguments = json.dumps(one.arguments, ensure_ascii=False)
    short = arguments if len(arguments) <= 60 else f"{arguments[:57]}..."
    return (one.id, one.state, one.chain.actor, one.name, short, _needs(one), moment(one.expires_at))


def _show(guard: Guard, one: Approval) -> None:
    """Who wants what and why, and who may say yes: everything that the approval is bound to."""
    told = guard.approvals.summary(one)
    show_fields([("approval", told.id), ("state", told.state), ("asked", moment(one.requested_at))])
    console().print(_chain(told))
    show_fields(
        [
            ("call", told.call),
            *((f"  {argument.name}", _value_of(argument)) for argument in told.arguments),
            ("", told.hidden),
            ("does", told.does),
            ("reaches", told.reaches),
            ("has taken in", told.taken),
            ("to undo it", told.undo),
            ("asked by", told.asked_by),
            *(("may approve", line) for line in told.may_approve),
            *(("answer", line) for line in told.answers),
            ("answer until" if one.state == "pending" else "until", moment(one.expires_at)),
            ("in a browser", guard.approvals.address(one.id) if one.state == "pending" else ""),
            ("used by", one.consumed_by),
            ("replaced by", one.replaced_by),
        ]
    )


def _chain(told: Summary) -> Tree:
    """The subject, and below it each agent with what it does this for."""
    tree = branch = Tree(styled(f"on behalf of {told.subject}", "bold"))
    for agent, purpose in told.chain:
        branch = branch.add(styled(f"{agent}: {purpose}"))
    return tree


def _value_of(argument: Argument) -> str:
    return f"{argument.value}  ({argument.provenance})" if argument.provenance else argument.value


def _needs(one: Approval) -> str:
    return ", ".join(f"{need.people} of {need.group}" for need in one.needed)


def _told(one: Approval, rejected: str) -> None:
    if rejected:
        tell(f"Rejected {rejected}; approved instead, as {one.id}: {json.dumps(one.arguments)}")
    if one.state == "approved":
        tell(f"Approved {one.id}: exactly this call is permitted once, until {moment(one.expires_at)}.")
        hint("The agent has to make the call again; it is told so.")
    elif one.state == "rejected":
        tell(f"Rejected {one.id}: the same call is refused until {moment(one.expires_at)}.")
    else:
        tell(f"Your yes to {one.id} counts; it needs {_needs(one)}, so somebody else has to say yes too.")


def _changed(guard: Guard, one: Approval, changes: tuple[str, ...]) -> dict[str, Any] | None:
    """The arguments with what a person puts in their place; None where nothing is changed."""
    if not changes:
        return None
    if not guard.approvals.shows_all(one):
        raise StateError(f"The arguments of {one.id} cannot be changed. {HIDDEN}")
    arguments, typed = dict(one.arguments), one.classification.arguments if one.classification else {}
    for change in changes:
        name, given, value = change.partition("=")
        if not name or not given:
            raise click.UsageError(f"--set {change}: write NAME=VALUE")
        arguments[name] = value if typed.get(name) == "string" else _value(value)
    return arguments


def _value(text: str) -> Any:
    """A value as JSON, or, where it is none, as the text it is."""
    try:
        return json.loads(text, parse_constant=lambda _: text)
    except ValueError:
        return text
