"""Runs every feature in every cell, all cells side by side, and says what became of each."""

import asyncio
import json
import sys
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from tests.e2e.project import HOPWARD, ROOT, Project
from tests.e2e.running import Running
from tests.e2e.served import Serve, ended, free_port

from hopward import Guard
from hopward.wire import ExchangeForm

from . import checks, offers
from .cells import Cell
from .feature import FEATURES, DiffersError, Feature, difference
from .talk import PATIENCE, Talk, over_http, over_stdio

assert checks.ORDER
MODULE = "tests.mcp.probe.server"
KINDS = ("both", "older", "modern")
WORKS = "works"


@dataclass
class Saw:
    """What one cell has seen: by the name of a feature what its check returned, or how it differs."""

    seen: dict[str, Any] = field(default_factory=dict)
    differs: dict[str, str] = field(default_factory=dict)
    wire: list[tuple[str, dict[str, Any]]] = field(default_factory=list)


def verdict(one: Feature, cell: Cell, seen: Mapping[Cell, Saw]) -> str:
    """`works`, or how what a cell saw differs from what it is to see."""
    saw = seen[cell]
    if one.name in saw.differs:
        return saw.differs[one.name]
    if not cell.pair:
        return WORKS
    direct = seen[one.directly(cell)]
    if one.name in direct.differs:
        return f"directly: {direct.differs[one.name]}"
    wanted = one.guarded(direct.seen[one.name], cell)
    found = difference(one.bridged(wanted, cell) if cell.bridged else wanted, saw.seen[one.name], "it")
    return found or WORKS


CONFIG = """\
[approvals.groups.operators]
members = ["local:carol"]

[authority]
issuer = "http://127.0.0.1:8700"

[proxy]
listen = "{address}"
public_url = "http://{address}"
call_timeout_seconds = 60
process_idle_seconds = 600

[agents.prober]
owner = "ana@example.com"
purpose = "Tries every feature"

[[agents.prober.ceiling]]
tools = {every}
actions = ["read"]
sensitivity = "internal"
destinations = ["probe"]

[workflows.probing]
agent = "prober"
purpose = "Try every feature"
expires_in = 3600
budget = {{ calls = 100000, writes = 0 }}

[[workflows.probing.capabilities]]
tools = {shown}
actions = ["read"]
sensitivity = "internal"
destinations = ["probe"]
"""

SERVER = """
[servers.{name}]
{reached}
resource = "urn:example:{name}"
workflow = "probing"
client_notifications = ["notifications/example.com/tell"]
server_notifications = ["notifications/example.com/told"]

[servers.{name}.tools]
{tools}

[servers.{name}.mcp_resources]
"probe://*" = {classified}
"secret://*" = {classified}

[servers.{name}.prompts]
rich = {classified}
asking = {classified}
hidden = {classified}

[servers.{name}.server_requests]
"sampling/createMessage" = {classified}
"elicitation/create" = {classified}
"roots/list" = {classified}
"example.com/ask" = {classified}

[servers.{name}.vendor_methods]
"example.com/echo" = {classified}
"""
CLASSIFIED = '{ action = "read", sensitivity = "internal", integrity = "trusted", destination = "probe" }'


def _server(name: str, reached: str) -> str:
    names = [offers.RICH["name"], *offers.PLAIN, offers.HIDDEN]
    tools = "\n".join(f"{one} = {CLASSIFIED}" for one in names)
    return SERVER.format(name=name, reached=reached, tools=tools, classified=CLASSIFIED)


def _shown(name: str) -> list[str]:
    """Everything of a server that a task reaches: all but what is hidden."""
    prompts = [f"{name}/prompt:rich", f"{name}/prompt:asking"]
    tools = [f"{name}/{one}" for one in (offers.RICH["name"], *offers.PLAIN)]
    return [*tools, *prompts, f"{name}/resource:probe://*", f"{name}/request:*", f"{name}/vendor:*"]


def words(kind: str) -> list[str]:
    """The command of a server over stdio."""
    return [sys.executable, "-m", MODULE, kind]


