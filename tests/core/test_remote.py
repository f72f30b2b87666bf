"""What a proxy asks of a remote authority, and what it accepts: exactly what it planned, or nothing."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hopward import Guard
from hopward.canonical import digest
from hopward.clock import SECOND
from hopward.errors import ChainError, ConfigError, ExchangeRefusedError, HopwardError, StateError
from hopward.jose import sign
from hopward.jwk import SigningKey
from hopward.keys import KeyRing
from hopward.ledger import RowFilter
from hopward.model import Chain, Decision, Task, ToolCall, plain
from hopward.project import create
from hopward.record import Row
from hopward.remote import TokenRequest
from hopward.testing.clock import NOON, FixedClock
from hopward.wire import SELF_SIGNED_TYPE, ExchangeForm, read_request

CONFIG = """
[approvals.groups.operators]
members = ["local:carol"]

[authority]
issuer = "http://127.0.0.1:8700"
mode = "remote"
token_endpoint = "http://127.0.0.1:8700/token"
[agents.assistant]
owner = "ops"
purpose = "tickets"
[[agents.assistant.ceiling]]
tools = ["desk/*"]
actions = ["read"]
sensitivity = "internal"
destinations = ["desk"]
[workflows.tickets]
agent = "assistant"
purpose = "answer a ticket"
expires_in = 600
budget = { calls = 10, writes = 2 }
[[workflows.tickets.capabilities]]
tools = ["desk/*"]
actions = ["read"]
sensitivity = "internal"
destinations = ["desk"]
[servers.desk]
url = "https://desk.example/mcp"
resource = "https://desk.example/mcp"
credential = { by = "authorization" }
[servers.desk.tools.read_ticket]
action = "read"
sensitivity = "internal"
integrity = "untrusted"
destination = "desk"
"""
CALL = ToolCall(server="desk", tool="read_ticket", arguments={"ticket": 7})
ENDPOINT = "http://127.0.0.1:8701/desk/mcp"


@dataclass(slots=True)
class Split:
    """A proxy without the signing key, an authority that has it, one decision log."""

    proxy: Guard
    authority: Guard
    clock: FixedClock
    signing: SigningKey

    def open_task(self) -> Task:
        return self.proxy.open_task("tickets", "alice")

    def presented(self, task: Task) -> tuple[Chain, str]:
        """A caller's chain, and the access token it came with."""
        issuer, ledger = self.authority.issuer, self.authority.ledger
        form = ExchangeForm(
            subject_token=issuer.task_token(task, ledger).token,
            actor_token=issuer.agent_token(task.agent, ledger).token,
            target=ENDPOINT,
        )
        token = issuer.exchange(form, issuer.clients[task.agent], ledger).token
        return self.proxy.identify(token, ENDPOINT), token

    def permitted(self, chain: Chain) -> Decision:
        decision = self.proxy.authorize(CALL, chain)
        assert decision.permitted, decision.verdict
        return decision

    def answered(self, request: TokenRequest) -> tuple[int, bytes]:
        """What the authority says to a request, in its own process, as it were."""
        issuer = self.authority.issuer
        form = read_request(list(request.form.items()))
        issued = issuer.exchange(form, issuer.clients["hopward-proxy"], self.authority.ledger)
        return 200, json.dumps(issued.answer()).encode()

    def altered(self, request: TokenRequest, **changes: Any) -> bytes:
        """The authority's answer with a token that says something else; `None` leaves a claim out."""
        _, body = self.answered(request)
        answer = json.loads(body)
        issued = self.authority.issuer.verify(answer["access_token"])
        content: dict[str, Any] = {
            "iss": "http://127.0.0.1:8700",
            "sub": issued.subject,
            "aud": issued.audience,
            "client_id": issued.client,
            "iat": issued.issued_at // SECOND,
            "exp": issued.expires_at // SECOND,
            "jti": issued.token,
            "scope": "desk/read_ticket",
            "txn": issued.task,
            "act": {"sub": "agent:assistant"},
            "lineage": list(issued.lineage),
            "authorization_details": answer["authorization_details"],
            "decision": request.call.decision,
        }
        content = {name: value for name, value in (content | changes).items() if value is not None}
        return json.dumps(answer | {"access_token": sign(content, self.signing, "at+jwt")}).encode()

    def rows(self, kind: str, task: Task) -> list[Row]:
        asked = RowFilter(kind=kind, task=task.id, oldest_first=True)
        return list(self.proxy.ledger.rows(asked))


