"""On which line of a TOML text each key stands. Only error messages need it.

`tomllib` gives values without positions, and `tomlkit` costs 50 ms to import and gives none either. This
finder walks a text that `tomllib` has already accepted, so it checks nothing and only keeps its place.
"""

import re
import tomllib
from collections.abc import Mapping

from hopward.config.problem import KeyPath

_SPACE = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
_INDENT = re.compile(r"[ \t]*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_QUOTED = re.compile(
    r'"""(?:\\.|"{1,2}(?!")|[^"\\])*"{3,5}'
    r"|'''(?:'{1,2}(?!')|[^'])*'{3,5}"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)
_PLAIN_VALUE = re.compile(r"[^,\]}\n#]+")


def line_map(text: str) -> dict[KeyPath, int]:
    """The 1-based line of every table, key and array element of a valid TOML text.

    A table has the line of its header, or of its first key where it has no header of its own.
    """
    finder = _Finder(text)
    finder.document()
    return finder.lines


def span_map(text: str) -> dict[KeyPath, tuple[int, int]]:
    """Where every table with a header, every key and every array element of a valid TOML text stands.

    Offsets of characters; a table goes from its header to its last key, a key from its name to its value's
    end.
    """
    finder = _Finder(text)
    finder.document()
    return finder.spans


def value_map(text: str) -> dict[KeyPath, tuple[int, int]]:
    """Where the value of every key of a valid TOML text stands, as offsets of characters."""
    finder = _Finder(text)
    finder.document()
    return finder.values


def line_of(lines: Mapping[KeyPath, int], path: KeyPath) -> int:
    """The line of a place, or of the nearest place around it that is written out; 1 for the document."""
    while path:
        if path in lines:
            return lines[path]
        path = path[:-1]
    return 1


class _Finder:
    """A cursor over the text; every method leaves it behind what the method is named after."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.line = 1
        self.counted = 0
        self.lines: dict[KeyPath, int] = {}
        self.arrays: dict[KeyPath, int] = {}
        self.spans: dict[KeyPath, tuple[int, int]] = {}
        self.values: dict[KeyPath, tuple[int, int]] = {}

    def document(self) -> None:
        table: KeyPath = ()
        self._skip(_SPACE)
        begun = 0
        while self.at < len(self.text):
            if self.text[self.at] == "[":
                begun = self.at
                table = self._header(2 if self.text.startswith("[[", self.at) else 1)
            else:
                self._pair(table)
            if begun < self.at and table:
                self.spans[table] = (begun, self.at)
            self._skip(_SPACE)

    def _skip(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self.text, self.at)
        if found is None:
            raise ValueError(f"not TOML at offset {self.at}")
        self.at = found.end()
        return found.group()

    def _note(self, path: KeyPath) -> None:
        self.line += self.text.count("\n", self.counted, self.at)
        self.counted = self.at
        self.lines.setdefault(path, self.line)

    def _header(self, brackets: int) -> KeyPath:
        self.at += brackets
        self._skip(_INDENT)
        path: KeyPath = ()
        parts = self._key()
        for part in parts[:-1]:
            path = self._inside((*path, part))
            self._note(path)
        path = (*path, parts[-1])
        if brackets == 2:
            self.arrays[path] = self.arrays.get(path, -1) + 1
            self._note(path)
            path = self._inside(path)
        # A header written after a table's first mention (`[a.b]` before `[a]`) is the better place.
        self.lines.pop(path, None)
        self._note(path)
        self.at += brackets
        return path

    def _inside(self, path: KeyPath) -> KeyPath:
        return (*path, self.arrays[path]) if path in self.arrays else path

    def _key(self) -> list[str]:
        parts: list[str] = []
        while True:
            if self.text[self.at] in "\"'":
                parts.append(_unquote(self._skip(_QUOTED)))
            else:
                parts.append(self._skip(_BARE_KEY))
            self._skip(_INDENT)
            if not self.text.startswith(".", self.at):
                return parts
            self.at += 1
            self._skip(_INDENT)

    def _pair(self, table: KeyPath) -> None:
        start = self.at
        parts = self._key()
        end, self.at = self.at, start
        path = table
        for part in parts:
            path = (*path, part)
            self._note(path)
        self.at = end + 1
        self._skip(_INDENT)
        value = self.at
        self._value(path)
        self.spans[path], self.values[path] = (start, self.at), (value, self.at)

    def _value(self, path: KeyPath) -> None:
        first = self.text[self.at]
        if first in "\"'":
            self._skip(_QUOTED)
        elif first == "[":
            self._array(path)
        elif first == "{":
            self._inline_table(path)
        else:
            self._skip(_PLAIN_VALUE)

    def _array(self, path: KeyPath) -> None:
        self.at += 1
        index = 0
        self._skip(_SPACE)
        while self.text[self.at] != "]":
            self._note((*path, index))
            start = self.at
            self._value((*path, index))
            self.spans[(*path, index)] = (start, self.at)
            index += 1
            self._comma()
        self.at += 1

    def _inline_table(self, path: KeyPath) -> None:
        self.at += 1
        self._skip(_SPACE)
        while self.text[self.at] != "}":
            self._pair(path)
            self._comma()
        self.at += 1

    def _comma(self) -> None:
        self._skip(_SPACE)
        if self.text[self.at] == ",":
            self.at += 1
            self._skip(_SPACE)


def _unquote(raw: str) -> str:
    if raw.startswith("'"):
        return raw[1:-1]
    return str(tomllib.loads(f"key = {raw}")["key"])
