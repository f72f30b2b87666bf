"""`hopward risk`: how agents have been behaving, and why that is a risk. Nothing is written."""

from contextlib import closing
from typing import Any

import click

from hopward.behaviour import Risk, States, lower_at, reaction, risk
from hopward.cli.output import hint, show_fields, show_json, show_table, tell
from hopward.cli.session import Session
from hopward.cli.wording import moment
from hopward.clock import SECOND, Instant, SystemClock, iso
from hopward.config import read_settings
from hopward.errors import NotFoundError
from hopward.ledger import SqliteLedger
from hopward.policy import nearest
from hopward.settings import Settings
from hopward.thresholds import RiskSettings


@click.group("risk")
def verbs() -> None:
    """Show how agents have been behaving, and what that is called a risk for."""


@verbs.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per agent.")
@click.pass_obj
def list_risks(session: Session, as_json: bool) -> None:
    """List the registered agents with their level of risk, as of now, in any task."""
    settings, now = read_settings(session.config), SystemClock().now()
    with closing(SqliteLedger.open(settings.log_file, clock=SystemClock())) as ledger:
        found = [(name, _risk(ledger.behaviour(name, ""), now, settings)) for name in sorted(settings.agents)]
    if as_json:
        for name, one in found:
            show_json({"agent": name, **_told(one, settings.risk)})
    elif found:
        rows = [(name, one.level, str(one.points), ", ".join(one.names)) for name, one in found]
        show_table(["agent", "risk", "points", "signals"], rows)
    else:
        hint("No agents. hopward agent add registers one.")


@verbs.command("explain")
@click.argument("agent")
@click.option("--task", metavar="TASK", default="", help="In this task, whose signals count as well.")
@click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
@click.pass_obj
def explain(session: Session, agent: str, task: str, as_json: bool) -> None:
    """Say how an agent has been behaving: its risk, each signal, and what would lower it."""
    settings, now = read_settings(session.config), SystemClock().now()
    _require(agent, settings)
    with closing(SqliteLedger.open(settings.log_file, clock=SystemClock())) as ledger:
        if task:
            ledger.task(task)
        found = _risk(ledger.behaviour(agent, task), now, settings)
    if as_json:
        show_json({"agent": agent, "task": task, **_told(found, settings.risk)})
        return
    _show(agent, task, found, now, settings.risk)


def _risk(states: States, now: Instant, settings: Settings) -> Risk:
    return risk(states, now, settings.risk)


def _require(agent: str, settings: Settings) -> None:
    if agent not in settings.agents:
        told = f"There is no agent {agent!r}{nearest(agent, settings.agents) or '.'}"
        raise NotFoundError(told, advice="hopward agent list shows the agents there are.")


def _told(found: Risk, rules: RiskSettings) -> dict[str, Any]:
    signals = [
        {"name": one.name, "points": one.weight, "sentence": one.sentence, "until": iso(one.until)}
        for one in found.signals
    ]
    lower = lower_at(found, rules)
    return {
        "risk": found.level,
        "risk_points": found.points,
        "signals": signals,
        "action": reaction(found, rules),
        "lower_at": iso(lower) if lower else "",
    }


def _show(agent: str, task: str, found: Risk, now: Instant, rules: RiskSettings) -> None:
    of_levels = f"elevated from {rules.elevated}, high from {rules.high}, critical from {rules.critical}"
    action = reaction(found, rules)
    show_fields(
        [
            ("agent", agent),
            ("task", task),
            ("risk", f"{found.level}: {found.points} points ({of_levels})"),
            ("action", "" if action == "none" else action),
        ]
    )
    if not found.signals:
        tell("Nothing is out of the ordinary.")
        return
    show_table(
        ["signal", "points", "why", "until"],
        [(one.name, str(one.weight), one.sentence, moment(one.until)) for one in found.signals],
    )
    lower = lower_at(found, rules)
    if lower:
        seconds = max(1, -(-(lower - now) // SECOND))
        tell(f"Unless more happens, the risk is lower in {seconds} s.")
