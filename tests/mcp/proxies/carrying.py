"""A program with several agents, and a proxy of the same log that its requests carry their chains to."""

import json
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

from hopward import Budget, Capability, Chain, Guard, Narrowing
from hopward.base64url import decode
from hopward_mcp.carried import CHAIN_KEY, NOBODY

from .conversation import Conversation
from .installation import rows

_WITHIN = 'tools = ["desk/*", "other/*"], sensitivity = "internal", destinations = ["desk"]'
_READING = f'{{ actions = ["read"], {_WITHIN} }}'
_PAYING = f'{{ actions = ["pay"], {_WITHIN} }}'

TEAM = f"""
[agents.boss]
owner = "ana@example.com"
purpose = "Settles claims"
ceiling = [{_READING}, {_PAYING}]
delegable = [{_READING}, {_PAYING}]

[agents.reader]
owner = "ana@example.com"
purpose = "Reads"
ceiling = [{_READING}]
delegable = [{_READING}]

[agents.clerk]
owner = "ana@example.com"
purpose = "Reads for others"
ceiling = [{_READING}]

[workflows.claims]
agent = "boss"
purpose = "Settle one claim"
expires_in = 3600
budget = {{ calls = 500, writes = 20 }}
capabilities = [{_READING}, {_PAYING}]
delegable = [{_READING}, {_PAYING}]
depth = 2
fan_out = 4
"""
"""Before the servers `desk` and `other`: `boss` reads and pays, and hands reading to `reader` and `clerk`;
`reader` may hand it on once more."""


def reading(*tools: str) -> Capability:
    """Reading with these tools of `desk`, or with all of them."""
    return Capability(
        tools=tools or ("desk/*",), actions=("read",), sensitivity="internal", destinations=("desk",)
    )


class Program:
    """The process of the agents. `presented` is every chain that was put into a request."""

    def __init__(self, guard: Guard) -> None:
        self.guard = guard
        self.presented: list[dict[str, Any]] = []
        self.boss = self.opened()

    def opened(self, subject: str = "alice") -> Chain:
        """The chain of a new task."""
        return self.guard.enter(self.guard.open_task("claims", subject).id)

    def handed(self, chain: Chain, to: str = "reader", **changes: Any) -> Chain:
        """The chain of a hop of reading, for ten minutes."""
        wish: dict[str, Any] = {
            "purpose": "read it",
            "capabilities": (reading(),),
            "delegable": (reading(),),
            "depth": 2 - len(chain.actors),
            "fan_out": 2,
            "budget": Budget(calls=100, writes=0),
            "expires_in": 600,
            "shared": True,
        }
        asked = Narrowing(**(wish | changes))
        found = self.guard.delegate(chain, to, asked, key=self.guard.holder(to))
        assert found.chain is not None, found.decision.verdict
        return found.chain

    def presentation(
        self, chain: Chain, method: str, params: Mapping[str, Any], server: str = "desk"
    ) -> dict[str, Any]:
        """What stands in `_meta` of one request."""
        value = self.guard.present(chain, server, method, params)
        self.presented.append(value)
        return value

    def of_call(self, chain: Chain, tool: str = "echo", arguments: Any = None) -> dict[str, Any]:
        """What stands in `_meta` of a tools/call at `desk`."""
        return self.presentation(chain, "tools/call", call_of(tool, arguments))

    def leaks(self, text: str | bytes) -> list[str]:
        """Which of all the links and proofs presented so far a text tells anything of."""
        found = text.decode("latin-1") if isinstance(text, bytes) else text
        jwts = [jwt for value in self.presented for jwt in (*value["links"], value["proof"])]
        return [jwt for jwt in jwts if any(part in found for part in jwt.split(".")[1:])]

    def leaks_in_log(self) -> list[str]:
        """The same of every byte of the decision log."""
        log = self.guard.settings.log_file
        files = [path for path in log.parent.glob(f"{log.name}*") if path.is_file()]
        assert files
        return [jwt for path in files for jwt in self.leaks(path.read_bytes())]


class Session(Conversation):
    """The session of `hopward mcp run desk --carried`, in memory, in a process of its own."""

    def __init__(self, guard: Guard, program: Program) -> None:
        super().__init__(guard)
        self.program = program
        self.chain = NOBODY
        self.session.heard(self.chain)

    def carry(self, value: object, tool: str = "echo", arguments: Any = None, message_id: Any = 1) -> None:
        """A tools/call that carries a value, whatever it is."""
        self.client_says(request("tools/call", call_of(tool, arguments), value, message_id))

    def call(self, name: Any, arguments: Any = None, message_id: Any = 1, **params: Any) -> None:
        """A tools/call of the agent `params["chain"]`, with its chain."""
        chain = params.pop("chain")
        self.carry(self.program.of_call(chain, name, arguments), name, arguments, message_id)

    def refused(self) -> str:
        """Why the one request so far was turned away before any decision; nothing of it went anywhere."""
        assert self.to_server == []
        assert self.decisions() == []
        (answer,) = self.to_client
        (row,) = rows(self.guard, "refusal")
        assert answer["error"]["message"] == row.record["sentence"]
        assert answer["error"]["code"] in (-32000, -32600)
        return row.reason

    def decisions(self) -> list[tuple[str, str, str]]:
        """As `decisions`."""
        return decisions(self.guard)


def decisions(guard: Guard) -> list[tuple[str, str, str]]:
    """Agents, tool, and `permit` or why it was refused, of each call in the log; hops are left out."""
    return [
        (">".join(row.record["chain"]["actors"]), row.tool, told)
        for row in rows(guard, "decision")
        if row.server
        for told in ("permit" if row.verdict == "permit" else row.reason,)
    ]


@contextmanager
def watched(program: Program, session: Conversation) -> Generator[None]:
    """At the end, nothing that was presented stands in the log, or went to the server or back."""
    yield
    assert program.leaks(json.dumps([session.to_server, session.to_client])) == []
    assert program.leaks_in_log() == []


def call_of(tool: str, arguments: Any = None) -> dict[str, Any]:
    """The params of a tools/call, without `_meta`."""
    return {"name": tool, "arguments": {} if arguments is None else arguments}


ECHO = call_of("echo")


def request(
    method: str, params: Mapping[str, Any], value: object, message_id: Any = 1, **meta: Any
) -> dict[str, Any]:
    """A request that carries a value where a chain stands; without an id it is a notification."""
    message = {"method": method, "params": {**params, "_meta": {**meta, CHAIN_KEY: value}}}
    return message if message_id is None else {"id": message_id, **message}


def claims_of(token: str) -> dict[str, Any]:
    """The claims of a JWT."""
    return json.loads(decode(token.split(".")[1]))
