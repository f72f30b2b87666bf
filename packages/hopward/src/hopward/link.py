"""A chain outside the process: one signed link for the task and one for each hop (docs/reference/chain.md).

A link is a compact JWS by the authority's key. It says in full what its task or hop was when it was opened,
who holds it (`cnf.jkt`, RFC 7800, the thumbprint of a key), and the digest of the link before it, so it fits
no other chain. `verify` needs the links and the authority's public keys, nothing else: no log, no network.
What it cannot know is what has happened since: whether a chain still stands is the guard's to say.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from threading import Lock
from typing import Any, TypeVar

import msgspec

from hopward import budget, claims
from hopward.canonical import digest
from hopward.capability import within
from hopward.chain import scope_of
from hopward.clock import Instant, to_seconds
from hopward.commitment import as_opened, opened_digest
from hopward.errors import TokenError
from hopward.jose import Expected, sign, verify
from hopward.jwk import SigningKey, VerificationKey
from hopward.model import MOST_ACTORS, Capability, Chain, Hop, Task

TYPE = "hopward-link+jwt"
"""The `typ` of a link."""

_MOST_CHAINS = 1_024
_SKEW = 5
_MEMBERS = {"iss", "sub", "aud", "iat", "exp", "jti", "txn", "act", "cnf"}

_L = TypeVar("_L", Task, Hop)


@dataclass(frozen=True, slots=True)
class Linked:
    """What genuine links say: the task and its hops as they were opened, and the last holder's thumbprint.

    `kids` are the keys that have signed them.
    """

    task: Task
    hops: tuple[Hop, ...]
    holder: str
    kids: tuple[str, ...]

    @property
    def chain(self) -> Chain:
        """The chain to authorize calls with. It falls with the keys that have signed the links."""
        last = self.hops[-1] if self.hops else self.task
        return Chain(
            task=self.task.id,
            subject=self.task.subject,
            actors=(self.task.agent, *(hop.agent for hop in self.hops)),
            issued_at=self.task.opened_at,
            expires_at=min(link.expires_at for link in (self.task, *self.hops)),
            scope=scope_of(last.capabilities),
            key=self.kids[-1],
            lineage=tuple(f"key:{kid}" for kid in self.kids),
            hops=tuple(hop.id for hop in self.hops),
        )


def write(task: Task, hops: Sequence[Hop], holder: str, issuer: str, key: SigningKey) -> tuple[str, ...]:
    """The links of a chain. `holder` is the thumbprint of the key that the task's own agent holds.

    Raises `TokenError` for a hop without a holder: its chain was not meant to leave the process.
    """
    links = [_signed(task, (task.agent,), holder, task, issuer, key)]
    actors = [task.agent]
    for hop in hops:
        actors.append(hop.agent)
        if not hop.key:
            raise TokenError("A hop of this chain has no holder.", error="no_holder")
        links.append(_signed(hop, tuple(actors), hop.key, task, issuer, key))
    return tuple(links)


def read(links: Sequence[str], keys: Mapping[str, VerificationKey], issuer: str, now: Instant) -> Linked:
    """What links say, once all of it is checked.

    In this order: as many links as a chain can have; each signed by one of `keys`, of this issuer, current;
    all of one task and subject; each of them after, and committed to, the one before; from its holder to the
    next agent, none twice; and within it in every dimension. Raises `TokenError`: the errors of
    `hopward.jose`, `chain_broken` for links that do not belong together, `chain_widened` for one that
    exceeds its parent.
    """
    if not 1 <= len(links) <= MOST_ACTORS:
        raise _broken(f"A chain has 1 to {MOST_ACTORS} links.")
    expected = Expected(types=(TYPE,), issuer=issuer, audience=issuer, skew=_SKEW)
    found = [verify(link, keys, expected, now) for link in links]
    contents = [one.claims for one in found]
    task = _opened(contents[0], "task", Task)
    hops = tuple(_opened(content, "hop", Hop) for content in contents[1:])
    for parent, hop in zip((task, *hops), hops, strict=False):
        _check_follows(hop, parent, task)
        _check_within(hop, parent)
    actors = (task.agent, *(hop.agent for hop in hops))
    if len(set(actors)) != len(actors):
        raise _broken("The same agent is in the chain twice.")
    for index, (content, link) in enumerate(zip(contents, (task, *hops), strict=True), 1):
        _check_claims(content, link, task, actors[:index])
    return Linked(task, hops, contents[-1]["cnf"]["jkt"], tuple(dict.fromkeys(one.kid for one in found)))


class Links:
    """Reads links, and remembers by their digest those it has read. Safe to share between threads.

    Of a chain read before, nothing is checked again but its expiry and that its keys are still in use.
    """

    def __init__(self, issuer: str, size: int = _MOST_CHAINS) -> None:
        self._issuer = issuer
        self._size = size
        self._known: OrderedDict[bytes, Linked] = OrderedDict()
        self._lock = Lock()

    def read(self, links: Sequence[str], keys: Mapping[str, VerificationKey], now: Instant) -> Linked:
        """As `read`."""
        mark = _mark(links)
        with self._lock:
            known = self._known.get(mark)
        if known is not None and known.chain.expires_at > now and keys.keys() >= set(known.kids):
            return known
        linked = read(links, keys, self._issuer, now)
        with self._lock:
            self._known[mark] = linked
            while len(self._known) > self._size:
                self._known.popitem(last=False)
        return linked


def _mark(links: Sequence[str]) -> bytes:
    """Another one for the same text divided otherwise."""
    marks = (sha256(link.encode("utf-8", "surrogatepass")).digest() for link in links)
    return sha256(b"".join(marks)).digest()


def _signed(
    link: Task | Hop, actors: tuple[str, ...], holder: str, task: Task, issuer: str, key: SigningKey
) -> str:
    content: dict[str, Any] = {
        "iss": issuer,
        "sub": task.subject,
        "aud": issuer,
        "iat": to_seconds(link.opened_at),
        "exp": to_seconds(link.expires_at),
        "jti": link.id,
        "txn": task.id,
        "act": claims.act(actors),
        "cnf": {"jkt": holder},
        "task" if isinstance(link, Task) else "hop": as_opened(link),
    }
    return sign(content, key, TYPE)


def _opened(content: dict[str, Any], member: str, kind: type[_L]) -> _L:
    if content.keys() != _MEMBERS | {member}:
        raise _broken("A link says less or more than it must.")
    try:
        link = msgspec.convert({**content[member], "state": "open"}, kind)
    except (msgspec.ValidationError, TypeError, RecursionError):
        raise _broken("A link does not say what was opened.") from None
    if opened_digest(link) != digest(content[member]):
        raise _broken("A link says less or more than it must.")
    return link


def _check_claims(content: dict[str, Any], link: Task | Hop, task: Task, actors: tuple[str, ...]) -> None:
    said = {
        "sub": task.subject,
        "iat": to_seconds(link.opened_at),
        "exp": to_seconds(link.expires_at),
        "jti": link.id,
        "txn": task.id,
        "act": claims.act(actors),
    }
    if any(content[name] != value for name, value in said.items()):
        raise _broken("The claims of a link are not those of what it opens.")
    holder = content["cnf"]
    if not isinstance(holder, dict) or holder.keys() != {"jkt"} or not isinstance(holder["jkt"], str):
        raise _broken("A link names no holder.")
    if not holder["jkt"] or (isinstance(link, Hop) and holder["jkt"] != link.key):
        raise _broken("A link names another holder than its hop.")


def _check_follows(hop: Hop, parent: Task | Hop, task: Task) -> None:
    above = parent.id if isinstance(parent, Hop) else ""
    if (hop.task, hop.parent, hop.delegator) != (task.id, above, parent.agent):
        raise _broken("A link belongs to another chain.")
    if hop.parent_digest != opened_digest(parent):
        raise _broken("A link commits to another one than stands before it.")
    if hop.opened_at < parent.opened_at:
        raise _broken("A link is older than the one before it.")


def _check_within(hop: Hop, parent: Task | Hop) -> None:
    exceeded = budget.exceeded(hop.budget, parent.budget)
    beyond = {
        "capabilities": not _all_within(hop.capabilities, parent.delegable),
        "delegable": not _all_within(hop.delegable, parent.delegable),
        "depth": not 0 <= hop.depth < parent.depth,
        "fan_out": not 0 <= hop.fan_out <= parent.fan_out,
        exceeded or "budget": bool(exceeded),
        "expiry": hop.expires_at > parent.expires_at,
    }
    for dimension, is_beyond in beyond.items():
        if is_beyond:
            raise TokenError(f"A link exceeds its parent: {dimension}.", error="chain_widened")


def _all_within(children: Sequence[Capability], parents: Sequence[Capability]) -> bool:
    return all(any(within(child, parent) for parent in parents) for child in children)


def _broken(sentence: str) -> TokenError:
    return TokenError(sentence, error="chain_broken")
