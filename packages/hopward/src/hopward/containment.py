"""Whether something a call involves is quarantined, or everything is stopped. Pure.

A revocation is for good and from a time on; a containment keeps something from acting while it stands, voids
nothing, and is taken back by a person.
"""

from collections.abc import Iterable

from hopward.clock import iso
from hopward.model import Chain, Containment
from hopward.pattern import matches

EVERYTHING = "*"
"""The id of the one containment of kind `all`: the stop of everything."""

_LONGEST = 200
"""Characters of a reason that a refused caller reads."""

Refusal = tuple[str, str]
"""A machine reason and a sentence for people."""


def concerns(containment: Containment, chain: Chain) -> bool:
    """Whether a containment could keep some call of a chain from being made."""
    return containment.kind in ("all", "server", "tool") or _names(containment, chain)


def why_stopped(containments: Iterable[Containment]) -> Refusal | None:
    """Why nothing at all may happen, or None."""
    for one in containments:
        if one.kind == "all":
            told = sentence(one)
            return ("stopped", told)
    return None


def why_chain_contained(containments: Iterable[Containment], chain: Chain) -> Refusal | None:
    """Why the chain may do nothing: its task, its subject or one of its agents is quarantined."""
    for one in containments:
        if one.kind not in ("all", "server", "tool") and _names(one, chain):
            told = sentence(one)
            return ("quarantined", told)
    return None


def why_tool_contained(containments: Iterable[Containment], server: str, tool: str = "") -> Refusal | None:
    """Why a tool of a server, or without one the server itself, may not be used by anybody."""
    for one in containments:
        if one.kind == "server" and one.id == server:
            told = sentence(one)
            return ("quarantined", told)
        if one.kind == "tool" and tool and matches(one.id, f"{server}/{tool}"):
            told = sentence(one)
            return ("quarantined", told)
    return None


def sentence(one: Containment) -> str:
    """What is contained, since when, by whom and why, and how a person takes it back."""
    since = iso(one.at)[:19].replace("T", " ") + "Z"
    told = f"since {since}, by {_line(one.by)}: {_line(one.why).rstrip('.')}."
    if one.kind == "all":
        return f"Everything is stopped {told} A person lifts it: hopward stop --lift --by NAME --why TEXT"
    name = _line(one.id)
    lift = f"hopward release {one.kind} {name} --why TEXT"
    return f"{one.kind.capitalize()} {name} is quarantined {told} A person lifts it: {lift}"


def _names(one: Containment, chain: Chain) -> bool:
    if one.kind == "agent":
        return one.id in chain.actors
    return one.id == (chain.task if one.kind == "task" else chain.subject)


def _line(text: str) -> str:
    """Text of a person or a detector on one line: it is only ever a part of a sentence."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 3] + "..."
