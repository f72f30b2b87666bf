"""What is done to a carried chain on its way: each attempt is refused, with its reason in the log alone."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hopward import Chain, Guard
from hopward.clock import SECOND
from hopward.jose import sign
from hopward.jwk import SigningKey, thumbprint
from hopward.link import TYPE
from hopward.possession import about
from hopward.possession import present as proved
from hopward.testing.clock import FixedClock

from .carrying import ECHO, Program, Session, call_of, claims_of, request
from .installation import opened, rows

Value = dict[str, Any]


@pytest.fixture
def clerk(program: Program) -> Chain:
    """A chain of three agents."""
    return program.handed(program.handed(program.boss), "clerk")


def test_a_chain_for_another_server_is_refused(program: Program, session: Session) -> None:
    session.carry(program.presentation(program.boss, "tools/call", ECHO, "other"))
    assert session.refused() == "wrong_audience"


OTHER_PARAMS: list[Value] = [
    call_of("echo", {"x": 2}),
    call_of("echo", {"x": "1"}),
    call_of("echo", {"x": 1, "y": 1}),
    ECHO,
    call_of("fail", {"x": 1}),
    {"name": "echo"},
    {**call_of("echo", {"x": 1}), "task": {}},
    {**call_of("echo", {"x": 1}), "inputResponses": {}},
]


@pytest.mark.parametrize("params", OTHER_PARAMS)
def test_a_chain_for_a_call_that_was_changed_afterwards_is_refused(
    program: Program, session: Session, params: Value
) -> None:
    value = program.of_call(program.boss, "echo", {"x": 1})
    session.client_says(request("tools/call", params, value))
    assert session.refused() == "wrong_request"


def test_a_chain_for_another_method_with_the_same_params_is_refused(
    program: Program, session: Session
) -> None:
    value = program.presentation(program.boss, "prompts/get", ECHO)
    session.carry(value)
    assert session.refused() == "wrong_request"


async def test_the_same_request_a_second_time_is_refused_here_and_at_every_other_proxy(
    program: Program, session: Session, tmp_path: Path, clock: FixedClock
) -> None:
    value = program.of_call(program.boss)
    session.carry(value)
    session.carry(value, message_id=2)
    with opened(tmp_path / "hopward.toml", clock) as guard:
        second = Session(guard, program)
        second.carry(value)
        assert second.to_server == []
        assert "used before" in second.to_client[0]["error"]["message"]
    assert len(session.to_server) == 1
    assert [row.reason for row in rows(session.guard, "refusal")] == ["replayed", "replayed"]
    assert session.decisions() == [("boss", "echo", "permit")]


def by_a_stranger(value: Value, clock: FixedClock) -> Value:
    """The links of somebody else, with a proof of one's own."""
    key = SigningKey.generate("EdDSA")
    links, asked = value["links"], about("tools/call", ECHO)
    shown = proved(links, key, claims_of(value["proof"])["aud"], asked, clock)
    return {"links": links, "key": shown.key, "proof": shown.proof}


def in_the_holders_name(value: Value, clock: FixedClock) -> Value:
    """The same, with the holder's key shown beside a proof whose claims are right."""
    holder = SigningKey.generate("EdDSA")
    key = SigningKey(value["key"]["kid"], "EdDSA", holder.private)
    return {**value, "proof": sign(claims_of(value["proof"]), key, "hopward-proof+jwt")}


def under_the_holders_kid(value: Value, clock: FixedClock) -> Value:
    """The same, with a key of one's own that goes by the name of the holder's."""
    shown = by_a_stranger(value, clock)
    return {**shown, "key": {**shown["key"], "kid": value["key"]["kid"]}}


@pytest.mark.parametrize(
    ("stolen", "reason"),
    [
        (by_a_stranger, "wrong_holder"),
        (in_the_holders_name, "bad_signature"),
        (under_the_holders_kid, "wrong_holder"),
    ],
)
def test_a_chain_that_somebody_else_presents_is_refused(
    program: Program,
    session: Session,
    clerk: Chain,
    clock: FixedClock,
    stolen: Callable[[Value, FixedClock], Value],
    reason: str,
) -> None:
    session.carry(stolen(program.of_call(clerk), clock))
    assert session.refused() == reason


def test_an_agent_that_drops_its_own_link_does_not_act_as_the_one_before(
    program: Program, session: Session, clerk: Chain
) -> None:
    value = program.of_call(clerk)
    for number, kept in enumerate((2, 1)):
        session.carry({**value, "links": value["links"][:kept]}, message_id=number)
    assert session.to_server == session.decisions() == []
    assert [row.reason for row in rows(session.guard, "refusal")] == ["wrong_holder", "wrong_holder"]