def a_split(folder: Path, config: str = CONFIG) -> Split:
    """Both over one log in an empty folder."""
    path, clock = folder / "hopward.toml", FixedClock()
    path.write_text(config)
    create(folder)
    authority = Guard.open(path, clock=clock, as_authority=True)
    signing = KeyRing.open(folder / ".hopward/keys").signing
    (folder / ".hopward/keys/authority.json").rename(folder / "away.json")
    proxy = Guard.open(path, clock=clock)
    (folder / "away.json").rename(folder / ".hopward/keys/authority.json")
    return Split(proxy, authority, clock, signing)


@pytest.fixture
def split(tmp_path: Path) -> Split:
    return a_split(tmp_path)


def refused(split: Split, request: TokenRequest, status: int, body: bytes) -> str:
    """Code and sentence of an answer that is not accepted; no row is left of it."""
    before = split.proxy.ledger.head()
    with pytest.raises(ExchangeRefusedError) as refusal:
        split.proxy.credential_received(request, status, body)
    assert split.proxy.ledger.head() == before
    return f"{refusal.value.error}: {refusal.value.message}"


def test_the_proxy_has_no_key_to_sign_with(split: Split) -> None:
    assert split.authority.signs
    assert not split.proxy.signs
    chain = split.proxy.enter(split.open_task().id)
    decision = split.permitted(chain)
    with pytest.raises(ExchangeRefusedError, match="remote authority"):
        split.proxy.mint(decision, CALL)
    rows = split.proxy.ledger.head()
    with pytest.raises(ExchangeRefusedError, match="remote authority"):
        split.proxy.introduce(chain, "desk", "tools/list")
    assert split.proxy.ledger.head() == rows
    with pytest.raises(StateError, match="Only the authority signs"):
        split.proxy.issuer.rotate(split.proxy.ledger)


def test_where_credentials_come_from_is_known_only_with_the_key_to_ask(split: Split) -> None:
    assert split.proxy.token_endpoint == "http://127.0.0.1:8700/token"
    (split.proxy.settings.keys_folder / "proxy.json").unlink()
    with pytest.raises(ConfigError, match=r"proxy\.json"):
        _ = split.proxy.token_endpoint


def test_a_session_asks_with_a_token_of_the_proxys_own(split: Split) -> None:
    task = split.open_task()
    decision = split.permitted(split.proxy.enter(task.id))
    request = split.proxy.credential_request(decision, CALL)
    assert request.form["subject_token_type"] == SELF_SIGNED_TYPE
    token = split.proxy.credential_received(request, *split.answered(request))
    presented = split.authority.issuer.verify(token)
    assert (presented.task, presented.audience) == (task.id, "https://desk.example/mcp")


def test_a_caller_is_asked_for_with_its_own_token(split: Split) -> None:
    chain, subject_token = split.presented(split.open_task())
    request = split.proxy.credential_request(split.permitted(chain), CALL, subject_token)
    assert request.form["subject_token"] == subject_token
    assert request.form["resource"] == "https://desk.example/mcp"
    assert request.form["scope"] == "desk/read_ticket"
    (details,) = json.loads(request.form["authorization_details"])
    assert details["arguments_digest"] == digest({"ticket": 7})
    token = split.proxy.credential_received(request, *split.answered(request))
    assert f"token:{chain.token}" in split.authority.issuer.verify(token).lineage


