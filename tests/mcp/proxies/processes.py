"""The HTTP front before a server with a `command`: its processes, and what they have received."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from hopward_mcp.workers import Workers

from .fronting import LEGACY, MODERN, Answered, Fronted, front
from .installation import EMBEDDED, SERVER, classified

PROCESS = Path(__file__).with_name("recording_process.py")
META: dict[str, Any] = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientCapabilities": {},
}


def process_server(record: Path, era: str = "both", name: str = "desk") -> str:
    """A `[servers.NAME]` that starts the recording process."""
    transport = f"command = ['{sys.executable}', '{PROCESS}', '{record}', '{era}']"
    return SERVER.format(name=name, transport=transport, credential='{ by = "meta" }') + classified(name)


@dataclass(slots=True)
class Processes:
    """A front, the processes behind it, and callers in both eras."""

    front: Fronted
    record: Path

    @property
    def workers(self) -> Workers:
        return self.front.app._endpoints["/desk/mcp"]._end.workers  # type: ignore[attr-defined]

    @property
    def received(self) -> list[dict[str, Any]]:
        """`{"pid", "message"}` of everything the processes have received, in order."""
        # What stands after the last newline is still being written.
        *lines, _ = self.record.read_bytes().split(b"\n") if self.record.exists() else [b""]
        return [json.loads(line) for line in lines]

    @property
    def methods(self) -> list[str]:
        return [one["message"].get("method", "answer") for one in self.received]

    @property
    def pids(self) -> list[int]:
        """The processes that have received anything, in order."""
        return list(dict.fromkeys(one["pid"] for one in self.received))

    async def until(self, method: str, count: int = 1) -> None:
        """Wait until so many messages of this method have been received."""
        while self.methods.count(method) < count:
            await asyncio.sleep(0)

    async def modern(self, token: str, method: str, message_id: Any = 1, **params: Any) -> Answered:
        """A request of 2026-07-28; `meta` is further members of `_meta`."""
        message, headers = modern(method, message_id, **params)
        return await self.front.post(token, message, headers)

    async def call(self, token: str, tool: str, message_id: Any = 1, **params: Any) -> Answered:
        """A tools/call of 2026-07-28."""
        return await self.modern(token, "tools/call", message_id, name=tool, **params)

    async def session(self, token: str) -> "Legacy":
        """A session of the older era."""
        return Legacy(self, token, {"Mcp-Session-Id": await self.front.initialize(token)})


@dataclass(slots=True)
class Legacy:
    """A session of 2025-11-25 and its caller."""

    processes: Processes
    token: str
    headers: dict[str, str]

    async def post(self, message: dict[str, Any]) -> Answered:
        headers = {**self.headers, "MCP-Protocol-Version": LEGACY}
        return await self.processes.front.post(self.token, message, headers)

    async def call(self, tool: str, message_id: Any = 1, **params: Any) -> Answered:
        return await self.post({"id": message_id, "method": "tools/call", "params": {"name": tool, **params}})

    @asynccontextmanager
    async def stream(self) -> AsyncIterator[aiohttp.ClientResponse]:
        """The session's own stream."""
        headers = {**self.headers, "Authorization": f"Bearer {self.token}", "Accept": "text/event-stream"}
        front = self.processes.front
        async with front.client.get(f"{front.base}/desk/mcp", headers=headers) as response:
            assert response.status == 200
            yield response

    async def delete(self) -> Answered:
        headers = {**self.headers, "Authorization": f"Bearer {self.token}"}
        return await self.processes.front.send("DELETE", "/desk/mcp", headers)


def modern(method: str, message_id: Any = 1, **params: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """A request of 2026-07-28 and its headers."""
    headers = {"MCP-Protocol-Version": MODERN, "Mcp-Method": method}
    name = params.get("uri" if method == "resources/read" else "name", params.get("taskId"))
    if name is not None and method != "completion/complete":
        headers["Mcp-Name"] = name
    params["_meta"] = META | params.pop("meta", {})
    return {"id": message_id, "method": method, "params": params}, headers


async def event(response: aiohttp.ClientResponse) -> dict[str, Any]:
    """The next message of a stream."""
    raw = await response.content.readuntil(b"\r\n\r\n")
    return json.loads(raw.decode().partition("data: ")[2])


def shown(answered: Answered) -> dict[str, Any]:
    """What `echo` says it has received; its answer may stand at the end of a stream."""
    last = answered.events[-1] if answered.events else answered.message
    return json.loads(last["result"]["content"][0]["text"])


def killed(pid: int) -> None:
    """As the kernel does it when memory is short."""
    os.kill(pid, signal.SIGKILL)


@asynccontextmanager
async def processes(
    folder: Path, era: str = "both", limits: str = "", authority: str = EMBEDDED, more: str = ""
) -> AsyncIterator[Processes]:
    """A running front before the recording process; `more` stands in hopward.toml as well."""
    record = folder / "record"
    settings = process_server(record, era) + more
    limits = f"max_message_bytes = 65536\n{limits}"
    async with (
        asyncio.timeout(60),
        front(folder, (), limits=limits, authority=authority, more=settings) as running,
    ):
        yield Processes(running, record)
