"""From `hopward.toml` to a working guard. The only place where the parts are put together."""

import secrets
from pathlib import Path
from typing import Any, Literal

import msgspec

from hopward.chain import entered
from hopward.classification import Classifications, classified
from hopward.clock import SECOND, Clock, SystemClock
from hopward.config import read_settings
from hopward.errors import NotFoundError, StateError
from hopward.guard import Guard as _Guard
from hopward.identity import Identifier
from hopward.issuer import Issuer
from hopward.keys import KeyRing
from hopward.ledger import RowFilter, SqliteLedger
from hopward.model import Agent, Chain, Revocation, RevocationKind, Task, Tool, plain
from hopward.policies import LoggedPolicies, PolicyStore
from hopward.record import Draft
from hopward.redaction import Redaction
from hopward.settings import Settings


def _policy_set_logged(ledger: SqliteLedger) -> str:
    """The policy set that came into force last, as the log tells it; empty for a new log."""
    rows = ledger.rows(RowFilter(kind="policy"))
    return next((str(row.record["policy_set"]) for row in rows if row.record["event"] == "in_force"), "")


class Guard(_Guard):
    """The guard of one `hopward.toml`, with everything around it: tasks, revocation, callers, credentials.

    `Guard.open("hopward.toml")` is the way in. `settings`, `tools`, `ledger`, `issuer` and `policies` are
    the parts it was built from.
    """

    settings: Settings
    tools: tuple[Tool, ...]
    ledger: SqliteLedger
    issuer: Issuer
    policies: PolicyStore

    @classmethod
    def open(cls, path: str | Path, *, clock: Clock | None = None) -> "Guard":
        """Read the configuration, check everything, and stand ready to decide.

        Raises `ConfigError` listing every problem of configuration or policy, and `LedgerError` when the
        decision log cannot be opened. There is no partial start.
        """
        settings = read_settings(Path(path))
        clock = clock or SystemClock()
        tools = classified(settings.servers)
        policies = PolicyStore(settings.policies, tools, clock=clock)
        keyring = KeyRing.open(settings.keys_folder, clock=clock)
        ledger = SqliteLedger.open(settings.log_file, durability=settings.log.durability, clock=clock)
        issuer = Issuer(settings=settings, keyring=keyring, clock=clock)
        logged = LoggedPolicies(policies, ledger, clock, _policy_set_logged(ledger))
        logged.current()
        guard = cls(
            ledger=ledger,
            policies=logged,
            classifications=Classifications(tools),
            exchanger=issuer,
            agents=frozenset(settings.agents),
            redaction=Redaction(settings.log),
            clock=clock,
        )
        guard.settings, guard.tools, guard.ledger = settings, tools, ledger
        guard.issuer, guard.policies = issuer, policies
        guard._identifier = Identifier(keyring=keyring, issuer=settings.authority.issuer, clock=clock)
        guard._register()
        return guard

    _identifier: Identifier

    def identify(self, token: str, audience: str) -> Chain:
        """The chain a caller's access token (RFC 9068) presents at `audience`; raises `TokenError`.

        Standing is not looked at here: `authorize` does, on every call.
        """
        return self._identifier.identify(token, audience)

    def open_task(self, workflow: str, subject: str) -> Task:
        """Open a task of a configured workflow on behalf of `subject`.

        Raises `NotFoundError` for an unknown workflow, `StateError` when its agent is not active.
        """
        settings = self.settings.workflows.get(workflow)
        if settings is None:
            known = ", ".join(sorted(self.settings.workflows)) or "none"
            raise NotFoundError(
                f"There is no workflow {workflow!r}.", advice=f"Configured workflows: {known}"
            )
        if not subject.strip():
            raise StateError("A task needs a subject: the person or system it is done for.")
        agent = self.agent(settings.agent)
        if agent.state != "active":
            raise StateError(f"Agent {agent.id} is {agent.state}, so no task can be opened for it.")
        now = self._clock.now()
        task = Task(
            id="task_" + secrets.token_hex(12),
            subject=subject,
            agent=settings.agent,
            purpose=settings.purpose,
            workflow=workflow,
            capabilities=settings.capabilities,
            budget=settings.budget,
            opened_at=now,
            expires_at=now + settings.expires_in * SECOND,
            state="open",
        )
        self.ledger.put_task(task, self._task_draft(task, "opened"))
        return task

    def task(self, task_id: str) -> Task:
        """One task, with `expired` shown as its state once its time is over; raises `NotFoundError`."""
        task = self.ledger.task(task_id)
        if task.state == "open" and task.expires_at <= self._clock.now():
            return msgspec.structs.replace(task, state="expired")
        return task

    def enter(self, task_id: str) -> Chain:
        """The chain of a task's own agent in this process; raises `StateError` unless the task is open."""
        task = self.task(task_id)
        if task.state != "open":
            raise StateError(f"Task {task_id} is {task.state}.", advice="hopward task open starts a new one.")
        return entered(task)

    def complete_task(self, task_id: str) -> None:
        """End a task: its next call is refused. Raises `StateError` when it has ended already."""
        self._end_task(task_id, "completed", kind="task", record={"event": "completed"})

    def revoke(self, kind: RevocationKind, name: str, *, by: str, why: str) -> None:
        """Make a task, agent, subject, token (`jti`) or signing key (`kid`) stop counting from now on.

        Everything issued under it until now is refused at its next call, in every process on the machine. A
        signing key of this installation is withdrawn from the JWKS as well.
        """
        record = {"event": "revoked", "kind": kind, "id": name, "by": by, "why": why}
        if kind == "task":
            self._end_task(name, "revoked", kind="revocation", record=record)
            return
        if kind == "agent":
            self.agent(name)
        now = self._clock.now()
        revoked = Revocation(kind=kind, id=name, at=now, by=by, why=why)
        draft = Draft(kind="revocation", at=now, record=record, agent=name if kind == "agent" else "")
        self.ledger.revoke(revoked, draft)
        if kind == "key":
            self.issuer.withdraw(name, self.ledger)

    def agent(self, name: str) -> Agent:
        """One registered agent with its present state; raises `NotFoundError`."""
        if name not in self.settings.agents:
            agents = ", ".join(sorted(self.settings.agents)) or "none"
            raise NotFoundError(f"There is no agent {name!r}.", advice=f"Registered agents: {agents}")
        return self.ledger.agent(name)

    def close(self) -> None:
        """Close the decision log."""
        self.ledger.close()

    def _end_task(
        self,
        task_id: str,
        state: Literal["completed", "revoked"],
        *,
        kind: Literal["task", "revocation"],
        record: dict[str, Any],
    ) -> None:
        task = self.task(task_id)
        if task.state != "open":
            raise StateError(f"Task {task_id} is already {task.state}.")
        draft = Draft(kind=kind, at=self._clock.now(), record=record, task=task.id, agent=task.agent)
        self.ledger.set_task_state(task.id, state, draft)

    def _task_draft(self, task: Task, event: str) -> Draft:
        record = {"event": event, "task": plain(task)}
        return Draft(kind="task", at=task.opened_at, record=record, task=task.id, agent=task.agent)

    def _register(self) -> None:
        stored = {agent.id: agent for agent in self.ledger.agents()}
        for name, entry in self.settings.agents.items():
            known = stored.get(name)
            agent = Agent(
                id=name,
                owner=entry.owner,
                purpose=entry.purpose,
                state=known.state if known else "active",
                ceiling=entry.ceiling,
            )
            if agent != known:
                record = {"event": "registered", "agent": plain(agent)}
                draft = Draft(kind="agent", at=self._clock.now(), record=record, agent=name)
                self.ledger.put_agent(agent, draft)
