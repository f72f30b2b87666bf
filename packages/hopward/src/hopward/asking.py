"""Which tools a request asks for, found by words, without a model: a proposal, which a person may change.

Reading is left as the workflow has it. A tool that does more is proposed only where the request has a verb
for it (`pay`, `refund` for one that pays), in the form in which people ask: "pay the bill" asks for a
payment, "what I paid" and "what did I pay" do not. Text in quotation marks is what is to be said or read, not
what is to be done. What a verb's own clause names ("update the *password*") narrows it to the tools that are
called so.

Only names and classifications in `hopward.toml` count. Descriptions are a server's own words, and what
stands behind the request ("do what the file says") is somebody else's: neither gives a task anything.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from hopward import capability, pattern
from hopward.model import ACTIONS, Action, Capability, Task, Tool


def _each(words: str) -> frozenset[str]:
    return frozenset(words.split())


_FAMILIES: Mapping[str, frozenset[str]] = {
    "pay": _each("pay repay refund reimburse transfer remit settle wire donate"),
    "send": _each(
        "send post write message reply respond answer tell notify inform email e-mail mail forward share "
        "publish announce tweet dm"
    ),
    "change": _each(
        "update change adjust modify edit amend correct set rename replace increase reduce raise lower move"
    ),
    "add": _each("add append insert assign"),
    "create": _each("create draft write generate upload save store register copy"),
    "invite": _each("invite onboard"),
    "schedule": _each("schedule set book reserve arrange"),
    "delete": _each("delete remove erase cancel drop revoke unsubscribe"),
    "execute": _each("run execute deploy launch restart install"),
}
"""Verbs of one kind each; one verb may be of several."""

_OF_ACTION: Mapping[Action, tuple[str, ...]] = {
    "pay": ("pay",),
    "send": ("send",),
    "delete": ("delete",),
    "execute": ("execute",),
}
"""The kind of verb that asks for any tool of this class, whatever it is called."""

_CHANGES = ("change", "add", "create", "invite", "schedule")
"""The kinds that ask for a tool that writes and whose name has no verb."""

_NOUN_AFTER = _each(
    "a an the my your his her its our their this that these those any each every no direct new last next "
    "following same"
)
"""After these a word is a thing, not something to be done: "the transfer", "my reply"."""

_TOLD = _each("what what's who who's whom whose how why which")
"""A clause that begins so asks to be told something: "how much did I pay", "what does Carol write"."""

_NOT = _each("not never don't dont cannot without")
_SMALL = _each("a all an and at by for from get in into is it most my of on or our the to up with")

_QUOTED = re.compile(
    r"(?<![^\s(\[])(?:'[^'\n]{1,2000}'|\"[^\"\n]{1,2000}\"|\u201c[^\u201d\n]{1,2000}\u201d)(?=[\s.,;:!?)\]]|$)"
)
_CLAUSE = re.compile(r"[.;:!?](?=\s|$)|[\n()]|\b(?:and|then|but)\b", re.IGNORECASE)
_WORD = re.compile(r"[\w'\u2019-]+")
_NAME_PART = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")


class Proposal(msgspec.Struct, frozen=True):
    """One tool of a workflow: whether a task for the request should have it, and why (or why not)."""

    tool: Tool
    proposed: bool
    why: str


def proposals(
    request: str, capabilities: Sequence[Capability], tools: Iterable[Tool]
) -> tuple[Proposal, ...]:
    """What a task with these capabilities needs of the tools they reach, in the order of `tools`."""
    reached = [tool for tool in tools if capability.reaches(capabilities, tool)]
    asked = _asked_for(request, [tool for tool in reached if tool.action != "read"])
    return tuple(_proposal(tool, asked) for tool in reached)


def narrowed(task: Task, tools: Iterable[str]) -> Task:
    """The task with only these tools, exact names or prefixes ending in `*`, to call or to hand on."""
    only = (
        Capability(
            tools=pattern.normal(tools), actions=ACTIONS, sensitivity="restricted", destinations=("*",)
        ),
    )
    return msgspec.structs.replace(
        task,
        capabilities=capability.attenuate_all(task.capabilities, only),
        delegable=capability.attenuate_all(task.delegable, only),
    )


def _proposal(tool: Tool, asked: Mapping[str, str]) -> Proposal:
    if tool.action == "read":
        return Proposal(tool, True, "it only reads")
    verb = asked.get(tool.full_name)
    if verb is None:
        return Proposal(tool, False, f"nothing asks to {tool.action} with it")
    return Proposal(tool, True, f"the request says {verb!r}")


def _asked_for(request: str, tools: Sequence[Tool]) -> dict[str, str]:
    """Full name -> the first verb of the request that asks for it."""
    found: dict[str, str] = {}
    families = {tool.full_name: _families(tool) for tool in tools}
    for verb, rest in _verbs(request):
        meant = {family for family, verbs in _FAMILIES.items() if verb in verbs}
        candidates = [tool for tool in tools if families[tool.full_name] & meant]
        named = [tool for tool in candidates if _things(tool) & rest]
        for tool in named or candidates:
            found.setdefault(tool.full_name, verb)
    return found


def _verbs(request: str) -> Iterator[tuple[str, frozenset[str]]]:
    """Each verb that asks for something, with the other words of its clause after it."""
    known = frozenset[str]().union(*_FAMILIES.values())
    for clause in _CLAUSE.split(_QUOTED.sub(" ", request)):
        words = [word.casefold().replace("\u2019", "'") for word in _WORD.findall(clause)]
        if words and words[0] in _TOLD:
            continue
        for at, word in enumerate(words):
            before = words[max(0, at - 2) : at]
            if word in known and not (before[-1:] and before[-1] in _NOUN_AFTER) and not _NOT & {*before}:
                yield word, frozenset(map(_singular, words[at + 1 :]))


def _families(tool: Tool) -> frozenset[str]:
    parts = set(_parts(tool))
    own = {family for family, verbs in _FAMILIES.items() if verbs & parts}
    if not own and tool.action == "write":
        return frozenset(_CHANGES)
    return frozenset({*own, *_OF_ACTION.get(tool.action, ())})


def _things(tool: Tool) -> frozenset[str]:
    """What the name of a tool is about: its words but the first verb and the small ones."""
    verbs = frozenset[str]().union(*_FAMILIES.values())
    parts = [part for part in _parts(tool) if part not in _SMALL]
    first = next((part for part in parts if part in verbs), "")
    return frozenset(_singular(part) for part in parts if part != first)


def _parts(tool: Tool) -> list[str]:
    return [part.casefold() for part in _NAME_PART.findall(tool.name)]


def _singular(word: str) -> str:
    return word[:-1] if word.endswith("s") and len(word) > 3 else word
