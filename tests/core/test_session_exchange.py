"""The proxy's exchange for a session of its own: the task is looked up, and all twelve checks apply."""

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from hopward import claims, selfsigned
from hopward.canonical import digest
from hopward.chain import entered
from hopward.claims import CallDetails
from hopward.clock import SECOND
from hopward.delegation import extended
from hopward.errors import ExchangeRefusedError
from hopward.issuer import Issued
from hopward.jose import sign
from hopward.jwk import SigningKey
from hopward.model import Capability, Hop, RevocationKind, Task, ToolCall, plain
from hopward.testing.clock import NOON
from hopward.testing.installation import (
    DESK,
    DESK_UPSTREAM,
    FILES_UPSTREAM,
    ISSUER,
    Installation,
    an_installation,
)
from hopward.testing.samples import NOTE, a_hop, an_agent
from hopward.wire import SELF_SIGNED_TYPE, ExchangeForm

DETAILS = CallDetails(server="desk", tool="refund", arguments_digest=digest({"amount": 20}), decision="dec_1")

CALL = ToolCall(server="desk", tool="refund", arguments={"amount": 20})
REFUNDING = Capability(tools=("desk/refund",), actions=("pay",), sensitivity="internal", destinations=("*",))


@pytest.fixture
def place(tmp_path: Path) -> Installation:
    return an_installation(tmp_path)


def session_token(place: Installation, task: Task, key: SigningKey | None = None, **changes: Any) -> str:
    """A token for a task's session, or one that says something else."""
    if key is None and not changes:
        return selfsigned.write(entered(task), ISSUER, place.keyring.proxy, place.clock)
    now = place.clock.now() // SECOND
    content = {
        "iss": "hopward-proxy",
        "sub": task.subject,
        "aud": ISSUER,
        "txn": task.id,
        "iat": now,
        "exp": now + 60,
        "jti": "session-1",
    }
    return sign(content | changes, key or place.keyring.proxy, selfsigned.TYPE)


def asked(token: str, **changes: Any) -> ExchangeForm:
    fields: dict[str, Any] = {
        "subject_token": token,
        "subject_token_type": SELF_SIGNED_TYPE,
        "target": DESK_UPSTREAM,
        "scope": ("desk/refund",),
        "call": DETAILS,
    }
    return ExchangeForm(**(fields | changes))


def exchanged(place: Installation, form: ExchangeForm, client: str = "hopward-proxy") -> Issued:
    return place.issuer.exchange(form, place.issuer.clients[client], place.ledger)


def refused(place: Installation, form: ExchangeForm, client: str = "hopward-proxy") -> str:
    """The sentence of a refusal, which issues nothing."""
    rows = place.ledger.head()
    with pytest.raises(ExchangeRefusedError) as refusal:
        exchanged(place, form, client)
    assert place.ledger.head() == rows
    return f"{refusal.value.error}: {refusal.value.message}"


def test_a_session_gets_a_credential_for_the_chain_of_its_task(place: Installation) -> None:
    task = place.open_task()
    issued = exchanged(place, asked(session_token(place, task)))
    presented = place.issuer.verify(issued.token)
    assert (presented.subject, presented.actors, presented.task) == ("alice", ("helper",), task.id)
    assert (presented.audience, presented.scope) == (DESK_UPSTREAM, ("desk/refund",))
    assert (presented.client, presented.may_act, issued.expires_in) == ("hopward-proxy", None, 60)


def test_the_credential_names_the_session_token_and_the_proxys_key_it_came_from(place: Installation) -> None:
    token = session_token(place, place.open_task(), jti="session-7")
    issued = exchanged(place, asked(token))
    lineage = place.issuer.verify(issued.token).lineage
    assert lineage == ("token:session-7", f"key:{place.keyring.proxy.kid}")
    row = next(iter(place.ledger.rows()))
    assert row.record["credential"]["lineage"] == list(lineage)
    assert token not in str(plain(row.record))


def test_a_request_that_calls_nothing_is_exchanged_too(place: Installation) -> None:
    method = CallDetails(server="desk", tool="method:tools/list", arguments_digest=digest({}))
    form = asked(session_token(place, place.open_task()), scope=("desk/method:tools/list",), call=method)
    assert exchanged(place, form).scope == ("desk/method:tools/list",)


def test_only_the_proxy_presents_a_session_token(place: Installation) -> None:
    task = place.open_task()
    actor = place.issuer.agent_token("helper", place.ledger).token
    for client in ("helper", "other", "server:desk"):
        for changes in ({}, {"target": DESK, "call": None, "scope": ()}, {"actor_token": actor}):
            told = refused(place, asked(session_token(place, task), **changes), client)
            assert told.startswith("invalid_request: Only the proxy")


