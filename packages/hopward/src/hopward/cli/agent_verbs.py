"""What people do with a registered agent: review it, give it another owner, stop it, retire it."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import click

from hopward.cli.guarded import pass_guard
from hopward.cli.output import hint, show_json, show_table, tell
from hopward.cli.session import Session
from hopward.clock import SECOND, Instant, iso
from hopward.errors import ConfigError
from hopward.osuser import os_user
from hopward.project import change_owner
from hopward.rekeying import LONGEST_OVERLAP_HOURS
from hopward.rekeying import rotate as new_key
from hopward.retiring import Ended
from hopward.retiring import retire as end_for_good
from hopward.strictjson import parse
from hopward.wiring import Guard

_HOUR = 3600 * SECOND


def accounted(verb: Callable[..., Any]) -> Callable[..., Any]:
    """The argument that names the agent, and the options that say who changes it, and why."""
    by = click.option("--by", help="Who decides it.  [default: local:USER]")
    why = click.option("--why", required=True, help="The reason; it stands in the decision log.")
    return click.argument("name")(why(by(verb)))


@click.command()
@accounted
@click.option("--until", type=click.DateTime(["%Y-%m-%d"]), help="Look at it again by this day (UTC).")
@pass_guard
def review(guard: Guard, name: str, why: str, by: str | None, until: datetime | None) -> None:
    """Record that you have looked at an agent, and that it may go on as it is.

    It counts for review_days of [agents.NAME], or until the day given, if that is sooner.
    """
    counts = guard.review_agent(name, by=by if by is not None else os_user(), why=why, until=_instant(until))
    tell(f"Reviewed agent {name}; it is due again on {iso(counts)[:10]}.")


@click.command()
@accounted
@click.option("--to", "owner", required=True, help="Who answers for it from now on.")
@click.pass_obj
def transfer(session: Session, name: str, why: str, by: str | None, owner: str) -> None:
    """Give an agent another owner: in hopward.toml, of which nothing else changes, and in the log."""
    config = session.config
    guard = Guard.open(config)
    try:
        before = guard.agent(name).owner
        if before != owner:
            change_owner(config, name, owner)
        guard.transfer_agent(name, owner, by=by if by is not None else os_user(), why=why)
    finally:
        guard.close()
    tell(f"{owner} answers for agent {name} now; it was {before}.")
    hint(f"Let them look at it: hopward agent review {name}")


@click.command()
@accounted
@click.option(
    "--overlap-hours",
    type=click.IntRange(1, LONGEST_OVERLAP_HOURS),
    default=24,
    show_default=True,
    help="How long the old key lets it in as well.",
)
@click.option(
    "--public",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file with the new public key (JWK), made elsewhere.  [default: a new key pair, made here]",
)
@pass_guard
def rotate(
    guard: Guard, name: str, why: str, by: str | None, overlap_hours: int, public: Path | None
) -> None:
    """Give an agent a new key. The old one lets it in as well for a while, so that nothing stands still.

    Start the authority again, which reads the new key then; after that, have the agent use it.
    """
    until = guard.now + overlap_hours * _HOUR
    jwk = None if public is None else _public(public)
    done = new_key(guard, name, by=by if by is not None else os_user(), why=why, until=until, jwk=jwk)
    tell(f"Agent {name} has the new key {done.key}. {done.previous} lets it in as well until {iso(until)}.")
    hint("Start hopward authority serve again; then have the agent use its new key.")
    hint(f"If the old key has leaked: hopward revoke key {done.previous} --why TEXT")


@click.command()
@accounted
@pass_guard
def suspend(guard: Guard, name: str, why: str, by: str | None) -> None:
    """Stop an agent until it is resumed: every call is refused, and it gets no task."""
    guard.set_agent_state(name, "suspended", by=by if by is not None else os_user(), why=why)
    tell(f"Suspended agent {name}: its next call is refused, and no task is opened for it.")
    hint(f"hopward agent resume {name} lets it go on, in tasks that are still open too.")


@click.command()
@accounted
@pass_guard
def resume(guard: Guard, name: str, why: str, by: str | None) -> None:
    """Let a suspended agent go on."""
    guard.set_agent_state(name, "active", by=by if by is not None else os_user(), why=why)
    tell(f"Resumed agent {name}: it may go on in tasks that are still open, and be given new ones.")


@click.command()
@accounted
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each thing that has ended.")
@pass_guard
def retire(guard: Guard, name: str, why: str, by: str | None, as_json: bool) -> None:
    """Stop an agent for good, with all it holds, and try each of it afterwards.

    Its key, its open tasks, the hops from and to it are revoked; approvals of its calls are void with that.
    Shows the reason with which each is refused now. It can never be resumed; this may be repeated.
    """
    ended = end_for_good(guard, name, by=by if by is not None else os_user(), why=why)
    if as_json:
        for one in ended:
            show_json({"kind": one.kind, "id": one.id, "refused": one.refused})
    else:
        tell(f"Retired agent {name} for good. What it held, and the reason with which it is refused now:")
        show_table(["what", "id", "refused"], [(one.kind, one.id, one.refused or "NO") for one in ended])
    _require_refused(name, ended)


def _require_refused(name: str, ended: tuple[Ended, ...]) -> None:
    left = [f"{one.kind} {one.id}" for one in ended if not one.refused]
    if left:
        told = f"Agent {name} is retired, but this is not refused: {', '.join(left)}."
        raise click.ClickException(f"{told}\n  hopward stop stops everything while you look into it.")


def _public(path: Path) -> dict[str, Any]:
    try:
        found: object = parse(path.read_bytes())
    except ValueError as error:
        raise ConfigError(f"{path} holds no public key (JWK).") from error
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def _instant(day: datetime | None) -> Instant | None:
    return None if day is None else int(day.replace(tzinfo=UTC).timestamp()) * SECOND
