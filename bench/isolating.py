"""The group `isolation`: what calls to one server cost beside callers of another, which is slow, dead or mad.

One `hopward mcp serve` guards both. Each neighbour is measured in pairs: a round alone, a round beside it.
"""

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

from bench.bad_server import BEHAVIOURS
from bench.context import Context
from bench.errors import BenchError
from bench.processes import Service, free_port
from bench.project import (
    AGENT,
    SERVER,
    SUBJECT,
    TEXT,
    WORKFLOW,
    Caller,
    Shape,
    Upstream,
    create,
)
from bench.rawclient import RawHttp
from bench.results import Entry, Rounds
from bench.routes import Workbench, hopward_command
from bench.stats import percentile
from hopward import Guard
from hopward.exchange import endpoint
from hopward.wire import ExchangeForm

GROUP = "isolation"
NEIGHBOURS = tuple(BEHAVIOURS)
_CALLERS = 4
_WARM_UP = 10
_BAD = """
[servers.{name}]
url = "http://127.0.0.1:{port}/mcp"
credential = {{ by = "authorization" }}
resource = "urn:bench:{name}"

[servers.{name}.tools.echo]
action = "read"
sensitivity = "internal"
integrity = "trusted"
destination = "echo"
"""
_POLICY = """
@id("bad-servers-may-be-called")
permit (principal, action in Hopward::Action::"read", resource)
unless { resource in Hopward::Server::"echo" };
"""


def measure(context: Context) -> list[Entry]:
    """Two entries per neighbour: alone, and beside it."""
    return asyncio.run(_measure(context))


async def _measure(context: Context) -> list[Entry]:
    bench, plan = Workbench(context.folder, context.era, context.plan.clients), context.plan
    async with AsyncExitStack() as stack:
        ports = {name: free_port() for name in NEIGHBOURS}
        for name, port in ports.items():
            command = bench.script("bad_server.py", str(port), name)
            stack.callback(Service(command, port, bench.folder / f"{GROUP}-{name}.log").stop)
        config = _guarded(bench, ports, stack)
        caller = Caller(config)
        session = await RawHttp.open(caller.url, bench.era, caller.current)
        stack.push_async_callback(session.close)
        rounds = {f"{how} {name}": Rounds() for name in NEIGHBOURS for how in ("before", "beside")}
        context.expect(len(rounds) * plan.rounds)
        for number in range(plan.rounds):
            first = number % len(NEIGHBOURS)
            for name in [*NEIGHBOURS[first:], *NEIGHBOURS[:first]]:
                caller.renew()
                context.step(f"{GROUP}: before {name}")
                await _calls(session, plan.burst, rounds[f"before {name}"])
                context.step(f"{GROUP}: beside {name}")
                with _pestered(config, name, bench.era):
                    await _calls(session, plan.burst, rounds[f"beside {name}"])
    return [found.entry(GROUP, name) for name, found in rounds.items()]


def _guarded(bench: Workbench, ports: dict[str, int], stack: AsyncExitStack) -> Path:
    """A running `hopward mcp serve` before a good server and all the bad ones; its configuration."""
    good, port, folder = free_port(), free_port(), bench.folder / GROUP
    command = bench.echo_command(bench.folder / f"{GROUP}.pids", port=good, credential=True)
    stack.callback(Service(command, good, bench.folder / f"{GROUP}-server.log").stop)
    create(folder, Upstream(url=f"http://127.0.0.1:{good}/mcp", port=port), {"hopward.toml": Shape()})
    config = folder / "hopward.toml"
    tools = ", ".join(f'"{name}/*"' for name in (SERVER, *ports))
    text = config.read_text().replace(f'tools = ["{SERVER}/*"]', f"tools = [{tools}]")
    config.write_text(text + "".join(_BAD.format(name=name, port=at) for name, at in ports.items()))
    (policies,) = folder.glob("policies-*")
    (policies / "bad.cedar").write_text(_POLICY)
    service = Service(hopward_command(config, "mcp", "serve"), port, bench.folder / f"{GROUP}-proxy.log")
    stack.callback(service.stop)
    return config


async def _calls(session: RawHttp, count: int, rounds: Rounds) -> None:
    walls: list[float] = []
    for number in range(_WARM_UP + count):
        start = time.perf_counter_ns()
        await session.echo(TEXT)
        if number >= _WARM_UP:
            walls.append((time.perf_counter_ns() - start) / 1_000)
    rounds.note("p50_us", percentile(walls, 0.50))
    rounds.note("p99_us", percentile(walls, 0.99))


@contextmanager
def _pestered(config: Path, server: str, era: str) -> Iterator[None]:
    """Callers of a bad server meanwhile; each has sent its call before this begins."""
    url, token = _bad_caller(config, server)
    command = [sys.executable, "-m", "bench.pestering", url, str(_CALLERS), era]
    pesters = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1]
    )
    assert pesters.stdin is not None
    assert pesters.stdout is not None
    try:
        pesters.stdin.write(f"{token}\n")
        pesters.stdin.flush()
        if not pesters.stdout.readline():
            raise BenchError(f"nobody calls the {server} server: status {pesters.wait()}")
        yield
        if pesters.poll() is not None:
            raise BenchError(f"the callers of the {server} server have ended")
    finally:
        pesters.kill()
        pesters.communicate()


def _bad_caller(config: Path, server: str) -> tuple[str, str]:
    """The endpoint of a bad server and a token for it."""
    guard = Guard.open(config)
    try:
        task = guard.open_task(WORKFLOW, SUBJECT)
        target = endpoint(guard.settings, server)
        form = ExchangeForm(
            subject_token=guard.issuer.task_token(task, guard.ledger).token,
            actor_token=guard.issuer.agent_token(AGENT, guard.ledger).token,
            target=target,
        )
        return target, guard.issuer.exchange(form, guard.issuer.clients[AGENT], guard.ledger).token
    finally:
        guard.close()
