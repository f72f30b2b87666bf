"""A chain of a task as it stands now, for questions about what would be decided. Nothing is written."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

from msgspec import structs

from hopward.behaviour import Risk, States, Watching, attempt
from hopward.chain import entered
from hopward.clock import Instant, SystemClock
from hopward.delegation import led, together
from hopward.errors import NotFoundError
from hopward.ledger import SqliteLedger
from hopward.model import Agent, Chain, Hop, Task
from hopward.record import Refusal, Spent, Standing
from hopward.revocation import why_fallen
from hopward.settings import Settings
from hopward.thresholds import RiskSettings


@dataclass(frozen=True, slots=True)
class Moment:
    """A chain, all it stands on, and why it no longer counts (None if it does).

    Agents are as `hopward.toml` has them now, in the state that the ledger has them in. `stood` asks the
    ledger which digests are of values that stood in the results of a task, `spent` what tasks and hops have
    used, `states` are what detectors remember, `rules` how they judge.
    """

    task: Task
    chain: Chain
    standing: Standing
    fallen: Refusal | None
    at: Instant
    stood: Callable[[str, frozenset[str]], frozenset[str]]
    spent: Callable[[Sequence[str], Sequence[str]], Spent]
    states: States
    rules: RiskSettings

    def risk(self, tool: str, digest: str, places: Sequence[str] = ()) -> Risk:
        """How the agent has been behaving, had it asked for this just now."""
        asking = attempt(self.at, tool, digest, places)
        return Watching((self.chain.actor, self.task.id), self.states, asking, self.rules).risk


@dataclass(frozen=True, slots=True)
class Place:
    """Whose question it is: a task's own agent, or one that holds a hop of it. Empty means not said.

    `to` is the agent that work would be handed to.
    """

    task: str
    hop: str = ""
    agent: str = ""
    to: str = ""


def configured(settings: Settings) -> dict[str, Agent]:
    """The agents of `hopward.toml`, as if all were active."""
    return {name: one.registered(name) for name, one in settings.agents.items()}


def find_moment(settings: Settings, place: Place) -> Moment:
    """The chain at a place, as of now. Raises `NotFoundError` where there is no such task or hop."""
    clock = SystemClock()
    with closing(SqliteLedger.open(settings.log_file, clock=clock)) as ledger:
        task = ledger.task(place.task or ledger.hop(place.hop).task)
        chain = _chain(task, {hop.id: hop for hop in ledger.hops(task.id)}, place)
        standing = ledger.standing(together(chain, place.to) if place.to else chain)
        states = ledger.behaviour(chain.actor, task.id)
        now = clock.now()
    agents = configured(settings)
    missing = [name for name in chain.actors if name not in agents]
    fallen = why_fallen(standing, chain, now)
    if missing:
        fallen = ("agent_unregistered", f"Agent {', '.join(missing)} is not registered.")
    standing = structs.replace(standing, agents=_in_state(agents, standing.agents))

    def stood(task_id: str, values: frozenset[str]) -> frozenset[str]:
        with closing(SqliteLedger.open(settings.log_file, clock=clock)) as again:
            return again.stood(task_id, values)

    def spent(accounts: Sequence[str], places: Sequence[str]) -> Spent:
        with closing(SqliteLedger.open(settings.log_file, clock=clock)) as again:
            return again.spent(accounts, places)

    return Moment(task, chain, standing, fallen, now, stood, spent, states, settings.risk)


def _in_state(agents: Mapping[str, Agent], known: Mapping[str, Agent]) -> dict[str, Agent]:
    states = {name: agent.state for name, agent in known.items()}
    return {
        **known,
        **{name: structs.replace(one, state=states.get(name, one.state)) for name, one in agents.items()},
    }


def _chain(task: Task, hops: Mapping[str, Hop], place: Place) -> Chain:
    if not place.hop and place.agent in ("", task.agent):
        return entered(task)
    held = [
        hop for hop in hops.values() if hop.id == place.hop or (not place.hop and hop.agent == place.agent)
    ]
    if not held:
        what = f"hop {place.hop}" if place.hop else f"hop to agent {place.agent!r}"
        raise NotFoundError(
            f"There is no {what} in task {task.id}.",
            advice="Ask without --task about what the policies alone say.",
        )
    # The one opened last, and one that still counts before those that are completed.
    last = max(held, key=lambda hop: (hop.state == "open", hop.opened_at))
    path = [last]
    while path[-1].parent:
        path.append(hops[path[-1].parent])
    return led(task, reversed(path))
