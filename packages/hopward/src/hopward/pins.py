"""Pins: a tool counts only as it was described when a person accepted it, or when it was first seen.

What a server lists of a tool is spelled canonically and compared with what is pinned. What differs, and what
appears later, is noted as a sighting: until a person accepts it the tool is neither listed nor callable, in
any process. A sighting stays even where the server lists the old definition again, because a server that
alternates would otherwise decide by itself what is looked at.

Everything of a definition counts, members that MCP does not know included, but for `execution`: it says how a
tool may be called, not what it is, and a server that speaks two protocol versions has it in one of them only.
For the same reason a definition that leaves out optional members of the one that is pinned is no change: it
shows nothing new, and of a tool without annotations MCP presumes the worst (2026-07-28, server/tools).

Where tools are trusted when first seen, that is the first listing of a server alone, from its first page to
its last: a page counts only once, and only after the pages before it.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import msgspec

from hopward.canonical import canonical, digest, digest_of
from hopward.clock import Instant
from hopward.errors import StateError
from hopward.model import Pinning, Value

Why: TypeAlias = Literal["changed", "new", "doubled"]
"""Why a definition is not in force: it differs from the pinned one, it appeared later, or one listing has
two of them."""

_APART = "execution"
_OPTIONAL = frozenset({"title", "annotations", "outputSchema", "icons", "_meta"})
_MOST_CURSORS = 256
"""Cursors of a first listing that are remembered; of more, the oldest are forgotten."""


class Definition(msgspec.Struct, frozen=True):
    """A tool as a server describes it: its name, the digest of what is pinned, and that as canonical JSON."""

    name: str
    digest: str
    text: str


class Pin(Value, frozen=True):
    """The definition of a tool that counts, who is behind that, and since when. `by` and `why` are empty
    where it was first seen."""

    server: str
    tool: str
    digest: str
    definition: str
    how: Literal["accepted", "first-seen"]
    at: Instant
    by: str = ""
    why: str = ""


class Sighting(Value, frozen=True):
    """A definition that does not count until a person accepts it: the one seen last."""

    server: str
    tool: str
    digest: str
    definition: str
    why: Why
    at: Instant


class Look(Value, frozen=True):
    """How far the first listing of a server has been seen.

    `pages` have been, `complete` says that there are no more. `cursors` are the digests of those that lead to
    a page, with its number.
    """

    pages: int = 0
    complete: bool = False
    cursors: dict[str, int] = {}


class Page(msgspec.Struct, frozen=True):
    """One page of a `tools/list`: what was asked for and what came, the cursors as texts, or empty."""

    server: str
    definitions: tuple[Definition, ...]
    cursor: str = ""
    following: str = ""


class Status(msgspec.Struct, frozen=True):
    """How one tool stands. `digest` is the pinned one, `sighted` says why it is quarantined, or nothing."""

    how: Pinning = "none"
    digest: str = ""
    sighted: Why | Literal[""] = ""


@dataclass(frozen=True, slots=True)
class Book:
    """What is known of one server's tools. `pinned` reads the definition of a pinned one."""

    look: Look
    statuses: Mapping[str, Status]
    sighted: Mapping[str, str]
    pinned: Callable[[str], str]


@dataclass(slots=True)
class Changes:
    """What a page of a listing changes; `look` is None where that stays as it is."""

    pins: list[Pin] = field(default_factory=list[Pin])
    sightings: list[Sighting] = field(default_factory=list[Sighting])
    look: Look | None = None

    def __bool__(self) -> bool:
        return bool(self.pins or self.sightings or self.look is not None)


def defined(item: Mapping[str, Any]) -> Definition:
    """A tool as `tools/list` has it. Raises `ValueError` or `TypeError` for what is no JSON, or no tool."""
    name = item.get("name")
    if not isinstance(name, str):
        raise TypeError("a tool has a name")
    spelled = canonical({key: value for key, value in item.items() if key != _APART})
    return Definition(name, digest_of(spelled), spelled.decode())


