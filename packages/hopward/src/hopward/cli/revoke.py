"""`hopward revoke`: something stops counting, from now on, everywhere on this machine."""

import click

from hopward.cli.guarded import pass_guard
from hopward.cli.output import hint, tell
from hopward.ledger import RowFilter
from hopward.model import RevocationKind
from hopward.osuser import os_user
from hopward.policy import nearest
from hopward.wiring import Guard

_MEANING = {
    "task": "its next call is refused",
    "hop": "the work handed on by it, and all that was handed on from there, is refused its next call",
    "agent": "every call in a chain with it is refused, for tasks opened until now",
    "subject": "every call on its behalf is refused, for tasks opened until now",
    "token": "a call that presents it, or one exchanged from it, is refused",
    "key": "a call that presents a token signed with it is refused, and it is published no more",
}


_MANY = 100_000
"""How many tasks, the latest, are looked through for a subject."""


@click.command()
@click.argument("kind", type=click.Choice(["task", "hop", "agent", "subject", "token", "key"]))
@click.argument("name", metavar="ID")
@click.option("--why", required=True, help="The reason; it stands in the decision log.")
@click.option("--by", help="Who revokes.  [default: local:USER]")
@pass_guard
def revoke(guard: Guard, kind: RevocationKind, name: str, why: str, by: str | None) -> None:
    """Make a task, hop, agent, subject, token (its jti) or signing key (its kid) stop counting, now.

    Options come before an ID that begins with a hyphen: hopward revoke key --why TEXT -- -ID
    """
    guard.revoke(kind, name, by=by if by is not None else os_user(), why=why)
    tell(f"Revoked {kind} {name}: {_MEANING[kind]}.")
    _warn_of_unknown(guard, kind, name)
    if kind == "hop":
        hop = guard.ledger.hop(name)
        if hop.state == "completed":
            hint("It was completed already: its calls were refused before this, and still are.")
        hint(f"hopward log chain {hop.task} shows what was done with it.")
    if kind in ("agent", "subject"):
        hint("A task opened from now on counts again, and hopward mcp run opens one for each session.")
    if kind == "agent":
        hint(f"To stop it until you say otherwise: hopward agent suspend {name}; for good: agent retire.")


def _warn_of_unknown(guard: Guard, kind: RevocationKind, name: str) -> None:
    """Said after the fact: a name unknown here may be known elsewhere, so it is revoked all the same."""
    if kind == "subject":
        known, told = _subjects(guard), "No task here has that subject"
    elif kind == "key":
        known, told = _keys(guard), "No key known here has that kid"
    else:
        return
    if name not in known:
        near = nearest(name, sorted(known)) or "."
        hint(f"{told}{near} It is revoked all the same; check the spelling of {name}.")


def _subjects(guard: Guard) -> set[str]:
    return {task.subject for task in guard.ledger.tasks(limit=_MANY)}


def _keys(guard: Guard) -> set[str]:
    """The keys that sign tokens: those published now, and those the log tells of."""
    published = {str(key["kid"]) for key in guard.issuer.jwks()["keys"]}
    rows = guard.ledger.rows(RowFilter(kind="key"))
    named = (row.record.get(part) for row in rows for part in ("active", "retired", "withdrawn"))
    return published | {kid for kid in named if isinstance(kid, str)}
