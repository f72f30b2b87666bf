"""Links and proofs: honest chains come through exactly; forged, moved and replayed ones are refused."""

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hopward import link, possession
from hopward.base64url import decode, encode
from hopward.clock import SECOND
from hopward.commitment import as_opened
from hopward.constraint import Range
from hopward.errors import TokenError
from hopward.jose import sign
from hopward.jwk import SigningKey
from hopward.link import Links
from hopward.model import Budget, Hop, plain
from hopward.money import BOUNDLESS
from hopward.possession import about
from hopward.testing.clock import NOON, FixedClock

from .linking import (
    ASKED,
    HOLDERS,
    ISSUER,
    KEY,
    KEYS,
    PLACE,
    READING,
    ROOT,
    Desk,
    claims_of,
    grown,
    read,
    refusal,
    replace,
    written,
)

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@pytest.mark.parametrize("depth", range(8))
def test_an_honest_chain_comes_through_exactly(depth: int) -> None:
    hops = grown(ROOT, tuple("abcdefg"[:depth]))
    linked = read(written(ROOT, hops))
    assert (linked.task, list(linked.hops)) == (ROOT, hops)
    chain = linked.chain
    assert chain.actors == ("helper", *"abcdefg"[:depth])
    assert chain.hops == tuple(hop.id for hop in hops)
    assert (chain.task, chain.subject) == ("task_1", "alice")
    assert chain.expires_at == min([ROOT.expires_at, *(hop.expires_at for hop in hops)])
    assert chain.lineage == (f"key:{KEY.kid}",)


def test_more_links_than_a_chain_can_have_and_none_at_all_are_refused() -> None:
    links = written(ROOT, grown(ROOT, tuple("abcdefg")))
    assert refusal([*links, links[-1]]) == "chain_broken"
    assert refusal([]) == "chain_broken"
    deeper = replace(ROOT, depth=8)
    honest = written(deeper, grown(deeper, tuple("abcdefgh")))
    assert len(read(honest[:8]).hops) == 7
    assert refusal(honest) == "chain_broken"


def test_a_link_fits_no_other_chain() -> None:
    mine, theirs = grown(ROOT, ("a", "b")), grown(replace(ROOT, id="task_2"), ("a", "b"))
    other = replace(ROOT, id="task_2")
    x, y = written(ROOT, mine), written(other, theirs)
    for spliced in (
        [x[0], y[1]],
        [y[0], x[1]],
        [x[0], x[1], y[2]],
        [x[0], x[2]],
        [x[0], x[2], x[1]],
        [x[1], x[2]],
        [x[0], x[0]],
        [x[0], x[1], x[1]],
        [x[2]],
    ):
        assert refusal(spliced) == "chain_broken"


def test_a_sibling_of_the_parent_is_no_parent() -> None:
    """The same task and agents, but another hop: its digest is not the one committed to."""
    first, second = grown(ROOT, ("a", "b"))
    twin = replace(first, purpose="something else")
    x, y = written(ROOT, [first, second]), written(ROOT, [twin])
    assert refusal([x[0], y[1], x[2]]) == "chain_broken"


WIDER: dict[str, Callable[[Hop], Hop]] = {
    "capabilities": lambda hop: replace(hop, capabilities=(replace(READING, actions=("read", "pay")),)),
    "label": lambda hop: replace(hop, capabilities=(replace(READING, sensitivity="restricted"),)),
    "tools": lambda hop: replace(hop, capabilities=(replace(READING, tools=("*",)),)),
    "constraint": lambda hop: replace(hop, capabilities=(replace(READING, constraints={}),)),
    "argument": lambda hop: replace(
        hop, capabilities=(replace(READING, constraints={"n": (Range(minimum=0, maximum=10),)}),)
    ),
    "delegable": lambda hop: replace(hop, delegable=(replace(READING, constraints={}),)),
    "depth": lambda hop: replace(hop, depth=hop.depth + 1),
    "no depth": lambda hop: replace(hop, depth=-1),
    "fan_out": lambda hop: replace(hop, fan_out=99),
    "calls": lambda hop: replace(hop, budget=Budget(calls=51, writes=1)),
    "writes": lambda hop: replace(hop, budget=Budget(calls=9, writes=6)),
    "no fan_out": lambda hop: replace(hop, fan_out=-1),
    "no calls": lambda hop: replace(hop, budget=Budget(calls=-1, writes=0)),
    "no writes": lambda hop: replace(hop, budget=Budget(calls=1, writes=-1)),
    "expiry": lambda hop: replace(hop, expires_at=ROOT.expires_at + SECOND),
}


