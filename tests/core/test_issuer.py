"""The issuer over a real key ring and a real decision log: every token it mints, and every one it refuses."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jwt
import msgspec
import pytest
from msgspec.structs import replace

from hopward.canonical import digest
from hopward.chain import entered
from hopward.claims import CallDetails
from hopward.clock import SECOND, Instant
from hopward.errors import ConfigError, ExchangeRefusedError, LedgerError, StateError, TokenError
from hopward.exchange import Client
from hopward.identity import Identifier
from hopward.issuer import Book, Issued, Issuer
from hopward.jose import sign
from hopward.jwk import SigningKey
from hopward.model import Chain, Credential, RevocationKind, Task, ToolCall, plain
from hopward.record import Draft, Receipt, Row, Standing
from hopward.settings import Delivery
from hopward.testing.clock import NOON
from hopward.testing.installation import (
    DESK,
    DESK_UPSTREAM,
    EVERYTHING,
    FILES,
    FILES_UPSTREAM,
    ISSUER,
    Installation,
    an_installation,
)
from hopward.testing.samples import NOTE, a_hop, an_agent
from hopward.wire import ExchangeForm

CALL = ToolCall(server="desk", tool="refund", arguments={"ticket": 7, "amount": 20})
DETAILS = CallDetails(server="desk", tool="refund", arguments_digest=digest(CALL.arguments), decision="dec_1")


@pytest.fixture
def place(tmp_path: Path) -> Installation:
    return an_installation(tmp_path)


def opened(place: Installation, token: str) -> dict[str, Any]:
    """The claims, read by another library."""
    keys = {key["kid"]: key for key in place.issuer.jwks()["keys"]}
    head = jwt.get_unverified_header(token)
    assert head["typ"] == "at+jwt"
    assert head["alg"] == "ES256"
    options: Any = {"verify_exp": False, "verify_aud": False, "verify_iat": False}
    claims = jwt.decode(token, jwt.PyJWK(keys[head["kid"]]), ["ES256"], options=options)
    assert isinstance(claims["aud"], str)
    return claims


def last_row(place: Installation, kind: str = "credential") -> Row:
    return next(row for row in place.ledger.rows() if row.kind == kind)


def client(place: Installation, name: str = "helper") -> Client:
    return place.issuer.clients[name]


def access(place: Installation, task: Task, target: str = DESK, **changes: Any) -> Issued:
    """The access token the task's agent gets for an endpoint."""
    fields: dict[str, Any] = {
        "subject_token": place.issuer.task_token(task, place.ledger).token,
        "actor_token": place.issuer.agent_token(task.agent, place.ledger).token,
        "target": target,
    }
    form = ExchangeForm(**(fields | changes))
    return place.issuer.exchange(form, client(place, task.agent), place.ledger)


def for_call(place: Installation, subject_token: str, book: Book | None = None) -> Issued:
    """The credential the proxy gets for the call, over RFC 8693."""
    form = ExchangeForm(
        subject_token=subject_token, target=DESK_UPSTREAM, scope=("desk/refund",), call=DETAILS
    )
    return place.issuer.exchange(form, client(place, "hopward-proxy"), book or place.ledger)


def refusal(place: Installation, form: ExchangeForm, name: str = "helper") -> str:
    rows = place.ledger.head()
    with pytest.raises(ExchangeRefusedError) as refused:
        place.issuer.exchange(form, client(place, name), place.ledger)
    assert place.ledger.head() == rows
    return refused.value.error


# Task tokens and agent tokens.


def test_a_task_token_says_what_for_whom_and_who_must_act(place: Installation) -> None:
    task = place.open_task()
    issued = place.issuer.task_token(task, place.ledger)
    claims = opened(place, issued.token)
    assert claims == {
        "iss": ISSUER,
        "sub": "alice",
        "aud": ISSUER,
        "client_id": "helper",
        "iat": NOON // SECOND,
        "exp": NOON // SECOND + 3600,
        "jti": issued.id,
        "scope": "desk/* files/*",
        "txn": task.id,
        "may_act": {"iss": ISSUER, "sub": "agent:helper"},
    }
    assert issued.expires_in == 3600


