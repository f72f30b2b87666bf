"""`hopward revoke`: something stops counting, from now on, everywhere on this machine."""

import click

from hopward.cli.guarded import pass_guard
from hopward.cli.output import hint, tell
from hopward.cli.person import local_user
from hopward.model import RevocationKind
from hopward.wiring import Guard

_MEANING = {
    "task": "its next call is refused",
    "agent": "every call in a chain with it is refused, for tasks opened until now",
    "subject": "every call on its behalf is refused, for tasks opened until now",
    "token": "a call that presents it, or one exchanged from it, is refused",
    "key": "a call that presents a token signed with it is refused, and it is published no more",
}


@click.command()
@click.argument("kind", type=click.Choice(["task", "agent", "subject", "token", "key"]))
@click.argument("name", metavar="ID")
@click.option("--why", required=True, help="The reason; it stands in the decision log.")
@click.option("--by", help="Who revokes.  [default: local:USER]")
@pass_guard
def revoke(guard: Guard, kind: RevocationKind, name: str, why: str, by: str | None) -> None:
    """Make a task, agent, subject, token (its jti) or signing key (its kid) stop counting, now."""
    guard.revoke(kind, name, by=by if by is not None else local_user(), why=why)
    tell(f"Revoked {kind} {name}: {_MEANING[kind]}.")
    if kind in ("agent", "subject"):
        hint("A task opened from now on counts again, and hopward mcp run opens one for each session.")
    if kind == "agent":
        hint(f"To stop it until you say otherwise: hopward agent suspend {name}; for good: agent retire.")
