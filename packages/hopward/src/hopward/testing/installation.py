"""A small installation with real keys and a real decision log, for tests of tokens and exchanges.

Two servers, `desk` and `files`; two agents, `helper` and `other`; one workflow each, `support` and `filing`,
whose tasks reach everything at both servers.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hopward.clock import SECOND
from hopward.issuer import Issuer
from hopward.jwk import Algorithm, SigningKey
from hopward.keys import KeyRing
from hopward.ledger import SqliteLedger
from hopward.model import Agent, Budget, Capability, Revocation, RevocationKind, Task, TaskState
from hopward.settings import (
    AgentSettings,
    AuthoritySettings,
    Delivery,
    LogSettings,
    ProxySettings,
    ServerSettings,
    Settings,
    WorkflowSettings,
)
from hopward.testing.clock import FixedClock
from hopward.testing.samples import NOTE

ISSUER = "https://authority.example"
PROXY_URL = "https://proxy.example"
DESK = "https://proxy.example/desk/mcp"
FILES = "https://proxy.example/files/mcp"
DESK_UPSTREAM = "https://desk.example/mcp"
FILES_UPSTREAM = "urn:example:files"

EVERYTHING = Capability(
    tools=("desk/*", "files/*"),
    actions=("read", "write", "pay"),
    sensitivity="confidential",
    destinations=("*",),
)


def some_settings(root: Path, keys: dict[str, SigningKey]) -> Settings:
    """The settings of the installation; `keys` are the agents' own."""
    budget = Budget(calls=100, writes=100)
    return Settings(
        root=root,
        state=root / "state",
        policies=root / "policies",
        authority=AuthoritySettings(issuer=ISSUER),
        log=LogSettings(),
        proxy=ProxySettings(public_url=PROXY_URL),
        agents={
            name: AgentSettings(
                owner="ops",
                purpose="help",
                ceiling=(EVERYTHING,),
                delegable=(EVERYTHING,),
                key=key.public_jwk(),
            )
            for name, key in keys.items()
        },
        servers={
            "desk": ServerSettings(
                resource=DESK_UPSTREAM,
                credential=Delivery(by="authorization"),
                url="https://desk.example/mcp",
            ),
            "files": ServerSettings(
                resource=FILES_UPSTREAM, credential=Delivery(by="meta"), command=("files-server",)
            ),
        },
        workflows={
            name: WorkflowSettings(
                agent=agent, purpose=name, expires_in=3600, budget=budget, capabilities=(EVERYTHING,)
            )
            for name, agent in (("support", "helper"), ("filing", "other"))
        },
    )


@dataclass(slots=True)
class Installation:
    """The parts, and short ways to change what stands in the ledger."""

    settings: Settings
    clock: FixedClock
    keyring: KeyRing
    ledger: SqliteLedger
    issuer: Issuer
    keys: dict[str, SigningKey]

    def open_task(self, agent: str = "helper", subject: str = "alice", *, seconds: int = 3600) -> Task:
        """An open task for an agent."""
        now = self.clock.now()
        task = Task(
            id="task_" + secrets.token_hex(4),
            subject=subject,
            agent=agent,
            purpose="help",
            workflow="support",
            capabilities=(EVERYTHING,),
            budget=Budget(calls=100, writes=100),
            opened_at=now,
            expires_at=now + seconds * SECOND,
            state="open",
            delegable=(EVERYTHING,),
            depth=2,
            fan_out=2,
        )
        self.ledger.put_task(task, NOTE)
        return task

    def end_task(self, task: Task, state: TaskState) -> None:
        """Complete or revoke a task."""
        self.ledger.set_task_state(task.id, state, NOTE)

    def put_agent(self, agent: Agent) -> None:
        """Register or change an agent."""
        self.ledger.put_agent(agent, NOTE)

    def revoke(self, kind: RevocationKind, name: str) -> None:
        """Revoke something as of now."""
        revocation = Revocation(kind=kind, id=name, at=self.clock.now(), by="bob", why="a test")
        self.ledger.revoke(revocation, NOTE)

    def restarted(self) -> "Installation":
        """The same installation in a new process, as it were: everything read again from the disk."""
        self.ledger.close()
        return _opened(self.settings, self.clock, self.keys)


def an_installation(
    root: Path, agents: Sequence[str] = ("helper", "other"), algorithm: Algorithm = "ES256"
) -> Installation:
    """A new installation in an empty folder, its agents registered."""
    keys = {name: SigningKey.generate(algorithm) for name in agents}
    settings = some_settings(root, keys)
    KeyRing.create(settings.state / "keys", algorithm)
    installation = _opened(settings, FixedClock(), keys)
    for name in keys:
        agent = Agent(
            id=name,
            owner="ops",
            purpose="help",
            state="active",
            ceiling=(EVERYTHING,),
            delegable=(EVERYTHING,),
        )
        installation.put_agent(agent)
    return installation


def _opened(settings: Settings, clock: FixedClock, keys: dict[str, SigningKey]) -> Installation:
    keyring = KeyRing.open(settings.state / "keys", clock=clock)
    ledger = SqliteLedger.open(settings.state / "decisions.db", clock=clock, create=True)
    issuer = Issuer(settings=settings, keyring=keyring, clock=clock)
    return Installation(settings, clock, keyring, ledger, issuer, keys)