def test_an_agent_token_says_who_acts_and_carries_no_authority(place: Installation) -> None:
    issued = place.issuer.agent_token("helper", place.ledger)
    assert opened(place, issued.token) == {
        "iss": ISSUER,
        "sub": "agent:helper",
        "aud": ISSUER,
        "client_id": "helper",
        "iat": NOON // SECOND,
        "exp": NOON // SECOND + 900,
        "jti": issued.id,
    }
    assert issued.scope == ()


def test_every_token_has_an_id_of_its_own(place: Installation) -> None:
    ids = {place.issuer.agent_token("helper", place.ledger).id for _ in range(50)}
    assert len(ids) == 50
    assert all(len(name) == len("tok_") + 32 for name in ids)


def test_only_a_registered_active_agent_gets_a_token(place: Installation) -> None:
    """Advisory row 51 (CVE-2026-1609)."""
    for state in ("suspended", "retired"):
        place.put_agent(an_agent("helper", state=state))
        with pytest.raises(ExchangeRefusedError, match=state):
            place.issuer.agent_token("helper", place.ledger)
    with pytest.raises(ExchangeRefusedError, match="not registered"):
        place.issuer.agent_token("ghost", place.ledger)


def test_a_task_that_is_not_open_gets_no_token(place: Installation) -> None:
    done, late = place.open_task(), place.open_task(seconds=10)
    place.end_task(done, "completed")
    place.clock.advance(10 * SECOND)
    for task in (done, late, msgspec.structs.replace(late, id="task_x")):
        with pytest.raises(StateError):
            place.issuer.task_token(task, place.ledger)


def test_a_task_of_a_revoked_or_suspended_agent_gets_no_token(place: Installation) -> None:
    task = place.open_task()
    place.clock.advance(SECOND)
    place.revoke("agent", "helper")
    place.clock.advance(SECOND)
    with pytest.raises(StateError, match="revoked"):
        place.issuer.task_token(task, place.ledger)
    place.put_agent(an_agent("helper", state="suspended"))
    with pytest.raises(StateError, match="suspended"):
        place.issuer.task_token(place.open_task(), place.ledger)


def test_a_task_whose_subject_pretends_to_be_an_agent_gets_no_token(place: Installation) -> None:
    with pytest.raises(StateError, match="never an agent"):
        place.issuer.task_token(place.open_task(subject="agent:other"), place.ledger)


def test_less_than_a_second_is_no_life_for_a_token(place: Installation) -> None:
    task = place.open_task(seconds=2)
    place.clock.advance(2 * SECOND - 1)
    assert place.issuer.task_token
    place.clock.set(NOON + SECOND)
    assert place.issuer.task_token(task, place.ledger).expires_in == 1
    ends = msgspec.structs.replace(task, expires_at=NOON + SECOND + 1)
    place.ledger.put_task(ends, Draft(kind="task", at=NOON, record={}))
    with pytest.raises(StateError, match="second"):
        place.issuer.task_token(ends, place.ledger)


# Exchange for an access token, and for a credential.


def test_the_access_token_of_an_agent_names_everyone_involved(place: Installation) -> None:
    task = place.open_task()
    issued = access(place, task)
    claims = opened(place, issued.token)
    lineage = claims.pop("lineage")
    assert claims == {
        "iss": ISSUER,
        "sub": "alice",
        "aud": DESK,
        "client_id": "helper",
        "iat": NOON // SECOND,
        "exp": NOON // SECOND + 900,
        "jti": issued.id,
        "scope": "desk/*",
        "txn": task.id,
        "act": {"sub": "agent:helper"},
    }
    inputs = [row.record["credential"]["id"] for row in place.ledger.rows() if row.kind == "credential"][1:]
    assert [name for name in lineage if name.startswith("token:")] == [
        f"token:{name}" for name in inputs[::-1]
    ]
    assert f"key:{place.keyring.signing.kid}" in lineage


