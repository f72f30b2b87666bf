"""`hopward policy`: check, test and explain policies. Nothing here writes to the decision log."""

from contextlib import closing
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import click
import msgspec

from hopward.cedar import CedarEngine
from hopward.classification import classified
from hopward.cli.explanation import explained, show_explained, typed
from hopward.cli.handing import HopQuestion, explained_hop, receiver_of, show_explained_hop, wished
from hopward.cli.moment import Place, configured, find_moment
from hopward.cli.output import hint, show_json, show_table, tell
from hopward.cli.session import Session
from hopward.cli.suggest import suggestion
from hopward.cli.wording import standing_line
from hopward.clock import SystemClock
from hopward.config import read_settings
from hopward.errors import LedgerError, NotFoundError
from hopward.ledger import SqliteLedger
from hopward.model import Agent, Tool
from hopward.observation import LET_THROUGH
from hopward.policies import load_engine, read_cases, run_cases
from hopward.policy import Policy
from hopward.project import schema_is_current, write_schema
from hopward.settings import Settings


@dataclass(frozen=True, slots=True)
class _Loaded:
    settings: Settings
    tools: tuple[Tool, ...]
    engine: CedarEngine


def _load(session: Session) -> _Loaded:
    settings = read_settings(session.config)
    tools = classified(settings.servers)
    return _Loaded(settings, tools, load_engine(settings.policies, tools, settings.approvals.groups))


def _about_calls_alone(engine: CedarEngine, policy: Policy) -> bool:
    return policy.effect == "forbid" and policy.actions is None and engine.about(policy) == "calls"


@click.group()
def policy() -> None:
    """Check, test and explain policies."""