ORDERS = [(1, 2), (0, 2), (2,), (0, 2, 1), (2, 1, 0), (1, 0, 2), (0, 1, 1, 2), (0, 0, 1, 2), (0, 1, 2, 2)]


@pytest.mark.parametrize("order", ORDERS, ids=str)
def test_links_left_out_doubled_or_in_another_order_are_no_chain(
    program: Program, session: Session, clerk: Chain, order: tuple[int, ...]
) -> None:
    value = program.of_call(clerk)
    session.carry({**value, "links": [value["links"][number] for number in order]})
    assert session.refused() == "chain_broken"


def test_a_hop_of_one_task_does_not_fit_behind_the_link_of_another(
    program: Program, session: Session
) -> None:
    mine, theirs = program.handed(program.boss), program.handed(program.opened("bob"))
    value, other = program.of_call(mine), program.of_call(theirs)
    session.carry({**value, "links": [other["links"][0], value["links"][1]]})
    assert session.refused() == "chain_broken"


def test_a_hop_does_not_fit_behind_a_sibling_of_the_one_it_was_handed_on_by(
    program: Program, session: Session
) -> None:
    wide, narrow = program.handed(program.boss), program.handed(program.boss, expires_in=60)
    value, other = program.of_call(program.handed(wide, "clerk")), program.of_call(narrow)
    session.carry({**value, "links": [value["links"][0], other["links"][1], value["links"][2]]})
    assert session.refused() == "chain_broken"


def test_the_links_of_a_siblings_chain_are_refused_with_ones_own_proof(
    program: Program, session: Session
) -> None:
    reader, clerk = program.handed(program.boss), program.handed(program.boss, "clerk")
    value, other = program.of_call(reader), program.of_call(clerk)
    session.carry({**value, "links": other["links"]})
    assert session.refused() == "wrong_holder"


def test_the_proof_of_an_agent_is_no_proof_for_another_hop_that_it_holds(
    program: Program, session: Session
) -> None:
    wide, narrow = program.handed(program.boss), program.handed(program.boss, expires_in=60)
    value, other = program.of_call(narrow), program.of_call(wide)
    assert value["key"] == other["key"]
    session.carry({**value, "links": other["links"]})
    assert session.refused() == "wrong_request"


@pytest.mark.parametrize(("as_authority", "reason"), [(False, "unknown_key"), (True, "bad_signature")])
def test_a_link_that_a_stranger_has_widened_and_signed_again_is_refused(
    program: Program, session: Session, clerk: Chain, clock: FixedClock, as_authority: bool, reason: str
) -> None:
    value, own = program.of_call(clerk), SigningKey.generate("EdDSA")
    claims = claims_of(value["links"][2])
    claims["hop"]["capabilities"][0] |= {"tools": ["desk/*", "other/*"], "actions": ["read", "pay"]}
    claims["hop"]["key"] = claims["cnf"]["jkt"] = own.kid
    authority = json.loads((program.guard.settings.keys_folder / "jwks.json").read_text())["keys"][0]
    stranger = SigningKey.generate("ES256")
    kid = authority["kid"] if as_authority else stranger.kid
    forged = sign(claims, SigningKey(kid, "ES256", stranger.private), TYPE)
    links = [*value["links"][:2], forged]
    place = claims_of(value["proof"])["aud"]
    shown = proved(links, own, place, about("tools/call", call_of("refund")), clock)
    assert thumbprint(shown.key) == own.kid
    session.carry({"links": links, "key": shown.key, "proof": shown.proof}, "refund")
    assert session.refused() == reason


@pytest.fixture
def elsewhere(tmp_path: Path, program: Program, clock: FixedClock) -> Iterator[Guard]:
    """A third process of the installation, such as `hopward` on the command line."""
    with opened(tmp_path / "hopward.toml", clock) as guard:
        yield guard


def revoked(kind: Any, name: str) -> Callable[[Guard, Chain], None]:
    def happens(guard: Guard, chain: Chain) -> None:
        named = {"hop": chain.hops[0], "subject": chain.subject, "task": chain.task}.get(kind, name)
        guard.revoke(kind, named, by="ana", why="a test")

    return happens


def suspended(guard: Guard, chain: Chain) -> None:
    guard.set_agent_state("reader", "suspended", by="ana", why="a test")