def test_the_row_of_a_token_holds_its_ids_and_never_the_token(place: Installation) -> None:
    """Check 10, and rule 5 of the design."""
    task = place.open_task()
    issued = access(place, task)
    row = last_row(place)
    assert (row.task, row.agent, row.server) == (task.id, "helper", "desk")
    assert row.record["client"] == "helper"
    stored = msgspec.convert(row.record["credential"], Credential)
    assert (stored.id, stored.audience, stored.scope) == (issued.id, DESK, "desk/*")
    assert stored.expires_at == NOON + 900 * SECOND
    assert len([name for name in stored.lineage if name.startswith("token:")]) == 2
    text = "".join(str(plain(one.record)) for one in place.ledger.rows())
    assert issued.token not in text
    assert issued.token.rpartition(".")[2] not in text
    assert issued.token.split(".")[1] not in text


def test_the_proxy_exchanges_per_call_for_the_upstream(place: Installation) -> None:
    task = place.open_task()
    held = access(place, task)
    issued = for_call(place, held.token)
    claims = opened(place, issued.token)
    assert {
        name: claims[name] for name in ("sub", "aud", "client_id", "scope", "txn", "act", "decision")
    } == {
        "sub": "alice",
        "aud": DESK_UPSTREAM,
        "client_id": "hopward-proxy",
        "scope": "desk/refund",
        "txn": task.id,
        "act": {"sub": "agent:helper"},
        "decision": "dec_1",
    }
    assert claims["exp"] - claims["iat"] == 60
    assert claims["authorization_details"] == DETAILS.claim()
    assert f"token:{held.id}" in claims["lineage"]
    row = last_row(place)
    assert (row.decision, row.tool, row.server, row.agent) == ("dec_1", "refund", "desk", "helper")


def test_the_agent_never_gets_a_token_for_an_upstream_server(place: Installation) -> None:
    task = place.open_task()
    for target, server in ((DESK_UPSTREAM, "desk"), (FILES_UPSTREAM, "files")):
        call = CallDetails(server=server, tool="read", arguments_digest=digest({}))
        for subject in (place.issuer.task_token(task, place.ledger).token, access(place, task).token):
            form = ExchangeForm(
                subject_token=subject,
                actor_token=place.issuer.agent_token("helper", place.ledger).token,
                target=target,
                scope=(f"{server}/read",),
                call=call,
            )
            assert refusal(place, form) == "invalid_target"


def test_exchange_refuses_a_revoked_expired_or_foreign_subject_token(place: Installation) -> None:
    """Advisory row 34 (CVE-2026-9097, CVE-2026-9094)."""
    task = place.open_task()
    subject = place.issuer.task_token(task, place.ledger)
    actor = place.issuer.agent_token("helper", place.ledger)
    form = ExchangeForm(subject_token=subject.token, actor_token=actor.token, target=DESK)
    stranger = SigningKey.generate("ES256")
    claims = opened(place, subject.token)
    for foreign in (
        sign(claims, stranger, "at+jwt"),
        sign({**claims, "iss": "https://elsewhere.example"}, place.keyring.signing, "at+jwt"),
        sign(claims, place.keyring.signing, "JWT"),
        sign(claims, place.keyring.proxy, "at+jwt"),
        sign(claims, place.keys["helper"], "at+jwt"),
    ):
        assert refusal(place, msgspec.structs.replace(form, subject_token=foreign)) == "invalid_request"
        assert refusal(place, msgspec.structs.replace(form, actor_token=foreign)) == "invalid_request"
    assert place.issuer.exchange(form, client(place), place.ledger)
    place.revoke("token", subject.id)
    assert refusal(place, form) == "invalid_request"
    place.clock.advance(3600 * SECOND)
    assert refusal(place, form) == "invalid_request"


@pytest.mark.parametrize("which", ["subject_token", "actor_token"])
def test_revoking_either_input_stops_the_exchange(place: Installation, which: str) -> None:
    task = place.open_task()
    tokens = {
        "subject_token": place.issuer.task_token(task, place.ledger),
        "actor_token": place.issuer.agent_token("helper", place.ledger),
    }
    form = ExchangeForm(
        subject_token=tokens["subject_token"].token, actor_token=tokens["actor_token"].token, target=DESK
    )
    assert place.issuer.exchange(form, client(place), place.ledger)
    place.revoke("token", tokens[which].id)
    assert refusal(place, form) == "invalid_request"


