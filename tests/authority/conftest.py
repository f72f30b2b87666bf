"""A whole authority from files: a real guard, a real log, real keys; only the clock stands still."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import jwt
import pytest
from starlette.testclient import TestClient

from hopward import Guard
from hopward.assertion import client_assertion
from hopward.canonical import digest
from hopward.jwk import SigningKey
from hopward.keys import KeyRing
from hopward.model import Task, plain
from hopward.project import create
from hopward.record import Row
from hopward.testing.clock import FixedClock
from hopward_authority import create_app

from .approving import Desk, MakeDesk, a_desk
from .logging_in import LoginPlace, a_login_place

ISSUER = "https://authority.example"
DESK = "https://proxy.example/desk/mcp"
FILES = "https://proxy.example/files/mcp"
DESK_UPSTREAM = "https://desk.example/mcp"
FILES_UPSTREAM = "urn:example:files"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
JWT = "urn:ietf:params:oauth:token-type:jwt"
AGENTS = ("helper", "other", "third")
ARGUMENTS = {"ticket": 7, "amount": 20}

_HEAD = """
state = ".hopward"
policies = "policies"
[approvals.groups.operators]
members = ["local:carol"]

[authority]
issuer = "{issuer}"
[proxy]
public_url = "https://proxy.example"
"""
_AGENT = """
[agents.{name}]
owner = "ops"
purpose = "tickets"
key = {key}
[[agents.{name}.ceiling]]
tools = ["desk/*", "files/*"]
actions = ["read", "pay"]
sensitivity = "internal"
destinations = ["*"]
[[agents.{name}.delegable]]
tools = ["desk/*", "files/*"]
actions = ["read", "pay"]
sensitivity = "internal"
destinations = ["*"]
[workflows.{name}]
agent = "{name}"
purpose = "answer a ticket"
expires_in = 3600
budget = {{ calls = 10, writes = 2 }}
depth = 2
fan_out = 2
[[workflows.{name}.delegable]]
tools = ["desk/*"]
actions = ["read", "pay"]
sensitivity = "internal"
destinations = ["*"]
[[workflows.{name}.capabilities]]
tools = ["desk/*", "files/*"]
actions = ["read", "pay"]
sensitivity = "internal"
destinations = ["*"]
"""
_SERVER = """
[servers.{name}]
url = "https://{name}.example/mcp"
resource = "{resource}"
credential = {{ by = "authorization" }}
key = {key}
[servers.{name}.tools.read_ticket]
action = "read"
sensitivity = "internal"
integrity = "trusted"
destination = "{name}"
"""
READING: dict[str, Any] = {
    "tools": ["desk/read_ticket"],
    "actions": ["read"],
    "sensitivity": "internal",
    "destinations": ["desk"],
}
"""A capability, as an agent asks for it in JSON."""


@dataclass(slots=True)
class Authority:
    """The authority under test and everybody who talks to it."""

    config: Path
    guard: Guard
    clock: FixedClock
    http: TestClient
    keys: dict[str, SigningKey]

    def post(self, path: str, client: str, /, **parameters: Any) -> httpx2.Response:
        """A form from a client that authenticates with its key; `None` leaves a parameter out."""
        form = {"client_assertion_type": ASSERTION, "client_assertion": self.assertion(client)} | parameters
        return self.http.post(path, data={name: value for name, value in form.items() if value is not None})

    def assertion(self, client: str) -> str:
        return client_assertion(client, self.guard.issuer.issuer, self.keys[client], clock=self.clock)

    def open_task(self, agent: str = "helper", subject: str = "alice") -> Task:
        return self.guard.open_task(agent, subject)

    def task_token(self, task: Task) -> str:
        return self.guard.issuer.task_token(task, self.guard.ledger).token

    def agent_token(self, agent: str = "helper") -> str:
        answer = self.post("/token", agent, grant_type="client_credentials")
        assert answer.status_code == 200, answer.text
        return answer.json()["access_token"]

    def exchange(self, client: str, /, **changes: Any) -> httpx2.Response:
        """An exchange; by default, of a new task's token for the endpoint of the server desk."""
        parameters: dict[str, Any] = {
            "grant_type": EXCHANGE,
            "subject_token_type": ACCESS_TOKEN,
            "actor_token_type": ACCESS_TOKEN,
            "resource": DESK,
        } | changes
        if "subject_token" not in changes:
            parameters["subject_token"] = self.task_token(self.open_task(client))
        if "actor_token" not in changes:
            parameters["actor_token"] = self.agent_token(client)
        if parameters["actor_token"] is None:
            parameters["actor_token_type"] = None
        return self.post("/token", client, **parameters)

    def access_token(self, task: Task | None = None) -> str:
        answer = self.exchange("helper", subject_token=self.task_token(task or self.open_task()))
        assert answer.status_code == 200, answer.text
        return answer.json()["access_token"]

    def credential(self, access_token: str, **changes: Any) -> httpx2.Response:
        """The proxy's exchange for one call at the server desk."""
        detail = {
            "type": "hopward_tool_call",
            "server": "desk",
            "tool": "refund",
            "arguments_digest": digest(ARGUMENTS),
            "decision": "dec_1",
        }
        parameters: dict[str, Any] = {
            "subject_token": access_token,
            "actor_token": None,
            "resource": DESK_UPSTREAM,
            "scope": "desk/refund",
            "authorization_details": json.dumps([detail]),
        }
        return self.exchange("hopward-proxy", **(parameters | changes))

    def hand_on(
        self, client: str, to: str, subject_token: str, work: dict[str, Any] | None = None, **changes: Any
    ) -> httpx2.Response:
        """The exchange by which an agent hands work on; `changes` are of the form."""
        details = [a_delegation() if work is None else work]
        parameters: dict[str, Any] = {
            "subject_token": subject_token,
            "resource": None,
            "audience": f"agent:{to}",
            "authorization_details": json.dumps(details),
        }
        return self.exchange(client, **(parameters | changes))

    def hop_token(self, task: Task | None = None, to: str = "other", **work: Any) -> str:
        """The token of a hop from the task's agent."""
        task = task or self.open_task()
        answer = self.hand_on(task.agent, to, self.task_token(task), a_delegation(**work))
        assert answer.status_code == 200, answer.text
        return answer.json()["access_token"]

    def claims(self, token: str) -> dict[str, Any]:
        """What a token says, verified by another library with the published keys."""
        keys = {key["kid"]: jwt.PyJWK(key) for key in self.http.get("/jwks").json()["keys"]}
        key = keys[jwt.get_unverified_header(token)["kid"]]
        options: Any = {"verify_exp": False, "verify_aud": False, "verify_iat": False}
        return jwt.decode(token, key, ["ES256"], options=options)

    def rows(self, kind: str) -> list[Row]:
        """Rows of a kind, oldest first."""
        return [row for row in self.guard.ledger.rows() if row.kind == kind][::-1]

    def log_text(self) -> str:
        """Everything the log says, as one text."""
        return "\n".join(json.dumps(plain(row.record)) for row in self.guard.ledger.rows())

    def restarted(self) -> "Authority":
        """The same authority in a new process, as it were."""
        self.guard.close()
        return _started(self.config, self.clock, self.keys)


