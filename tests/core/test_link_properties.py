"""Links and proofs by properties: what the guard opens is read back; nothing wider or changed is."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from hopward import link, possession
from hopward.canonical import canonical, digest
from hopward.capability import attenuate_all, covers_any
from hopward.clock import SECOND
from hopward.commitment import opened_digest
from hopward.constraint import Constraint, OneOf, Range
from hopward.errors import TokenError
from hopward.jose import sign
from hopward.jwk import SigningKey
from hopward.link import Linked, Links
from hopward.model import (
    ACTIONS,
    SENSITIVITIES,
    Budget,
    Capability,
    Hop,
    Narrowing,
    Task,
    Tool,
    ToolCall,
    plain,
)
from hopward.testing.clock import NOON, FixedClock
from hopward.testing.samples import a_hop, a_task

from .delegating import BOTH, Office
from .delegating import a_task as a_task_of_boss
from .linking import (
    ASKED,
    HOLDERS,
    ISSUER,
    KEY,
    KEYS,
    PLACE,
    ROOT,
    Desk,
    claims_of,
    grown,
    read,
    replace,
    written,
)

NAMES = tuple("abcdefg")
some = settings(max_examples=60, deadline=None)
many = settings(max_examples=200, deadline=None)

conditions: st.SearchStrategy[tuple[Constraint, ...]] = st.lists(
    st.sampled_from([Range(0, 5), Range(2, 9), Range(3), OneOf((1, 4)), OneOf((4, "s"))]), max_size=2
).map(tuple)
capabilities = st.builds(
    Capability,
    tools=st.lists(
        st.sampled_from(["desk/read", "desk/pay", "desk/*", "*"]), min_size=1, max_size=2, unique=True
    ).map(tuple),
    actions=st.lists(st.sampled_from(ACTIONS[:2]), min_size=1, max_size=2, unique=True).map(tuple),
    sensitivity=st.sampled_from(SENSITIVITIES[:3]),
    destinations=st.sampled_from([("desk",), ("*",), ("desk", "bank")]),
    constraints=st.dictionaries(st.sampled_from(["n", "/n", "m"]), conditions, max_size=2),
    closed=st.booleans(),
)
ALL = Capability(tools=("*",), actions=ACTIONS, sensitivity="restricted", destinations=("*",))
alternatives = st.lists(capabilities, max_size=2).map(tuple)
budgets = st.builds(Budget, calls=st.integers(0, 3), writes=st.integers(0, 3))

TOOLS = [
    Tool(
        server="desk",
        name=name,
        action=action,
        sensitivity=sensitivity,
        integrity="trusted",
        destination=destination,
    )
    for name in ("read", "pay", "other")
    for action in ACTIONS[:2]
    for sensitivity in SENSITIVITIES[:3]
    for destination in ("desk", "bank", "moon")
]
ARGUMENTS: list[dict[str, Any]] = [{}, {"n": 1}, {"n": 4}, {"n": 7}, {"m": 4, "n": 4}, {"n": "s"}, {"x": 1}]
CALLS = [
    (ToolCall(server="desk", tool=tool.name, arguments=one), tool) for tool in TOOLS for one in ARGUMENTS
]

numbers = st.integers(-2, 2**53) | st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | numbers | st.text(max_size=9)
words = st.sampled_from(["helper", "task_2", "hop_2", "A" * 43, "A" * 9_000, NOON, NOON // SECOND + 1])
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


# --- complete: what the guard opens comes through -----------------------------------------------------------

narrowings = st.builds(
    Narrowing,
    purpose=st.sampled_from(["pay", "look"]),
    capabilities=st.just(BOTH) | alternatives,
    delegable=st.just((ALL,)) | alternatives,
    budget=st.sampled_from([Budget(calls=9, writes=9), Budget(calls=2, writes=1), Budget(calls=0, writes=0)]),
    expires_in=st.sampled_from([2, 60, 100_000]),
    shared=st.booleans(),
    depth=st.sampled_from([9, 8, 2, 0]),
    fan_out=st.sampled_from([0, 1, 5, 9]),
)

GENEROUS = Narrowing(
    purpose="pay",
    capabilities=(ALL,),
    delegable=(ALL,),
    budget=Budget(calls=9, writes=9),
    expires_in=100,
    shared=True,
    depth=9,
    fan_out=9,
)


@some
@given(
    st.permutations(NAMES),
    st.lists(st.just(GENEROUS) | narrowings, min_size=3, max_size=7),
    st.just(BOTH) | alternatives,
)
def test_whatever_the_guard_opens_is_read_back_from_its_links(
    order: list[str], wishes: list[Narrowing], delegable: tuple[Capability, ...]
) -> None:
    task = a_task_of_boss(delegable=delegable, depth=7, fan_out=5)
    office = Office(agents=("boss", *order), task=task)
    chain = office.boss
    for name, wish in zip(order, wishes, strict=False):
        office.clock.advance(137_139)
        handed = office.guard.delegate(chain, name, wish, key=HOLDERS.key(name).kid)
        chain = handed.chain or chain
    hops = tuple(one.hop for one in office.ledger.standing(chain).hops)
    linked = read(written(task, list(hops)), office.clock.now())
    assert (linked.task, linked.hops) == (task, hops)
    assert linked.holder == HOLDERS.key(chain.actor).kid
    said = linked.chain
    assert (said.task, said.subject, said.actors, said.hops) == (
        chain.task,
        chain.subject,
        chain.actors,
        chain.hops,
    )
    assert (said.scope, said.expires_at, said.issued_at) == (chain.scope, chain.expires_at, chain.issued_at)


# --- sound: whatever is signed, a child never exceeds its parent --------------------------------------------


offsets = st.sampled_from([0, 0, 0, 0, -1, -1, 1, -4])


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Task, Hop, bool]:
    """A task, any hop after it, and whether the capabilities of the hop were made from the task's."""
    few = st.integers(1, 3)
    task = a_task(delegable=draw(alternatives), depth=draw(few), fan_out=draw(few), budget=draw(budgets))
    narrowed = draw(st.booleans())
    asked, further = draw(st.just((ALL,)) | alternatives), draw(st.just((ALL,)) | alternatives)
    hop = a_hop(
        parent_digest=opened_digest(task),
        capabilities=attenuate_all(task.delegable, asked) if narrowed else asked,
        delegable=attenuate_all(task.delegable, further) if narrowed else further,
        depth=task.depth + draw(offsets) - 1,
        fan_out=task.fan_out + draw(offsets),
        budget=Budget(calls=task.budget.calls + draw(offsets), writes=task.budget.writes + draw(offsets)),
        expires_at=task.expires_at + draw(offsets),
        key=HOLDERS.key("other").kid,
    )
    return task, hop, narrowed