@pytest.mark.parametrize("dimension", WIDER)
def test_a_link_that_exceeds_its_parent_is_refused_although_it_is_signed(
    dimension: str,
) -> None:
    (hop,) = grown(ROOT, ("a",))
    assert refusal(written(ROOT, [WIDER[dimension](hop)])) == "chain_widened"


@pytest.mark.parametrize("kept", ["capabilities", "delegable"])
def test_the_right_to_call_of_the_parent_is_no_right_to_hand_on(kept: str) -> None:
    other = {"capabilities": "delegable", "delegable": "capabilities"}[kept]
    root = replace(ROOT, capabilities=(READING,), delegable=())
    (hop,) = grown(root, ("a",))
    assert refusal(written(root, [replace(hop, **{other: ()})])) == "chain_widened"
    assert read(written(root, [replace(hop, capabilities=(), delegable=())])).holder == hop.key


BOUNDED = replace(
    ROOT,
    budget=Budget(calls=50, writes=5, money={"EUR": "10.00"}, bytes_out=100, destinations=2),
)
WITHIN: dict[str, Any] = {"money": {"EUR": "10"}, "bytes_out": 100, "destinations": 2}


@pytest.mark.parametrize(
    "wider",
    [
        {"money": {"EUR": "10.01"}},
        {"money": {"EUR": "1", "USD": "0.01"}},
        {"bytes_out": 101},
        {"bytes_out": BOUNDLESS},
        {"destinations": 3},
        {"destinations": BOUNDLESS},
    ],
)
def test_no_part_of_a_budget_exceeds_that_of_the_link_before(wider: dict[str, Any]) -> None:
    (hop,) = grown(BOUNDED, ("a",))
    fitting = replace(hop, budget=Budget(calls=9, writes=1, **WITHIN))
    assert read(written(BOUNDED, [fitting])).hops == (fitting,)
    more = replace(hop, budget=Budget(calls=9, writes=1, **WITHIN | wider))
    assert refusal(written(BOUNDED, [more])) == "chain_widened"


@pytest.mark.parametrize(
    "said",
    [
        *({"money": {"EUR": "-1"}}, {"money": {"eur": "1"}}, {"money": {"EUR": 1}}, {"money": {}}),
        *({"bytes_out": -1}, {"bytes_out": 1.5}, {"destinations": None}),
    ],
)
def test_a_budget_that_is_none_or_says_what_it_need_not_breaks_the_chain(said: dict[str, Any]) -> None:
    (hop,) = grown(ROOT, ("a",))
    content = claims_of(written(ROOT, [hop])[1])
    content["hop"]["budget"] |= said
    forged = sign(content, KEY, link.TYPE)
    assert refusal([written(ROOT, [])[0], forged]) == "chain_broken"


def test_a_budget_of_calls_and_writes_is_written_as_it_always_was() -> None:
    assert plain(Budget(calls=2, writes=1)) == {"calls": 2, "writes": 1}


CHANGED: dict[str, Callable[[Hop], Hop]] = {
    "task": lambda hop: replace(hop, task="task_2"),
    "parent": lambda hop: replace(hop, parent="hop_9"),
    "parent digest": lambda hop: replace(hop, parent_digest="sha-256:" + "0" * 64),
    "delegator": lambda hop: replace(hop, delegator="b"),
    "loop": lambda hop: replace(hop, agent="helper"),
    "older": lambda hop: replace(hop, opened_at=NOON - 1),
}


@pytest.mark.parametrize("what", CHANGED)
def test_a_link_that_does_not_follow_from_its_parent_is_refused(what: str) -> None:
    (hop,) = grown(ROOT, ("a",))
    assert refusal(written(ROOT, [CHANGED[what](hop)])) == "chain_broken"