def completed(guard: Guard, chain: Chain) -> None:
    guard.complete_task(chain.task)


FALLEN = [
    (completed, "task_completed"),
    (revoked("task", ""), "task_revoked"),
    (revoked("hop", ""), "hop_revoked"),
    (revoked("agent", "boss"), "agent_revoked"),
    (revoked("agent", "clerk"), "agent_revoked"),
    (revoked("subject", ""), "subject_revoked"),
    (suspended, "agent_suspended"),
]


@pytest.mark.parametrize(
    ("happens", "reason"), FALLEN, ids=["completed", "task", "hop", "boss", "clerk", "subject", "suspended"]
)
def test_a_chain_of_which_anything_has_fallen_in_another_process_is_refused_at_its_next_call(
    program: Program,
    session: Session,
    clerk: Chain,
    elsewhere: Guard,
    happens: Callable[[Guard, Chain], None],
    reason: str,
) -> None:
    session.call("echo", message_id="before", chain=clerk)
    ready = program.of_call(clerk)
    happens(elsewhere, clerk)
    session.carry(ready)
    session.call("echo", message_id="written later", chain=clerk)
    assert len(session.to_server) == 1
    path = "boss>reader>clerk"
    assert session.decisions() == [(path, "echo", "permit"), *[(path, "echo", reason)] * 2]
    for answer in session.to_client:
        assert answer["result"]["_meta"]["dev.hopward/decision"]["reason"] == reason


def test_with_a_completed_hop_falls_whatever_was_handed_on_below_it_and_nothing_else(
    program: Program, session: Session
) -> None:
    reader = program.handed(program.boss)
    clerk = program.handed(reader, "clerk")
    program.guard.complete_hop(reader)
    for number, chain in enumerate((reader, clerk, program.boss)):
        session.call("echo", message_id=number, chain=chain)
    assert session.decisions() == [
        ("boss>reader", "echo", "hop_completed"),
        ("boss>reader>clerk", "echo", "hop_completed"),
        ("boss", "echo", "permit"),
    ]


@pytest.mark.parametrize(("seconds", "reason"), [(59, ""), (60, "expired"), (-5, ""), (-6, "not_yet_valid")])
def test_a_proof_counts_for_a_minute_and_not_before_it_was_made(
    program: Program, session: Session, clock: FixedClock, seconds: int, reason: str
) -> None:
    value = program.of_call(program.boss)
    clock.advance(seconds * SECOND)
    session.carry(value)
    assert (session.refused() if reason else len(session.to_server)) == (reason or 1)


def test_a_chain_whose_hop_is_over_is_refused_where_it_was_known_before(
    program: Program, session: Session, clock: FixedClock
) -> None:
    reader = program.handed(program.boss, expires_in=90)
    session.call("echo", chain=reader)
    clock.advance(89 * SECOND)
    ready = program.of_call(reader)
    clock.advance(SECOND)
    session.carry(ready, message_id=2)
    assert len(session.to_server) == 1
    assert "not accepted" in session.to_client[0]["error"]["message"]
    assert [row.reason for row in rows(session.guard, "refusal")] == ["expired"]


def with_(value: Value, **changes: Any) -> Value:
    return {**value, **changes}


def private(value: Value) -> Value:
    return with_(value, key={**value["key"], "d": "x" * 43})


MALFORMED: dict[str, Callable[[Value], object]] = {
    "null": lambda _: None,
    "number": lambda _: 7,
    "true": lambda _: True,
    "empty text": lambda _: "",
    "a link alone": lambda value: value["links"][0],
    "a list": lambda value: [value],
    "empty": lambda _: {},
    "no proof": lambda value: {"links": value["links"], "key": value["key"]},
    "no key": lambda value: {"links": value["links"], "proof": value["proof"]},
    "one more member": lambda value: with_(value, more=1),
    "no links": lambda value: with_(value, links=[]),
    "links as text": lambda value: with_(value, links=value["links"][0]),
    "a link is null": lambda value: with_(value, links=[*value["links"], None]),
    "too many links": lambda value: with_(value, links=value["links"] * 9),
    "a long link": lambda value: with_(value, links=["x" * 20_000]),
    "a link of 3 MB": lambda value: with_(value, links=["x" * 3_000_000]),
    "100000 links": lambda value: with_(value, links=["x"] * 100_000),
    "a link of dots": lambda value: with_(value, links=["..."]),
    "an empty link": lambda value: with_(value, links=[""]),
    "not ASCII": lambda value: with_(value, links=["é.é.é"]),
    "a long proof": lambda value: with_(value, proof="x" * 20_000),
    "an empty proof": lambda value: with_(value, proof=""),
    "proof is a number": lambda value: with_(value, proof=1),
    "key as text": lambda value: with_(value, key="x"),
    "an empty key": lambda value: with_(value, key={}),
    "a key that signs": private,
    "a key with more": lambda value: with_(value, key={**value["key"], "x5u": "https://x.example"}),
    "a long member": lambda value: with_(value, key={**value["key"], "x": "x" * 200}),
    "a deep one": lambda _: json.loads("[" * 50 + "]" * 50),
}