def test_an_agent_that_signs_a_session_token_itself_is_refused(place: Installation) -> None:
    task = place.open_task()
    token = session_token(place, task, place.keys["helper"])
    assert "Only the proxy" in refused(place, asked(token), "helper")
    assert "not known here" in refused(place, asked(token))


def test_a_session_token_counts_once_also_after_a_restart(place: Installation) -> None:
    token = session_token(place, place.open_task())
    exchanged(place, asked(token))
    assert "used before" in refused(place, asked(token))
    again = place.restarted()
    assert "used before" in refused(again, asked(token))


def test_a_refused_exchange_has_used_its_session_token_up(place: Installation) -> None:
    token = session_token(place, place.open_task())
    refused(place, asked(token, scope=("files/read",)))
    assert "used before" in refused(place, asked(token))


def test_a_session_token_and_an_access_token_are_not_taken_for_each_other(place: Installation) -> None:
    task = place.open_task()
    access = place.issuer.task_token(task, place.ledger).token
    assert refused(place, asked(access)).startswith("invalid_request")
    told = refused(place, ExchangeForm(subject_token=session_token(place, task), target=DESK_UPSTREAM))
    assert told.startswith("invalid_request")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"txn": "task_unknown"}, "There is no such task"),
        ({"sub": "bob"}, "opened for another subject"),
        ({"sub": "agent:helper"}, "not the token of a task"),
        ({"iss": "helper"}, "another issuer"),
        ({"aud": DESK}, "for someone else"),
        ({"exp": NOON // SECOND + 61}, "at most 60 s"),
        ({"exp": NOON // SECOND - 1, "iat": NOON // SECOND - 9}, "expired"),
        ({"scope": "desk/*"}, "less or more"),
        ({"act": {"sub": "agent:other"}}, "less or more"),
    ],
)
def test_a_session_token_that_says_anything_else_is_refused(
    place: Installation, changes: dict[str, Any], told: str
) -> None:
    assert told in refused(place, asked(session_token(place, place.open_task(), **changes)))


def test_a_session_token_of_another_key_is_refused(place: Installation) -> None:
    task = place.open_task()
    for key in (SigningKey.generate("ES256"), place.keyring.signing, place.keys["helper"]):
        assert "not known here" in refused(place, asked(session_token(place, task, key)))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"target": DESK}, "invalid_target"),
        ({"target": ISSUER}, "invalid_target"),
        ({"target": "https://elsewhere.example"}, "invalid_target"),
        ({"target": FILES_UPSTREAM}, "invalid_scope"),
        ({"scope": ()}, "invalid_scope"),
        ({"scope": ("desk/*",)}, "invalid_scope"),
        ({"scope": ("desk/refund", "desk/read")}, "invalid_scope"),
        ({"scope": ("files/read",)}, "invalid_scope"),
        ({"scope": ("other/refund",)}, "invalid_scope"),
        ({"call": None}, "invalid_authorization_details"),
        ({"call": CallDetails(server="files", tool="refund", arguments_digest=digest({}))}, "invalid_auth"),
        ({"call": CallDetails(server="desk", tool="read", arguments_digest=digest({}))}, "invalid_scope"),
    ],
)
def test_every_check_of_an_exchange_applies(place: Installation, changes: dict[str, Any], code: str) -> None:
    assert refused(place, asked(session_token(place, place.open_task()), **changes)).startswith(code)


def test_the_proxy_brings_no_actor_token(place: Installation) -> None:
    actor = place.issuer.agent_token("helper", place.ledger).token
    token = session_token(place, place.open_task())
    assert "brings no actor_token" in refused(place, asked(token, actor_token=actor))


@pytest.mark.parametrize("state", ["completed", "revoked"])
def test_a_task_that_has_ended_gives_nothing(place: Installation, state: Any) -> None:
    task = place.open_task()
    place.end_task(task, state)
    assert "The task" in refused(place, asked(session_token(place, task)))


def test_a_task_whose_time_is_over_gives_nothing(place: Installation) -> None:
    task = place.open_task(seconds=30)
    place.clock.advance(30 * SECOND)
    assert "expired" in refused(place, asked(session_token(place, task)))


@pytest.mark.parametrize("kind", ["task", "agent", "subject", "key", "token"])
def test_whatever_of_the_chain_is_revoked_gives_nothing(place: Installation, kind: RevocationKind) -> None:
    task = place.open_task()
    token = session_token(place, task, jti="session-9")
    named = {"task": task.id, "agent": "helper", "subject": "alice", "token": "session-9"}
    place.revoke(kind, named.get(kind, place.keyring.proxy.kid))
    assert "revoked" in refused(place, asked(token))