@pytest.mark.parametrize(
    ("claim", "value"),
    [
        ("sub", "mallory"),
        ("txn", "task_2"),
        ("jti", "hop_9"),
        ("act", {"sub": "agent:a"}),
        ("iat", 1),
        ("exp", NOON // SECOND + 5),
        ("cnf", {"jkt": "x"}),
        ("cnf", {}),
        ("cnf", "x"),
        ("cnf", {"jkt": "x", "more": 1}),
        ("more", 1),
        ("cnf", {"jkt": ""}),
        ("cnf", {"jkt": 7}),
        ("nbf", 1),
        ("scope", "desk/*"),
        ("may_act", {"iss": ISSUER, "sub": "agent:a"}),
        ("hop", None),
        ("hop", []),
        ("hop", "x"),
        ("hop", {"id": "hop_1"}),
        ("task", {}),
    ],
)
def test_the_claims_of_a_link_are_those_of_its_hop(claim: str, value: Any) -> None:
    links = written(ROOT, grown(ROOT, ("a",)))
    forged = claims_of(links[1]) | {claim: value}
    assert refusal([links[0], sign(forged, KEY, link.TYPE)]) == "chain_broken"


@pytest.mark.parametrize("change", [{"state": "open"}, {"state": "completed"}, {"more": 1}, {"calls": 1}])
def test_a_link_opens_nothing_with_a_member_it_must_not_have(change: dict[str, Any]) -> None:
    links = written(ROOT, grown(ROOT, ("a",)))
    root, hop = claims_of(links[0]), claims_of(links[1])
    wrong_root = sign(root | {"task": root["task"] | change}, KEY, link.TYPE)
    wrong_hop = sign(hop | {"hop": hop["hop"] | change}, KEY, link.TYPE)
    assert refusal([wrong_root]) == refusal([links[0], wrong_hop]) == "chain_broken"


@pytest.mark.parametrize("member", sorted(as_opened(ROOT).keys()))
def test_the_root_leaves_nothing_to_be_guessed(member: str) -> None:
    """What has a default in the model must be said as well: a root without it is no root of the task."""
    root = claims_of(written(replace(ROOT, delegable=(), depth=0, fan_out=0), [])[0])
    assert read([sign(root, KEY, link.TYPE)]).hops == ()
    del root["task"][member]
    assert refusal([sign(root, KEY, link.TYPE)]) == "chain_broken"


def test_the_root_names_a_holder_and_a_hop_is_no_root() -> None:
    root = claims_of(written(ROOT, [])[0])
    for holder in ({}, {"jkt": ""}, {"jkt": 7}, None, "x", {"jkt": "x", "jku": "x"}):
        assert refusal([sign(root | {"cnf": holder}, KEY, link.TYPE)]) == "chain_broken"
    hop = claims_of(written(ROOT, grown(ROOT, ("a",)))[1])
    assert refusal([sign(hop | {"act": {"sub": "agent:a"}}, KEY, link.TYPE)]) == "chain_broken"


def test_a_signed_root_with_another_agent_than_its_task_is_refused() -> None:
    root = claims_of(written(ROOT, [])[0])
    for act in ({"sub": "agent:other"}, {"sub": "helper"}, {}, [], {"sub": "agent:helper", "act": {}}):
        assert refusal([sign(root | {"act": act}, KEY, link.TYPE)]) == "chain_broken"


def test_links_of_another_signer_type_issuer_or_time_are_refused() -> None:
    hops = grown(ROOT, ("a",))
    foreign = SigningKey.generate("ES256")
    assert refusal(written(ROOT, hops, foreign)) == "unknown_key"
    posing = SigningKey(KEY.kid, "ES256", foreign.private)
    assert refusal(written(ROOT, hops, posing)) == "bad_signature"
    links = written(ROOT, hops)
    assert refusal([links[0], sign(claims_of(links[1]), KEY, "at+jwt")]) == "wrong_type"
    other = claims_of(links[1]) | {"iss": "https://evil.example"}
    assert refusal([links[0], sign(other, KEY, link.TYPE)]) == "wrong_issuer"
    assert refusal(links, hops[0].expires_at) == "expired"
    assert refusal(links, NOON - 6 * SECOND) == "not_yet_valid"
    assert read(links, NOON - 5 * SECOND).hops == tuple(hops)


@pytest.mark.parametrize("garbage", ["", "x", "a.b.c", "eyJ" * 9000, "e." * 2_500_000, "\ud800", "é.é.é"])
def test_garbage_in_place_of_a_link_is_refused(garbage: str) -> None:
    links = written(ROOT, [])
    assert refusal([garbage]) in ("malformed", "unsupported_header")
    assert refusal([links[0], garbage]) in ("malformed", "unsupported_header")


def test_a_hop_without_a_holder_never_leaves_the_process() -> None:
    (hop,) = grown(ROOT, ("a",))
    with pytest.raises(TokenError, match="no holder"):
        written(ROOT, [replace(hop, key="")])


def test_a_chain_read_before_is_not_read_again_unless_its_time_or_key_is_over() -> None:
    hops = grown(ROOT, ("a",))
    links, cache = written(ROOT, hops), Links(ISSUER)
    first = cache.read(links, KEYS, NOON)
    assert cache.read(links, KEYS, NOON) is first
    with pytest.raises(TokenError):
        cache.read(links, KEYS, hops[0].expires_at)
    with pytest.raises(TokenError):
        cache.read(links, {}, NOON)


def test_no_more_chains_are_remembered_than_there_is_room_for() -> None:
    small, links = Links(ISSUER, size=1), written(ROOT, grown(ROOT, ("a",)))
    first = small.read(links, KEYS, NOON)
    assert small.read(links, KEYS, NOON) is first
    small.read(links[:1], KEYS, NOON)
    assert small.read(links, KEYS, NOON) is not first


def test_the_text_of_a_chain_read_before_divided_otherwise_is_another_chain() -> None:
    cache, links = Links(ISSUER), written(ROOT, grown(ROOT, ("a", "b")))
    cache.read(links, KEYS, NOON)
    for between in ("\n", "", ","):
        for other in ([between.join(links)], [links[0], between.join(links[1:])]):
            with pytest.raises(TokenError):
                cache.read(other, KEYS, NOON)
    for garbage in (["\ud800"], ["é"], [], [""]):
        with pytest.raises(TokenError):
            cache.read(garbage, KEYS, NOON)


def test_what_a_chain_read_before_says_it_says_of_its_own_links_alone() -> None:
    cache, x = Links(ISSUER), written(ROOT, grown(ROOT, ("a", "b")))
    y = written(replace(ROOT, id="task_2"), grown(replace(ROOT, id="task_2"), ("a", "b")))
    assert cache.read(x, KEYS, NOON).task.id == "task_1"
    assert cache.read(y, KEYS, NOON).task.id == "task_2"
    assert len(cache.read(x[:2], KEYS, NOON).hops) == 1
    for other in ([*x[:2], y[2]], [x[0], x[2], x[1]], [x[1], x[0], x[2]], [*x, x[2]]):
        with pytest.raises(TokenError):
            cache.read(other, KEYS, NOON)


def test_a_chain_signed_by_two_keys_falls_with_either() -> None:
    """A rotation in between: the root is the old key's, the hop the new one's."""
    newer = SigningKey.generate("EdDSA")
    keys = {**KEYS, newer.kid: newer.verification()}
    hops = grown(ROOT, ("a",))
    links = [written(ROOT, hops)[0], written(ROOT, hops, newer)[1]]
    cache = Links(ISSUER)
    chain = cache.read(links, keys, NOON).chain
    assert (chain.key, chain.lineage) == (newer.kid, (f"key:{KEY.kid}", f"key:{newer.kid}"))
    for gone in keys:
        left = {kid: key for kid, key in keys.items() if kid != gone}
        with pytest.raises(TokenError) as refused:
            cache.read(links, left, NOON)
        assert refused.value.error == "unknown_key"


names = st.permutations(list("abcdefg")).flatmap(
    lambda order: st.integers(0, 7).map(lambda count: tuple(order[:count]))
)


@settings(max_examples=60, deadline=None)
@given(names, st.data())
def test_no_rearrangement_of_the_links_of_two_chains_is_a_chain(names: tuple[str, ...], data: Any) -> None:
    x = written(ROOT, grown(ROOT, names))
    other = replace(ROOT, id="task_2", subject="bob")
    y = written(other, grown(other, names))
    picked = data.draw(st.lists(st.sampled_from([*x, *y]), min_size=1, max_size=8))
    honest = any(picked == chain[: len(picked)] for chain in (x, y))
    try:
        read(picked)
    except TokenError:
        assert not honest
    else:
        assert honest


@pytest.fixture
def desk() -> Desk:
    return Desk(FixedClock())


@pytest.fixture
def links() -> list[str]:
    return written(ROOT, grown(ROOT, ("a", "b")))


def test_the_holder_presents_a_chain_once(desk: Desk, links: list[str]) -> None:
    presented = desk.present(links, "b")
    assert desk.refusal(presented) == ""
    assert desk.refusal(presented) == "replayed"
    assert desk.refusal(desk.present(links, "b")) == ""


@pytest.mark.parametrize("other", ["a", "helper", "c"])
def test_another_holder_cannot_use_a_link(desk: Desk, links: list[str], other: str) -> None:
    assert desk.refusal(desk.present(links, other)) == "wrong_holder"


def test_a_truncated_chain_is_its_own_holders_alone(desk: Desk, links: list[str]) -> None:
    """Dropping the last link gives the delegator's chain, which only the delegator can present."""
    assert desk.refusal(desk.present(links[:-1], "b")) == "wrong_holder"
    assert desk.refusal(desk.present(links[:-1], "a")) == ""


def test_a_proof_is_for_one_place_one_request_and_one_chain(desk: Desk, links: list[str]) -> None:
    assert desk.refusal(desk.present(links, "b", place=PLACE + "/other")) == "wrong_audience"
    other = about("tools/call", {"name": "read", "arguments": {"n": 2}})
    assert desk.refusal(desk.present(links, "b", asked=other)) == "wrong_request"
    mine = desk.present(links, "b")
    twin = written(ROOT, grown(ROOT, ("b",)))
    assert desk.refusal(replace(mine, links=tuple(twin))) == "wrong_request"


def test_a_proof_is_for_the_links_letter_by_letter(desk: Desk, links: list[str]) -> None:
    """An ECDSA signature has a second form that is as good, and anybody can work it out."""
    content, _, signature = links[2].rpartition(".")
    raw = decode(signature)
    second = (P256_ORDER - int.from_bytes(raw[32:], "big")).to_bytes(32, "big")
    twin = [*links[:2], f"{content}.{encode(raw[:32] + second)}"]
    assert read(twin) == read(links)
    presented = desk.present(links, "b")
    assert desk.refusal(replace(presented, links=tuple(twin))) == "wrong_request"


def test_another_holder_of_the_task_holds_nothing_of_what_it_handed_on(desk: Desk, links: list[str]) -> None:
    """A hop commits to its task, not to who holds that: only the last holder of a chain presents it."""
    root = link.write(ROOT, (), HOLDERS.key("mallory").kid, ISSUER, KEY)[0]
    chain = [root, *links[1:]]
    assert read(chain).chain == read(links).chain
    for agent, refused in (("mallory", "wrong_holder"), ("helper", "wrong_holder"), ("b", "")):
        assert desk.refusal(desk.present(chain, agent)) == refused


def test_a_proof_lives_for_a_minute_and_not_before(desk: Desk, links: list[str]) -> None:
    presented = desk.present(links, "b")
    desk.clock.advance(60 * SECOND)
    assert desk.refusal(presented) == "expired"
    for seconds, refused in ((5, ""), (6, "not_yet_valid")):
        ahead = FixedClock()
        ahead.advance(seconds * SECOND)
        early = possession.present(links, HOLDERS.key("b"), PLACE, ASKED, ahead)
        assert Desk(FixedClock()).refusal(early) == refused


@pytest.mark.parametrize("typ", [link.TYPE, "at+jwt", "client-authentication+jwt", "dpop+jwt", "JWT"])
def test_what_else_the_holder_has_signed_is_no_proof(desk: Desk, links: list[str], typ: str) -> None:
    presented = desk.present(links, "b")
    other = sign(claims_of(presented.proof), HOLDERS.key("b"), typ)
    assert desk.refusal(replace(presented, proof=other)) == "wrong_type"


def test_a_proof_is_about_the_method_and_every_param() -> None:
    params = {"name": "read", "arguments": {"n": 1}}
    digests = {
        about("tools/call", params),
        about("tools/list", params),
        about("tools/call", {**params, "more": None}),
        about("tools/call", {**params, "name": "pay"}),
        about("tools/call", {"name": "read"}),
        about("tools/call", {**params, "arguments": {"n": "1"}}),
        about("tools/call", {**params, "arguments": {"n": True}}),
    }
    assert len(digests) == 7
    assert about("tools/call", {"arguments": {"n": 1.0}, "name": "read"}) == about("tools/call", params)


@pytest.mark.parametrize("change", [{"exp": 2**32}, {"more": 1}, {"sub": "x"}, {"about": 1}, {"links": ""}])
def test_a_proof_says_exactly_what_it_must(desk: Desk, links: list[str], change: dict[str, Any]) -> None:
    presented = desk.present(links, "b")
    forged = sign(claims_of(presented.proof) | change, HOLDERS.key("b"), possession.TYPE)
    assert desk.refusal(replace(presented, proof=forged)) in ("bad_claim", "wrong_request")
    assert desk.refusal(replace(presented, proof=links[0])) != ""


def test_a_key_that_claims_to_be_the_holders_is_found_out(desk: Desk, links: list[str]) -> None:
    presented, mallory = desk.present(links, "b"), SigningKey.generate("EdDSA")
    key = mallory.public_jwk()
    for posing in (key, key | {"kid": HOLDERS.key("b").kid}, presented.key | {"x": key["x"]}):
        signing = SigningKey(posing["kid"], "EdDSA", mallory.private)
        forged = sign(claims_of(presented.proof), signing, possession.TYPE)
        assert desk.refusal(replace(presented, key=posing, proof=forged)) == "wrong_holder"
    renamed = presented.key | {"kid": "mine"}
    named = SigningKey("mine", "EdDSA", HOLDERS.key("b").private)
    proof = sign(claims_of(presented.proof), named, possession.TYPE)
    assert desk.refusal(replace(presented, key=renamed, proof=proof)) == "wrong_holder"
    nameless = {name: value for name, value in presented.key.items() if name != "kid"}
    assert desk.refusal(replace(presented, key=nameless)) == ""


def test_a_presentation_is_exactly_its_three_parts(desk: Desk, links: list[str]) -> None:
    presented = desk.present(links, "b")
    form = json.loads(msgspec.json.encode(presented))
    assert possession.read(form) == presented
    for wrong in (
        None,
        [],
        "x",
        {},
        form | {"more": 1},
        form | {"links": "x"},
        form | {"links": []},
        form | {"links": links * 5},
        form | {"proof": "x" * 5_000_000},
        form | {"links": ["x" * 5_000_000]},
        form | {"key": {"a": 1}},
        form | {"key": {**form["key"], "d": "x"}},
        form | {"key": {**form["key"], "jku": "https://evil.example/jwks"}},
        form | {"key": {**form["key"], "kid": "x" * 5_000_000}},
        form | {"key": {**form["key"], "x5c": ["x"]}},
        form | {"links": [1]},
        form | {"links": [None]},
        form | {"key": {str(n): "x" for n in range(99)}},
        {key: value for key, value in form.items() if key != "proof"},
    ):
        with pytest.raises(TokenError):
            possession.read(wrong)


def test_what_a_task_or_hop_becomes_later_changes_no_link() -> None:
    hops = grown(ROOT, ("a",))
    ended = written(replace(ROOT, state="completed"), [replace(hops[0], state="completed")])
    assert plain(read(ended).task) == plain(ROOT)
    assert read(ended).hops == tuple(hops)
