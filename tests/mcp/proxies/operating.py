"""`hopward mcp serve` as a process in front of recording servers, told things by signals."""

import asyncio
import signal
import socket
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import aiohttp

from hopward import Guard

from .fronting import Fronted
from .installation import environment, hopward, http_server, install, opened, rows
from .processes import process_server
from .recording_http import RecordingServer


@dataclass(slots=True)
class Operated:
    """The process, what it says on standard error, and a client of it.

    `desk` has a url, `tools` a command; `record` is what the processes of the latter have received.
    """

    front: Fronted
    desk: RecordingServer
    config: Path
    record: Path
    process: asyncio.subprocess.Process
    said: str = ""
    _heard: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def guard(self) -> Guard:
        return self.front.guard

    def tell(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def until_said(self, text: str, count: int = 1) -> None:
        """Wait until the process has said something so many times."""
        async with self._heard:
            await self._heard.wait_for(lambda: self.said.count(text) >= count)

    async def over(self) -> int:
        """The exit status."""
        return await self.process.wait()

    async def until_refused(self) -> None:
        """Wait until nothing listens any more."""
        host, _, port = self.front.base.removeprefix("http://").partition(":")
        while True:
            try:
                _, writer = await asyncio.open_connection(host, int(port))
            except OSError:
                return
            writer.close()

    @property
    def workers(self) -> list[int]:
        """The numbers of the processes that it has started and that run."""
        pid = self.process.pid
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    async def pinned(self, stack: AsyncExitStack, worker: int) -> Fronted:
        """A client with one connection, which this worker has accepted."""
        token = self.front.token()
        while True:
            # A session's id tells who has answered.
            client = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1))
            front = Fronted(self.guard, self.front.app, self.front.base, self.front.servers, client)
            if (await front.initialize(token)).startswith(f"{worker}."):
                stack.push_async_callback(client.close)
                return front
            await client.close()

    def change(self, old: str, new: str) -> None:
        """Edit hopward.toml."""
        text = self.config.read_text()
        assert old in text
        self.config.write_text(text.replace(old, new))

    def without_outcome(self) -> list[str]:
        """The permits in the log that nothing is known of."""
        permits = [row.decision for row in rows(self.guard, "decision") if row.verdict == "permit"]
        ended = {row.decision for row in rows(self.guard, "outcome")}
        return [one for one in permits if one not in ended]

    async def listen(self) -> None:
        """Collect what the process says."""
        stream = self.process.stderr
        assert stream is not None
        while line := await stream.readline():
            async with self._heard:
                self.said += line.decode()
                self._heard.notify_all()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return cast("int", probe.getsockname()[1])


@asynccontextmanager
async def operated(
    folder: Path, limits: str = "", more: str = "", **changes: str
) -> AsyncGenerator[Operated]:
    """A process that serves; `limits` stands in `[proxy]`, `more` behind the servers, `changes` in its
    environment."""
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(asyncio.timeout(90))
        desk = await stack.enter_async_context(RecordingServer())
        base, record = f"127.0.0.1:{free_port()}", folder / "record"
        servers = http_server(desk.url) + process_server(record, name="tools") + more
        proxy = f'listen = "{base}"\npublic_url = "http://{base}"\n{limits}'
        config = install(folder, servers, proxy=proxy)
        guard = stack.enter_context(opened(config))
        client = await stack.enter_async_context(aiohttp.ClientSession())
        # There is no application here: it is in the process.
        front = Fronted(guard, cast("Any", None), f"http://{base}", {"desk": desk}, client)
        process = await asyncio.create_subprocess_exec(
            *hopward(config, "mcp", "serve"),
            stdin=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env=environment(**changes),
        )
        running = Operated(front, desk, config, record, process)
        listening = asyncio.create_task(running.listen())
        stack.push_async_callback(asyncio.wait, [listening])
        stack.push_async_callback(_ended, process)
        await running.until_said("tools is guarded at")
        yield running


async def _ended(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
    await process.wait()
