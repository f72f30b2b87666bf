"""Folders with a `hopward.toml`, policies, keys and a decision log, for the guards and proxies under test."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from bench.errors import BenchError
from hopward import Guard, Outcome, Task, ToolCall
from hopward.clock import SystemClock
from hopward.exchange import endpoint
from hopward.jwk import SigningKey
from hopward.keys import KeyRing
from hopward.ledger import RowFilter, SqliteLedger
from hopward.record import Draft
from hopward.wire import ExchangeForm

Durability: TypeAlias = Literal["process", "power"]

SERVER = "echo"
TOOL = "echo"
AGENT = "bench"
WORKFLOW = "bench"
SUBJECT = "person@example.com"
TEXT = "0123456789abcdef" * 64
"""The 1 KB argument of every measured call."""

_FRESH_SECONDS = 300.0

CALL = ToolCall(server=SERVER, tool=TOOL, arguments={"text": TEXT})

_COMPARED, _READ = 'text == "forbidden"', 'text like "*forbidden*"'

_APPLYING = (
    """@id("echo-may-be-called")
permit (principal, action in Hopward::Action::"read", resource in Hopward::Server::"echo")
when { resource.sensitivity != "restricted" };""",
    """@id("no-forbidden-text")
forbid (principal, action == Hopward::Action::"echo/echo", resource)
when { context.arguments has text && context.arguments.text == "forbidden" };""",
    """@id("budget-left")
forbid (principal, action, resource)
when { context.calls_left < 1 };""",
    """@id("few-hops")
forbid (principal, action, resource)
when { context.depth > 3 };""",
)


@dataclass(frozen=True, slots=True)
class Upstream:
    """How the proxy reaches the echo server, by command (stdio) or URL, and the port it listens at itself."""

    command: Sequence[str] = ("false",)
    url: str = ""
    port: int = 8701


@dataclass(frozen=True, slots=True)
class Shape:
    """What a project is like: policies in force, other tools classified, durability, authority.

    With `reading`, one of the policies looks into the argument instead of only comparing it, so that Cedar is
    asked anew for each call.
    """

    policies: int = 10
    tools: int = 9
    durability: Durability = "process"
    authority_port: int = 8700
    reading: bool = False


def create(folder: Path, upstream: Upstream, shapes: Mapping[str, Shape]) -> None:
    """Make a folder with keys, an empty decision log, and one configuration file per name in `shapes`.

    They share keys and log; `hopward.toml` is a good name where there is only one.
    """
    folder.mkdir(parents=True)
    keys = KeyRing.create(folder / ".hopward" / "keys", "ES256")
    agent_key = keys.create_agent_key(AGENT, "ES256")
    SqliteLedger.open(folder / ".hopward" / "decisions.db", clock=SystemClock(), create=True).close()
    for name, shape in shapes.items():
        policy_folder = folder / f"policies-{shape.policies}{'-reading' * shape.reading}"
        policy_folder.mkdir(exist_ok=True)
        (policy_folder / "bench.cedar").write_text(_policies(shape))
        (folder / name).write_text(_configuration(upstream, shape, policy_folder.name, agent_key))


class Caller:
    """An agent that calls over HTTP: it has a task, and a token for it that is renewed before it is over."""

    def __init__(self, config: Path) -> None:
        self._config = config
        self._task = ""
        self._renewed = 0.0
        self.token = ""
        self.renew()

    def renew(self) -> None:
        """See that the token is good for another while."""
        if self.token and time.monotonic() - self._renewed < _FRESH_SECONDS:
            return
        guard = Guard.open(self._config)
        try:
            task = guard.task(self._task) if self._task else guard.open_task(WORKFLOW, SUBJECT)
            self._task, self._renewed = task.id, time.monotonic()
            self.token = caller_token(guard, task)
            self.url = endpoint(guard.settings, SERVER)
        finally:
            guard.close()

    def current(self) -> str:
        """The token to send now."""
        return self.token


def caller_token(guard: Guard, task: Task | None = None) -> str:
    """A fresh access token for the echo server's endpoint: a task, exchanged by its agent (RFC 8693)."""
    task = task or guard.open_task(WORKFLOW, SUBJECT)
    form = ExchangeForm(
        subject_token=guard.issuer.task_token(task, guard.ledger).token,
        actor_token=guard.issuer.agent_token(AGENT, guard.ledger).token,
        target=endpoint(guard.settings, SERVER),
    )
    return guard.issuer.exchange(form, guard.issuer.clients[AGENT], guard.ledger).token