@pytest.mark.parametrize("state", ["suspended", "retired"])
def test_an_agent_that_may_not_act_gets_nothing_through_a_session(place: Installation, state: Any) -> None:
    task = place.open_task()
    place.put_agent(an_agent("helper", state=state))
    assert state in refused(place, asked(session_token(place, task)))


def test_a_credential_ends_with_the_task_and_with_its_session_token(place: Installation) -> None:
    short = exchanged(place, asked(session_token(place, place.open_task(seconds=20))))
    assert short.expires_in == 20
    token = session_token(place, place.open_task())
    place.clock.advance(45 * SECOND)
    assert exchanged(place, asked(token)).expires_in == 15


def test_a_session_of_one_task_gives_nothing_of_another(place: Installation) -> None:
    """The scope is the task's own, whatever the token's holder may reach elsewhere."""
    first, second = place.open_task(), place.open_task("other", "bob")
    claims_of = [
        place.issuer.verify(exchanged(place, asked(session_token(place, task))).token)
        for task in (first, second)
    ]
    assert [(one.task, one.subject, one.actors) for one in claims_of] == [
        (first.id, "alice", ("helper",)),
        (second.id, "bob", ("other",)),
    ]
    assert claims.act(claims_of[1].actors) == {"sub": "agent:other"}


# A chain with hops that no token has presented, such as one that came as signed links.


def handed(place: Installation, task: Task, number: int = 1, **changes: Any) -> Hop:
    """An open hop of the task from helper to other."""
    hop = a_hop("hop_" + str(number) * 24, task=task.id, capabilities=(REFUNDING,), **changes)
    place.ledger.record([replace(NOTE, opens=hop)])
    return hop


def test_a_session_speaks_for_the_hops_of_its_chain(place: Installation) -> None:
    task = place.open_task()
    hop = handed(place, task)
    chain = extended(entered(task), hop)
    token = selfsigned.write(chain, ISSUER, place.keyring.proxy, place.clock)
    presented = place.issuer.verify(exchanged(place, asked(token)).token)
    assert (presented.actors, presented.hops) == (("helper", "other"), (hop.id,))
    planned = place.issuer.plan(CALL, chain, task, place.clock.now())
    assert (planned.actors, planned.hops, planned.scope) == (
        presented.actors,
        presented.hops,
        "desk/refund",
    )


def test_what_the_hops_of_a_session_may_do_is_looked_up_not_believed(place: Installation) -> None:
    task = place.open_task()
    hop = handed(place, task)
    within = asked(session_token(place, task, hops=[hop.id]))
    assert exchanged(place, within).scope == ("desk/refund",)
    for tool in ("read", "method:x/y"):
        call = CallDetails(server="files", tool=tool, arguments_digest=digest({}))
        form = asked(
            session_token(place, task, jti=tool, hops=[hop.id]),
            target=FILES_UPSTREAM,
            scope=(f"files/{tool}",),
            call=call,
        )
        assert refused(place, form).startswith("invalid_scope")
        alone = asked(session_token(place, task), target=FILES_UPSTREAM, scope=form.scope, call=call)
        assert exchanged(place, alone).scope == (f"files/{tool}",)


@pytest.mark.parametrize("end", ["completed", "revoked", "expired", "suspended"])
def test_a_session_whose_hop_has_ended_gets_nothing(place: Installation, end: str) -> None:
    task = place.open_task()
    hop = handed(place, task)
    if end == "completed":
        place.ledger.complete_hop(hop.id, NOTE)
    elif end == "revoked":
        place.revoke("hop", hop.id)
    elif end == "suspended":
        place.put_agent(an_agent("other", state="suspended"))
    else:
        place.clock.advance(600 * SECOND)
    told = refused(place, asked(session_token(place, task, hops=[hop.id])))
    assert {"expired": "over"}.get(end, end) in told or end in told
    assert exchanged(place, asked(session_token(place, task))).scope == ("desk/refund",)


def test_a_session_names_hops_of_its_own_task_one_after_the_other(place: Installation) -> None:
    task, another = place.open_task(), place.open_task()
    first, foreign = handed(place, task), handed(place, another, 2)
    unknown = "hop_" + "9" * 24
    wrong = [[unknown], [first.id, unknown], [foreign.id], [first.id, foreign.id], [first.id, first.id]]
    for number, hops in enumerate(wrong):
        token = session_token(place, task, jti=f"s{number}", hops=hops)
        assert refused(place, asked(token)).startswith("invalid_request")