def test_a_disabled_subject_or_agent_cannot_exchange(place: Installation) -> None:
    """Advisory row 51 (CVE-2026-1609): everything the tokens stand on is looked at, at every exchange."""
    harms: list[Callable[[Task], None]] = [
        lambda task: place.end_task(task, "completed"),
        lambda task: place.end_task(task, "revoked"),
        lambda task: place.revoke("task", task.id),
        lambda task: place.revoke("subject", "alice"),
        lambda task: place.revoke("agent", "helper"),
        lambda task: place.put_agent(an_agent("helper", state="retired")),
        lambda task: place.put_agent(an_agent("helper", state="suspended")),
    ]
    for harm in harms:
        place.put_agent(an_agent("helper"))
        task = place.open_task()
        form = ExchangeForm(
            subject_token=place.issuer.task_token(task, place.ledger).token,
            actor_token=place.issuer.agent_token("helper", place.ledger).token,
            target=DESK,
        )
        held = place.issuer.exchange(form, client(place), place.ledger)
        assert for_call(place, held.token)
        harm(task)
        assert refusal(place, form) == "invalid_request"
        with pytest.raises(ExchangeRefusedError):
            for_call(place, held.token)
        place.clock.advance(SECOND)


@pytest.mark.parametrize("stopped", ["helper", "other"])
def test_every_agent_of_a_chain_must_count_when_its_token_is_exchanged(
    place: Installation, stopped: str
) -> None:
    task = place.open_task()
    hop = a_hop("hop_" + "1" * 24, task=task.id, capabilities=(EVERYTHING,))
    place.ledger.record([replace(NOTE, opens=hop)])
    claims = opened(place, access(place, task).token)
    claims["act"] = {"sub": "agent:other", "act": {"sub": "agent:helper"}}
    claims |= {"client_id": "other", "hops": [hop.id]}
    token = sign(claims, place.keyring.signing, "at+jwt")
    assert for_call(place, token).scope == ("desk/refund",)
    place.put_agent(an_agent(stopped, state="suspended"))
    with pytest.raises(ExchangeRefusedError, match=f"{stopped} is suspended"):
        for_call(place, token)


def test_a_new_actor_token_does_not_revive_what_was_issued_before_a_cutoff(place: Installation) -> None:
    """The chain to be is as old as the older of its two tokens."""
    task = place.open_task()
    subject = place.issuer.task_token(task, place.ledger).token
    place.clock.advance(SECOND)
    place.revoke("agent", "helper")
    place.clock.advance(SECOND)
    actor = place.issuer.agent_token("helper", place.ledger).token
    assert (
        refusal(place, ExchangeForm(subject_token=subject, actor_token=actor, target=DESK))
        == "invalid_request"
    )
    renewed = place.open_task()
    assert access(place, renewed)


def test_an_actor_token_from_before_a_cutoff_does_not_serve_a_newer_task(place: Installation) -> None:
    actor = place.issuer.agent_token("helper", place.ledger).token
    place.clock.advance(SECOND)
    place.revoke("agent", "helper")
    place.clock.advance(SECOND)
    subject = place.issuer.task_token(place.open_task(), place.ledger).token
    form = ExchangeForm(subject_token=subject, actor_token=actor, target=DESK)
    assert refusal(place, form) == "invalid_request"


@pytest.mark.parametrize("ancestor", ["task", "agent", "access"])
def test_a_revoked_parent_kills_a_child_that_has_its_own_cutoff(place: Installation, ancestor: str) -> None:
    """Advisory row 39, and check 10: revoking any ancestor fells every descendant."""
    task = place.open_task()
    subject = place.issuer.task_token(task, place.ledger)
    actor = place.issuer.agent_token("helper", place.ledger)
    form = ExchangeForm(subject_token=subject.token, actor_token=actor.token, target=DESK)
    held = place.issuer.exchange(form, client(place), place.ledger)
    credential = for_call(place, held.token)
    server = client(place, "server:desk")
    assert place.issuer.introspect(credential.token, server, place.ledger)["active"] is True
    place.clock.advance(SECOND)
    place.revoke("token", {"task": subject.id, "agent": actor.id, "access": held.id}[ancestor])
    with pytest.raises(ExchangeRefusedError, match="revoked"):
        for_call(place, held.token)
    assert place.issuer.introspect(credential.token, server, place.ledger) == {"active": False}


