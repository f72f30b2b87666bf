"""Signed chains for tests: honest links of any length, and a desk where they are presented."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from hopward import link, possession
from hopward.base64url import decode
from hopward.commitment import opened_digest
from hopward.constraint import Range
from hopward.errors import TokenError
from hopward.jwk import SigningKey
from hopward.link import Linked
from hopward.model import Budget, Capability, Hop, Task
from hopward.possession import Holders, about
from hopward.testing.clock import NOON, FixedClock
from hopward.testing.ledger import MemoryLedger
from hopward.testing.samples import a_hop, a_task

ISSUER = "https://authority.example"
PLACE = "https://proxy.example/desk/mcp"
KEY = SigningKey.generate("ES256")
KEYS = {KEY.kid: KEY.verification()}
HOLDERS = Holders()
READING = Capability(
    tools=("desk/*",),
    actions=("read",),
    sensitivity="internal",
    destinations=("*",),
    constraints={"n": (Range(minimum=0, maximum=9),)},
)
ROOT = a_task(delegable=(READING,), depth=7, fan_out=3, budget=Budget(calls=50, writes=5))
ASKED = about("tools/call", {"name": "read", "arguments": {"n": 1}})
replace: Callable[..., Any] = msgspec.structs.replace


def grown(task: Task, names: tuple[str, ...]) -> list[Hop]:
    """Honest hops from the task's agent along these names."""
    hops: list[Hop] = []
    parent: Task | Hop = task
    for number, name in enumerate(names, 1):
        hop = a_hop(
            f"hop_{number}",
            task=task.id,
            parent=parent.id if isinstance(parent, Hop) else "",
            parent_digest=opened_digest(parent),
            delegator=parent.agent,
            agent=name,
            capabilities=(READING,),
            delegable=(READING,),
            depth=parent.depth - 1,
            fan_out=parent.fan_out,
            budget=Budget(calls=9, writes=1),
            key=HOLDERS.key(name).kid,
        )
        hops.append(hop)
        parent = hop
    return hops


def written(task: Task, hops: list[Hop], key: SigningKey = KEY) -> list[str]:
    return list(link.write(task, hops, HOLDERS.key(task.agent).kid, ISSUER, key))


def read(links: list[str], now: int = NOON) -> Linked:
    return link.read(links, KEYS, ISSUER, now)


def refusal(links: list[str], now: int = NOON) -> str:
    with pytest.raises(TokenError) as refused:
        read(links, now)
    return refused.value.error


def claims_of(token: str) -> dict[str, Any]:
    return json.loads(decode(token.split(".")[1]))


@dataclass
class Desk:
    """Where chains are presented: it remembers proofs in a ledger."""

    clock: FixedClock

    def __post_init__(self) -> None:
        self.ledger = MemoryLedger(self.clock)

    def present(self, links: list[str], agent: str, **changes: str) -> possession.Presentation:
        place, asked = changes.get("place", PLACE), changes.get("asked", ASKED)
        return possession.present(links, HOLDERS.key(agent), place, asked, self.clock)

    def refusal(self, presented: possession.Presentation) -> str:
        linked = read(list(presented.links))

        def once(proof: str, expires_at: int) -> bool:
            return self.ledger.seen_once("chain_proof", proof, expires_at)

        try:
            possession.check(presented, linked, PLACE, ASKED, once, self.clock.now())
        except TokenError as refused:
            return refused.error
        return ""
