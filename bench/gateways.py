"""The group `gateways`: HTTP in front of a stdio server, guarded, and through the proxies people install.

All in the older era: not every one of them speaks 2026-07-28. One client at a time, because each session is a
process of the server to most of them.
"""

import asyncio
import subprocess
from contextlib import AsyncExitStack
from pathlib import Path
from secrets import token_hex

from bench import sdkclient
from bench.calls import Lane, Processes, run_round, warm_up
from bench.context import Context
from bench.errors import BenchError
from bench.processes import Service, family, free_port, read_pids
from bench.project import Caller, Shape, Upstream, create
from bench.rawclient import LEGACY, RawHttp
from bench.results import Entry
from bench.routes import CLIENTS, ClientKind, Front, Workbench, hopward_command

_SCRIPT = Path(__file__).resolve().parent.parent / "tests" / "servers" / "gateways.sh"


def measure(context: Context) -> list[Entry]:
    """One entry per client and proxy; of the others none where they are not installed."""
    return asyncio.run(_measure(context))


def installed() -> dict[str, list[str]]:
    """The commands of the proxies that are installed, by name; empty where they are not."""
    done = subprocess.run([_SCRIPT, "--if-present"], capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines() if done.returncode == 0 else []
    return {name: words for name, *words in map(str.split, lines)}


async def _measure(context: Context) -> list[Entry]:
    bench = Workbench(context.folder, LEGACY, clients=1)
    proxies = installed()
    lanes: list[Lane] = []
    async with AsyncExitStack() as stack:
        for client in CLIENTS:
            for name in ("hopward", *proxies):
                lanes.append(await _open(bench, name, proxies.get(name, []), client, stack))
        context.expect(len(lanes) * context.plan.rounds)
        await warm_up(lanes)
        for number in range(context.plan.rounds):
            await run_round(lanes, context.plan, number, context.step)
    return [lane.rounds.entry(lane.group, lane.name) for lane in lanes]


async def _open(
    bench: Workbench, name: str, words: list[str], client: ClientKind, stack: AsyncExitStack
) -> Lane:
    """A proxy with a server of its own behind it, and one session through both."""
    stem = f"gateway-{name}-{client}-{token_hex(4)}"
    pids = bench.folder / f"{stem}.pids"
    server = bench.echo_command(pids, credential=name == "hopward")
    front = (
        _guarded(bench, stem, server) if name == "hopward" else _unguarded(bench, stem, name, words, server)
    )
    assert front.service is not None
    stack.callback(front.service.stop)
    opener = sdkclient.open_http if client == "sdk" else RawHttp.open
    session = await opener(front.url, bench.era, front.caller and front.caller.current)
    stack.push_async_callback(session.close)
    await session.echo("first")
    servers = read_pids(pids)
    between = tuple(pid for pid in front.service.pids() if not any(pid in family(one) for one in servers))
    lane = Lane(f"gateway {client}", name, [session], Processes(between, servers), alone=True)
    if front.caller is not None:
        lane.renew = front.caller.renew
    return lane


def _guarded(bench: Workbench, stem: str, server: list[str]) -> Front:
    folder, port = bench.folder / stem, free_port()
    create(folder, Upstream(command=server, port=port), {"hopward.toml": Shape()})
    caller = Caller(folder / "hopward.toml")
    command = hopward_command(folder / "hopward.toml", "mcp", "serve")
    return Front(caller.url, caller, Service(command, port, bench.folder / f"{stem}.log"))


def _unguarded(bench: Workbench, stem: str, name: str, words: list[str], server: list[str]) -> Front:
    port = free_port()
    match name:
        case "npm-mcp-proxy":
            options = ["--host", "127.0.0.1", "--port", str(port), "--server", "stream", "--", *server]
        case "supergateway":
            quoted = " ".join(f"'{word}'" for word in server)
            options = ["--stdio", quoted, "--outputTransport", "streamableHttp", "--stateful"]
            options += ["--port", str(port), "--logLevel", "none"]
        case "pypi-mcp-proxy":
            options = ["--port", str(port), "--log-level", "WARNING", "--pass-environment", "--", *server]
        case _:
            raise BenchError(f"nobody knows how {name} is started")
    service = Service([*words, *options], port, bench.folder / f"{stem}.log")
    return Front(f"http://127.0.0.1:{port}/mcp", service=service)
