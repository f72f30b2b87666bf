"""An installation whose one server gets its tokens from a real authorization server, and its proxy."""

import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hopward import Budget, Capability, Chain, CredentialVerifier, Guard, Narrowing, Task
from hopward.keys import KeyRing
from hopward.project import create

from .project import HOPWARD, Project
from .resource_server import ResourceServer
from .served import Caller, Serve, ended, free_port
from .wire import Body, refusal

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

    project: Project
    upstream: ResourceServer
    guard: Guard
    proxy: Serve

    def task(self, person: str, server: str, token: str) -> Task:
        """A task of a person, whose token is given to the command on its standard input."""
        task = self.guard.open_task("refunds", person)
        command = [str(HOPWARD), "task", "subject-token", task.id, server]
        done = subprocess.run(
            command, input=token, cwd=self.project.folder, text=True, capture_output=True, check=False
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
        return self.call_with(self.guard.access_token(chain, "desk")[0], **arguments)

    def call_with(self, token: str, **arguments: Any) -> Body:
        """The same with an access token that there is already."""
        url = f"{self.guard.settings.proxy.public_url}/desk/mcp"
        with closing(Caller(url, token)) as caller:
            return caller.call("read_refund", **arguments)

    def why(self, chain: Chain) -> str:
        """Why a call that is permitted gets no credential, as the agent is told and the log tells."""
        before = len(self.upstream.calls)
        decision = refusal(self.call(chain, refund=7))
        assert decision["reason"] == "no_credential", decision
        outcome = self.project.rows(kind="outcome")[-1].record["outcome"]
        assert outcome["error"] == f"no_credential {decision['why']}"
        assert len(self.upstream.calls) == before
        return decision["why"]

    def credentials(self) -> list[dict[str, Any]]:
        """The records of credentials that somebody else has minted, the oldest first."""
        found = [row.record["credential"] for row in self.project.rows(kind="credential")]
        return [one for one in found if one["kind"] == "exchanged"]


def proxy_key(folder: Path) -> dict[str, Any]:
    """The public key that the proxy of a folder authenticates with; made where there is none yet."""
    keys = folder / ".hopward" / "keys"
    keys.parent.mkdir(mode=0o700, exist_ok=True)
    ring = KeyRing.open(keys) if keys.exists() else KeyRing.create(keys, "ES256")
    return ring.proxy.public_jwk()


@contextmanager
def abroad(folder: Path, upstream: ResourceServer, firm: str, credential: str) -> Iterator[Abroad]:
    """All of it, its proxy ready; `firm` are the tables of the authorization server."""
    proxy_key(folder)
    port = free_port()
    settings = SETTINGS.format(port=port, firm=firm, reading=READING, url=upstream.url, credential=credential)
    project = Project(folder)
    project.config.write_text(settings, "utf-8")
    create(folder)
    with closing(Guard.open(project.config)) as guard, ended(Serve(project)) as proxy:
        upstream.chains = None
        if guard.settings.authorization_servers["firm"].signed:
            issuer = guard.issuer
            upstream.chains = CredentialVerifier(issuer.issuer, "https://desk.example/mcp", issuer.jwks())
        yield Abroad(project, upstream, guard, proxy)
