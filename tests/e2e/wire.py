"""The client's end of one `hopward mcp run`, without an MCP library."""

import json
import os
import selectors
from collections.abc import Sequence
from typing import Any

from .project import HOPWARD, Project
from .running import PATIENCE, Running

Body = dict[str, Any]

HELLO: Body = {
    "protocolVersion": "2025-11-25",
    "capabilities": {},
    "clientInfo": {"name": "wire", "version": "1"},
}


class Wire(Running):
    """A guarded stdio session, line by line."""

    def __init__(
        self,
        project: Project,
        server: str = "recorder",
        before: Sequence[str] = (),
        options: Sequence[str] = (),
    ) -> None:
        """`before` goes in front of the command: another command that runs it."""
        super().__init__([*before, str(HOPWARD), "mcp", "run", server, *options], project.folder, talks=True)
        self._buffer = b""
        self._ids = 0
        self._selector = selectors.DefaultSelector()
        self._selector.register(self.stdout, selectors.EVENT_READ)

    @property
    def task(self) -> str:
        """The task of this session, once it is open."""
        return self.wait_for(r"guarded; task (task_\w+)")[1]

    def send(self, message: Body | bytes) -> None:
        """One message, or any bytes in its place, as one line."""
        left = memoryview((message if isinstance(message, bytes) else json.dumps(message).encode()) + b"\n")
        while left:
            left = left[os.write(self.stdin.fileno(), left) :]

    def request(self, method: str, params: Body | None = None) -> int:
        """Send a request; its id."""
        self._ids += 1
        message: Body = {"jsonrpc": "2.0", "id": self._ids, "method": method}
        self.send(message if params is None else message | {"params": params})
        return self._ids

    def next(self) -> Body | None:
        """The next message of the proxy, or None when it has ended; a line that is cut short is none."""
        while b"\n" not in self._buffer:
            assert self._selector.select(PATIENCE), f"no answer came: {self.said}"
            data = os.read(self.stdout.fileno(), 1 << 20)
            if not data:
                return None
            self._buffer += data
        line, self._buffer = self._buffer.split(b"\n", 1)
        return json.loads(line)

    def read(self) -> Body:
        """The next message of the proxy, which must come."""
        message = self.next()
        assert message is not None, f"the proxy has ended: {self.said}"
        return message

    def ask(self, method: str, params: Body | None = None) -> Body:
        """Send a request and wait for the answer to it, which must come next."""
        asked = self.request(method, params)
        answer = self.read()
        assert answer.get("id") == asked, answer
        return answer

    def greet(self) -> None:
        """The handshake of the versions up to 2025-11-25."""
        assert "result" in self.ask("initialize", HELLO)
        self.send({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def call(self, tool: str, **arguments: Any) -> Body:
        """The answer to a tools/call."""
        return self.ask("tools/call", {"name": tool, "arguments": arguments})

    def leave(self) -> int:
        """Close standard input, as a client does that is done, and wait for the end; the exit status."""
        self.stdin.close()
        return self.over()

    def rest(self) -> list[Body]:
        """Every message up to the end of the proxy's output."""
        return list(iter(self.next, None))

    def end(self) -> None:
        try:
            super().end()
        finally:
            self._selector.close()


def told(answer: Body) -> Body:
    """What the recorder said in answer to a permitted call: the decision and `jti` of its credential."""
    result = answer["result"]
    assert not result.get("isError"), answer
    return json.loads(result["content"][0]["text"])


def refusal(answer: Body) -> Body:
    """The decision that an answer names as the reason why a call was not executed."""
    result = answer["result"]
    assert result["isError"] is True, answer
    decision = result["_meta"]["dev.hopward/decision"]
    text = result["content"][0]["text"]
    assert decision["id"] in text
    assert "not executed" in text
    return decision | {"text": text}
