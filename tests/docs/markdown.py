"""Pages as the tests read them: fenced blocks with the directives before them, links, headings, tables."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"

_FENCE = re.compile(r"^(?P<indent> *)(?P<fence>```+|~~~+)(?P<info>[^`\n]*)$")
_DIRECTIVE = re.compile(r"^\s*<!-- (?P<name>[a-z ]+): (?P<value>.*?) -->\s*$")
_LINK = re.compile(r"(?<!!)\[(?:[^\]\[]|\[[^\]]*\])*\]\((?P<target>[^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} +(?P<text>.+?) *#*$")
_CODE_SPAN = re.compile(r"`[^`\n]*`")


@dataclass(frozen=True)
class Block:
    """A fenced block. `directives` are the HTML comments `<!-- name: value -->` on the lines before it."""

    language: str
    text: str
    line: int
    directives: dict[str, str]


@dataclass(frozen=True)
class Page:
    """One Markdown file; `name` is its path from the root of the repository."""

    name: str
    text: str

    @property
    def path(self) -> Path:
        return ROOT / self.name

    @property
    def blocks(self) -> list[Block]:
        return list(_blocks(self.text.splitlines()))

    @property
    def prose(self) -> list[tuple[int, str]]:
        """Every line outside of fenced blocks, with its number."""
        return list(_prose(self.text.splitlines()))

    @property
    def links(self) -> list[tuple[int, str]]:
        """Every link target outside of code, with its line."""
        return [
            (number, found["target"])
            for number, line in self.prose
            for found in _LINK.finditer(_CODE_SPAN.sub("", line))
        ]

    @property
    def anchors(self) -> set[str]:
        """The fragments its headings answer to, spelled as the usual renderers do."""
        found = (_HEADING.match(line) for _, line in self.prose)
        return {_anchor(heading["text"]) for heading in found if heading}

    def table(self, first_column: str) -> list[list[str]]:
        """The rows of all tables whose first column has this title, cells without surrounding space."""
        return [row for title, rows in _tables(self.prose) if title == first_column for row in rows]


@cache
def page(name: str) -> Page:
    """The page of that path."""
    return Page(name, (ROOT / name).read_text("utf-8"))


def pages() -> list[Page]:
    """README.md, the page about shared/, and every page under docs/."""
    found = (str(path.relative_to(ROOT)) for path in sorted(DOCS.rglob("*.md")))
    return [page("README.md"), page("shared/README.md"), *map(page, found)]


def _blocks(lines: list[str]) -> Iterator[Block]:
    number = 0
    directives: dict[str, str] = {}
    while number < len(lines):
        opened = _FENCE.match(lines[number])
        if opened is None:
            directive = _DIRECTIVE.match(lines[number])
            if directive:
                directives[directive["name"]] = directive["value"]
            elif lines[number].strip():
                directives = {}
            number += 1
            continue
        end = _end(lines, number, opened["fence"])
        inner = [line.removeprefix(opened["indent"]) for line in lines[number + 1 : end]]
        yield Block(opened["info"].strip(), "".join(f"{line}\n" for line in inner), number + 1, directives)
        directives = {}
        number = end + 1


def _end(lines: list[str], start: int, fence: str) -> int:
    for number in range(start + 1, len(lines)):
        if lines[number].strip() == fence:
            return number
    raise AssertionError(f"the block that begins on line {start + 1} never ends")


def _prose(lines: list[str]) -> Iterator[tuple[int, str]]:
    number = 0
    while number < len(lines):
        opened = _FENCE.match(lines[number])
        if opened:
            number = _end(lines, number, opened["fence"]) + 1
            continue
        yield number + 1, lines[number]
        number += 1


def _anchor(heading: str) -> str:
    plain = re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower())
    return plain.replace(" ", "-")


def _tables(prose: list[tuple[int, str]]) -> Iterator[tuple[str, list[list[str]]]]:
    rows: list[list[str]] = []
    for _, line in [*prose, (0, "")]:
        if line.startswith("|"):
            rows.append(cells(line))
        elif rows:
            yield rows[0][0], rows[2:]
            rows = []


def cells(line: str) -> list[str]:
    """The cells of one table row; `\\|` is a bar inside a cell."""
    inner = line.strip().removeprefix("|").removesuffix("|")
    return [cell.replace(r"\|", "|").strip() for cell in re.split(r"(?<!\\)\|", inner)]
