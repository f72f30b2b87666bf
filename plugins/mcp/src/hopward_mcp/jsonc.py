"""JSON with comments and trailing commas, read with the place of every value, so that a text can be edited
where it has to be and stays as it is everywhere else."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from hopward import ConfigError

_SPACE = re.compile(r"(?:[ \t\r\n\ufeff]+|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*"')
_SCALAR = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null")
_DEEPEST = 100


@dataclass(frozen=True, slots=True)
class Node:
    """A value and where it stands: `text[start:end]`.

    Objects have `members`, lists `items`, everything else `value`.
    """

    start: int
    end: int
    kind: str
    value: Any = None
    members: tuple["Member", ...] = ()
    items: tuple["Node", ...] = ()

    def member(self, name: str) -> "Member | None":
        """The member of an object with this name."""
        return next((member for member in self.members if member.name == name), None)

    @property
    def plain(self) -> Any:
        """The value as `json.loads` would give it."""
        if self.kind == "object":
            return {member.name: member.node.plain for member in self.members}
        return [item.plain for item in self.items] if self.kind == "array" else self.value


@dataclass(frozen=True, slots=True)
class Member:
    """A member of an object; `start` is where its name begins."""

    name: str
    start: int
    node: Node


def parse(text: str, name: str) -> Node:
    """The one value in a text; raises `ConfigError` with line and column for anything else.

    An object with the same member twice is refused: which one counts, nobody can say. `name` is the file's.
    """
    return _Reader(text, name).whole()


def edited(text: str, edits: Iterable[tuple[int, int, str]]) -> str:
    """A text in which each `text[start:end]` is replaced; the places are of the text as it was."""
    for start, end, new in sorted(edits, reverse=True):
        text = text[:start] + new + text[end:]
    return text


class _Reader:
    def __init__(self, text: str, name: str) -> None:
        self._text = text
        self._name = name
        self._at = 0

    def whole(self) -> Node:
        """The value that is the whole text."""
        self._skip()
        node = self._value(_DEEPEST)
        self._skip()
        if self._at != len(self._text):
            raise self._wrong("there is something after the end")
        return node

    def _value(self, depth: int) -> Node:
        if not depth:
            raise self._wrong("it is nested too deeply")
        start = self._at
        match self._text[start : start + 1]:
            case "{":
                members = self._members(depth)
                return Node(start, self._at, "object", members=members)
            case "[":
                items = self._items(depth)
                return Node(start, self._at, "array", items=items)
            case '"':
                value = self._string()
                return Node(start, self._at, "string", value)
            case _:
                found = _SCALAR.match(self._text, start)
                if found is None:
                    raise self._wrong("a value is expected")
                self._at = found.end()
                return Node(start, self._at, "scalar", json.loads(found[0]))

    def _members(self, depth: int) -> tuple[Member, ...]:
        found: list[Member] = []
        self._at += 1
        while not self._closed("}"):
            start, name = self._at, self._string()
            if any(name == known.name for known in found):
                raise self._wrong(f"{json.dumps(name)} stands twice in one object", start)
            self._skip()
            self._expect(":")
            self._skip()
            found.append(Member(name, start, self._value(depth - 1)))
            self._separated("}")
        return tuple(found)

    def _items(self, depth: int) -> tuple[Node, ...]:
        found: list[Node] = []
        self._at += 1
        while not self._closed("]"):
            found.append(self._value(depth - 1))
            self._separated("]")
        return tuple(found)

    def _closed(self, bracket: str) -> bool:
        self._skip()
        if not self._text.startswith(bracket, self._at):
            return False
        self._at += 1
        return True

    def _separated(self, bracket: str) -> None:
        """A comma, or the end is next."""
        self._skip()
        if not self._text.startswith(bracket, self._at):
            self._expect(",")

    def _string(self) -> str:
        found = _STRING.match(self._text, self._at)
        if found is None:
            raise self._wrong("a text in double quotes is expected")
        self._at = found.end()
        return str(json.loads(found[0]))

    def _expect(self, character: str) -> None:
        if not self._text.startswith(character, self._at):
            raise self._wrong(f"{character!r} is expected")
        self._at += 1

    def _skip(self) -> None:
        found = _SPACE.match(self._text, self._at)
        self._at = found.end() if found else self._at

    def _wrong(self, what: str, at: int | None = None) -> ConfigError:
        at = self._at if at is None else at
        line = self._text.count("\n", 0, at) + 1
        column = at - self._text.rfind("\n", 0, at)
        return ConfigError(f"{self._name}:{line}:{column}: {what}.", advice="Nothing was changed.")