def test_the_row_of_a_credential_is_there_before_its_token_and_holds_no_secret(split: Split) -> None:
    task = split.open_task()
    chain, subject_token = split.presented(task)
    decision = split.permitted(chain)
    assert [row for row in split.rows("credential", task) if row.decision] == []
    request = split.proxy.credential_request(decision, CALL, subject_token)
    token = split.proxy.credential_received(request, *split.answered(request))
    issued, received = [row for row in split.rows("credential", task) if row.decision == decision.id]
    jti = split.authority.issuer.verify(token).token
    assert (issued.record["credential"]["kind"], received.record["credential"]["kind"]) == (
        "token",
        "exchanged",
    )
    assert issued.record["credential"]["id"] == received.record["credential"]["id"] == jti
    assert received.record["credential"]["audience"] == "https://desk.example/mcp"
    assert received.record["credential"]["expires_at"] == NOON + 60 * SECOND
    assert (received.server, received.tool, received.agent) == ("desk", "read_ticket", "assistant")
    told = str([plain(row.record) for row in split.proxy.ledger.rows()])
    for secret in (token, subject_token, request.form["client_assertion"]):
        assert secret not in told
        assert secret not in repr(request)


def test_a_request_that_calls_nothing_is_introduced_the_same_way(split: Split) -> None:
    task = split.open_task()
    chain, subject_token = split.presented(task)
    request = split.proxy.introduction_request(chain, "desk", "tools/list", subject_token)
    token = split.proxy.credential_received(request, *split.answered(request))
    assert split.authority.issuer.verify(token).scope == ("desk/method:tools/list",)
    row = split.rows("credential", task)[-1]
    assert (row.tool, row.decision) == ("method:tools/list", "")
    split.proxy.complete_task(task.id)
    with pytest.raises(ChainError, match="completed"):
        split.proxy.introduction_request(chain, "desk", "tools/list", subject_token)


def test_every_request_authenticates_anew(split: Split) -> None:
    decision = split.permitted(split.proxy.enter(split.open_task().id))
    first, second = (split.proxy.credential_request(decision, CALL) for _ in range(2))
    for name in ("client_assertion", "subject_token"):
        assert first.form[name] != second.form[name]


def test_only_what_was_decided_is_asked_for(split: Split) -> None:
    chain = split.proxy.enter(split.open_task().id)
    decision = split.permitted(chain)
    other = ToolCall(server="desk", tool="read_ticket", arguments={"ticket": 8})
    with pytest.raises(HopwardError, match="another call"):
        split.proxy.credential_request(decision, other)
    denied = split.proxy.authorize(ToolCall(server="desk", tool="refund"), chain)
    with pytest.raises(HopwardError, match="no permit"):
        split.proxy.credential_request(denied, ToolCall(server="desk", tool="refund"))
    assert decision.credential is not None
    for kind in ("token", "brokered"):
        credential = msgspec.structs.replace(decision.credential, kind=kind)
        altered = msgspec.structs.replace(decision, credential=credential)
        with pytest.raises(ExchangeRefusedError, match="No authority is asked"):
            split.proxy.credential_request(altered, CALL)
    split.clock.advance(60 * SECOND)
    with pytest.raises(ExchangeRefusedError, match="over"):
        split.proxy.credential_request(decision, CALL)


def test_the_proxy_never_speaks_for_a_chain_that_a_token_has_presented(split: Split) -> None:
    task = split.open_task()
    chain, subject_token = split.presented(task)
    with pytest.raises(HopwardError, match="do not go together"):
        split.proxy.credential_request(split.permitted(chain), CALL)
    entered = split.proxy.enter(task.id)
    with pytest.raises(HopwardError, match="do not go together"):
        split.proxy.credential_request(split.permitted(entered), CALL, subject_token)


def test_the_answer_as_the_authority_gives_it_is_accepted_spelled_out(split: Split) -> None:
    chain, subject_token = split.presented(split.open_task())
    request = split.proxy.credential_request(split.permitted(chain), CALL, subject_token)
    assert split.proxy.credential_received(request, 200, split.altered(request))