@policy.command("check")
@click.option(
    "--write-schema", "rewrite", is_flag=True, help="Write policies/schema.cedarschema, for editors."
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.pass_obj
def check(session: Session, rewrite: bool, as_json: bool) -> None:
    """Load every policy and type-check it against the classified tools; name every mistake by line."""
    loaded = _load(session)
    engine = loaded.engine
    if rewrite:
        path = write_schema(loaded.settings, engine.schema)
        hint(f"Wrote {path}.")
    unreachable = [tool.full_name for tool in loaded.tools if not engine.could_permit(tool)]
    handed = [name for name, one in loaded.settings.workflows.items() if one.delegable]
    alone = [one.id for one in engine.policies if _about_calls_alone(engine, one)]
    current = schema_is_current(loaded.settings, engine.schema)
    if as_json:
        told = ("id", "effect", "file", "line", "reason", "control", "step_up")
        policies = [
            {**{name: getattr(one, name) for name in told}, "about": engine.about(one)}
            for one in engine.policies
        ]
        show_json(
            {
                "policy_set": engine.policy_set,
                "policies": policies,
                "tools": [tool.full_name for tool in loaded.tools],
                "never_permitted": unreachable,
                "hands_on": engine.could_permit_hop(),
                "schema_current": current,
            }
        )
        return
    policies = "1 policy fits" if len(engine.policies) == 1 else f"{len(engine.policies)} policies fit"
    tools = "1 classified tool" if len(loaded.tools) == 1 else f"{len(loaded.tools)} classified tools"
    tell(f"{policies} the {tools}. {engine.policy_set}")
    show_table(
        ["policy", "effect", "where", "reason"],
        [(one.id, one.effect, f"{one.file}:{one.line}", one.reason) for one in engine.policies],
    )
    if unreachable:
        hint(f"No policy permits: {', '.join(unreachable)}")
    if handed and not engine.could_permit_hop():
        hint(f"No policy permits handing on work, as {', '.join(handed)} would; it has to name that action.")
    if alone:
        hint(f"About calls alone, not about handing on, as they ask about a tool: {', '.join(alone)}")
    if not current:
        hint("policies/schema.cedarschema is out of date; hopward policy check --write-schema writes it.")


@policy.command("test")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per case.")
@click.pass_obj
def test(session: Session, as_json: bool) -> None:
    """Run the test cases in policies/tests/*.toml. Exit status 1 if one fails."""
    loaded = _load(session)
    results = run_cases(loaded.engine, read_cases(loaded.settings.policies), configured(loaded.settings))
    if as_json:
        for result in results:
            written = result.written
            plain = {"name": written.case.name, "file": written.file, "line": written.line}
            verdict = msgspec.to_builtins(result.verdict)
            show_json({**plain, "passed": result.passed, "why": result.why, "verdict": verdict})
    else:
        for file, found in groupby(results, key=lambda result: result.written.file):
            tell(file)
            for result in found:
                mark = "ok    " if result.passed else "FAILED"
                tell(f"  {mark} {result.written.case.name}")
                if not result.passed:
                    tell(f"         line {result.written.line}: {result.why}")
        failed = sum(not result.passed for result in results)
        tell(
            f"{len(results)} cases, {failed} failed."
            if results
            else "There are no test cases in policies/tests/."
        )
    if not all(result.passed for result in results):
        click.get_current_context().exit(1)


policy.add_command(suggestion)


@policy.command("explain")
@click.argument("subject", metavar="SERVER/TOOL | delegate:AGENT")
@click.argument("words", metavar="[NAME=VALUE]...", nargs=-1)
@click.option("--agent", default="", help="The agent that would act.  [default: the task's agent]")
@click.option("--task", "task_id", default="", help="Ask about this task, as it stands now.")
@click.option("--hop", "hop_id", default="", help="Ask about this hop, as it stands now.")
@click.option("--json", "as_json", is_flag=True, help="Print the explanation as JSON.")
@click.pass_obj
def explain(session: Session, subject: str, words: tuple[str, ...], **asked: str | bool) -> None:
    """Say what would be decided about a call, or about handing on work, and why.

    Nothing is called or handed on, nothing is logged. Values are what the tool's classification says they
    are, and JSON otherwise: amount=20, tags='["a"]'. What is handed on is told by purpose, tools, actions,
    destinations (each a list: a,b), sensitivity, calls, writes, expires_in, shared and depth.
    """
    at = Place(str(asked["task_id"]), str(asked["hop_id"]), str(asked["agent"]), receiver_of(subject))
    loaded = _load(session)
    moment = find_moment(loaded.settings, at) if at.task or at.hop else None
    name = moment.chain.actor if moment else at.agent
    if at.agent not in ("", name):
        raise click.UsageError(f"The hop is that of agent {name}: leave out --agent.")
    if not name:
        raise click.UsageError("Say who would act: --agent NAME, --task TASK or --hop HOP.")
    agent, standing = _agent(loaded.settings, name), _standing(loaded.settings, name)
    if at.to:
        receiver = _agent(loaded.settings, at.to)
        answer = explained_hop(loaded.engine, HopQuestion(agent, receiver, wished(words), moment), standing)
        show = show_explained_hop
    else:
        question = typed((subject, *words), loaded.tools, agent, moment)
        answer, show = explained(loaded.engine, question, standing), show_explained
        answer |= _observed(loaded.settings, question.call.server, answer)
    if asked["as_json"]:
        show_json(answer)
    else:
        show(answer)


def _observed(settings: Settings, server: str, answer: dict[str, Any]) -> dict[str, str]:
    """That the call would go on although it would be refused, as part of an answer, if it is so."""
    verdict, known, now = answer["verdict"], settings.servers.get(server), SystemClock().now()
    if known is None or now >= known.observed_until or answer.get("hops"):
        return {}
    goes_on = verdict["name"] != "permit" and verdict["reason"] in LET_THROUGH
    return {"observed": f"servers.{server} is {known.observing(now)}."} if goes_on else {}


def _agent(settings: Settings, name: str) -> Agent:
    found = configured(settings).get(name)
    if found is None:
        known = ", ".join(sorted(settings.agents)) or "none"
        raise NotFoundError(f"There is no agent {name!r}.", advice=f"Registered agents: {known}")
    return found


def _standing(settings: Settings, name: str) -> str:
    """What keeps the agent from acting. Policies can be explained without a decision log, too."""
    try:
        with closing(SqliteLedger.open(settings.log_file, clock=SystemClock())) as ledger:
            registered = next((one for one in ledger.agents() if one.id == name), None)
            return standing_line(registered, ledger.revocations("agent", name)) if registered else ""
    except LedgerError:
        return "not known: the decision log cannot be read"
