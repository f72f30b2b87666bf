"""An installation whose one server gets its tokens from a real authorization server, and the proxy in front."""

import subprocess
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hopward import Budget, Capability, Chain, Guard, Narrowing, Task
from hopward.ledger import RowFilter

from .project import HOPWARD
from .resource_server import ResourceServer
from .served import Caller, Serve, ended
from .wire import Body

SETTINGS = """
[approvals.groups.operators]
members = ["local:carol"]
[authority]
issuer = "http://127.0.0.1:8700"
[proxy]
listen = "127.0.0.1:{port}"
public_url = "http://127.0.0.1:{port}"
{firm}
[agents.assistant]
owner = "ops"
purpose = "refunds"
ceiling = [{reading}]
delegable = [{reading}]
[agents.clerk]
owner = "ops"
purpose = "refunds"
ceiling = [{reading}]
[workflows.refunds]
agent = "assistant"
purpose = "look at refunds"
expires_in = 3600
budget = {{ calls = 100, writes = 0 }}
capabilities = [{reading}]
delegable = [{reading}]
depth = 1
fan_out = 4
[servers.desk]
url = "{url}"
resource = "https://desk.example/mcp"
credential = {credential}
[servers.desk.tools.read_refund]
action = "read"
sensitivity = "internal"
integrity = "trusted"
destination = "desk"
"""
READING = '{ tools = ["desk/*"], actions = ["read"], sensitivity = "internal", destinations = ["desk"] }'
HANDED = Narrowing(
    purpose="look at one",
    capabilities=(
        Capability(tools=("desk/*",), actions=("read",), sensitivity="internal", destinations=("desk",)),
    ),
    budget=Budget(calls=10, writes=0),
    expires_in=600,
)


@dataclass
class Abroad:
    """`guard` is in this process, `proxy` in one of its own; both work on the same folder."""

    folder: Path
    upstream: ResourceServer
    guard: Guard
    stack: ExitStack
    proxies: list[Serve] = field(default_factory=list[Serve])

    @property
    def proxy(self) -> Serve:
        return self.proxies[0]

    def task(self, person: str, server: str, token: str) -> Task:
        """A task of a person, whose token comes on the command line's standard input, as they would give it."""
        task = self.guard.open_task("refunds", person)
        command = [str(HOPWARD), "task", "subject-token", task.id, server]
        done = subprocess.run(
            command, input=token, cwd=self.folder, text=True, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert token not in done.stdout + done.stderr
        return task

    def handed(self, task: Task) -> Chain:
        """The chain of the clerk, to whom the assistant has handed work."""
        delegation = self.guard.delegate(self.guard.enter(task.id), "clerk", HANDED)
        assert delegation.chain is not None, delegation.decision.verdict
        return delegation.chain

    def call(self, chain: Chain, **arguments: Any) -> Body:
        """A tools/call through the proxy, with an access token of this chain for its endpoint."""
        token, _ = self.guard.access_token(chain, "desk")
        with closing(Caller(f"{self.guard.settings.proxy.public_url}/desk/mcp", token)) as caller:
            session = self._initialized(caller)
            body = {"name": "read_refund", "arguments": arguments}
            return self._sent(caller, session, "tools/call", body)

    def tried(self, chain: Chain) -> str:
        """Why the credential of a call that is permitted could not be had, after it was made."""
        decision = self.call(chain)["result"]["_meta"]["dev.hopward/decision"]
        assert decision["reason"] == "no_credential", decision
        return decision["why"]

    def credentials(self) -> list[dict[str, Any]]:
        found = self.guard.ledger.rows(RowFilter(kind="credential", oldest_first=True))
        return [row.record["credential"] for row in found if row.record["credential"]["kind"] == "exchanged"]

    def serve(self) -> None:
        """Start the proxy."""
        self.proxies.insert(0, self.stack.enter_context(ended(Serve(self))))  # pyright: ignore[reportArgumentType]

    def _initialized(self, caller: Caller) -> str:
        raise NotImplementedError

    def _sent(self, caller: Caller, session: str, method: str, params: Any) -> Body:
        raise NotImplementedError
