"""A strict external authorization server in memory, and an installation whose servers get tokens from it."""

import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from joserfc import jws
from joserfc.jwk import RSAKey

from hopward import Chain, Guard, Narrowing, Task, TokenRequest
from hopward.base64url import decode
from hopward.clock import SECOND, Clock
from hopward.errors import TokenError
from hopward.jose import Expected, verify
from hopward.jwk import VerificationKey
from hopward.keys import KeyRing
from hopward.ledger import RowFilter
from hopward.model import Budget, Capability, ToolCall
from hopward.project import create
from hopward.testing.clock import FixedClock

ISSUER = "https://idp.example"
DESK, ORDERS = "https://desk.example/mcp", "https://orders.example/mcp"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
SCOPES = {DESK: {"desk:read", "desk:list"}, ORDERS: {"orders:read"}}

NESTED = """
chain = "nested"
narrows = true
target = "resource"
[authorization_servers.firm.agents.assistant]
client_id = "agent-a"
audience = "https://agent-a.example/"
[authorization_servers.firm.agents.clerk]
client_id = "agent-b"
audience = "https://agent-b.example/"
"""
SIGNED = 'chain = "signed"\nnarrows = true\ntarget = "resource"\nclient_id = "proxy"\n'
ON_BEHALF_OF = (
    'chain = "signed"\nnarrows = true\ndialect = "on-behalf-of"\nclient_id = "proxy"\nsame_claim = "oid"\n'
)

CONFIG = """
[approvals.groups.operators]
members = ["local:carol"]
[authority]
issuer = "http://127.0.0.1:8700"
[authorization_servers.firm]
issuer = "{issuer}"
token_endpoint = "{issuer}/token"
jwks_uri = "{issuer}/jwks"
algorithms = ["RS256"]
token_types = ["at+jwt"]
{firm}
[agents.assistant]
owner = "ops"
purpose = "tickets"
ceiling = [{reading}]
delegable = [{reading}]
[agents.clerk]
owner = "ops"
purpose = "tickets"
ceiling = [{reading}]
[workflows.tickets]
agent = "assistant"
purpose = "answer a ticket"
expires_in = 3600
budget = {{ calls = 100, writes = 2 }}
capabilities = [{reading}]
delegable = [{reading}]
depth = 1
fan_out = 4
[servers.desk]
url = "{desk}"
resource = "https://desk.example/mcp"
[servers.desk.credential]
by = "authorization"
authorization_server = "firm"
scope = ["desk:read", "desk:list"]
scopes = {{ "read*" = ["desk:read"], "method:*" = ["desk:list"] }}
[servers.desk.tools.read_ticket]
action = "read"
sensitivity = "internal"
integrity = "trusted"
destination = "desk"
[servers.desk.tools.search]
action = "read"
sensitivity = "internal"
integrity = "trusted"
destination = "desk"
"""
READING = '{ tools = ["desk/*"], actions = ["read"], sensitivity = "internal", destinations = ["desk"] }'
HANDED = Narrowing(
    purpose="read one",
    capabilities=(
        Capability(tools=("desk/*",), actions=("read",), sensitivity="internal", destinations=("desk",)),
    ),
    budget=Budget(calls=10, writes=0),
    expires_in=600,
)
CALL = ToolCall(server="desk", tool="read_ticket", arguments={"ticket": 7})


