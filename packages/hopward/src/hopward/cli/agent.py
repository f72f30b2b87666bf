"""`hopward agent`: register agents, and show how they stand."""

from typing import Any

import click
import msgspec

from hopward.capability import lines as capability_lines
from hopward.cli.agent_verbs import resume, retire, review, rotate, suspend, transfer
from hopward.cli.guarded import pass_guard
from hopward.cli.output import hint, show_fields, show_json, show_table, tell
from hopward.cli.session import Session
from hopward.cli.wording import contained_line, last_revoked, moment
from hopward.clock import Instant, iso
from hopward.model import ACTIONS, SENSITIVITIES
from hopward.oversight import Oversight, overseen
from hopward.project import REVIEW_DAYS, NewAgent, add_agent
from hopward.wiring import Guard

_ACTION = click.Choice(ACTIONS)


@click.group()
def agent() -> None:
    """Register agents, show them, oversee them, stop them."""


for verb in (review, rotate, transfer, suspend, resume, retire):
    agent.add_command(verb)


@agent.command("add")
@click.argument("name")
@click.option("--owner", required=True, help="Who answers for it, such as a person's address.")
@click.option("--purpose", required=True, help="What it is for.")
@click.option("--tool", "tools", multiple=True, required=True, help="SERVER/TOOL, SERVER/PREFIX*. Repeat it.")
@click.option("--action", "actions", multiple=True, required=True, type=_ACTION, help="Repeat it.")
@click.option("--sensitivity", required=True, type=click.Choice(SENSITIVITIES), help="The highest label.")
@click.option("--destination", "destinations", multiple=True, required=True, help="Repeat it.")
@click.option("--review-days", default=REVIEW_DAYS, show_default=True, help="How often it is reviewed.")
@click.pass_obj
def add(session: Session, name: str, owner: str, purpose: str, **ceiling: Any) -> None:
    """Append an agent to hopward.toml and make its key pair.

    The options are its ceiling: the most that any task can ever give it.
    """
    private = add_agent(session.config, NewAgent(name=name, owner=owner, purpose=purpose, **ceiling))
    tell(f"Registered agent {name} in {session.config}.")
    tell(f"Its private key is {private}, for this user only; give it to the agent and to nobody else.")
    hint(f'Next: let a workflow name it (agent = "{name}"), then run hopward doctor.')


@agent.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per agent.")
@click.option("--lacking", is_flag=True, help="Only those that are ownerless, overdue, unreviewed or unused.")
@pass_guard
def list_agents(guard: Guard, as_json: bool, lacking: bool) -> None:
    """List the registered agents: their state, when they were last used and revoked, and what they lack."""
    found = overseen(guard.settings, guard.ledger, guard.now)
    if lacking:
        found = [one for one in found if any(one.lacking(guard.now))]
    if as_json:
        for one in found:
            show_json(_plain(guard, one))
    elif found:
        columns = ["agent", "state", "revoked", "used", "review", "owner", "purpose", "lacks"]
        show_table(columns, [_row(guard, one) for one in found])
    else:
        hint("No agent lacks anything." if lacking else "No agents. hopward agent add registers one.")


@agent.command("show")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print the agent as JSON.")
@pass_guard
def show(guard: Guard, name: str, as_json: bool) -> None:
    """Show one agent: who owns it, the most it may be given, whether it was revoked."""
    found = guard.agent(name)
    seen = next(one for one in overseen(guard.settings, guard.ledger, guard.now) if one.agent.id == name)
    revoked = guard.ledger.revocations("agent", name)
    key = guard.settings.agents[name].key
    if as_json:
        plain = msgspec.to_builtins({"revocations": revoked, "key": key})
        show_json({**_plain(guard, seen), **plain})
        return
    show_fields(
        [
            ("agent", found.id),
            ("state", found.state),
            ("owner", found.owner),
            ("purpose", found.purpose),
            ("reviewed", f"{moment(seen.reviewed_at)} by {seen.reviewed_by}" if seen.reviewed_at else ""),
            ("review due", _day(seen.due_at)),
            ("used", moment(seen.used_at) if seen.used_at else "never"),
            *(("lacks", one.sentence) for one in seen.lacking(guard.now)),
            *(("ceiling", line) for line in capability_lines(found.ceiling)),
            *(("may hand on", line) for line in capability_lines(found.delegable)),
            ("key", str(key.get("kid", "")) or "none: it cannot get tokens at the authority"),
            *(("revoked", f"{moment(gone.at)} by {gone.by}: {gone.why}") for gone in revoked),
            ("quarantined", contained_line(guard.containment("agent", name))),
        ]
    )


def _plain(guard: Guard, seen: Oversight) -> dict[str, Any]:
    name = seen.agent.id
    return {
        **msgspec.to_builtins(seen.agent),
        "revoked": last_revoked(guard.ledger.revocations("agent", name)),
        "registered_at": seen.since,
        "reviewed_at": seen.reviewed_at,
        "reviewed_by": seen.reviewed_by,
        "review_due_at": seen.due_at,
        "used_at": seen.used_at,
        "lacks": [one.lack for one in seen.lacking(guard.now)],
    }


def _row(guard: Guard, seen: Oversight) -> tuple[str, ...]:
    found, revoked = seen.agent, last_revoked(guard.ledger.revocations("agent", seen.agent.id))
    return (
        found.id,
        found.state,
        "" if revoked is None else moment(revoked),
        moment(seen.used_at) if seen.used_at else "never",
        _day(seen.due_at),
        found.owner,
        found.purpose,
        ", ".join(one.lack for one in seen.lacking(guard.now)),
    )


def _day(instant: Instant | None) -> str:
    return "none" if instant is None else iso(instant)[:10]
