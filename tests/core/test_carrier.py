"""Chains carried from one process to another of the same installation: presented here, accepted there."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest

from hopward.canonical import JSON
from hopward.carrier import Carrier, request_digest
from hopward.chain import entered
from hopward.clock import SECOND, Instant
from hopward.errors import ChainError, ConfigError, LedgerError, TokenError
from hopward.jwk import SigningKey, VerificationKey
from hopward.model import Budget, Chain, Narrowing
from hopward.record import Standing
from hopward.testing.ledger import MemoryLedger

from .delegating import BOTH, NOTE, PAY_CALL, READ_CALL, READING, Office
from .delegating import a_task as a_task_of_boss
from .linking import ISSUER, PLACE, replace

ASKED = request_digest("tools/call", {"name": "read", "arguments": {}})
OTHER = request_digest("tools/call", {"name": "pay", "arguments": {}})
WISH = Narrowing(
    purpose="look",
    capabilities=(READING,),
    delegable=BOTH,
    budget=Budget(calls=4, writes=1),
    expires_in=300,
    depth=1,
    fan_out=1,
    shared=True,
)


@dataclass
class Ring:
    """The authority's keys; a proxy of another user has the public ones alone."""

    signing: SigningKey = field(default_factory=lambda: SigningKey.generate("ES256"))
    retired: list[SigningKey] = field(default_factory=list[SigningKey])

    def verification_keys(self) -> Mapping[str, VerificationKey]:
        return {key.kid: key.verification() for key in (self.signing, *self.retired)}


@dataclass
class PublicRing:
    ring: Ring

    @property
    def signing(self) -> SigningKey:
        raise ConfigError("The signing key is elsewhere.")

    def verification_keys(self) -> Mapping[str, VerificationKey]:
        return self.ring.verification_keys()


class Place:
    """A program with three agents, and a proxy that has the same log and the public keys."""

    def __init__(self) -> None:
        self.office = Office(task=a_task_of_boss())
        self.ring = Ring()
        self.program = self.carrier(self.ring)
        self.proxy = self.carrier(PublicRing(self.ring))

    def carrier(self, keys: Any, book: Any = None) -> Carrier:
        return Carrier(ISSUER, keys, book or self.office.ledger, self.office.clock)

    def handed(self, chain: Chain, to: str) -> Chain:
        made = self.office.guard.delegate(chain, to, WISH, key=self.program.holder(to)).chain
        assert made is not None
        return made

    def refusal(self, value: object, place: str = PLACE, asked: str = ASKED) -> str:
        with pytest.raises(TokenError) as refused:
            self.proxy.accept(value, place, asked)
        return refused.value.error


@pytest.fixture
def place() -> Place:
    return Place()


def test_each_agents_chain_is_accepted_as_its_own(place: Place) -> None:
    boss = place.office.boss
    worker = place.handed(boss, "worker")
    clerk = place.handed(worker, "clerk")
    for chain in (boss, worker, clerk, boss):
        accepted = place.proxy.accept(place.program.present(chain, PLACE, ASKED), PLACE, ASKED)
        assert (accepted.task, accepted.subject) == (chain.task, chain.subject)
        assert (accepted.actors, accepted.hops) == (chain.actors, chain.hops)
        assert (accepted.scope, accepted.expires_at) == (chain.scope, chain.expires_at)
        assert accepted.lineage == (f"key:{place.ring.signing.kid}",)


def test_the_guard_decides_on_an_accepted_chain_as_on_the_one_presented(place: Place) -> None:
    worker = place.handed(place.office.boss, "worker")
    accepted = place.proxy.accept(place.program.present(worker, PLACE, ASKED), PLACE, ASKED)
    assert place.office.guard.authorize(READ_CALL, accepted).permitted
    assert not place.office.guard.authorize(PAY_CALL, accepted).permitted
    place.office.guard.complete_hop(worker)
    again = place.proxy.accept(place.program.present(worker, PLACE, ASKED), PLACE, ASKED)
    assert place.office.guard.authorize(READ_CALL, again).verdict.reason == "hop_completed"


def test_what_is_presented_counts_once_whichever_proxy_gets_it(place: Place) -> None:
    value = place.program.present(place.office.boss, PLACE, ASKED)
    second = place.carrier(PublicRing(place.ring))
    assert second.accept(value, PLACE, ASKED).actor == "boss"
    assert place.refusal(value) == "replayed"


def test_of_many_threads_with_one_proof_a_single_one_gets_through(place: Place) -> None:
    value = place.program.present(place.office.boss, PLACE, ASKED)

    def attempt(_: int) -> str:
        try:
            return place.proxy.accept(value, PLACE, ASKED).actor
        except TokenError as refused:
            return refused.error

    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(attempt, range(24)))
    assert sorted(told) == ["boss", *["replayed"] * 23]


def test_what_is_refused_does_not_use_up_the_proof(place: Place) -> None:
    value = place.program.present(place.office.boss, PLACE, ASKED)
    assert place.refusal(value, place=PLACE + "2") == "wrong_audience"
    assert place.refusal(value, asked=OTHER) == "wrong_request"
    assert place.refusal({**value, "more": 1}) == "malformed"
    assert place.proxy.accept(value, PLACE, ASKED).actor == "boss"


