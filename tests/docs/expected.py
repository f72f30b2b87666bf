"""What a page shows a command to print, compared with what it prints.

A line of only `...` stands for any lines, `...` in a line for any text. Spaces count as one. Times, hashes,
codes and ids differ in every run: any time stands for any other; an id shown for the first time
(`task_4f...`, `dec_...`, `apr_...`, `tok_...`) stands for the one that is printed there, and from then on
for exactly that one.
"""

import re
from dataclasses import dataclass, field

_ID = r"(?:task|dec|apr|tok|dev)_[0-9a-f]{8,}"
_TIME = r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d+)?Z"
_HASH = r"\b[0-9a-f]{64}\b"
_DURATION = r"\b\d+\.\d ms"
_CODE = r"\b[0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]{4}\b"
_PARTS = re.compile(
    rf"(?P<id>{_ID})|(?P<time>{_TIME})|(?P<hash>{_HASH})|(?P<ms>{_DURATION})|(?P<code>{_CODE})|(?P<any>\.\.\.)"
)

_ANY = {"time": _TIME, "hash": "[0-9a-f]{64}", "ms": _DURATION, "code": _CODE, "any": r"[^\n]*?"}


@dataclass
class Known:
    """The ids of one page: as it shows them, and as they are in this run."""

    ids: dict[str, str] = field(default_factory=dict[str, str])

    def actual(self, text: str) -> str:
        """A text of the page with the ids of this run."""
        return re.sub(_ID, lambda found: self.ids.get(found[0], found[0]), text)

    def matches(self, shown: str, printed: str) -> bool:
        """Whether a command printed what the page shows; if so, the ids shown there first are known."""
        new: list[str] = []
        pattern = "".join(self._line(line, new) for line in _lines(shown))
        found = re.fullmatch(pattern, "".join(f"{line}\n" for line in _lines(printed)))
        if found is None:
            return False
        self.ids.update(zip(new, found.groups(), strict=True))
        return True

    def _line(self, line: str, new: list[str]) -> str:
        if line == "...":
            return r"(?:[^\n]*\n)*?"
        pattern, at = "", 0
        for part in _PARTS.finditer(line):
            pattern += re.escape(line[at : part.start()])
            pattern += self._part(part, new)
            at = part.end()
        return pattern + re.escape(line[at:]) + r"\n"

    def _part(self, part: re.Match[str], new: list[str]) -> str:
        shown = part["id"]
        if not shown:
            return _ANY[str(part.lastgroup)]
        if shown in self.ids:
            return re.escape(self.ids[shown])
        if shown in new:
            return rf"(?P=i{new.index(shown)})"
        new.append(shown)
        return rf"(?P<i{len(new) - 1}>{_ID})"


def _lines(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.strip("\n").splitlines() if line.strip()]