@dataclass
class ForeignServer:
    """Checks what RFC 8693 leaves open too: whose tokens they are, and that nothing widens.

    `addressed` is, by client, what a token for it names in `aud`; `strict` makes it look. `tamper` changes
    the claims of what it issues, `shape` its answers. `asked` is every request.
    """

    clock: Clock
    issuer: str = ISSUER
    clients: dict[str, VerificationKey] = field(default_factory=dict[str, VerificationKey])
    addressed: dict[str, str] = field(default_factory=dict[str, str])
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "f1"}))
    dialect: str = "token-exchange"
    strict: bool = True
    tamper: Callable[[dict[str, Any]], dict[str, Any]] = lambda claims: claims
    shape: Callable[[dict[str, Any]], dict[str, Any]] = lambda answer: answer
    asked: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    fetched: int = 0
    used: set[str] = field(default_factory=set[str])

    @property
    def now(self) -> int:
        return self.clock.now() // SECOND

    def jwks(self) -> bytes:
        self.fetched += 1
        return json.dumps({"keys": [self.key.as_dict(private=False, use="sig", alg="RS256")]}).encode()

    def signed(self, claims: dict[str, Any], typ: str = "at+jwt") -> str:
        header = {"alg": "RS256", "kid": self.key.kid, "typ": typ}
        return jws.serialize_compact(cast("Any", header), json.dumps(claims).encode(), self.key)

    def person_token(self, person: str = "alice", client: str = "agent-a", **more: Any) -> str:
        """What a person who has logged in gives for a task."""
        claims: dict[str, Any] = {
            "iss": self.issuer,
            "sub": person,
            "oid": f"oid-{person}",
            "aud": self.addressed.get(client, client),
            "client_id": "assistant-app",
            "scope": "openid desk:read desk:list orders:read",
            "iat": self.now,
            "exp": self.now + 3_000,
            "jti": secrets.token_hex(8),
        }
        return self.signed({k: v for k, v in (claims | more).items() if v is not None})

    def answer(self, url: str, form: dict[str, str]) -> tuple[int, bytes]:
        """What it says to a request, its form empty for GET."""
        if not form:
            assert url == f"{self.issuer}/jwks"
            return 200, self.jwks()
        assert url == f"{self.issuer}/token"
        self.asked.append(dict(form))
        try:
            answer = self._token(dict(form))
        except RefusedError as error:
            return 400, json.dumps({"error": str(error)}).encode()
        return 200, json.dumps(self.shape(answer)).encode()

    def claims(self, token: str) -> dict[str, Any]:
        """The claims of a token it has issued."""
        try:
            return json.loads(jws.deserialize_compact(token, self.key, algorithms=["RS256"]).payload)
        except Exception as error:
            raise RefusedError("invalid_request") from error

    def _token(self, form: dict[str, str]) -> dict[str, Any]:
        client = self._client(form)
        grant = form.pop("grant_type")
        if grant == "client_credentials":
            return self._issued({"sub": f"service-{client}", "client_id": client, "aud": client})
        if self.dialect == "on-behalf-of":
            return self._on_behalf_of(client, grant, form)
        _need(grant == EXCHANGE, "unsupported_grant_type")
        _need(form.keys() >= {"subject_token", "subject_token_type", "resource", "scope"}, "invalid_request")
        subject, target = self.claims(form["subject_token"]), form["resource"]
        _need(form["subject_token_type"] == ACCESS_TOKEN, "invalid_request")
        _need(not self.strict or subject["aud"] == self.addressed.get(client, client), "invalid_request")
        actor = client
        if "actor_token" in form:
            acting = self.claims(form["actor_token"])
            _need(not self.strict or acting["client_id"] == client, "invalid_request")
            actor = acting["sub"]
        _need("may_act" not in subject or "actor_token" in form, "invalid_request")
        wanted = set(form["scope"].split())
        known = SCOPES.get(target, wanted if target in self.addressed.values() else set[str]())
        _need(bool(known), "invalid_target")
        _need(wanted <= set(subject["scope"].split()) & known, "invalid_scope")
        act = {"sub": actor} | ({"act": subject["act"]} if "act" in subject else {})
        kept = {"sub": subject["sub"], "oid": subject["oid"], "scope": form["scope"]}
        return self._issued({**kept, "client_id": client, "aud": target, "act": act}) | {
            "issued_token_type": ACCESS_TOKEN
        }

    def _on_behalf_of(self, client: str, grant: str, form: dict[str, str]) -> dict[str, Any]:
        _need(grant == "urn:ietf:params:oauth:grant-type:jwt-bearer", "unsupported_grant_type")
        _need(form.keys() == {"assertion", "requested_token_use", "scope"}, "invalid_request")
        _need(form["requested_token_use"] == "on_behalf_of", "invalid_request")
        subject = self.claims(form["assertion"])
        _need(subject["aud"] == self.addressed.get(client, client), "invalid_grant")
        wanted = form["scope"].split()
        _need(all(scope in SCOPES[DESK] for scope in wanted), "invalid_scope")
        pairwise = f"{subject['sub']}-at-desk"
        claims = {"sub": pairwise, "oid": subject["oid"], "aud": DESK, "azp": client, "scp": form["scope"]}
        return self._issued(claims) | {"ext_expires_in": 300}

    def _issued(self, claims: dict[str, Any]) -> dict[str, Any]:
        dates = {"iss": self.issuer, "iat": self.now, "exp": self.now + 300, "jti": secrets.token_hex(8)}
        whole = self.tamper({**dates, **claims})
        token = self.signed({name: value for name, value in whole.items() if value is not None})
        told = {"scope": claims["scope"]} if "scope" in claims else {}
        return {"access_token": token, "token_type": "Bearer", "expires_in": 300, **told}

    def _client(self, form: dict[str, str]) -> str:
        """Who asks; the parameters it has authenticated with are taken out of the form."""
        kind, assertion = form.pop("client_assertion_type", ""), form.pop("client_assertion", "")
        claimed = form.pop("client_id", "")
        try:
            said = json.loads(decode(assertion.split(".")[1]))
            key = self.clients[said["sub"]]
            expected = Expected(("client-authentication+jwt", "JWT"), said["sub"], self.issuer)
            found = verify(assertion, {key.kid: key}, expected, self.clock.now()).claims
        except (TokenError, KeyError, ValueError, IndexError) as error:
            raise RefusedError("invalid_client") from error
        _need(kind == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer", "invalid_client")
        _need(found["sub"] == claimed and found["jti"] not in self.used, "invalid_client")
        self.used.add(found["jti"])
        return claimed


class RefusedError(Exception):
    """What a token endpoint refuses with: an OAuth error code."""


def _need(so: bool, error: str) -> None:
    if not so:
        raise RefusedError(error)


@dataclass
class Firm:
    """A guard whose `desk` gets its tokens from an external authorization server."""

    guard: Guard
    server: ForeignServer
    clock: FixedClock

    def task(self, person: str = "alice", token: str = "") -> Task:
        """A task with the token of its person, addressed to whoever exchanges it first."""
        task = self.guard.open_task("tickets", person)
        self.guard.keep_subject_token(task, "firm", token or self.server.person_token(person, self.first))
        return task

    @property
    def first(self) -> str:
        return "agent-a" if self.guard.settings.authorization_servers["firm"].agents else "proxy"

    def handed(self, task: Task) -> Chain:
        """The chain of the clerk, to whom the task's agent has handed work."""
        delegation = self.guard.delegate(self.guard.enter(task.id), "clerk", HANDED)
        assert delegation.chain is not None, delegation.decision.verdict
        return delegation.chain

    def request(self, chain: Chain, call: ToolCall = CALL) -> TokenRequest | str:
        """The first question for a call that was permitted."""
        decision = self.guard.authorize(call, chain)
        assert decision.permitted, decision.verdict
        return self.guard.external_request(decision, call)

    def obtained(self, chain: Chain, call: ToolCall = CALL) -> str:
        """The token for a call."""
        return self.finished(self.request(chain, call))

    def finished(self, found: TokenRequest | str) -> str:
        """Ask until there is a token."""
        for _ in range(12):
            if isinstance(found, str):
                return found
            found = self.guard.external_received(found, *self.server.answer(found.url, dict(found.form)))
        raise AssertionError("it does not end")

    def credentials(self) -> list[dict[str, Any]]:
        """The records of credentials from elsewhere, the oldest first."""
        found = self.guard.ledger.rows(RowFilter(kind="credential", oldest_first=True))
        recorded = [row.record["credential"] for row in found]
        return [one for one in recorded if one["kind"] == "exchanged"]


def written(firm: str, issuer: str = ISSUER, desk: str = "https://desk.example/mcp") -> str:
    return CONFIG.format(firm=firm, issuer=issuer, desk=desk, reading=READING)


def a_firm(folder: Path, firm: str = NESTED, clock: FixedClock | None = None) -> Firm:
    """An installation in an empty folder, and the server that knows its key."""
    path, clock = folder / "hopward.toml", clock or FixedClock()
    path.write_text(written(firm))
    create(folder)
    key = KeyRing.open(folder / ".hopward/keys").proxy.verification()
    server = ForeignServer(
        clock,
        clients=dict.fromkeys(("agent-a", "agent-b", "proxy"), key),
        addressed={"agent-a": "https://agent-a.example/", "agent-b": "https://agent-b.example/"},
        dialect="on-behalf-of" if "on-behalf-of" in firm else "token-exchange",
    )
    return Firm(Guard.open(path, clock=clock), server, clock)
