"""`hopward agent`: register agents, show them, stop them."""

from collections.abc import Callable
from itertools import starmap
from typing import Any

import click
import msgspec

from hopward.capability import lines as capability_lines
from hopward.cli.guarded import pass_guard
from hopward.cli.output import hint, show_fields, show_json, show_table, tell
from hopward.cli.session import Session
from hopward.cli.wording import contained_line, last_revoked, moment
from hopward.clock import Instant
from hopward.model import ACTIONS, SENSITIVITIES, Agent
from hopward.osuser import os_user
from hopward.project import NewAgent, add_agent
from hopward.wiring import Guard

_ACTION = click.Choice(ACTIONS)


def _accounted(verb: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say who changes an agent's state, and why."""
    by = click.option("--by", help="Who decides it.  [default: local:USER]")
    why = click.option("--why", required=True, help="The reason; it stands in the decision log.")
    return click.argument("name")(why(by(verb)))


@click.group()
def agent() -> None:
    """Register agents, show them, stop them."""


@agent.command("add")
@click.argument("name")
@click.option("--owner", required=True, help="Who answers for it, such as a person's address.")
@click.option("--purpose", required=True, help="What it is for.")
@click.option("--tool", "tools", multiple=True, required=True, help="SERVER/TOOL, SERVER/PREFIX*. Repeat it.")
@click.option("--action", "actions", multiple=True, required=True, type=_ACTION, help="Repeat it.")
@click.option("--sensitivity", required=True, type=click.Choice(SENSITIVITIES), help="The highest label.")
@click.option("--destination", "destinations", multiple=True, required=True, help="Repeat it.")
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
@pass_guard
def list_agents(guard: Guard, as_json: bool) -> None:
    """List the registered agents: their state, and when they were last revoked."""
    found = [
        (guard.agent(name), last_revoked(guard.ledger.revocations("agent", name)))
        for name in sorted(guard.settings.agents)
    ]
    if as_json:
        for one, revoked in found:
            show_json({**msgspec.to_builtins(one), "revoked": revoked})
    elif found:
        show_table(["agent", "state", "revoked", "owner", "purpose"], starmap(_row, found))
    else:
        hint("No agents. hopward agent add registers one.")


@agent.command("show")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print the agent as JSON.")
@pass_guard
def show(guard: Guard, name: str, as_json: bool) -> None:
    """Show one agent: who owns it, the most it may be given, whether it was revoked."""
    found = guard.agent(name)
    revoked = guard.ledger.revocations("agent", name)
    key = guard.settings.agents[name].key
    if as_json:
        plain = msgspec.to_builtins({"revocations": revoked, "key": key})
        show_json({**msgspec.to_builtins(found), **plain})
        return
    show_fields(
        [
            ("agent", found.id),
            ("state", found.state),
            ("owner", found.owner),
            ("purpose", found.purpose),
            *(("ceiling", line) for line in capability_lines(found.ceiling)),
            *(("may hand on", line) for line in capability_lines(found.delegable)),
            ("key", str(key.get("kid", "")) or "none: it cannot get tokens at the authority"),
            *(("revoked", f"{moment(gone.at)} by {gone.by}: {gone.why}") for gone in revoked),
            ("quarantined", contained_line(guard.containment("agent", name))),
        ]
    )


@agent.command("suspend")
@_accounted
@pass_guard
def suspend(guard: Guard, name: str, why: str, by: str | None) -> None:
    """Stop an agent until it is resumed: every call is refused, and it gets no task."""
    guard.set_agent_state(name, "suspended", by=by if by is not None else os_user(), why=why)
    tell(f"Suspended agent {name}: its next call is refused, and no task is opened for it.")
    hint(f"hopward agent resume {name} lets it go on, in tasks that are still open too.")


@agent.command("resume")
@_accounted
@pass_guard
def resume(guard: Guard, name: str, why: str, by: str | None) -> None:
    """Let a suspended agent go on."""
    guard.set_agent_state(name, "active", by=by if by is not None else os_user(), why=why)
    tell(f"Resumed agent {name}: it may go on in tasks that are still open, and be given new ones.")


@agent.command("retire")
@_accounted
@pass_guard
def retire(guard: Guard, name: str, why: str, by: str | None) -> None:
    """Stop an agent for good: as suspended, and it can never be resumed."""
    guard.set_agent_state(name, "retired", by=by if by is not None else os_user(), why=why)
    tell(f"Retired agent {name} for good: its next call is refused, and no task is opened for it.")


def _row(found: Agent, revoked: Instant | None) -> tuple[str, ...]:
    return (found.id, found.state, "" if revoked is None else moment(revoked), found.owner, found.purpose)
