"""Where things stand in the text of a Cedar policy file: its tokens, its policies, their lines.

Cedar's own parser names no line, so this module finds it. It decides nothing: Cedar parses every policy, and
`hopward.cedar` refuses a file that Cedar and this module do not divide into the same policies.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""
      (?P<blank>\s+|//[^\n\r]*)
    | "(?:[^"\\]|\\.)*"            # a string, over several lines too
    | [A-Za-z_][A-Za-z0-9_]*
    | [0-9]+
    | ::|==|!=|<=|>=|&&|\|\|
    | .                            # any other sign, also one that Cedar will refuse
    """,
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Token:
    """One token: its text, the line it starts on (from 1), and the offset just behind it."""

    text: str
    line: int
    end: int


@dataclass(frozen=True, slots=True)
class Statement:
    """One policy as written, comments before it included: its text, its tokens, the line it starts on.

    `end` of a token counts from the start of `text`. What stands behind the last `;` of a file is a
    statement too, if there is anything but blanks and comments.
    """

    text: str
    tokens: tuple[Token, ...]

    @property
    def line(self) -> int:
        """The line of the first token."""
        return self.tokens[0].line

    def line_of(self, names: Iterable[str]) -> int:
        """The line of the first of these names that is a token here, else the line the policy starts on."""
        for name in names:
            for token in self.tokens:
                if token.text in (name, f'"{name}"'):
                    return token.line
        return self.line


def statements(text: str) -> Iterator[Statement]:
    """The policies of a file in order, each with its final `;`."""
    start = 0
    found: list[Token] = []
    line = 1
    for match in _TOKEN.finditer(text):
        if match.lastgroup != "blank":
            found.append(Token(match[0], line, match.end() - start))
        line += match[0].count("\n")
        if match[0] == ";":
            yield Statement(text[start : match.end()], tuple(found))
            start, found = match.end(), []
    if found:
        yield Statement(text[start:], tuple(found))


_QUOTED = re.compile(r"`([^`]+)`")


def names_in(message: str) -> Iterator[str]:
    """What a message of Cedar puts in backticks, cut to the last token: `amount` of `arguments.amount`."""
    for quoted in _QUOTED.findall(message):
        *_, last = _TOKEN.finditer(quoted)
        yield last[0]