@pytest.mark.parametrize("malformed", MALFORMED.values(), ids=MALFORMED)
def test_a_value_that_is_no_chain_is_refused_and_the_session_goes_on(
    program: Program, session: Session, malformed: Callable[[Value], object]
) -> None:
    value = program.of_call(program.boss)
    session.carry(malformed(value))
    assert session.refused() in ("malformed", "unsupported_key", "private_key", "unknown_key")
    session.carry(value)
    assert len(session.to_server) == 1


def spelled(raw: str, program: Program) -> bytes:
    """A tools/call whose params end in this; `$` is a genuine chain for it."""
    value = json.dumps(program.of_call(program.boss))
    params = f'{{"name":"echo","arguments":{{}},{raw.replace("$", value)}}}'
    return f'{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}'.encode()


TWICE = {
    '"_meta":{"dev.hopward/chain":$},"_meta":{}': "duplicate_key",
    '"_meta":{"dev.hopward/chain":$},"_Meta":{}': "case_variant_key",
    '"_META":{"dev.hopward/chain":$}': "case_variant_key",
    '"_meta":{"dev.hopward/chain":$,"dev.hopward/chain":$}': "duplicate_key",
    '"_meta":{"dev.hopward/chain":$,"Dev.Hopward/chain":{}}': "case_variant_key",
    '"_meta":{"dev.hopward/chain":{"links":[],"links":[],"key":{},"proof":""}}': "duplicate_key",
    '"_meta":{"dev.hopward/chain":' + "[" * 65 + "]" * 65 + "}": "too_deep",
    '"_meta":{"dev.hopward/chain":"' + "x" * 5_000_000 + '"}': "too_large",
    '"_meta":[{"dev.hopward/chain":$}]': "meta",
    '"_meta":{"DEV.HOPWARD/CHAIN":$}': "chain_missing",
    '"_meta":{"dev.hopward/chain ":$}': "chain_missing",
    '"meta":{"dev.hopward/chain":$}': "chain_missing",
}


@pytest.mark.parametrize(("raw", "reason"), TWICE.items(), ids=range(len(TWICE)))
def test_a_chain_that_two_readers_could_find_in_two_places_is_refused(
    program: Program, session: Session, raw: str, reason: str
) -> None:
    session.client_says(spelled(raw, program))
    assert session.to_server == session.decisions() == []
    assert [row.reason for row in rows(session.guard, "refusal")] == [reason]
    assert len(session.to_client) == 1


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_character_of_a_presented_chain_can_be_changed(
    program: Program, session: Session, clerk: Chain, data: st.DataObject
) -> None:
    value = program.of_call(clerk)
    texts = [*value["links"], *value["key"].values(), value["proof"]]
    which = data.draw(st.integers(0, len(texts) - 1))
    at = data.draw(st.integers(0, len(texts[which]) - 1))
    other = data.draw(st.sampled_from("Aa0_.").filter(lambda found: found != texts[which][at]))
    texts[which] = texts[which][:at] + other + texts[which][at + 1 :]
    links, key = texts[:3], dict(zip(value["key"], texts[3:-1], strict=True))
    session.carry({"links": links, "key": key, "proof": texts[-1]})
    assert session.to_server == session.decisions() == []


def test_what_is_told_of_a_refused_chain_repeats_nothing_of_it(
    program: Program, session: Session, clerk: Chain
) -> None:
    value = program.of_call(clerk)
    session.carry({**value, "links": ["<b>links</b>", *value["links"]], "proof": "<b>proof</b>"})
    session.carry({**value, "key": {**value["key"], "kid": "<b>kid</b>"}}, message_id=2)
    told = json.dumps(session.to_client) + json.dumps([row.record for row in rows(session.guard, "refusal")])
    assert session.to_server == []
    assert "<b>" not in told
    assert value["key"]["kid"] not in told