DETAIL = {
    "type": "hopward_tool_call",
    "server": "desk",
    "tool": "read_ticket",
    "arguments_digest": digest({"ticket": 7}),
}


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://other.example"},
        {"aud": "https://files.example/mcp"},
        {"aud": "https://desk.example/mcp/"},
        {"aud": ["https://desk.example/mcp"]},
        {"scope": "desk/*"},
        {"scope": "desk/refund"},
        {"scope": "desk/read_ticket desk/refund"},
        {"scope": None},
        {"sub": "bob"},
        {"sub": "agent:assistant"},
        {"txn": "task_other"},
        {"txn": None},
        {"act": None},
        {"act": {"sub": "agent:other"}},
        {"act": {"sub": "agent:assistant", "act": {"sub": "agent:other"}}},
        {"may_act": {"iss": "http://127.0.0.1:8700", "sub": "agent:assistant"}},
        {"client_id": "assistant"},
        {"client_id": None},
        {"exp": NOON // SECOND + 61},
        {"iat": NOON // SECOND - 1, "exp": NOON // SECOND + 60},
        {"iat": NOON // SECOND + 4, "exp": NOON // SECOND + 61},
        {"exp": NOON // SECOND - 1, "iat": NOON // SECOND - 9},
        {"jti": None},
        {"cnf": {"jkt": "x"}},
        {"decision": "dec_other"},
        {"decision": None},
        {"decision": 7},
        {"lineage": None},
        {"lineage": ["token:another"]},
        {"hops": ["hop_" + "0" * 24]},
        {"authorization_details": None},
        {"authorization_details": []},
        {"authorization_details": [{**DETAIL, "arguments_digest": digest({"ticket": 8})}]},
        {"authorization_details": [{**DETAIL, "tool": "refund"}]},
        {"authorization_details": [{**DETAIL, "server": "files"}]},
        {"authorization_details": [{**DETAIL, "decision": "dec_1"}]},
        {"authorization_details": [DETAIL, DETAIL]},
    ],
    ids=str,
)
def test_a_token_that_says_anything_else_is_not_accepted(split: Split, changes: dict[str, Any]) -> None:
    chain, subject_token = split.presented(split.open_task())
    request = split.proxy.credential_request(split.permitted(chain), CALL, subject_token)
    body = split.altered(request, **changes)
    assert refused(split, request, 200, body).startswith("wrong_credential: The authority has answered")


def test_a_token_of_another_type_or_key_is_not_accepted(split: Split) -> None:
    chain, subject_token = split.presented(split.open_task())
    request = split.proxy.credential_request(split.permitted(chain), CALL, subject_token)
    own = split.signing
    other = SigningKey.generate("ES256")
    for signing in (
        other,
        SigningKey(own.kid, "ES256", other.private),
        KeyRing.open(split.proxy.settings.keys_folder).proxy,
    ):
        split.signing = signing
        assert refused(split, request, 200, split.altered(request)).startswith("wrong_credential")
    answer = json.loads(split.answered(request)[1])
    claims = {"iss": "http://127.0.0.1:8700", "sub": "alice", "aud": "https://desk.example/mcp", "jti": "x"}
    claims |= {"iat": NOON // SECOND, "exp": NOON // SECOND + 60}
    body = json.dumps(answer | {"access_token": sign(claims, own, "JWT")}).encode()
    assert "another type" in refused(split, request, 200, body)


def test_a_callers_own_token_is_no_credential(split: Split) -> None:
    chain, subject_token = split.presented(split.open_task())
    request = split.proxy.credential_request(split.permitted(chain), CALL, subject_token)
    answer = json.loads(split.answered(request)[1])
    body = json.dumps(answer | {"access_token": subject_token}).encode()
    assert refused(split, request, 200, body).startswith("wrong_credential")


def test_a_credential_outlives_neither_the_callers_token_nor_the_task(split: Split) -> None:
    chain, subject_token = split.presented(split.open_task())
    split.clock.set(chain.expires_at - 30 * SECOND)
    request = split.proxy.credential_request(split.permitted(chain), CALL, subject_token)
    now = split.clock.now() // SECOND
    assert refused(split, request, 200, split.altered(request, exp=now + 31)).startswith("wrong_credential")
    assert split.proxy.credential_received(request, 200, split.altered(request, exp=now + 30))


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (400, b'{"error": "invalid_scope"}', "invalid_scope"),
        (400, b'{"error": "invalid_grant"}', "invalid_request"),
        (401, b'{"error": "invalid_client"}', "invalid_client"),
        (503, b'{"error": "server_error"}', "server_error"),
        (200, b"", "server_error"),
        (200, b"{}", "server_error"),
        (302, b"", "server_error"),
        (200, b"<html>", "server_error"),
        (200, b'{"access_token": "a", "access_token": "b"}', "server_error"),
    ],
)
def test_an_answer_that_is_no_plain_yes_is_a_refusal(
    split: Split, status: int, body: bytes, code: str
) -> None:
    decision = split.permitted(split.proxy.enter(split.open_task().id))
    request = split.proxy.credential_request(decision, CALL)
    assert refused(split, request, status, body).startswith(f"{code}:")


@pytest.mark.parametrize("what", ["task", "agent", "subject"])
def test_what_is_revoked_while_the_authority_answers_is_not_used(split: Split, what: Any) -> None:
    task = split.open_task()
    decision = split.permitted(split.proxy.enter(task.id))
    request = split.proxy.credential_request(decision, CALL)
    answer = split.answered(request)
    name = {"task": task.id, "agent": "assistant", "subject": "alice"}[what]
    split.proxy.revoke(what, name, by="ops", why="a test")
    before = split.proxy.ledger.head()
    with pytest.raises(ChainError, match="revoked"):
        split.proxy.credential_received(request, *answer)
    assert split.proxy.ledger.head() == before


def test_an_authority_that_is_elsewhere_is_not_opened_here(tmp_path: Path) -> None:
    path = tmp_path / "hopward.toml"
    path.write_text(CONFIG)
    create(tmp_path)
    own = 'token_endpoint = "http://127.0.0.1:8700/token"'
    for endpoint in ("https://auth.example/token", "http://127.0.0.1:8700/t", "http://127.0.0.1:8799/token"):
        path.write_text(CONFIG.replace(own, f'token_endpoint = "{endpoint}"'))
        with pytest.raises(ConfigError, match="elsewhere"):
            Guard.open(path, as_authority=True)
    behind_tls = CONFIG.replace('issuer = "http://127.0.0.1:8700"', 'issuer = "https://auth.example/hopward"')
    path.write_text(behind_tls.replace(own, 'token_endpoint = "http://127.0.0.1:8700/hopward/token"'))
    Guard.open(path, as_authority=True).close()


def test_a_guard_opened_as_the_authority_publishes_its_keys(tmp_path: Path) -> None:
    path = tmp_path / "hopward.toml"
    path.write_text(CONFIG)
    create(tmp_path)
    published = tmp_path / ".hopward/keys/jwks.json"
    published.unlink()
    with pytest.raises(ConfigError, match=r"jwks\.json"):
        Guard.open(path)
    guard = Guard.open(path, as_authority=True)
    assert json.loads(published.read_text()) == guard.issuer.jwks()
    old = guard.issuer.jwks()["keys"][0]["kid"]
    proxy = Guard.open(path)
    new = guard.issuer.rotate(guard.ledger)
    assert [key["kid"] for key in proxy.issuer.jwks()["keys"]] == [new, old]
    proxy.revoke("key", old, by="ops", why="leaked")
    assert [key["kid"] for key in guard.issuer.jwks()["keys"]] == [new]
    (tmp_path / ".hopward/keys/authority.json").unlink()
    with pytest.raises(StateError, match="is revoked, but servers still find it published"):
        proxy.revoke("key", new, by="ops", why="leaked")
    assert proxy.ledger.revocations("key", new)
    guard.close()
    proxy.close()