def judged(book: Book, page: Page, at: Instant, *, trusting: bool) -> Changes:
    """What a page changes; `trusting` says whether a tool is pinned when it is first seen."""
    number = 0 if not page.cursor else book.look.cursors.get(digest(page.cursor))
    first = not book.look.complete and number == book.look.pages
    changes = Changes()
    for name, listed in _by_name(page.definitions).items():
        status = book.statuses.get(name, Status())
        one = next((each for each in listed if each.digest != status.digest), listed[0])
        why = _wrong(book, status, listed)
        if not why:
            continue
        if why == "new" and first and trusting and not status.sighted:
            changes.pins.append(_pin(page.server, one, at))
        elif (why, one.digest) != (status.sighted, book.sighted.get(name)):
            changes.sightings.append(_sighting(page.server, one, why, at))
    changes.look = _looked(book.look, page, number, first=first)
    return changes


def _pin(server: str, one: Definition, at: Instant) -> Pin:
    return Pin(server=server, tool=one.name, digest=one.digest, definition=one.text, how="first-seen", at=at)


def _sighting(server: str, one: Definition, why: Why, at: Instant) -> Sighting:
    return Sighting(server=server, tool=one.name, digest=one.digest, definition=one.text, why=why, at=at)


def _by_name(definitions: Sequence[Definition]) -> dict[str, list[Definition]]:
    found: dict[str, list[Definition]] = {}
    for one in definitions:
        found.setdefault(one.name, []).append(one)
    return found


def _wrong(book: Book, status: Status, listed: Sequence[Definition]) -> Why | None:
    if len({one.digest for one in listed}) > 1:
        return "doubled"
    if status.how == "none":
        return "new"
    same = listed[0].digest == status.digest or _shows_less(listed[0].text, book.pinned(listed[0].name))
    return None if same else "changed"


def _shows_less(listed: str, pinned: str) -> bool:
    """Whether a definition is the pinned one without some optional members."""
    less, whole = _members(listed), _members(pinned)
    missing = whole.keys() - less.keys()
    return missing <= _OPTIONAL and less == {key: whole[key] for key in whole if key not in missing}


def _members(text: str) -> dict[str, bytes]:
    members: dict[str, Any] = json.loads(text)
    return {key: canonical(value) for key, value in members.items()}


def _looked(look: Look, page: Page, number: int | None, *, first: bool) -> Look | None:
    # An empty listing is no first look: many servers have their tools only once they are signed in.
    if look.complete or number is None or not (page.definitions or look.pages):
        return None
    pages = number + 1 if first else look.pages
    if not page.following:
        told = Look(pages=pages, complete=True) if number + 1 == pages else look
    else:
        cursors = {**look.cursors, digest(page.following): number + 1}
        kept = list(cursors.items())[-_MOST_CURSORS:]
        told = Look(pages=pages, cursors=dict(kept))
    return None if told == look else told


def refusal(server: str, tool: str, status: Status, *, only_accepted: bool) -> tuple[str, str] | None:
    """Why a tool that stands so may not be called, as a reason and a sentence, or None."""
    told = f"`hopward mcp accept {server} {tool}` shows it to a person, who may accept it."
    if status.sighted in ("changed", "doubled"):
        what = "has changed" if status.sighted == "changed" else "is listed in two ways at once"
        told = f"and nobody has accepted that. {told}"
        return ("tool_changed", f"The definition of {server}/{tool} {what}, {told}")
    if status.sighted == "new":
        return ("tool_not_accepted", f"{server}/{tool} appeared, and nobody has accepted it yet. {told}")
    if only_accepted and status.how != "accepted":
        return ("tool_not_accepted", f"Nobody has accepted the definition of {server}/{tool} yet. {told}")
    return None


def changed_meanwhile(server: str, tool: str) -> StateError:
    """The error for accepting a definition that is not the one seen last any more."""
    return StateError(
        f"{server}/{tool} has changed since it was shown, so nothing was accepted.",
        advice=f"hopward mcp accept {server} shows what it is now.",
    )