def test_links_of_one_agent_with_the_proof_of_another_are_refused(place: Place) -> None:
    boss, worker = place.office.boss, place.handed(place.office.boss, "worker")
    mine, theirs = (place.program.present(chain, PLACE, ASKED) for chain in (worker, boss))
    assert place.refusal({**mine, "links": theirs["links"]}) == "wrong_holder"
    assert place.refusal({**mine, "links": theirs["links"], "key": theirs["key"]}) == "unknown_key"
    assert place.refusal({**theirs, "links": mine["links"]}) == "wrong_holder"
    assert place.refusal({**mine, "proof": theirs["proof"]}) == "unknown_key"


def test_a_chain_that_says_another_actor_than_its_hops_is_nobodys(place: Place) -> None:
    """Whoever changes the chain in its own process cannot act as another agent of it."""
    worker = place.handed(place.office.boss, "worker")
    for actors in (("boss", "clerk"), ("boss",), ("worker", "boss")):
        posing = place.program.present(replace(worker, actors=actors), PLACE, ASKED)
        assert place.refusal(posing) == "wrong_holder"


def test_a_hop_that_another_process_holds_is_not_presented_here(place: Place) -> None:
    worker = place.handed(place.office.boss, "worker")
    other = place.carrier(place.ring)
    with pytest.raises(ChainError) as refused:
        other.present(worker, PLACE, ASKED)
    assert refused.value.error == "wrong_holder"
    keyless = place.office.guard.delegate(place.office.boss, "clerk", WISH).chain
    assert keyless is not None
    with pytest.raises(ChainError):
        place.program.present(keyless, PLACE, ASKED)


def test_a_chain_that_is_not_there_is_not_presented(place: Place) -> None:
    boss = place.office.boss
    worker = place.handed(boss, "worker")
    for chain in (
        replace(boss, task="task_9"),
        replace(worker, hops=("hop_9",)),
        replace(worker, hops=(*worker.hops, "hop_9")),
        replace(worker, task="task_9"),
    ):
        with pytest.raises(ChainError) as refused:
            place.program.present(chain, PLACE, ASKED)
        assert refused.value.error == "chain_broken"


def test_chains_of_two_tasks_do_not_get_each_others_links(place: Place) -> None:
    second = a_task_of_boss(id="task_2", subject="bob")
    place.office.ledger.put_task(second, NOTE)
    boss = place.office.boss
    other = replace(boss, task="task_2", subject="bob")
    for chain in (boss, other, boss):
        accepted = place.proxy.accept(place.program.present(chain, PLACE, ASKED), PLACE, ASKED)
        assert (accepted.task, accepted.subject) == (chain.task, chain.subject)


class Counting(MemoryLedger):
    """Counts how often it is asked how a chain stands."""

    asked = 0

    def standing(self, chain: Chain) -> Standing:
        self.asked += 1
        return super().standing(chain)


def test_links_are_written_once_while_there_is_room_for_them(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hopward.carrier._MOST_WRITTEN", 2)
    book = Counting(place.office.clock)
    tasks = [a_task_of_boss(id=f"task_{number}") for number in range(3)]
    for task in tasks:
        book.put_task(task, NOTE)
    program = place.carrier(place.ring, book)
    asked: list[int] = []
    for number in (0, 1, 0, 1, 2, 0):
        program.present(entered(tasks[number]), PLACE, ASKED)
        asked.append(book.asked)
    assert asked == [1, 2, 2, 2, 3, 4]


def test_without_the_signing_key_nothing_is_presented(place: Place) -> None:
    with pytest.raises(ConfigError):
        place.proxy.present(place.office.boss, PLACE, ASKED)


def test_after_a_rotation_links_are_written_anew_and_a_dropped_key_ends_the_old_ones(place: Place) -> None:
    boss = place.office.boss
    before = place.program.present(boss, PLACE, ASKED)
    old, place.ring.signing = place.ring.signing, SigningKey.generate("EdDSA")
    place.ring.retired = [old]
    assert place.proxy.accept(before, PLACE, ASKED).key == old.kid
    unused, after = (place.program.present(boss, PLACE, ASKED) for _ in range(2))
    assert place.proxy.accept(after, PLACE, ASKED).key == place.ring.signing.kid
    place.ring.retired = []
    assert place.refusal(before) == "unknown_key"
    assert place.proxy.accept(unused, PLACE, ASKED).actor == "boss"


def test_a_chain_ends_with_its_hop_also_where_it_is_known_already(place: Place) -> None:
    worker = place.handed(place.office.boss, "worker")
    place.proxy.accept(place.program.present(worker, PLACE, ASKED), PLACE, ASKED)
    place.office.clock.advance(300 * SECOND)
    assert place.refusal(place.program.present(worker, PLACE, ASKED)) == "expired"


class NoLedger(MemoryLedger):
    def seen_once(self, kind: str, value: str, expires_at: Instant) -> bool:
        raise LedgerError("The disk is full.")


def test_where_proofs_cannot_be_remembered_none_is_accepted(place: Place) -> None:
    value = place.program.present(place.office.boss, PLACE, ASKED)
    forgetful = place.carrier(PublicRing(place.ring), NoLedger(place.office.clock))
    with pytest.raises(LedgerError):
        forgetful.accept(value, PLACE, ASKED)


def nested(depth: int) -> JSON:
    value: JSON = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "params",
    [
        {"x": float("nan")},
        {"x": float("inf")},
        {"x": {1, 2}},
        {"x": "\ud800"},
        {1: 2},
        {"x": nested(100_000)},
    ],
    ids=["nan", "infinity", "set", "surrogate", "key", "deep"],
)
def test_what_cannot_be_digested_is_neither_presented_nor_accepted(params: Any) -> None:
    with pytest.raises(TokenError) as refused:
        request_digest("tools/call", params)
    assert refused.value.error == "malformed"