def test_revoking_a_key_fells_what_was_exchanged_from_its_tokens(place: Installation) -> None:
    task = place.open_task()
    old = place.keyring.signing.kid
    form = ExchangeForm(
        subject_token=place.issuer.task_token(task, place.ledger).token,
        actor_token=place.issuer.agent_token("helper", place.ledger).token,
        target=DESK,
    )
    place.keyring.rotate(keep=3600)
    held = place.issuer.exchange(form, client(place), place.ledger)
    assert place.issuer.verify(held.token).key == place.keyring.signing.kid != old
    assert for_call(place, held.token)
    place.revoke("key", old)
    assert refusal(place, form) == "invalid_request"
    with pytest.raises(ExchangeRefusedError):
        for_call(place, held.token)


def test_a_revocation_survives_a_restart(place: Installation) -> None:
    """Advisory row 54 (CVE-2026-9802)."""
    task = place.open_task()
    held = access(place, task)
    place.revoke("token", held.id)
    again = place.restarted()
    with pytest.raises(ExchangeRefusedError):
        for_call(again, held.token)
    assert for_call(again, access(again, task).token)


class Meddling:
    """A book in which something is revoked between the look at standing and the record."""

    def __init__(self, place: Installation, times: int) -> None:
        self.place, self.times = place, times

    def standing(self, chain: Chain) -> Standing:
        found = self.place.ledger.standing(chain)
        if self.times:
            self.times -= 1
            self.place.revoke("token", f"tok_of_someone_{self.times}")
        return found

    def record(self, drafts: Sequence[Draft]) -> list[Receipt]:
        return self.place.ledger.record(drafts)

    def seen_once(self, kind: str, value: str, expires_at: Instant) -> bool:
        return self.place.ledger.seen_once(kind, value, expires_at)


def test_a_token_is_recorded_only_on_the_standing_it_was_checked_on(place: Installation) -> None:
    held = access(place, place.open_task())
    rows = sum(row.kind == "credential" for row in place.ledger.rows())
    assert for_call(place, held.token, Meddling(place, 3))
    assert sum(row.kind == "credential" for row in place.ledger.rows()) == rows + 1
    with pytest.raises(ExchangeRefusedError) as refused:
        for_call(place, held.token, Meddling(place, 4))
    assert refused.value.error == "temporarily_unavailable"
    assert sum(row.kind == "credential" for row in place.ledger.rows()) == rows + 1


class Closing(Meddling):
    """A book whose disk fails."""

    def record(self, drafts: Sequence[Draft]) -> list[Receipt]:
        raise LedgerError("The disk is full.")


def test_no_token_leaves_without_its_row(place: Installation) -> None:
    task = place.open_task()
    held = access(place, task)
    uses: list[Callable[[Book], Issued]] = [
        lambda book: place.issuer.agent_token("helper", book),
        lambda book: place.issuer.task_token(task, book),
        lambda book: for_call(place, held.token, book),
    ]
    for use in uses:
        with pytest.raises(LedgerError):
            use(Closing(place, 0))


# Planning and minting in the proxy's own process.


def planned(place: Installation, call: ToolCall = CALL, **changes: Any) -> Credential:
    task = place.open_task()
    chain = msgspec.structs.replace(entered(task), **changes)
    return place.issuer.plan(call, chain, task, place.clock.now())


def test_a_credential_is_for_this_call_this_server_and_a_minute(place: Installation) -> None:
    task = place.open_task()
    chain = msgspec.structs.replace(entered(task), token="tok_held", key="kid_held", lineage=("token:tok_0",))
    credential = place.issuer.plan(CALL, chain, task, place.clock.now())
    token = place.issuer.mint(credential, "dec_9", CALL)
    assert opened(place, token) == {
        "iss": ISSUER,
        "sub": "alice",
        "aud": DESK_UPSTREAM,
        "client_id": "hopward-proxy",
        "iat": NOON // SECOND,
        "exp": NOON // SECOND + 60,
        "jti": credential.id,
        "scope": "desk/refund",
        "txn": task.id,
        "act": {"sub": "agent:helper"},
        "decision": "dec_9",
        "authorization_details": [
            {
                "type": "hopward_tool_call",
                "server": "desk",
                "tool": "refund",
                "arguments_digest": digest({"ticket": 7, "amount": 20}),
            }
        ],
        "lineage": ["token:tok_held", "key:kid_held", "token:tok_0"],
    }
    assert credential.kind == "token"
    assert credential.expires_at == NOON + 60 * SECOND


