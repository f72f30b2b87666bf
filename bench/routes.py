"""The ways to the echo tool: which processes each is made of, and how a client opens a session through it."""

import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Literal, TypeAlias

from bench import sdkclient
from bench.calls import Lane, Processes, Session
from bench.processes import Service, between, free_port, read_pids
from bench.project import SERVER, Caller, Durability, Shape, Upstream, create
from bench.rawclient import RawHttp, RawStdio

HERE = Path(__file__).resolve().parent
CLIENTS: tuple["ClientKind", ...] = ("sdk", "raw")

ClientKind: TypeAlias = Literal["sdk", "raw"]


@dataclass(frozen=True, slots=True)
class Workbench:
    """What every way shares: a scratch folder, the protocol era, how many clients call at once."""

    folder: Path
    era: str
    clients: int

    def script(self, name: str, *arguments: str) -> list[str]:
        """A command that runs one of our scripts with this interpreter."""
        return [sys.executable, "-P", str(HERE / name), *arguments]

    def echo_command(self, pids: Path, *, port: int = 0, credential: bool = False) -> list[str]:
        """The command of the server under test."""
        extra = [*(["--port", str(port)] if port else []), *(["--require-credential"] if credential else [])]
        return self.script("echo_server.py", "--pid-file", str(pids), *extra)


@dataclass(frozen=True, slots=True)
class StdioWay:
    """A way over stdio: `command` turns the server's command into the command the client starts."""

    name: str
    command: Callable[[list[str]], list[str]]
    credential: bool = False
    share: float = 1.0

    async def open(self, bench: Workbench, client: ClientKind, stack: AsyncExitStack) -> Lane:
        """One session; the proxy is whatever runs between the client and the server."""
        stem = f"stdio-{self.name}-{client}"
        pids, log = bench.folder / f"{stem}.pids", bench.folder / f"{stem}.log"
        command = self.command(bench.echo_command(pids, credential=self.credential))
        session: Session
        if client == "sdk":
            session = await sdkclient.open_stdio(command, bench.era, log)
        else:
            session = await RawStdio.open(command, bench.era, log)
        stack.push_async_callback(session.close)
        await session.echo("first")
        (server,) = read_pids(pids)
        processes = Processes(between(server), (server,))
        return Lane(f"stdio {client}", self.name, [session], processes, self.share, self.credential, calls=1)


@dataclass(frozen=True, slots=True)
class Front:
    """An HTTP endpoint to call: its address, who calls it, the proxy's process if there is one."""

    url: str
    caller: Caller | None = None
    service: Service | None = None


@dataclass(frozen=True, slots=True)
class HttpWay:
    """A way over Streamable HTTP: `front` starts what stands before the server at a URL."""

    name: str
    front: Callable[[str], Front]
    credential: bool = False
    share: float = 1.0

    async def open(
        self, bench: Workbench, clients: tuple[ClientKind, ...], stack: AsyncExitStack
    ) -> list[Lane]:
        """One lane per kind of client, all through the same processes."""
        port = free_port()
        stem = f"http-{self.name}"
        command = bench.echo_command(bench.folder / f"{stem}.pids", port=port, credential=self.credential)
        server = Service(command, port, bench.folder / f"{stem}-server.log")
        stack.callback(server.stop)
        front = self.front(f"http://127.0.0.1:{port}/mcp")
        if front.service is not None:
            stack.callback(front.service.stop)
        lanes: list[Lane] = []
        for client in clients:
            opener = sdkclient.open_http if client == "sdk" else RawHttp.open
            sessions: list[Session] = []
            for _ in range(bench.clients):
                session = await opener(front.url, bench.era, front.caller and front.caller.current)
                stack.push_async_callback(session.close)
                sessions.append(session)
            await sessions[0].echo("first")
            processes = Processes(front.service.pids() if front.service else (), server.pids())
            lane = Lane(
                f"http {client}", self.name, sessions, processes, self.share, self.credential, calls=1
            )
            if front.caller is not None:
                lane.renew = front.caller.renew
            lanes.append(lane)
        return lanes


def hopward_command(config: Path, *verbs: str) -> list[str]:
    """The console script that users run, with a configuration."""
    return [str(Path(sys.executable).with_name("hopward")), "--config", str(config), *verbs]


def hopward(bench: Workbench, durability: Durability) -> tuple[StdioWay, HttpWay]:
    """The guarded proxy: `hopward mcp run` and `hopward mcp serve`, each with its own decision log."""
    name = "hopward" if durability == "process" else f"hopward-{durability}"
    shape = {"hopward.toml": Shape(durability=durability)}

    def command(server: list[str]) -> list[str]:
        folder = bench.folder / f"stdio-{name}-{token_hex(4)}"
        create(folder, Upstream(command=server), shape)
        return hopward_command(folder / "hopward.toml", "mcp", "run", SERVER)

    def front(url: str) -> Front:
        folder, port = bench.folder / f"http-{name}-{token_hex(4)}", free_port()
        create(folder, Upstream(url=url, port=port), shape)
        caller = Caller(folder / "hopward.toml")
        service = Service(
            hopward_command(folder / "hopward.toml", "mcp", "serve"), port, bench.folder / f"http-{name}.log"
        )
        return Front(caller.url, caller, service)

    return StdioWay(name, command, credential=True), HttpWay(name, front, credential=True)


def direct() -> tuple[StdioWay, HttpWay]:
    """No proxy at all."""
    return StdioWay("direct", lambda command: command), HttpWay("direct", Front)


def passthrough(bench: Workbench) -> tuple[StdioWay, HttpWay]:
    """A proxy written by hand on the MCP SDK's low-level server and client, unguarded."""
    return _script_ways(bench, "sdk-passthrough", "sdk_passthrough.py", _mode(bench))


def fastmcp(bench: Workbench, *, reuse: bool) -> tuple[StdioWay, HttpWay]:
    """FastMCP's `create_proxy`, unguarded: as it comes, or over one connected client that is reused."""
    flags = [*_mode(bench), *(["--reuse"] if reuse else [])]
    name = "fastmcp-reused" if reuse else "fastmcp"
    return _script_ways(bench, name, "fastmcp_proxy.py", flags, share=1.0 if reuse else 0.1)


def _mode(bench: Workbench) -> list[str]:
    return ["--mode", "legacy" if bench.era < "2026" else bench.era]


def _script_ways(
    bench: Workbench, name: str, script: str, flags: list[str], share: float = 1.0
) -> tuple[StdioWay, HttpWay]:
    """The ways through a proxy that is a script of ours, before a command or a URL."""

    def front(url: str) -> Front:
        port = free_port()
        command = bench.script(script, *flags, "--port", str(port), "--url", url)
        service = Service(command, port, bench.folder / f"http-{name}.log")
        return Front(f"http://127.0.0.1:{port}/mcp", service=service)

    def command(server: list[str]) -> list[str]:
        return bench.script(script, *flags, "--", *server)

    return StdioWay(name, command), HttpWay(name, front, share=share)