def numbers_fit(task: Task, hop: Hop) -> bool:
    return (
        0 <= hop.depth <= task.depth - 1
        and 0 <= hop.fan_out <= task.fan_out
        and 0 <= hop.budget.calls <= task.budget.calls
        and 0 <= hop.budget.writes <= task.budget.writes
        and hop.expires_at <= task.expires_at
    )


@many
@given(pairs())
def test_a_signed_link_is_accepted_only_within_its_parent(pair: tuple[Task, Hop, bool]) -> None:
    task, hop, narrowed = pair
    try:
        read(written(task, [hop]))
    except TokenError as error:
        refused = error.error
    else:
        refused = ""
    if refused:
        assert (refused, narrowed and numbers_fit(task, hop)) == ("chain_widened", False)
        return
    assert numbers_fit(task, hop)
    for call, tool in CALLS:
        if covers_any(hop.capabilities, call, tool) or covers_any(hop.delegable, call, tool):
            assert covers_any(task.delegable, call, tool)


# --- whole: nothing of a link can be changed ----------------------------------------------------------------


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every leaf of a JSON value."""
    inner: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value))
    if not inner:
        yield path
    for key, one in inner:
        yield from leaves(one, (*path, key))


def changed(value: Any, path: tuple[Any, ...], to: Any) -> Any:
    """The JSON value with something else at one place."""
    if not path:
        return to
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = changed(value[path[0]], path[1:], to)
    return copy


LONG = grown(ROOT, ("a", "b"))
LINKS = written(ROOT, LONG)
PLACES = [(at, path) for at, one in enumerate(LINKS) for path in leaves(claims_of(one))]


@many
@given(st.sampled_from(PLACES), values | words)
def test_what_a_signed_link_says_is_committed_to_by_the_next_one(place: tuple[int, Any], to: Any) -> None:
    """An authority that signs two stories of one hop has not made the second a parent of the first's child.

    Of the task, only who holds it is not committed to: the next link tells who acts after them.
    """
    at, path = place
    content = claims_of(LINKS[at])
    other = changed(content, path, to)
    if canonical(other) == canonical(content):
        return
    links = [*LINKS[:at], sign(other, KEY, link.TYPE), *LINKS[at + 1 :]]
    try:
        linked = read(links)
    except TokenError:
        return
    if at < len(LINKS) - 1:
        assert (at, path) == (0, ("cnf", "jkt"))
        assert isinstance(to, str)
    told = {**plain(linked.hops[-1])}
    del told["state"]
    assert digest(told) == digest(claims_of(links[-1])["hop"])
    assert linked.holder == linked.hops[-1].key == claims_of(links[-1])["cnf"]["jkt"]


@many
@given(st.integers(0, 2), st.data())
def test_no_character_of_a_link_can_be_another(at: int, data: Any) -> None:
    text = LINKS[at]
    where = data.draw(st.integers(0, len(text) - 1))
    to = data.draw(st.sampled_from("AQgw-_.=\n"))
    links = [*LINKS[:at], text[:where] + to + text[where + 1 :], *LINKS[at + 1 :]]
    if links == LINKS:
        return
    cache = Links(ISSUER)
    cache.read(LINKS, KEYS, NOON)
    with suppress(TokenError):
        cache.read(links, KEYS, NOON)
        raise AssertionError(where)


@some
@given(st.data())
def test_no_parts_of_two_links_make_a_third(data: Any) -> None:
    parts = [one.split(".") for one in LINKS]
    made = ".".join(data.draw(st.sampled_from(parts))[part] for part in range(3))
    with suppress(TokenError):
        read([*LINKS[:2], made])
        assert made == LINKS[2]


SECOND_KEY = SigningKey.generate("EdDSA")
BOTH_KEYS = {**KEYS, SECOND_KEY.kid: SECOND_KEY.verification()}
NEWER = written(ROOT, LONG, SECOND_KEY)
SHORTER = written(ROOT, [replace(LONG[0], expires_at=NOON + 30 * SECOND)])
uses = st.tuples(
    st.lists(st.sampled_from([*LINKS, *NEWER, *SHORTER]), min_size=1, max_size=3),
    st.sampled_from([KEYS, BOTH_KEYS, {SECOND_KEY.kid: SECOND_KEY.verification()}, {}]),
    st.sampled_from([0, 0, 0, 29, 30, 599, 600]),
)
honest_uses = st.tuples(
    st.sampled_from([LINKS, LINKS[:1], [LINKS[0], NEWER[1]], [NEWER[0], *LINKS[1:]], SHORTER]),
    st.sampled_from([KEYS, BOTH_KEYS]),
    st.sampled_from([0, 0, 0, 30, 600]),
)


def outcome(read_links: Callable[[], Linked]) -> Linked | str:
    try:
        return read_links()
    except TokenError as refused:
        return refused.error


@many
@given(st.lists(uses | honest_uses, max_size=12), st.integers(1, 4))
def test_a_memory_of_chains_says_what_reading_them_again_would_say(chains: list[Any], size: int) -> None:
    cache = Links(ISSUER, size)
    for links, keys, seconds in sorted(chains, key=lambda use: use[2]):
        now = NOON + seconds * SECOND
        remembered = outcome(partial(cache.read, links, keys, now))
        assert remembered == outcome(partial(link.read, links, keys, ISSUER, now))


# --- possession ---------------------------------------------------------------------------------------------


@some
@given(st.integers(0, 7), st.integers(1, 8), st.sampled_from(("helper", *NAMES)))
def test_a_chain_or_its_beginning_is_presented_by_the_agent_it_ends_with(
    depth: int, kept: int, holder: str
) -> None:
    order = NAMES[:depth]
    links = written(ROOT, grown(ROOT, order))[:kept]
    desk = Desk(FixedClock())
    refused = desk.refusal(desk.present(links, holder))
    last = ("helper", *order)[len(links) - 1]
    assert refused == ("" if holder == last else "wrong_holder")


@some
@given(st.sampled_from(["iss", "sub", "aud", "iat", "exp", "jti", "links", "about"]), scalars | values)
def test_a_holder_cannot_say_anything_else_in_a_proof(name: str, to: Any) -> None:
    """What is its own to choose, the id and the time, stays within bounds."""
    desk = Desk(FixedClock())
    presented = desk.present(LINKS, "b")
    content = claims_of(presented.proof) | {name: to}
    if canonical(content) == canonical(claims_of(presented.proof)):
        return
    forged = sign(content, HOLDERS.key("b"), possession.TYPE)
    one = possession.Presentation(links=presented.links, key=presented.key, proof=forged)
    if desk.refusal(one) == "":
        assert name in ("jti", "iat", "exp")
        assert 0 < content["exp"] - content["iat"] <= 60
        assert desk.refusal(one) == "replayed"


moves = st.integers(0, 2) | st.sampled_from([-30, -5, -1, 10, 31, 59, 60, 61, 200]).map(lambda s: s * SECOND)


@some
@given(st.lists(moves, max_size=14))
def test_a_proof_counts_once_however_often_and_whenever_it_is_presented(steps: list[int]) -> None:
    """Not even a clock that is set back makes it count again."""
    desk = Desk(FixedClock())
    proofs = [desk.present(LINKS, "b") for _ in range(3)]
    counted = [0, 0, 0]
    for step in steps:
        if 0 <= step <= 2:
            with suppress(TokenError):
                counted[step] += desk.refusal(proofs[step]) == ""
        else:
            desk.clock.advance(step)
    assert max(counted) <= 1


@many
@given(values)
def test_what_is_presented_is_a_presentation_or_refused(value: Any) -> None:
    with suppress(TokenError):
        possession.read(value)
        raise AssertionError(value)


PRESENTED: Any = plain(possession.present(LINKS, HOLDERS.key("b"), PLACE, ASKED, FixedClock()))
PARTS = list(leaves({**PRESENTED, "links": list(PRESENTED["links"])}))


@many
@given(st.sampled_from(PARTS), values | words | st.sampled_from(["ES256", "EC", "P-256", "\ud800"]))
def test_a_presentation_with_another_part_is_refused_and_nothing_else_happens(path: Any, to: Any) -> None:
    whole = {**PRESENTED, "links": list(PRESENTED["links"])}
    other = changed(whole, path, to)
    if other == whole:
        return
    try:
        presented = possession.read(other)
        linked = read(list(presented.links))
        possession.check(presented, linked, PLACE, ASKED, lambda proof, until: True, NOON)
    except TokenError:
        return
    raise AssertionError(path)