def a_delegation(**changes: Any) -> dict[str, Any]:
    """Three calls and no write within ten minutes, to read tickets."""
    return {
        "type": "hopward_delegation",
        "purpose": "read ticket 7",
        "capabilities": [READING],
        "budget": {"calls": 3, "writes": 0},
        "expires_in": 600,
    } | changes


MakeAuthority = Callable[..., Authority]


@pytest.fixture
def make_authority(tmp_path: Path) -> Iterator[MakeAuthority]:
    """Makes an authority; `issuer` and extra text for `hopward.toml` may be given, and what to do before."""
    made: list[Authority] = []

    def make(
        issuer: str = ISSUER, extra: str = "", before: Callable[[Path], object] = lambda _: None
    ) -> Authority:
        folder = tmp_path / f"authority{len(made)}"
        folder.mkdir()
        names = (*AGENTS, "server:desk", "server:files")
        keys = {name: SigningKey.generate("ES256") for name in names}
        agents = "".join(_AGENT.format(name=name, key=_inline(keys[name])) for name in AGENTS)
        servers = "".join(
            _SERVER.format(name=name, resource=resource, key=_inline(keys[f"server:{name}"]))
            for name, resource in (("desk", DESK_UPSTREAM), ("files", FILES_UPSTREAM))
        )
        config = folder / "hopward.toml"
        config.write_text(
            _HEAD.format(issuer=issuer).replace("[proxy]", extra + "[proxy]") + agents + servers
        )
        create(folder)
        before(folder)
        keys["hopward-proxy"] = KeyRing.open(folder / ".hopward" / "keys").proxy
        made.append(_started(config, FixedClock(), keys))
        return made[-1]

    yield make
    for authority in made:
        authority.guard.close()


@pytest.fixture
def authority(make_authority: MakeAuthority) -> Authority:
    return make_authority()


def _started(config: Path, clock: FixedClock, keys: dict[str, SigningKey]) -> Authority:
    guard = Guard.open(config, clock=clock)
    http = TestClient(create_app(guard), base_url=guard.issuer.issuer)
    return Authority(config, guard, clock, http, keys)


def _inline(key: SigningKey) -> str:
    return "{ " + ", ".join(f'{name} = "{value}"' for name, value in key.public_jwk().items()) + " }"


@pytest.fixture
def make_desk(tmp_path: Path) -> Iterator[MakeDesk]:
    """Makes a desk whose refunds people approve, with pages for them."""
    made: list[Desk] = []

    def make(**changes: str) -> Desk:
        folder = tmp_path / f"desk{len(made)}"
        folder.mkdir()
        made.append(a_desk(folder, **changes))
        return made[-1]

    yield make
    for desk in made:
        desk.guard.close()


@pytest.fixture
def desk(make_desk: MakeDesk) -> Desk:
    return make_desk()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[LoginPlace]:
    """An installation where people log in with OAuth clients."""
    place = a_login_place(tmp_path)
    yield place
    place.guard.close()
