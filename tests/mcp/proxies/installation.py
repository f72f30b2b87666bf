"""A guarded installation in a folder: hopward.toml, policies, keys, decision log, all real."""

import json
import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from hopward import Guard
from hopward.cli import verbs
from hopward.clock import Clock
from hopward.wire import ExchangeForm

RECORDING = Path(__file__).with_name("recording_stdio.py")

AGENT = """\
[authority]
{authority}

[approvals.groups.operators]
members = ["local:carol"]

[proxy]
{proxy}

[agents.assistant]
owner = "ana@example.com"
purpose = "Answers support tickets"
ceiling = [
    {{ tools = {tools}, actions = ["read", "pay"], sensitivity = "internal", destinations = ["desk"] }},
]

[workflows.tickets]
agent = "assistant"
purpose = "Answer one ticket"
expires_in = 3600
budget = {{ calls = 1000, writes = 100 }}

[[workflows.tickets.capabilities]]
tools = {tools}
actions = ["read", "pay"]
sensitivity = "internal"
destinations = ["desk"]
constraints = {{ amount = [{{ kind = "range", minimum = 0, maximum = 50 }}] }}

[[workflows.tickets.capabilities]]
tools = {tools}
actions = ["read"]
sensitivity = "internal"
destinations = ["desk"]
"""

SERVER = """
[servers.{name}]
{transport}
resource = "urn:example:{name}"
credential = {credential}
workflow = "tickets"
client_notifications = ["notifications/acme/opened"]
server_notifications = ["acme/ticked"]
"""

ENTRY = """
[servers.{server}.{group}.{tool}]
action = "{action}"
sensitivity = "internal"
integrity = "trusted"
destination = "desk"
"""

READABLE = (
    "echo",
    "fail",
    "broken",
    "slow",
    "die",
    "flood",
    "garbage",
    "ask",
    "twice",
    "env",
    "stream",
    "repeat",
    "resumable",
    "torn",
    "greet",
    "pair",
    "torrent",
    "pester",
    "later",
)


def classified(server: str) -> str:
    """Every tool of the recording servers; `refund` pays, `hidden` is classified but in no task."""
    entries = [ENTRY.format(server=server, group="tools", tool=tool, action="read") for tool in READABLE]
    entries.append(ENTRY.format(server=server, group="tools", tool="refund", action="pay"))
    entries.append(ENTRY.format(server=server, group="tools", tool="hidden", action="delete"))
    groups = (
        ("mcp_resources", '"ticket://*"'),
        ("prompts", "summary"),
        ("server_requests", '"roots/list"'),
    )
    for group, name in groups:
        entries.append(ENTRY.format(server=server, group=group, tool=name, action="read"))
    return "".join(entries)


EMBEDDED = 'issuer = "http://127.0.0.1:8700"'


def install(folder: Path, servers: str, *, proxy: str = "", authority: str = EMBEDDED) -> Path:
    """Write hopward.toml with these servers and make everything else `hopward init` makes."""
    config = folder / "hopward.toml"
    names = re.findall(r"^\[servers\.(\w+)\]", servers, re.MULTILINE)
    tools = json.dumps([f"{name}/*" for name in names])
    config.write_text(AGENT.format(authority=authority, proxy=proxy, tools=tools) + servers)
    done = CliRunner().invoke(verbs, ["init", "--folder", str(folder)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return config


def stdio_server(record: Path, name: str = "desk", credential: str = '{ by = "meta" }') -> str:
    """A `[servers.NAME]` that starts the recording server."""
    transport = f"command = ['{sys.executable}', '{RECORDING}', '{record}']"
    return SERVER.format(name=name, transport=transport, credential=credential) + classified(name)


def http_server(url: str, name: str = "desk", credential: str = '{ by = "authorization" }') -> str:
    """A `[servers.NAME]` with a url."""
    return SERVER.format(name=name, transport=f'url = "{url}"', credential=credential) + classified(name)


@contextmanager
def opened(config: Path, clock: Clock | None = None, *, as_authority: bool = False) -> Iterator[Guard]:
    """The guard of an installation."""
    guard = Guard.open(config, clock=clock, as_authority=as_authority)
    try:
        yield guard
    finally:
        guard.close()


def caller_token(
    guard: Guard, server: str, subject: str = "alice", scope: tuple[str, ...] = ()
) -> tuple[str, str]:
    """A token for a server's endpoint and the new task it stands for."""
    task = guard.open_task("tickets", subject)
    issuer, ledger = guard.issuer, guard.ledger
    subject_token, actor_token = issuer.task_token(task, ledger), issuer.agent_token(task.agent, ledger)
    resource = f"{guard.settings.proxy.public_url}/{server}/mcp"
    form = ExchangeForm(
        subject_token=subject_token.token, actor_token=actor_token.token, target=resource, scope=scope
    )
    return issuer.exchange(form, issuer.clients[task.agent], ledger).token, task.id


def rows(guard: Guard, kind: str) -> list[Any]:
    """The rows of one kind in the decision log, oldest first."""
    return [row for row in reversed(list(guard.ledger.rows())) if row.kind == kind]


def hopward(config: Path, *words: str) -> list[str]:
    """The command line of the installed `hopward`."""
    return [str(Path(sysconfig.get_path("scripts")) / "hopward"), "--config", str(config), *words]


def environment(**changes: str) -> dict[str, str]:
    """This process's environment without variables that would change what a test sees."""
    return {key: value for key, value in os.environ.items() if not key.startswith("HOPWARD")} | changes


def started(config: Path, *words: str, **changes: str) -> "subprocess.Popen[bytes]":
    """A running `hopward` with pipes on all three streams."""
    return subprocess.Popen(
        hopward(config, *words),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(**changes),
    )