def test_minting_in_process_and_over_http_give_the_same_claims(place: Installation) -> None:
    """One exchanger, two ways in."""
    task = place.open_task()
    held = access(place, task)
    over_http = opened(place, for_call(place, held.token).token)
    chain = place.issuer.verify(held.token).chain
    credential = place.issuer.plan(CALL, chain, task, place.clock.now())
    in_process = opened(place, place.issuer.mint(credential, "dec_1", CALL))
    assert in_process.pop("jti") != over_http.pop("jti")
    assert in_process == over_http


def test_a_chain_of_several_agents_is_nested_and_none_is_dropped(place: Installation) -> None:
    credential = planned(place, actors=("helper", "second", "third"))
    claims = opened(place, place.issuer.mint(credential, "dec_1", CALL))
    assert claims["act"] == {
        "sub": "agent:third",
        "act": {"sub": "agent:second", "act": {"sub": "agent:helper"}},
    }


def test_a_resource_uri_is_spelled_as_oauth_demands(place: Installation) -> None:
    call = ToolCall(server="desk", tool='resource:file:///a b/"é"%', arguments={})
    credential = planned(place, call)
    claims = opened(place, place.issuer.mint(credential, "dec_1", call))
    assert claims["scope"] == "desk/resource:file:///a%20b/%22%C3%A9%22%25"
    assert claims["authorization_details"][0]["tool"] == call.tool


@pytest.mark.parametrize(
    "changes",
    [
        {"scope": ()},
        {"scope": ("files/*",)},
        {"scope": ("desk/read*",)},
        {"actors": ()},
        {"actors": ("helper", "helper")},
        {"actors": tuple(f"a{n}" for n in range(9))},
        {"subject": "agent:helper"},
        {"task": "task_other"},
        {"task": ""},
        {"expires_at": NOON},
        {"expires_at": NOON + SECOND - 1},
    ],
)
def test_the_proxys_own_process_is_held_to_the_same_checks(
    place: Installation, changes: dict[str, Any]
) -> None:
    with pytest.raises(ExchangeRefusedError):
        planned(place, **changes)


def test_a_call_to_an_unknown_server_has_no_credential(place: Installation) -> None:
    with pytest.raises(ExchangeRefusedError) as refused:
        planned(place, ToolCall(server="ghost", tool="x", arguments={}))
    assert refused.value.error == "invalid_target"


def test_a_credential_never_outlives_its_task_or_chain(place: Installation) -> None:
    task = place.open_task(seconds=20)
    chain = entered(task)
    assert place.issuer.plan(CALL, chain, task, NOON).expires_at == NOON + 20 * SECOND
    sooner = msgspec.structs.replace(chain, expires_at=NOON + 9 * SECOND)
    assert place.issuer.plan(CALL, sooner, task, NOON).expires_at == NOON + 9 * SECOND
    longer = msgspec.structs.replace(chain, expires_at=NOON + 3600 * SECOND)
    assert place.issuer.plan(CALL, longer, task, NOON).expires_at == NOON + 20 * SECOND


@pytest.mark.parametrize(
    "call",
    [
        ToolCall(server="files", tool="refund", arguments=CALL.arguments),
        ToolCall(server="desk", tool="delete", arguments=CALL.arguments),
        ToolCall(server="ghost", tool="refund", arguments=CALL.arguments),
    ],
)
def test_a_credential_is_not_minted_for_another_call(place: Installation, call: ToolCall) -> None:
    with pytest.raises(ExchangeRefusedError, match="another call"):
        place.issuer.mint(planned(place), "dec_1", call)


@pytest.mark.parametrize("audience", [FILES_UPSTREAM, DESK, ISSUER, "https://elsewhere.example", ""])
def test_a_credential_is_not_minted_for_another_audience(place: Installation, audience: str) -> None:
    altered = msgspec.structs.replace(planned(place), audience=audience)
    with pytest.raises(ExchangeRefusedError):
        place.issuer.mint(altered, "dec_1", CALL)


