"""A client at the pipes of `hopward mcp run`, a real process before the recording server."""

import json
from pathlib import Path
from typing import Any

from .installation import install, started, stdio_server

INITIALIZE: dict[str, Any] = {
    "id": 0,
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}},
}


class Client:
    """A client at the proxy's pipes: sends bytes, reads lines."""

    def __init__(
        self, folder: Path, *words: str, settings: str = "", proxy: str = "", **changes: str
    ) -> None:
        self.record = folder / "record"
        self.config = install(folder, settings or stdio_server(self.record), proxy=proxy)
        self.process = started(self.config, "mcp", "run", "desk", *words, **changes)

    def send(self, message: dict[str, Any] | bytes) -> None:
        raw = message if isinstance(message, bytes) else json.dumps({"jsonrpc": "2.0", **message}).encode()
        assert self.process.stdin is not None
        self.process.stdin.write(raw + b"\n")
        self.process.stdin.flush()

    def read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.end()
        return json.loads(line)

    def ask(self, message: dict[str, Any] | bytes) -> dict[str, Any]:
        self.send(message)
        return self.read()

    def call(self, name: str, arguments: Any = None, message_id: Any = 1) -> dict[str, Any]:
        params: dict[str, Any] = {"name": name, "arguments": arguments or {}}
        return self.ask({"id": message_id, "method": "tools/call", "params": params})

    def received(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.record.read_bytes().splitlines()]

    def end(self) -> tuple[int, bytes, str]:
        """Close our side; exit status, what was still unread, and what was said on stderr."""
        out, err = self.process.communicate(timeout=30)
        return self.process.returncode, out, err.decode()
