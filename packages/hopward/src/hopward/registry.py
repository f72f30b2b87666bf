"""Registered agents and their states: what `hopward.toml` says of them, and what a person has said since."""

from collections.abc import Callable
from typing import Any

import msgspec

from hopward.clock import DAY, Clock, Instant, iso
from hopward.containing import require_person, require_told
from hopward.errors import NotFoundError, StateError
from hopward.ledger import SqliteLedger
from hopward.model import Agent, AgentState, Chain, plain
from hopward.oversight import REVIEWED
from hopward.record import Draft
from hopward.settings import AgentSettings, Settings

_AGENT_ROUNDS = 64
"""Likewise an agent: more often, since tasks are opened all the time and stopping one must succeed."""

_EVENTS: dict[AgentState, str] = {"active": "resumed", "suspended": "suspended", "retired": "retired"}


class Registry:
    """The part of a `Guard` that knows the agents of its configuration."""

    settings: Settings
    ledger: SqliteLedger
    _clock: Clock

    def set_agent_state(self, name: str, state: AgentState, *, by: str, why: str) -> None:
        """Suspend an agent, let it go on (`active`), or retire it, which is final.

        Unless it is active, every call of a chain with it is refused, in every process on the machine, and no
        task is opened for it. Raises `NotFoundError` for an unknown agent, `StateError` where there is
        nothing to change or the agent is retired.
        """
        self.agent(name)
        record = {"event": _EVENTS[state], "agent": name, "by": by, "why": why}
        self._put_agent(name, lambda known: _moved(name, known, state), lambda _: record)

    def review_agent(self, name: str, *, by: str, why: str, until: Instant | None = None) -> Instant:
        """Record that a person has looked at an agent and lets it go on; until when that counts.

        Not longer than `review_days` of the agent, nor at all without either. Raises `NotFoundError`,
        and `StateError` for a retired agent, a `by` that is no person's name, and without a `why`.
        """
        agent, now = self.agent(name), self._clock.now()
        require_told(by, why)
        require_person(by, {*self.settings.agents, name}, "only a person reviews an agent")
        if agent.state == "retired":
            raise StateError(f"Agent {name} is retired, so there is nothing to review.")
        days = self.settings.agents[name].review_days
        latest = now + days * DAY if days else until
        if latest is None:
            told = f"Nothing says how long a review of agent {name} counts."
            raise StateError(told, advice=f"--until DATE, or review_days in [agents.{name}].")
        counts = latest if until is None else until
        if not now < counts <= latest:
            least = "a day to come" + (f", {days} days ahead at most" if days else "")
            raise StateError(f"A review counts until {least}.")
        record = {"event": REVIEWED, "agent": name, "by": by, "why": why, "until": iso(counts)}
        self.ledger.record([Draft(kind="agent", at=now, record=record, agent=name)])
        return counts

    def transfer_agent(self, name: str, owner: str, *, by: str, why: str) -> Agent:
        """Record that somebody else answers for an agent from now on; `hopward.toml` must say so too, or the
        next start takes it back. Raises `NotFoundError`, `StateError` without a name, a reason, a change."""
        before = self.agent(name)
        require_told(by, why)
        if before.owner == owner:
            raise StateError(f"{owner} answers for agent {name} already.")
        record = {"event": "transferred", "agent": name, "from": before.owner, "to": owner}
        record |= {"by": by, "why": why}
        self._put_agent(name, lambda known: _owned(name, known, owner), lambda _: record)
        return self.agent(name)

    def key_revoked(self, kid: str) -> bool:
        """Whether a key has been revoked. Raises `LedgerError`."""
        return bool(self.ledger.revocations("key", kid))

    def agent(self, name: str) -> Agent:
        """One registered agent with its present state; raises `NotFoundError`."""
        if name not in self.settings.agents:
            agents = ", ".join(sorted(self.settings.agents)) or "none"
            raise NotFoundError(f"There is no agent {name!r}.", advice=f"Registered agents: {agents}")
        return self.ledger.agent(name)

    def register(self) -> None:
        """Have the log tell each agent that is new, or whose entry has changed."""
        stored = {agent.id: agent for agent in self.ledger.agents()}
        for name, entry in self.settings.agents.items():
            if _entered(name, entry, stored.get(name)) != stored.get(name):
                self._put_agent(
                    name,
                    lambda known, name=name, entry=entry: _entered(name, entry, known),
                    lambda agent: {"event": "registered", "agent": plain(agent)},
                )

    def _put_agent(
        self,
        name: str,
        change: Callable[[Agent | None], Agent],
        record: Callable[[Agent], dict[str, Any]],
    ) -> None:
        """Store what `change` makes of the agent as it stands, so that no change made meanwhile is undone."""
        for _ in range(_AGENT_ROUNDS):
            # Only the standing of the one agent is asked for; there is no such task.
            alone = Chain(task="", subject="", actors=(name,), issued_at=0, expires_at=0, scope=())
            standing = self.ledger.standing(alone)
            known = standing.agents.get(name)
            agent = change(known)
            if agent == known:
                return
            now = self._clock.now()
            draft = Draft(kind="agent", at=now, record=record(agent), agent=name, epoch=standing.epoch)
            if not self.ledger.put_agent(agent, draft).refused:
                return
        raise StateError(f"Agent {name} was not changed: standing changed meanwhile.", advice="Try again.")


def _entered(name: str, entry: AgentSettings, known: Agent | None) -> Agent:
    """The agent as configured, in the state it has: only a person changes that."""
    return entry.registered(name, known.state if known else "active")


def _moved(name: str, known: Agent | None, state: AgentState) -> Agent:
    if known is None:
        raise NotFoundError(f"There is no agent {name!r}.")
    if known.state == state:
        raise StateError(f"Agent {name} is already {state}.")
    if known.state == "retired":
        raise StateError(f"Agent {name} is retired, which is final.", advice=way_back(known))
    return msgspec.structs.replace(known, state=state)


def _owned(name: str, known: Agent | None, owner: str) -> Agent:
    if known is None:
        raise NotFoundError(f"There is no agent {name!r}.")
    return msgspec.structs.replace(known, owner=owner)


def way_back(agent: Agent) -> str:
    """What can be done where an agent is not active."""
    if agent.state == "suspended":
        return f'hopward agent resume {agent.id} --why "..." lets it go on.'
    return "hopward agent add registers another one, under a name of its own."