def test_a_credential_is_not_minted_when_it_is_over(place: Installation) -> None:
    credential = planned(place)
    place.clock.advance(60 * SECOND)
    with pytest.raises(ExchangeRefusedError, match="over"):
        place.issuer.mint(credential, "dec_1", CALL)


@pytest.mark.parametrize(
    ("delivery", "source"),
    [
        (Delivery(by="header", name="X-Api-Key", environment="DESK_KEY"), "environment:DESK_KEY"),
        (Delivery(by="variable", name="API_KEY", keyring="desk/ops"), "keyring:desk/ops"),
    ],
)
def test_a_brokered_key_is_named_checked_and_never_minted(
    place: Installation, delivery: Delivery, source: str
) -> None:
    desk = msgspec.structs.replace(place.settings.servers["desk"], credential=delivery)
    settings = msgspec.structs.replace(place.settings, servers={**place.settings.servers, "desk": desk})
    place.issuer = Issuer(settings=settings, keyring=place.keyring, clock=place.clock)
    credential = planned(place)
    assert (credential.kind, credential.id, credential.audience) == ("brokered", source, DESK_UPSTREAM)
    assert place.issuer.mint(credential, "dec_1", CALL) == ""
    with pytest.raises(ExchangeRefusedError):
        planned(place, scope=("files/*",))


def test_a_remote_authoritys_credential_is_planned_here_and_minted_there(place: Installation) -> None:
    remote = msgspec.structs.replace(
        place.settings.authority, mode="remote", token_endpoint="https://authority.example/token"
    )
    settings = msgspec.structs.replace(place.settings, authority=remote)
    place.issuer = Issuer(settings=settings, keyring=place.keyring, clock=place.clock)
    credential = planned(place)
    assert credential.kind == "exchanged"
    with pytest.raises(ExchangeRefusedError, match="remote"):
        place.issuer.mint(credential, "dec_1", CALL)


def test_settings_that_would_confuse_tokens_make_no_issuer(place: Installation) -> None:
    desk = msgspec.structs.replace(place.settings.servers["desk"], resource=DESK)
    settings = msgspec.structs.replace(place.settings, servers={**place.settings.servers, "desk": desk})
    with pytest.raises(ConfigError):
        Issuer(settings=settings, keyring=place.keyring, clock=place.clock)


# The access token at the proxy, and introspection.


def test_what_is_issued_identifies_the_caller_at_the_proxy(place: Installation) -> None:
    task = place.open_task()
    held = access(place, task)
    identifier = Identifier(keyring=place.keyring, issuer=ISSUER, clock=place.clock)
    chain = identifier.identify(held.token, DESK)
    assert (chain.task, chain.subject, chain.actors, chain.scope) == (
        task.id,
        "alice",
        ("helper",),
        ("desk/*",),
    )
    assert (chain.token, chain.key) == (held.id, place.keyring.signing.kid)
    for token in (
        place.issuer.task_token(task, place.ledger).token,
        place.issuer.agent_token("helper", place.ledger).token,
        for_call(place, held.token).token,
    ):
        with pytest.raises(TokenError):
            identifier.identify(token, DESK)
    with pytest.raises(TokenError):
        identifier.identify(held.token, FILES)


def test_introspection_tells_a_server_only_about_its_own_tokens(place: Installation) -> None:
    """Advisory row 52 (CVE-2026-37979)."""
    task = place.open_task()
    held = access(place, task)
    tokens = {
        "task": (place.issuer.task_token(task, place.ledger).token, {"helper"}),
        "agent": (place.issuer.agent_token("helper", place.ledger).token, {"helper"}),
        "access": (held.token, {"helper", "hopward-proxy"}),
        "credential": (for_call(place, held.token).token, {"hopward-proxy", "server:desk"}),
    }
    for token, concerned in tokens.values():
        for name, asking in place.issuer.clients.items():
            answer = place.issuer.introspect(token, asking, place.ledger)
            if name not in concerned:
                assert answer == {"active": False}
                continue
            claims = opened(place, token)
            told = {key: value for key, value in claims.items() if key in answer}
            assert answer == {"active": True, "token_type": "Bearer", **told}
            assert {"iss", "sub", "aud", "client_id", "exp", "iat", "jti"} <= set(answer)


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "\x00", "é"])
def test_introspection_of_what_is_no_token_is_just_inactive(place: Installation, token: str) -> None:
    assert place.issuer.introspect(token, client(place), place.ledger) == {"active": False}


