"""Registered agents and their states: what `hopward.toml` says of them, and what a person has said since."""

from collections.abc import Callable
from typing import Any

import msgspec

from hopward.clock import Clock
from hopward.errors import NotFoundError, StateError
from hopward.ledger import SqliteLedger
from hopward.model import Agent, AgentState, Chain, plain
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


def way_back(agent: Agent) -> str:
    """What can be done where an agent is not active."""
    if agent.state == "suspended":
        return f'hopward agent resume {agent.id} --why "..." lets it go on.'
    return "hopward agent add registers another one, under a name of its own."
