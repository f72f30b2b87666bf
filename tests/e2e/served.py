"""`hopward mcp serve` and the recorder behind it, and the caller's end of one connection to it."""

import json
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from .project import HOPWARD, RECORDER, Project, recorded_at
from .running import PATIENCE, Running
from .wire import Body

LEGACY = "2025-11-25"


class Serve(Running):
    """The HTTP proxy of a project, ready."""

    def __init__(self, project: Project) -> None:
        super().__init__([str(HOPWARD), "mcp", "serve"], project.folder)
        self.wait_for("is guarded at .*\n")


class Caller:
    """One connection to an endpoint, with one token, without an MCP library."""

    def __init__(self, url: str, token: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname
        self._connection = HTTPConnection(parts.hostname, parts.port, timeout=PATIENCE)
        self._path = parts.path
        self.token = token
        self._ids = 0

    def post(self, body: bytes, **headers: str) -> tuple[int, bytes]:
        """Status and body of the answer to a body. `headers` change those of a good caller."""
        self._send(body, headers)
        return self._received()

    def _send(self, body: bytes, headers: Mapping[str, str]) -> None:
        sent = {
            "Authorization": f"Bearer {self.token}",
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": LEGACY,
        }
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        self._connection.request("POST", self._path, body, sent)

    def _received(self) -> tuple[int, bytes]:
        answer = self._connection.getresponse()
        return answer.status, answer.read()

    def begin(self, tool: str, **arguments: Any) -> None:
        """Send a tools/call, and do not wait for the answer."""
        self._ids += 1
        params = {"name": tool, "arguments": arguments}
        message = {"jsonrpc": "2.0", "id": self._ids, "method": "tools/call", "params": params}
        self._send(json.dumps(message).encode(), {})

    def answer(self) -> Body:
        """The answer to what was sent last."""
        status, body = self._received()
        assert status == 200, (status, body)
        answer = json.loads(body)
        assert answer["id"] == self._ids
        return answer

    def call(self, tool: str, **arguments: Any) -> Body:
        """The answer to a tools/call."""
        self.begin(tool, **arguments)
        return self.answer()

    def status(self, tool: str, **arguments: Any) -> int:
        """The status of the answer to a tools/call."""
        self.begin(tool, **arguments)
        return self._received()[0]

    def close(self) -> None:
        self._connection.close()


@contextmanager
def recorder(folder: Path, port: int = 0) -> Iterator[str]:
    """A recorder on HTTP that writes into this folder; its URL."""
    command = [sys.executable, str(RECORDER), "received.jsonl", "--http", str(port)]
    with ended(Running(command, folder)) as started:
        found = started.wait_for(r"(\d+)\n")[1]
        yield f"http://127.0.0.1:{found}/mcp"


Started = TypeVar("Started", bound=Running)


@contextmanager
def ended(started: Started) -> Iterator[Started]:
    """Something running that has ended afterwards."""
    try:
        yield started
    finally:
        started.end()


@contextmanager
def served(folder: Path) -> Iterator[Project]:
    """A new project that guards a recorder on HTTP; the recorder runs, the proxy does not yet."""
    with recorder(folder) as url:
        project = recorded_at(folder, url)
        project.listen_at(free_port())
        yield project


def free_port() -> int:
    """A port that nobody listens on at the moment."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        return listening.getsockname()[1]