@pytest.mark.parametrize(
    ("kind", "name"), [("agent", "helper"), ("subject", "alice"), ("task", ""), ("token", ""), ("key", "")]
)
def test_introspection_of_what_no_longer_counts_is_just_inactive(
    place: Installation, kind: RevocationKind, name: str
) -> None:
    task = place.open_task()
    issued = [
        place.issuer.task_token(task, place.ledger),
        access(place, task),
        place.issuer.agent_token("helper", place.ledger),
    ]
    names: dict[str, list[str]] = {
        "task": [task.id],
        "token": [one.id for one in issued],
        "key": [place.keyring.signing.kid],
    }
    for one in issued:
        assert place.issuer.introspect(one.token, client(place), place.ledger)["active"] is True
    for one in names.get(kind, [name]):
        place.revoke(kind, one)
    touched = issued if kind not in ("subject", "task") else issued[:2]
    for one in touched:
        assert place.issuer.introspect(one.token, client(place), place.ledger) == {"active": False}
    place.put_agent(an_agent("helper", state="retired"))
    assert place.issuer.introspect(issued[2].token, client(place), place.ledger) == {"active": False}


def test_every_token_of_a_task_is_inactive_once_the_task_is_completed(place: Installation) -> None:
    task = place.open_task()
    tokens = [place.issuer.task_token(task, place.ledger).token, access(place, task).token]
    place.end_task(task, "completed")
    for token in tokens:
        assert place.issuer.introspect(token, client(place), place.ledger) == {"active": False}


def test_a_key_serves_as_long_as_its_longest_token(place: Installation) -> None:
    assert place.issuer.longest_token_seconds == 3600
    alone = msgspec.structs.replace(place.settings, workflows={})
    assert Issuer(settings=alone, keyring=place.keyring, clock=place.clock).longest_token_seconds == 900


def test_a_rotation_stands_in_the_log_and_keeps_what_was_signed_good(place: Installation) -> None:
    held = access(place, place.open_task())
    old = place.keyring.signing.kid
    new = place.issuer.rotate(place.ledger)
    assert place.keyring.signing.kid == new != old
    assert [row.record["event"] for row in place.ledger.rows() if row.kind == "key"] == [
        "rotated",
        "rotation",
    ]
    assert last_row(place, "key").record == {
        "event": "rotated",
        "active": new,
        "retired": old,
        "keep_seconds": 3600,
    }
    assert for_call(place, held.token)


def test_without_a_log_no_key_is_rotated(place: Installation) -> None:
    old = place.keyring.signing.kid
    with pytest.raises(LedgerError):
        place.issuer.rotate(Closing(place, 0))
    assert place.keyring.signing.kid == old


def test_a_token_response_says_how_long_and_for_what(place: Installation) -> None:
    issued = access(place, place.open_task())
    assert issued.answer() == {
        "access_token": issued.token,
        "token_type": "Bearer",
        "expires_in": 900,
        "scope": "desk/*",
        "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
    }
    credential = for_call(place, issued.token).answer()
    assert credential["authorization_details"] == DETAILS.claim()
    assert "scope" not in place.issuer.agent_token("helper", place.ledger).answer()


def test_clients_without_a_key_cannot_authenticate(place: Installation) -> None:
    keys = {name: key.kid for name, key, _ in place.issuer.client_keys()}
    assert set(keys) == {"helper", "other", "hopward-proxy"}
    assert keys["hopward-proxy"] == place.keyring.proxy.kid
    keyless = msgspec.structs.replace(place.settings.agents["other"], key={})
    settings = msgspec.structs.replace(place.settings, agents={**place.settings.agents, "other": keyless})
    issuer = Issuer(settings=settings, keyring=place.keyring, clock=place.clock)
    assert {name for name, _, _ in issuer.client_keys()} == {"helper", "hopward-proxy"}