def example_rows(folder: Path) -> tuple[Draft, Draft, Draft]:
    """The decision, credential and outcome rows of one permitted call, as drafts without conditions."""
    create(folder, Upstream(), {"hopward.toml": Shape()})
    guard = Guard.open(folder / "hopward.toml")
    try:
        token = caller_token(guard)
        chain = guard.identify(token, endpoint(guard.settings, SERVER))
        decision = guard.authorize(CALL, chain)
        guard.settle(decision, Outcome(status="ok", duration=1_000, size=len(TEXT)))
        rows = list(guard.ledger.rows(RowFilter(decision=decision.id, oldest_first=True)))
    finally:
        guard.close()
    if [row.kind for row in rows] != ["decision", "credential", "outcome"] or not decision.permitted:
        raise BenchError(f"a permitted call left these rows: {[(row.kind, row.verdict) for row in rows]}")
    decided, minted, done = (
        Draft(
            kind=row.kind,  # pyright: ignore[reportArgumentType] - checked above
            at=decision.at,
            record=row.record,
            task=row.task,
            agent=row.agent,
            server=row.server,
            tool=row.tool,
            verdict=row.verdict,
            reason=row.reason,
            decision=row.decision,
        )
        for row in rows
    )
    return decided, minted, done


def _policies(shape: Shape) -> str:
    """Four policies that a call of the echo tool is put to, and others, each about one of the other tools."""
    others = [
        f'@id("tool-{index}")\n'
        f"{'permit' if index % 2 else 'forbid'} "
        f'(principal, action == Hopward::Action::"{SERVER}/tool_{index % shape.tools}", resource)\n'
        f'when {{ context.purpose == "purpose {index}" || context.subject == "person-{index}@example.com" }};'
        for index in range(shape.policies - len(_APPLYING))
    ]
    applying = [text.replace(_COMPARED, _READ) for text in _APPLYING] if shape.reading else _APPLYING
    return "\n\n".join([*applying, *others]) + "\n"


def _configuration(upstream: Upstream, shape: Shape, policies: str, agent_key: SigningKey) -> str:
    if upstream.url:
        reach = f'url = "{upstream.url}"\ncredential = {{ by = "authorization" }}'
    else:
        reach = f'command = {json.dumps(list(upstream.command))}\ncredential = {{ by = "meta" }}'
    others = "\n".join(_classification(f"tool_{index}") for index in range(shape.tools))
    return f"""\
policies = "{policies}"

[authority]
issuer = "http://127.0.0.1:{shape.authority_port}"
listen = "127.0.0.1:{shape.authority_port}"

[log]
durability = "{shape.durability}"

[proxy]
listen = "127.0.0.1:{upstream.port}"
public_url = "http://127.0.0.1:{upstream.port}"

[agents.{AGENT}]
owner = "owner@example.com"
purpose = "Measures what a call costs"
key = {_inline(agent_key.public_jwk())}
ceiling = [{_CAPABILITY}]

[workflows.{WORKFLOW}]
agent = "{AGENT}"
purpose = "Echo"
expires_in = 86400
budget = {{ calls = 1000000000, writes = 0 }}
capabilities = [{_CAPABILITY}]

[servers.{SERVER}]
{reach}
resource = "urn:bench:echo"
workflow = "{WORKFLOW}"

{_classification(TOOL, 'text = "string"')}
{others}
"""


_CAPABILITY = (
    '{ tools = ["echo/*"], actions = ["read"], sensitivity = "internal", destinations = ["echo"], '
    'constraints = { text = [{ kind = "length", minimum = 1, maximum = 100000 }] } }'
)


def _classification(tool: str, arguments: str = "") -> str:
    return f"""\
[servers.{SERVER}.tools.{tool}]
action = "read"
sensitivity = "internal"
integrity = "trusted"
destination = "echo"
arguments = {{ {arguments} }}
"""


def _inline(table: Mapping[str, Any]) -> str:
    """A flat table in TOML's inline form."""
    return "{ " + ", ".join(f"{name} = {json.dumps(value)}" for name, value in table.items()) + " }"