@dataclass
class Place:
    """The processes that all cells use: the probe's server on HTTP, and the proxy in front of it."""

    project: Project
    url: str
    guard: Guard

    @asynccontextmanager
    async def session(self, cell: Cell) -> AsyncGenerator[Talk]:
        """A session as a cell has it."""
        key, eras = cell.name, (cell.client, cell.offered)
        if cell.speaks == "http":
            url, token = f"{self.url}/{cell.kind}/mcp", ""
            if cell.pair:
                url, token = self.project.endpoint(cell.server_name), self.token(cell.server_name)
            async with over_http(eras, key, url, token) as talk:
                yield talk
            return
        command = words(cell.kind)
        if cell.pair:
            command = [str(HOPWARD), "--config", str(self.project.config), "mcp", "run", cell.server_name]
        said = self.project.folder / f"{key}.txt"
        with said.open("w", encoding="utf-8") as log:
            async with over_stdio(eras, key, command, log) as talk:
                yield talk

    def token(self, server: str) -> str:
        """An access token for an endpoint, for a task of its own."""
        issuer, ledger = self.guard.issuer, self.guard.ledger
        task = self.guard.open_task("probing", "ana@example.com")
        subject_token, actor_token = issuer.task_token(task, ledger), issuer.agent_token(task.agent, ledger)
        resource = self.project.endpoint(server)
        form = ExchangeForm(subject_token=subject_token.token, actor_token=actor_token.token, target=resource)
        return issuer.exchange(form, issuer.clients[task.agent], ledger).token


@contextmanager
def place(folder: Path, kinds: Sequence[str] = KINDS) -> Iterator[Place]:
    """Everything that has to be there before the first session, running."""
    port = free_port()
    with ended(Running([sys.executable, "-m", MODULE, "--http", str(port)], ROOT)) as server:
        url = f"http://127.0.0.1:{port}"
        names = [f"{kind}_{transport}" for kind in kinds for transport in ("stdio", "http")]
        shown = json.dumps([one for name in names for one in _shown(name)])
        every = json.dumps([f"{name}/*" for name in names])
        text = CONFIG.format(address=f"127.0.0.1:{free_port()}", every=every, shown=shown)
        for kind in kinds:
            directory = f"command = {json.dumps(words(kind))}\ndirectory = {json.dumps(str(ROOT))}"
            text += _server(f"{kind}_stdio", f'{directory}\ncredential = {{ by = "meta" }}')
            reached = f'url = "{url}/{kind}/mcp"\ncredential = {{ by = "authorization" }}'
            text += _server(f"{kind}_http", reached)
        project = Project(folder)
        project.config.write_text(text, "utf-8")
        project.hopward("init")
        server.wait_for("listening")
        with ended(Serve(project)), closing(Guard.open(project.config)) as guard:
            yield Place(project, url, guard)


async def probe(place: Place, cell: Cell) -> Saw:
    """Every feature that a cell has, one after the other in one session."""
    saw, has = Saw(), [one for one in FEATURES if one.applies(cell)]
    try:
        async with place.session(cell) as talk:
            for one in has:
                await _check(one, talk, saw)
            saw.wire = talk.wire
    except* DiffersError as differs:
        saw.differs = dict.fromkeys((one.name for one in has), f"it does not begin: {leaf(differs)}")
    return saw


def leaf(group: BaseExceptionGroup[DiffersError]) -> BaseException:
    """The first exception that is no group."""
    first = group.exceptions[0]
    return leaf(first) if isinstance(first, BaseExceptionGroup) else first


async def _check(one: Feature, talk: Talk, saw: Saw) -> None:
    try:
        async with asyncio.timeout(2 * PATIENCE):
            saw.seen[one.name] = json.loads(json.dumps(await one.check(talk)))
    except DiffersError as differs:
        saw.differs[one.name] = str(differs)
    except (httpx2.HTTPError, TimeoutError) as error:
        saw.differs[one.name] = f"it did not end: {type(error).__name__}"
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        saw.differs[one.name] = f"it cannot be read: {type(error).__name__}: {error}"


async def probed(place: Place, cells: Sequence[Cell]) -> dict[Cell, Saw]:
    """What every cell has seen."""
    found = await asyncio.gather(*(probe(place, cell) for cell in cells))
    return dict(zip(cells, found, strict=True))
